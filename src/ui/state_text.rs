//! State and status for people.

use std::collections::BTreeMap;

use crate::address::Address;
use crate::measure::checks::{Check, Outcome};
use crate::resource::readiness::Readiness;
use crate::state::history::{Difference, Run, difference};
use crate::state::model::{Recorded, State};
use crate::ui::paint::{Paint, count, tame};
use crate::ui::values;
use crate::ui::verify_text;

/// A state, per component; every resource when `verbose`.
pub fn state(state: &State, paint: Paint, verbose: bool) -> String {
    if state.resources.is_empty() {
        return "The state is empty: the stack made nothing, or it was destroyed.\n".to_owned();
    }
    let mut out = format!("{} (serial {}", paint.bold(&tame(&state.stack)), state.serial);
    if let Some(target) = &state.target {
        out.push_str(&format!(", {} {}", tame(&target.platform), tame(&target.id)));
    }
    out.push_str(")\n\n");
    let mut components: BTreeMap<&str, Vec<&Recorded>> = BTreeMap::new();
    for recorded in state.resources.values() {
        components.entry(recorded.address.component()).or_default().push(recorded);
    }
    for (component, members) in components {
        let pending = members.iter().filter(|r| r.pending.is_some()).count();
        let note = if pending > 0 { format!(", {pending} unfinished") } else { String::new() };
        if members.len() > 1 && !verbose {
            out.push_str(&format!("{}: {}{note}\n", tame(component), count(members.len(), "resource")));
            continue;
        }
        for member in members {
            out.push_str(&resource(member, paint));
        }
    }
    out
}

/// One recorded resource.
pub fn resource(recorded: &Recorded, paint: Paint) -> String {
    let mut out = format!("# {}\n{}", paint.bold(&tame(recorded.address.as_str())), tame(&recorded.kind));
    if let Some(id) = &recorded.id {
        out.push_str(&format!(" {}", tame(id)));
    }
    out.push_str(" {\n");
    values::block(&recorded.record, " ", 4, &mut out);
    out.push_str("}\n");
    if let Some(pending) = &recorded.pending {
        out.push_str(&paint.yellow(&format!("  unfinished: {:?}\n", pending.action)));
    }
    out
}

/// The runs that the history tells of, oldest first.
pub fn runs(runs: &[Run]) -> String {
    if runs.is_empty() {
        return "There is no history: nothing was ever recorded.\n".to_owned();
    }
    let mut out = format!("{:>8}  {:<18}  {:>9}  RUN\n", "SERIAL", "CHANGES", "RESOURCES");
    for run in runs {
        let changes = format!("+{} ~{} -{}", run.added, run.changed, run.removed);
        let holder = run.holder.as_deref().map_or("(not told any more)".to_owned(), tame);
        out.push_str(&format!("{:>8}  {changes:<18}  {:>9}  {holder}\n", run.serial, run.resources));
    }
    out
}

fn changes(found: &Difference, paint: Paint) -> String {
    let mut out = String::new();
    for (symbol, identities) in [("+", &found.added), ("~", &found.changed), ("-", &found.removed)] {
        for identity in identities {
            let symbol = match symbol {
                "+" => paint.green(symbol),
                "-" => paint.red(symbol),
                _ => paint.yellow(symbol),
            };
            out.push_str(&format!("  {symbol} {}\n", tame(identity.as_str())));
        }
    }
    out
}

/// What was recorded between an earlier state and the one that is now.
pub fn since(earlier: &State, now: &State, paint: Paint) -> String {
    let found = difference(earlier, now);
    if found == Difference::default() {
        return format!("\nSince then (serial {} now) no resource was recorded otherwise.\n", now.serial);
    }
    format!("\nSince then (serial {} now):\n{}", now.serial, changes(&found, paint))
}

/// What changes where one state takes the place of another.
pub fn replacement(current: &State, other: &State, paint: Paint) -> String {
    let line = |state: &State| match state.is_new() {
        true => "nothing".to_owned(),
        false => format!(
            "serial {}, lineage {}, stack id {}, {}",
            state.serial,
            tame(&state.lineage),
            tame(&state.stack_id),
            count(state.resources.len(), "resource")
        ),
    };
    let mut out = format!("here:    {}\ninstead: {}\n", line(current), line(other));
    out.push_str(&changes(&difference(current, other), paint));
    if current.outputs != other.outputs {
        out.push_str("  ~ outputs\n");
    }
    out
}

/// How a stack is: its resources, and the chain from its cluster to a completion.
pub fn status(resources: &[(Address, Readiness)], pending_changes: usize, chain: &[Check], paint: Paint) -> String {
    let mut components: BTreeMap<&str, Vec<&(Address, Readiness)>> = BTreeMap::new();
    for resource in resources {
        components.entry(resource.0.component()).or_default().push(resource);
    }
    let width = components.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (component, members) in components {
        let ready = members.iter().filter(|(_, r)| *r == Readiness::Current).count();
        let word = if ready == members.len() { paint.green("ready") } else { paint.yellow("not ready") };
        out.push_str(&format!("{:width$}  {ready}/{} {word}\n", tame(component), members.len()));
        for (address, readiness) in members.iter().filter(|(_, r)| *r != Readiness::Current) {
            let name = address.object_key().unwrap_or(address.as_str());
            out.push_str(&format!("{:width$}    {}: {}\n", "", tame(name), tame(&readiness.to_string())));
        }
    }
    if !chain.is_empty() {
        out.push_str(&format!("\n{}\n", paint.bold("From the cluster to a token:")));
        // What comes after a broken link says nothing.
        let end = chain.iter().position(|check| check.outcome == Outcome::Failed).map_or(chain.len(), |at| at + 1);
        out.push_str(&verify_text::checks(&chain[..end], paint));
        if end < chain.len() {
            out.push_str(&format!("Not looked at: {} behind that.\n", count(chain.len() - end, "more link")));
        }
    }
    if pending_changes > 0 {
        let text = format!("{} between the stack and what is there; see plan.\n", count(pending_changes, "difference"));
        out.push_str(&paint.yellow(&text));
    }
    if resources.is_empty() {
        out.push_str("Nothing is there: the stack was not applied, or it was destroyed.\n");
    }
    out
}
