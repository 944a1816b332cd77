//! The pure half of `k8s.object`: digests, differences, drift.

use serde_json::json;

use super::*;

fn value(json: serde_json::Value) -> Value {
    Value::from_json(&json)
}

/// A live object as the server would answer an apply of `manifest` by stack `1`.
fn applied(manifest: &Value, replicas_owner: Option<&str>) -> Observed {
    let mut live = canonical(manifest).to_json();
    live["metadata"]["uid"] = json!("u-1");
    live["metadata"]["labels"][MARK] = json!("1");
    if manifest.get("spec").is_some() {
        live["spec"]["progressDeadlineSeconds"] = json!(600);
    }
    let mut spec = serde_json::Map::new();
    for key in manifest.get("spec").and_then(Value::as_map).into_iter().flatten().map(|(key, _)| key) {
        if replicas_owner.is_none() || key != "replicas" {
            spec.insert(format!("f:{key}"), json!({}));
        }
    }
    let mut data = serde_json::Map::new();
    for (key, _) in canonical(manifest).get("data").and_then(Value::as_map).into_iter().flatten() {
        data.insert(format!("f:{key}"), json!({}));
    }
    let mut entries = vec![json!({"manager": "stackwright-1", "operation": "Apply", "apiVersion": "apps/v1",
        "fieldsV1": {"f:metadata": {"f:labels": {format!("f:{MARK}"): {}}}}})];
    for (key, set) in [("f:spec", spec), ("f:data", data)] {
        if !set.is_empty() {
            entries[0]["fieldsV1"][key] = set.into();
        }
    }
    if let Some(owner) = replicas_owner {
        entries.push(json!({"manager": owner, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
    }
    live["metadata"]["managedFields"] = json!(entries);
    Observed { id: "u-1".into(), attrs: value(live) }
}

fn deployment(replicas: i64, image: &str) -> Value {
    value(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                 "template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}))
}

fn diff(desired: &Value, ceded: &[Ceded], record: Option<&Value>, observed: &Observed) -> Vec<Change> {
    ObjectKind::default().diff(desired, ceded, Prior { recorded: record, observed: Some(observed) })
}

fn paths(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.path.join(".")).collect()
}

#[test]
fn what_was_applied_does_not_differ() {
    let manifest = deployment(1, "i:1");
    let observed = applied(&manifest, None);
    let record = ObjectKind::default().record(&manifest, &[], &observed);
    assert_eq!(diff(&manifest, &[], Some(&record), &observed), []);
    assert_eq!(ObjectKind::default().drift(&[], Prior { recorded: Some(&record), observed: Some(&observed) }), []);
    // Without a record, as after lost state, the fields themselves decide.
    assert_eq!(diff(&manifest, &[], None, &observed), []);
    let text = record.to_json().to_string();
    assert!(!text.contains("i:1"), "the record holds no values: {text}");
}

#[test]
fn records_of_before_there_was_a_key_are_read_and_those_of_another_say_nothing() {
    let manifest = deployment(1, "i:1");
    let observed = applied(&manifest, None);
    let [one, other] = [7, 8].map(|byte| ObjectKind::keyed(Some(Key::new(&[byte; 32]))));
    let none = ObjectKind::default();
    let scaled = applied(&deployment(5, "i:1"), None);
    let drift = |kind: &ObjectKind, record: &Value, now: &Observed| {
        paths(&kind.drift(&[], Prior { recorded: Some(record), observed: Some(now) }))
    };
    for (writer, reader) in [(&none, &one), (&one, &one)] {
        let record = writer.record(&manifest, &[], &observed);
        let prior = Prior { recorded: Some(&record), observed: Some(&observed) };
        assert_eq!((reader.diff(&manifest, &[], prior), reader.drift(&[], prior)), (vec![], vec![]));
        assert_eq!(drift(reader, &record, &scaled), ["spec.replicas"]);
        assert_eq!(drift(reader, &reader.seen(&record, &[], &scaled), &scaled), [""; 0]);
    }
    let record = one.record(&manifest, &[], &observed);
    for reader in [&none, &other] {
        // Neither everything, nor what it cannot know: the fields themselves decide what differs.
        assert_eq!(drift(reader, &record, &scaled), [""; 0]);
        let prior = Prior { recorded: Some(&record), observed: Some(&scaled) };
        assert_eq!(paths(&reader.diff(&manifest, &[], prior)), ["spec.replicas"]);
    }
}

#[test]
fn a_new_image_is_one_change_and_a_new_selector_replaces() {
    let manifest = deployment(1, "i:1");
    let observed = applied(&manifest, None);
    let record = ObjectKind::default().record(&manifest, &[], &observed);
    let changes = diff(&deployment(1, "i:2"), &[], Some(&record), &observed);
    assert_eq!(paths(&changes), ["spec.template.spec.containers.[name=main].image"]);
    assert!(!changes[0].forces_replace);
    let mut other = deployment(1, "i:1").to_json();
    other["spec"]["selector"]["matchLabels"]["app"] = json!("other");
    let changes = diff(&value(other), &[], Some(&record), &observed);
    assert_eq!(paths(&changes), ["spec.selector.matchLabels.app"]);
    assert!(changes[0].forces_replace);
}

#[test]
fn a_field_taken_out_goes() {
    let manifest = deployment(1, "i:1");
    let observed = applied(&manifest, None);
    let record = ObjectKind::default().record(&manifest, &[], &observed);
    let mut without = manifest.to_json();
    without["spec"].as_object_mut().expect("spec").remove("replicas");
    let changes = diff(&value(without), &[], Some(&record), &observed);
    assert_eq!(paths(&changes), ["spec.replicas"]);
    assert_eq!((changes[0].before.clone(), changes[0].after.clone()), (Some(Value::Int(1)), None));
}

#[test]
fn drift_names_the_field_and_its_new_owner() {
    let manifest = deployment(1, "i:1");
    let record = ObjectKind::default().record(&manifest, &[], &applied(&manifest, None));
    let mut scaled = applied(&manifest, Some("kubectl-scale"));
    let mut live = scaled.attrs.to_json();
    live["spec"]["replicas"] = json!(5);
    scaled.attrs = value(live);
    let drift = ObjectKind::default().drift(&[], Prior { recorded: Some(&record), observed: Some(&scaled) });
    assert_eq!(paths(&drift), ["spec.replicas"]);
    assert_eq!(drift[0].after, Some(Value::Int(5)));
    assert_eq!(drift[0].effect.as_deref(), Some("now owned by kubectl-scale"));
    let changes = diff(&manifest, &[], Some(&record), &scaled);
    assert_eq!(paths(&changes), ["spec.replicas"]);

    // The same field, ceded: neither drift nor change.
    let ceded = [Ceded { path: vec!["spec".into(), "replicas".into()], owner: "kubectl-scale".into() }];
    let record = ObjectKind::default().record(&manifest, &ceded, &applied(&manifest, None));
    assert_eq!(ObjectKind::default().drift(&ceded, Prior { recorded: Some(&record), observed: Some(&scaled) }), []);
    assert_eq!(diff(&manifest, &ceded, Some(&record), &scaled), []);
}

fn secret(token: Value) -> Value {
    let mut manifest =
        value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": "a"}}));
    if let Value::Map(map) = &mut manifest {
        map.insert("stringData".into(), Value::Map(Map::from([("token".to_owned(), token)])));
    }
    manifest
}

#[test]
fn a_secret_the_plan_cannot_see_is_proven_unchanged() {
    let sent = secret("hf_s3cret".into());
    let planned = secret(Template::secret("hf_token").into());
    let observed = applied(&sent, None);
    let record = ObjectKind::default().record(&sent, &[], &observed);
    assert_eq!(diff(&planned, &[], Some(&record), &observed), []);
    let text = record.to_json().to_string();
    assert!(!text.contains("s3cret") && !text.contains("aGZf"), "{text}");

    // Changed by other hands: seen, and not shown.
    let mut live = observed.attrs.to_json();
    live["data"]["token"] = json!("b3RoZXI=");
    let changed = Observed { id: "u-1".into(), attrs: value(live) };
    let changes = diff(&planned, &[], Some(&record), &changed);
    assert_eq!(paths(&changes), ["data.token"]);
    assert!(!format!("{changes:?}").contains("b3Ro"), "{changes:?}");
    let drift = ObjectKind::default().drift(&[], Prior { recorded: Some(&record), observed: Some(&changed) });
    assert_eq!(paths(&drift), ["data.token"]);
    assert!(!format!("{drift:?}").contains("b3Ro"), "{drift:?}");
}

#[test]
fn an_unknown_reference_differs() {
    let manifest = deployment(1, "i:1");
    let observed = applied(&manifest, None);
    let record = ObjectKind::default().record(&manifest, &[], &observed);
    let mut desired = manifest.clone();
    if let Value::Map(map) = &mut desired
        && let Some(Value::Map(spec)) = map.get_mut("spec")
    {
        spec.insert("replicas".into(), Template::reference("values.n".into(), vec!["output".into()]).into());
    }
    assert_eq!(paths(&diff(&desired, &[], Some(&record), &observed)), ["spec.replicas"]);
}

#[test]
fn only_what_owns_something_outside_is_deleted_before_its_cluster() {
    for (manifest, own) in [
        (json!({"apiVersion": "v1", "kind": "ConfigMap"}), false),
        (json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "ClusterIP"}}), false),
        (json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}}), true),
        (json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim"}), true),
        (json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"}), true),
        (json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}), false),
        (json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}), false),
        (json!({"apiVersion": "compute.cnrm.cloud.google.com/v1beta1", "kind": "ComputeDisk"}), true),
    ] {
        let expected = if own { Demise::Own } else { Demise::WithConnection };
        assert_eq!(ObjectKind::default().demise(&value(manifest.clone())), expected, "{manifest}");
    }
}
