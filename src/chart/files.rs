//! The files of a chart by path, wherever they came from, and how many and how large they may be. Not for
//! reading archives or folders.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::{Cause, ChartError};

/// What an archive or folder may hold. The sizes of single files and of the whole are Helm's, so that what it
/// takes is taken here.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the packed archive.
    pub packed: usize,
    /// Bytes of all files together.
    pub total: u64,
    /// Bytes of one file.
    pub file: u64,
    /// How many files.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { packed: 50 << 20, total: 100 << 20, file: 5 << 20, files: 20_000 }
    }
}

/// Files by clean relative path with forward slashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Arc<[u8]>>);

impl Files {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file; a byte order mark at its beginning is dropped.
    ///
    /// # Errors
    /// Where the path is not relative and clean.
    pub fn insert(&mut self, path: &str, bytes: impl Into<Arc<[u8]>>) -> Result<(), ChartError> {
        let clean = clean(path)?;
        let mut bytes = bytes.into();
        if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
            bytes = Arc::from(rest);
        }
        self.0.insert(clean, bytes);
        Ok(())
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&Arc<[u8]>> {
        self.0.get(path)
    }

    /// The file at `path` as text; what is not UTF-8 is replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        self.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<[u8]>)> {
        self.0.iter().map(|(path, bytes)| (path.as_str(), bytes))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files below a folder (without slashes around), by their path in it.
    #[must_use]
    pub fn below(&self, folder: &str) -> Files {
        let prefix = format!("{folder}/");
        let inside = self.0.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        Files(inside.map(|(path, bytes)| (path[prefix.len()..].to_owned(), bytes.clone())).collect())
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Arc<[u8]>> {
        self.0.remove(path)
    }

    pub(super) fn put(&mut self, path: String, bytes: Arc<[u8]>) {
        self.0.insert(path, bytes);
    }
}

/// The path in its shortest form.
fn clean(path: &str) -> Result<String, ChartError> {
    let refuse = |why: &str| {
        ChartError::new(Cause::Archive, "", format!("{}: {why}", path.escape_debug()))
            .hint("the archive is not one that a chart tool makes; do not use it")
    };
    if path.starts_with('/') {
        return Err(refuse("an absolute path, which no chart may hold"));
    }
    if path.contains('\0') {
        return Err(refuse("a path with a zero byte, which no chart may hold"));
    }
    let bytes = path.as_bytes();
    if bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && &bytes[1..3] == b":/" {
        return Err(refuse("a path with a drive letter, which no chart may hold"));
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(refuse("a path that leads out of the chart"));
                }
            }
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err(refuse("a file without a name"));
    }
    Ok(parts.join("/"))
}

impl<P: AsRef<str>, B: AsRef<[u8]>> TryFrom<&[(P, B)]> for Files {
    type Error = ChartError;

    fn try_from(pairs: &[(P, B)]) -> Result<Self, ChartError> {
        let mut files = Files::new();
        pairs.iter().try_for_each(|(path, bytes)| files.insert(path.as_ref(), bytes.as_ref()))?;
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_clean_and_stay_inside() {
        let mut files = Files::new();
        files.insert("./a//b/../c.yaml", *b"\xEF\xBB\xBFx").unwrap();
        assert_eq!(files.text("a/c.yaml").as_deref(), Some("x"));
        assert_eq!(files.below("a").text("c.yaml").as_deref(), Some("x"));
        for bad in ["/etc/passwd", "../x", "a/../../x", "c:/x", "", ".", "a\0b"] {
            assert!(files.insert(bad, []).is_err(), "{bad}");
        }
    }
}
