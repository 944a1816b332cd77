//! From the tree to typed tables: the walk that finds all mistakes of a file instead of the first.
//!
//! A type says with [`Decode`] how it is read and what its JSON Schema is; `table!` and `choice!` write both
//! for tables and for words, so that parser and schema cannot drift apart. What a value means beside other
//! values is for `check`.

pub(crate) mod declare;
mod shapes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, Range};

use crate::address::Address;
use crate::diag::{self, Diagnostic, Span};
use crate::stack::model::InputType;
use crate::stack::reference::{self, Piece};
use crate::stack::tree::{Node, Tree};
use crate::value::{Part, Reference, Template};

pub(crate) use declare::{choice, table};
pub(crate) use shapes::{Decode, Entry, Field};

/// A value with the place it was written at.
#[derive(Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
    /// The value stands in for an input that is not known yet; [`Spanned::known`] hides it then.
    pending: bool,
}

impl<T> Spanned<T> {
    /// The value, unless it only stands in for an input that is not known yet.
    pub(crate) fn known(&self) -> Option<&T> {
        (!self.pending).then_some(&self.value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A declared input, as far as references to it need it.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// Its type.
    pub(crate) kind: InputType,
    /// Whether it is secret.
    pub(crate) secret: bool,
}

/// A reference and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// The component whose table it stands in.
    pub(crate) from: Option<String>,
    /// What it refers to.
    pub(crate) reference: Reference,
    /// Where.
    pub(crate) span: Span,
}

/// Collects what a walk finds.
pub(crate) struct Decoder<'a> {
    inputs: &'a BTreeMap<String, Declared>,
    /// Mistakes that stay mistakes whatever else the file says.
    pub(crate) mistakes: Vec<Diagnostic>,
    /// Mistakes that lie in something missing; not worth saying of a file that could not be read whole.
    pub(crate) gaps: Vec<Diagnostic>,
    /// Inputs that are referred to.
    pub(crate) used: BTreeSet<String>,
    /// References to components and objects.
    pub(crate) references: Vec<Use>,
    /// The component being read.
    component: Option<String>,
    /// Whether the value being read depends on an input that is not known yet.
    pending: bool,
    /// Why references are refused here, if they are.
    literal: Option<&'static str>,
}

/// A text, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Words {
    /// Known.
    Known(String),
    /// Holds inputs that are not known yet. When it is nothing but one input, that input's type.
    Pending(Option<InputType>),
    /// Known at apply, or secret.
    Deferred(Template),
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(inputs: &'a BTreeMap<String, Declared>) -> Self {
        Decoder {
            inputs,
            mistakes: Vec::new(),
            gaps: Vec::new(),
            used: BTreeSet::new(),
            references: Vec::new(),
            component: None,
            pending: false,
            literal: None,
        }
    }

    /// Reads with references refused; `why` goes into the message.
    fn literally<T>(&mut self, why: &'static str, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.literal.replace(why);
        let result = read(self);
        self.literal = before;
        result
    }

    /// Reads the table of a component.
    fn within<T>(&mut self, component: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.component.replace(component);
        let result = read(self);
        self.component = before;
        result
    }

    pub(crate) fn mistake(&mut self, diagnostic: Diagnostic) {
        self.mistakes.push(diagnostic);
    }

    /// `wanted` was expected where `tree` stands.
    pub(crate) fn wrong_type(&mut self, tree: &Tree, wanted: &str) {
        let mut diagnostic =
            Diagnostic::error(format!("expected {wanted}, found {}", tree.type_name())).at(tree.span.clone(), wanted);
        if let (Node::String(text), "a whole number" | "a number" | "a boolean") = (&tree.node, wanted)
            && (text.parse::<f64>().is_ok() || matches!(text.as_str(), "true" | "false"))
        {
            diagnostic = diagnostic.hint(format!("write {text} without quotes"));
        }
        self.mistake(diagnostic);
    }

    fn must_be_known(&mut self, tree: &Tree, template: &Template) {
        let secret = template.secrets().next().map(str::to_owned);
        self.mistake(match secret {
            Some(input) => Diagnostic::error(format!("the secret input {input} cannot be used here"))
                .at(tree.span.clone(), "this value is shown and recorded")
                .hint("refer to an input without `secret = true`"),
            None => Diagnostic::error(format!("{} is known only at apply", template.source()))
                .at(tree.span.clone(), "this value must be known when the plan is made")
                .hint("write the value, or refer to an input"),
        });
    }

    /// The text of a string, references sorted out. `None` when it is no string (nothing is reported then)
    /// or is malformed (that is reported).
    pub(crate) fn text(&mut self, tree: &Tree) -> Option<Words> {
        let pieces = match &tree.node {
            Node::String(text) if !text.contains("${") => return Some(Words::Known(text.clone())),
            Node::String(text) => {
                let (pieces, malformed) = reference::pieces(text);
                for mistake in &malformed {
                    let span = place(tree, text, &mistake.range);
                    let hint = mistake.hint.clone();
                    self.mistake(Diagnostic::error(mistake.what.clone()).at(span, "not a reference").hint(hint));
                }
                if !malformed.is_empty() {
                    return None;
                }
                Cow::Owned(pieces)
            }
            Node::Pieces(pieces) => Cow::Borrowed(pieces),
            _ => return None,
        };
        let alone = pieces.len() == 1;
        let (mut parts, mut pending, mut sensitive, mut good) = (Vec::new(), None, false, true);
        for piece in pieces.iter() {
            let (keys, range) = match piece {
                Piece::Text(text) => {
                    match parts.last_mut() {
                        Some(Part::Text(before)) => before.push_str(text),
                        _ => parts.push(Part::Text(text.clone())),
                    }
                    continue;
                }
                Piece::Path { keys, range } => (keys, range),
            };
            let span = match &tree.node {
                Node::String(text) => place(tree, text, range),
                _ => tree.span.clone(),
            };
            if let Some(why) = self.literal {
                self.mistake(Diagnostic::error("a reference is not possible here").at(span, why));
                good = false;
            } else if keys[0] == "inputs" {
                match self.input(keys, span) {
                    Some(declared) if declared.secret => parts.push(Part::Secret(keys[1].clone())),
                    Some(declared) => pending = Some(alone.then_some(declared.kind)),
                    None => good = false,
                }
            } else {
                let reference = component_reference(keys);
                // What a Secret holds is hidden, whoever made it.
                sensitive |= reference.address.object_key().is_some_and(|key| key.starts_with("Secret/"));
                let from = self.component.clone();
                self.references.push(Use { from, reference: reference.clone(), span });
                parts.push(Part::Reference(reference));
            }
        }
        if !good {
            return None;
        }
        if let Some(kind) = pending {
            return Some(Words::Pending(kind));
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            let known = parts.into_iter().map(|part| if let Part::Text(text) = part { text } else { String::new() });
            return Some(Words::Known(known.collect()));
        }
        sensitive |= parts.iter().any(|part| matches!(part, Part::Secret(_)));
        Some(Words::Deferred(Template { parts, encoding: crate::value::Encoding::Plain, sensitive }))
    }

    /// The input that `inputs.x` refers to.
    fn input(&mut self, keys: &[String], span: Span) -> Option<Declared> {
        let [_, name] = keys else {
            let what = if keys.len() < 2 { "`inputs` needs a name" } else { "an input is referred to as a whole" };
            self.mistake(
                Diagnostic::error(what)
                    .at(span, "not an input")
                    .hint("write `${inputs.NAME}`; parts of a list or map cannot be picked"),
            );
            return None;
        };
        let Some(declared) = self.inputs.get(name) else {
            let hint = match diag::suggest(name, self.inputs.keys().map(String::as_str)) {
                Some(close) => format!("did you mean `inputs.{close}`?"),
                None => format!("declare it: [inputs] {name} = {{ type = \"string\" }}"),
            };
            self.mistake(Diagnostic::error(format!("there is no input {name}")).at(span, "not declared").hint(hint));
            return None;
        };
        self.used.insert(name.clone());
        Some(declared.clone())
    }

    /// A text that must be known. `stand_in` is used while an input is not.
    pub(crate) fn known_text(&mut self, tree: &Tree, wanted: &str, stand_in: &str) -> Option<String> {
        if !matches!(tree.node, Node::String(_) | Node::Pieces(_)) {
            self.wrong_type(tree, wanted);
            return None;
        }
        match self.text(tree)? {
            Words::Known(text) => Some(text),
            Words::Pending(kind) => {
                self.pend(tree, kind, &[InputType::String], wanted)?;
                Some(stand_in.to_owned())
            }
            Words::Deferred(template) => {
                self.must_be_known(tree, &template);
                None
            }
        }
    }

    /// Whether a value that is no text is given by an input of one of `kinds`; anything else is reported.
    pub(crate) fn pending(&mut self, tree: &Tree, kinds: &[InputType], wanted: &str) -> Option<()> {
        if !matches!(tree.node, Node::String(_) | Node::Pieces(_)) {
            self.wrong_type(tree, wanted);
            return None;
        }
        match self.text(tree)? {
            Words::Known(_) => {
                self.wrong_type(tree, wanted);
                None
            }
            Words::Pending(kind) => self.pend(tree, kind.or(Some(InputType::String)), kinds, wanted),
            Words::Deferred(template) => {
                self.must_be_known(tree, &template);
                None
            }
        }
    }

    fn pend(&mut self, tree: &Tree, kind: Option<InputType>, kinds: &[InputType], wanted: &str) -> Option<()> {
        match kind {
            Some(kind) if !kinds.contains(&kind) => {
                let summary = format!("expected {wanted}, found an input of type {}", kind.word());
                self.mistake(Diagnostic::error(summary).at(tree.span.clone(), wanted.to_owned()));
                None
            }
            _ => {
                self.pending = true;
                Some(())
            }
        }
    }

    /// Reports every key that is not among `known`.
    pub(crate) fn unknown_keys(&mut self, tree: &Tree, known: &[&str], place: &str) {
        for (key, entry) in tree.table().into_iter().flatten() {
            if known.contains(&key.as_str()) {
                continue;
            }
            // A word left unfinished is further from the whole one than a slip is.
            let unfinished = || known.iter().copied().find(|whole| key.len() > 2 && whole.starts_with(key.as_str()));
            let hint = match diag::suggest(key, known.iter().copied()).or_else(unfinished) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            let summary = format!("unknown key {} in {place}", quoted(key).replace('"', "`"));
            self.mistake(Diagnostic::error(summary).at(entry.key.clone(), "not known").hint(hint));
        }
    }

    /// Reports a missing key.
    pub(crate) fn missing(&mut self, tree: &Tree, key: &str, what: &str) {
        let label = format!("`{key}` belongs here");
        let mut letters = what.chars();
        let what = letters.next().map(|first| first.to_lowercase().chain(letters).collect::<String>());
        let what = what.unwrap_or_default();
        self.gaps.push(Diagnostic::error(format!("missing key `{key}`: {what}")).at(tree.span.clone(), label));
    }
}

/// The reference that `keys` spell: `cluster.endpoint`, `node_pools.gpu.name`, `objects.<address>.data.x`.
fn component_reference(keys: &[String]) -> Reference {
    let (address, path) = match keys[0].as_str() {
        "objects" => (keys[1].clone(), &keys[2..]),
        "cluster" | "gateway" => (keys[0].clone(), &keys[1..]),
        _ => match keys {
            [section, name, path @ ..] => (format!("{section}.{name}"), path),
            short => (short.join("."), &[][..]),
        },
    };
    Reference { address: Address::new(address), path: path.to_vec() }
}

/// The place of `range` of a string's text in the file; the whole string where escapes hide it.
fn place(tree: &Tree, text: &str, range: &Range<usize>) -> Span {
    let whole = &tree.span;
    let raw = whole.source.text.get(whole.range.clone()).unwrap_or_default();
    let found = match raw.find(text) {
        Some(at) => Some(at + range.start),
        None => text.get(range.clone()).and_then(|part| raw.find(part)),
    };
    match found {
        Some(at) if at + range.len() <= raw.len() => {
            let start = whole.range.start + at;
            Span { source: whole.source.clone(), range: start..start + range.len() }
        }
        _ => whole.clone(),
    }
}

/// A word that is none of `words`.
pub(crate) fn not_a_choice(tree: &Tree, word: &str, words: &[&str]) -> Diagnostic {
    let hint = match diag::suggest(word, words.iter().copied()) {
        Some(close) => format!("did you mean \"{close}\"? Possible: {}", words.join(", ")),
        None => format!("possible: {}", words.join(", ")),
    };
    Diagnostic::error(format!("{} is not possible here", quoted(word))).at(tree.span.clone(), "not known").hint(hint)
}

/// A text in quotes, cut to what fits into a summary.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}
