//! The stack file: TOML in, a typed model and all its mistakes out. Pure.
//!
//! [`parse`] finds every mistake that can be seen without the inputs' values and gives a [`Draft`];
//! [`inputs::resolve`] collects the values; [`Draft::bind`] puts them in and gives the [`Stack`]. [`load`]
//! does all three. What a stack expands to is for `catalog`.

mod check;
mod decode;
pub mod format;
pub mod inputs;
mod leaf;
pub mod model;
mod names;
pub mod outputs;
mod overlay;
pub mod policy;
mod reference;
pub mod schema;
mod serving;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use decode::Spanned;
pub use leaf::{
    AddressText, Autoscale, BackendUrl, Block, ChartSource, Digest, Dollars, Fraction, GatewayTls, GkeName,
    GoogleLabel, HostName, KubernetesLabel, LabelKey, LabelName, Location, ModelUri, Moment, NonEmpty, ProjectId,
    Provisioning, Quantity, Recurrence, Text, TimeOfDay, Topology, Url, Values, VariableName, Whole, parse_duration,
};
pub use model::Stack;
pub use overlay::{DiskLoader, Loader, NoLoader, beside, source};

use crate::diag::{Diagnostic, Diagnostics, Source};
use crate::env::vars::Vars;
use decode::{Declared, Decode, Decoder, Field};
use model::{Input, InputType};
use tree::Tree;

/// The most diagnostics of one stack; nobody reads on.
const MOST: usize = 200;

/// A stack file without mistakes whose inputs have no values yet.
#[derive(Clone, Debug)]
pub struct Draft {
    tree: Tree,
    inputs: BTreeMap<String, Input>,
}

impl Draft {
    /// The declared inputs.
    pub fn inputs(&self) -> &BTreeMap<String, Input> {
        &self.inputs
    }

    /// The stack with its inputs' values in place. Secret inputs stay references by name.
    ///
    /// # Errors
    /// Mistakes that the values bring: a name too long, a number out of range.
    pub fn bind(self, inputs: &inputs::Inputs) -> Result<Stack, Diagnostics> {
        let tree = inputs.fill(self.tree);
        let mut reading = Reading::of(&tree);
        match (reading.stack.take(), reading.finish()) {
            (Some(stack), (mistakes, _)) if mistakes.is_empty() => Ok(stack),
            (_, (mistakes, _)) => Err(Diagnostics(mistakes)),
        }
    }
}

/// Reads a stack file and everything that it extends.
///
/// # Errors
/// All mistakes of all files, in the order of their places.
pub fn parse(source: Arc<Source>, loader: &dyn Loader) -> Result<(Draft, Vec<Diagnostic>), Diagnostics> {
    let (tree, unreadable) = overlay::read(source, loader);
    let whole = unreadable.is_empty();
    let reading = Reading::of(&tree);
    let inputs = reading.inputs.clone();
    if !whole {
        // What seems to be missing may stand in the part that could not be read, and what seems to be wrong
        // may be its ruins: of such a file only mistakes on other lines are worth saying.
        let torn = unreadable.iter().filter_map(line).collect::<BTreeSet<_>>();
        let mut mistakes = reading
            .mistakes
            .into_iter()
            .filter(|d| line(d).is_none_or(|line| !torn.contains(&line)))
            .collect::<Vec<_>>();
        mistakes.extend(unreadable);
        return Err(Diagnostics(shortened(in_order(mistakes))));
    }
    let (mistakes, warnings) = reading.finish();
    match inputs {
        Some(inputs) if mistakes.is_empty() => Ok((Draft { tree, inputs }, warnings)),
        // What seems to be unused may be meant where a mistake is.
        _ => Err(Diagnostics(shortened(mistakes))),
    }
}

/// A stack ready to be expanded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The stack.
    pub stack: Stack,
    /// The inputs' values, secrets included.
    pub inputs: inputs::Inputs,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}

/// [`parse`], [`inputs::resolve`] and [`Draft::bind`].
///
/// # Errors
/// All mistakes that the first failing step finds.
pub fn load(
    source: Arc<Source>,
    loader: &dyn Loader,
    given: &inputs::Given,
    vars: &dyn Vars,
) -> Result<Loaded, Diagnostics> {
    let (draft, mut warnings) = parse(source, loader)?;
    let (inputs, more) = inputs::resolve(&draft, given, vars)?;
    warnings.extend(more);
    let stack = draft.bind(&inputs)?;
    Ok(Loaded { stack, inputs, warnings })
}

/// Everything that can be said about a stack with the inputs that are there: [`parse`], then [`Draft::bind`] if
/// every input has a value. A missing value is no mistake of the file. Returns the warnings.
///
/// # Errors
/// All mistakes that the first failing step finds.
pub fn validate(
    source: Arc<Source>,
    loader: &dyn Loader,
    given: &inputs::Given,
    vars: &dyn Vars,
) -> Result<Vec<Diagnostic>, Diagnostics> {
    let (draft, mut warnings) = parse(source, loader)?;
    let strict = inputs::Given { synthesize: false, ..given.clone() };
    if let Ok((inputs, more)) = inputs::resolve(&draft, &strict, vars) {
        warnings.extend(more);
        draft.bind(&inputs)?;
        return Ok(warnings);
    }
    // With every gap filled, what remains is wrong whatever the missing values are.
    let filled = inputs::Given { synthesize: true, ..given.clone() };
    let (_, more) = inputs::resolve(&draft, &filled, vars)?;
    warnings.extend(more);
    Ok(warnings)
}

/// One walk over a tree.
struct Reading {
    inputs: Option<BTreeMap<String, Input>>,
    stack: Option<Stack>,
    mistakes: Vec<Diagnostic>,
    gaps: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Reading {
    fn of(tree: &Tree) -> Reading {
        let none = BTreeMap::new();
        // Everything may refer to inputs, so they come first; their own mistakes are found again below.
        let inputs = <BTreeMap<String, Input> as Field>::field(tree, "inputs", "", &mut Decoder::new(&none));
        let declared = declarations(tree);
        let mut decoder = Decoder::new(&declared);
        let stack = Stack::decode(tree, &mut decoder);
        let mut checker = check::Checker::new(tree);
        checker.references(&decoder.references);
        match &stack {
            Some(stack) => checker.stack(stack, &decoder.references),
            // A mistake in a key of the file itself hides nothing of the components.
            None => {
                if let Some(stack) = Stack::decode(&without_own_keys(tree), &mut Decoder::new(&declared)) {
                    checker.stack(&stack, &decoder.references);
                }
            }
        }
        // What a rule asks for may be what is wrong with it.
        if let Some(stack) = stack.as_ref().filter(|_| decoder.mistakes.is_empty()) {
            checker.mistakes.extend(stack.policy.iter().filter_map(policy::Policy::mistake));
        }
        let warnings = check::unused_inputs(tree, &decoder.used);
        let (mut mistakes, mut gaps) = (decoder.mistakes, decoder.gaps);
        mistakes.append(&mut checker.mistakes);
        gaps.append(&mut checker.gaps);
        Reading { inputs, stack, mistakes, gaps, warnings }
    }

    /// All mistakes in order, and the warnings.
    fn finish(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (in_order(self.mistakes.into_iter().chain(self.gaps).collect()), in_order(self.warnings))
    }
}

/// The tree with a name that is good and without its other keys that are no tables.
fn without_own_keys(tree: &Tree) -> Tree {
    let mut table = tree.table().cloned().unwrap_or_default();
    table.retain(|key, _| !matches!(key.as_str(), "description" | "extends"));
    let value = Tree { span: tree.span.clone(), node: tree::Node::String("unnamed".to_owned()) };
    table.insert("name".to_owned(), tree::Entry { key: tree.span.clone(), value });
    Tree { span: tree.span.clone(), node: tree::Node::Table(table) }
}

/// The inputs that a tree declares, as far as they can be made out.
fn declarations(tree: &Tree) -> BTreeMap<String, Declared> {
    let declared = |entry: &tree::Entry| Declared {
        kind: entry.value.get("type").and_then(Tree::text).and_then(InputType::from_word).unwrap_or(InputType::String),
        secret: matches!(entry.value.get("secret").map(|secret| &secret.node), Some(tree::Node::Bool(true))),
    };
    let table = tree.get("inputs").and_then(Tree::table);
    table.into_iter().flatten().map(|(name, entry)| (name.clone(), declared(entry))).collect()
}

/// The file and line of a diagnostic.
fn line(diagnostic: &Diagnostic) -> Option<(String, usize)> {
    let (span, _) = diagnostic.span.as_ref()?;
    Some((span.source.name.clone(), span.line_column().0))
}

/// The first of very many, and how many more there are.
fn shortened(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if diagnostics.len() > MOST {
        let more = diagnostics.len() - MOST;
        diagnostics.truncate(MOST);
        diagnostics.push(
            Diagnostic::error(format!("{more} more mistakes in this stack"))
                .hint("correct these first, then run again"),
        );
    }
    diagnostics
}

/// Sorted by place, each once.
fn in_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let place = |d: &Diagnostic| {
        d.span.as_ref().map_or((String::new(), usize::MAX), |(span, _)| (span.source.name.clone(), span.range.start))
    };
    diagnostics.sort_by_cached_key(place);
    let mut unique: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        let repeated = unique.iter().rev().take_while(|d| place(d) == place(&diagnostic)).any(|d| *d == diagnostic);
        if !repeated {
            unique.push(diagnostic);
        }
    }
    unique
}

#[cfg(test)]
mod tests;
