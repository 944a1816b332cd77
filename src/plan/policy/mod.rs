//! Whether a plan keeps the rules that a stack, or who runs it, has set: `[[policy]]` and `--policy FILE`.
//!
//! A rule looks at the plan as data: at what happens, at what resources are once it is carried out, at the cost. It
//! holds for what stays as it is too, since whoever sets a rule wants it kept by the stack, not by its changes alone.
//! Nothing is asked of any platform. Richer rules are for OPA, over the plan's JSON (docs/policy.md). Pure.

mod checks;

use crate::address::Address;
use crate::diag::{Diagnostic, Severity, Span};
use crate::plan::model::{Plan, ResourceChange};
#[cfg(test)]
use crate::resource::hook;
use crate::stack::model::Stack;
use crate::stack::policy::Policy;

/// More resources of a rule are counted, not named.
const MOST: usize = 12;

/// What rules are held against.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The plan, with what resources are before ([`super::prior`]).
    pub plan: &'a Plan,
    /// The stack that it is of.
    pub stack: &'a Stack,
}

/// What breaks a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach<'p> {
    /// The rule.
    pub rule: &'p Policy,
    /// Where in it that is asked for.
    pub span: Span,
    /// Which resource; none where it is the stack as a whole.
    pub address: Option<Address>,
    /// How, in words that follow the address: "would be deleted".
    pub how: String,
    /// What to do.
    pub hint: &'static str,
}

impl Breach<'_> {
    /// Error or warning.
    pub fn severity(&self) -> Severity {
        if self.rule.refuses() { Severity::Error } else { Severity::Warning }
    }

    /// Address and how.
    pub fn text(&self) -> String {
        match &self.address {
            Some(address) => format!("{address} {}", self.how),
            None => self.how.clone(),
        }
    }
}

/// Everything in a plan that breaks a rule, rule by rule, in the order of the plan.
pub fn judge<'p>(rules: &'p [Policy], subject: Subject<'_>) -> Vec<Breach<'p>> {
    let mut breaches = Vec::new();
    for rule in rules {
        checks::check(rule, subject, &mut breaches);
    }
    breaches
}

/// What is broken, one diagnostic for each thing that a rule asks for.
pub fn diagnostics(breaches: &[Breach<'_>]) -> Vec<Diagnostic> {
    let mut said: Vec<Diagnostic> = Vec::new();
    let mut rest = breaches;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|breach| breach.span == first.span).count();
        let (group, others) = rest.split_at(same);
        rest = others;
        let mut lines = group.iter().take(MOST).map(Breach::text).collect::<Vec<_>>();
        if group.len() > MOST {
            lines.push(format!("and {} more", group.len() - MOST));
        }
        if let Some(message) = &first.rule.message {
            lines.push(message.value.to_string());
        }
        let summary = format!("the plan breaks the policy {}", &*first.rule.name.value);
        let base = if first.rule.refuses() { Diagnostic::error(summary) } else { Diagnostic::warning(summary) };
        said.push(base.detail(lines.join("\n")).hint(first.hint).at(first.span.clone(), "this is asked for"));
    }
    said
}

/// Whether a plan with these breaches may not be applied.
pub fn refuses(breaches: &[Breach<'_>]) -> bool {
    breaches.iter().any(|breach| breach.rule.refuses())
}

/// Whether a rule looks at a resource.
fn concerns(rule: &Policy, change: &ResourceChange) -> bool {
    let kind = kind_of(change);
    let matches = |patterns: &[crate::stack::Spanned<crate::stack::NonEmpty>], text: &str| {
        patterns.iter().any(|pattern| is_like(&pattern.value, text))
    };
    let address = change.address.as_str();
    (rule.kinds.is_empty() || matches(&rule.kinds, kind))
        && (rule.addresses.is_empty() || matches(&rule.addresses, address))
        && !matches(&rule.unless, address)
        && !matches(&rule.unless, change.address.component())
}

/// `gke.cluster`, and of Kubernetes objects their own kind: `Deployment.apps`.
fn kind_of(change: &ResourceChange) -> &str {
    let Some(key) = change.address.object_key() else { return &change.kind };
    let key = key.split_once(':').filter(|_| change.is_hook()).map_or(key, |(_, key)| key);
    key.split('/').next().unwrap_or(key)
}

/// Whether a text is like a pattern, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts = parts.collect::<Vec<_>>();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
