//! Packed charts (`.tgz`) to [`Files`]: bounded in size and count, and nothing that leads out of the chart.
//! Not for what the files mean.

use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::error::{Cause, ChartError};
use super::files::{Files, Limits};

const FOREIGN: &str = "check that this is a chart archive (.tgz), as `helm package` makes it";
const HOSTILE: &str = "the archive is not one that a chart tool makes; do not use it";

fn refuse(message: impl Into<String>) -> ChartError {
    ChartError::new(Cause::Archive, "", message)
}

/// Counts what comes out of the decompression, and stops it.
struct Bounded<R> {
    inner: R,
    left: u64,
}

const TOO_LARGE: &str = "expands beyond the limit";

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(TOO_LARGE))?;
        Ok(count)
    }
}

/// The files of a packed chart, without its one top folder.
///
/// # Errors
/// Where the archive is damaged, holds a link or a path that leads out, or is larger than `limits`.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Files, ChartError> {
    entries(bytes, limits, None)
}

/// The files below one folder of a packed tree that holds much else, such as a repository. `folder` counts
/// from below the one top folder. Files outside of it count towards the limits but are not looked at.
///
/// # Errors
/// As [`read`].
pub fn read_below(bytes: &[u8], folder: &str, limits: &Limits) -> Result<Files, ChartError> {
    entries(bytes, limits, Some(folder.trim_matches('/')))
}

fn entries(bytes: &[u8], limits: &Limits, folder: Option<&str>) -> Result<Files, ChartError> {
    if bytes.len() > limits.packed {
        return Err(refuse(format!("the archive is larger than {} bytes", limits.packed)));
    }
    if !bytes.starts_with(b"\x1F\x8B") {
        return Err(refuse("not a gzip-compressed archive").hint(FOREIGN));
    }
    // Headers and padding are not the files' own bytes.
    let room = limits.total.saturating_add(limits.files as u64 * 2048);
    let mut archive = tar::Archive::new(Bounded { inner: MultiGzDecoder::new(bytes), left: room });
    let broken = |error: io::Error| {
        if error.to_string().contains(TOO_LARGE) {
            return refuse(format!("the archive expands to more than {} bytes", limits.total)).hint(HOSTILE);
        }
        let cut = error.kind() == io::ErrorKind::UnexpectedEof || error.to_string().contains("unexpected EOF");
        let what = if cut { "the archive is cut off" } else { "the archive is damaged" };
        refuse(what).detail(error.to_string()).hint("fetch it again")
    };
    let mut files = Files::new();
    let mut total = 0_u64;
    for (count, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= limits.files {
            return Err(refuse(format!("the archive holds more than {} files", limits.files)).hint(HOSTILE));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = if name.contains('\\') { name.replace('\\', "/") } else { name };
        let inside = match (name.split_once('/'), folder) {
            (Some((_, inside)), None) => inside,
            (None, None) => {
                return Err(refuse(format!("{}: lies beside the chart's folder", name.escape_debug())).hint(FOREIGN));
            }
            (pair, Some(folder)) => match pair.and_then(|(_, rest)| below(rest, folder)) {
                Some(inside) => inside,
                None => continue,
            },
        };
        if kind.is_symlink() || kind.is_hard_link() {
            return Err(refuse(format!("{}: a link, which no chart archive may hold", name.escape_debug()))
                .hint("pack the chart anew with `helm package`, which follows links"));
        }
        if !(kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()) {
            return Err(refuse(format!("{}: neither a file nor a folder", name.escape_debug())).hint(HOSTILE));
        }
        let size = entry.header().size().map_err(broken)?.max(entry.size());
        if size > limits.file {
            return Err(refuse(format!("{}: larger than {} bytes", name.escape_debug(), limits.file)).hint(HOSTILE));
        }
        total += size;
        if total > limits.total {
            return Err(refuse(format!("the archive expands to more than {} bytes", limits.total)).hint(HOSTILE));
        }
        // Read where it stays: what is copied costs more than what is unpacked.
        let size = usize::try_from(size).map_err(|_| refuse("the archive is damaged"))?;
        let mut contents = std::iter::repeat_n(0, size).collect::<Arc<[u8]>>();
        let place = Arc::get_mut(&mut contents).expect("nobody else has it yet");
        entry.read_exact(place).map_err(broken)?;
        files.insert(inside, contents)?;
    }
    // What follows the last entry carries the checksum of the compression.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    if files.is_empty() {
        return Err(match folder {
            Some(folder) => refuse(format!("there is nothing below {folder} in the archive")),
            None => refuse("there are no files in the archive").hint(FOREIGN),
        });
    }
    Ok(files)
}

fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    if folder.is_empty() { Some(path) } else { path.strip_prefix(folder)?.strip_prefix('/') }
}
