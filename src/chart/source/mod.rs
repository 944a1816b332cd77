//! The only part of charts that speaks to a network: a [`Wanted`] becomes an exact version with its bytes, and a
//! lock's [`Entry`] becomes the very same bytes again.
//!
//! One file per kind of place; `transport` makes the requests. Nothing here decides when something is
//! fetched: that is for `ops`.

mod git;
mod login;
mod registry;
mod repository;
mod transport;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Url;
use tokio::sync::OnceCell;

use crate::chart::archive;
use crate::chart::cache::digest;
use crate::chart::files;
use crate::chart::lock::{Entry, satisfies};
use crate::chart::metadata::Metadata;
use crate::chart::reference::{Place, Reference, Wanted};
use crate::diag::Diagnostic;
use crate::env::clock::SharedClock;
use crate::template::{Constraint, Version};

pub use login::Logins;
pub use transport::Limits;
use transport::Transport;

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// A login is needed, or another one.
    Denied,
    /// Nobody answers, or not in time.
    Unreachable,
    /// Something has another digest than it must have.
    Digest,
    /// It is larger than anything of its kind.
    TooBig,
    /// It is not what it should be.
    Odd,
}

/// Why something cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct SourceError {
    /// What kind.
    pub fault: Fault,
    /// One line.
    pub summary: String,
    /// Why; may be empty.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl SourceError {
    /// An error with its one-line summary.
    pub fn new(fault: Fault, summary: impl Into<String>) -> Self {
        SourceError { fault, summary: summary.into(), detail: String::new(), hint: None }
    }

    /// With the reason.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// With a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// For the user, with what it was wanted for.
    pub fn diagnostic(&self, id: &str) -> Diagnostic {
        let summary = if id.is_empty() { self.summary.clone() } else { format!("{id}: {}", self.summary) };
        let diagnostic = Diagnostic::error(summary).detail(&*self.detail);
        match &self.hint {
            Some(hint) => diagnostic.hint(&**hint),
            None => diagnostic,
        }
    }
}

/// Two digests that should be one.
fn differs(what: &str, who: &str, said: &str, found: &str) -> SourceError {
    SourceError::new(Fault::Digest, format!("{what} has another digest than it should have"))
        .detail(format!("It is {found}; {who} {said}."))
        .hint(
            "do not use it before you know why: it may have been tampered with, or published again under its old name",
        )
}

/// Something that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What the lock says of it.
    pub entry: Entry,
    /// The archive, or the text of manifests.
    pub bytes: Bytes,
}

/// What is published now for something that is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its digest.
    pub digest: String,
    /// The bytes, where they had to be fetched to know the digest.
    pub bytes: Option<Bytes>,
}

/// Versions that there are.
struct Versions<'a>(Vec<&'a str>);

impl<'a> Versions<'a> {
    fn new(versions: impl IntoIterator<Item = &'a str>) -> Self {
        Versions(versions.into_iter().collect())
    }

    /// As Helm chooses: the very text that was asked for; otherwise the newest version within the range, which
    /// without one is every release. What is no version is passed over.
    fn choose(&self, place: &str, requested: Option<&str>) -> Result<&'a str, SourceError> {
        if let Some(exact) = requested.and_then(|requested| self.0.iter().find(|version| **version == requested)) {
            return Ok(exact);
        }
        let constraint = Constraint::parse(requested.unwrap_or("*")).map_err(|why| {
            let text =
                format!("{place}: {:?} is neither a version nor a range of versions", requested.unwrap_or_default());
            SourceError::new(Fault::Odd, text).detail(why).hint("write 1.2.3, ^1.2 or >=1.2 <2")
        })?;
        let mut known = self.0.iter().filter_map(|text| Some((Version::loose(text)?, *text))).collect::<Vec<_>>();
        // The newest first; among equals the order of the list.
        known.sort_by(|a, b| b.0.cmp(&a.0));
        if let Some((_, text)) = known.iter().find(|(version, _)| constraint.allows(version)) {
            return Ok(text);
        }
        let text = match requested {
            Some(requested) => format!("{place} has no version {requested}"),
            None => format!("{place} has no version"),
        };
        let error = SourceError::new(Fault::Missing, text);
        let newest = known.iter().take(6).map(|(_, text)| *text).collect::<Vec<_>>().join(", ");
        Err(if newest.is_empty() { error } else { error.hint(format!("the newest that it has are {newest}")) })
    }
}

/// Fetches charts and manifests. Indexes and tokens are kept for as long as it lives.
pub struct Fetcher {
    transport: Transport,
    registries: registry::Registries,
    indexes: Mutex<BTreeMap<String, Arc<OnceCell<Arc<repository::Index>>>>>,
}

impl Fetcher {
    /// A fetcher; nothing is sent before it is asked for something.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(clock: SharedClock, limits: Limits, logins: Logins) -> Result<Fetcher, SourceError> {
        Ok(Fetcher {
            transport: Transport::new(clock, limits)?,
            registries: registry::Registries::new(logins),
            indexes: Mutex::default(),
        })
    }

    /// How many things should be fetched at a time.
    pub fn parallel(&self) -> usize {
        self.transport.limits.parallel.max(1)
    }

    /// The newest that `wanted` allows, with its bytes.
    ///
    /// # Errors
    /// Where there is none, it cannot be had, or is not what its index, its registry or the stack says.
    pub async fn resolve(&self, wanted: &Wanted) -> Result<Fetched, SourceError> {
        let requested = wanted.version.as_deref();
        let mut address = None;
        let mut version = None;
        let mut commit = None;
        let bytes = match &wanted.reference {
            Reference::Repository { url, name } => {
                let found = self.index(url).await?.find(url, name, requested)?;
                let bytes = self.package(&found.address, found.digest.as_deref(), "the index says").await?;
                (address, version) = (Some(found.address), Some(found.version));
                bytes
            }
            Reference::Oci(path) => {
                let found = self.registries.find(&self.transport, path, requested).await?;
                let bytes = self.blob(path, &found).await?;
                version = Some(found.version);
                bytes
            }
            Reference::Git(git) => {
                let found = git::fetch(&self.transport, git, &git.revision).await?;
                commit = found.commit;
                found.packed
            }
            Reference::Download(url) => self.transport.fetch(url, self.transport.limits.archive).await?.body,
            Reference::Manifest(Place::Url(url)) => {
                version = wanted.version.clone();
                self.transport.fetch(url, self.transport.limits.manifests).await?.body
            }
            local => return Err(SourceError::new(Fault::Odd, format!("{local} is not fetched: it is a path"))),
        };
        if wanted.reference.is_chart() {
            let inside = inspect(&wanted.reference, &bytes)?;
            version = Some(agreed(&wanted.reference, version, inside, requested)?);
        } else {
            text(&wanted.reference, &bytes)?;
        }
        let found = digest(&bytes);
        if let Some(demanded) = wanted.digest.as_ref().filter(|demanded| **demanded != found) {
            return Err(differs(&wanted.reference.to_string(), "the stack says", demanded, &found));
        }
        let entry = Entry {
            reference: wanted.reference.to_string(),
            requested: wanted.version.clone(),
            version,
            digest: found,
            size: bytes.len() as u64,
            address,
            commit,
        };
        Ok(Fetched { entry, bytes })
    }

    /// Exactly what the lock names.
    ///
    /// # Errors
    /// Where it cannot be had any more; with both digests, where something else is there now.
    pub async fn fetch(&self, reference: &Reference, entry: &Entry) -> Result<Bytes, SourceError> {
        let bytes = match (reference, &entry.address) {
            (Reference::Repository { url, .. }, Some(address)) => {
                // A lock that was tampered with leads nowhere that the repository could not lead to.
                let address = repository::resolve(url, address)?;
                self.package(&address, Some(&entry.digest), "the lock says").await?
            }
            (Reference::Oci(path), _) => self.registries.blob(&self.transport, path, &entry.digest).await?,
            (Reference::Git(git), _) => {
                let revision = entry.commit.as_deref().unwrap_or(&git.revision);
                git::fetch(&self.transport, git, revision).await?.packed
            }
            _ => {
                let published = self.published(reference, entry).await?;
                match published.bytes {
                    Some(bytes) => bytes,
                    None => {
                        return Err(SourceError::new(Fault::Odd, format!("{reference} is not fetched: it is a path")));
                    }
                }
            }
        };
        let found = digest(&bytes);
        if found != entry.digest {
            return Err(differs(&reference.to_string(), "the lock says", &entry.digest, &found));
        }
        Ok(bytes)
    }

    /// What is published now under the version that is locked.
    ///
    /// # Errors
    /// Where it cannot be asked, or is not there any more.
    pub async fn published(&self, reference: &Reference, entry: &Entry) -> Result<Published, SourceError> {
        let whole = |bytes: Bytes| Published { digest: digest(&bytes), bytes: Some(bytes) };
        let version = entry.version.as_deref();
        Ok(match reference {
            Reference::Repository { url, name } => {
                let found = self.index(url).await?.find(url, name, version)?;
                match found.digest {
                    Some(digest) => Published { digest, bytes: None },
                    None => whole(self.package(&found.address, None, "").await?),
                }
            }
            Reference::Oci(path) => {
                let found = self.registries.package(&self.transport, path, version.unwrap_or_default()).await?;
                Published { digest: found.digest, bytes: None }
            }
            Reference::Git(git) => whole(git::fetch(&self.transport, git, &git.revision).await?.packed),
            Reference::Download(url) => whole(self.transport.fetch(url, self.transport.limits.archive).await?.body),
            Reference::Manifest(Place::Url(url)) => {
                whole(self.transport.fetch(url, self.transport.limits.manifests).await?.body)
            }
            local => return Err(SourceError::new(Fault::Odd, format!("{local} is not fetched: it is a path"))),
        })
    }

    /// A repository's index, fetched once however many charts are in it.
    async fn index(&self, url: &str) -> Result<Arc<repository::Index>, SourceError> {
        let cell =
            self.indexes.lock().unwrap_or_else(PoisonError::into_inner).entry(url.to_owned()).or_default().clone();
        let index = cell.get_or_try_init(|| async {
            let answer = self.transport.fetch(&format!("{url}/index.yaml"), self.transport.limits.index).await?;
            repository::Index::read(url, &answer.body).map(Arc::new)
        });
        index.await.cloned()
    }

    /// An archive that a repository's index leads to.
    async fn package(&self, address: &str, said: Option<&str>, who: &str) -> Result<Bytes, SourceError> {
        if let Some(reference) = address.strip_prefix("oci://") {
            return self.linked(reference, said, who).await;
        }
        let answer = self.transport.fetch(address, self.transport.limits.archive).await?;
        match said {
            Some(said) if said != answer.digest => Err(differs(transport::shown(address), who, said, &answer.digest)),
            _ => Ok(answer.body),
        }
    }

    /// An archive in a registry that an index leads to: `host/path/name:tag`.
    async fn linked(&self, reference: &str, said: Option<&str>, who: &str) -> Result<Bytes, SourceError> {
        let odd = || SourceError::new(Fault::Odd, format!("oci://{reference} names no chart and version"));
        let (path, tag) = reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).ok_or_else(odd)?;
        let Ok(Reference::Oci(path)) = Reference::chart(&format!("oci://{path}"), None, |path| path.into()) else {
            return Err(odd());
        };
        let found = self.registries.package(&self.transport, &path, tag).await?;
        match said {
            Some(said) if said != found.digest => Err(differs(&format!("oci://{reference}"), who, said, &found.digest)),
            _ => self.blob(&path, &found).await,
        }
    }

    async fn blob(&self, path: &str, package: &registry::Package) -> Result<Bytes, SourceError> {
        let most = self.transport.limits.archive;
        if package.size > most {
            let text = format!("oci://{path} {} is too big", package.version);
            let detail = format!("Its manifest says {} bytes; at most {most} are taken.", package.size);
            return Err(SourceError::new(Fault::TooBig, text).detail(detail));
        }
        self.registries.blob(&self.transport, path, &package.digest).await
    }
}

/// The version in an archive's Chart.yaml. Whatever is no chart is refused here, not when it is used.
fn inspect(reference: &Reference, bytes: &[u8]) -> Result<String, SourceError> {
    let odd = |why: &dyn std::fmt::Display| {
        SourceError::new(Fault::Odd, format!("{reference} is not a chart")).detail(why.to_string())
    };
    let files = archive::read(bytes, &files::Limits::default()).map_err(|error| odd(&error))?;
    let text = files.text("Chart.yaml").ok_or_else(|| odd(&"There is no Chart.yaml in it."))?;
    let metadata = Metadata::read(&text).map_err(|error| odd(&error))?;
    if let Reference::Repository { name, .. } = reference
        && metadata.name != *name
    {
        return Err(odd(&format!("What is there is the chart {}.", metadata.name)));
    }
    Ok(metadata.version)
}

/// The version that place and archive agree upon. They may write it in two ways, as v1.0.0 and 1.0.0.
fn agreed(
    reference: &Reference,
    outside: Option<String>,
    inside: String,
    requested: Option<&str>,
) -> Result<String, SourceError> {
    let Some(outside) = outside else {
        // The place tells no version, so that the archive's is what can be checked.
        if satisfies(requested, Some(&inside)) {
            return Ok(inside);
        }
        let text = format!("{reference} is version {inside}, not {}", requested.unwrap_or_default());
        return Err(SourceError::new(Fault::Missing, text).hint("change the version or the address"));
    };
    let same = match (Version::loose(&outside), Version::loose(&inside)) {
        (Some(a), Some(b)) => a.numbers == b.numbers && a.pre == b.pre,
        _ => outside == inside,
    };
    if same {
        return Ok(outside);
    }
    let text = format!("{reference} lists an archive as {outside} that says of itself that it is {inside}");
    Err(SourceError::new(Fault::Odd, text).hint("ask whoever publishes the chart"))
}

/// Manifests are text.
fn text(reference: &Reference, bytes: &[u8]) -> Result<(), SourceError> {
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => {
            let text = format!("{reference} is not UTF-8 text");
            Err(SourceError::new(Fault::Odd, text).hint("check the address: it must lead to YAML"))
        }
    }
}

/// The host of a remote reference, for messages.
pub fn host(reference: &Reference) -> Option<String> {
    let address = match reference {
        Reference::Oci(path) => return path.split('/').next().map(str::to_owned),
        Reference::Git(git) => git.origin.clone(),
        Reference::Repository { url, .. } => url.clone(),
        Reference::Download(url) | Reference::Manifest(Place::Url(url)) => url.clone(),
        Reference::Directory(_) | Reference::Archive(_) | Reference::Manifest(Place::File(_)) => return None,
    };
    Url::parse(&address).ok()?.host_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_chosen_as_helm_does() {
        let versions = Versions::new(["1.0.0", "v1.10.0", "1.9.1", "2.0.0-rc.1", "latest", "1.9", "1.0.0+b"]);
        for (requested, chosen) in [
            (None, Some("v1.10.0")),
            (Some("latest"), Some("latest")),
            (Some("1.9"), Some("1.9")),
            (Some("~1.9"), Some("1.9.1")),
            (Some("1.10.0"), Some("v1.10.0")),
            (Some("1.0.0"), Some("1.0.0")),
            (Some(">=2.0.0-0"), Some("2.0.0-rc.1")),
            (Some("^2"), None),
            (Some("not a range"), None),
        ] {
            assert_eq!(versions.choose("x", requested).ok(), chosen, "{requested:?}");
        }
    }

    #[test]
    fn an_archive_is_what_its_place_says() {
        let reference = Reference::Oci("a.example/x".to_owned());
        let agree = |outside: Option<&str>, inside: &str, requested| {
            agreed(&reference, outside.map(str::to_owned), inside.to_owned(), requested).ok()
        };
        assert_eq!(agree(Some("v1.0.0"), "1.0.0", None).as_deref(), Some("v1.0.0"));
        assert_eq!(agree(Some("1.0.0"), "1.0.1", None), None);
        assert_eq!(agree(None, "1.0.1", Some("~1.0")).as_deref(), Some("1.0.1"));
        assert_eq!(agree(None, "1.1.0", Some("~1.0")), None);
    }
}
