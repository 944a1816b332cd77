//! A plan for people, in Terraform's words: risk first, then groups per component.

mod attention;
mod documents;
mod lists;
mod pen;
mod resource;
mod texts;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::model::{Action, OutputChange, Pause, Plan, Reason, ResourceChange};
use crate::plan::{risk, time};
use crate::ui::paint::{Paint, count, tame, tame_line};
use crate::ui::{cost_text, places_text, time_text, wrap};
use crate::value::Value;
pub(crate) use attention::{sentence as risk_sentence, subject as risk_subject};
use pen::{Mark, Pen};

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Colours.
    pub paint: Paint,
    /// Every object instead of one line per component.
    pub verbose: bool,
    /// The width of the reader's terminal; nothing where there is none.
    pub columns: Option<usize>,
}

/// The whole plan; `No changes.` when there are none.
pub fn plan(plan: &Plan, options: Options) -> String {
    let mut pen = Pen::new(options.paint, options.columns, options.verbose);
    let paint = options.paint;
    pause(plan, &mut pen);
    if plan.refresh_only || plan.is_empty() {
        drift(plan, &mut pen);
        looked_up(plan, &mut pen);
        without_actions(plan, &mut pen);
        if plan.is_empty() {
            pen.out.push_str(&places_text::places(plan, paint));
        }
        return pen.out;
    }
    attention::attention(&mut pen, &plan.risks());
    drift(plan, &mut pen);
    looked_up(plan, &mut pen);
    let is_acting = actions(plan, &mut pen);
    let counts = plan.counts();
    let adopted = plan.changes.iter().filter(|c| c.action == Action::Adopt || c.reason == Reason::Wanted).count();
    let adopted = if adopted > 0 { format!("{adopted} to adopt, ") } else { String::new() };
    let hooks = if counts.run > 0 { format!(" {} to run.", count(counts.run, "hook")) } else { String::new() };
    if is_acting {
        let sums =
            format!("{adopted}{} to add, {} to change, {} to destroy.", counts.add, counts.change, counts.destroy);
        pen.out.push_str(&format!("{} {sums}{hooks}\n", paint.bold("Plan:")));
    }
    outputs(plan, is_acting, &mut pen);
    if !is_acting {
        let text = "You can apply this plan to save these new output values to the stackwright\nstate, without changing any \
                    real infrastructure.\n";
        let text = pen.paragraph(text);
        pen.out.push_str(&format!("\n{text}"));
    }
    if plan.partial && matches!(plan.pause, Pause::None | Pause::Paused) {
        let rest = if plan.destroy { "it leaves the rest of the stack" } else { "it does not make the whole stack" };
        pen.out.push_str(&paint.yellow(&format!("\nThis is a partial plan (--target): {rest}.\n")));
    }
    estimate(plan, &mut pen);
    cost(plan, &mut pen);
    pen.out.push_str(&places_text::places(plan, paint));
    pen.out
}

/// How long it takes.
fn estimate(plan: &Plan, pen: &mut Pen) {
    let text = time_text::estimate(&time::estimate(plan, time::PARALLELISM), pen.paint);
    let text = match pen.columns {
        Some(columns) if !text.is_empty() => wrap::prose(text.trim_end(), "", "  ", columns),
        _ => text,
    };
    if !text.is_empty() {
        pen.out.push_str(&format!("\n{text}"));
    }
}

/// One resource as the plan shows it, for what colours differences: symbols of one character in the first column.
pub(crate) fn one(change: &ResourceChange) -> String {
    let mut pen = Pen::for_diff();
    resource::resource(&mut pen, change);
    pen.out
}

/// One output, in the manner of [`one`].
pub(crate) fn one_output(name: &str, output: &OutputChange) -> String {
    let mut pen = Pen::for_diff();
    self::output(name, output, 0, &mut pen);
    pen.out
}

/// What others have changed of one resource, in the manner of [`one`].
pub(crate) fn one_drift(drift: &crate::plan::model::Drift, outcome: &str) -> String {
    let mut pen = Pen::for_diff();
    resource::drifted(&mut pen, drift, outcome);
    pen.out
}

/// What happens to a resource, in words that follow its address.
pub(crate) fn sentence(change: &ResourceChange) -> String {
    resource::sentence(change).0
}

/// Plans that do nothing to any resource.
fn without_actions(plan: &Plan, pen: &mut Pen) {
    if !plan.is_empty() {
        let text = "This is a refresh-only plan, so stackwright will not take any actions to undo\nthese. If you were \
                    expecting these changes then you can apply this plan to\nrecord the updated values in the \
                    stackwright state without changing any remote\nobjects.\n";
        let text = pen.paint.yellow(&pen.paragraph(text));
        pen.out.push_str(&text);
        return;
    }
    let (matches, more) = match (plan.refresh_only, plan.destroy) {
        (true, _) => (
            "Your infrastructure still matches the configuration.",
            "stackwright has checked that the real remote objects still match the result of\nyour most recent changes, \
             and found no differences.",
        ),
        (_, true) => (
            "No objects need to be destroyed.",
            "Either you have not created any objects yet or the existing objects were\nalready deleted outside of \
             stackwright.",
        ),
        _ => (
            "Your infrastructure matches the configuration.",
            "stackwright has compared your real infrastructure against your configuration\nand found no differences, \
             so no changes are needed.",
        ),
    };
    let none = pen.paint.bold(&pen.paint.green("No changes."));
    let more = pen.paragraph(&format!("{more}\n"));
    pen.out.push_str(&format!("{none} {matches}\n\n{more}"));
    cost(plan, pen);
}

/// Whether it is worth a line.
pub(crate) fn is_shown(change: &ResourceChange, verbose: bool) -> bool {
    let acts = change.action != Action::NoOp || change.moved_from.is_some() || change.resume;
    // That a hook is noted for later, or no longer, changes nothing that anybody could see.
    acts && (verbose || !(change.is_hook() && change.action == Action::Forget))
}

/// The changes by component, the riskiest first; those that are shown one by one, and those that are only counted.
fn actions(plan: &Plan, pen: &mut Pen) -> bool {
    let mut components: BTreeMap<&str, Vec<&ResourceChange>> = BTreeMap::new();
    for change in plan.changes.iter().filter(|change| is_shown(change, pen.verbose)) {
        components.entry(change.address.component()).or_default().push(change);
    }
    if components.is_empty() {
        return false;
    }
    legend(components.values().flatten().map(|change| change.action), pen);
    pen.out.push_str("stackwright will perform the following actions:\n\n");
    let mut groups = components.into_iter().collect::<Vec<_>>();
    groups.sort_by_key(|(name, changes)| (changes.iter().map(|c| weight(c.action)).min(), rank(name), *name));
    for (component, changes) in groups {
        group(component, &changes, plan.destroy, pen);
    }
    true
}

/// What the symbols mean, of those in use.
fn legend(actions: impl Iterator<Item = Action>, pen: &mut Pen) {
    let mut used = actions.filter(|action| *action != Action::NoOp).collect::<Vec<_>>();
    used.sort_by_key(|action| order(*action));
    let mut words = used.into_iter().map(|action| (action.symbol(), meaning(action))).collect::<Vec<_>>();
    let mut seen = BTreeSet::new();
    words.retain(|(symbol, _)| seen.insert(*symbol));
    if words.is_empty() {
        return;
    }
    let title = pen.paragraph("Resource actions are indicated with the following symbols:\n");
    pen.out.push_str(&title);
    for (symbol, meaning) in words {
        let pad = " ".repeat(3_usize.saturating_sub(symbol.len()));
        let line = format!("{pad}{} {meaning}\n", pen.paint.symbol(symbol));
        pen.out.push_str(&line);
    }
    pen.out.push('\n');
}

/// Terraform's order of symbols, and ours after that.
fn order(action: Action) -> u8 {
    match action {
        Action::Create => 0,
        Action::Update => 1,
        Action::Delete => 2,
        Action::Replace => 3,
        Action::Adopt => 4,
        Action::Run => 5,
        Action::Forget | Action::Record | Action::NoOp => 6,
    }
}

fn meaning(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update in-place",
        Action::Replace => "destroy and then create replacement",
        Action::Delete => "destroy",
        Action::Adopt => "adopt",
        Action::Run => "run",
        Action::Forget | Action::Record | Action::NoOp => "change nothing but the state",
    }
}

/// What it has to do with a pause.
fn pause(plan: &Plan, pen: &mut Pen) {
    let text = match plan.pause {
        Pause::None => return,
        Pause::Paused => {
            "This stack is paused: its pools with accelerators have no nodes. `stackwright resume` brings them back."
        }
        Pause::Pauses => "This pauses the stack: its pools with accelerators lose their nodes, and the rest stays.",
        Pause::Resumes => "This ends the pause of the stack.",
    };
    let text = wrap::prose(text, "", "", pen.columns.unwrap_or(usize::MAX));
    let text = pen.paint.bold(&pen.paint.yellow(text.trim_end()));
    pen.out.push_str(&format!("{text}\n\n"));
}

/// What it costs, where anything does.
fn cost(plan: &Plan, pen: &mut Pen) {
    let Some(cost) = &plan.cost else { return };
    let text = cost_text::cost(cost, false, pen.paint);
    let fits =
        |columns| cost_text::cost(cost, false, Paint { color: false }).lines().all(|line| wrap::width(line) <= columns);
    pen.out.push('\n');
    if pen.columns.is_none_or(fits) {
        pen.out.push_str(&text);
        return;
    }
    // The same without a table.
    let text = cost_text::narrow(cost, pen.paint, pen.prose_columns());
    pen.out.push_str(&text);
}

pub(crate) fn weight(action: Action) -> u8 {
    match action {
        Action::Replace => 0,
        Action::Delete => 1,
        Action::Forget => 2,
        Action::Update => 3,
        Action::Run => 4,
        Action::Adopt => 5,
        Action::Create => 6,
        Action::Record => 7,
        Action::NoOp => 8,
    }
}

/// The order in which people think of a stack: infrastructure first.
pub(crate) fn rank(component: &str) -> u8 {
    match component.split('.').next().unwrap_or_default() {
        "cluster" => 0,
        "node_pools" => 1,
        "addons" => 2,
        "gateway" => 3,
        "workloads" => 4,
        _ => 5,
    }
}

/// So many changes and deletions of one component are shown one by one without being asked for.
const LOUD: usize = 12;

/// So many of those that go are named where they are not shown one by one.
const NAMED: usize = 50;

fn group(component: &str, changes: &[&ResourceChange], destroy: bool, pen: &mut Pen) {
    let folded = changes.len() > 1 && !pen.verbose;
    let is_risky =
        |c: &ResourceChange| matches!(c.action, Action::Replace | Action::Update | Action::Delete | Action::Run);
    let risky = changes.iter().filter(|c| is_risky(c)).count();
    // Where everything goes, one more deletion is no news.
    let loud = |c: &&&ResourceChange| {
        let told = c.reason == Reason::Abandoned || (c.action == Action::Run && destroy);
        !folded || told || (is_risky(c) && risky <= LOUD && !destroy)
    };
    for change in changes.iter().filter(loud) {
        resource::resource(pen, change);
    }
    if !folded {
        return;
    }
    let mut by_action: BTreeMap<u8, Vec<&ResourceChange>> = BTreeMap::new();
    for change in changes.iter().filter(|c| !loud(c)) {
        by_action.entry(weight(change.action)).or_default().push(change);
    }
    let objects = changes.iter().all(|c| c.address.object_key().is_some());
    for (_, these) in by_action {
        let action = these[0].action;
        let hooks = matches!(action, Action::Run | Action::Record);
        let of = changes.iter().copied().filter(|c| c.action == action || !hooks).collect::<Vec<_>>();
        let noun = match (hooks, objects) {
            (true, _) => "hook",
            (false, true) => "object",
            (false, false) => "resource",
        };
        let line = format!(
            "  {} {}: {} {}{}\n",
            pen.paint.symbol(action.symbol()),
            pen.paint.bold(&tame_line(component)),
            count(these.len(), noun),
            verb(action),
            pen.paint.dim(&origin(&of)),
        );
        pen.out.push_str(&line);
        // What is lost has a name, but where everything is.
        if matches!(action, Action::Delete | Action::Replace) && !destroy {
            for change in these.iter().take(NAMED) {
                let key = change.address.object_key().unwrap_or(change.address.as_str());
                pen.out.push_str(&format!("      {}\n", tame_line(key)));
            }
            if these.len() > NAMED {
                pen.out.push_str(&format!("      and {} more (-v shows them)\n", these.len() - NAMED));
            }
        }
        pen.out.push('\n');
    }
}

/// ` (stand-in)` when that is where all of them come from.
fn origin(changes: &[&ResourceChange]) -> String {
    let mut origins = changes.iter().filter_map(|c| c.origin.as_deref()).collect::<Vec<_>>();
    origins.sort_unstable();
    origins.dedup();
    match origins[..] {
        [] => String::new(),
        [one] => format!(" ({})", tame_line(one)),
        _ => format!(" ({} sources)", origins.len()),
    }
}

pub(crate) fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "to add",
        Action::Update => "to change",
        Action::Replace => "to replace",
        Action::Delete => "to destroy",
        Action::Forget => "to forget",
        Action::Adopt => "to adopt",
        Action::Run => "to run",
        Action::Record => "to keep for later",
        Action::NoOp => "to rename or finish",
    }
}

/// More than that is only counted, but where everything is shown.
const DRIFTS: usize = 20;

fn drift(plan: &Plan, pen: &mut Pen) {
    if plan.drift.is_empty() {
        return;
    }
    let title = pen.paint.yellow("Note: Objects have changed outside of stackwright");
    let affects = if plan.refresh_only { "" } else { " which may have affected this plan" };
    let text = pen.paragraph(&format!(
        "stackwright detected the following changes made outside of stackwright since the\nlast \"stackwright apply\"{affects}:\n"
    ));
    pen.out.push_str(&format!("{title}\n\n{text}\n"));
    let outcomes = risk::outcomes(plan);
    let most = if pen.verbose { usize::MAX } else { DRIFTS };
    for (drift, outcome) in outcomes.iter().take(most) {
        resource::drifted(pen, drift, outcome.words());
    }
    if outcomes.len() > most {
        pen.out.push_str(&format!("  # and {} more (-v shows them)\n\n", outcomes.len() - most));
    }
}

/// What charts have been told of the cluster: another answer could have made another plan.
fn looked_up(plan: &Plan, pen: &mut Pen) {
    if plan.looked_up.is_empty() {
        return;
    }
    pen.out.push_str("Charts have looked these up in the cluster:\n\n");
    for (question, there) in &plan.looked_up {
        let answer = if *there { "is there" } else { "is not there" };
        let line = format!("  # {} {}\n", tame(question), pen.paint.dim(answer));
        pen.out.push_str(&line);
    }
    pen.out.push('\n');
}

fn outputs(plan: &Plan, is_below: bool, pen: &mut Pen) {
    let changed = plan.outputs.iter().filter(|(_, o)| !o.sensitive && o.before != o.after).collect::<Vec<_>>();
    if changed.is_empty() {
        return;
    }
    pen.out.push_str(if is_below { "\nChanges to Outputs:\n" } else { "Changes to Outputs:\n" });
    let columns = changed.iter().map(|(name, _)| wrap::width(&tame_line(name))).max().unwrap_or(0);
    for (name, change) in changed {
        output(name, change, columns, pen);
    }
}

fn output(name: &str, output: &OutputChange, columns: usize, pen: &mut Pen) {
    let head = format!("{} = ", wrap::pad(&tame_line(name), columns));
    let null = Value::Null;
    match (&output.before, &output.after) {
        (None, Some(after)) => tree::whole(pen, 2, Mark::Add, &head, after, ""),
        (Some(before), after) if before != after.as_ref().unwrap_or(&null) => {
            let pair = tree::Pair { before: Some(before), after: after.as_ref() };
            tree::differing(pen, 2, &head, &pair, &[], "");
        }
        _ => {}
    }
}
