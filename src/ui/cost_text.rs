//! What a stack costs, for people: a few sums below a plan, a table by component for `cost`.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::cost::{Amount, Cost, Priced};
use crate::ui::paint::{Paint, tame, tame_line};
use crate::ui::wrap;

/// `$1.16`, `at least $1.16`.
pub fn dollars(amount: f64, complete: bool) -> String {
    format!("{}${amount:.2}", if complete { "" } else { "at least " })
}

/// The sums, a line each; with `detail` what they consist of.
pub fn cost(cost: &Cost, detail: bool, paint: Paint) -> String {
    let mut out = String::new();
    if detail {
        components(cost, paint, &mut out);
    }
    sums(cost, paint, &mut out);
    for (reason, whats) in missing(cost) {
        out.push_str(&paint.yellow(&format!("  unknown: {} ({})\n", tame(&whats.join(", ")), tame(reason))));
    }
    out
}

/// [`cost`] for terminals that its table does not fit.
pub(crate) fn narrow(cost: &Cost, paint: Paint, columns: usize) -> String {
    let mut out = format!("{} by list prices, without\ntraffic and taxes:\n", paint.bold("Cost"));
    for (what, amount) in rows(cost) {
        let (hour, day) = (dollars(amount.per_hour, amount.complete), dollars(amount.per_day, amount.complete));
        out.push_str(&wrap::prose(&format!("{what}: {hour} an hour, {day} a day"), "  ", "    ", columns));
        if what == "with this plan" {
            out.push_str(&wrap::prose(&difference(cost), "    ", "    ", columns));
        }
    }
    for (reason, whats) in missing(cost) {
        let text = tame_line(&format!("unknown: {} ({reason})", whats.join(", ")));
        out.push_str(&paint.yellow(&wrap::prose(&text, "  ", "    ", columns)));
    }
    out
}

/// `(+$14.29 a day)`
fn difference(cost: &Cost) -> String {
    let change = cost.after.per_day - cost.now.per_day;
    let sign = if change < 0.0 { '-' } else { '+' };
    let known = if cost.after.complete && cost.now.complete { "" } else { ", as far as prices are known" };
    format!("({sign}${:.2} a day{known})", change.abs())
}

/// What it costs under which circumstances.
pub(crate) fn rows(cost: &Cost) -> Vec<(&'static str, Amount)> {
    let mut rows = vec![("now", cost.now)];
    if cost.after != cost.now {
        rows.push(("with this plan", cost.after));
    }
    rows.extend(cost.running.filter(|running| *running != cost.after).map(|running| ("running", running)));
    rows.extend(cost.most.map(|most| ("running, autoscaled to the most", most)));
    rows.extend(cost.paused.filter(|paused| cost.running != Some(*paused)).map(|paused| ("paused", paused)));
    rows.push(("destroyed", cost.destroyed));
    rows
}

fn sums(cost: &Cost, paint: Paint, out: &mut String) {
    let rows = rows(cost);
    let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
    let texts = |amount: &Amount| (dollars(amount.per_hour, amount.complete), dollars(amount.per_day, amount.complete));
    let hours = rows.iter().map(|(_, amount)| texts(amount).0.len()).max().unwrap_or(0);
    let days = rows.iter().map(|(_, amount)| texts(amount).1.len()).max().unwrap_or(0);
    out.push_str(&format!("{} by list prices, without traffic and taxes:\n", paint.bold("Cost")));
    for (what, amount) in &rows {
        let (hour, day) = texts(amount);
        out.push_str(&format!("  {what:width$}  {hour:>hours$} an hour  {day:>days$} a day"));
        if *what == "with this plan" {
            let text = format!("  {}", difference(cost));
            let change = amount.per_day - cost.now.per_day;
            out.push_str(&if change > 0.0 { paint.yellow(&text) } else { paint.green(&text) });
        }
        out.push('\n');
    }
}

/// What has no price, by reason.
fn missing(cost: &Cost) -> BTreeMap<&str, Vec<&str>> {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in cost.unknown() {
        missing.entry(line.source.as_str()).or_default().push(line.what.as_str());
    }
    missing
}

fn components(cost: &Cost, paint: Paint, out: &mut String) {
    let price = |line: &Priced| line.per_hour.map_or("unknown".to_owned(), |price| format!("${price:.4}"));
    let all = || cost.components.iter().flat_map(|component| &component.lines);
    let whats = all().map(|line| tame(&line.what).chars().count()).max().unwrap_or(0);
    let prices = all().map(|line| price(line).len()).max().unwrap_or(0);
    for component in &cost.components {
        let after = component.after;
        let was = match component.now == after {
            true => String::new(),
            false => paint.dim(&format!(" (now {})", dollars(component.now.per_hour, component.now.complete))),
        };
        let name = paint.bold(&tame(&component.component));
        out.push_str(&format!("{name}: {} an hour{was}\n", dollars(after.per_hour, after.complete)));
        for line in &component.lines {
            let row = format!("  {:whats$}  {:>prices$}  {}", tame(&line.what), price(line), tame(&line.as_of));
            out.push_str(&format!("{}\n", row.trim_end()));
        }
    }
    let sources = all().filter(|line| line.per_hour.is_some()).map(|line| (line.as_of.as_str(), line.source.as_str()));
    let sources = sources.collect::<BTreeSet<_>>();
    if !sources.is_empty() {
        out.push_str("Prices an hour are from:\n");
        for (as_of, source) in sources {
            out.push_str(&format!("  {}\n", paint.dim(&tame(&format!("{as_of}: {source}")))));
        }
    }
    if !cost.components.is_empty() {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::plan::cost::ComponentCost;

    fn amount(per_hour: f64, complete: bool) -> Amount {
        Amount { per_hour, per_day: per_hour * 24.0, complete }
    }

    #[test]
    fn sums_changes_and_what_has_no_price() {
        let line = |what: &str, per_hour: Option<f64>| Priced {
            address: Address::new("node_pools.gpu"),
            what: what.to_owned(),
            per_hour,
            source: if per_hour.is_some() { "a list" } else { "no price of z9 in mars1" }.to_owned(),
            as_of: if per_hour.is_some() { "2026-08" } else { "" }.to_owned(),
        };
        let after = amount(1.5, false);
        let example = Cost {
            now: amount(2.0, true),
            after,
            running: Some(after),
            most: Some(amount(3.0, false)),
            paused: Some(amount(0.5, true)),
            destroyed: amount(0.0, true),
            components: vec![ComponentCost {
                component: "node_pools.gpu".to_owned(),
                now: amount(2.0, true),
                after,
                lines: vec![line("1 × n1", Some(1.5)), line("1 × z9", None)],
            }],
        };
        let expected = "\
node_pools.gpu: at least $1.50 an hour (now $2.00)
  1 × n1  $1.5000  2026-08
  1 × z9  unknown
Prices an hour are from:
  2026-08: a list

Cost by list prices, without traffic and taxes:
  now                                       $2.00 an hour           $48.00 a day
  with this plan                   at least $1.50 an hour  at least $36.00 a day  (-$12.00 a day, as far as prices are known)
  running, autoscaled to the most  at least $3.00 an hour  at least $72.00 a day
  paused                                    $0.50 an hour           $12.00 a day
  destroyed                                 $0.00 an hour            $0.00 a day
  unknown: 1 × z9 (no price of z9 in mars1)
";
        assert_eq!(cost(&example, true, Paint { color: false }), expected);
    }
}
