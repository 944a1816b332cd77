//! Files that must survive: atomic writes, durable appends, exclusive locks.
//!
//! Used for state, locks and worlds, where tests need to lose power or run out of space at any point. Reading
//! a user's own stack or manifest files goes through [`Disk::read`] too. Not a general file-system layer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::clock::Timestamp;

/// A file open for appending.
pub trait Append: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// As the file system says; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended so far is on stable storage.
    ///
    /// # Errors
    /// As the file system says; what was appended must then be taken as lost.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `length` bytes.
    ///
    /// # Errors
    /// As the file system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// An exclusive lock on a file, released on drop and by the operating system when the process dies.
pub trait Held: Send + Sync {}

/// What a disk knows of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub length: u64,
    /// When it was last written, by the disk's own clock: for telling older from newer.
    pub modified: Timestamp,
}

/// What there is at a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A plain file.
    File {
        /// Its size in bytes.
        length: u64,
    },
    /// A directory.
    Folder,
    /// A pipe, a device, a socket.
    Other,
}

/// A disk.
pub trait Disk: Send + Sync {
    /// The whole file.
    ///
    /// # Errors
    /// `NotFound` and whatever else the file system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Replaces the file in one step, durably and readable by its owner only; parents are created.
    ///
    /// # Errors
    /// As the file system says; the old contents are then intact.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Opens for appending, creating file (owner only) and parents.
    ///
    /// # Errors
    /// As the file system says.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn Append>>;

    /// Takes an exclusive lock without waiting; `None` when somebody else holds it.
    ///
    /// # Errors
    /// As the file system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Held>>>;

    /// Names of the entries of a directory, sorted; empty when there is no such directory.
    ///
    /// # Errors
    /// As the file system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// How big a file is, and when it was last written.
    ///
    /// # Errors
    /// `NotFound` and whatever else the file system says.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// What there is at `path`.
    ///
    /// # Errors
    /// `NotFound` and whatever else the file system says.
    fn entry(&self, path: &Path) -> io::Result<Entry>;

    /// The path with all links followed: the same for two ways to one place.
    ///
    /// # Errors
    /// As the file system says.
    fn real_path(&self, path: &Path) -> io::Result<PathBuf>;

    /// Removes a file; absent is fine.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a rename or a new name durable. Directories cannot be opened on Windows, where it is not needed.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Disk for RealDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let parent = parent_of(path);
        fs::create_dir_all(&parent)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = parent.join(name);
        let result = owner_only(OpenOptions::new().write(true).create(true).truncate(true))
            .open(&temporary)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&temporary, path))
            .and_then(|()| sync_directory(&parent));
        if result.is_err() {
            fs::remove_file(&temporary).ok();
        }
        result
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn Append>> {
        let parent = parent_of(path);
        fs::create_dir_all(&parent)?;
        let existed = path.exists();
        let file = owner_only(OpenOptions::new().append(true).create(true)).open(path)?;
        if !existed {
            sync_directory(&parent)?;
        }
        Ok(Box::new(RealAppend(file)))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Held>>> {
        fs::create_dir_all(parent_of(path))?;
        let file = owner_only(OpenOptions::new().write(true).create(true).truncate(false)).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealHeld(file)))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = entries
            .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let found = fs::metadata(path)?;
        let since = found.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let modified = Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Ok(Stat { length: found.len(), modified })
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let metadata = fs::metadata(path)?;
        Ok(if metadata.is_dir() {
            Entry::Folder
        } else if metadata.is_file() {
            Entry::File { length: metadata.len() }
        } else {
            Entry::Other
        })
    }

    fn real_path(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Writes a document of the user's (a stack file, a report) in one step, with the permissions that it has or
/// that new files get. State and keys go through [`Disk::write`] instead.
///
/// # Errors
/// As the file system says; the old contents are then intact.
pub fn write_document(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent_of(path);
    fs::create_dir_all(&parent)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = parent.join(name);
    let result = fs::write(&temporary, bytes).and_then(|()| {
        if let Ok(existing) = fs::metadata(path) {
            fs::set_permissions(&temporary, existing.permissions())?;
        }
        fs::rename(&temporary, path)
    });
    if result.is_err() {
        fs::remove_file(&temporary).ok();
    }
    result
}

struct RealAppend(File);

impl Append for RealAppend {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_all()
    }
}

struct RealHeld(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Held for RealHeld {}
