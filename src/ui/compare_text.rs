//! What became different since an earlier plan, for people.

use crate::plan::compare::{Comparison, Other, Step};
use crate::plan::model::Action;
use crate::ui::cost_text::dollars;
use crate::ui::paint::{Paint, count, tame_line};
use crate::ui::plan_text;
use crate::ui::wrap;

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Colours.
    pub paint: Paint,
    /// The width of the reader's terminal; nothing where there is none.
    pub columns: Option<usize>,
    /// Every resource, however many there are.
    pub verbose: bool,
}

impl Options {
    /// Without colours and without a terminal.
    pub fn plain() -> Self {
        Options { paint: Paint { color: false }, columns: None, verbose: false }
    }
}

/// So many resources of a kind are shown one by one.
const MOST: usize = 30;

/// What became different; that it is the same plan, where nothing did.
pub fn comparison(comparison: &Comparison, options: Options) -> String {
    let paint = options.paint;
    let mut out = String::new();
    let since = match (comparison.other_state, comparison.serials) {
        (true, _) => " The earlier plan was made from another state: the stack was made anew in between.".to_owned(),
        (false, Some((was, is))) => {
            format!(
                " The state has moved on in between, from serial {was} to {is}: the earlier plan can no longer be applied."
            )
        }
        (false, None) => String::new(),
    };
    let prose = |text: &str| wrap::prose(text, "", "", options.columns.unwrap_or(wrap::PROSE).clamp(24, 100));
    if comparison.is_same() {
        let same = match comparison.same {
            0 => "no changes in either of them".to_owned(),
            number => count(number, "change"),
        };
        let title = if comparison.is_shallow {
            "This plan does the same to the same resources, whatever the attributes,"
        } else if since.is_empty() {
            "This is the same plan"
        } else {
            "This plan makes the same changes"
        };
        out.push_str(&paint.green(&prose(&format!("{title} as the earlier one: {same}.{since}"))));
        costs(comparison, &mut out);
        return out;
    }
    let title = format!("This is another plan than the earlier one.{since}");
    out.push_str(&paint.yellow(&prose(&title)));
    out.push('\n');
    let step = |step: &Step| {
        (step.action, format!("{} {}", tame_line(step.address.as_str()), paint.dim(plan_text::verb(step.action))))
    };
    let rows = |steps: &[Step]| steps.iter().map(step).collect::<Vec<_>>();
    section("Only in this plan", rows(&comparison.new), options, &mut out);
    section("No longer in it", rows(&comparison.gone), options, &mut out);
    section("Otherwise than before", comparison.other.iter().map(|one| other(one, paint)).collect(), options, &mut out);
    if comparison.same > 0 {
        out.push_str(&format!("As before: {}.\n", count(comparison.same, "change")));
    }
    if comparison.is_shallow {
        out.push_str(&prose(
            "The earlier plan's JSON does not tell everything of it: attributes, outputs and risks are not compared.",
        ));
    }
    if !comparison.outputs.is_empty() {
        let names = comparison.outputs.iter().map(|name| tame_line(name)).collect::<Vec<_>>().join(", ");
        out.push_str(&prose(&format!("Other values of outputs: {names}.")));
    }
    if comparison.other_places {
        out.push_str(&prose("Other locations are approved with it, or in another order."));
    }
    costs(comparison, &mut out);
    for (title, risks) in
        [("Needs attention now", &comparison.new_risks), ("Needs none any more", &comparison.gone_risks)]
    {
        if risks.is_empty() {
            continue;
        }
        out.push_str(&format!("\n{}:\n", paint.bold(title)));
        for risk in risks.iter().take(MOST) {
            let text = plan_text::risk_sentence(risk);
            out.push_str(&wrap::prose(&text, "  - ", "    ", options.columns.unwrap_or(wrap::PROSE).clamp(24, 100)));
        }
        if risks.len() > MOST {
            out.push_str(&format!("  and {} more\n", risks.len() - MOST));
        }
    }
    out
}

fn other(other: &Other, paint: Paint) -> (Action, String) {
    let how = match other.before == other.after {
        true => "with other attributes".to_owned(),
        false => format!("{}, before that {}", plan_text::verb(other.after), plan_text::verb(other.before)),
    };
    (other.after, format!("{} {}", tame_line(other.address.as_str()), paint.dim(&how)))
}

fn section(title: &str, mut rows: Vec<(Action, String)>, options: Options, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    rows.sort_by_key(|(action, _)| plan_text::weight(*action));
    out.push_str(&format!("{} ({}):\n", options.paint.bold(title), rows.len()));
    let most = if options.verbose { usize::MAX } else { MOST };
    for (action, text) in rows.iter().take(most) {
        let pad = " ".repeat(3_usize.saturating_sub(action.symbol().len()));
        out.push_str(&format!("{pad}{} {text}\n", options.paint.symbol(action.symbol())));
    }
    if rows.len() > most {
        out.push_str(&format!("    and {} more (-v shows them)\n", rows.len() - most));
    }
    out.push('\n');
}

fn costs(comparison: &Comparison, out: &mut String) {
    if let Some((before, after)) = &comparison.cost {
        let day = |amount: &crate::plan::cost::Amount| dollars(amount.per_day, amount.complete);
        out.push_str(&format!("Cost afterwards: {} a day, before that {}.\n", day(after), day(before)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::compare::{self, Earlier};
    use crate::plan::model::Plan;
    use crate::plan::sample::{cost, created, deleted, everything, plan};

    fn compare(earlier: &Plan, later: &Plan) -> Comparison {
        compare::compare(&Earlier::from(earlier.clone()), later)
    }

    #[test]
    fn what_became_different_is_told_in_full() {
        let mut earlier = plan(vec![created("values.a", json!({})), created("values.b", json!({}))]);
        earlier.cost = Some(cost(1.0, 1.0));
        earlier.basis.serial = 3;
        let mut later = plan(vec![created("values.b", json!({"input": 1})), deleted("addons.x/Namespace/x")]);
        later.cost = Some(cost(1.0, 2.0));
        later.basis.serial = 4;
        let text = comparison(&compare(&earlier, &later), Options::plain());
        insta::assert_snapshot!("compared", text);
        let again = comparison(&compare(&later, &later), Options::plain());
        assert_eq!(again, "This is the same plan as the earlier one: 2 changes.\n");
    }

    #[test]
    fn long_lists_are_counted_and_nothing_hostile_gets_out() {
        let many = (0..50).map(|at| created(&format!("values.v{at:02}\u{1b}[2J"), json!({}))).collect();
        let text = comparison(&compare(&plan(Vec::new()), &plan(many)), Options::plain());
        assert!(text.contains("Only in this plan (50):") && text.contains("and 20 more"), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"));
        let all = Options { verbose: true, ..Options::plain() };
        assert!(!comparison(&compare(&plan(Vec::new()), &everything()), all).contains("-v shows"));
    }
}
