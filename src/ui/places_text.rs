//! Where a stack is made that names several locations: the part of a plan that says so, and what is said when it moves.

use crate::plan::cost::Amount;
use crate::plan::model::Plan;
use crate::plan::places::Placement;
use crate::ui::cost_text::dollars;
use crate::ui::paint::{Paint, tame};

fn price(amount: Option<Amount>) -> String {
    amount.map_or_else(String::new, |amount| format!("{} a day", dollars(amount.per_day, amount.complete)))
}

/// The locations of a plan, in the order in which they are tried; nothing for a stack that names one.
pub fn places(plan: &Plan, paint: Paint) -> String {
    let Some(placement) = &plan.placement else { return String::new() };
    if placement.given_up.is_empty() && !placement.open {
        return String::new();
    }
    let mut out = "\n".to_owned();
    left(placement, paint, &mut out);
    if !placement.open {
        if !placement.given_up.is_empty() {
            out.push_str(&format!("{} {}, and it stays there.\n", paint.bold("Location:"), tame(&placement.location)));
        }
        return out;
    }
    if placement.alternatives.is_empty() {
        out.push_str(&format!(
            "{} {}, the last that is left to try.\n",
            paint.bold("Location:"),
            tame(&placement.location)
        ));
    } else {
        out.push_str(&format!("{}, tried in this order until one has the capacity:\n", paint.bold("Locations")));
        rows(plan, placement, paint, &mut out);
    }
    out.push_str("Capacity is had before anything is installed. Where it is not to be had, what was made is removed again, and the\n");
    out.push_str(
        "whole stack is made anew in the next location: another cluster, in other zones, with other addresses.\n",
    );
    out
}

/// What was given up before, and what is still to be removed.
fn left(placement: &Placement, paint: Paint, out: &mut String) {
    for one in &placement.given_up {
        let text = format!("{} was given up: {}\n", tame(&one.location), tame(&one.reason));
        out.push_str(&paint.yellow(&text));
    }
    if let Some(location) = &placement.leaving {
        let text = format!("What was made in {} is removed first; it is still paid for.\n", tame(location));
        out.push_str(&paint.yellow(&text));
    }
}

fn rows(plan: &Plan, placement: &Placement, paint: Paint, out: &mut String) {
    let own = plan.cost.as_ref().map(|cost| cost.after);
    let mut rows = vec![(placement.location.as_str(), own, &placement.notes)];
    rows.extend(placement.alternatives.iter().map(|one| (one.location.as_str(), one.price(), &one.notes)));
    let names = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let prices = rows.iter().map(|(_, amount, _)| price(*amount).len()).max().unwrap_or(0);
    for (number, (name, amount, notes)) in rows.iter().enumerate() {
        let mut row = format!("  {}. {:names$}  {:>prices$}", number + 1, tame(name), price(*amount));
        if let (Some(own), Some(there)) = (own, amount.filter(|_| number > 0)) {
            let more = there.per_day - own.per_day;
            let text = if more < 0.0 { format!("  (-${:.2})", -more) } else { format!("  (+${more:.2})") };
            row.push_str(&if more > 0.0 { paint.yellow(&text) } else { text });
        }
        for note in *notes {
            row.push_str(&paint.yellow(&format!("  {}", tame(note))));
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
}

/// A location has no capacity, whether anything was made in it, and what comes next.
pub fn given_up(here: &str, reason: &str, made: bool, next: Option<&Plan>, paint: Paint) -> String {
    let mut out = format!("\n{} has not what the stack needs: {}\n", paint.bold(&tame(here)), tame(reason));
    out.push_str(if made { "What was made there is removed again." } else { "Nothing was made there." });
    if let Some((next, placement)) = next.and_then(|next| Some((next, next.placement.as_ref()?))) {
        let price = price(next.cost.as_ref().map(|cost| cost.after));
        let price = if price.is_empty() { price } else { format!(" ({price})") };
        out.push_str(&format!(" Next: {}{price}.", paint.bold(&tame(&placement.location))));
    }
    out
}
