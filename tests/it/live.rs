//! The suite against a real project (`tests/live`): runs where `STACKWRIGHT_LIVE_PROJECT` names one, and is known to
//! do nothing elsewhere.

use std::path::Path;
use std::process::Command;

/// Names the project to spend in.
const PROJECT: &str = "STACKWRIGHT_LIVE_PROJECT";

fn script() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/run.sh"));
    command.env("STACKWRIGHT", env!("CARGO_BIN_EXE_stackwright"));
    command
}

#[test]
fn nothing_is_spent_unless_a_project_is_named() {
    let output = script().env_remove(PROJECT).output().expect("the script starts");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("skipped: ") && said.lines().count() == 1, "{said}");
    if std::env::var_os(PROJECT).is_some() {
        assert!(script().status().expect("the script starts").success(), "the life of a stack in a real project");
    }
}

/// What is to be paid for is tried in the simulator first.
#[test]
fn its_scenarios_live_in_the_simulator() {
    let folder = tempfile::tempdir().expect("tempdir");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/live/scenarios");
    for entry in std::fs::read_dir(scenarios).expect("readable").flatten() {
        let text = std::fs::read_to_string(entry.path()).expect("readable").replace("LIVE_NAME", "live-abc");
        assert!(text.contains("\nttl = ") && text.contains("nodes = 2"), "what the script edits is there");
        std::fs::write(folder.path().join("stack.toml"), text).expect("writable");
        for arguments in [
            &["apply", "stack.toml", "--sim", "--auto-approve"][..],
            &["destroy", "stack.toml", "--sim", "--auto-approve"],
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_stackwright"))
                .args(arguments)
                .current_dir(folder.path())
                .env_remove(PROJECT)
                .env("HOME", folder.path())
                .output()
                .expect("the program starts");
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
