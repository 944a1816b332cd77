//! A plan as a comment on a pull request: what a reviewer must know in a minute first, details folded away, and never
//! more than fits into one comment, however large the plan is. Text from outside is never markup.

mod changes;
mod escape;
mod graph;
mod money;

#[cfg(test)]
mod tests;

use crate::plan::compare::Comparison;
use crate::plan::model::{Action, Pause, Plan};
use crate::plan::risk::{self, Level};
use crate::plan::time;
use crate::ui::paint::{Paint, count};
use crate::ui::{compare_text, places_text, plan_text};
use escape::{clip, code, fence, prose};

/// So many bytes, and therefore characters, at most: GitHub takes 65,536 characters, and a little is for who adds a
/// line of their own.
pub const MOST: usize = 60_000;

/// What parts may take. Together with [`MOST_CHANGES`] they leave room for details.
const MOST_ATTENTION: usize = 8_000;
const MOST_CHANGES: usize = 22_000;
const MOST_COMPARISON: usize = 5_000;
const MOST_MONEY: usize = 5_000;
const MOST_OUTPUTS: usize = 3_000;
const MOST_DRIFT: usize = 3_000;
const MOST_PLACES: usize = 2_000;

/// A name in a heading.
const NAME: usize = 120;
/// A sentence with a name in it.
const SENTENCE: usize = 600;

/// What goes with a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extra<'a> {
    /// The SHA-256 of the saved plan, in hexadecimal digits.
    pub hash: &'a str,
    /// What changed since an earlier plan.
    pub since: Option<&'a Comparison>,
}

/// What stands first in the comment for a stack, so that the next run finds it and edits it in place.
pub fn marker(stack: &str) -> String {
    let safe = stack.chars().map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '.' });
    // Two hyphens would end an HTML comment.
    let safe = clip(&safe.collect::<String>(), NAME).replace("--", "-.").replace('…', "");
    format!("<!-- stackwright plan {safe} -->")
}

/// The whole comment.
pub fn plan(plan: &Plan, extra: Extra<'_>) -> String {
    let mut out = format!("{}\n", marker(&plan.stack));
    head(plan, &mut out);
    attention(plan, &mut out);
    if let Some(since) = extra.since {
        out.push_str("### Since the earlier plan\n\n");
        let text = compare_text::comparison(since, compare_text::Options::plain());
        out.push_str(&within(&text, MOST_COMPARISON, |text| fence("text", text)));
        out.push('\n');
    }
    let are_losses_named = changes::losses(plan, MOST_CHANGES, extra.hash, &mut out);
    let mut after = String::new();
    outputs(plan, &mut after);
    drift(plan, &mut after);
    if let Some(cost) = &plan.cost {
        money::cost(cost, MOST_MONEY, &mut after);
    }
    let places = places_text::places(plan, Paint { color: false });
    if !places.is_empty() {
        let body = within(places.trim(), MOST_PLACES, |text| fence("text", text));
        after.push_str(&format!("### Location\n\n{body}\n"));
    }
    money::time(&time::estimate(plan, time::PARALLELISM), &mut after);
    graph::graph(plan, &mut after);
    foot(extra.hash, &mut after);
    // What is left is for details.
    let left = MOST.saturating_sub(out.len() + after.len());
    changes::details(plan, are_losses_named, left, &mut out);
    out.push_str(&after);
    out
}

/// The title and what concerns the plan as such.
fn head(plan: &Plan, out: &mut String) {
    let counts = plan.counts();
    let name = code(&plan.stack, NAME);
    let title = match (plan.is_empty(), plan.refresh_only) {
        (true, _) => "no changes".to_owned(),
        (false, true) => format!("{} to take note of", count(plan.drift.len(), "change by other hands")),
        (false, false) => {
            let hooks = if counts.run > 0 { format!(", {} to run", count(counts.run, "hook")) } else { String::new() };
            format!("{} to add, {} to change, {} to destroy{hooks}", counts.add, counts.change, counts.destroy)
        }
    };
    let verb = if plan.destroy { "Destroy" } else { "Plan for" };
    out.push_str(&format!("## {verb} {name}: {title}\n\n"));
    let notices = [
        (plan.partial, "This is a partial plan (`--target`): it leaves out the rest of the stack."),
        (plan.pause == Pause::Paused, "The stack is paused: its pools with accelerators have no nodes."),
        (plan.pause == Pause::Pauses, "This pauses the stack: its pools with accelerators lose their nodes."),
        (plan.pause == Pause::Resumes, "This ends the pause of the stack."),
        (plan.refresh_only, "Nothing but the state is changed: it takes note of what others have changed."),
    ];
    for (_, text) in notices.iter().filter(|(holds, _)| *holds) {
        out.push_str(&format!("> {text}\n\n"));
    }
}

/// What deserves a second look, the gravest first.
fn attention(plan: &Plan, out: &mut String) {
    let risks = plan.risks();
    if risks.is_empty() {
        return;
    }
    out.push_str("### Attention\n\n");
    let mut used = 0;
    for (at, risk) in risks.iter().enumerate() {
        let mark = match risk.level {
            Level::High => ":red_circle:",
            Level::Medium => ":orange_circle:",
            Level::Low => ":white_circle:",
        };
        let subject = plan_text::risk_subject(risk);
        let subject = if subject.is_empty() { String::new() } else { format!(" {}", code(&subject, SENTENCE)) };
        let affects = risk.affects.iter().take(5).map(|name| code(name, NAME)).collect::<Vec<_>>();
        let more = if risk.affects.len() > 5 { " and others" } else { "" };
        let affects =
            if affects.is_empty() { String::new() } else { format!(" (there: {}{more})", affects.join(", ")) };
        let line = format!("- {mark} **{}**{subject}: {}{affects}\n", risk.class.word(), prose(&risk.why, SENTENCE));
        used += line.len();
        if used > MOST_ATTENTION {
            out.push_str(&format!("- and {} more of the same or less weight\n", risks.len() - at));
            break;
        }
        out.push_str(&line);
    }
    out.push('\n');
}

/// A text made into Markdown, of which as many lines are kept as fit.
fn within(text: &str, most: usize, make: impl Fn(&str) -> String) -> String {
    let whole = make(text);
    if whole.len() <= most {
        return whole;
    }
    let lines = text.lines().map(|line| clip(line, 400)).collect::<Vec<_>>();
    // Escapes and the fence take a part that no line can tell: half of it is tried, then half of that.
    let mut keep = lines.len();
    loop {
        let text = format!("{}\n… {} more lines", lines[..keep].join("\n"), lines.len() - keep);
        let made = make(&text);
        if made.len() <= most || keep == 0 {
            return made;
        }
        keep /= 2;
    }
}

fn folded(title: &str, body: &str) -> String {
    format!("<details><summary>{title}</summary>\n\n{body}\n</details>\n\n")
}

fn outputs(plan: &Plan, out: &mut String) {
    let changed = plan.outputs.iter().filter(|(_, output)| !output.sensitive && output.before != output.after);
    let text = changed.map(|(name, output)| plan_text::one_output(name, output)).collect::<String>();
    if !text.is_empty() {
        let body = within(&text, MOST_OUTPUTS, |text| fence("diff", text));
        out.push_str(&folded("Changes to Outputs", &body));
    }
}

fn drift(plan: &Plan, out: &mut String) {
    if plan.drift.is_empty() {
        return;
    }
    let outcomes = risk::outcomes(plan);
    // More than that never fit.
    let text = outcomes.iter().take(200).map(|(drift, outcome)| plan_text::one_drift(drift, outcome.words()));
    let body = within(&text.collect::<String>(), MOST_DRIFT, |text| fence("diff", text));
    let title = format!("{} made outside of stackwright", count(outcomes.len(), "change"));
    out.push_str(&folded(&title, &body));
}

fn foot(hash: &str, out: &mut String) {
    if !hash.is_empty() {
        out.push_str(&format!("---\nSHA-256 of the plan, as it is saved: {}\n", code(hash, NAME)));
    }
}

/// Whether something is lost by it.
fn is_loss(action: Action) -> bool {
    matches!(action, Action::Delete | Action::Replace)
}
