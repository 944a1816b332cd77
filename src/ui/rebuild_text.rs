//! A state that was made again, for people: what was found, what was not, and what cannot be known.

use crate::address::Address;
use crate::state::history::difference;
use crate::state::model::State;
use crate::ui::paint::{Paint, count, tame};

/// As many of a list are named.
const SHOWN: usize = 20;

/// What was found, by what is to be said of it.
pub struct Lists<'a> {
    /// There and as wanted.
    pub found: &'a [Address],
    /// There and not as wanted.
    pub differing: &'a [Address],
    /// Not there.
    pub missing: &'a [Address],
    /// There and not wanted.
    pub unclaimed: &'a [Address],
    /// Known to the lost state alone.
    pub anew: &'a [Address],
    /// Taken to have run.
    pub hooks: &'a [Address],
}

/// What the state of `id` would be.
pub fn rebuilt(lists: &Lists<'_>, current: &State, state: &State, paint: Paint) -> String {
    let mut out =
        format!("\nThe state of {} with the stack id {}:\n", paint.bold(&tame(&state.stack)), tame(&state.stack_id));
    let (total, differ) = (lists.found.len() + lists.differing.len(), lists.differing.len());
    if differ == 0 {
        out.push_str(&format!("  {} found, all as the stack wants them\n", count(total, "resource")));
    }
    let mut line = |what: String, addresses: &[Address]| {
        if addresses.is_empty() {
            return;
        }
        out.push_str(&format!("  {what}\n"));
        for address in addresses.iter().take(SHOWN) {
            out.push_str(&format!("      {}\n", tame(address.as_str())));
        }
        if addresses.len() > SHOWN {
            out.push_str(&format!("      and {} more\n", addresses.len() - SHOWN));
        }
    };
    let found = format!("{} found, of which {differ} not as the stack wants them", count(total, "resource"));
    line(found, lists.differing);
    line(format!("{} not there: the next apply makes them", lists.missing.len()), lists.missing);
    line(
        format!("{} with its label, and not in the stack: the next apply takes them away", lists.unclaimed.len()),
        lists.unclaimed,
    );
    line(
        format!("{} made anew, with new ids: only the lost state knew them", count(lists.anew.len(), "value")),
        lists.anew,
    );
    line(format!("{} taken to have run", count(lists.hooks.len(), "hook")), lists.hooks);
    if !current.is_new() {
        let found = difference(current, state);
        out.push_str(&format!(
            "Against the state that is here (serial {}): {} added, {} changed, {} taken out.\n",
            current.serial,
            found.added.len(),
            found.changed.len(),
            found.removed.len()
        ));
    }
    out
}
