//! What a plan costs and how long it takes, as tables.

use super::NAME;
use super::escape::code;
use crate::plan::cost::{Cost, Priced};
use crate::plan::time::Schedule;
use crate::ui::cost_text::{self, dollars};
use crate::ui::paint::duration;

/// The sums, and what they consist of as far as that fits.
pub(super) fn cost(cost: &Cost, most: usize, out: &mut String) {
    out.push_str("### Cost\n\nBy list prices, without traffic and taxes.\n\n| | an hour | a day |\n|---|--:|--:|\n");
    for (what, amount) in cost_text::rows(cost) {
        let (hour, day) = (dollars(amount.per_hour, amount.complete), dollars(amount.per_day, amount.complete));
        out.push_str(&format!("| {what} | {hour} | {day} |\n"));
    }
    out.push('\n');
    let mut rows = String::new();
    let mut omitted = 0;
    for line in cost.components.iter().flat_map(|component| &component.lines) {
        let row = row(line);
        // A table has nothing that cannot be left out at its end.
        if rows.len() + row.len() + 1_500 > most { omitted += 1 } else { rows.push_str(&row) }
    }
    if omitted > 0 {
        rows.push_str(&format!("| … {omitted} more | | |\n"));
    }
    if !rows.is_empty() {
        let body = format!("| resource | what | an hour |\n|---|---|--:|\n{rows}");
        out.push_str(&super::folded("What costs how much", &body));
    }
}

fn row(line: &Priced) -> String {
    let price = line.per_hour.map_or("unknown".to_owned(), |price| format!("${price:.4}"));
    format!("| {} | {} | {price} |\n", code(line.address.as_str(), NAME), code(&line.what, NAME))
}

/// So many legs of the critical path are in the table.
const LEGS: usize = 8;

/// How long it takes, and what everything else waits for.
pub(super) fn time(schedule: &Schedule, out: &mut String) {
    if schedule.total.as_secs() == 0 {
        return;
    }
    out.push_str(&format!("### Time\n\nAbout {}.", duration(schedule.total)));
    let mut legs =
        schedule.legs().into_iter().enumerate().filter(|(_, (_, took))| took.as_secs() > 0).collect::<Vec<_>>();
    legs.sort_by_key(|(at, (_, took))| (std::cmp::Reverse(*took), *at));
    legs.truncate(LEGS);
    legs.sort_by_key(|(at, _)| *at);
    if legs.is_empty() {
        out.push_str("\n\n");
        return;
    }
    out.push_str(" Nothing but this makes it faster:\n\n| critical path | takes |\n|---|--:|\n");
    for (_, (component, took)) in legs {
        out.push_str(&format!("| {} | {} |\n", code(component, NAME), duration(took)));
    }
    out.push('\n');
}
