//! Which process this is among all of a machine, and whether another one runs.

use std::path::Path;

/// A name for the set of processes that this one can see: one boot of one kernel, and the namespace of process
/// numbers in it, since in another container the same number is another process. `None` where neither is known.
pub fn realm() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.display()))
}

/// Whether a process of this realm runs.
pub fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether whoever started this process wants it to go on without its terminal (nohup).
pub fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) & 1 != 0
}

/// The signals that a process ignores, the first in the lowest bit (proc(5), SigIgn).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t00\n"), 0x1001);
        assert_eq!(ignored(""), 0);
    }

    #[test]
    fn this_process_runs_and_has_a_realm() {
        assert!(is_alive(std::process::id()) || realm().is_none());
        assert_eq!(realm(), realm());
        // The kernel's largest number of a process is 2^22 (proc(5), pid_max).
        assert!(!is_alive(1 << 23));
    }
}
