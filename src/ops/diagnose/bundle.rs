//! A bundle for a report of a defect: everything that was seen, without secrets, in one archive whose bytes are the same
//! for the same facts. What the archive holds is listed before it is written.

use std::collections::BTreeMap;
use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value as Json;

use super::mask::Mask;
use crate::diagnosis::facts::Facts;
use crate::diagnosis::{Cause, look::text};

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What was seen, as files: causes, events, objects, logs, and the rest of the facts. `given` are files that others have
/// made: stack, plan, state. Nothing of any of them is kept that `mask` knows.
pub fn files(facts: &Facts, causes: &[Cause], given: Vec<(String, String)>, mask: &Mask) -> Files {
    let mut files = Files::new();
    let mut add = |name: String, text: &str| {
        files.insert(name, mask.text(text).into_bytes());
    };
    given.into_iter().for_each(|(name, text)| add(safe_path(&name), &text));
    add("causes.json".into(), &pretty(&causes));
    let (events, objects): (Vec<_>, Vec<_>) = facts.objects.iter().partition(|object| text(object, "/kind") == "Event");
    let mut lines = events.iter().map(|event| event.to_string()).collect::<Vec<_>>();
    lines.sort();
    add("events.jsonl".into(), &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let mut kinds: BTreeMap<&str, Vec<&Json>> = BTreeMap::new();
    for object in objects {
        kinds.entry(text(object, "/kind")).or_default().push(object);
    }
    for (kind, objects) in kinds {
        add(format!("objects/{}.json", safe(kind)), &pretty(&objects));
    }
    for log in &facts.logs {
        let previous = if log.previous { ".previous" } else { "" };
        let (namespace, pod, container) = (safe(&log.namespace), safe(&log.pod), safe(&log.container));
        add(format!("logs/{namespace}/{pod}/{container}{previous}.log"), &log.text);
    }
    let rest = Facts { objects: Vec::new(), logs: Vec::new(), ..facts.clone() };
    add("facts.json".into(), &pretty(&rest));
    let versions = serde_json::json!({
        "stackwright": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
        "kubelets": kubelets(facts), "seen": facts.now.rfc3339(),
    });
    add("versions.json".into(), &pretty(&versions));
    files
}

/// As JSON for people, with a line feed at its end.
fn pretty(json: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(json).unwrap_or_default() + "\n"
}

fn kubelets(facts: &Facts) -> BTreeMap<String, usize> {
    let mut versions = BTreeMap::new();
    for node in facts.objects.iter().filter(|object| text(object, "/kind") == "Node") {
        *versions.entry(text(node, "/status/nodeInfo/kubeletVersion").to_owned()).or_default() += 1;
    }
    versions
}

/// A name as part of a path, wherever it comes from.
fn safe(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name = name.chars().map(keep).collect::<String>();
    if name.chars().all(|c| c == '.') { "_".repeat(name.len()) } else { name }
}

fn safe_path(path: &str) -> String {
    path.split('/').map(safe).collect::<Vec<_>>().join("/")
}

/// The archive, with every file in a folder of that name.
///
/// # Errors
/// Never for lack of disk: it is made in memory.
pub fn pack(folder: &str, files: &Files) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(0);
        archive.append_data(&mut header, format!("{}/{name}", safe(folder)), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

/// A document of the stack's state or plan for a bundle: as it is, parsed and without what is masked by name.
pub fn document(json: &str, mask: &Mask) -> String {
    match serde_json::from_str::<Json>(json) {
        Ok(mut json) => {
            mask.json(&mut json);
            serde_json::to_string_pretty(&json).unwrap_or_default() + "\n"
        }
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::standing::Log;

    #[test]
    fn names_are_safe_and_bytes_the_same() {
        let facts = Facts {
            stack: "s".into(),
            objects: vec![json!({"kind": "../../Pod", "metadata": {"namespace": "a", "name": "y"}})],
            logs: vec![Log {
                namespace: "..".into(),
                pod: "p".into(),
                container: "c".into(),
                previous: true,
                text: "password=hunter2hunter2".into(),
            }],
            ..Facts::default()
        };
        let mask = Mask::default();
        let made = files(&facts, &[], vec![("stack.toml".into(), "name = \"s\"".into())], &mask);
        assert!(
            made.keys().all(|name| name.split('/').all(|part| part != ".." && !part.is_empty())),
            "{:?}",
            made.keys()
        );
        assert!(!String::from_utf8_lossy(&made["logs/__/p/c.previous.log"]).contains("hunter2"));
        let packed = pack("s", &made).expect("memory");
        assert_eq!(packed, pack("s", &made).expect("memory"));
    }
}
