//! The functions of templates: Go's own, sprig's and Helm's, each with the types it takes.
//!
//! Not here: functions that read the environment or resolve host names.

pub(super) mod builtin;
pub(super) mod certificates;
pub(super) mod dates;
pub(super) mod dicts;
pub(super) mod digests;
pub(super) mod documents;
pub(super) mod durations;
pub(super) mod encoding;
pub(super) mod lists;
pub(super) mod math;
pub(super) mod paths;
pub(super) mod patterns;
pub(super) mod random;
pub(super) mod reflection;
pub(super) mod rendering;
pub(super) mod strings;
pub(super) mod versions;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use super::budget::MAX_TEXT;
use super::data::{Data, Map, Text};
use super::exec::{Engine, Set};
use super::fault::{Fault, Outcome};

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum T {
    /// `interface {}`
    Any,
    /// Anything, nothing included: what Go's own functions take.
    Value,
    Text,
    Int,
    Float,
    Bool,
    Map,
    Time,
    Certificate,
}

impl T {
    pub(super) fn name(self) -> &'static str {
        match self {
            T::Any => "interface {}",
            T::Value => "reflect.Value",
            T::Text => "string",
            T::Int => "int",
            T::Float => "float64",
            T::Bool => "bool",
            T::Map => "map[string]interface {}",
            T::Time => "time.Time",
            T::Certificate => "sprig.certificate",
        }
    }

    pub(super) fn nillable(self) -> bool {
        matches!(self, T::Any | T::Value | T::Map)
    }
}

/// What a function does with texts that hold values known only later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looks {
    /// Only puts them somewhere.
    Places,
    /// Looks into texts that it is given.
    Inside,
    /// Looks into texts anywhere in what it is given.
    Deep,
}

/// Functions that the evaluator itself runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    No,
    And,
    Or,
}

/// One function.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [T],
    /// The type of any further arguments.
    pub(super) rest: Option<T>,
    pub(super) looks: Looks,
    pub(super) special: Special,
    run: fn(&Call<'_, '_>) -> Outcome,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    pub(super) const fn new(name: &'static str, params: &'static [T], run: fn(&Call<'_, '_>) -> Outcome) -> Self {
        Function { name, params, rest: None, looks: Looks::Inside, special: Special::No, run }
    }

    /// With any number of further arguments.
    const fn rest(mut self, rest: T) -> Self {
        self.rest = Some(rest);
        self
    }

    /// Does not look into its arguments.
    const fn places(mut self) -> Self {
        self.looks = Looks::Places;
        self
    }

    /// Looks at everything inside its arguments.
    const fn deep(mut self) -> Self {
        self.looks = Looks::Deep;
        self
    }

    const fn special(mut self, special: Special) -> Self {
        self.special = special;
        self
    }
}

static ALL: LazyLock<BTreeMap<&'static str, &'static Function>> = LazyLock::new(|| {
    [
        builtin::FUNCTIONS,
        certificates::FUNCTIONS,
        dates::FUNCTIONS,
        dicts::FUNCTIONS,
        digests::FUNCTIONS,
        documents::FUNCTIONS,
        durations::FUNCTIONS,
        encoding::FUNCTIONS,
        lists::FUNCTIONS,
        math::FUNCTIONS,
        paths::FUNCTIONS,
        patterns::FUNCTIONS,
        random::FUNCTIONS,
        reflection::FUNCTIONS,
        rendering::FUNCTIONS,
        strings::FUNCTIONS,
        versions::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
    .map(|function| (function.name, function))
    .collect()
});

/// The function called `name`.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    ALL.get(name).copied()
}

/// The names of all functions, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.keys().copied()
}

/// A function or method with its arguments, in the middle of a rendering.
pub struct Call<'c, 'e> {
    pub(super) engine: &'c Engine<'e>,
    pub(super) set: &'c Rc<Set>,
    pub(super) function: &'static Function,
    /// The file and the byte offset of the call.
    pub(super) site: (&'c str, usize),
    pub(super) arguments: Vec<Data>,
}

impl Call<'_, '_> {
    pub(super) fn run(&self) -> Outcome {
        let tokens = &self.engine.options.tokens;
        if self.function.looks != Looks::Places && !tokens.is_empty() {
            let deep = self.function.looks == Looks::Deep;
            if let Some(source) = self.arguments.iter().find_map(|data| tokens.source_in(data, deep)) {
                return Err(Fault::unknown(format!("{source} is known only later; this function looks inside it")));
            }
        }
        (self.function.run)(self)
    }

    /// All arguments.
    pub fn arguments(&self) -> &[Data] {
        &self.arguments
    }

    /// The argument at `index`; nothing where there is none.
    pub(super) fn any(&self, index: usize) -> &Data {
        self.arguments.get(index).unwrap_or(&Data::Missing)
    }

    /// The arguments from `index` on.
    pub(super) fn from(&self, index: usize) -> &[Data] {
        self.arguments.get(index..).unwrap_or(&[])
    }

    pub(super) fn last(&self) -> &Data {
        self.arguments.last().unwrap_or(&Data::Missing)
    }

    /// A string argument as bytes; the signature has checked the type.
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        match self.any(index) {
            Data::Text(text) | Data::Bytes(text) => text.bytes(),
            _ => &[],
        }
    }

    /// A string argument.
    pub fn text(&self, index: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(index))
    }

    pub(super) fn int(&self, index: usize) -> i64 {
        match self.any(index) {
            Data::Int(_, number) => *number,
            _ => 0,
        }
    }

    pub(super) fn float(&self, index: usize) -> f64 {
        match self.any(index) {
            Data::Float(number) => *number,
            _ => 0.0,
        }
    }

    pub(super) fn bool(&self, index: usize) -> bool {
        matches!(self.any(index), Data::Bool(true))
    }

    /// A map argument; a nil map is `None`.
    pub(super) fn map(&self, index: usize) -> Option<&Map> {
        match self.any(index) {
            Data::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Pays for work on `count` items.
    pub(super) fn step(&self, count: usize) -> Result<(), Fault> {
        self.engine.budget.step(count)
    }

    /// Refuses a text of `count` bytes before it is made.
    pub(super) fn room(&self, count: usize) -> Result<(), Fault> {
        if count > MAX_TEXT { self.engine.budget.text(count) } else { Ok(()) }
    }

    /// Pays for memory.
    pub(super) fn memory(&self, count: usize) -> Result<(), Fault> {
        self.engine.budget.memory(count)
    }

    /// Pays for a list of `count` items, which must not be longer than lists may be.
    pub(super) fn items(&self, count: usize) -> Result<(), Fault> {
        if count > 1 << 20 {
            return Err(Fault::limit(format!("a list of {count} items is longer than a rendering may make")));
        }
        self.engine.budget.memory(count * size_of::<Data>())?;
        self.engine.budget.step(count)
    }
}

/// Text of any kind of value, as sprig's functions that take anything turn it into a string.
pub(super) fn to_text(data: &Data) -> Result<Text, Fault> {
    Ok(match data {
        Data::Text(text) | Data::Bytes(text) => text.clone(),
        other => Text::from(super::print::shown(other)?),
    })
}
