//! Which files belong to a stack, and who holds them.
//!
//! State lives in `state/<name>/` of the project that the stack file is part of: the folder of the file, or
//! its parent when that folder is called `stacks`. With `--sim` everything lives in the world instead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;

use crate::env::disk::Disk;
use crate::env::random::Random;
use crate::env::vars::Vars;
use crate::state::key::Key;

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

/// What the last run failed with, beside the state; none after one that succeeded.
pub fn failures(stack_file: &Path, world: Option<&Path>, stack: &str) -> PathBuf {
    let beside = state(stack_file, world, stack);
    beside.with_file_name(format!("{stack}.failures.json"))
}

/// Who takes a lock, for the message that somebody else will read.
pub fn holder(vars: &dyn Vars, command: &str, now: crate::env::clock::Timestamp) -> String {
    let user = vars.get("USER").or_else(|| vars.get("USERNAME")).unwrap_or_else(|| "somebody".to_owned());
    let host = vars.get("HOSTNAME").map(|host| format!("@{host}")).unwrap_or_default();
    format!("process {} of {user}{host}, running `{command}` since {now}", std::process::id())
}

/// The variable that may hold a stack's key, where no file is at hand.
pub const KEY_VARIABLE: &str = "STACKWRIGHT_KEY";

/// What the contents of a key file begin with in [`KEY_VARIABLE`]; anything else there is a key as it is.
const CODED: &str = "base64:";

/// The file of a stack's key: beside the state folder, wherever the state itself is, since whoever reads that must
/// not be able to try values.
pub fn key_file(state: &Path) -> PathBuf {
    let mut name = state.file_name().unwrap_or_default().to_owned();
    name.push(".key");
    state.with_file_name(name)
}

/// The key in [`KEY_VARIABLE`].
///
/// # Errors
/// When it is too short to be one, or cannot be decoded.
pub fn given_key(vars: &dyn Vars) -> io::Result<Option<Key>> {
    let Some(text) = vars.get(KEY_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let bytes = match text.strip_prefix(CODED) {
        None => text.into_bytes(),
        Some(coded) => {
            let coded = coded.split_whitespace().collect::<String>();
            let wrong = || io::Error::other(format!("what follows {CODED} in {KEY_VARIABLE} is not base64"));
            base64::engine::general_purpose::STANDARD.decode(coded).map_err(|_| wrong())?
        }
    };
    if bytes.len() < SHORTEST {
        let what = format!("{KEY_VARIABLE} has less than {SHORTEST} bytes: whoever reads the state could guess it");
        return Err(io::Error::other(what));
    }
    Ok(Some(Key::new(&bytes)))
}

/// The least bytes of a key that somebody gives.
const SHORTEST: usize = 16;

/// The key in the stack's own file: 32 random bytes that no state, plan or log holds, readable by their owner only.
///
/// # Errors
/// When it cannot be read, or is none.
pub fn kept_key(disk: &dyn Disk, state: &Path) -> io::Result<Option<Key>> {
    let path = key_file(state);
    match disk.read(&path) {
        Ok(key) if key.len() >= 32 => Ok(Some(Key::new(&key))),
        Ok(_) => Err(io::Error::other(format!("{} is not a stack key; restore it or delete it", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes a key and keeps it in the stack's file.
///
/// # Errors
/// When it cannot be written.
pub fn make_key(disk: &dyn Disk, random: &dyn Random, state: &Path) -> io::Result<Key> {
    let mut key = vec![0; 32];
    random.fill(&mut key);
    disk.write(&key_file(state), &key)?;
    Ok(Key::new(&key))
}

/// A disk that all of a run's files are on.
pub type SharedDisk = Arc<dyn Disk>;
