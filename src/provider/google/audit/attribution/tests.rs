//! For every kind: what is the cluster's is proven, and what is like it and another cluster's is not.

use serde_json::{Value as Json, json};

use super::super::kinds::{KINDS, of};
use super::*;

const SYSTEM: &str = "6c1f2e0a-4d2b-4c3e-9a55-0f1e2d3c4b5a";
const SERVICE: &str = "11111111-2222-4333-8444-555555555555";
const INGRESS: &str = "0123456789abcdef";

fn ours() -> Captured {
    Captured {
        project: "p".into(),
        location: "europe-west4-a".into(),
        name: "qwen".into(),
        id: "1a2b3c4d".repeat(8),
        created: "2026-05-01T10:00:00+00:00".into(),
        network: "default".into(),
        zones: ["europe-west4-a".to_owned()].into(),
        node_tag: "gke-qwen-1a2b3c4d-node".into(),
        instance_groups: ["gke-qwen-system-aaaa1111-grp".to_owned()].into(),
        system_uid: Some(SYSTEM.into()),
        ingress_uids: [INGRESS.to_owned()].into(),
        services: [(SERVICE.to_owned(), "shop/web".to_owned())].into(),
        volumes: ["projects/p/zones/europe-west4-a/disks/pvc-1".to_owned()].into(),
        retained: ["projects/p/zones/europe-west4-a/disks/pvc-2".to_owned()].into(),
    }
}

/// A thing of a kind, made after the cluster unless it says otherwise.
fn thing(collection: &str, place: &str, mut fields: Json) -> Found {
    let name = fields["name"].as_str().expect("a name").to_owned();
    if fields.get("creationTimestamp").is_none() {
        fields["creationTimestamp"] = json!("2026-05-01T11:00:00.000-00:00");
    }
    fields["selfLink"] = json!(format!("https://www.googleapis.com/compute/v1/projects/p/{place}/{collection}/{name}"));
    Found { row: of(collection), place: place.to_owned(), thing: serde_json::from_value(fields).expect("a thing") }
}

fn link(place: &str, collection: &str, name: &str) -> Json {
    json!(format!("https://www.googleapis.com/compute/v1/projects/p/{place}/{collection}/{name}"))
}

fn verdicts(captured: &Captured, living: &[Living], found: &[Found]) -> Vec<Option<Verdict>> {
    let claims = attribute(std::slice::from_ref(captured), living, found);
    claims.into_iter().map(|claim| claim.map(|claim| claim.verdict)).collect()
}

fn one(captured: &Captured, living: &[Living], found: Found) -> Option<Verdict> {
    verdicts(captured, living, &[found])[0]
}

const REGION: &str = "regions/europe-west4";
const ZONE: &str = "zones/europe-west4-a";

/// For each kind one thing of the cluster, and one that is just like it and of another cluster.
fn pairs() -> Vec<(&'static str, &'static str, Json, Json)> {
    let hash = names::content_hash(SYSTEM);
    let theirs = names::content_hash("00000000-4d2b-4c3e-9a55-0f1e2d3c4b5a");
    let second = |kind: &str, hash: &str| json!({"name": format!("k8s2-{kind}-{hash}-shop-web-98765432")});
    let label = |id: &str| {
        json!({"goog-gke-cluster-id-base32": names::id_label(&id.repeat(8)), "goog-gke-volume": "",
            "goog-k8s-cluster-name": "qwen", "goog-k8s-cluster-location": "europe-west4-a"})
    };
    let classic = names::balancer(SERVICE);
    let foreign = names::balancer("99999999-2222-4333-8444-555555555555");
    let group = |uid: &str| json!({"cluster-uid": uid, "namespace": "shop", "service-name": "web", "port": "80"});
    vec![
        (
            "disks",
            ZONE,
            json!({"name": "pvc-9", "labels": label("1a2b3c4d")}),
            json!({"name": "pvc-9", "labels": label("9a2b3c4d")}),
        ),
        ("forwardingRules", REGION, json!({"name": classic}), json!({"name": foreign})),
        ("forwardingRules", REGION, second("tcp", &hash), second("tcp", &theirs)),
        ("targetPools", REGION, json!({"name": classic}), json!({"name": foreign})),
        ("targetHttpProxies", "global", second("tp", &hash), second("tp", &theirs)),
        ("targetHttpsProxies", "global", second("ts", &hash), second("ts", &theirs)),
        ("targetSslProxies", "global", second("ts", &hash), second("ts", &theirs)),
        ("targetTcpProxies", "global", second("tp", &hash), second("tp", &theirs)),
        ("urlMaps", "global", second("um", &hash), second("um", &theirs)),
        ("sslCertificates", "global", second("cr", &hash), second("cr", &theirs)),
        (
            "backendServices",
            REGION,
            json!({"name": format!("k8s2-{hash}-shop-web-98765432")}),
            json!({"name": format!("k8s2-{theirs}-shop-web-98765432")}),
        ),
        (
            "backendServices",
            "global",
            json!({"name": format!("k8s-be-30000--{INGRESS}")}),
            json!({"name": "k8s-be-30000--fedcba9876543210"}),
        ),
        (
            "networkEndpointGroups",
            ZONE,
            json!({"name": "k8s1-01234567-shop-web-80-98765432", "description": group(SYSTEM).to_string()}),
            json!({"name": "k8s1-01234567-shop-web-80-98765432", "description": group("another").to_string()}),
        ),
        (
            "healthChecks",
            "global",
            json!({"name": format!("k8s2-{hash}-l4-shared-hc")}),
            json!({"name": format!("k8s2-{theirs}-l4-shared-hc")}),
        ),
        (
            "httpHealthChecks",
            "global",
            json!({"name": format!("k8s-{INGRESS}-node")}),
            json!({"name": "k8s-fedcba9876543210-node"}),
        ),
        ("addresses", REGION, json!({"name": classic}), json!({"name": foreign})),
        (
            "instanceGroupManagers",
            ZONE,
            json!({"name": "gke-qwen-system-aaaa1111-grp"}),
            json!({"name": "gke-qwen-system-bbbb2222-grp"}),
        ),
        (
            "instanceGroups",
            ZONE,
            json!({"name": format!("k8s-ig--{INGRESS}")}),
            json!({"name": "k8s-ig--fedcba9876543210"}),
        ),
        (
            "instances",
            ZONE,
            json!({"name": "gke-qwen-system-aaaa1111-x1y2", "tags": {"items": ["gke-qwen-1a2b3c4d-node"]}}),
            json!({"name": "gke-qwen-system-bbbb2222-x1y2", "tags": {"items": ["gke-qwen-9a2b3c4d-node"]}}),
        ),
        ("routes", "global", json!({"name": "gke-qwen-1a2b3c4d-0f0f"}), json!({"name": "gke-qwen-9a2b3c4d-0f0f"})),
        ("firewalls", "global", json!({"name": "gke-qwen-1a2b3c4d-all"}), json!({"name": "gke-qwen-9a2b3c4d-all"})),
        (
            "firewalls",
            "global",
            json!({"name": format!("k8s-fw-{foreign}"), "targetTags": ["gke-qwen-1a2b3c4d-node"]}),
            json!({"name": format!("k8s-fw-{foreign}"), "targetTags": ["gke-qwen-9a2b3c4d-node"]}),
        ),
    ]
}

/// Another cluster, in the same region.
fn neighbour() -> Living {
    let (name, location) = ("other".into(), "europe-west4-b".into());
    Living { name, location, id: "9a2b3c4d".repeat(8), created: "2026-05-01T09:00:00+00:00".into() }
}

#[test]
fn every_kind_is_proven_and_its_look_alike_is_not() {
    let mut kinds = std::collections::BTreeSet::new();
    for (collection, place, ours_is, theirs_is) in pairs() {
        kinds.insert(collection);
        let own = one(&ours(), &[neighbour()], thing(collection, place, ours_is.clone()));
        assert_eq!(own, Some(Verdict::Proven), "{collection} {ours_is}");
        let alike = one(&ours(), &[neighbour()], thing(collection, place, theirs_is.clone()));
        assert_eq!(alike, Some(Verdict::Other), "{collection} {theirs_is}");
    }
    for row in KINDS {
        assert!(kinds.contains(row.collection), "{} is not tested", row.collection);
    }
}

#[test]
fn what_users_made_is_nothing_like_ours() {
    for (collection, place) in
        [("addresses", REGION), ("forwardingRules", REGION), ("disks", ZONE), ("firewalls", "global")]
    {
        for name in ["web", "address-of-mine", "qwen", "gkeish", "data-disk"] {
            assert_eq!(one(&ours(), &[], thing(collection, place, json!({"name": name}))), None, "{collection} {name}");
        }
    }
    // Somebody's own firewall for the cluster's nodes: it was made by hand, and stays.
    let own = thing("firewalls", "global", json!({"name": "debug", "targetTags": ["gke-qwen-1a2b3c4d-node"]}));
    assert_eq!(one(&ours(), &[], own), Some(Verdict::Other));
}

#[test]
fn volumes_are_known_by_their_handles_and_retained_ones_stay() {
    let label = names::id_label(&ours().id);
    for (name, verdict) in [("pvc-1", Verdict::Proven), ("pvc-2", Verdict::Other)] {
        let fields = json!({"name": name, "labels": {"goog-gke-cluster-id-base32": label}});
        assert_eq!(one(&ours(), &[], thing("disks", ZONE, fields)), Some(verdict), "{name}");
        assert_eq!(
            one(&ours(), &[], thing("disks", ZONE, json!({"name": name}))),
            Some(verdict),
            "{name} without labels"
        );
    }
}

#[test]
fn a_name_and_a_place_alone_prove_nothing() {
    let labels = json!({"goog-k8s-cluster-name": "qwen", "goog-k8s-cluster-location": "europe-west4-a"});
    let disk =
        |created: &str| thing("disks", ZONE, json!({"name": "pvc-9", "labels": labels, "creationTimestamp": created}));
    let heir = Living {
        name: "qwen".into(),
        location: "europe-west4-a".into(),
        id: "9a2b3c4d".repeat(8),
        created: "2026-05-02T10:00:00+00:00".into(),
    };
    let heirs = [heir];
    for (created, living, verdict) in [
        ("2026-05-01T11:00:00.000-00:00", &[][..], Verdict::Probable),
        ("2026-05-01T09:00:00.000-00:00", &[][..], Verdict::Other),
        ("2026-05-02T11:00:00.000-00:00", &heirs[..], Verdict::Other),
        ("2026-05-01T11:00:00.000-00:00", &heirs[..], Verdict::Probable),
    ] {
        assert_eq!(one(&ours(), living, disk(created)), Some(verdict), "{created}");
    }
    let elsewhere = json!({"goog-k8s-cluster-name": "qwen", "goog-k8s-cluster-location": "us-east1"});
    let disk = thing("disks", ZONE, json!({"name": "pvc-9", "labels": elsewhere}));
    assert_eq!(one(&ours(), &[], disk), Some(Verdict::Other));
}

#[test]
fn a_classic_load_balancer_is_found_by_what_belongs_to_it() {
    // Its Service was not captured; its firewall is for the cluster's nodes.
    let name = names::balancer("77777777-2222-4333-8444-555555555555");
    let found = [
        thing(
            "firewalls",
            "global",
            json!({"name": format!("k8s-fw-{name}"), "targetTags": ["gke-qwen-1a2b3c4d-node"]}),
        ),
        thing("forwardingRules", REGION, json!({"name": name, "target": link(REGION, "targetPools", &name)})),
        thing(
            "targetPools",
            REGION,
            json!({"name": name, "healthChecks": [link("global", "httpHealthChecks", "k8s-77-node")]}),
        ),
        thing("httpHealthChecks", "global", json!({"name": "k8s-77-node"})),
    ];
    let proven = Some(Verdict::Proven);
    // The name of the health check names another cluster: nothing speaks louder.
    assert_eq!(verdicts(&ours(), &[neighbour()], &found), [proven, proven, proven, Some(Verdict::Other)]);
    let unasked = Captured { ingress_uids: Default::default(), ..ours() };
    assert_eq!(verdicts(&unasked, &[neighbour()], &found), [proven; 4]);
    // By the nodes in it.
    let node = |group: &str| json!([link(ZONE, "instances", &format!("gke-qwen-system-{group}-x1y2"))]);
    for (group, verdict) in [("aaaa1111", Verdict::Proven), ("bbbb2222", Verdict::Other)] {
        let pool = thing("targetPools", REGION, json!({"name": name, "instances": node(group)}));
        assert_eq!(one(&ours(), &[neighbour()], pool), Some(verdict), "{group}");
    }
}

#[test]
fn an_orphan_is_probably_ours_only_where_it_can_be_nobody_elses() {
    let name = names::balancer("77777777-2222-4333-8444-555555555555");
    let rule = |place: &str, created: &str| {
        thing("forwardingRules", place, json!({"name": name, "creationTimestamp": created}))
    };
    let later = "2026-05-01T11:00:00.000-00:00";
    assert_eq!(one(&ours(), &[], rule(REGION, later)), Some(Verdict::Probable));
    assert_eq!(one(&ours(), &[neighbour()], rule(REGION, later)), Some(Verdict::Other), "a neighbour may have made it");
    assert_eq!(one(&ours(), &[], rule("regions/us-east1", later)), Some(Verdict::Other), "another region");
    assert_eq!(one(&ours(), &[], rule(REGION, "2026-04-01T11:00:00.000-00:00")), Some(Verdict::Other), "older");
    let network = json!({"name": name, "network": link("global", "networks", "other")});
    assert_eq!(one(&ours(), &[], thing("forwardingRules", REGION, network)), Some(Verdict::Other), "another network");
}

#[test]
fn a_gateway_is_proven_by_its_endpoint_groups() {
    let group = json!({"cluster-uid": SYSTEM, "namespace": "shop", "service-name": "web", "port": "80"}).to_string();
    let neg = "k8s1-ffffffff-shop-web-80-98765432";
    let name = |kind: &str| format!("gkegw1-{kind}-shop-web-98765432");
    let found = |neg_description: &str| {
        [
            thing("networkEndpointGroups", ZONE, json!({"name": neg, "description": neg_description})),
            thing(
                "backendServices",
                "global",
                json!({"name": name("be"), "backends": [{"group": link(ZONE, "networkEndpointGroups", neg)}]}),
            ),
            thing(
                "urlMaps",
                "global",
                json!({"name": name("um"), "defaultService": link("global", "backendServices", &name("be"))}),
            ),
            thing(
                "targetHttpProxies",
                "global",
                json!({"name": name("tp"), "urlMap": link("global", "urlMaps", &name("um"))}),
            ),
            thing(
                "forwardingRules",
                "global",
                json!({"name": name("fr"), "target": link("global", "targetHttpProxies", &name("tp"))}),
            ),
            // A URL map of the user's own over the same backends stays.
            thing(
                "urlMaps",
                "global",
                json!({"name": "mine", "defaultService": link("global", "backendServices", &name("be"))}),
            ),
        ]
    };
    let proven = Some(Verdict::Proven);
    assert_eq!(verdicts(&ours(), &[neighbour()], &found(&group)), [proven, proven, proven, proven, proven, None]);
    let theirs = group.replace(SYSTEM, "another");
    let other = Some(Verdict::Other);
    assert_eq!(verdicts(&ours(), &[neighbour()], &found(&theirs)), [other, other, other, other, other, None]);
}

#[test]
fn a_cluster_that_could_not_be_asked_proves_less() {
    let unasked = Captured {
        system_uid: None,
        ingress_uids: Default::default(),
        services: Default::default(),
        volumes: Default::default(),
        ..ours()
    };
    let hash = names::content_hash(SYSTEM);
    let rule = || thing("forwardingRules", REGION, json!({"name": format!("k8s2-tcp-{hash}-shop-web-98765432")}));
    assert_eq!(one(&unasked, &[], rule()), Some(Verdict::Probable));
    assert_eq!(one(&unasked, &[neighbour()], rule()), Some(Verdict::Other));
    let disk = json!({"name": "pvc-9", "description": json!({"storage.gke.io/created-by": "pd.csi.storage.gke.io"}).to_string()});
    assert_eq!(one(&unasked, &[], thing("disks", ZONE, disk.clone())), Some(Verdict::Probable));
    assert_eq!(one(&unasked, &[neighbour()], thing("disks", ZONE, disk)), Some(Verdict::Other));
}

#[test]
fn of_two_clusters_each_gets_its_own() {
    let second = Captured { name: "other".into(), id: "9a2b3c4d".repeat(8), node_tag: String::new(), ..ours() };
    let found = [
        thing("firewalls", "global", json!({"name": "gke-qwen-1a2b3c4d-all"})),
        thing("firewalls", "global", json!({"name": "gke-other-9a2b3c4d-all"})),
    ];
    let claims = attribute(&[ours(), second], &[], &found);
    let whose =
        claims.iter().map(|claim| claim.as_ref().map(|claim| claim.cluster.get(..8).expect("an id").to_owned()));
    assert_eq!(whose.collect::<Vec<_>>(), [Some("1a2b3c4d".to_owned()), Some("9a2b3c4d".to_owned())]);
}
