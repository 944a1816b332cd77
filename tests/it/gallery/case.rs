//! A case of the gallery, as its `case.toml` has it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ends {
    /// `apply` gives up.
    Stops,
    /// `apply` waits until it has passed.
    ComesUp,
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Ends::Stops { "stops" } else { "comes up" })
    }
}

/// Something that the simulator's books can say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// A kind of Kubernetes, `Operation` (of Google's, when it has ended) or `Refusal` (a request that was refused).
    pub kind: String,
    /// All of these are in the object as JSON.
    #[serde(default)]
    pub says: Vec<String>,
    /// Of operations: their beginning counts, and not their end.
    #[serde(default)]
    pub begins: bool,
    /// So often: counts of events, refusals.
    #[serde(default = "once")]
    pub times: u64,
    /// For so many seconds, without a version of the object in between that does not say so.
    #[serde(default)]
    pub lasting: u64,
}

fn once() -> u64 {
    1
}

/// What somebody else does meanwhile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deed {
    /// After this was first so …
    pub when: Happening,
    /// … and so many seconds more.
    #[serde(default)]
    pub after: u64,
    /// Objects to apply.
    #[serde(default)]
    pub apply: Vec<Json>,
    /// Objects to delete: apiVersion, kind, metadata.
    #[serde(default)]
    pub delete: Vec<Json>,
}

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its folder's name.
    #[serde(skip)]
    pub name: String,
    /// Its folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What goes wrong, in a sentence.
    pub about: String,
    /// A stack of `tests/gallery/stacks`, or a shipped one; without, `stack.toml` beside this.
    pub stack: Option<String>,
    /// Texts of the stack, and what stands there instead.
    #[serde(default)]
    pub replace: Vec<(String, String)>,
    /// Rules for the simulator.
    #[serde(default)]
    pub faults: Vec<Json>,
    /// What somebody else does meanwhile.
    #[serde(default)]
    pub somebody: Vec<Deed>,
    /// Left out of the gate: a whole shipped stack, or much like another.
    #[serde(default)]
    pub long: bool,
    /// How it ends.
    pub ends: Ends,
    /// The event after which nothing helps.
    pub terminal: Option<Happening>,
    /// What `apply` must say.
    #[serde(default)]
    pub words: Vec<String>,
    /// The id that `diagnose` must give first.
    pub cause: Option<String>,
}

impl Case {
    /// All cases of a folder, by name.
    pub fn all(folder: &Path) -> Vec<Case> {
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(folder).expect("the gallery") {
            let folder = entry.expect("an entry").path();
            let Ok(text) = std::fs::read_to_string(folder.join("case.toml")) else { continue };
            let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
            let read: Case = toml::from_str(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            cases.push(Case { name, folder, ..read });
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        cases
    }

    /// The text of its stack.
    pub fn stack(&self) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let places = match &self.stack {
            Some(name) => ["tests/gallery/stacks", "stacks"].map(|place| root.join(place).join(format!("{name}.toml"))),
            None => ["stack.toml", "stack.toml"].map(|name| self.folder.join(name)),
        };
        let found = places.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let mut text = found.unwrap_or_else(|| panic!("{}: no stack at {places:?}", self.name));
        for (old, new) in &self.replace {
            assert!(text.contains(old), "{}: the stack has no {old:?}", self.name);
            text = text.replace(old, new);
        }
        text
    }
}
