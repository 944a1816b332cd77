//! A folder of a Git repository, from the archive that the repository's host makes of a revision.
//!
//! Hosts do not promise that the same revision gives the same archive to the byte, so the folder is packed
//! again, by [`pack`], and that is what is locked.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::transport::Transport;
use super::{Fault, SourceError};
use crate::chart::archive;
use crate::chart::error::ChartError;
use crate::chart::files::{self, Files};
use crate::chart::ignore::Rules;
use crate::chart::local;
use crate::chart::pack::pack;
use crate::chart::reference::Git;

/// A folder at a revision.
pub(super) struct Folder {
    /// Its files as a chart's archive.
    pub packed: Bytes,
    /// The commit, where the archive says which it was made of.
    pub commit: Option<String>,
}

/// Files of a repository; those of charts are far fewer, but everything in the archive is walked over.
const FILES: usize = 500_000;

pub(super) async fn fetch(transport: &Transport, git: &Git, revision: &str) -> Result<Folder, SourceError> {
    let answer = transport.fetch(&git.archive(revision), transport.limits.repository).await?;
    let odd = |why: String| {
        let text = format!("{git} is not a chart");
        SourceError::new(Fault::Odd, text).detail(why).hint("check folder and revision")
    };
    let limits = files::Limits {
        packed: answer.body.len(),
        total: transport.limits.unpacked,
        files: FILES,
        ..files::Limits::default()
    };
    let found = archive::read_below(&answer.body, &git.folder, &limits).map_err(|error| odd(error.to_string()))?;
    if found.get("Chart.yaml").is_none() {
        return Err(odd("There is no Chart.yaml in it.".to_owned()));
    }
    // What it names by file:// lies in the same repository.
    let open = |folder: &str| {
        let found = archive::read_below(&answer.body, folder, &limits)?;
        without_ignored(&found)
    };
    let found = without_ignored(&found)
        .and_then(|found| local::complete(found, git.folder.trim_matches('/'), &open, &files::Limits::default()))
        .map_err(|error| odd(error.to_string()))?;
    let packed = pack(git.folder_name(), &found).map_err(|error| odd(error.to_string()))?;
    Ok(Folder { packed: packed.into(), commit: commit(&answer.body) })
}

/// The files that .helmignore leaves, as packing a folder does.
fn without_ignored(files: &Files) -> Result<Files, ChartError> {
    let rules = Rules::parse(&files.text(".helmignore").unwrap_or_default())?;
    let mut left = Files::new();
    for (path, bytes) in files.iter() {
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        if !folders.any(|folder| rules.ignores(folder, true)) && !rules.ignores(path, false) {
            left.insert(path, bytes.clone())?;
        }
    }
    Ok(left)
}

/// `git archive` begins with a global header whose comment is the commit.
fn commit(archive: &[u8]) -> Option<String> {
    let mut head = Vec::new();
    MultiGzDecoder::new(archive).take(2048).read_to_end(&mut head).ok();
    let global = head.get(156) == Some(&b'g');
    let text = String::from_utf8_lossy(head.get(512..1024)?).into_owned();
    let (_, rest) = text.split_once(" comment=").filter(|_| global)?;
    let commit = rest.split('\n').next()?;
    let good = matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| commit.to_owned())
}
