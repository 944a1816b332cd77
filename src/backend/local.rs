//! State in a directory: `snapshot`, `journal`, `lock`, and journals that were folded under `history/`. The files
//! are the owner's only (0600).
//!
//! The lock is the operating system's and goes with the process; the file's text only says who has it.
//! See `docs/state-format.md` for the bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{BackendError, Session};
use crate::env::disk::{Append, Disk, Held};
use crate::env::process;
use crate::state::codec;
use crate::state::history::{self, Chapter};
use crate::state::model::State;
use crate::state::transition::Transition;

/// How often the text is looked at that says who has the lock, when it names nobody who runs.
const HOLDER_LOOKS: usize = 20;

/// The time between two looks.
const HOLDER_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// A journal is folded into the snapshot once it is this many bytes and larger than the snapshot, so that
/// folding costs a constant share of what was written.
const FOLD_AFTER: usize = 64 * 1024;

/// Folded journals that are kept, to go back to.
const KEPT: usize = 10;

/// One stack's directory.
pub struct LocalBackend {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    stack: String,
}

impl LocalBackend {
    /// The state of `stack` in `directory` (which need not exist).
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, stack: &str) -> Self {
        LocalBackend { disk, directory: directory.to_owned(), stack: stack.to_owned() }
    }

    /// Where it is, for messages.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads without locking: for commands that change nothing.
    ///
    /// # Errors
    /// When the files cannot be read or are damaged.
    pub fn read(&self) -> Result<State, BackendError> {
        self.inspect().map(|(state, _)| state)
    }

    /// Reads without locking, with a message when the journal ends in an unfinished record.
    ///
    /// # Errors
    /// As [`LocalBackend::read`].
    pub fn inspect(&self) -> Result<(State, Option<String>), BackendError> {
        let loaded = self.load()?;
        let torn = loaded.journal_length - loaded.intact;
        let note = (torn > 0).then(|| {
            let journal = self.directory.join("journal");
            format!("{}: the last {torn} bytes are an unfinished record and are not read", journal.display())
        });
        Ok((loaded.state, note))
    }

    /// Who has the lock; `None` when nobody has.
    ///
    /// # Errors
    /// When the lock cannot be tried.
    pub fn holder(&self) -> Result<Option<String>, BackendError> {
        let path = self.directory.join("lock");
        if self.disk.entry(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let tried = self.disk.lock(&path);
        let held =
            tried.map_err(|error| BackendError::Storage { what: "lock", place: path.display().to_string(), error })?;
        if held.is_some() {
            return Ok(None);
        }
        Ok(Some(self.named_holder()))
    }

    /// Whoever has the lock, by the text beside it. Between taking the one and writing the other, it is missing or
    /// names a run that is over.
    fn named_holder(&self) -> String {
        for _ in 0..HOLDER_LOOKS {
            let text = self.disk.read(&self.directory.join("holder")).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            let pid = text.strip_prefix("process ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
            // Where processes cannot be seen, the text is believed.
            let is_over = pid.is_some_and(|pid| process::realm().is_some() && !process::is_alive(pid));
            if !text.is_empty() && !is_over {
                return text;
            }
            std::thread::sleep(HOLDER_PAUSE);
        }
        "another process".to_owned()
    }

    /// Takes the lock and opens the history for writing.
    ///
    /// # Errors
    /// [`BackendError::Locked`] when another run has it, and as [`LocalBackend::read`].
    pub fn open(&self, holder: &str) -> Result<LocalSession, BackendError> {
        let held = self.lock(holder)?;
        let loaded = self.load()?;
        let journal_path = self.directory.join("journal");
        let journal = self.disk.open_append(&journal_path);
        let mut journal = journal.map_err(|error| self.storage("open", &journal_path, error))?;
        let mut notes = Vec::new();
        if loaded.intact < loaded.journal_length {
            let cut = journal.truncate(loaded.intact as u64);
            cut.map_err(|error| self.storage("cut", &journal_path, error))?;
            notes.push(format!(
                "{}: cut {} bytes of an unfinished record left by an interrupted write",
                journal_path.display(),
                loaded.journal_length - loaded.intact
            ));
        }
        Ok(LocalSession {
            disk: self.disk.clone(),
            directory: self.directory.clone(),
            state: loaded.state,
            journal,
            journal_length: loaded.intact,
            snapshot_length: loaded.snapshot_length,
            notes,
            broken: false,
            holder: Some(holder.to_owned()),
            _held: held,
        })
    }

    /// Everything that can be read of what the state was, oldest first: also where the state itself is damaged.
    ///
    /// # Errors
    /// When a file is there and the disk does not give it out.
    pub fn chapters(&self) -> Result<Vec<Chapter>, BackendError> {
        let folder = self.directory.join("history");
        let names = self.disk.list(&folder).map_err(|error| self.storage("read", &folder, error))?;
        let mut chapters = Vec::new();
        for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let Some(bytes) = self.file(&Path::new("history").join(name))? else { continue };
            // The first of a history has no snapshot to begin with.
            let end = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            chapters.extend(match codec::decode_snapshot(&bytes[..end]) {
                Ok(base) => Some(Chapter { base, journal: bytes[end..].to_vec() }),
                Err(_) if name.bytes().all(|byte| byte == b'0') => {
                    Some(Chapter { base: State::empty(&self.stack), journal: bytes })
                }
                Err(_) => None,
            });
        }
        let journal = self.file(Path::new("journal"))?.unwrap_or_default();
        let snapshot = self.file(Path::new("snapshot"))?;
        let base = snapshot.and_then(|bytes| codec::decode_snapshot(&bytes).ok());
        // Where the snapshot is damaged, the end of the last chapter says the same.
        let base = base.or_else(|| history::last(&chapters)).unwrap_or_else(|| State::empty(&self.stack));
        chapters.push(Chapter { base, journal });
        Ok(chapters)
    }

    /// Puts `state` in the place of one that cannot be read. What is there is kept beside it, under a name that is
    /// returned.
    ///
    /// # Errors
    /// [`BackendError::Locked`] when another run has it; when the disk refuses.
    pub fn repair(&self, holder: &str, state: &State) -> Result<Vec<PathBuf>, BackendError> {
        let _held = self.lock(holder)?;
        let mut aside = Vec::new();
        let mut highest = state.serial;
        for name in ["snapshot", "journal"] {
            let Some(bytes) = self.file(Path::new(name))?.filter(|bytes| !bytes.is_empty()) else { continue };
            highest = highest.max(codec::highest_serial(&bytes));
            let mut number = 1;
            let free = loop {
                let path = self.directory.join(format!("{name}.damaged-{number}"));
                if self.disk.stat(&path).is_err() {
                    break path;
                }
                number += 1;
            };
            self.disk.write(&free, &bytes).map_err(|error| self.storage("write", &free, error))?;
            aside.push(free);
        }
        let state = State { serial: highest + 1, departed: None, ..state.clone() };
        let path = self.directory.join("snapshot");
        let written = self.disk.write(&path, &codec::encode_snapshot(&state));
        written.map_err(|error| self.storage("write", &path, error))?;
        let path = self.directory.join("journal");
        self.disk.write(&path, b"").map_err(|error| self.storage("write", &path, error))?;
        Ok(aside)
    }

    fn storage(&self, what: &'static str, path: &Path, error: io::Error) -> BackendError {
        BackendError::Storage { what, place: path.display().to_string(), error }
    }

    /// The contents of a file of the directory; `None` when it is not there.
    fn file(&self, name: &Path) -> Result<Option<Vec<u8>>, BackendError> {
        let path = self.directory.join(name);
        match self.disk.read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.storage("read", &path, error)),
        }
    }

    fn lock(&self, holder: &str) -> Result<Box<dyn Held>, BackendError> {
        let lock_path = self.directory.join("lock");
        let held = self.disk.lock(&lock_path).map_err(|error| self.storage("lock", &lock_path, error))?;
        let holder_path = self.directory.join("holder");
        let Some(held) = held else {
            let holder = self.named_holder();
            return Err(BackendError::Locked { stack: self.stack.clone(), holder });
        };
        let written = self.disk.write(&holder_path, holder.as_bytes());
        written.map_err(|error| self.storage("write", &holder_path, error))?;
        Ok(held)
    }

    fn load(&self) -> Result<Loaded, BackendError> {
        let read = |name: &str| self.file(Path::new(name));
        let damaged = |name: &str| {
            let place = self.directory.join(name).display().to_string();
            move |error| BackendError::Damaged { place, error }
        };
        let snapshot = read("snapshot")?;
        let mut state = match &snapshot {
            Some(bytes) => codec::decode_snapshot(bytes).map_err(damaged("snapshot"))?,
            None => State::empty(&self.stack),
        };
        if state.stack != self.stack {
            return Err(BackendError::OtherStack {
                place: self.directory.display().to_string(),
                found: state.stack,
                wanted: self.stack.clone(),
            });
        }
        let journal = read("journal")?.unwrap_or_default();
        let replayed = codec::replay(&mut state, &journal).map_err(damaged("journal"))?;
        Ok(Loaded {
            state,
            intact: replayed.intact,
            journal_length: journal.len(),
            snapshot_length: snapshot.map_or(0, |bytes| bytes.len()),
        })
    }
}

struct Loaded {
    state: State,
    intact: usize,
    journal_length: usize,
    snapshot_length: usize,
}

/// The open history of a [`LocalBackend`].
pub struct LocalSession {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    state: State,
    journal: Box<dyn Append>,
    journal_length: usize,
    snapshot_length: usize,
    notes: Vec<String>,
    broken: bool,
    /// Who writes, until the records say so.
    holder: Option<String>,
    _held: Box<dyn Held>,
}

impl LocalSession {
    fn failed(&mut self, what: &'static str, name: &str, error: io::Error) -> BackendError {
        self.broken = true;
        BackendError::Storage { what, place: self.directory.join(name).display().to_string(), error }
    }

    /// Keeps what is about to be folded. A crash after it leaves a chapter that the next fold writes again, longer.
    fn keep(&self) -> io::Result<()> {
        let read = |name: &str| match self.disk.read(&self.directory.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        };
        let mut bytes = read("snapshot")?;
        let base = codec::decode_snapshot(&bytes).map_or(0, |state| state.serial);
        bytes.extend(read("journal")?);
        let folder = self.directory.join("history");
        self.disk.write(&folder.join(format!("{base:016}")), &bytes)?;
        let names = self.disk.list(&folder)?;
        for old in &names[..names.len().saturating_sub(KEPT)] {
            self.disk.remove(&folder.join(old))?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Session for LocalSession {
    fn state(&self) -> &State {
        &self.state
    }

    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), BackendError> {
        if transitions.is_empty() {
            return Ok(());
        }
        if self.broken {
            let error = io::Error::other("an earlier write failed");
            return Err(self.failed("append to", "journal", error));
        }
        let mut bytes = Vec::new();
        for transition in &transitions {
            if let Err(illegal) = self.state.apply(transition) {
                // Memory is ahead of the disk now; nothing may follow.
                self.broken = true;
                return Err(illegal.into());
            }
            codec::encode_record_of(self.holder.as_deref(), self.state.serial, transition, &mut bytes);
            self.holder = None;
        }
        if let Err(error) = self.journal.append(&bytes).and_then(|()| self.journal.sync()) {
            return Err(self.failed("append to", "journal", error));
        }
        self.journal_length += bytes.len();
        Ok(())
    }

    async fn compact(&mut self) -> Result<(), BackendError> {
        if self.broken || self.journal_length < FOLD_AFTER.max(self.snapshot_length) {
            return Ok(());
        }
        if let Err(error) = self.keep() {
            return Err(self.failed("write", "history", error));
        }
        let snapshot = codec::encode_snapshot(&self.state);
        if let Err(error) = self.disk.write(&self.directory.join("snapshot"), &snapshot) {
            return Err(self.failed("write", "snapshot", error));
        }
        // A crash here leaves records that the snapshot already holds; replay passes them over.
        if let Err(error) = self.journal.truncate(0) {
            return Err(self.failed("cut", "journal", error));
        }
        (self.snapshot_length, self.journal_length) = (snapshot.len(), 0);
        Ok(())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::disk::RealDisk;
    use crate::state::transition::Transition;

    /// A local session never waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        futures_util::FutureExt::now_or_never(future).expect("ready at once")
    }

    fn begin() -> Transition {
        Transition::Begin { lineage: "l".into(), stack_id: "0123456789abcdef".into() }
    }

    #[test]
    fn a_second_run_is_refused_by_name_and_admitted_later() {
        let directory = tempfile::tempdir().expect("tempdir");
        let backend = LocalBackend::new(Arc::new(RealDisk), directory.path(), "demo");
        let mut session = backend.open("pid 1 `apply`").expect("first");
        now(session.commit(vec![begin()])).expect("commit");
        match backend.open("pid 2") {
            Err(BackendError::Locked { holder, .. }) => assert_eq!(holder, "pid 1 `apply`"),
            other => panic!("{:?}", other.err()),
        }
        assert_eq!(backend.read().expect("readable meanwhile").serial, 1);
        assert_eq!(backend.holder().expect("tried").as_deref(), Some("pid 1 `apply`"));
        drop(session);
        assert_eq!(backend.open("pid 2").expect("free again").state().serial, 1);
    }

    #[test]
    fn a_torn_record_is_cut_with_a_note_and_damage_is_refused() {
        let directory = tempfile::tempdir().expect("tempdir");
        let backend = LocalBackend::new(Arc::new(RealDisk), directory.path(), "demo");
        now(backend.open("x").expect("open").commit(vec![begin()])).expect("commit");
        let path = directory.path().join("journal");
        let whole = std::fs::read(&path).expect("read");
        let mut torn = whole.clone();
        torn.extend_from_slice(b"deadbeef {\"serial\":2,");
        std::fs::write(&path, &torn).expect("write");
        let session = backend.open("x").expect("mended");
        assert_eq!(session.notes().len(), 1);
        drop(session);
        assert_eq!(std::fs::read(&path).expect("read"), whole);
        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        damaged.extend_from_slice(&whole);
        std::fs::write(&path, &damaged).expect("write");
        assert!(matches!(backend.open("x"), Err(BackendError::Damaged { .. })));
    }

    #[test]
    fn folding_keeps_the_state() {
        let directory = tempfile::tempdir().expect("tempdir");
        let backend = LocalBackend::new(Arc::new(RealDisk), directory.path(), "demo");
        let mut session = backend.open("x").expect("open");
        now(session.commit(vec![begin()])).expect("commit");
        let outputs = (0..4000).map(|n| (format!("output-{n}"), crate::value::Value::from(n))).collect();
        now(session.commit(vec![Transition::Outputs(outputs)])).expect("commit");
        let before = session.state().clone();
        now(session.compact()).expect("fold");
        drop(session);
        assert_eq!(std::fs::metadata(directory.path().join("journal")).expect("journal").len(), 0);
        assert_eq!(backend.read().expect("read"), before);
    }

    #[test]
    fn what_was_folded_is_kept_for_a_while() {
        let directory = tempfile::tempdir().expect("tempdir");
        let backend = LocalBackend::new(Arc::new(RealDisk), directory.path(), "demo");
        let outputs = |run: usize| {
            let outputs = (0..4000).map(|n| (format!("output-{n}"), crate::value::Value::from((n + run) as i64)));
            Transition::Outputs(outputs.collect())
        };
        for run in 0..15 {
            let mut session = backend.open(&format!("run {run}")).expect("open");
            let first = session.state().is_new().then(begin);
            now(session.commit(first.into_iter().chain([outputs(run), outputs(run + 1)]).collect())).expect("commit");
            now(session.compact()).expect("fold");
        }
        let chapters = backend.chapters().expect("readable");
        let runs = crate::state::history::runs(&chapters);
        assert_eq!(chapters.len(), KEPT + 1);
        let told = runs.iter().filter_map(|run| run.holder.as_deref()).collect::<Vec<_>>();
        assert_eq!((told.first(), told.last()), (Some(&"run 5"), Some(&"run 14")), "{told:?}");
        let last = backend.read().expect("read");
        assert_eq!(last.serial, 31);
        let earlier = crate::state::history::at(&chapters, 30).expect("kept");
        assert_eq!(Transition::Outputs(earlier.outputs), outputs(14));
        // Not even a damaged journal takes that away.
        std::fs::write(directory.path().join("journal"), b"rubbish\nmore rubbish\n").expect("write");
        assert!(matches!(backend.read(), Err(BackendError::Damaged { .. })));
        assert_eq!(crate::state::history::last(&backend.chapters().expect("readable")), Some(last.clone()));
        let aside = backend.repair("mender", &last).expect("repaired");
        assert_eq!(aside.len(), 2, "{aside:?}");
        let mended = backend.read().expect("read");
        assert!(mended.agrees(&last) && mended.serial == 32, "{}", mended.serial);
        // Nor an empty snapshot.
        let mut session = backend.open("x").expect("open");
        now(session.commit(vec![Transition::Outputs(std::collections::BTreeMap::new())])).expect("commit");
        let last = session.state().clone();
        drop(session);
        std::fs::write(directory.path().join("snapshot"), b"").expect("write");
        assert!(matches!(backend.read(), Err(BackendError::Damaged { .. })));
        let chapters = backend.chapters().expect("readable");
        assert_eq!(crate::state::history::at(&chapters, 31).map(|state| state.serial), Some(31));
        std::fs::write(directory.path().join("journal"), b"").expect("write");
        std::fs::remove_dir_all(directory.path().join("history")).expect("removed");
        assert_eq!(crate::state::history::last(&backend.chapters().expect("readable")), None);
        assert_ne!(last.serial, 31);
    }

    #[test]
    fn a_full_disk_stops_the_run_and_loses_nothing() {
        let disk = crate::env::memory_disk::MemoryDisk::new();
        let backend = LocalBackend::new(Arc::new(disk.clone()), Path::new("state"), "demo");
        let mut session = backend.open("x").expect("open");
        now(session.commit(vec![begin()])).expect("commit");
        for room in 0..40 {
            disk.limit(Some(room));
            let outputs = (0..4).map(|n| (format!("output-{n}"), crate::value::Value::from(n))).collect();
            let failed = now(session.commit(vec![Transition::Outputs(outputs)]));
            assert!(matches!(failed, Err(BackendError::Storage { .. })), "{room}");
            // Nothing may follow a write that failed.
            disk.limit(None);
            assert!(now(session.commit(vec![Transition::Outputs(std::collections::BTreeMap::new())])).is_err());
            drop(session);
            session = backend.open("x").expect("mended");
            assert_eq!(session.state().serial, 1, "{room}");
        }
        now(session.commit(vec![Transition::Outputs(std::collections::BTreeMap::new())])).expect("there is room again");
    }
}
