//! What a stack file means as a whole: references that lead somewhere, no circles, settings that fit.
//!
//! Only what can be said without the catalogue's tables and without a cloud. Existence is looked up in the
//! tree, so that a component with a mistake of its own still counts as declared.

mod circle;
mod components;

use std::collections::BTreeSet;

use crate::diag::{self, Diagnostic, Span};
use crate::stack::decode::Use;
use crate::stack::model::Stack;
use crate::stack::outputs;
use crate::stack::tree::Tree;

/// The sections whose entries are components.
const SECTIONS: [&str; 6] = ["node_pools", "addons", "workloads", "charts", "manifests", "values"];

/// The components that there is one of.
const SINGLE: [&str; 2] = ["cluster", "gateway"];

/// Collects what does not fit together.
pub(crate) struct Checker<'a> {
    tree: &'a Tree,
    pub(crate) mistakes: Vec<Diagnostic>,
    pub(crate) gaps: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Checker { tree, mistakes: Vec::new(), gaps: Vec::new() }
    }

    fn mistake(&mut self, span: &Span, summary: impl Into<String>, label: impl Into<String>, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error(summary).at(span.clone(), label);
        diagnostic.hint = hint;
        self.mistakes.push(diagnostic);
    }

    fn gap(&mut self, span: &Span, summary: impl Into<String>, label: impl Into<String>, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error(summary).at(span.clone(), label);
        diagnostic.hint = hint;
        self.gaps.push(diagnostic);
    }

    /// Whether the file declares the component.
    fn declares(&self, component: &str) -> bool {
        match component.split_once('.') {
            None => SINGLE.contains(&component) && self.tree.get(component).is_some(),
            Some((section, name)) => {
                SECTIONS.contains(&section) && self.tree.get(section).and_then(|table| table.get(name)).is_some()
            }
        }
    }

    /// A hint towards the component that was meant.
    fn meant(&self, component: &str) -> Option<String> {
        // Suggestions compare with every name; a thousand mistakes get none.
        if self.mistakes.len() > 100 {
            return None;
        }
        if let Some((section, name)) = component.split_once('.')
            && let Some(table) = self.tree.get(section).and_then(Tree::table)
            && let Some(close) = diag::suggest(name, table.keys().map(String::as_str))
        {
            return Some(format!("did you mean {section}.{close}?"));
        }
        // The right name in the wrong section.
        let name = component.rsplit('.').next().unwrap_or(component);
        let elsewhere = SECTIONS.into_iter().find(|section| self.declares(&format!("{section}.{name}")));
        if let Some(section) = elsewhere {
            return Some(format!("did you mean {section}.{name}?"));
        }
        let section = component.split('.').next().unwrap_or(component);
        let known = SECTIONS.into_iter().chain(SINGLE).chain(["inputs", "objects"]);
        if SECTIONS.contains(&section) || SINGLE.contains(&section) {
            let table = self.tree.get(section).and_then(Tree::table);
            let names = table.into_iter().flatten().take(10).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            return Some(match &names[..] {
                [] => format!("declare it: [{component}]"),
                names => format!("[{section}] has {}", names.join(", ")),
            });
        }
        diag::suggest(section, known).map(|close| format!("did you mean {close}?"))
    }

    /// Every reference leads to a declared component and an output that its type has.
    pub(crate) fn references(&mut self, uses: &[Use]) {
        for used in uses {
            let component = used.reference.address.component();
            let path = &used.reference.path;
            if !self.declares(component) {
                let summary = match component {
                    single if SINGLE.contains(&single) => format!("there is no [{single}] in this stack"),
                    _ => format!("there is no {component} in this stack"),
                };
                self.mistake(&used.span, summary, "leads nowhere", self.meant(component));
                continue;
            }
            let section = component.split('.').next().unwrap_or(component);
            if used.reference.address.object_key().is_some() {
                if matches!(section, "cluster" | "node_pools" | "values") {
                    self.mistake(&used.span, format!("{component} has no objects"), "not in Kubernetes", None);
                } else if path.is_empty() {
                    let hint = "name a field: `.metadata.uid`, `.status.loadBalancer`, `.data[\"ca.crt\"]`".to_owned();
                    self.mistake(&used.span, "a whole object cannot be referred to", "a field is missing", Some(hint));
                }
                continue;
            }
            let names = || outputs::of_section(section).map(|output| output.name);
            let all = || format!("{component} has {}", names().collect::<Vec<_>>().join(", "));
            let Some(name) = path.first() else {
                let summary = format!("say which output of {component}");
                self.mistake(&used.span, summary, "an output is missing", Some(all()));
                continue;
            };
            match outputs::of_section(section).find(|output| output.name == name) {
                None => {
                    let hint = match diag::suggest(name, names()) {
                        Some(close) => format!("did you mean {component}.{close}?"),
                        None => all(),
                    };
                    self.mistake(&used.span, format!("{component} has no output {name}"), "not known", Some(hint));
                }
                Some(output) if path.len() > 1 && !output.deep => {
                    let summary = format!("{component}.{name} is a text");
                    let hint = format!("write ${{{component}.{name}}}");
                    self.mistake(&used.span, summary, "it has no parts", Some(hint));
                }
                Some(_) => {}
            }
        }
    }

    /// The components with each other, and circles among them.
    pub(crate) fn stack(&mut self, stack: &Stack, uses: &[Use]) {
        self.components(stack);
        self.circles(stack, uses);
    }
}

/// A warning for each input that nothing refers to.
pub(crate) fn unused_inputs(tree: &Tree, used: &BTreeSet<String>) -> Vec<Diagnostic> {
    let table = tree.get("inputs").and_then(Tree::table);
    let unused = table.into_iter().flatten().filter(|(name, _)| !used.contains(*name));
    unused
        .map(|(name, entry)| {
            Diagnostic::warning(format!("the input {name} is not used"))
                .at(entry.key.clone(), "nothing refers to it")
                .hint(format!("refer to it with ${{inputs.{name}}}, or remove it"))
        })
        .collect()
}
