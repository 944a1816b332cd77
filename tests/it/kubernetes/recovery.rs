//! A state that is lost, made again from labels and fields: what is there is matched, what others changed since is
//! shown and not hidden, what is in no file any more is taken away, and what is nobody's or a controller's stays.

use serde_json::json;

use super::{app, bring_up, summary, take_down, unchanged};
use crate::arena::{Arena, everywhere};

/// The state of the arena's stacks is gone, with their keys.
pub(super) fn lose(arena: &Arena) {
    std::fs::remove_dir_all(arena.folder().join("state")).expect("removed");
}

fn rebuild(arena: &Arena) -> String {
    arena.ok("state rebuild stack.toml --auto-approve")
}

#[test]
fn a_lost_state_is_made_again() {
    everywhere(|arena| {
        bring_up(arena, "found");
        let before = arena.ok("state list stack.toml");
        lose(arena);
        for command in ["plan stack.toml", "apply stack.toml --auto-approve"] {
            let (fine, text) = arena.stackwright(command);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(!fine && text.contains("state rebuild stack.toml"), "{}: {command}: {text}", arena.name);
        }
        let (fine, text) = arena.stackwright("state rebuild stack.toml");
        assert!(!fine && text.contains("nobody is there to approve"), "{}: {text}", arena.name);
        assert!(rebuild(arena).contains("all as the stack wants them"), "{}", arena.name);
        assert_eq!(arena.ok("state list stack.toml"), before, "{}", arena.name);
        unchanged(arena);
        assert!(rebuild(arena).contains("Nothing to do"), "{}", arena.name);

        // Meanwhile somebody changes one thing, and the stack no longer has another; a controller has copied labels.
        let settings = "/api/v1/namespaces/found/configmaps/settings";
        let id = arena.api.get(settings)["metadata"]["labels"]["stackwright.dev/id"].clone();
        arena.api.patch(settings, &json!({"data": {"a": "spoilt"}}));
        let copy = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "copy", "labels": {"stackwright.dev/id": id}}});
        arena.api.post("/api/v1/namespaces/found/configmaps", &copy);
        let widget = "apiVersion: found.example.com/v1\nkind: Widget\nmetadata: {name: one, namespace: found}\nspec: {colour: blue}\n---\n";
        assert!(app("found").contains(widget));
        arena.write("app.yaml", &app("found").replace(widget, "").replace("word: hello", "word: other"));
        lose(arena);
        let text = rebuild(arena);
        for said in ["2 not as the stack wants them", "unclaimed/Widget.found.example.com/found/one"] {
            assert!(text.contains(said), "{}: {said}: {text}", arena.name);
        }
        assert!(!text.contains("copy") && !text.contains("hello") && !text.contains("other"), "{}: {text}", arena.name);
        let plan = arena.ok("plan stack.toml");
        let planned = summary(&plan);
        assert_eq!(planned, "Plan: 0 to add, 2 to change, 1 to destroy.", "{}: {plan}", arena.name);
        // Whoever changed it owns it now.
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
        assert!(!fine && text.contains("force-conflicts"), "{}: {text}", arena.name);
        arena.ok("apply stack.toml --auto-approve --force-conflicts");
        unchanged(arena);
        assert_eq!(arena.api.get(settings)["data"]["a"], "1", "{}", arena.name);
        let left = arena.api.get("/api/v1/namespaces/found/configmaps/copy");
        assert_eq!(left["metadata"]["labels"]["stackwright.dev/id"], id, "{}: it is nobody's to delete", arena.name);
        let (code, _) = arena.api.send(reqwest::Method::DELETE, "/api/v1/namespaces/found/configmaps/copy", "", None);
        assert_eq!(code, 200, "{}", arena.name);
        (planned, take_down(arena))
    });
}

#[test]
fn nothing_is_not_a_stack() {
    everywhere(|arena| {
        arena.write("stack.toml", &super::stack("nowhere"));
        arena.write("app.yaml", &app("nowhere"));
        let (fine, text) = arena.stackwright("state rebuild stack.toml --auto-approve");
        assert!(!fine && text.contains("nothing of the stack nowhere is there"), "{}: {text}", arena.name);
        let (fine, text) = arena.stackwright("state rebuild stack.toml --auto-approve --stack-id 0123456789abcdef");
        assert!(!fine && text.contains("carries the stack id 0123456789abcdef"), "{}: {text}", arena.name);
        assert!(summary(&arena.ok("plan stack.toml")).starts_with("Plan: "), "{}", arena.name);
    });
}
