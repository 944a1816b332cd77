//! The last words of a run: Terraform's summary line, outputs, what it costs.

use std::collections::BTreeMap;

use crate::plan::cost::Cost;
use crate::ui::cost_text::dollars;
use crate::ui::paint::{Paint, count, tame};
use crate::ui::values;
use crate::value::Value;

/// How a run went, as far as the summary needs it.
pub struct Tally<'a> {
    /// Made, changed, deleted.
    pub counts: (usize, usize, usize),
    /// Hooks that ran.
    pub run: usize,
    /// Failed changes.
    pub failed: usize,
    /// Changes not tried.
    pub skipped: usize,
    /// The user stopped it.
    pub interrupted: bool,
    /// Models that did not answer, with causes and a hint.
    pub unproved: Vec<(&'a str, &'a [String], Option<&'a str>)>,
}

/// The summary line, or what went wrong.
pub fn text(tally: &Tally<'_>, destroy: bool, paint: Paint) -> String {
    let (added, changed, destroyed) = tally.counts;
    let word = if destroy { "Destroy" } else { "Apply" };
    let hooks = if tally.run > 0 { format!(" {} run.", count(tally.run, "hook")) } else { String::new() };
    let resources = format!("Resources: {added} added, {changed} changed, {destroyed} destroyed.{hooks}");
    let mut out = String::new();
    for (component, causes, hint) in &tally.unproved {
        out.push_str(&format!("\n{} {} did not answer\n", paint.red("Error:"), paint.bold(&tame(component))));
        for cause in *causes {
            out.push_str(&format!("  {}\n", tame(cause)));
        }
        if let Some(hint) = hint {
            out.push_str(&format!("  hint: {}\n", tame(hint)));
        }
    }
    if tally.failed == 0 && tally.skipped == 0 && !tally.interrupted && tally.unproved.is_empty() {
        out.push_str(&format!("\n{}", paint.bold(&paint.green(&format!("{word} complete! {resources}")))));
        return out;
    }
    let mut parts = Vec::new();
    if tally.failed > 0 {
        parts.push(format!("{} failed", tally.failed));
    }
    if tally.skipped > 0 {
        parts.push(format!("{} not tried", tally.skipped));
    }
    if tally.interrupted {
        parts.push("interrupted".to_owned());
    }
    if !tally.unproved.is_empty() {
        parts.push(format!("{} not proved", count(tally.unproved.len(), "workload")));
    }
    out.push_str(&format!(
        "\n{} {resources}\nEverything done so far is recorded: run the same command again to go on.",
        paint.bold(&paint.red(&format!("{word} incomplete ({}).", parts.join(", "))))
    ));
    out
}

/// The outputs, as Terraform prints them; empty without any.
pub fn outputs(outputs: &BTreeMap<String, Value>, paint: Paint) -> String {
    if outputs.is_empty() {
        return String::new();
    }
    let width = outputs.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let lines = outputs.iter().map(|(name, value)| match value {
        // Certificates and the like are there to be copied.
        Value::String(text) if text.contains('\n') => {
            format!("{:width$} = <<EOT\n{}\nEOT\n", tame(name), tame(text.trim_end_matches('\n')))
        }
        value => format!("{:width$} = {}\n", tame(name), values::inline(value)),
    });
    format!("\n{}\n\n{}", paint.bold(&paint.green("Outputs:")), lines.collect::<String>())
}

/// The end of a run that took note of drift, of so many resources.
pub fn noted(resources: usize, paint: Paint) -> String {
    let text = format!("\nApply complete! The state has taken note of {}.", count(resources, "resource"));
    format!(
        "{}\nNothing else was changed: `stackwright plan` shows what the stack would change back.",
        paint.bold(&paint.green(&text))
    )
}

/// What the user left where it is: (address, the platform's handle) each.
pub fn abandoned(abandoned: &[(&str, Option<&str>)], paint: Paint) -> String {
    if abandoned.is_empty() {
        return String::new();
    }
    let line = |(address, id): &(&str, Option<&str>)| match id {
        Some(id) => format!("\n  {} ({})", tame(address), tame(id)),
        None => format!("\n  {}", tame(address)),
    };
    let lines = abandoned.iter().map(line).collect::<String>();
    let noun = count(abandoned.len(), "resource");
    paint.yellow(&format!("{noun} left there and forgotten, to be deleted by hand:")) + &lines
}

/// The proof that a model answers, with its times in milliseconds, until the first token and in all; and whether it
/// went by port-forward.
pub fn proved(
    component: &str,
    model: &str,
    tokens: u64,
    first: Option<u64>,
    whole: u64,
    through: Option<&str>,
) -> String {
    let seconds = |millis: u64| format!("{}.{:02} s", millis / 1000, millis % 1000 / 10);
    let first = first.map(|first| format!("first token after {}, ", seconds(first))).unwrap_or_default();
    let by = through.map(|pod| format!(", by port-forward to {}: its gateway has no public address", tame(pod)));
    let (by, took) = (by.unwrap_or_default(), seconds(whole));
    format!("{} answers as {}: {first}{tokens} tokens in {took}{by}.", tame(component), tame(model))
}

/// A model that answers.
pub fn answered(component: &str, text: &str) -> String {
    format!("{} answers: {}", tame(component), tame(text.trim()))
}

/// A model that does not.
pub fn silent(component: &str, why: &str, paint: Paint) -> String {
    format!("{} {} did not answer: {}", paint.red("Error:"), paint.bold(&tame(component)), tame(why))
}

/// What it costs from now on; empty where nothing does.
pub fn cost(cost: Option<&Cost>) -> String {
    let Some(cost) = cost else { return String::new() };
    let after = cost.after;
    let mut text = format!(
        "Cost while it runs: {} per hour, {} per day, by list prices.",
        dollars(after.per_hour, after.complete),
        dollars(after.per_day, true)
    );
    let unknown = cost.unknown().map(|line| line.what.as_str()).collect::<Vec<_>>();
    if !unknown.is_empty() {
        text.push_str(&format!(" Unknown: {}.", tame(&unknown.join(", "))));
    }
    text
}
