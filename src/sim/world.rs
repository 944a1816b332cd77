//! The world's memory: every document of the simulator, kept in an append-only log so that a killed process
//! loses nothing it has answered for.
//!
//! A write reaches the operating system before the request that made it is answered; surviving a power cut
//! is not wanted (the cloud here is a toy). Knows nothing of what the documents mean.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;

use crate::env::clock::{SharedClock, Timestamp};
use crate::env::disk::{Append, Disk, Held};

/// Documents by section (`google`, `kube/<cluster id>`, …) and key. `BTreeMap` order.
type Sections = BTreeMap<String, BTreeMap<String, Arc<Json>>>;

/// A world, open for one process at a time.
pub struct World {
    directory: Option<PathBuf>,
    inner: Mutex<Inner>,
    _held: Option<Box<dyn Held>>,
}

struct Inner {
    sections: Sections,
    log: Option<Box<dyn Append>>,
    /// The first write that failed; from then on the world refuses requests rather than forget.
    broken: Option<String>,
    /// Whose time is noted with the writes.
    clock: Option<SharedClock>,
    /// The time last noted.
    noted: Timestamp,
}

/// Why a world did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the world in {0} is in use by another process")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("cannot open the world in {0}")]
    Io(PathBuf, #[source] io::Error),
}

const LOG: &str = "world.jsonl";

impl World {
    /// A world without a directory, forgotten at exit.
    pub fn in_memory() -> Arc<Self> {
        let inner =
            Inner { sections: Sections::new(), log: None, broken: None, clock: None, noted: Timestamp::default() };
        Arc::new(World { directory: None, inner: Mutex::new(inner), _held: None })
    }

    /// Opens or creates the world in `directory`, compacting its log.
    ///
    /// # Errors
    /// When another process has it open or the file system refuses. A torn last line is cut, not an error.
    pub fn open(disk: &dyn Disk, directory: &Path) -> Result<Arc<Self>, OpenError> {
        let failed = |error| OpenError::Io(directory.to_owned(), error);
        let held = disk.lock(&directory.join("lock")).map_err(failed)?;
        let held = held.ok_or_else(|| OpenError::InUse(directory.to_owned()))?;
        let path = directory.join(LOG);
        let bytes = match disk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut sections = Sections::new();
        for line in bytes.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n")) {
            let Ok((section, key, document)) = serde_json::from_slice::<(String, String, Json)>(line) else { continue };
            let documents = sections.entry(section).or_default();
            if document.is_null() {
                documents.remove(&key);
            } else {
                documents.insert(key, Arc::new(document));
            }
        }
        let mut compact = Vec::new();
        for (section, documents) in &sections {
            for (key, document) in documents {
                line(&mut compact, section, key, document);
            }
        }
        disk.write(&path, &compact).map_err(failed)?;
        let log = Some(disk.open_append(&path).map_err(failed)?);
        let inner = Inner { sections, log, broken: None, clock: None, noted: Timestamp::default() };
        Ok(Arc::new(World { directory: Some(directory.to_owned()), inner: Mutex::new(inner), _held: Some(held) }))
    }

    /// Where it lives, if anywhere.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// All documents of a section.
    pub fn section(&self, section: &str) -> BTreeMap<String, Arc<Json>> {
        self.lock().sections.get(section).cloned().unwrap_or_default()
    }

    /// The names of all sections that start with `prefix`.
    pub fn sections(&self, prefix: &str) -> Vec<String> {
        let inner = self.lock();
        inner
            .sections
            .iter()
            .filter(|(name, d)| name.starts_with(prefix) && !d.is_empty())
            .map(|(n, _)| n.clone())
            .collect()
    }

    /// One document.
    pub fn get(&self, section: &str, key: &str) -> Option<Arc<Json>> {
        self.lock().sections.get(section)?.get(key).cloned()
    }

    /// Writes a document.
    pub fn put(&self, section: &str, key: &str, document: Json) {
        self.write(section, key, Some(Arc::new(document)));
    }

    /// Removes a document.
    pub fn remove(&self, section: &str, key: &str) {
        self.write(section, key, None);
    }

    /// Removes a whole section.
    pub fn remove_section(&self, section: &str) {
        for key in self.section(section).into_keys() {
            self.remove(section, &key);
        }
    }

    /// The simulated time at which the world was last seen, to go on from.
    pub fn time(&self) -> Option<Timestamp> {
        self.get("clock", "now")?.as_u64().map(Timestamp)
    }

    /// Notes the simulated time.
    pub fn set_time(&self, now: Timestamp) {
        self.put("clock", "now", Json::from(now.0));
    }

    /// From now on every write notes the time of `clock` too, at most once per second of it, so that a
    /// process that is killed goes on from where the documents are.
    pub fn keep_time(&self, clock: SharedClock) {
        self.lock().clock = Some(clock);
    }

    /// The first failed write, if there was one.
    pub fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    fn write(&self, section: &str, key: &str, document: Option<Arc<Json>>) {
        let mut inner = self.lock();
        let mut bytes = Vec::new();
        if let Some(now) = inner.clock.as_ref().map(|clock| clock.now())
            && now.since(inner.noted).as_secs() >= 1
        {
            inner.noted = now;
            let now = Arc::new(Json::from(now.0));
            line(&mut bytes, "clock", "now", &now);
            inner.sections.entry("clock".to_owned()).or_default().insert("now".to_owned(), now);
        }
        line(&mut bytes, section, key, document.as_deref().unwrap_or(&Json::Null));
        if let Some(log) = &mut inner.log
            && let Err(error) = log.append(&bytes)
            && inner.broken.is_none()
        {
            inner.broken = Some(error.to_string());
        }
        let documents = inner.sections.entry(section.to_owned()).or_default();
        match document {
            Some(document) => documents.insert(key.to_owned(), document),
            None => documents.remove(key),
        };
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(out: &mut Vec<u8>, section: &str, key: &str, document: &Json) {
    // Serialising strings and JSON into memory cannot fail.
    serde_json::to_writer(&mut *out, &(section, key, document)).expect("memory accepts writes");
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::RealDisk;

    #[test]
    fn survives_reopening_and_a_torn_line() {
        let directory = tempfile::tempdir().expect("tempdir");
        let world = World::open(&RealDisk, directory.path()).expect("open");
        world.put("a", "x", Json::from(1));
        world.put("a", "y", Json::from(2));
        world.remove("a", "x");
        assert!(matches!(World::open(&RealDisk, directory.path()), Err(OpenError::InUse(_))));
        drop(world);
        let log = directory.path().join(LOG);
        let mut bytes = RealDisk.read(&log).expect("read");
        bytes.extend_from_slice(b"[\"a\",\"z\",{\"torn");
        RealDisk.write(&log, &bytes).expect("write");
        let world = World::open(&RealDisk, directory.path()).expect("reopen");
        assert_eq!(world.section("a").keys().collect::<Vec<_>>(), ["y"]);
    }
}
