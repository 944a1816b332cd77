//! The search for inputs: variables, files, flags, each over the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diag::{self, Diagnostic, Diagnostics, Source};
use crate::env::vars::Vars;
use crate::stack::Draft;
use crate::stack::decode::{Declared, Decode, Decoder};
use crate::stack::inputs::synthetic::synthetic;
use crate::stack::inputs::{Given, Inputs, Origin, PREFIX, Supplied, masked};
use crate::stack::model::{Input, InputType};
use crate::stack::tree::{self, Node};
use crate::value::Value;

/// Finds a value for every declared input. Warnings beside them.
///
/// Precedence: `--var` over `--var-file` over `STACKWRIGHT_VAR_x` over the input's own variable over its
/// default.
///
/// # Errors
/// Everything that is missing, of the wrong type, or given to no input.
pub fn resolve(draft: &Draft, given: &Given, vars: &dyn Vars) -> Result<(Inputs, Vec<Diagnostic>), Diagnostics> {
    let mut search =
        Search { declared: &draft.inputs, found: BTreeMap::new(), mistakes: Vec::new(), warnings: Vec::new() };
    search.environment(vars);
    for file in &given.files {
        search.file(file);
    }
    for flag in &given.flags {
        search.flag(flag);
    }
    for (name, input) in &draft.inputs {
        if search.found.contains_key(name) || search.mistakes.iter().any(|(of, _)| of.as_ref() == Some(name)) {
            continue;
        }
        let secret = is_secret(input);
        let found = if let Some(default) = &input.default {
            Supplied { value: default.value.clone(), secret, origin: Origin::Default }
        } else if input.required.as_ref().is_some_and(|required| !required.value) {
            continue;
        } else if given.synthesize {
            Supplied { value: synthetic(name, input, &draft.tree), secret, origin: Origin::Synthetic }
        } else {
            let missing = missing(name, input);
            search.mistakes.push((Some(name.clone()), missing));
            continue;
        };
        search.found.insert(name.clone(), found);
    }
    if draft.inputs.values().any(is_secret) {
        let mistakes = search.mistakes.iter_mut().map(|(_, mistake)| mistake);
        masked::mask(&given.files, mistakes.chain(&mut search.warnings));
    }
    if search.mistakes.is_empty() {
        return Ok((Inputs { values: search.found }, search.warnings));
    }
    let mistakes = search.mistakes.into_iter().map(|(_, mistake)| mistake).chain(search.warnings);
    Err(Diagnostics(mistakes.collect()))
}

fn is_secret(input: &Input) -> bool {
    input.secret.as_ref().is_some_and(|secret| secret.value)
}

pub(super) fn kind(input: &Input) -> InputType {
    input.kind.as_ref().map_or(InputType::String, |kind| kind.value)
}

fn missing(name: &str, input: &Input) -> Diagnostic {
    let example = match kind(input) {
        InputType::String => "VALUE",
        InputType::Number => "1",
        InputType::Bool => "true",
        InputType::List => "'[\"a\", \"b\"]'",
        InputType::Map => "'{ a = \"b\" }'",
    };
    let own = input.env.as_ref().map(|env| format!("set {}, or ", &**env)).unwrap_or_default();
    // A secret on the command line stays in the shell's history.
    let flag = if is_secret(input) {
        format!("set {PREFIX}{name}, or pass --var-file FILE with {name} = \"…\"")
    } else {
        format!("pass --var {name}={example}, or set {PREFIX}{name}")
    };
    let about = input.description.as_ref().map(|text| format!(" ({})", &**text)).unwrap_or_default();
    Diagnostic::error(format!("the input {name} has no value{about}"))
        .at(input.span.clone(), "declared here")
        .hint(format!("{own}{flag}"))
}

struct Search<'a> {
    declared: &'a BTreeMap<String, Input>,
    found: BTreeMap<String, Supplied>,
    /// With the input that each is about.
    mistakes: Vec<(Option<String>, Diagnostic)>,
    warnings: Vec<Diagnostic>,
}

impl Search<'_> {
    fn environment(&mut self, vars: &dyn Vars) {
        for (name, input) in self.declared {
            let ours = format!("{PREFIX}{name}");
            // CI sets secrets that it does not have to nothing; our own prefix means what it says.
            let own = || {
                let variable = input.env.as_ref()?;
                vars.get(variable).filter(|text| !text.is_empty()).map(|text| (variable.to_string(), text))
            };
            if let Some((variable, text)) = vars.get(&ours).map(|text| (ours, text)).or_else(own) {
                self.text(name, input, &text, Origin::Variable(variable));
            }
        }
    }

    fn file(&mut self, source: &Arc<Source>) {
        let (tree, mistakes) = tree::read(source);
        if !mistakes.is_empty() {
            self.mistakes.extend(mistakes.into_iter().map(|mistake| (None, mistake)));
            return;
        }
        for (name, entry) in tree.table().into_iter().flatten() {
            let Some(input) = self.declared.get(name) else {
                let mut warning = Diagnostic::warning(format!("there is no input {name}"))
                    .at(entry.key.clone(), "not declared by the stack");
                warning.hint = self.meant(name);
                self.warnings.push(warning);
                continue;
            };
            let none: BTreeMap<String, Declared> = BTreeMap::new();
            let mut decoder = Decoder::new(&none);
            let value = match &entry.value.node {
                // Values are data: `${` in them is no reference.
                Node::String(text) => Some(Value::String(text.clone())),
                _ => Value::decode(&entry.value, &mut decoder),
            };
            self.mistakes.extend(decoder.mistakes.into_iter().map(|mistake| (Some(name.clone()), mistake)));
            let Some(value) = value else { continue };
            if kind(input).admits(&value) {
                let origin = Origin::File(source.name.clone());
                self.found.insert(name.clone(), Supplied { value, secret: is_secret(input), origin });
            } else {
                let wanted = kind(input).word();
                let mistake = Diagnostic::error(format!("the input {name} is a {wanted}"))
                    .at(entry.value.span.clone(), format!("expected a {wanted}, found {}", entry.value.type_name()));
                self.mistakes.push((Some(name.clone()), mistake));
            }
        }
    }

    fn flag(&mut self, flag: &str) {
        let Some((name, text)) = flag.split_once('=') else {
            // It may be a secret whose name was forgotten.
            let mistake = Diagnostic::error("a --var gives no value: it has no =").hint("write --var name=value");
            self.mistakes.push((None, mistake));
            return;
        };
        let name = name.trim();
        match self.declared.get(name) {
            Some(input) => self.text(name, input, text, Origin::Flag),
            None => {
                let mut mistake = Diagnostic::error(format!("--var {name}: the stack has no such input"));
                mistake.hint = self.meant(name);
                self.mistakes.push((None, mistake));
            }
        }
    }

    fn meant(&self, name: &str) -> Option<String> {
        let names = || self.declared.keys().map(String::as_str);
        match diag::suggest(name, names()) {
            Some(close) => Some(format!("did you mean {close}?")),
            None if self.declared.is_empty() => Some("the stack declares no inputs".to_owned()),
            None => Some(format!("the stack has {}", names().collect::<Vec<_>>().join(", "))),
        }
    }

    /// A value given as text: strings as they are, numbers and booleans as written, lists and maps as TOML
    /// or JSON.
    fn text(&mut self, name: &str, input: &Input, text: &str, origin: Origin) {
        let wanted = kind(input);
        let value = match wanted {
            InputType::String => Some(Value::String(text.to_owned())),
            InputType::Bool => match text.trim() {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            InputType::Number => {
                let text = text.trim();
                let float = || text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float);
                text.parse::<i64>().ok().map(Value::Int).or_else(float)
            }
            InputType::List | InputType::Map => structured(text).filter(|value| wanted.admits(value)),
        };
        if let Some(value) = value {
            self.found.insert(name.to_owned(), Supplied { value, secret: is_secret(input), origin });
            return;
        }
        let example = match wanted {
            InputType::List => "write an array: [\"a\", \"b\"]",
            InputType::Map => "write a table: { a = \"b\" }",
            InputType::Bool => "write true or false",
            _ => "write a number",
        };
        let shown = if is_secret(input) { String::new() } else { format!(": {text:?}") };
        let mistake =
            Diagnostic::error(format!("the input {name} is a {}, {origin} gives something else{shown}", wanted.word()))
                .at(input.span.clone(), "declared here")
                .hint(example);
        self.mistakes.push((Some(name.to_owned()), mistake));
    }
}

/// A list or map from TOML, else from JSON.
fn structured(text: &str) -> Option<Value> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text) {
        return Some(Value::from_json(&json));
    }
    let source = Arc::new(Source { name: String::new(), text: format!("x = {}", text.trim()) });
    let (tree, mistakes) = tree::read(&source);
    let entries = tree.table()?;
    if !mistakes.is_empty() || entries.len() != 1 {
        return None;
    }
    let none = BTreeMap::new();
    Value::decode(tree.get("x")?, &mut Decoder::new(&none))
}
