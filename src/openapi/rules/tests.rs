//! Each rule refuses what it is for, and nothing else. That good objects pass is shown with whole stacks.

use serde_json::json;

use super::*;

/// Paths and messages of what is wrong with a pod that has this spec, but for its one good container.
fn pod(spec: Json) -> Vec<String> {
    let mut whole = json!({"containers": [{"name": "c", "image": "i"}]});
    whole.as_object_mut().expect("a map").extend(spec.as_object().expect("a map").clone());
    of("", "Pod", json!({"spec": whole}))
}

fn of(group: &str, kind: &str, object: Json) -> Vec<String> {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let schema = builtin::schema(group, version, kind).expect("a built-in kind");
    check(group, kind, &schema, &object).iter().map(ToString::to_string).collect()
}

#[test]
fn pods() {
    assert_eq!(pod(json!({})), Vec::<String>::new());
    let container = |more: Json| {
        let mut container = json!({"name": "c", "image": "i"});
        container.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        json!({"containers": [container]})
    };
    for (spec, path) in [
        (json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "j"}]}), "spec.containers[1].name"),
        (json!({"initContainers": [{"name": "c", "image": "j"}]}), "spec.containers[0].name"),
        (json!({"volumes": [{"name": "V", "emptyDir": {}}]}), "spec.volumes[0].name"),
        (json!({"volumes": [{"name": "v", "secret": {}}]}), "spec.volumes[0].secret.secretName"),
        (json!({"volumes": [{"name": "v", "projected": {"sources": [{}]}}]}), "spec.volumes[0].projected.sources[0]"),
        (json!({"terminationGracePeriodSeconds": -1}), "spec.terminationGracePeriodSeconds"),
        (json!({"nodeSelector": {"a b": "c"}}), "spec.nodeSelector"),
        (json!({"tolerations": [{"operator": "Equal", "value": "x"}]}), "spec.tolerations[0].operator"),
        (
            json!({"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]}),
            "spec.tolerations[0].effect",
        ),
        (json!({"topologySpreadConstraints": [{"maxSkew": 0}]}), "spec.topologySpreadConstraints[0].maxSkew"),
        (json!({"dnsPolicy": "None"}), "spec.dnsConfig"),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "In"}]}]}}}}),
            "matchExpressions[0].values",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey",
        ),
        (
            container(
                json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            "env[0].valueFrom",
        ),
        (container(json!({"env": [{"name": "A", "valueFrom": {}}]})), "env[0].valueFrom"),
        (container(json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]})), "secretKeyRef.key"),
        (
            container(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]})),
            "fieldRef.fieldPath",
        ),
        (container(json!({"envFrom": [{}]})), "envFrom[0]"),
        (container(json!({"livenessProbe": {"exec": {}, "tcpSocket": {"port": 1}}})), "livenessProbe.tcpSocket"),
        (container(json!({"livenessProbe": {"exec": {}, "successThreshold": 2}})), "livenessProbe.successThreshold"),
        (container(json!({"lifecycle": {"preStop": {}}})), "lifecycle.preStop"),
        (container(json!({"resources": {"requests": {"nvidia.com/gpu": 1}}})), "resources.limits"),
        (
            container(json!({"resources": {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}}})),
            "resources.requests",
        ),
        (container(json!({"resources": {"limits": {"cpu": "-1"}}})), "resources.limits[cpu]"),
    ] {
        let found = pod(spec.clone());
        assert!(found.len() == 1 && found[0].contains(path), "{spec}: {path} in {found:#?}");
    }
}

#[test]
fn schedules() {
    let cron = |schedule: &str| {
        let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
        of("batch", "CronJob", json!({"spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}}}))
    };
    for good in ["*/5 * * * *", "0 0 1 jan sun", "1,2-4/2 ? * * *", "@hourly", "@every 1h"] {
        assert_eq!(cron(good), Vec::<String>::new(), "{good}");
    }
    for bad in ["* * * *", "60 * * * *", "@sometimes", "CRON_TZ=UTC * * * * *", "*/0 * * * *", ""] {
        assert_eq!(cron(bad).len(), 1, "{bad}");
    }
}

#[test]
fn selectors() {
    let budget = |selector: Json| of("policy", "PodDisruptionBudget", json!({"spec": {"selector": selector}}));
    assert_eq!(
        budget(json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]})),
        Vec::<String>::new()
    );
    assert_eq!(budget(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})).len(), 1);
    assert_eq!(budget(json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]})).len(), 1);
    assert_eq!(budget(json!({"matchExpressions": [{"key": "a", "operator": "Contains"}]})).len(), 1);
    assert_eq!(budget(json!({"matchLabels": {"a": "b c"}})).len(), 1);
}

#[test]
fn claims_of_a_stateful_set_are_volumes_of_its_pods() {
    let set = |mount: &str| {
        let container = json!({"name": "c", "image": "i", "volumeMounts": [{"name": mount, "mountPath": "/d"}]});
        json!({"spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        }})
    };
    assert_eq!(of("apps", "StatefulSet", set("data")), Vec::<String>::new());
    assert_eq!(of("apps", "StatefulSet", set("other")).len(), 1);
}
