//! Google Cloud Storage, S3 and what is compatible with it, and Azure Blob Storage as a [`Store`].
//!
//! Where credentials come from is the services' own convention: the variables and files that their command lines
//! use. Retries are the caller's, who alone knows whether a write may be sent again.

use std::error::Error as _;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    ClientConfigKey, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
};

use super::store::{REQUEST_LIMIT, Store, StoreError, Stored, Tag, Written};
use crate::env::clock::Timestamp;

/// A prefix in a bucket.
pub struct Bucket {
    inner: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
}

/// The place that an address names: `gs://BUCKET/PREFIX`, `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`. Nothing is
/// sent yet.
///
/// # Errors
/// What is wrong with the address or with the settings that the service's variables make.
pub fn open(address: &str) -> Result<Arc<dyn Store>, String> {
    let (scheme, rest) = address.split_once("://").ok_or("it is no address of a bucket")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.contains('@') {
        return Err("a login does not belong into an address: the service's own variables and files hold it".to_owned());
    }
    // Everything else about the connection is what the service's variables say.
    let (timeout, limit) = (ClientConfigKey::Timeout, format!("{} seconds", REQUEST_LIMIT.as_secs()));
    let retries = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let inner: Result<Arc<dyn ObjectStore>, Error> = match scheme {
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retries);
            builder.with_config(GoogleConfigKey::Client(timeout), limit).build().map(|store| Arc::new(store) as _)
        }
        "s3" => {
            let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries);
            for key in [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::SecretAccessKey, AmazonS3ConfigKey::Token] {
                one_line(key.as_ref(), builder.get_config_value(&key))?;
            }
            builder.with_config(AmazonS3ConfigKey::Client(timeout), limit).build().map(|store| Arc::new(store) as _)
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::from_env().with_container_name(bucket).with_retry(retries);
            for key in [AzureConfigKey::AccessKey, AzureConfigKey::SasKey, AzureConfigKey::Token] {
                one_line(key.as_ref(), builder.get_config_value(&key))?;
            }
            builder.with_config(AzureConfigKey::Client(timeout), limit).build().map(|store| Arc::new(store) as _)
        }
        other => return Err(format!("{other}:// is no store that this program knows")),
    };
    let inner = inner.map_err(|error| chain(&error))?;
    Ok(Arc::new(Bucket::new(inner, prefix, address)?))
}

/// Refuses what no header can hold: the client would break off at it, in the middle of everything.
fn one_line(name: &str, value: Option<String>) -> Result<(), String> {
    match value {
        Some(value) if value.chars().any(char::is_control) => {
            let name = name.to_uppercase();
            Err(format!("{name} has characters that no login has, such as a line feed: give it as one line"))
        }
        _ => Ok(()),
    }
}

impl Bucket {
    /// A prefix of any store; `place` is its name for messages.
    ///
    /// # Errors
    /// What is wrong with the prefix.
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: &str, place: &str) -> Result<Self, String> {
        let prefix = Path::parse(prefix).map_err(|error| error.to_string())?;
        Ok(Bucket { inner, prefix, place: place.to_owned() })
    }

    fn path(&self, key: &str) -> Path {
        key.split('/').filter(|part| !part.is_empty()).fold(self.prefix.clone(), |path, part| path.join(part))
    }

    async fn put(&self, key: &str, bytes: &[u8], mode: PutMode) -> Result<Written, StoreError> {
        let payload = PutPayload::from(bytes.to_vec());
        match self.inner.put_opts(&self.path(key), payload, PutOptions::from(mode)).await {
            Ok(done) => Ok(Written::Done(Tag { etag: done.e_tag, version: done.version })),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                Ok(Written::Refused)
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

#[async_trait]
impl Store for Bucket {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let found = match self.inner.get(&self.path(key)).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let meta = found.meta.clone();
        let bytes = found.bytes().await.map_err(|error| failed(&error))?.to_vec();
        let modified = Timestamp(u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or_default());
        Ok(Some(Stored { bytes, tag: Tag { etag: meta.e_tag, version: meta.version }, modified }))
    }

    async fn create(&self, key: &str, bytes: &[u8]) -> Result<Written, StoreError> {
        self.put(key, bytes, PutMode::Create).await
    }

    async fn replace(&self, key: &str, bytes: &[u8], tag: &Tag) -> Result<Written, StoreError> {
        let version = UpdateVersion { e_tag: tag.etag.clone(), version: tag.version.clone() };
        match self.put(key, bytes, PutMode::Update(version)).await {
            // What is not there has another version than any.
            Err(StoreError::Final(text)) if self.get(key).await?.is_none() => {
                tracing::debug!("{key} is not there to be replaced: {text}");
                Ok(Written::Refused)
            }
            outcome => outcome,
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = self.path(prefix);
        let found = self.inner.list(Some(&folder)).map_ok(|meta| meta.location).try_collect::<Vec<_>>().await;
        let own = |path: Path| {
            let parts = path.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned());
            Some(parts.collect::<Vec<_>>().join("/"))
        };
        let mut keys = found.map_err(|error| failed(&error))?.into_iter().filter_map(own).collect::<Vec<_>>();
        keys.sort();
        Ok(keys)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.inner.delete(&self.path(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Whether another attempt can help.
fn failed(error: &Error) -> StoreError {
    let text = chain(error);
    // A refusal of the service names its code; what has none did not get an answer.
    let refused =
        text.split("status code: 4").nth(1).is_some_and(|rest| !rest.starts_with("08") && !rest.starts_with("29"));
    match error {
        Error::Generic { .. } | Error::JoinError { .. } if !refused => StoreError::Unavailable(text),
        _ => StoreError::Final(text),
    }
}

/// An error with its causes, outermost first, each once.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        cause = next.source();
    }
    without_body(&text)
}

/// What stands before the status of an answer that is a refusal.
const STATUS: &str = "status code: ";

/// The text without what a service has answered, but for the code and the message of its refusal. S3 sends back the
/// whole request whose signature is wrong, the token of its session included.
fn without_body(text: &str) -> String {
    let Some((before, answer)) = text.split_once(STATUS) else { return text.to_owned() };
    let (status, body) = answer.split_once(": ").unwrap_or((answer, ""));
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    let message = json.pointer("/error/message").and_then(serde_json::Value::as_str).map(str::to_owned);
    let said = [element("Code"), element("Message"), message].into_iter().flatten().collect::<Vec<_>>();
    let status = status.lines().next().unwrap_or_default();
    format!("{before}{STATUS}{}", [status.to_owned()].into_iter().chain(said).collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_its_code_and_message_are_told() {
        let before = "Error performing GET http://a - Server returned non-2xx status code: 403 Forbidden";
        for (body, said) in [
            ("", ""),
            (": GET / HTTP/1.1\nauthorization: Bearer t0ken", ""),
            (
                ": <?xml?><Error><Code>SignatureDoesNotMatch</Code><Message>It does not.</Message>\
                 <CanonicalRequest>x-amz-security-token:t0ken</CanonicalRequest></Error>",
                ": SignatureDoesNotMatch: It does not.",
            ),
            (": {\"error\": {\"code\": 403, \"message\": \"no access\", \"x\": \"t0ken\"}}", ": no access"),
        ] {
            assert_eq!(without_body(&format!("{before}{body}")), format!("{before}{said}"));
        }
        assert_eq!(without_body("no answer: at all"), "no answer: at all");
    }
}
