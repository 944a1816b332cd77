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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_has_a_realm() {
        assert!(is_alive(std::process::id()) || realm().is_none());
        assert_eq!(realm(), realm());
        // The kernel's largest number of a process is 2^22 (proc(5), pid_max).
        assert!(!is_alive(1 << 23));
    }
}
