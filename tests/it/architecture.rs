//! The layering of `docs/architecture.md`, as a test: who may use whom, how files begin, how long they get.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module, layer, and what it may use besides itself. `0-2` stands for all modules of those layers.
const LAYERS: &[(&str, u8, &str)] = &[
    ("address", 0, ""),
    ("value", 0, "address"),
    ("graph", 0, ""),
    ("env", 0, ""),
    ("diag", 1, "address"),
    ("resource", 2, "0-1"),
    ("platform", 2, "0-1 resource"),
    ("state", 2, "address value diag"),
    ("template", 2, "value diag"),
    ("openapi", 2, "value diag"),
    ("stack", 3, "0-2"),
    ("chart", 3, "0-2"),
    ("cost", 3, "0-2"),
    ("backend", 3, "env state diag address"),
    ("provider", 3, "0-2"),
    ("measure", 3, "0-2"),
    ("diagnosis", 3, "0-2"),
    ("catalog", 4, "0-2 stack chart"),
    ("plan", 4, "0-2 stack cost -env"),
    ("event", 5, "0-2 plan"),
    ("engine", 6, "0-2 backend plan event"),
    ("ui", 6, "0-2 plan event measure diagnosis"),
    ("ops", 7, "0-6 -ui -provider"),
    ("sim", 7, "0-2"),
    ("cli", 8, "0-7"),
];

/// Lines of a file outside its unit tests.
const LIMIT: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries = std::fs::read_dir(directory).expect("readable").flatten().map(|e| e.path()).collect::<Vec<_>>();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files(&root(), &mut paths);
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).expect("below src").display().to_string();
            (name, std::fs::read_to_string(&path).expect("readable"))
        })
        .collect()
}

/// The top-level module of a file.
fn module(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// Whether a file is a unit test of its module: `tests.rs`, or below a folder `tests`.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

/// Code without comments, strings and unit tests at its end.
fn code(text: &str) -> String {
    let body = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let mut out = String::new();
    for line in body.lines() {
        let line = line.split("//").next().unwrap_or(line);
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The modules named after `crate::`, also inside braces.
fn mentions(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(inner) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut start = true;
            for (offset, c) in inner.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => start = true,
                    c if depth == 1 && start && !c.is_whitespace() => {
                        found.insert(name(&inner[offset..]));
                        start = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(name(rest));
        }
    }
    found
}

fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let within = |low: u8, high: u8| LAYERS.iter().filter(move |l| (low..=high).contains(&l.1)).map(|l| l.0);
    LAYERS
        .iter()
        .map(|&(module, _, may)| {
            let mut set = BTreeSet::from([module]);
            for word in may.split_whitespace() {
                if let Some((low, high)) = word.split_once('-').filter(|(low, _)| !low.is_empty()) {
                    let (low, high) = (low.parse().expect("layer"), high.parse::<u8>().expect("layer"));
                    set.extend(within(low, high));
                } else if let Some(not) = word.strip_prefix('-') {
                    set.remove(not);
                } else {
                    set.insert(word);
                }
            }
            (module, set)
        })
        .collect()
}

#[test]
fn nobody_uses_what_is_above() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if matches!(file.as_str(), "lib.rs" | "main.rs") || is_test(&file) {
            continue;
        }
        let own = module(&file);
        let Some(may) = allowed.get(own) else {
            wrong.push(format!("{file}: the module {own} has no row in the table"));
            continue;
        };
        for used in mentions(&code(&text)) {
            if !may.contains(used.as_str()) {
                wrong.push(format!("{file}: {own} may not use {used}"));
            }
        }
        if code(&text).contains("super::super::super") {
            wrong.push(format!("{file}: a path that climbs three times hides where it goes"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_no_upward_row() {
    let layer = LAYERS.iter().map(|l| (l.0, l.1)).collect::<BTreeMap<_, _>>();
    for (module, may) in allowed() {
        for used in may {
            assert!(layer[used] <= layer[module], "{module} in layer {} uses {used}", layer[module]);
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if !text.starts_with("//! ") {
            wrong.push(format!("{file}: does not begin by saying what it is for"));
        }
        let lines = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&text).lines().count();
        if lines > LIMIT {
            wrong.push(format!("{file}: {lines} lines, the limit is {LIMIT}"));
        }
        let stem = file.rsplit('/').next().unwrap_or(&file).trim_end_matches(".rs");
        let banned =
            ["util", "utils", "helper", "helpers", "manager", "context", "common", "misc", "errors", "imp", "types"];
        if banned.contains(&stem) {
            wrong.push(format!("{file}: a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_planner_is_synchronous() {
    for (file, text) in sources() {
        if matches!(module(&file), "plan" | "stack" | "state" | "catalog" | "graph" | "value" | "ui" | "cost") {
            let code = code(&text);
            assert!(!code.contains("async fn") && !code.contains(".await"), "{file} waits for something");
        }
    }
}

#[test]
fn the_root_is_tidy() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "src",
        "stacks",
        "state",
        "tests",
        "docs",
        "target",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(root).expect("readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong into the root");
    }
}
