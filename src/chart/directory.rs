//! A chart's folder to [`Files`], without what .helmignore hides. Links are followed, as Helm does. Not for
//! archives.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::{Cause, ChartError};
use super::files::{Files, Limits};
use super::ignore::Rules;
use crate::env::disk::{Disk, Entry};

/// Folders inside of each other.
const MAX_DEPTH: usize = 64;

/// The files of a chart's folder.
///
/// # Errors
/// Where it cannot be read, is larger than `limits`, or a link leads back into itself.
pub fn read(disk: &dyn Disk, folder: &Path, limits: &Limits) -> Result<Files, ChartError> {
    let rules = match disk.read(&folder.join(".helmignore")) {
        Ok(bytes) => Rules::parse(&String::from_utf8_lossy(&bytes))?,
        Err(_) => Rules::parse("")?,
    };
    let mut walk = Walk { disk, rules, limits, files: Files::new(), total: 0, parents: Vec::new() };
    walk.folder(folder, "")?;
    if walk.files.is_empty() {
        return Err(refuse(format!("{} holds no files", folder.display())).hint("name the folder of a chart"));
    }
    Ok(walk.files)
}

fn refuse(message: impl Into<String>) -> ChartError {
    ChartError::new(Cause::Archive, "", message)
}

struct Walk<'d> {
    disk: &'d dyn Disk,
    rules: Rules,
    limits: &'d Limits,
    files: Files,
    total: u64,
    /// The real places of the folders around.
    parents: Vec<PathBuf>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, inside: &str) -> Result<(), ChartError> {
        let failed = |path: &Path, error: std::io::Error| {
            refuse(format!("cannot read {}", path.display())).detail(error.to_string())
        };
        let real = self.disk.real_path(folder).map_err(|error| failed(folder, error))?;
        if self.parents.contains(&real) || self.parents.len() > MAX_DEPTH {
            return Err(refuse(format!("{inside}: folders without end; a link leads back")).hint("remove the link"));
        }
        self.parents.push(real);
        let names = self.disk.list(folder).map_err(|error| failed(folder, error))?;
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            let path = folder.join(&name);
            let inner = if inside.is_empty() { name } else { format!("{inside}/{name}") };
            let entry = self.disk.entry(&path).map_err(|error| failed(&path, error))?;
            if self.rules.ignores(&inner, entry == Entry::Folder) {
                continue;
            }
            match entry {
                Entry::Folder => self.folder(&path, &inner)?,
                Entry::File { length } => {
                    if length > self.limits.file {
                        return Err(refuse(format!("{inner}: larger than {} bytes", self.limits.file))
                            .hint("name it in .helmignore if it is no part of the chart"));
                    }
                    let bytes = self.disk.read(&path).map_err(|error| failed(&path, error))?;
                    self.total += bytes.len() as u64;
                    if self.total > self.limits.total || self.files.len() >= self.limits.files {
                        return Err(refuse(format!("{} holds more than a chart may", folder.display()))
                            .hint("name the folder of one chart, and in its .helmignore what is no part of it"));
                    }
                    self.files.insert(&inner, bytes)?;
                }
                Entry::Other => {
                    return Err(refuse(format!("{inner}: neither a file nor a folder")).hint("remove it"));
                }
            }
        }
        self.parents.pop();
        Ok(())
    }
}
