//! A plan for people, in Terraform's words: risk first, then groups per component.

use std::collections::BTreeMap;

use crate::plan::model::{Action, Pause, Plan, Reason, ResourceChange};
use crate::plan::time;
use crate::resource::hook::MANIFEST;
use crate::resource::kind::Change;
use crate::ui::paint::{Paint, count, tame};
use crate::ui::places_text::places;
use crate::ui::{cost_text, time_text, values};
use crate::value::Value;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Colours.
    pub paint: Paint,
    /// Every object instead of one line per component.
    pub verbose: bool,
}

/// The whole plan; `No changes.` when there are none.
pub fn plan(plan: &Plan, options: Options) -> String {
    let paint = options.paint;
    let mut out = String::new();
    pause(plan, paint, &mut out);
    drift(plan, paint, &mut out);
    looked_up(plan, paint, &mut out);
    if plan.is_empty() {
        let matches = match plan.refresh_only {
            true => "Everything is as the state has it.",
            false => "Your stack matches what is there.",
        };
        out.push_str(&format!("{} {matches}\n", paint.bold(&paint.green("No changes."))));
        cost(plan, paint, &mut out);
        out.push_str(&places(plan, paint));
        return out;
    }
    if plan.refresh_only {
        let text =
            "This is a refresh-only plan: applying it takes note of the above in the state, and changes nothing.\n";
        out.push_str(&paint.yellow(text));
        return out;
    }
    let acting = plan.changes.iter().filter(|c| c.action != Action::NoOp || c.moved_from.is_some() || c.resume);
    // That a hook is noted for later, or no longer, changes nothing that anybody could see.
    let quiet = |c: &ResourceChange| c.is_hook() && matches!(c.action, Action::Forget);
    let acting = acting.filter(|c| options.verbose || !quiet(c));
    let mut components: BTreeMap<&str, Vec<&ResourceChange>> = BTreeMap::new();
    for change in acting {
        components.entry(change.address.component()).or_default().push(change);
    }
    if !components.is_empty() {
        out.push_str("stackwright will perform the following actions:\n\n");
    }
    let mut groups = components.into_iter().collect::<Vec<_>>();
    groups.sort_by_key(|(name, changes)| (changes.iter().map(|c| risk(c.action)).min(), rank(name), *name));
    for (component, changes) in groups {
        group(component, &changes, plan.destroy, options, &mut out);
    }
    outputs(plan, paint, &mut out);
    let counts = plan.counts();
    let hooks = if counts.run > 0 { format!(" {} to run.", count(counts.run, "hook")) } else { String::new() };
    out.push_str(&format!(
        "{} {} to add, {} to change, {} to destroy.{hooks}\n",
        paint.bold("Plan:"),
        counts.add,
        counts.change,
        counts.destroy
    ));
    if plan.partial && matches!(plan.pause, Pause::None | Pause::Paused) {
        let rest = if plan.destroy { "it leaves the rest of the stack" } else { "it does not make the whole stack" };
        out.push_str(&paint.yellow(&format!("This is a partial plan (--target): {rest}.\n")));
    }
    out.push_str(&time_text::estimate(&time::estimate(plan, time::PARALLELISM), paint));
    cost(plan, paint, &mut out);
    out.push_str(&places(plan, paint));
    out
}

/// What it has to do with a pause.
fn pause(plan: &Plan, paint: Paint, out: &mut String) {
    let text = match plan.pause {
        Pause::None => return,
        Pause::Paused => {
            "This stack is paused: its pools with accelerators have no nodes. `stackwright resume` brings them back."
        }
        Pause::Pauses => "This pauses the stack: its pools with accelerators lose their nodes, and the rest stays.",
        Pause::Resumes => "This ends the pause of the stack.",
    };
    out.push_str(&format!("{}\n\n", paint.bold(&paint.yellow(text))));
}

/// What it costs, where anything does.
fn cost(plan: &Plan, paint: Paint, out: &mut String) {
    if let Some(cost) = &plan.cost {
        out.push('\n');
        out.push_str(&cost_text::cost(cost, false, paint));
    }
}

fn risk(action: Action) -> u8 {
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
fn rank(component: &str) -> u8 {
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

fn group(component: &str, changes: &[&ResourceChange], destroy: bool, options: Options, out: &mut String) {
    let folded = changes.len() > 1 && !options.verbose;
    let is_risky =
        |c: &ResourceChange| matches!(c.action, Action::Replace | Action::Update | Action::Delete | Action::Run);
    let risky = changes.iter().filter(|c| is_risky(c)).count();
    // Where everything goes, one more deletion is no news.
    let loud = |c: &&&ResourceChange| {
        let told = c.reason == Reason::Abandoned || (c.action == Action::Run && destroy);
        !folded || told || (is_risky(c) && risky <= LOUD && !destroy)
    };
    for change in changes.iter().filter(loud) {
        resource(change, options, out);
    }
    if !folded {
        return;
    }
    let mut by_action: BTreeMap<u8, (Action, usize)> = BTreeMap::new();
    for change in changes.iter().filter(|c| !loud(c)) {
        by_action.entry(risk(change.action)).or_insert((change.action, 0)).1 += 1;
    }
    for (action, number) in by_action.into_values() {
        let hooks = matches!(action, Action::Run | Action::Record);
        let of = changes.iter().copied().filter(|c| c.action == action || !hooks).collect::<Vec<_>>();
        let origin = origin(&of);
        let noun = if hooks {
            "hook"
        } else if changes.iter().all(|c| c.address.object_key().is_some()) {
            "object"
        } else {
            "resource"
        };
        out.push_str(&format!(
            "  {} {}: {} {}{}\n\n",
            options.paint.symbol(action.symbol()),
            options.paint.bold(&tame(component)),
            count(number, noun),
            verb(action),
            options.paint.dim(&origin),
        ));
    }
}

/// ` (stand-in)` when that is where all of them come from.
fn origin(changes: &[&ResourceChange]) -> String {
    let mut origins = changes.iter().filter_map(|c| c.origin.as_deref()).collect::<Vec<_>>();
    origins.sort_unstable();
    origins.dedup();
    match origins[..] {
        [] => String::new(),
        [one] => format!(" ({})", tame(one)),
        _ => format!(" ({} sources)", origins.len()),
    }
}

fn verb(action: Action) -> &'static str {
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

fn resource(change: &ResourceChange, options: Options, out: &mut String) {
    let paint = options.paint;
    let address = paint.bold(&tame(change.address.as_str()));
    let (sentence, note) = sentence(change);
    out.push_str(&format!("  # {address} {sentence}\n"));
    for line in note.lines() {
        out.push_str(&format!("  # {}\n", paint.dim(&tame(line))));
    }
    out.push_str(&format!("  {} {}", paint.symbol(change.action.symbol()), tame(&change.kind)));
    match (&change.after, change.action) {
        (Some(after), Action::Create) => {
            out.push_str(" {\n");
            let mut body = String::new();
            values::block(after, "+", 6, &mut body);
            out.push_str(&colour_lead(&body, "+", paint));
            out.push_str("    }\n\n");
        }
        (Some(after), Action::Run | Action::Record) if options.verbose => {
            let mut body = String::new();
            values::block(after.get(MANIFEST).unwrap_or(&Value::Null), " ", 6, &mut body);
            out.push_str(&format!(" {{\n{body}    }}\n\n"));
        }
        (_, Action::Update | Action::Replace) if !change.changes.is_empty() => {
            out.push_str(" {\n");
            for one in &change.changes {
                attribute(one, paint, out);
                holders(one, change.take, paint, out);
            }
            out.push_str("    }\n\n");
        }
        _ => out.push_str("\n\n"),
    }
}

fn colour_lead(body: &str, lead: &str, paint: Paint) -> String {
    let mut out = String::new();
    for line in body.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        match trimmed.strip_prefix(lead) {
            Some(rest) => out.push_str(&format!("{}{}{rest}\n", &line[..indent], paint.symbol(lead))),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

fn attribute(change: &Change, paint: Paint, out: &mut String) {
    let symbol = match (&change.before, &change.after) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "~",
    };
    let name = values::path(&change.path);
    let mut notes = String::new();
    if change.forces_replace {
        notes.push_str(&paint.red(" # forces replacement"));
    }
    if let Some(effect) = &change.effect {
        notes.push_str(&paint.yellow(&format!(" # {}", tame(effect))));
    }
    if let (Some(Value::String(before)), Some(Value::String(after))) = (&change.before, &change.after)
        && (before.contains('\n') || after.contains('\n'))
    {
        out.push_str(&format!("      {} {name} = <<EOT{notes}\n", paint.symbol(symbol)));
        for line in similar::TextDiff::from_lines(before.as_str(), after.as_str()).iter_all_changes() {
            let text = tame(line.value().trim_end_matches('\n'));
            let painted = match line.tag() {
                similar::ChangeTag::Delete => format!("{} {text}", paint.red("-")),
                similar::ChangeTag::Insert => format!("{} {text}", paint.green("+")),
                similar::ChangeTag::Equal => format!("  {text}"),
            };
            out.push_str(&format!("          {painted}\n"));
        }
        out.push_str("        EOT\n");
        return;
    }
    let text = match (&change.before, &change.after) {
        // It is the author that changes, not the value.
        (Some(before), Some(after)) if before == after => values::inline(before),
        (Some(before), Some(after)) => format!("{} -> {}", values::inline(before), values::inline(after)),
        (None, Some(after)) => values::inline(after),
        (Some(before), None) => format!("{} -> null", values::inline(before)),
        (None, None) => String::new(),
    };
    out.push_str(&format!("      {} {name} = {text}{notes}\n", paint.symbol(symbol)));
}

/// Who else has set an attribute, and what becomes of that.
fn holders(change: &Change, take: bool, paint: Paint, out: &mut String) {
    if change.held_by.is_empty() {
        return;
    }
    let names = change.held_by.iter().map(|name| format!("\"{}\"", tame(name))).collect::<Vec<_>>().join(", ");
    let text = match take {
        true => format!("taken from {names}"),
        false => format!("set by {names}: apply stops here, unless --force-conflicts takes it back"),
    };
    out.push_str(&format!("        {}\n", paint.yellow(&format!("# {text}"))));
}

fn sentence(change: &ResourceChange) -> (String, String) {
    let mut note = match &change.reason {
        Reason::Same | Reason::New | Reason::Changed | Reason::Forced(_) => String::new(),
        Reason::Vanished => "it was there after the last apply and is not any more".to_owned(),
        Reason::Unfinished => "an earlier run began it and was stopped".to_owned(),
        Reason::SecretChanged(names) => {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>();
            format!("{} {} another value", values::secrets(&names), if names.len() == 1 { "has" } else { "have" })
        }
        Reason::Requested => "asked for with --replace".to_owned(),
        Reason::ConnectionReplaced(address) => format!("{address}, which it lives in, is made anew"),
        Reason::Removed => "the stack does not have it any more".to_owned(),
        Reason::Destroyed => String::new(),
        Reason::Kept => "helm.sh/resource-policy says that it, or what is in it, is to stay".to_owned(),
        Reason::Abandoned => {
            "it stays where it is, and nothing deletes it later: what it costs, it goes on costing".to_owned()
        }
        Reason::Wanted => "it is there and becomes this stack's".to_owned(),
        Reason::Found => "it carries this stack's labels, and the state does not know it".to_owned(),
    };
    if let Some(from) = &change.moved_from {
        note.push_str(&format!("{}it was called {from}", if note.is_empty() { "" } else { "\n" }));
    }
    if let Some(origin) = &change.origin
        && change.action == Action::Create
    {
        note.push_str(&format!("{}from {origin}", if note.is_empty() { "" } else { "\n" }));
    }
    if change.is_hook() {
        note = match (&change.reason, change.origin.as_deref()) {
            (Reason::Unfinished, _) => note,
            (_, Some(origin)) => format!("from {origin}"),
            (_, None) => String::new(),
        };
    }
    let sentence = match change.action {
        Action::Create => "will be created",
        Action::Update if change.reason == Reason::Wanted => "will be adopted",
        Action::Update => "will be updated in-place",
        Action::Replace => "must be replaced",
        Action::Delete => "will be destroyed",
        Action::Forget => "will be forgotten",
        Action::Adopt => "will be adopted",
        Action::Run => "will be run",
        Action::Record => "will be kept for later",
        Action::NoOp if change.is_hook() => "will be cleared away",
        Action::NoOp if change.resume => "will be waited for",
        Action::NoOp => "has moved",
    };
    (sentence.to_owned(), note)
}

fn drift(plan: &Plan, paint: Paint, out: &mut String) {
    if plan.drift.is_empty() {
        return;
    }
    out.push_str(&paint.yellow("Note: things have changed outside of stackwright since the last apply:\n\n"));
    for drift in plan.drift.iter().take(20) {
        let address = tame(drift.address.as_str());
        if drift.changes.is_empty() {
            out.push_str(&format!("  # {address} is not there any more\n"));
            continue;
        }
        out.push_str(&format!("  # {address} has changed\n"));
        drift.changes.iter().for_each(|change| attribute(change, paint, out));
    }
    if plan.drift.len() > 20 {
        out.push_str(&format!("  # and {} more\n", plan.drift.len() - 20));
    }
    out.push('\n');
}

/// What charts have been told of the cluster: another answer could have made another plan.
fn looked_up(plan: &Plan, paint: Paint, out: &mut String) {
    if plan.looked_up.is_empty() {
        return;
    }
    out.push_str("Charts have looked these up in the cluster:\n\n");
    for (question, there) in &plan.looked_up {
        let answer = if *there { "is there" } else { "is not there" };
        out.push_str(&format!("  # {} {}\n", tame(question), paint.dim(answer)));
    }
    out.push('\n');
}

fn outputs(plan: &Plan, paint: Paint, out: &mut String) {
    let changed = plan.outputs.iter().filter(|(_, o)| !o.sensitive && o.before != o.after).collect::<Vec<_>>();
    if changed.is_empty() {
        return;
    }
    out.push_str("Changes to Outputs:\n");
    let width = changed.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, output) in changed {
        let (symbol, text) = match (&output.before, &output.after) {
            (None, Some(after)) => ("+", values::inline(after)),
            (Some(before), Some(after)) => ("~", format!("{} -> {}", values::inline(before), values::inline(after))),
            (before, None) => ("-", before.as_ref().map(values::inline).unwrap_or_default()),
        };
        out.push_str(&format!("  {} {:width$} = {text}\n", paint.symbol(symbol), tame(name)));
    }
    out.push('\n');
}
