//! Where a chart or a set of manifests comes from, and how that is written.
//!
//! | written | means |
//! |---|---|
//! | `charts/mine`, `./mine` | a folder |
//! | `charts/mine-1.0.0.tgz` | an archive |
//! | `https://host/charts` and the chart's name, or `https://host/charts#name` | a repository: its `index.yaml` says where the archive is |
//! | `https://host/path/name-1.0.0.tgz` | an archive on the web |
//! | `oci://host/path/name` | an OCI registry |
//! | `git+https://host/owner/repository//folder?ref=TAG` | a folder of a Git repository, by the archive that its host makes |
//! | `crds.yaml`, `https://host/crds.yaml` | plain manifests |
//!
//! Fetching is for [`super::source`]; nothing here looks at a disk or a network.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a chart or a set of manifests comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A folder with a chart.
    Directory(PathBuf),
    /// A chart's archive in a file.
    Archive(PathBuf),
    /// A chart's archive on the web.
    Download(String),
    /// A chart of a repository with an `index.yaml`.
    Repository {
        /// The repository's address, without `/index.yaml` and without a slash at its end.
        url: String,
        /// The chart's name.
        name: String,
    },
    /// A chart in an OCI registry: `host/path/name`, without tag or digest.
    Oci(String),
    /// A folder of a Git repository.
    Git(Git),
    /// Plain manifests.
    Manifest(Place),
}

/// A folder of a Git repository at some revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Git {
    /// Scheme and host: `https://github.com`.
    pub origin: String,
    /// The repository's path: `owner/name`, or more on GitLab.
    pub repository: String,
    /// A tag, a branch or a commit.
    pub revision: String,
    /// The folder within; empty for the whole repository.
    pub folder: String,
}

/// A file here or on the web.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An address.
    Url(String),
}

/// A chart or a set of manifests that a stack needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Who needs it: `addons.istio/istiod`, `charts.extra`, `manifests.crds`. Unique within a stack.
    pub id: String,
    /// Where it comes from.
    pub reference: Reference,
    /// The version or range of versions, in Helm's words. `None` is the newest release, where there is a choice.
    pub version: Option<String>,
    /// The digest that the stack itself demands: `sha256:…`.
    pub digest: Option<String>,
}

impl Wanted {
    /// Whether it has to be fetched, and is therefore locked. What lies beside the stack is versioned with it.
    pub fn is_remote(&self) -> bool {
        self.reference.is_remote()
    }
}

/// A reference that cannot be read: what is wrong, in words that fit under a caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

fn unreadable<T>(why: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable(why.into()))
}

impl Reference {
    /// Reads the source of a chart. `name` is the chart's name in a repository; `beside` turns a relative path
    /// into one that can be opened.
    ///
    /// # Errors
    /// Where it is none, or lacks the chart's name.
    pub fn chart(source: &str, name: Option<&str>, beside: impl Fn(&str) -> PathBuf) -> Result<Reference, Unreadable> {
        let source = source.trim();
        match source.split_once("://") {
            Some(("oci", rest)) => oci(rest),
            Some(("git+https" | "git+http", _)) => Git::parse(source).map(Reference::Git),
            Some(("https" | "http", rest)) => web_chart(source, rest, name),
            Some(("file", path)) => Reference::local(path, beside),
            Some((scheme, _)) => {
                unreadable(format!("{scheme}:// is not known; use oci://, https://, git+https:// or a path"))
            }
            None => Reference::local(source, beside),
        }
    }

    fn local(path: &str, beside: impl Fn(&str) -> PathBuf) -> Result<Reference, Unreadable> {
        if path.is_empty() {
            return unreadable("write oci://…, https://…, git+https://… or a path");
        }
        let archive = path.ends_with(".tgz") || path.ends_with(".tar.gz");
        Ok(if archive { Reference::Archive(beside(path)) } else { Reference::Directory(beside(path)) })
    }

    /// Reads where manifests come from.
    ///
    /// # Errors
    /// Where it is no place.
    pub fn manifest(source: &str, beside: impl Fn(&str) -> PathBuf) -> Result<Reference, Unreadable> {
        match source.split_once("://") {
            Some(("https" | "http", rest)) => {
                check_host(rest.split('/').next().unwrap_or_default())?;
                Ok(Reference::Manifest(Place::Url(source.to_owned())))
            }
            Some((scheme, _)) => unreadable(format!("{scheme}:// is not known; use https:// or a path")),
            None if source.is_empty() => unreadable("write https://… or a path"),
            None => Ok(Reference::Manifest(Place::File(beside(source)))),
        }
    }

    /// Whether it has to be fetched.
    pub fn is_remote(&self) -> bool {
        match self {
            Reference::Directory(_) | Reference::Archive(_) | Reference::Manifest(Place::File(_)) => false,
            Reference::Download(_)
            | Reference::Repository { .. }
            | Reference::Oci(_)
            | Reference::Git(_)
            | Reference::Manifest(Place::Url(_)) => true,
        }
    }

    /// Whether it is a chart, not manifests.
    pub fn is_chart(&self) -> bool {
        !matches!(self, Reference::Manifest(_))
    }

    /// Whether a range of versions can be asked for: repositories and registries hold several.
    pub fn has_versions(&self) -> bool {
        matches!(self, Reference::Repository { .. } | Reference::Oci(_))
    }

    /// The chart's or file's name, as far as the reference tells it.
    pub fn name(&self) -> &str {
        let last = |text: &'_ str| -> usize { text.rfind('/').map_or(0, |at| at + 1) };
        match self {
            Reference::Directory(path) | Reference::Archive(path) | Reference::Manifest(Place::File(path)) => {
                path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
            }
            Reference::Repository { name, .. } => name,
            Reference::Oci(path) => &path[last(path)..],
            Reference::Git(git) => git.folder_name(),
            Reference::Download(url) | Reference::Manifest(Place::Url(url)) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                &path[last(path)..]
            }
        }
    }
}

/// One line that [`Reference::chart`] or [`Reference::manifest`] reads again.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Directory(path) | Reference::Archive(path) | Reference::Manifest(Place::File(path)) => {
                write!(f, "{}", path.display())
            }
            Reference::Download(url) | Reference::Manifest(Place::Url(url)) => f.write_str(url),
            Reference::Repository { url, name } => write!(f, "{url}#{name}"),
            Reference::Oci(path) => write!(f, "oci://{path}"),
            Reference::Git(git) => git.fmt(f),
        }
    }
}

impl fmt::Display for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = if self.folder.is_empty() { "" } else { "//" };
        write!(f, "git+{}/{}{folder}{}?ref={}", self.origin, self.repository, self.folder, self.revision)
    }
}

/// The host of an address that may be spoken to without TLS: this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_host(host: &str) -> Result<(), Unreadable> {
    if host.contains('@') {
        return unreadable("a login does not belong into an address; see docs/charts.md for logins");
    }
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':')) {
        return unreadable("the host's name is missing or odd");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => unreadable("the port is not a number"),
        _ => Ok(()),
    }
}

/// A path of an address that a request can be made of as it stands.
fn check_path(path: &str) -> Result<(), Unreadable> {
    let odd = path.chars().find(|c| !(c.is_ascii_alphanumeric() || "/-._~+%@=,:!$&'()*;".contains(*c)));
    if let Some(odd) = odd {
        return unreadable(format!("{odd:?} is not allowed here"));
    }
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        return unreadable("`..` is not allowed here");
    }
    Ok(())
}

fn oci(rest: &str) -> Result<Reference, Unreadable> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    check_host(host)?;
    if path.contains('@') {
        return unreadable("a digest does not belong into the address: the lock file holds it");
    }
    if path.contains(':') {
        return unreadable("a tag does not belong into the address: it is the version");
    }
    let part_is_good = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_'))
    };
    let path = path.trim_end_matches('/');
    if path.is_empty() {
        return unreadable("the chart's name is missing: oci://host/path/name");
    }
    match path.split('/').find(|part| !part_is_good(part)) {
        Some(odd) => unreadable(format!("{odd:?} is not a name in a registry: lower-case letters and digits")),
        None => Ok(Reference::Oci(format!("{host}/{path}"))),
    }
}

fn web_chart(source: &str, rest: &str, name: Option<&str>) -> Result<Reference, Unreadable> {
    check_host(rest.split(['/', '?', '#']).next().unwrap_or_default())?;
    let (address, fragment) = source.split_once('#').map_or((source, None), |(a, b)| (a, Some(b)));
    let path = address.split('?').next().unwrap_or_default();
    if path.ends_with(".tgz") || path.ends_with(".tar.gz") {
        return match name.or(fragment) {
            None => Ok(Reference::Download(source.to_owned())),
            Some(_) => unreadable("the address of an archive names the chart; `chart` is for repositories"),
        };
    }
    if address.contains('?') {
        return unreadable("a repository's address has no query");
    }
    let url = address.trim_end_matches('/').trim_end_matches("/index.yaml").trim_end_matches('/');
    check_path(url.split_once("://").map_or("", |(_, rest)| rest))?;
    let name = match (name, fragment) {
        (Some(name), None) | (None, Some(name)) if !name.is_empty() => name,
        (Some(_), Some(_)) => return unreadable("the chart is named twice"),
        _ => return unreadable("a repository holds many charts: name one"),
    };
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')) {
        return unreadable(format!("{name:?} is not the name of a chart"));
    }
    Ok(Reference::Repository { url: url.to_owned(), name: name.to_owned() })
}

impl Git {
    fn parse(source: &str) -> Result<Git, Unreadable> {
        let text = source.strip_prefix("git+").unwrap_or(source);
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let Some(revision) = query.strip_prefix("ref=").filter(|revision| !revision.is_empty()) else {
            return unreadable("write which state of it: ?ref=TAG at the end");
        };
        if revision.contains('&') || revision.contains('#') {
            return unreadable("only ?ref=TAG may follow the folder");
        }
        check_path(revision)?;
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        check_host(host)?;
        if scheme == "http" && !is_loopback(host) {
            return unreadable("write git+https://");
        }
        let (repository, folder) = path.split_once("//").unwrap_or((path, ""));
        let repository = repository.trim_matches('/').trim_end_matches(".git");
        let folder = folder.trim_matches('/');
        check_path(repository)?;
        check_path(folder)?;
        if repository.split('/').filter(|part| !part.is_empty()).count() < 2 {
            return unreadable("write git+https://host/owner/repository//folder?ref=TAG");
        }
        if folder.split('/').any(str::is_empty) && !folder.is_empty() {
            return unreadable("one double slash stands before the folder, and only there");
        }
        Ok(Git {
            origin: format!("{scheme}://{host}"),
            repository: repository.to_owned(),
            revision: revision.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// The last part of the folder, or the repository's name.
    pub fn folder_name(&self) -> &str {
        let path = if self.folder.is_empty() { &self.repository } else { &self.folder };
        path.rsplit('/').next().unwrap_or_default()
    }

    /// The address of the archive that the host makes of `revision`.
    ///
    /// GitHub's own archive host; GitLab's `/-/archive/`; and what GitHub Enterprise, Gitea and Forgejo have in
    /// common elsewhere. A GitLab under another name is recognised by nothing but its name.
    pub fn archive(&self, revision: &str) -> String {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        let (origin, repository) = (&self.origin, &self.repository);
        if host == "github.com" {
            return format!("https://codeload.github.com/{repository}/tar.gz/{revision}");
        }
        if host.split(['.', ':']).any(|part| part == "gitlab") {
            let name = repository.rsplit('/').next().unwrap_or_default();
            let file = revision.replace('/', "-");
            return format!("{origin}/{repository}/-/archive/{revision}/{name}-{file}.tar.gz");
        }
        format!("{origin}/{repository}/archive/{revision}.tar.gz")
    }
}

/// A path as it is, for places where nothing is relative to a file.
pub fn as_is(path: &str) -> PathBuf {
    Path::new(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(text: &str) -> Result<Reference, String> {
        Reference::chart(text, None, as_is).map_err(|Unreadable(why)| why)
    }

    #[test]
    fn every_way_to_name_a_chart() {
        let cases = [
            ("./mine", Reference::Directory("./mine".into()), false),
            ("mine-1.0.0.tgz", Reference::Archive("mine-1.0.0.tgz".into()), false),
            ("https://a.example/x/y-1.0.0.tgz", Reference::Download("https://a.example/x/y-1.0.0.tgz".into()), true),
            (
                "https://a.example/charts#x",
                Reference::Repository { url: "https://a.example/charts".into(), name: "x".into() },
                true,
            ),
            ("oci://quay.io/a/b/c", Reference::Oci("quay.io/a/b/c".into()), true),
            ("oci://127.0.0.1:5000/c", Reference::Oci("127.0.0.1:5000/c".into()), true),
            (
                "git+https://github.com/o/r//charts/x?ref=v1.0",
                Reference::Git(Git {
                    origin: "https://github.com".into(),
                    repository: "o/r".into(),
                    revision: "v1.0".into(),
                    folder: "charts/x".into(),
                }),
                true,
            ),
        ];
        for (text, reference, remote) in cases {
            assert_eq!(chart(text).as_ref(), Ok(&reference), "{text}");
            assert_eq!(reference.is_remote(), remote, "{text}");
            assert_eq!(reference.to_string(), text);
        }
        let named = Reference::chart("https://a.example/charts/index.yaml", Some("x"), as_is);
        assert_eq!(named.map(|reference| reference.to_string()), Ok("https://a.example/charts#x".to_owned()));
        assert_eq!(chart("git+https://gitlab.com/g/s/r.git?ref=1").map(|r| r.name().to_owned()), Ok("r".into()));
        assert!(chart("https://a.example/x/y-1.0.0.tgz?a=b#").is_err());
    }

    #[test]
    fn what_is_not_a_reference() {
        for (text, why) in [
            ("", "write oci://"),
            ("ftp://a/b", "ftp:// is not known"),
            ("https://a.example/charts", "name one"),
            ("https://me:word@a.example/charts#x", "a login"),
            ("https://a.example/charts#x/y", "not the name of a chart"),
            ("oci://quay.io", "the chart's name is missing"),
            ("oci://quay.io/a:1.0.0", "it is the version"),
            ("oci://quay.io/a@sha256:0", "the lock file holds it"),
            ("oci://quay.io/A", "lower-case"),
            ("oci://quay.io/../a", "not a name"),
            ("oci://:x/a", "the host"),
            ("git+https://github.com/o/r//x", "?ref=TAG"),
            ("git+https://github.com/o//x?ref=1", "owner/repository"),
            ("git+https://github.com/o/r//../x?ref=1", "`..`"),
            ("git+https://github.com/o/r//x?ref=../../1", "`..`"),
            ("git+http://github.com/o/r//x?ref=1", "git+https://"),
            ("git+https://github.com/o/r//x//y?ref=1", "double slash"),
        ] {
            let refused = chart(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    #[test]
    fn hosts_make_archives_in_their_own_ways() {
        let archive = |text: &str| match chart(text) {
            Ok(Reference::Git(git)) => git.archive(&git.revision),
            other => panic!("{other:?}"),
        };
        assert_eq!(archive("git+https://github.com/o/r//x?ref=v1"), "https://codeload.github.com/o/r/tar.gz/v1");
        assert_eq!(
            archive("git+https://gitlab.example.com/g/s/r//x?ref=release/1"),
            "https://gitlab.example.com/g/s/r/-/archive/release/1/r-release-1.tar.gz"
        );
        assert_eq!(archive("git+http://127.0.0.1:80/o/r//x?ref=v1"), "http://127.0.0.1:80/o/r/archive/v1.tar.gz");
    }

    #[test]
    fn this_machine_has_several_names() {
        for host in ["localhost", "localhost:80", "127.0.0.1:5000", "127.9.9.9", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "127.0.0.1.example.com", "10.0.0.1", "[2001:db8::1]", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
