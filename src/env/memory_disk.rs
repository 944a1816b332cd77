//! A disk in memory that can lose power and run full: for crash tests.
//!
//! What was appended but not synced is lost by [`MemoryDisk::lose_power`], as a real disk may lose it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Timestamp;
use super::disk::{Append, Disk, Entry, Held, Stat};

/// Cheap to clone; clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<PathBuf, File>,
    locked: BTreeSet<PathBuf>,
    /// Bytes that may still be written; `None` for no limit.
    room: Option<usize>,
    /// How many writes there were.
    writes: u64,
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    durable: usize,
    /// Which write to this disk was its last.
    written: u64,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything that was not synced, and all locks.
    pub fn lose_power(&self) {
        let mut inner = self.lock_inner();
        inner.locked.clear();
        for file in inner.files.values_mut() {
            file.bytes.truncate(file.durable);
        }
    }

    /// Lets only this many more bytes be written.
    pub fn limit(&self, room: Option<usize>) {
        self.lock_inner().room = room;
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes as much room as there is for `wanted` bytes.
    fn take_room(&mut self, wanted: usize) -> usize {
        match &mut self.room {
            None => wanted,
            Some(room) => {
                let granted = wanted.min(*room);
                *room -= granted;
                granted
            }
        }
    }
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl Disk for MemoryDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.lock_inner();
        inner.files.get(path).map(|f| f.bytes.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.lock_inner();
        if inner.take_room(bytes.len()) < bytes.len() {
            return Err(full());
        }
        inner.writes += 1;
        let written = inner.writes;
        inner.files.insert(path.to_owned(), File { bytes: bytes.to_vec(), durable: bytes.len(), written });
        Ok(())
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        self.lock_inner().files.entry(path.to_owned()).or_default();
        Ok(Box::new(MemoryAppend { disk: self.clone(), path: path.to_owned() }))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Held>>> {
        if !self.lock_inner().locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(MemoryHeld { disk: self.clone(), path: path.to_owned() })))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let inner = self.lock_inner();
        let names = inner.files.keys().filter_map(|path| path.strip_prefix(directory).ok()?.iter().next());
        let names = names.map(|name| name.to_string_lossy().into_owned()).collect::<BTreeSet<_>>();
        Ok(names.into_iter().collect())
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let inner = self.lock_inner();
        let file = inner.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat { length: file.bytes.len() as u64, modified: Timestamp(file.written) })
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let inner = self.lock_inner();
        match inner.files.get(path) {
            Some(_) => drop(inner),
            None if inner.files.keys().any(|file| file.starts_with(path)) => return Ok(Entry::Folder),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(Entry::File { length: self.read(path)?.len() as u64 })
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.lock_inner().files.remove(path);
        Ok(())
    }
}

struct MemoryAppend {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Append for MemoryAppend {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.lock_inner();
        let granted = inner.take_room(bytes.len());
        inner.writes += 1;
        let written = inner.writes;
        let file = inner.files.entry(self.path.clone()).or_default();
        file.bytes.extend_from_slice(&bytes[..granted]);
        file.written = written;
        if granted < bytes.len() { Err(full()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.disk.lock_inner();
        let file = inner.files.entry(self.path.clone()).or_default();
        file.durable = file.bytes.len();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let mut inner = self.disk.lock_inner();
        let file = inner.files.entry(self.path.clone()).or_default();
        file.bytes.truncate(length);
        file.durable = file.durable.min(length);
        Ok(())
    }
}

struct MemoryHeld {
    disk: MemoryDisk,
    path: PathBuf,
}

impl Held for MemoryHeld {}

impl Drop for MemoryHeld {
    fn drop(&mut self) {
        self.disk.lock_inner().locked.remove(&self.path);
    }
}
