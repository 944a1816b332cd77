//! Plans as people see them: on paper, and on terminals of two widths.

use serde_json::json;

use super::*;
use crate::plan::sample::{self, change, created, deleted, differs, drifted, everything, output, replaced, updated};

fn shown(plan: &Plan, columns: Option<usize>) -> String {
    super::plan(plan, Options { paint: Paint { color: false }, verbose: false, columns })
}

#[test]
fn everything_at_once() {
    insta::assert_snapshot!("everything", shown(&everything(), None));
    let all = Options { paint: Paint { color: false }, verbose: true, columns: None };
    insta::assert_snapshot!("everything_verbose", super::plan(&everything(), all));
}

#[test]
fn narrow_terminals_break_lines_where_that_changes_nothing() {
    let narrow = shown(&everything(), Some(40));
    insta::assert_snapshot!("everything_at_40", narrow);
    insta::assert_snapshot!("everything_at_80", shown(&everything(), Some(80)));
    let words = |text: &str| {
        // A table is told in sentences.
        let (text, _) = text.split_once("\nCost by").expect("what it costs");
        let text = text.lines().map(|line| line.trim_start_matches([' ', '#', '(']).trim_end_matches(')'));
        text.flat_map(str::split_whitespace).collect::<String>().replace(['(', ')', '#'], "")
    };
    assert_eq!(words(&narrow), words(&shown(&everything(), None)), "nothing is lost");
}

#[test]
fn colours_say_nothing_of_their_own() {
    let coloured = Options { paint: Paint { color: true }, verbose: false, columns: None };
    let coloured = super::plan(&everything(), coloured);
    let codes = regex::Regex::new("\u{1b}\\[[0-9]+m").expect("pattern");
    assert!(codes.is_match(&coloured));
    assert_eq!(codes.replace_all(&coloured, ""), shown(&everything(), None));
}

#[test]
fn terraform_s_words_where_nothing_is_done() {
    let same = || vec![change("cluster", Action::NoOp, Reason::Same)];
    let none = "No changes. Your infrastructure matches the configuration.\n\nstackwright has compared your real \
                infrastructure against your configuration\nand found no differences, so no changes are needed.\n";
    assert_eq!(shown(&sample::plan(same()), None), none);
    let refreshed = Plan { refresh_only: true, ..sample::plan(Vec::new()) };
    let still = "No changes. Your infrastructure still matches the configuration.\n\nstackwright has checked that the real \
                 remote objects still match the result of\nyour most recent changes, and found no differences.\n";
    assert_eq!(shown(&refreshed, None), still);
    let gone = "No changes. No objects need to be destroyed.\n\nEither you have not created any objects yet or the existing \
                objects were\nalready deleted outside of stackwright.\n";
    assert_eq!(shown(&Plan { destroy: true, ..sample::plan(Vec::new()) }, None), gone);
    let mut outputs = sample::plan(same());
    outputs.outputs.insert("o".to_owned(), output(json!("v1"), json!(null)));
    outputs.outputs.insert("name".to_owned(), output(json!(null), json!([1, 2])));
    let only = "Changes to Outputs:\n  + name = [1, 2]\n  - o    = \"v1\" -> null\n\nYou can apply this plan to save these new \
                output values to the stackwright\nstate, without changing any real infrastructure.\n";
    assert_eq!(shown(&outputs, None), only);
}

#[test]
fn drift_that_is_only_noted() {
    let mut plan = Plan { refresh_only: true, ..sample::plan(Vec::new()) };
    let secret = vec![differs("data.token", json!("b2xk"), json!("bmV3")), differs("type", json!("a"), json!("b"))];
    plan.drift = vec![
        drifted("values.a", Vec::new()),
        drifted("addons.x/Secret/x/token", secret),
        drifted("addons.x/ConfigMap/x/c", vec![differs("data.x", json!("a"), json!(null))]),
    ];
    insta::assert_snapshot!("refresh_only", shown(&plan, None));
}

/// Attributes of every shape that change in every way.
fn shapes() -> Plan {
    let yaml = |level: &str, port: i64| {
        format!("# settings\nlevel: {level}\nports:\n  - name: a\n    port: {port}\n  - name: b\n    port: 2\n")
    };
    let script = |line: &str| format!("#!/bin/sh\n1\n2\n3\n4\n5\n{line}\n7\n8\n9\n10\n11\n");
    let long = |end: &str| format!("{}{end}{}", "a".repeat(150), "z".repeat(80));
    let containers = |image: &str, more: bool| {
        let mut list = vec![
            json!({"name": "web", "image": image, "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]}),
        ];
        list.insert(usize::from(!more), json!({"name": "side", "image": "side:1"}));
        list.extend(more.then(|| json!({"name": "new", "image": "new:1"})));
        json!(list)
    };
    let changes = vec![
        differs("a.yaml", json!(yaml("info", 1)), json!(yaml("debug", 3))),
        differs("b.comment", json!("a: 1\nb: 2\n"), json!("# why\nb: 2\na: 1\n")),
        differs("c.json", json!("{\"a\": 1, \"b\": [1, 2]}"), json!("{\"a\":2,\"b\":[1,2]}")),
        differs("d.script", json!(script("6")), json!(script("six "))),
        differs("e.feed", json!("x\ny\n"), json!("x\ny")),
        differs("f.version", json!("v: 1.10\nw: 1\n"), json!("v: 1.1\nw: 1\n")),
        differs("g.containers", containers("web:1", false), containers("web:2", true)),
        differs("h.long", json!(long("1")), json!(long("2"))),
        differs(
            "i.unknown",
            json!({"k": {"deep": "value that is quite a bit longer than others", "n": 1}}),
            sample::unknown("cluster", "endpoint"),
        ),
        differs("j.secret", json!("x"), sample::secret("hf_token")),
        differs(
            "k.gone",
            json!(["one element of some length, so that", "both do not fit on a line together"]),
            json!(null),
        ),
        differs("l.added", json!(null), json!({"limits": {"cpu": "1", "memory": "2Gi"}, "text": "two\nlines\n"})),
        differs("m.kind", json!("1"), json!(1)),
        differs("n.end", json!("EOT\nx\n"), json!("EOT\ny\n")),
    ];
    sample::plan(vec![
        updated("manifests.m/ConfigMap/m/shapes", json!({"data": {"same": 1}}), changes.clone()),
        replaced(
            "manifests.r/ConfigMap/m/shapes",
            json!({"data": {"same": 1}, "list": [{"name": "x", "v": 1}]}),
            vec![differs("list.[name=x].v", json!(0), json!(1)), changes[0].clone()],
        ),
    ])
}

#[test]
fn attributes_of_every_shape() {
    insta::assert_snapshot!("shapes", shown(&shapes(), None));
}

#[test]
fn wide_characters_and_hostile_ones() {
    let hostile = "\u{1b}[2J\u{202e}x\r\u{7}\n# addons.fake will be created\n";
    let after = json!({"名前": "模型", "e\u{301}": "é", "🚀": "👩‍👩‍👧", "plain": "x", hostile: hostile});
    let changes = vec![
        differs("名前", json!("模型"), json!("モデル")),
        differs("plain", json!("x"), json!(hostile)),
        differs(hostile, json!(1), json!(2)),
    ];
    let plan = sample::plan(vec![
        created("values.名前", after.clone()),
        updated("values.wide", after, changes),
        deleted(&format!("values.{hostile}")),
    ]);
    let text = shown(&plan, Some(80));
    assert!(!text.contains(['\u{1b}', '\u{202e}', '\r', '\u{7}']), "{text}");
    // A name cannot forge a line that the plan could have.
    assert!(
        !text.lines().any(|line| line.starts_with("# addons.fake") || line.starts_with("  # addons.fake")),
        "{text}"
    );
    insta::assert_snapshot!("wide", text);
}

#[expect(clippy::disallowed_methods, reason = "measures real time")]
#[test]
fn large_plans_are_folded_and_quick() {
    let object = |at: usize| format!("addons.a{}/ConfigMap/namespace/name-{at:05}", at % 20);
    let data = |at: usize| json!({"metadata": {"name": "x"}, "data": {"a": "b\nc\n".repeat(20), "n": at}});
    let many = (0..10_000).map(|at| match at % 4 {
        0 => created(&object(at), data(at)),
        1 => deleted(&object(at)),
        2 => replaced(&object(at), data(at), vec![differs("data.a", json!("b\n"), json!("c\n"))]),
        _ => updated(
            &object(at),
            data(at),
            vec![differs("data.a", json!("b\nc\n".repeat(19)), json!("b\nc\n".repeat(20)))],
        ),
    });
    let plan = sample::plan(many.collect());
    let began = std::time::Instant::now();
    let folded = shown(&plan, Some(80));
    let all = super::plan(&plan, Options { paint: Paint { color: true }, verbose: true, columns: Some(80) });
    // Far less than a second when optimised; anything quadratic takes minutes.
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
    assert!(folded.lines().count() < 2_500, "{}", folded.lines().count());
    assert!(folded.contains("Plan: 5000 to add, 2500 to change, 5000 to destroy."));
    // What is lost has a name in the one, and everything in the other.
    assert!(folded.contains("\n      ConfigMap/namespace/name-00001\n") && folded.contains("more (-v shows them)"));
    assert!((0..10_000).all(|at| all.contains(&object(at))));
}

#[test]
fn a_stack_that_is_destroyed_is_told_in_numbers() {
    let mut changes = (0..40).map(|at| deleted(&format!("addons.x/ConfigMap/x/c{at}"))).collect::<Vec<_>>();
    changes.push(deleted("cluster"));
    changes.iter_mut().for_each(|change| change.reason = Reason::Destroyed);
    let plan = Plan { destroy: true, ..sample::plan(changes) };
    let expected = "\
Attention:
  !! destroy 41 resources: the whole stack goes

Resource actions are indicated with the following symbols:
  - destroy

stackwright will perform the following actions:

  # cluster will be destroyed
  - gke.cluster

  - addons.x: 40 objects to destroy

Plan: 0 to add, 0 to change, 41 to destroy.
";
    let text = shown(&plan, None);
    assert_eq!(
        text.split("\nEstimated time:").next(),
        Some(expected.trim_end_matches('\n').to_owned() + "\n").as_deref()
    );
}
