//! OCI registries: tags, manifests, blobs, and the tokens that they ask for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::login::Logins;
use super::transport::{Answer, Ask, Transport, refusal, shown, step};
use super::{Fault, SourceError, Versions, differs};
use crate::chart::lock::is_digest;
use crate::chart::reference::is_loopback;
use crate::template::Version;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// The second one is what Helm wrote before it was registered.
const CONTENT: [&str; 2] = ["application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip"];
/// A registry that pages its tags without end is not believed.
const PAGES: usize = 200;

/// Speaks to registries. Tokens are kept for as long as this lives.
pub(super) struct Registries {
    logins: Logins,
    /// By host and repository.
    tokens: Mutex<BTreeMap<String, HeaderValue>>,
}

/// A chart in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub version: String,
    /// Of the archive.
    pub digest: String,
    pub size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// `host/path/name` in its parts, with the scheme that the host is spoken to.
fn parts(reference: &str) -> (String, &str, &str) {
    let (host, name) = reference.split_once('/').unwrap_or((reference, ""));
    let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
    let scheme = if is_loopback(host) { "http" } else { "https" };
    (format!("{scheme}://{server}/v2/{name}"), host, name)
}

/// A `+` cannot stand in a tag.
fn tag(version: &str) -> String {
    version.replace('+', "_")
}

impl Registries {
    pub(super) fn new(logins: Logins) -> Registries {
        Registries { logins, tokens: Mutex::default() }
    }

    /// The version of a chart that fits best, as Helm chooses it, with its archive's digest.
    pub(super) async fn find(
        &self,
        transport: &Transport,
        reference: &str,
        requested: Option<&str>,
    ) -> Result<Package, SourceError> {
        // A whole version is a tag by itself; only where there is none under this very name, the list is asked.
        if let Some(version) = requested.filter(|requested| is_whole(requested)) {
            match self.package(transport, reference, version).await {
                Err(error) if error.fault == Fault::Missing => {}
                other => return other,
            }
        }
        let tags = self.tags(transport, reference).await?;
        let versions = tags.iter().map(|tag| tag.replace('_', "+")).collect::<Vec<_>>();
        let versions = Versions::new(versions.iter().map(String::as_str));
        let version = versions.choose(&format!("oci://{reference}"), requested)?;
        self.package(transport, reference, version).await
    }

    /// What a version's manifest says.
    pub(super) async fn package(
        &self,
        transport: &Transport,
        reference: &str,
        version: &str,
    ) -> Result<Package, SourceError> {
        let (base, _, _) = parts(reference);
        let tag = tag(version);
        let url = format!("{base}/manifests/{tag}");
        let place = format!("oci://{reference}:{tag}");
        let answer = self.get(transport, reference, &url, Some(MANIFEST), transport.limits.document).await?;
        if answer.status == StatusCode::NOT_FOUND {
            let error = SourceError::new(Fault::Missing, format!("{place} does not exist"));
            return Err(error.hint("check chart and version; some charts are only there after a login"));
        }
        if !answer.status.is_success() {
            return Err(refusal(&url, &answer));
        }
        if let Some(said) = answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok())
            && said != answer.digest
        {
            return Err(differs(&format!("the manifest of {place}"), "the registry says", said, &answer.digest));
        }
        let odd = |why: &str| {
            let error = SourceError::new(Fault::Odd, format!("{place} is not a Helm chart"));
            error.detail(why.to_owned()).hint("check the address: it must name a chart, not an image")
        };
        let manifest: Manifest = serde_json::from_slice(&answer.body)
            .map_err(|error| odd(&format!("Its manifest cannot be read: {error}.")))?;
        if manifest.media_type.as_deref().is_some_and(|kind| kind != MANIFEST) {
            return Err(odd(&format!("Its media type is {}.", manifest.media_type.unwrap_or_default())));
        }
        match &manifest.config {
            Some(config) if config.media_type == CONFIG => {}
            Some(config) => return Err(odd(&format!("Its configuration has the media type {}.", config.media_type))),
            None => return Err(odd("It has no configuration.")),
        }
        let mut layers = manifest.layers.iter().filter(|layer| CONTENT.contains(&layer.media_type.as_str()));
        let Some(layer) = layers.next() else { return Err(odd("No layer has the media type of a chart.")) };
        if !is_digest(&layer.digest) {
            return Err(odd(&format!("Its archive has the digest {:?}.", layer.digest)));
        }
        Ok(Package { version: version.to_owned(), digest: layer.digest.clone(), size: layer.size })
    }

    /// The archive of this digest.
    pub(super) async fn blob(
        &self,
        transport: &Transport,
        reference: &str,
        digest: &str,
    ) -> Result<Bytes, SourceError> {
        let (base, _, _) = parts(reference);
        let url = format!("{base}/blobs/{digest}");
        let answer = self.get(transport, reference, &url, None, transport.limits.archive).await?;
        if !answer.status.is_success() {
            return Err(refusal(&url, &answer));
        }
        if answer.digest != digest {
            return Err(differs(
                &format!("the archive of oci://{reference}"),
                "its manifest says",
                digest,
                &answer.digest,
            ));
        }
        Ok(answer.body)
    }

    async fn tags(&self, transport: &Transport, reference: &str) -> Result<Vec<String>, SourceError> {
        let (base, _, _) = parts(reference);
        let mut url = format!("{base}/tags/list?n=1000");
        let mut tags = Vec::new();
        for _ in 0..PAGES {
            let answer = self.get(transport, reference, &url, None, transport.limits.document).await?;
            if answer.status == StatusCode::NOT_FOUND {
                let error = SourceError::new(Fault::Missing, format!("oci://{reference} does not exist"));
                return Err(error.hint("check the address; some charts are only there after a login"));
            }
            if !answer.status.is_success() {
                return Err(refusal(&url, &answer));
            }
            let page: Tags = serde_json::from_slice(&answer.body).map_err(|error| {
                let text = format!("{} is not a list of tags", shown(&url));
                SourceError::new(Fault::Odd, text).detail(error.to_string())
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match next_page(&url, &answer.headers) {
                Some(next) if next != url => url = next,
                _ => return Ok(tags),
            }
        }
        let text = format!("oci://{reference} has more tags than anybody can have");
        Err(SourceError::new(Fault::TooBig, text).hint("name a whole version: then the tags are not asked for"))
    }

    /// A GET with whatever login the registry asks for.
    async fn get(
        &self,
        transport: &Transport,
        reference: &str,
        url: &str,
        accept: Option<&'static str>,
        most: u64,
    ) -> Result<Answer, SourceError> {
        let ask = Ask { accept, authorization: self.token(reference), ..Ask::new(url, most) };
        let answer = transport.ask(ask.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = answer.headers.get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let authorization = self.log_in(transport, reference, challenge).await?;
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.to_owned(), authorization.clone());
        let answer = transport.ask(Ask { authorization: Some(authorization), ..ask }).await?;
        match answer.status.as_u16() {
            401 | 403 => Err(denied(reference)),
            _ => Ok(answer),
        }
    }

    fn token(&self, reference: &str) -> Option<HeaderValue> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }

    /// Answers a challenge: `Bearer realm="…",service="…",scope="…"`, or `Basic …`.
    async fn log_in(
        &self,
        transport: &Transport,
        reference: &str,
        challenge: &str,
    ) -> Result<HeaderValue, SourceError> {
        let (base, host, name) = parts(reference);
        let login = self.logins.basic(host);
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return login.ok_or_else(|| denied(reference));
        }
        let fields = fields(rest);
        let odd = |why: String| {
            let text = format!("{host} asks for a login in a way that is not known");
            SourceError::new(Fault::Odd, text).detail(why)
        };
        let Some(realm) = fields.get("realm").filter(|_| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(odd(format!("It asks for {scheme:?}.")));
        };
        let mut url = Url::parse(realm).map_err(|error| odd(format!("{realm:?} is not an address: {error}.")))?;
        let from = Url::parse(&base).map_err(|error| odd(error.to_string()))?;
        step(&from, &url).map_err(odd)?;
        let scope = fields.get("scope").cloned().unwrap_or_else(|| format!("repository:{name}:pull"));
        url.query_pairs_mut().append_pair("scope", &scope);
        if let Some(service) = fields.get("service") {
            url.query_pairs_mut().append_pair("service", service);
        }
        let known = login.is_some();
        let ask = Ask { authorization: login, ..Ask::new(url.as_str(), transport.limits.document) };
        let answer = transport.ask(ask).await?;
        if matches!(answer.status.as_u16(), 401 | 403) {
            let error = denied(reference);
            return Err(if known { error.detail("The login that is on this machine is not accepted.") } else { error });
        }
        if !answer.status.is_success() {
            return Err(refusal(url.as_str(), &answer));
        }
        // What cannot be read is not shown: it may hold the token.
        let token =
            serde_json::from_slice::<Token>(&answer.body).ok().and_then(|token| token.token.or(token.access_token));
        let value = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut value = value.ok_or_else(|| odd(format!("{} gave no token.", shown(url.as_str()))))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

fn denied(reference: &str) -> SourceError {
    let host = reference.split('/').next().unwrap_or_default();
    SourceError::new(Fault::Denied, format!("{host} does not let us read {reference}"))
        .hint(format!("log in with `docker login {host}` or `helm registry login {host}`; see docs/charts.md"))
}

/// Major, minor and patch are there.
fn is_whole(version: &str) -> bool {
    let core = version.strip_prefix('v').unwrap_or(version);
    let core = core.split(['-', '+']).next().unwrap_or_default();
    Version::loose(version).is_some() && core.split('.').count() == 3
}

/// `a="b", c=d` as a table; names in lower case.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.insert(name, value.to_owned());
        rest = left;
    }
    fields
}

/// The address in `Link: </v2/…>; rel="next"`, on the same host only.
fn next_page(url: &str, headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !rest.contains("next") {
        return None;
    }
    let here = Url::parse(url).ok()?;
    let next = here.join(target).ok()?;
    (next.origin() == here.origin()).then(|| next.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let found = fields(r#"realm="https://a.example/token?x=1", service=reg , scope="repository:a/b:pull,push""#);
        assert_eq!(found["realm"], "https://a.example/token?x=1");
        assert_eq!(found["service"].trim(), "reg");
        assert_eq!(found["scope"], "repository:a/b:pull,push");
        for odd in ["", "=", "a", "a=", "a=\"", ",,,=,", "\"=\""] {
            fields(odd);
        }
    }

    #[test]
    fn whole_versions_are_tags() {
        for whole in ["1.2.3", "v1.2.3", "1.2.3-rc.1+b"] {
            assert!(is_whole(whole), "{whole}");
        }
        for part in ["1", "v1.2", "~1.2.3", "latest", "1.2.x", ""] {
            assert!(!is_whole(part), "{part}");
        }
        assert_eq!(tag("1.2.3+b"), "1.2.3_b");
        assert_eq!(parts("docker.io/a/b").0, "https://registry-1.docker.io/v2/a/b");
        assert_eq!(parts("127.0.0.1:5000/a").0, "http://127.0.0.1:5000/v2/a");
    }

    #[test]
    fn the_next_page_stays_on_its_host() {
        let next = |link: &'static str| {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_static(link))]);
            next_page("https://a.example/v2/x/tags/list?n=2", &headers)
        };
        let expected = "https://a.example/v2/x/tags/list?last=b&n=2";
        assert_eq!(next("</v2/x/tags/list?last=b&n=2>; rel=\"next\"").as_deref(), Some(expected));
        assert_eq!(next("<https://b.example/v2/x/tags/list>; rel=\"next\""), None);
        assert_eq!(next("</v2/x>; rel=\"prev\""), None);
        assert_eq!(next("nonsense"), None);
    }
}
