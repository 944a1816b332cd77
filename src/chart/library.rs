//! Charts and manifests that are at hand, without a network: what expansion reads.
//!
//! In this order: what lies beside the stack; the folder of archives that `STACKWRIGHT_CHARTS` names; what the
//! lock names, from a bundle (`STACKWRIGHT_BUNDLE`) or the cache.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::chart::cache::{Cache, digest};
use crate::chart::lock::{Lock, LockedCapabilities, Standing, satisfies};
use crate::chart::reference::{Place, Reference, Wanted};
use crate::env::disk::Disk;
use crate::env::vars::Vars;
use crate::template::Version;

/// What is at hand for something that a stack wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its content.
    pub content: Content,
    /// Its version, where it is known without looking inside.
    pub version: Option<String>,
    /// Where it was found.
    pub shelf: Shelf,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder with a chart, for [`super::directory`].
    Folder(PathBuf),
    /// A chart's archive, or the text of manifests.
    Bytes(Bytes),
}

/// Where something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Beside the stack.
    Beside,
    /// In the folder of archives.
    Folder,
    /// In the cache or a bundle, by the lock's digest.
    Lock,
}

/// Why something cannot be used, though the stack wants it.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The lock is for something else than the stack wants by now.
    #[error("the lock file does not fit {id}: {why}")]
    Changed {
        /// [`Wanted::id`].
        id: String,
        /// What differs.
        why: String,
    },
    /// A file has another digest than was locked or demanded.
    #[error("{path} is not what {id} is locked to: its digest is {found}, not {locked}")]
    Digest {
        /// [`Wanted::id`].
        id: String,
        /// The file.
        path: String,
        /// Its digest.
        found: String,
        /// The digest that it must have.
        locked: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        cause: io::Error,
    },
}

impl LibraryError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            LibraryError::Changed { .. } => "run `stackwright lock` to bring the lock file up to date",
            LibraryError::Digest { .. } => {
                "find out who changed it; `stackwright lock --upgrade COMPONENT` locks what is published now"
            }
            LibraryError::Unreadable { .. } => "check the path and its permissions",
        }
    }
}

/// Everything that is at hand.
pub struct Library<'a> {
    disk: &'a dyn Disk,
    lock: Option<&'a Lock>,
    shelves: Vec<Cache>,
    folder: Option<PathBuf>,
}

impl<'a> Library<'a> {
    /// A library of what lies beside the stack alone.
    pub fn new(disk: &'a dyn Disk) -> Library<'a> {
        Library { disk, lock: None, shelves: Vec::new(), folder: None }
    }

    /// With what a lock names.
    #[must_use]
    pub fn locked(self, lock: Option<&'a Lock>) -> Self {
        Library { lock, ..self }
    }

    /// With a cache or bundle; the first one added is asked first.
    #[must_use]
    pub fn shelf(mut self, cache: Cache) -> Self {
        self.shelves.push(cache);
        self
    }

    /// With a folder of archives and manifests.
    #[must_use]
    pub fn folder(self, folder: Option<PathBuf>) -> Self {
        Library { folder, ..self }
    }

    /// With the folder, the bundle and the cache that the environment names.
    #[must_use]
    pub fn of_environment(mut self, vars: &dyn Vars) -> Self {
        let set = |name: &str| vars.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.folder = set("STACKWRIGHT_CHARTS");
        self.shelves.extend(set("STACKWRIGHT_BUNDLE").map(Cache::bundle));
        self.shelves.extend(Cache::place(vars).map(Cache::new));
        self
    }

    /// What charts are told about the cluster, where a lock says it.
    pub fn capabilities(&self) -> Option<&'a LockedCapabilities> {
        self.lock?.capabilities.as_ref()
    }

    /// The disk that everything is on.
    pub fn disk(&self) -> &'a dyn Disk {
        self.disk
    }

    /// What is at hand for `wanted`; `None` where it would have to be fetched.
    ///
    /// # Errors
    /// When the lock is for something else, when a file is not what was locked, when it cannot be read.
    pub fn files(&self, wanted: &Wanted) -> Result<Option<Found>, LibraryError> {
        let beside = |content, digest: Option<&str>, path: &Path| match (&content, digest, &wanted.digest) {
            (_, Some(found), Some(locked)) if found != locked => Err(self.differs(wanted, path, found, locked)),
            _ => Ok(Some(Found { content, version: None, shelf: Shelf::Beside })),
        };
        match &wanted.reference {
            Reference::Directory(path) => return beside(Content::Folder(path.clone()), None, path),
            Reference::Archive(path) | Reference::Manifest(Place::File(path)) => {
                let bytes = self.read(path)?;
                let found = digest(&bytes);
                return beside(Content::Bytes(bytes), Some(&found), path);
            }
            Reference::Download(_)
            | Reference::Repository { .. }
            | Reference::Oci(_)
            | Reference::Git(_)
            | Reference::Manifest(Place::Url(_)) => {}
        }
        let entry = match self.lock.map(|lock| lock.standing(wanted)) {
            Some(Standing::Locked(entry)) => Some(entry),
            Some(Standing::Changed(_, why)) => return Err(LibraryError::Changed { id: wanted.id.clone(), why }),
            Some(Standing::Missing) | None => None,
        };
        if let Some((path, version)) = self.in_folder(wanted, entry.and_then(|entry| entry.version.as_deref()))? {
            let bytes = self.read(&path)?;
            let found = digest(&bytes);
            if let Some(locked) = entry.map(|entry| &entry.digest).or(wanted.digest.as_ref())
                && *locked != found
            {
                return Err(self.differs(wanted, &path, &found, locked));
            }
            return Ok(Some(Found { content: Content::Bytes(bytes), version, shelf: Shelf::Folder }));
        }
        let Some(entry) = entry else { return Ok(None) };
        for shelf in &self.shelves {
            let found = shelf
                .get(self.disk, &entry.digest)
                .map_err(|cause| LibraryError::Unreadable { path: shelf.folder().display().to_string(), cause })?;
            if let Some(bytes) = found {
                let content = Content::Bytes(bytes);
                return Ok(Some(Found { content, version: entry.version.clone(), shelf: Shelf::Lock }));
            }
        }
        Ok(None)
    }

    fn differs(&self, wanted: &Wanted, path: &Path, found: &str, locked: &str) -> LibraryError {
        LibraryError::Digest {
            id: wanted.id.clone(),
            path: path.display().to_string(),
            found: found.to_owned(),
            locked: locked.to_owned(),
        }
    }

    fn read(&self, path: &Path) -> Result<Bytes, LibraryError> {
        let unreadable = |cause| LibraryError::Unreadable { path: path.display().to_string(), cause };
        self.disk.read(path).map(Bytes::from).map_err(unreadable)
    }

    /// The file of the folder that fits best, and its version.
    fn in_folder(
        &self,
        wanted: &Wanted,
        locked: Option<&str>,
    ) -> Result<Option<(PathBuf, Option<String>)>, LibraryError> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let names = self
            .disk
            .list(folder)
            .map_err(|cause| LibraryError::Unreadable { path: folder.display().to_string(), cause })?;
        let requested = locked.or(wanted.version.as_deref());
        let found = if wanted.reference.is_chart() {
            chart_file(&names, wanted.reference.name(), requested)
        } else {
            manifest_file(&names, &wanted.reference, requested)
        };
        Ok(found.map(|(name, version)| (folder.join(name), version)))
    }

    /// What was found damaged since the last time this was asked.
    pub fn notes(&self) -> Vec<String> {
        self.shelves.iter().flat_map(Cache::notes).collect()
    }
}

/// `<name>-<version>.tgz` with the newest version that is asked for.
fn chart_file(names: &[String], chart: &str, requested: Option<&str>) -> Option<(String, Option<String>)> {
    // An archive that is named by its address is looked for under that very name.
    if let Some(name) = names.iter().find(|name| *name == chart) {
        return Some((name.clone(), None));
    }
    let candidates = names.iter().filter_map(|name| {
        let version = name.strip_suffix(".tgz")?.strip_prefix(chart)?.strip_prefix('-')?;
        Some((Version::loose(version)?, name, version))
    });
    // Without a range, pre-releases are not meant.
    let asked = requested.unwrap_or("*");
    let fitting = candidates.filter(|(_, _, version)| satisfies(Some(asked), Some(version)));
    fitting.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, name, version)| (name.clone(), Some(version.to_owned())))
}

/// `<file>`, `<stem>-<version>.yaml` or `<project>-<version>-<file>`, where the project occurs in the address.
fn manifest_file(names: &[String], reference: &Reference, version: Option<&str>) -> Option<(String, Option<String>)> {
    let file = reference.name();
    let found = |name: &String| Some((name.clone(), version.map(str::to_owned)));
    let address = reference.to_string();
    // GitHub's release files have their version in the address.
    let version_of_address = || address.split('/').rev().nth(1).unwrap_or_default();
    let version = version.unwrap_or_else(version_of_address);
    if version.is_empty() {
        return names.iter().find(|name| *name == file).and_then(found);
    }
    if let Some((stem, extension)) = file.rsplit_once('.') {
        let named = format!("{stem}-{version}.{extension}");
        if let Some(name) = names.iter().find(|name| **name == named) {
            return found(name);
        }
    }
    let tail = format!("-{version}-{file}");
    let projects = names.iter().filter_map(|name| Some((name.strip_suffix(&tail)?, name)));
    let fitting = projects.filter(|(project, _)| !project.is_empty() && address.contains(project));
    let best = fitting.max_by_key(|(project, _)| project.len()).map(|(_, name)| name);
    best.or_else(|| names.iter().find(|name| *name == file)).and_then(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::lock::Entry;
    use crate::chart::reference::as_is;
    use crate::env::memory_disk::MemoryDisk;

    fn wanted(reference: &str, version: Option<&str>) -> Wanted {
        Wanted {
            id: "charts.x".to_owned(),
            reference: Reference::chart(reference, None, as_is).expect("a reference"),
            version: version.map(str::to_owned),
            digest: None,
        }
    }

    fn bytes(found: Option<Found>) -> Option<(String, Option<String>, Shelf)> {
        found.map(|found| match found.content {
            Content::Bytes(bytes) => (String::from_utf8_lossy(&bytes).into_owned(), found.version, found.shelf),
            Content::Folder(path) => (path.display().to_string(), found.version, found.shelf),
        })
    }

    #[test]
    fn locked_things_come_from_bundle_or_cache() {
        let disk = MemoryDisk::new();
        let digest = Cache::new("c".into()).put(&disk, b"archive").expect("room");
        let want = wanted("https://a.example/charts#x", Some("^1"));
        let entry = Entry {
            reference: want.reference.to_string(),
            requested: want.version.clone(),
            version: Some("1.2.3".to_owned()),
            digest,
            size: 7,
            address: None,
            commit: None,
        };
        let mut lock = Lock::default();
        lock.entries.insert(want.id.clone(), entry);
        let none = Library::new(&disk).locked(Some(&lock));
        assert_eq!(bytes(none.files(&want).expect("fits")), None);
        let expected = Some(("archive".to_owned(), Some("1.2.3".to_owned()), Shelf::Lock));
        let library =
            Library::new(&disk).locked(Some(&lock)).shelf(Cache::bundle("b".into())).shelf(Cache::new("c".into()));
        assert_eq!(bytes(library.files(&want).expect("fits")), expected);
        assert_eq!(bytes(Library::new(&disk).shelf(Cache::new("c".into())).files(&want).expect("fits")), None);
        let changed = library.files(&wanted("https://a.example/charts#x", Some("^2"))).expect_err("not version 2");
        assert!(changed.to_string().contains("1.2.3 is locked, and ^2 is wanted"), "{changed}");
    }

    #[test]
    fn a_folder_of_archives() {
        let disk = MemoryDisk::new();
        for name in [
            "x-1.2.0.tgz",
            "x-v1.10.0.tgz",
            "x-2.0.0-rc.1.tgz",
            "x-crd-3.0.0.tgz",
            "crds-v1.yaml",
            "api-v1.5.1-install.yaml",
            "other-v1.5.1-install.yaml",
        ] {
            disk.write(&Path::new("f").join(name), name.as_bytes()).expect("room");
        }
        let library = Library::new(&disk).folder(Some("f".into()));
        let name = |want: &Wanted| bytes(library.files(want).expect("readable")).map(|found| found.0);
        let chart = |version| name(&wanted("oci://a.example/x", version));
        assert_eq!(chart(None).as_deref(), Some("x-v1.10.0.tgz"));
        assert_eq!(chart(Some("~1.2")).as_deref(), Some("x-1.2.0.tgz"));
        assert_eq!(chart(Some("1.10.0")).as_deref(), Some("x-v1.10.0.tgz"));
        assert_eq!(chart(Some("2.0.0-rc.1")).as_deref(), Some("x-2.0.0-rc.1.tgz"));
        assert_eq!(chart(Some("3")), None);
        let manifest = |url: &str, version: Option<&str>| {
            let reference = Reference::manifest(url, as_is).expect("an address");
            name(&Wanted { reference, ..wanted("oci://a.example/x", version) })
        };
        assert_eq!(manifest("https://a.example/crds.yaml", Some("v1")).as_deref(), Some("crds-v1.yaml"));
        let release = "https://github.com/o/gateway-api/releases/download/v1.5.1/install.yaml";
        assert_eq!(manifest(release, None).as_deref(), Some("api-v1.5.1-install.yaml"));
        assert_eq!(manifest("https://github.com/o/api/releases/download/v1.6.0/install.yaml", None), None);
    }

    #[test]
    fn a_changed_file_is_refused_with_both_digests() {
        let disk = MemoryDisk::new();
        disk.write(Path::new("f/x-1.0.0.tgz"), b"new").expect("room");
        let demanded = digest(b"old");
        let want = Wanted { digest: Some(demanded.clone()), ..wanted("oci://a.example/x", Some("1.0.0")) };
        let refused = Library::new(&disk).folder(Some("f".into())).files(&want).expect_err("another digest");
        let text = refused.to_string();
        assert!(text.contains(&demanded) && text.contains(&digest(b"new")), "{text}");
    }

    #[test]
    fn what_lies_beside_the_stack_needs_no_lock() {
        let disk = MemoryDisk::new();
        disk.write(Path::new("a.tgz"), b"archive").expect("room");
        let library = Library::new(&disk);
        let found = bytes(library.files(&wanted("a.tgz", None)).expect("readable"));
        assert_eq!(found, Some(("archive".to_owned(), None, Shelf::Beside)));
        let folder = bytes(library.files(&wanted("./mine", None)).expect("readable"));
        assert_eq!(folder, Some(("./mine".to_owned(), None, Shelf::Beside)));
        assert!(matches!(library.files(&wanted("b.tgz", None)), Err(LibraryError::Unreadable { .. })));
    }
}
