//! Comments as GitHub would take them: small enough whatever the plan, with everything that is lost, and with nothing
//! in them that somebody else has written as markup.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::plan::cost::{ComponentCost, Priced};
use crate::plan::model::{Reason, ResourceChange};
use crate::plan::sample::{self, created, deleted, differs, drifted, everything, output, replaced, updated};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn made(of: &Plan) -> String {
    plan(of, Extra { hash: HASH, since: None })
}

/// What is neither in a fence nor between the tags of a code, and whether everything that was begun has ended.
fn prose(markdown: &str) -> String {
    let mut fence: Option<usize> = None;
    let mut out = String::new();
    for line in markdown.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            Some(open) if ticks >= open && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    assert_eq!(fence, None, "a fence is not closed:\n{markdown}");
    let details = |tag: &str| out.matches(tag).count();
    assert_eq!(details("<details>"), details("</details>"), "details are not closed:\n{markdown}");
    assert_eq!(details("<code>"), details("</code>"), "a code is not closed:\n{markdown}");
    regex::Regex::new("<code>[^<`|@\\n]*</code>").expect("pattern").replace_all(&out, "CODE").into_owned()
}

#[test]
fn everything_at_once() {
    insta::assert_snapshot!("everything", made(&everything()));
}

#[test]
fn a_plan_without_changes_is_short() {
    let text = made(&sample::plan(vec![sample::change("cluster", Action::NoOp, Reason::Same)]));
    assert!(text.contains("no changes") && text.len() < 400, "{text}");
}

#[test]
fn the_comment_can_be_found_again() {
    assert_eq!(marker("gpu-t4"), "<!-- stackwright plan gpu-t4 -->");
    let hostile = marker("a--><script>\u{202e}");
    assert_eq!(hostile.matches("-->").count(), 1, "{hostile}");
    assert!(!hostile.contains("<script"));
    assert!(made(&everything()).starts_with("<!-- stackwright plan demo -->\n"));
}

/// All that could be taken for something else.
const HOSTILE: &str =
    "`x` ``` ```` | <b>@evil</b> </details></code> [l](http://evil) ![i](x) \u{1b}[31m \u{202e} #1 \n```\n# H\n";

fn hostile() -> Plan {
    let name = |what: &str| format!("values.{what}{HOSTILE}");
    let mut changes = vec![
        created(&name("a"), json!({HOSTILE: HOSTILE, "b": [HOSTILE, {"c": HOSTILE}]})),
        updated(
            &name("b"),
            json!({"x": HOSTILE}),
            vec![differs("x", json!("y"), json!(HOSTILE)), differs(HOSTILE, json!(1), json!(2))],
        ),
        replaced(&name("c"), json!({"x": HOSTILE}), vec![differs("x", json!(HOSTILE), json!("y"))]),
        deleted(&name("d")),
        deleted(&format!("addons.{HOSTILE}/Namespace/{HOSTILE}")),
    ];
    for change in &mut changes {
        change.kind = HOSTILE.to_owned();
        change.origin = Some(HOSTILE.to_owned());
        for one in &mut change.changes {
            one.effect = Some(HOSTILE.to_owned());
            one.held_by = vec![HOSTILE.to_owned()];
        }
    }
    let mut plan = sample::plan(changes);
    plan.stack = HOSTILE.to_owned();
    plan.edges = vec![sample::needs(&name("a"), &name("b"))];
    plan.drift = vec![drifted(&name("b"), vec![differs("x", json!("y"), json!(HOSTILE))])];
    plan.outputs = BTreeMap::from([(HOSTILE.to_owned(), output(json!("x"), json!(HOSTILE)))]);
    let line = Priced {
        address: name("b").as_str().into(),
        what: HOSTILE.to_owned(),
        per_hour: None,
        source: HOSTILE.to_owned(),
        as_of: HOSTILE.to_owned(),
    };
    let mut cost = sample::cost(1.0, 2.0);
    let component =
        ComponentCost { component: HOSTILE.to_owned(), now: cost.now, after: cost.after, lines: vec![line] };
    cost.components = vec![component];
    plan.cost = Some(cost);
    plan
}

#[test]
fn nothing_hostile_becomes_markup() {
    let plan = hostile();
    let since = crate::plan::compare::compare(&everything().into(), &plan);
    let text = super::plan(&plan, Extra { hash: HOSTILE, since: Some(&since) });
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{text}");
    let prose = prose(&text);
    let shown = prose.replace("&#64;", "@").replace("&#58;", ":").replace("&#8203;", "\u{200b}");
    for bad in ["@evil", "<b>", "://", "](", "![", "# H", "``"] {
        assert!(!prose.contains(bad) && !shown.replace("# H ", "").contains(bad), "{bad} stands in\n{prose}");
    }
}

/// Plans of all sizes: few or many components, few or many changes, short or long names, hostile or not.
fn plans() -> impl Strategy<Value = Plan> {
    let shape = (1_usize..40, 0_usize..400, 0_usize..300, 0_u8..6, any::<bool>(), 0_usize..60);
    shape.prop_map(|(components, number, long, mix, is_hostile, drift)| {
        let tail = if is_hostile { HOSTILE } else { "名前🚀e\u{301}" };
        let name = |at: usize| {
            format!(
                "values.c{}/ConfigMap/n{}/{}{at}{tail}",
                at % components,
                at % 7,
                "x".repeat((at * 31 + long) % (long + 1))
            )
        };
        let change = |at: usize| -> ResourceChange {
            let text = "line\n".repeat(long) + tail;
            let data = json!({"data": {"k": text}});
            match (at + usize::from(mix)) % 6 {
                0 | 1 => deleted(&name(at)),
                2 => replaced(&name(at), data, vec![differs("data.k", json!("a\nb\n"), json!(text))]),
                3 => updated(&name(at), data, vec![differs("data.k", json!("a\nb\n"), json!(text))]),
                4 => created(&name(at), data),
                _ => sample::change(&name(at), Action::Forget, Reason::Abandoned),
            }
        };
        let mut plan = sample::plan((0..number).map(change).collect());
        plan.edges = (1..number).map(|at| sample::needs(&name(at), &name(at / 2))).collect();
        plan.edges.sort();
        plan.drift =
            (0..drift).map(|at| drifted(&name(at), vec![differs("data.k", json!("a"), json!(tail))])).collect();
        plan.outputs = (0..drift).map(|at| (format!("o{at}{tail}"), output(json!("a"), json!(tail)))).collect();
        plan.cost = (mix > 2).then(|| sample::cost(1.0, 2.0));
        plan
    })
}

/// Every loss by its address, or else in numbers that are exact.
fn losses_are_told(plan: &Plan, text: &str) -> Result<(), TestCaseError> {
    let lost = plan.changes.iter().filter(|change| is_loss(change.action)).collect::<Vec<_>>();
    if lost.is_empty() {
        return Ok(());
    }
    let replaced = lost.iter().filter(|change| change.action == Action::Replace).count();
    let sums =
        format!("{} destroyed, {} replaced.", count(lost.len() - replaced, "resource"), count(replaced, "resource"));
    prop_assert!(text.contains(&sums), "{sums} is missing");
    let shown = |change: &&&ResourceChange| {
        // A block of code shows backticks as they are, but for very many of them.
        text.contains(&crate::ui::paint::tame_line(change.address.as_str()))
    };
    let all = lost.iter().filter(shown).count() == lost.len();
    prop_assert!(all || (text.contains("are named here") && text.contains(HASH)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_comment_is_small_enough_whole_and_tells_what_is_lost(plan in plans()) {
        let text = made(&plan);
        prop_assert!(text.len() <= MOST, "{} bytes", text.len());
        let prose = prose(&text);
        prop_assert!(!prose.contains("@evil") && !prose.contains("http:"));
        losses_are_told(&plan, &text)?;
        prop_assert!(text.contains(HASH));
    }
}

#[test]
fn five_thousand_losses_are_told_by_component_and_number() {
    let many = (0..5_000).map(|at| deleted(&format!("addons.a{}/ConfigMap/namespace/name-{at:05}", at % 50)));
    let plan = sample::plan(many.collect());
    let text = made(&plan);
    assert!(text.len() <= MOST && text.contains("5000 resources destroyed, 0 resources replaced."), "{}", text.len());
    for at in 0..50 {
        assert!(text.contains(&format!("addons.a{at}: 100 to destroy\n")), "addons.a{at}");
    }
    // Where there is no room for any of them by name, the numbers stay.
    let each = (0..5_000).map(|at| deleted(&format!("addons.a-long-name-of-a-component-{at:05}/ConfigMap/n/n")));
    let text = made(&sample::plan(each.collect()));
    assert!(text.len() <= MOST && text.contains("5000 resources destroyed") && text.contains("not even by number"));
}

#[test]
fn huge_names_and_values_leave_room_for_the_rest() {
    let huge = "y".repeat(300_000);
    let ticks = "`".repeat(70_000);
    let changes = vec![
        created(&format!("values.{huge}"), json!({"x": huge})),
        updated("values.b", json!({"x": huge}), vec![differs("x", json!("a"), json!(ticks))]),
        replaced(
            &format!("values.{ticks}"),
            json!({"x": ticks}),
            vec![differs("x", json!("a\nb"), json!(ticks.clone() + "\n"))],
        ),
        deleted(&format!("addons.{huge}/Namespace/{huge}")),
    ];
    let mut plan = sample::plan(changes);
    plan.stack = huge.clone();
    plan.outputs = BTreeMap::from([(huge.clone(), output(json!("x"), json!(huge)))]);
    let text = made(&plan);
    assert!(text.len() <= MOST, "{}", text.len());
    prose(&text);
    assert!(text.contains("1 resource destroyed, 1 resource replaced."));
}
