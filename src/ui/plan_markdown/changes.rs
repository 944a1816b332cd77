//! The changes of a plan: what is lost by name, always; everything else folded, by component, as far as there is room.

use std::collections::BTreeMap;

use super::escape::{clip, code, fence};
use super::{NAME, is_loss};
use crate::plan::model::{Action, Plan, ResourceChange};
use crate::ui::paint::{count, tame_line};
use crate::ui::plan_text;

/// By component, the riskiest first.
type Groups<'p> = Vec<(&'p str, Vec<&'p ResourceChange>)>;

fn groups<'p>(changes: impl Iterator<Item = &'p ResourceChange>) -> Groups<'p> {
    let mut by_component: BTreeMap<&str, Vec<&ResourceChange>> = BTreeMap::new();
    for change in changes {
        by_component.entry(change.address.component()).or_default().push(change);
    }
    let mut groups = by_component.into_iter().collect::<Vec<_>>();
    let weight = |changes: &[&ResourceChange]| changes.iter().map(|change| plan_text::weight(change.action)).min();
    groups.sort_by_key(|(name, changes)| (weight(changes), plan_text::rank(name), *name));
    groups
}

fn tally(changes: &[&ResourceChange]) -> String {
    let mut numbers: BTreeMap<u8, (Action, usize)> = BTreeMap::new();
    for change in changes {
        numbers.entry(plan_text::weight(change.action)).or_insert((change.action, 0)).1 += 1;
    }
    let texts = numbers.values().map(|(action, number)| format!("{number} {}", plan_text::verb(*action)));
    texts.collect::<Vec<_>>().join(", ")
}

/// Everything that is destroyed or replaced: each by its address where that fits, by component and number where it
/// does not, and at the very least in numbers that are exact. Whether each is there by its address.
pub(super) fn losses(plan: &Plan, most: usize, hash: &str, out: &mut String) -> bool {
    let lost = plan.changes.iter().filter(|change| is_loss(change.action));
    let total = lost.clone().count();
    if total == 0 {
        return true;
    }
    let replaced = lost.clone().filter(|change| change.action == Action::Replace).count();
    out.push_str(&format!("### Destroyed and replaced\n\n{}", count(total - replaced, "resource")));
    out.push_str(&format!(" destroyed, {} replaced.\n\n", count(replaced, "resource")));
    let groups = groups(lost);
    let line =
        |change: &&ResourceChange| format!("{} {}\n", change.action.symbol(), tame_line(change.address.as_str()));
    let all = groups.iter().flat_map(|(_, changes)| changes).map(line).collect::<String>();
    let fenced = fence("diff", &all);
    if fenced.len() <= most {
        out.push_str(&fenced);
        out.push('\n');
        return true;
    }
    compressed(&groups, most, total, hash, out);
    false
}

/// A line for each component: how many, and the names without the component as far as they fit.
fn compressed(groups: &Groups<'_>, most: usize, total: usize, hash: &str, out: &mut String) {
    let rows = groups.iter().map(|(component, changes)| {
        let names = changes.iter().map(|change| {
            let name = change.address.object_key().unwrap_or(change.address.as_str());
            format!("{} {}", change.action.symbol(), tame_line(name))
        });
        (format!("{}: {}", tame_line(&clip(component, NAME)), tally(changes)), names.collect::<Vec<_>>())
    });
    let rows = rows.collect::<Vec<_>>();
    // First a line for each component, then names in what is left, the same share for each.
    let most = most.saturating_sub(400);
    let heads = rows.iter().map(|(head, _)| head.len() + 1).sum::<usize>();
    let share = most.saturating_sub(heads) / rows.len().max(1);
    let mut text = String::new();
    let mut named = 0;
    let mut shown = 0;
    for (head, names) in &rows {
        if text.len() + head.len() + 1 > most {
            break;
        }
        text.push_str(head);
        text.push('\n');
        shown += 1;
        let mut used = 0;
        let mut here = 0;
        for name in names {
            used += name.len() + 1;
            if used + 24 > share {
                break;
            }
            text.push_str(name);
            text.push('\n');
            here += 1;
        }
        named += here;
        if here > 0 && here < names.len() {
            text.push_str(&format!("  and {} more\n", names.len() - here));
        }
    }
    out.push_str(&fence("diff", &clip(&text, most)));
    let rest = rows.len() - shown;
    let rest = if rest > 0 { format!(" and {} not even by number", count(rest, "component")) } else { String::new() };
    let place = match hash {
        "" => "in the whole plan: save it with `--out FILE`".to_owned(),
        hash => format!("in the plan with the hash {}", code(hash, NAME)),
    };
    out.push_str(&format!("\n{named} of {total} are named here{rest}; all of them are {place}.\n\n"));
}

/// What is changed, attribute by attribute, as far as there is room; what is deleted only where it is not named before.
pub(super) fn details(plan: &Plan, are_losses_named: bool, most: usize, out: &mut String) {
    let told = |change: &ResourceChange| are_losses_named && change.action == Action::Delete;
    let shown = |change: &&ResourceChange| plan_text::is_shown(change, false) && !told(change);
    let groups = groups(plan.changes.iter().filter(shown));
    if groups.is_empty() || most < 500 {
        return;
    }
    out.push_str("### Changes\n\n");
    let mut left = most - 500;
    let mut omitted = 0;
    for (component, changes) in groups {
        let title = format!("{}: {}", code(component, NAME), tally(&changes));
        let frame = title.len() + 80;
        let Some(room) = left.checked_sub(frame + 200) else {
            omitted += changes.len();
            continue;
        };
        let (body, missing) = body(&changes, room);
        let block = super::folded(&title, &fence("diff", &body));
        // A fence may have to be longer than was thought.
        if block.len() > left {
            omitted += changes.len();
            continue;
        }
        omitted += missing;
        left -= block.len();
        out.push_str(&block);
    }
    if omitted > 0 {
        let text = format!(
            "{} not shown here for want of room: `stackwright show` with the saved plan shows all.\n\n",
            count(omitted, "resource")
        );
        out.push_str(&text);
    }
}

/// The text of some changes, those that fit, and how many do not.
fn body(changes: &[&ResourceChange], room: usize) -> (String, usize) {
    let mut body = String::new();
    let mut missing = 0;
    let mut order = changes.to_vec();
    order.sort_by_key(|change| (plan_text::weight(change.action), &change.address));
    for change in order {
        if body.len() + 40 > room {
            missing += 1;
            continue;
        }
        // What is only made is told by its name where there is much of it; what it is like can be looked up.
        let brief = format!(
            "{:>3} {} {}\n",
            change.action.symbol(),
            tame_line(&clip(change.address.as_str(), 400)),
            plan_text::sentence(change)
        );
        let text = match change.action {
            Action::Create if changes.len() > 6 => brief.clone(),
            Action::Delete | Action::Forget | Action::Record | Action::Adopt | Action::NoOp => brief.clone(),
            _ => plan_text::one(change),
        };
        if body.len() + text.len() <= room {
            body.push_str(&text);
        } else if body.len() + brief.len() <= room {
            body.push_str(&brief);
        } else {
            missing += 1;
        }
    }
    (body, missing)
}
