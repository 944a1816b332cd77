//! Which files belong to a stack, and who holds them.
//!
//! State lives in `state/<name>/` of the project that the stack file is part of: the folder of the file, or
//! its parent when that folder is called `stacks`. With `--sim` everything lives in the world instead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::env::disk::Disk;
use crate::env::random::Random;
use crate::env::vars::Vars;

/// The project folder of a stack file.
pub fn project(stack_file: &Path) -> PathBuf {
    let parent = match stack_file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if parent.file_name().is_some_and(|name| name == "stacks") {
        return match parent.parent() {
            Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
            _ => PathBuf::from("."),
        };
    }
    parent
}

/// The default world of a stack file.
pub fn world(stack_file: &Path) -> PathBuf {
    project(stack_file).join("state").join(".sim")
}

/// The folder of a stack's state: of the project, or of a world.
pub fn state(stack_file: &Path, world: Option<&Path>, stack: &str) -> PathBuf {
    match world {
        Some(world) => world.join("state").join(stack),
        None => project(stack_file).join("state").join(stack),
    }
}

/// The last receipt of a destroy, beside the state.
pub fn receipt(stack_file: &Path, world: Option<&Path>, stack: &str) -> PathBuf {
    let beside = state(stack_file, world, stack);
    beside.with_file_name(format!("{stack}.receipt.json"))
}

/// Who takes a lock, for the message that somebody else will read.
pub fn holder(vars: &dyn Vars, command: &str, now: crate::env::clock::Timestamp) -> String {
    let user = vars.get("USER").or_else(|| vars.get("USERNAME")).unwrap_or_else(|| "somebody".to_owned());
    let host = vars.get("HOSTNAME").map(|host| format!("@{host}")).unwrap_or_default();
    format!("process {} of {user}{host}, running `{command}` since {now}", std::process::id())
}

/// The stack key: 32 random bytes that no state, plan or log holds, beside the state folder and readable by
/// its owner only. Keyed digests of secrets are worthless without it.
///
/// # Errors
/// When it can neither be read nor made.
pub fn stack_key(disk: &dyn Disk, random: &dyn Random, state: &Path, create: bool) -> io::Result<Option<Vec<u8>>> {
    let mut name = state.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    let path = state.with_file_name(name);
    match disk.read(&path) {
        Ok(key) if key.len() >= 32 => Ok(Some(key)),
        Ok(_) => Err(io::Error::other(format!("{} is not a stack key; restore it or delete it", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !create {
                return Ok(None);
            }
            let mut key = vec![0; 32];
            random.fill(&mut key);
            disk.write(&path, &key)?;
            Ok(Some(key))
        }
        Err(error) => Err(error),
    }
}

/// A key of 32 bytes from whatever text or bytes somebody keeps as one; for other uses than digests of secrets.
pub fn derived_key(from: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(from).expect("HMAC takes keys of any length");
    mac.update(b"charts");
    mac.finalize().into_bytes().into()
}

/// The keyed digest of a secret value: HMAC-SHA-256, hexadecimal.
pub fn secret_digest(key: &[u8], name: &str, value: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(name.as_bytes());
    mac.update(&[0]);
    mac.update(value.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A disk that all of a run's files are on.
pub type SharedDisk = Arc<dyn Disk>;
