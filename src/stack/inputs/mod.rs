//! Values for a stack's inputs: flags, files, environment, defaults; synthetic ones for the simulator.
//!
//! Terraform's precedence. Everything that is missing is reported at once, with the ways to give it. Secret
//! values live here and nowhere else: they are never part of a [`Stack`](super::Stack).

mod masked;
mod search;
mod synthetic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::diag::Source;
use crate::stack::reference::{self, Piece};
use crate::stack::tree::{Entry, Node, Tree};
use crate::value::Value;

pub use search::resolve;

/// The prefix of variables that name an input: `STACKWRIGHT_VAR_project`.
pub const PREFIX: &str = "STACKWRIGHT_VAR_";

/// What the user gave on the command line.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--var name=value`, in order; later ones win.
    pub flags: Vec<String>,
    /// `--var-file`, in order; later ones win. TOML: `project = "my-project"`.
    pub files: Vec<Arc<Source>>,
    /// Give plausible values to what is missing instead of reporting it, for `--sim` and `validate`.
    pub synthesize: bool,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--var`.
    Flag,
    /// A file of `--var-file`.
    File(String),
    /// An environment variable.
    Variable(String),
    /// The stack file.
    Default,
    /// Made up for the simulator.
    Synthetic,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag => f.write_str("--var"),
            Origin::File(name) => f.write_str(name),
            Origin::Variable(name) => write!(f, "${name}"),
            Origin::Default => f.write_str("default"),
            Origin::Synthetic => f.write_str("synthetic"),
        }
    }
}

/// One input's value.
#[derive(Clone, PartialEq)]
pub struct Supplied {
    value: Value,
    secret: bool,
    origin: Origin,
}

impl fmt::Debug for Supplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            write!(f, "(secret, {})", self.origin)
        } else {
            write!(f, "{:?} ({})", self.value, self.origin)
        }
    }
}

/// The values of all inputs. An optional input without a value is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs {
    values: BTreeMap<String, Supplied>,
}

impl Inputs {
    /// The value of an input that is not secret.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|given| !given.secret).map(|given| &given.value)
    }

    /// The value of a secret input.
    pub fn secret(&self, name: &str) -> Option<&str> {
        self.values.get(name).filter(|given| given.secret)?.value.as_str()
    }

    /// Where an input's value came from.
    pub fn origin(&self, name: &str) -> Option<&Origin> {
        self.values.get(name).map(|given| &given.origin)
    }

    /// The names of all inputs that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The secret inputs with where each came from, for messages.
    pub fn secret_origins(&self) -> BTreeMap<String, String> {
        let secret = self.values.iter().filter(|(_, given)| given.secret);
        secret.map(|(name, given)| (name.clone(), given.origin.to_string())).collect()
    }

    /// The tree with every input that is not secret replaced by its value. Entries and items that are
    /// nothing but an input without a value go.
    pub(crate) fn fill(&self, mut tree: Tree) -> Tree {
        // In place: of a large stack, two trees are most of what a run ever holds.
        if let Node::Table(table) = &mut tree.node {
            // The declarations hold no references.
            table.retain(|key, entry| key == "inputs" || self.fill_in(&mut entry.value));
        }
        tree
    }

    /// Whether anything is left of it.
    fn fill_in(&self, tree: &mut Tree) -> bool {
        match &mut tree.node {
            Node::String(text) if text.contains("${") => {
                let text = std::mem::take(text);
                let Some(node) = self.filled_text(&text, tree) else { return false };
                tree.node = node;
            }
            Node::List(items) => items.retain_mut(|item| self.fill_in(item)),
            Node::Table(table) => table.retain(|_, entry| self.fill_in(&mut entry.value)),
            _ => {}
        }
        true
    }

    fn filled_text(&self, text: &str, tree: &Tree) -> Option<Node> {
        let (mut pieces, _) = reference::pieces(text);
        if let [Piece::Path { keys, .. }] = &pieces[..]
            && let [first, name] = &keys[..]
            && first == "inputs"
        {
            return match self.values.get(name) {
                None => None,
                Some(given) if given.secret => Some(Node::Pieces(pieces)),
                Some(given) => Some(node(&given.value, tree)),
            };
        }
        let mut touched = false;
        for piece in &mut pieces {
            if let Piece::Path { keys, .. } = piece
                && let [first, name] = &keys[..]
                && first == "inputs"
                && let Some(value) = self.get(name)
                && let Some(text) = value.scalar_text()
            {
                *piece = Piece::Text(text);
                touched = true;
            }
        }
        // Untouched text keeps its places.
        Some(if touched { Node::Pieces(pieces) } else { Node::String(text.to_owned()) })
    }
}

/// An input's value as it would have been written in the place of its reference.
fn node(value: &Value, at: &Tree) -> Node {
    let tree = |value: &Value| Tree { span: at.span.clone(), node: node(value, at) };
    match value {
        Value::Bool(truth) => Node::Bool(*truth),
        Value::Int(number) => Node::Int(*number),
        Value::Float(number) => Node::Float(*number),
        Value::String(text) => Node::Pieces(vec![Piece::Text(text.clone())]),
        Value::List(items) => Node::List(items.iter().map(tree).collect()),
        Value::Map(map) => Node::Table(
            map.iter().map(|(key, value)| (key.clone(), Entry { key: at.span.clone(), value: tree(value) })).collect(),
        ),
        Value::Null | Value::Deferred(_) => Node::Pieces(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
