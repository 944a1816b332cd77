//! The page as text: what is in it, that nothing hostile gets through, and how large it gets. What a browser makes of it
//! is tested with one.

use serde_json::json;

use super::*;
use crate::event::Event;
use crate::plan::model::{Edge, OutputChange, Reason, ResourceChange};
use crate::plan::sample::{change, created, deleted, differs, plan, updated};
use crate::value::Value;

fn show(plan: &Plan, run: Option<Ran<'_>>) -> String {
    page(&Report { plan, made: "2026-11-23T05:00:00Z".to_owned(), simulated: true, parallelism: 16, run })
}

/// Tags of the page by name, quotation marks honoured; a stray `<` would be a tag that nobody knows.
fn tags(page: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let name = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "/!".contains(*c)).collect::<String>();
        let mut quoted = false;
        let end = rest.find(|c| {
            quoted ^= c == '"';
            c == '>' && !quoted
        });
        rest = &rest[end.expect("a tag ends")..];
        // Styles and script hold no text from outside.
        for raw in ["style", "script"] {
            if name == raw {
                rest = &rest[rest.find(&format!("</{raw}>")).expect("it ends")..];
            }
        }
        tags.push(name.trim_start_matches('/').to_owned());
    }
    tags
}

const HOSTILE: &str =
    "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)' \u{1b}[31m\u{202e}&amp;";

fn hostile() -> Plan {
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {HOSTILE: HOSTILE}});
    let address = format!("charts.{HOSTILE}/ConfigMap/{HOSTILE}");
    let mut plan = plan(vec![
        ResourceChange { origin: Some(HOSTILE.to_owned()), ..created(&address, manifest.clone()) },
        updated(
            "manifests.x/Secret/a/b",
            manifest,
            vec![differs(&format!("data.{HOSTILE}"), json!(HOSTILE), json!(format!("a\n{HOSTILE}\nb")))],
        ),
        deleted(&format!("values.{HOSTILE}")),
    ]);
    plan.stack = HOSTILE.to_owned();
    plan.edges.push(Edge {
        dependent: plan.changes[0].address.clone(),
        dependency: plan.changes[1].address.clone(),
        reasons: vec![HOSTILE.to_owned()],
    });
    let after = Some(Value::from(HOSTILE));
    plan.outputs.insert(HOSTILE.to_owned(), OutputChange { before: None, after, sensitive: false });
    plan
}

fn failed<'a>(plan: &Plan, records: &'a mut Vec<Record>) -> Ran<'a> {
    let address = plan.changes[0].address.clone();
    let at = Duration::from_secs(90);
    records.push(Record {
        at: Duration::ZERO,
        event: Event::Started { address: address.clone(), action: plan.changes[0].action, estimate: at },
    });
    records.push(Record {
        at,
        event: Event::Waiting { address: address.clone(), waiting_for: HOSTILE.to_owned(), elapsed: at },
    });
    records.push(Record {
        at,
        event: Event::Failed {
            address: address.clone(),
            action: plan.changes[0].action,
            causes: vec![HOSTILE.to_owned(), "the image cannot be pulled".to_owned()],
            hint: Some(HOSTILE.to_owned()),
        },
    });
    records.push(Record {
        at,
        event: Event::Skipped { address: plan.changes[1].address.clone(), because: HOSTILE.to_owned() },
    });
    let task = crate::plan::execution::half(plan, &address, plan.changes[0].action);
    Ran {
        records,
        spans: BTreeMap::from([(task, (Duration::ZERO, at))]),
        elapsed: at,
        ending: Ending::Failed,
        done: (0, 0, 0),
        unproved: vec![(HOSTILE.to_owned(), vec![HOSTILE.to_owned()], Some(HOSTILE.to_owned()))],
        outputs: vec![(HOSTILE.to_owned(), HOSTILE.to_owned())],
    }
}

#[test]
fn nothing_hostile_gets_through() {
    let plan = hostile();
    let mut records = Vec::new();
    for text in [show(&plan, None), show(&plan, Some(failed(&plan, &mut records)))] {
        let known = "!doctype html head meta title style body a header p div h1 dl dt dd span nav ul li main section h2 h3 \
            details summary ol svg g path rect text form label input select option button table thead tbody tr th td code \
            pre ins del b strong br footer script";
        let known = known.split_whitespace().collect::<Vec<_>>();
        for tag in tags(&text) {
            assert!(known.contains(&tag.to_ascii_lowercase().as_str()), "<{tag}>");
        }
        assert_eq!(text.matches("<script").count(), 1, "the page's own");
        assert!(!text.contains("<img") && !text.contains("\u{1b}") && !text.contains('\u{202e}'));
        assert!(!text.contains(" onload=\"") && !text.contains("onerror=alert(2)>\""));
        assert!(!text.contains(" style=\""), "the policy forbids it");
        // It is shown all the same.
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "it is text");
    }
}

#[test]
fn the_policy_names_what_is_in_the_page_and_nothing_is_loaded() {
    let text = show(&plan(vec![created("values.a", json!({"input": 1}))]), None);
    let inner = |tag: &str| {
        let begin = text.find(&format!("<{tag}>")).expect("there") + tag.len() + 2;
        &text[begin..begin + text[begin..].find(&format!("</{tag}>")).expect("ends")]
    };
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(inner(tag).as_bytes()));
        assert!(text.contains(&format!("{directive} 'sha256-{digest}'")), "{tag}");
    }
    for loading in ["src=", "url(", "@import", "http-equiv=\"refresh\"", "href=\"http", "fetch(", "XMLHttpRequest"] {
        assert!(!text.contains(loading), "{loading}");
    }
}

#[test]
fn a_failure_is_told_with_causes_and_hint_and_a_plan_with_what_it_does() {
    let plan = plan(vec![
        created("cluster", json!({"name": "c"})),
        updated("values.a", json!({"input": 2}), vec![differs("input", json!(1), json!(2))]),
        change("values.b", Action::NoOp, Reason::Same),
    ]);
    let before = show(&plan, None);
    for wanted in [
        "1 to add, 1 to change, 0 to destroy",
        "<del>- input = 1</del>",
        "<ins>+ input = 2</ins>",
        "Estimated time",
        "1 resource is as the stack has it",
    ] {
        assert!(before.contains(wanted), "{wanted}");
    }
    let mut records = Vec::new();
    let after = show(&plan, Some(failed(&plan, &mut records)));
    for wanted in [
        "2 changes failed, 1 not tried.",
        "What went wrong",
        "the image cannot be pulled",
        "class=\"failed\"",
        "What happened when",
    ] {
        assert!(after.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_plan_of_five_thousand_resources_is_a_page_that_opens() {
    let data = "a line of a value that is long enough to matter in five thousand objects\n".repeat(40);
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"a": data, "b": {"c": data}}});
    let objects =
        (0..5000).map(|at| created(&format!("charts.c{}/ConfigMap/demo/object-{at:04}", at % 25), manifest.clone()));
    let mut plan = plan(objects.collect());
    let edges = plan.changes.windows(3).map(|window| Edge {
        dependent: window[2].address.clone(),
        dependency: window[0].address.clone(),
        reasons: vec!["because".to_owned()],
    });
    plan.edges = edges.collect();
    plan.edges.sort();
    let text = show(&plan, None);
    assert!(text.len() < 5_000_000, "{} bytes", text.len());
    assert_eq!(text.matches("<details class=\"change create\"").count(), 5000);
}
