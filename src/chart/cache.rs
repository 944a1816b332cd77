//! Archives and manifests by their digest: the cache, and bundles for closed networks, which are the same.
//!
//! `<folder>/sha256/<64 digits>`. Written in one step, checked when read; whatever does not have the digest
//! that its name says is thrown away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::chart::lock::is_digest;
use crate::env::disk::Disk;
use crate::env::vars::Vars;

/// The most that a cache holds, in bytes; the oldest go first.
pub const MOST: u64 = 1 << 30;

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

/// A folder of things by their digest.
pub struct Cache {
    folder: PathBuf,
    most: u64,
    notes: Mutex<Vec<String>>,
}

impl Cache {
    /// The cache in `folder`.
    pub fn new(folder: PathBuf) -> Cache {
        Cache { folder, most: MOST, notes: Mutex::default() }
    }

    /// A bundle in `folder`: a cache from which nothing is ever taken away.
    pub fn bundle(folder: PathBuf) -> Cache {
        Cache { most: u64::MAX, ..Cache::new(folder) }
    }

    /// With another bound.
    #[must_use]
    pub fn holding(self, most: u64) -> Cache {
        Cache { most, ..self }
    }

    /// The user's cache: `STACKWRIGHT_CACHE`, `$XDG_CACHE_HOME/stackwright` or `~/.cache/stackwright`.
    pub fn place(vars: &dyn Vars) -> Option<PathBuf> {
        let set = |name: &str| vars.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("STACKWRIGHT_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("stackwright")))
            .or_else(|| set("HOME").or_else(|| set("USERPROFILE")).map(|home| home.join(".cache").join("stackwright")))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, digest: &str) -> Option<PathBuf> {
        // Whatever is no digest must not become a path.
        is_digest(digest).then(|| self.folder.join("sha256").join(digest.trim_start_matches("sha256:")))
    }

    /// What has this digest. A damaged entry is thrown away, noted, and counts as absent.
    ///
    /// # Errors
    /// When the disk refuses to be read.
    pub fn get(&self, disk: &dyn Disk, wanted: &str) -> io::Result<Option<Bytes>> {
        let Some(path) = self.path(wanted) else { return Ok(None) };
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let found = digest(&bytes);
        if found == wanted {
            return Ok(Some(bytes.into()));
        }
        let thrown = match disk.remove(&path) {
            Ok(()) => "It was thrown away.",
            Err(_) => "It is not used.",
        };
        let note = format!("{} is damaged: its content has the digest {found}. {thrown}", path.display());
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        Ok(None)
    }

    /// Whether something of this digest is there; it may be damaged.
    pub fn may_have(&self, disk: &dyn Disk, digest: &str) -> bool {
        self.path(digest).is_some_and(|path| disk.stat(&path).is_ok())
    }

    /// Keeps bytes; returns their digest. Makes room if need be.
    ///
    /// # Errors
    /// When the disk refuses to be written.
    pub fn put(&self, disk: &dyn Disk, bytes: &[u8]) -> io::Result<String> {
        let digest = digest(bytes);
        let path = self.path(&digest).ok_or_else(|| io::Error::other("not a digest"))?;
        disk.write(&path, bytes)?;
        self.make_room(disk, &path)?;
        Ok(digest)
    }

    /// Takes the oldest away until the bound is kept; `newest` stays whatever its size.
    fn make_room(&self, disk: &dyn Disk, newest: &Path) -> io::Result<()> {
        if self.most == u64::MAX {
            return Ok(());
        }
        let folder = self.folder.join("sha256");
        let mut held = Vec::new();
        for name in disk.list(&folder)? {
            let path = folder.join(name);
            // Another run may have removed it since.
            if let Ok(stat) = disk.stat(&path) {
                held.push((stat.modified, path, stat.length));
            }
        }
        held.sort();
        let mut total = held.iter().map(|(_, _, length)| length).sum::<u64>();
        for (_, path, length) in held {
            if total <= self.most {
                break;
            }
            if path != newest {
                disk.remove(&path)?;
                total -= length;
            }
        }
        Ok(())
    }

    /// What was found damaged since the last time this was asked.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::env::memory_disk::MemoryDisk;

    #[test]
    fn kept_by_digest_and_checked_when_read() {
        let (disk, cache) = (MemoryDisk::new(), Cache::new("c".into()));
        let kept = cache.put(&disk, b"chart").expect("room");
        assert_eq!(kept, "sha256:cc57fc1903e444cf6a726490b43b27ee9f87facc037f86872201847c565b45fb");
        assert_eq!(cache.get(&disk, &kept).expect("readable").as_deref(), Some(&b"chart"[..]));
        let path = cache.path(&kept).expect("a digest");
        disk.write(&path, b"chert").expect("room");
        assert!(cache.may_have(&disk, &kept));
        assert_eq!(cache.get(&disk, &kept).expect("readable"), None);
        let notes = cache.notes();
        assert!(
            notes.len() == 1 && notes[0].contains(&digest(b"chert")) && notes[0].contains("thrown away"),
            "{notes:?}"
        );
        assert!(!cache.may_have(&disk, &kept) && cache.notes().is_empty());
    }

    #[test]
    fn what_is_no_digest_is_no_path() {
        let (disk, cache) = (MemoryDisk::new(), Cache::new("c".into()));
        disk.write(Path::new("c/sha256/../../secret"), b"x").expect("room");
        for text in ["", "sha256:", "sha256:../../secret", "md5:00"] {
            assert_eq!(cache.get(&disk, text).expect("readable"), None);
            assert!(!cache.may_have(&disk, text));
        }
    }

    #[test]
    fn the_oldest_make_room() {
        let (disk, cache) = (MemoryDisk::new(), Cache::new("c".into()).holding(25));
        let digests = (0..4u8).map(|of| cache.put(&disk, &[of; 10]).expect("room")).collect::<Vec<_>>();
        let there = digests.iter().map(|digest| cache.may_have(&disk, digest)).collect::<Vec<_>>();
        assert_eq!(there, [false, false, true, true]);
        let big = cache.put(&disk, &[9; 100]).expect("room");
        assert!(cache.may_have(&disk, &big) && !cache.may_have(&disk, &digests[3]));
        let bundle = Cache::bundle("b".into());
        let all = (0..4u8).map(|of| bundle.put(&disk, &[of; 10]).expect("room")).collect::<Vec<_>>();
        assert!(all.iter().all(|digest| bundle.may_have(&disk, digest)));
    }

    #[test]
    fn the_users_cache() {
        let place = |vars: &[(&str, &str)]| {
            let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Cache::place(&vars.collect::<BTreeMap<_, _>>())
        };
        assert_eq!(place(&[("HOME", "/h")]), Some("/h/.cache/stackwright".into()));
        assert_eq!(place(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/stackwright".into()));
        assert_eq!(place(&[("STACKWRIGHT_CACHE", "s"), ("XDG_CACHE_HOME", "/x")]), Some("s".into()));
        assert_eq!(place(&[("STACKWRIGHT_CACHE", ""), ("XDG_CACHE_HOME", "x")]), None);
    }
}
