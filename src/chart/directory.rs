//! A chart's folder to [`Files`], without what .helmignore hides. Links are followed, as Helm does. Not for
//! archives.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::error::{Cause, ChartError};
use super::files::{Files, Limits};
use super::ignore::Rules;
use super::local;
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

/// As [`read`], with the charts that it names by `file://` and does not hold. These may come from any folder of the
/// smallest tree that holds both the chart and `near`, the folder from which the user named it; where that is all of
/// the disk or the chart itself, from beside the chart.
///
/// # Errors
/// As [`read`], and where such a chart cannot be had.
pub fn read_with_neighbours(disk: &dyn Disk, folder: &Path, near: &Path, limits: &Limits) -> Result<Files, ChartError> {
    let files = read(disk, folder, limits)?;
    let real = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        disk.real_path(path)
            .map_err(|error| refuse(format!("cannot read {}", path.display())).detail(error.to_string()))
    };
    let here = real(folder)?;
    let root = tree(&here, &real(near)?);
    let inside = |path: &Path| {
        let parts = path.strip_prefix(&root).ok()?.components();
        let parts = parts.map(|part| part.as_os_str().to_str()).collect::<Option<Vec<_>>>()?;
        Some(parts.join("/"))
    };
    let Some(place) = inside(&here) else { return Ok(files) };
    let open = |path: &str| {
        let folder = real(&root.join(path))?;
        // A link may lead elsewhere.
        if inside(&folder).is_none() {
            return Err(refuse(format!("{path} is a link that leads out")));
        }
        read(disk, &folder, limits)
    };
    local::complete(files, &place, &open, limits)
}

/// The folder that neighbours may come from.
fn tree(chart: &Path, near: &Path) -> PathBuf {
    let both = chart.components().zip(near.components()).take_while(|(a, b)| a == b).map(|(a, _)| a);
    let common = both.collect::<PathBuf>();
    let is_some_folder = common.components().any(|part| matches!(part, Component::Normal(_)));
    if is_some_folder && common != chart { common } else { chart.parent().unwrap_or(chart).to_owned() }
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
