//! [`Files`] to an archive that is the same to the byte for the same files, today and with any version of any
//! library: tar headers with nothing but path and size, in gzip without compression.
//!
//! For folders whose content must have a digest. Not for publishing charts.

use super::error::{Cause, ChartError};
use super::files::Files;

/// The longest that a path may be in the two fields that old headers have for it.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// The files below the top folder `name`, in the order of their paths.
///
/// # Errors
/// Where a file is too large for an archive.
pub fn pack(name: &str, files: &Files) -> Result<Vec<u8>, ChartError> {
    let mut tar = Vec::new();
    for (path, bytes) in files.iter() {
        let path = format!("{name}/{path}");
        match split(&path) {
            Some((prefix, last)) => header(&mut tar, prefix, last, bytes.len(), b'0')?,
            None => {
                let record = record("path", &path);
                header(&mut tar, "", "PaxHeaders/path", record.len(), b'x')?;
                body(&mut tar, record.as_bytes());
                // Whoever does not know the record before sees this name.
                header(&mut tar, "", "long-path", bytes.len(), b'0')?;
            }
        }
        body(&mut tar, bytes);
    }
    tar.extend_from_slice(&[0; 1024]);
    Ok(stored(&tar))
}

/// A path in the two fields of a header, if it fits.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME {
        return Some(("", path));
    }
    let fits = |at: &usize| *at <= PREFIX && *at > 0 && path.len() - at - 1 <= NAME && path.len() - at > 1;
    let at = path.match_indices('/').map(|(at, _)| at).find(fits)?;
    Some((&path[..at], &path[at + 1..]))
}

/// A record of an extended header; its length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    loop {
        let whole = rest.len() + length.to_string().len();
        if whole == length {
            return format!("{length}{rest}");
        }
        length = whole;
    }
}

fn header(tar: &mut Vec<u8>, prefix: &str, name: &str, size: usize, kind: u8) -> Result<(), ChartError> {
    if size >= 1 << 33 {
        return Err(ChartError::new(Cause::Archive, "", format!("{name}: too large to be packed")));
    }
    let mut block = [0_u8; 512];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(257, "ustar\u{0}00");
    put(345, prefix);
    block[156] = kind;
    let sum = block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&block);
    Ok(())
}

fn body(tar: &mut Vec<u8>, bytes: &[u8]) {
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Bytes in gzip as they are (RFC 1951, 3.2.4; RFC 1952).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut chunks = bytes.chunks(0xFFFF).peekable();
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
        out.push(u8::from(chunks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    out.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len() & 0xFFFF_FFFF).unwrap_or(0).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::archive;
    use crate::chart::files::Limits;

    #[test]
    fn what_is_packed_is_read_again() {
        let long = |length: usize| format!("templates/{}/x.yaml", "a".repeat(length));
        let deep = format!("{}/x.yaml", vec!["folder"; 60].join("/"));
        let pairs = [
            ("Chart.yaml".to_owned(), b"name: x".to_vec()),
            ("empty".to_owned(), Vec::new()),
            (long(60), vec![b'l'; 512]),
            (long(120), vec![b'm'; 513]),
            (long(300), vec![b'n'; 200_000]),
            (deep, vec![0, 1, 2]),
        ];
        let files = Files::try_from(&pairs[..]).expect("clean paths");
        let packed = pack("x", &files).expect("small");
        assert_eq!(archive::read(&packed, &Limits::default()).expect("an archive"), files);
        assert_eq!(pack("x", &files).expect("small"), packed);
        // Locks hold digests of this: it must never change.
        let small = Files::try_from(&[("Chart.yaml", "name: x")][..]).expect("clean paths");
        let digest = crate::chart::cache::digest(&pack("x", &small).expect("small"));
        assert_eq!(digest, "sha256:7ca3a241ad3fe9e636f3a0848f3b48946d8e9361e636dfb5e4a18ddb5fafde20");
    }
}
