//! What goes wrong between stackwright and a cluster in mid-apply: servers that die, wires that are cut, storms of
//! refusals, tokens that run out, webhooks that do not answer. The apply comes to its end, or stops with a reason
//! and the next one does; nothing is lost and nothing is there twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{stack, summary, take_down, unchanged};
use crate::arena::controllers::Manner;
use crate::arena::proxy::{cut_wire, meddle, status};
use crate::arena::real::{ControlPlane, TOKEN, kubeconfig};
use crate::arena::{Arena, everywhere};

/// How many ConfigMaps a stack of this suite has.
const MANY: usize = 120;

/// A namespace with many small objects and one that is waited for.
fn many(namespace: &str) -> String {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
    for number in 0..MANY {
        writeln!(
            text,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m-{number}, namespace: {namespace}}}\n\
             data: {{number: \"{number}\"}}"
        )
        .expect("text");
    }
    write!(
        text,
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: docker.io/library/nginx:1.27}}]}}\n"
    )
    .expect("text");
    text
}

fn write(arena: &Arena, namespace: &str) {
    arena.write("stack.toml", &stack(namespace));
    arena.write("app.yaml", &many(namespace));
}

fn maps(arena: &Arena, namespace: &str) -> Vec<Json> {
    let list = arena.api.get(&format!("/api/v1/namespaces/{namespace}/configmaps"));
    let all = list["items"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|map| map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("m-"))).collect()
}

/// Applies until it is complete, at most three times; how often it took.
fn converge(arena: &Arena) -> usize {
    for times in 1..=3 {
        let (fine, text) = arena.stackwright("apply stack.toml --auto-approve");
        if fine {
            return times;
        }
        assert!(text.contains("rror"), "{}: it stops without a word: {text}", arena.name);
        assert!(times < 3, "{}: {text}", arena.name);
    }
    unreachable!("returned or failed")
}

/// Everything is there once, as the state says, and goes.
fn whole(arena: &Arena, namespace: &str) {
    assert_eq!(maps(arena, namespace).len(), MANY, "{}", arena.name);
    unchanged(arena);
    take_down(arena);
    let (code, _) = arena.api.send(reqwest::Method::GET, &format!("/api/v1/namespaces/{namespace}"), "", None);
    assert_eq!(code, 404, "{}", arena.name);
}

/// Lets stackwright reach the arena's cluster by another address, or with another token.
fn by_way_of(arena: &Arena, server: &str, token: &str) {
    kubeconfig(arena.folder(), "kubeconfig", server, arena.api.ca(), token);
}

#[test]
fn the_api_server_is_killed_and_comes_back() {
    let Some(plane) = ControlPlane::start() else { return };
    let arena = plane.arena();
    write(&arena, "killed");
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| arena.stackwright("apply stack.toml --auto-approve"));
        arena.api.wait("/api/v1/namespaces/killed/configmaps", Duration::from_secs(60), |list| {
            list["items"].as_array().is_some_and(|items| items.len() > 20)
        });
        plane.kill("kube-apiserver");
        std::thread::sleep(Duration::from_secs(3));
        plane.spawn("kube-apiserver");
        plane.is_ready();
        let (fine, text) = apply.join().expect("joined");
        eprintln!("the apply that lost its server: {fine}, {}", summary(&text));
        assert!(fine || text.contains("API server"), "{text}");
    });
    let uids = |arena: &Arena| {
        maps(arena, "killed").iter().map(|map| map["metadata"]["uid"].to_string()).collect::<BTreeSet<_>>()
    };
    let before = uids(&arena);
    converge(&arena);
    assert!(uids(&arena).is_superset(&before), "what had been made is kept");
    // And in mid-destroy.
    std::thread::scope(|scope| {
        let destroy = scope.spawn(|| arena.stackwright("destroy stack.toml --auto-approve"));
        arena.api.wait("/api/v1/namespaces/killed/configmaps", Duration::from_secs(60), |list| {
            list["items"].as_array().is_some_and(|items| items.len() < MANY)
        });
        plane.kill("kube-apiserver");
        std::thread::sleep(Duration::from_secs(2));
        plane.spawn("kube-apiserver");
        plane.is_ready();
        let (fine, text) = destroy.join().expect("joined");
        eprintln!("the destroy that lost its server: {fine}, {}", summary(&text));
    });
    converge(&arena);
    whole(&arena, "killed");
}

#[test]
fn connections_are_cut_in_the_middle_of_answers() {
    everywhere(|arena| {
        write(arena, "cut");
        // Within the handshake, within the first answers, later.
        let limits = (0..40).map(|number| [400, 2_500, 4_000, 9_000, 30_000][number % 5]).collect();
        let server = cut_wire(arena, limits);
        by_way_of(arena, &server, TOKEN);
        let mut times = 0;
        let plan = loop {
            let (fine, text) = arena.stackwright("plan stack.toml");
            times += 1;
            if fine {
                break text;
            }
            assert!(times < 20 && text.contains("API server"), "{}: {text}", arena.name);
        };
        converge(arena);
        whole(arena, "cut");
        summary(&plan)
    });
}

#[test]
fn storms_of_refusals_pass() {
    everywhere(|arena| {
        write(arena, "storm");
        let refused = Mutex::new(BTreeSet::new());
        // Each write is told to come later, then that it came at the wrong moment, and then goes through.
        let server = meddle(
            arena,
            Box::new(move |seen| {
                if *seen.method == "GET" {
                    let late = seen.number % 7 == 3;
                    let told = status(429, "TooManyRequests", "too many requests, please try again later");
                    return late.then_some((429, Some(1), told));
                }
                let mut refused = refused.lock().expect("lock");
                let first = refused.insert((0, seen.path.to_owned()));
                if first {
                    let told = status(429, "TooManyRequests", "too many requests, please try again later");
                    return Some((429, Some(1), told));
                }
                let second = refused.insert((1, seen.path.to_owned()));
                let told = status(409, "Conflict", "Operation cannot be fulfilled: the object has been modified");
                second.then_some((409, None, told))
            }),
        );
        by_way_of(arena, &server, TOKEN);
        converge(arena);
        whole(arena, "storm");
    });
}

#[test]
fn a_token_runs_out_and_is_renewed() {
    everywhere(|arena| {
        write(arena, "token");
        let file = arena.folder().join("token");
        std::fs::write(&file, "first").expect("written");
        let renewed = (arena.folder().join("second"), file.clone());
        std::fs::write(&renewed.0, "second").expect("written");
        let server = meddle(
            arena,
            Box::new(move |seen| {
                let valid = if seen.number < 60 { "first" } else { "second" };
                if valid == "second" {
                    // Whoever renews it has done so by the time that the old one is refused.
                    std::fs::rename(&renewed.0, &renewed.1).ok();
                }
                (seen.token != valid).then(|| (401, None, status(401, "Unauthorized", "Unauthorized")))
            }),
        );
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"tokenFile": file}}],
        });
        arena.write("kubeconfig", &config.to_string());
        let text = arena.ok("apply stack.toml --auto-approve");
        whole(arena, "token");
        summary(&text)
    });
}

#[test]
fn a_webhook_that_does_not_answer_is_named_and_waited_for() {
    let Some(plane) = ControlPlane::start() else { return };
    let arena = plane.arena();
    write(&arena, "hooked");
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("https://{}/review", silent.local_addr().expect("address"));
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "silent"},
        "webhooks": [{"name": "silent.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "timeoutSeconds": 1, "failurePolicy": "Fail", "clientConfig": {"url": url},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"], "scope": "Namespaced"}],
            "objectSelector": {"matchExpressions": [{"key": "stackwright.dev/id", "operator": "Exists"}]}}],
    });
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    plane.api.post(hooks, &hook);
    std::thread::scope(|scope| {
        let apply = scope.spawn(|| arena.stackwright("apply stack.toml --auto-approve -v"));
        arena.api.wait("/api/v1/namespaces/hooked", Duration::from_secs(60), |_| true);
        std::thread::sleep(Duration::from_secs(8));
        assert_eq!(maps(&arena, "hooked").len(), 0, "the webhook lets nothing through");
        arena.api.send(reqwest::Method::DELETE, &format!("{hooks}/silent"), "", None);
        let (fine, text) = apply.join().expect("joined");
        assert!(fine, "{text}");
        assert!(text.contains("silent.example.com"), "{text}");
    });
    whole(&arena, "hooked");
}

/// cert-manager as our stand-in has it, and so many issuers.
fn with_issuers(count: usize) -> String {
    let (desired, _) = crate::lab::shipped("gpu-t4");
    let own = desired.resources.iter().filter(|resource| resource.address.as_str().starts_with("addons.cert-manager/"));
    let mut all = own.filter(|resource| resource.attrs.is_known()).map(|resource| resource.attrs.to_json().to_string());
    let mut text = all.by_ref().collect::<Vec<_>>();
    for number in 0..count {
        let issuer = json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer",
            "metadata": {"name": format!("issuer-{number}")}, "spec": {"selfSigned": {}}});
        text.push(issuer.to_string());
    }
    text.join("\n---\n")
}

#[test]
fn programs_that_are_absent_late_silent_broken_or_wrong_are_waited_for() {
    let Some(plane) = ControlPlane::start() else { return };
    let arena = plane.arena();
    arena.write("stack.toml", &stack("programs"));
    arena.write("app.yaml", &with_issuers(1));
    let issuer = |number: usize| format!("/apis/cert-manager.io/v1/clusterissuers/issuer-{number}");
    let exists = |number: usize| arena.api.send(reqwest::Method::GET, &issuer(number), "", None).0 == 200;
    let absent = plane.addons(&["cert-manager"]);
    let addons = std::thread::scope(|scope| {
        let apply = scope.spawn(|| arena.stackwright("apply stack.toml --auto-approve -v"));
        std::thread::sleep(Duration::from_secs(15));
        assert!(!exists(0), "nobody has answered its webhook");
        drop(absent);
        let addons = plane.addons(&[]);
        let (fine, text) = apply.join().expect("joined");
        assert!(fine && text.contains("the CA bundle of webhook.cert-manager.io"), "{text}");
        addons
    });
    unchanged(&arena);
    let manners = [Manner::Late(Duration::from_secs(2)), Manner::Broken, Manner::Wrong, Manner::Silent];
    for (number, manner) in manners.into_iter().enumerate() {
        addons.behave("cert-manager", manner);
        arena.write("app.yaml", &with_issuers(number + 2));
        std::thread::scope(|scope| {
            let apply = scope.spawn(|| arena.stackwright("apply stack.toml --auto-approve -v"));
            std::thread::sleep(Duration::from_secs(7));
            assert!(matches!(manner, Manner::Late(_)) || !exists(number + 1), "{manner:?}: it was let through");
            addons.behave("cert-manager", Manner::Right);
            let (fine, text) = apply.join().expect("joined");
            assert!(fine, "{manner:?}: {text}");
            let named = text.contains("failed calling webhook \"webhook.cert-manager.io\"");
            assert!(matches!(manner, Manner::Late(_)) || named, "{manner:?}: {text}");
        });
        unchanged(&arena);
    }
    take_down(&arena);
}
