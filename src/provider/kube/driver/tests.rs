//! The driver against scripted answers: what is sent, and what is made of what comes back.

use std::future::Future;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::env::clock::{Timestamp, WallClock};
use crate::provider::google::client::GoogleClient;
use crate::provider::kube::object::ObjectKind;
use crate::provider::kube::patience::End;
use crate::resource::kind::Kind;

/// What was asked: method, path with query, body.
type Asked = Vec<(Method, String, Json)>;

/// Answers still to give, by method and path.
type Answers = BTreeMap<String, Vec<(u16, Json)>>;

/// An API server that answers from a table, by method and path without query; 404 for the rest.
#[derive(Clone, Default)]
struct Server {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Asked>>,
}

impl Server {
    fn on(&self, request: &str, code: u16, body: Json) -> &Self {
        self.answers.lock().expect("lock").entry(request.to_owned()).or_default().push((code, body));
        self
    }

    fn answer(&self, method: &Method, uri: &http::Uri) -> (u16, Json) {
        let key = format!("{method} {}", uri.path());
        let mut answers = self.answers.lock().expect("lock");
        match answers.get_mut(&key) {
            // The last answer is given for ever.
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list[0].clone(),
            None => (404, json!({"reason": "NotFound", "message": format!("{key} is not there")})),
        }
    }

    fn client(&self) -> kube::Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                assert_eq!(parts.headers[http::header::AUTHORIZATION], "Bearer test");
                let bytes = body.collect().await.expect("body").to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                let uri = parts.uri.to_string();
                server.asked.lock().expect("lock").push((parts.method.clone(), uri, body));
                let (code, body) = server.answer(&parts.method, &parts.uri);
                let response = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
                Ok::<_, std::convert::Infallible>(response.expect("response"))
            }
        });
        kube::Client::new(service, "default")
    }

    fn asked(&self, method: Method) -> Vec<(String, Json)> {
        let asked = self.asked.lock().expect("lock");
        asked.iter().filter(|(m, ..)| *m == method).map(|(_, path, body)| (path.clone(), body.clone())).collect()
    }
}

fn server() -> Server {
    let server = Server::default();
    let kind = |kind: &str, plural: &str, scope: &str| json!({"resource": plural, "responseKind": {"kind": kind}, "scope": scope});
    let group = |name: &str, version: &str, resources: Vec<Json>| json!({"metadata": {"name": name}, "versions": [{"version": version, "resources": resources}]});
    let core = group(
        "",
        "v1",
        vec![
            kind("ConfigMap", "configmaps", "Namespaced"),
            kind("Namespace", "namespaces", "Cluster"),
            kind("Secret", "secrets", "Namespaced"),
        ],
    );
    let apps = group("apps", "v1", vec![kind("Deployment", "deployments", "Namespaced")]);
    let gateways = group("gateway.networking.k8s.io", "v1", vec![kind("Gateway", "gateways", "Namespaced")]);
    server.on("GET /api", 200, json!({"kind": "APIGroupDiscoveryList", "items": [core]}));
    server.on("GET /apis", 200, json!({"kind": "APIGroupDiscoveryList", "items": [apps, gateways]}));
    server
}

fn driver(server: &Server) -> ObjectDriver {
    let clock: crate::env::clock::SharedClock = Arc::new(WallClock::scaled(1.0, Timestamp(0)));
    let google = GoogleClient::new(Some("http://127.0.0.1:0".into()), clock.clone());
    let connections = Connections::new(google, clock, None, crate::provider::kube::client::Public::default());
    connections.stand_in("https://cluster", server.client());
    ObjectDriver::new(Arc::new(connections))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

fn ownership() -> Ownership {
    Ownership { stack: "s".into(), id: "me".into(), expires: None }
}

fn subject(manifest: &Json, recorded: Option<Value>) -> Subject {
    let manifest = Value::from_json(manifest);
    let (_, key) = apply::identify(&manifest).expect("manifest");
    Subject {
        adopt: false,
        address: crate::address::Address::object("manifests.a", &key),
        desired: Some(Arc::new(manifest)),
        recorded: recorded.map(Arc::new),
        id: None,
        connection: Some(Arc::new(Value::from_json(&json!({"endpoint": "cluster"})))),
    }
}

fn request(manifest: &Json) -> ApplyRequest {
    let subject = subject(manifest, None);
    ApplyRequest {
        attrs: subject.desired.clone().expect("desired"),
        subject,
        changes: vec![],
        observed: None,
        ceded: vec![],
        adopt: false,
        ownership: ownership(),
    }
}

fn config(name: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": {"a": "1"}})
}

fn live(mut manifest: Json, uid: &str, owner: Option<&str>) -> Json {
    manifest["metadata"]["uid"] = json!(uid);
    if let Some(owner) = owner {
        manifest["metadata"]["labels"]["stackwright.dev/id"] = json!(owner);
    }
    manifest
}

const PATH: &str = "/api/v1/namespaces/n/configmaps/c";

#[test]
fn create_applies_once_and_marks() {
    let server = server();
    server.on(&format!("PATCH {PATH}"), 200, live(config("c"), "u", Some("me")));
    let ack = run(async { driver(&server).create(&request(&config("c"))).await }).expect("created");
    assert_eq!(ack.observed.expect("observed").id, "u");
    assert_eq!(ack.readiness, Some(Readiness::Current));
    let patches = server.asked(Method::PATCH);
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].0, format!("{PATH}?fieldManager=stackwright-me&fieldValidation=Strict&force=false"));
    assert_eq!(patches[0].1["metadata"]["labels"], json!({"stackwright.dev/id": "me"}));
    // One request creates, and cannot touch what is there.
    assert_eq!(patches[0].1["metadata"]["resourceVersion"], "1");
    assert!(server.asked(Method::GET).iter().all(|(path, _)| !path.starts_with(PATH)));
}

#[test]
fn what_is_there_and_ours_is_taken_up() {
    let server = server();
    server.on(&format!("PATCH {PATH}"), 409, modified());
    server.on(&format!("PATCH {PATH}"), 200, live(config("c"), "u", Some("me")));
    server.on(&format!("GET {PATH}"), 200, live(config("c"), "u", Some("me")));
    run(async { driver(&server).create(&request(&config("c"))).await }).expect("taken up");
    let patches = server.asked(Method::PATCH);
    assert_eq!(patches[1].1["metadata"]["uid"], "u");
    assert_eq!(patches[1].1["metadata"].get("resourceVersion"), None);
}

fn modified() -> Json {
    json!({"kind": "Status", "reason": "Conflict", "code": 409, "message": "the object has been modified"})
}

#[test]
fn an_object_of_somebody_else_is_not_taken() {
    for (owner, hint) in [(None, "adopt"), (Some("other"), "destroy the other stack")] {
        let server = server();
        server.on(&format!("GET {PATH}"), 200, live(config("c"), "u", owner));
        server.on(&format!("PATCH {PATH}"), 409, modified());
        let error = run(async { driver(&server).create(&request(&config("c"))).await }).expect_err("refused");
        assert_eq!(error.class, ErrorClass::AlreadyExists);
        assert!(error.hint.expect("hint").contains(hint));
        // One, which only creates.
        let patches = server.asked(Method::PATCH);
        assert_eq!(patches.len(), 1);
        assert_eq!(patches[0].1["metadata"]["resourceVersion"], "1");
    }
    // Adopted: by force, and that very object only.
    let server = server();
    server.on(&format!("GET {PATH}"), 200, live(config("c"), "u", None));
    server.on(&format!("PATCH {PATH}"), 200, live(config("c"), "u", Some("me")));
    run(async { driver(&server).create(&ApplyRequest { adopt: true, ..request(&config("c")) }).await })
        .expect("adopted");
    let patches = server.asked(Method::PATCH);
    assert!(patches[0].0.ends_with("force=true"));
    assert_eq!(patches[0].1["metadata"]["uid"], "u");
}

#[test]
fn a_kind_that_is_not_served_yet_is_waited_for() {
    let server = server();
    let manifest =
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "i", "namespace": "n"}});
    let error = run(async { driver(&server).create(&request(&manifest)).await }).expect_err("not served");
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(error.message.contains("Issuer"), "{}", error.message);
}

#[test]
fn reads_by_pages_and_by_name_only_what_was_missed() {
    let server = server();
    let page = |name: &str, next: &str| {
        let mut item = live(config(name), name, Some("me"));
        item.as_object_mut().expect("object").remove("kind");
        json!({"metadata": {"continue": next}, "items": [item]})
    };
    server.on("GET /api/v1/configmaps", 200, page("a", "more+"));
    server.on("GET /api/v1/configmaps", 200, page("b", ""));
    // Recorded, and its label was taken off.
    server.on("GET /api/v1/namespaces/n/configmaps/d", 200, live(config("d"), "d", None));
    // Recorded, but another object by now.
    server.on("GET /api/v1/namespaces/n/configmaps/e", 200, live(config("e"), "new", None));
    let record = |uid: &str| Some(Value::from_json(&json!({"uid": uid, "api_version": "v1"})));
    let mut forgotten = subject(&config("d"), record("d"));
    forgotten.desired = None;
    let subjects = [
        subject(&config("a"), None),
        subject(&config("b"), record("b")),
        subject(&config("c"), None),
        forgotten,
        subject(&config("e"), record("old")),
    ];
    let answers = run(async { driver(&server).read(&subjects, &ownership()).await });
    let found = answers.into_iter().map(|a| a.expect("read").map(|o| o.id)).collect::<Vec<_>>();
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(found, [id("a"), id("b"), None, id("d"), None]);
    let gets = server.asked(Method::GET).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    let list = "/api/v1/configmaps?labelSelector=stackwright.dev%2Fid%3Dme&limit=500";
    assert!(gets.contains(&list.to_owned()) && gets.contains(&format!("{list}&continue=more%2B")), "{gets:?}");
    assert!(!gets.iter().any(|path| path.ends_with("/configmaps/c")), "nothing is recorded of c: {gets:?}");
}

#[test]
fn nothing_is_there_without_a_cluster() {
    let server = server();
    let mut alone = subject(&config("a"), None);
    alone.connection = None;
    let answers = run(async { driver(&server).read(&[alone], &ownership()).await });
    assert_eq!(answers, [Ok(None)]);
    assert!(server.asked(Method::GET).is_empty());
}

#[test]
fn delete_means_this_very_object_and_what_it_owns_outside() {
    let server = server();
    let gateway = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "g", "namespace": "n"}});
    let path = "/apis/gateway.networking.k8s.io/v1/namespaces/n/gateways/g";
    server.on(&format!("DELETE {path}"), 200, json!({"kind": "Status", "status": "Success"}));
    server.on(&format!("GET {path}"), 404, json!({"reason": "NotFound", "message": "gone"}));
    let service = json!({"metadata": {"name": "g-istio", "deletionTimestamp": "t",
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}, "spec": {"type": "LoadBalancer"}});
    server.on("GET /api/v1/namespaces/n/services", 200, json!({"items": [service.clone()]}));
    server.on("GET /api/v1/namespaces/n/services", 200, json!({"items": [service]}));
    server.on("GET /api/v1/namespaces/n/services", 200, json!({"items": []}));
    let observed = apply::observed(&live(gateway.clone(), "u", Some("me")));
    let mut subject =
        subject(&gateway, Some(Value::from_json(&json!({"uid": "u", "api_version": "gateway.networking.k8s.io/v1"}))));
    subject.desired = None;
    run(async {
        let driver = driver(&server);
        let ack = driver.delete(&subject, &observed).await.expect("deleted");
        assert!(matches!(ack.readiness, Some(Readiness::Terminating { .. })), "its service is still there");
        let deletes = server.asked(Method::DELETE);
        assert_eq!(deletes[0].1["preconditions"]["uid"], "u");
        assert_eq!(deletes[0].1["propagationPolicy"], "Background");
        let waiting = driver.poll(&subject, None).await.expect("polled").readiness;
        assert_eq!(
            waiting.to_string(),
            "terminating: Service g-istio: the finalizer service.kubernetes.io/load-balancer-cleanup"
        );
        let gone = driver.poll(&subject, None).await.expect("polled").readiness;
        assert_eq!(gone, Readiness::NotFound);
    });
}

/// A deployment whose only pod cannot get its image.
fn starving(pulls: u64) -> (Server, Subject) {
    let server = server();
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "n"},
        "spec": {"replicas": 1}});
    let mut deployment = live(manifest.clone(), "d", Some("me"));
    deployment["status"] = json!({"observedGeneration": 1, "updatedReplicas": 1, "replicas": 1});
    server.on("GET /apis/apps/v1/namespaces/n/deployments/web", 200, deployment);
    let owned = |name: &str, uid: &str, owner: &str, revision: &str| {
        json!({"metadata": {"name": name, "uid": uid, "namespace": "n", "ownerReferences": [{"uid": owner}],
            "annotations": {"deployment.kubernetes.io/revision": revision}}})
    };
    let sets = json!({"items": [owned("web-1", "r1", "d", "1"), owned("web-2", "r2", "d", "2")]});
    server.on("GET /apis/apps/v1/namespaces/n/replicasets", 200, sets);
    let mut pod = owned("web-2-x", "p", "r2", "");
    pod["status"] = json!({"phase": "Pending", "containerStatuses": [
        {"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}]});
    server.on("GET /api/v1/namespaces/n/pods", 200, json!({"items": [owned("old", "o", "r1", ""), pod]}));
    let event = json!({"involvedObject": {"uid": "p"}, "reason": "Failed", "count": pulls,
        "message": "Failed to pull image \"nope\": not found"});
    server.on("GET /api/v1/namespaces/n/events", 200, json!({"items": [event]}));
    (server, subject(&manifest, None))
}

#[test]
fn an_image_that_cannot_be_pulled_ends_the_wait_once_it_repeats() {
    let (server, subject) = starving(1);
    let first = run(async { driver(&server).poll(&subject, None).await }).expect("polled").readiness;
    assert!(matches!(&first, Readiness::InProgress { waiting_for } if waiting_for.contains("not found")), "{first}");
    let (server, subject) = starving(3);
    let last = run(async { driver(&server).poll(&subject, None).await }).expect("polled").readiness;
    assert_eq!(
        last,
        Readiness::Failed {
            causes: vec![
                "0 of 1 pods available".into(),
                "Deployment web".into(),
                "pod web-2-x".into(),
                "container main: ImagePullBackOff: Failed to pull image \"nope\": not found".into(),
            ]
        }
    );
}

#[test]
fn refused_pods_are_explained_by_the_quota() {
    let (server, subject) = starving(1);
    server.answers.lock().expect("lock").remove("GET /api/v1/namespaces/n/pods");
    server.answers.lock().expect("lock").remove("GET /api/v1/namespaces/n/events");
    let event = json!({"involvedObject": {"uid": "r2"}, "reason": "FailedCreate", "count": 6,
        "message": "pods \"x\" is forbidden: insufficient quota to match these scopes"});
    server.on("GET /api/v1/namespaces/n/events", 200, json!({"items": [event]}));
    let readiness = run(async { driver(&server).poll(&subject, None).await }).expect("polled").readiness;
    assert!(
        matches!(&readiness, Readiness::InProgress { waiting_for } if waiting_for.contains("insufficient quota")),
        "{readiness}"
    );
}

#[test]
fn what_lasts_ends_the_wait_and_is_said_once() {
    let waiting = || Readiness::waiting("Ready is False (ErrGetKeyPair): secrets \"ca\" not found");
    let found = Explanation::ending("Ready is False (ErrGetKeyPair): secrets \"ca\" not found", End::Now);
    assert_eq!(join(waiting(), found.clone(), false), waiting());
    let causes = vec!["Ready is False (ErrGetKeyPair): secrets \"ca\" not found".to_owned()];
    assert_eq!(join(waiting(), found, true), Readiness::Failed { causes });
}

#[test]
fn a_ceded_field_that_was_taken_over_is_left_out_of_an_update() {
    let server = server();
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "n"},
        "spec": {"replicas": 1, "paused": false}});
    let path = "/apis/apps/v1/namespaces/n/deployments/web";
    server.on(&format!("PATCH {path}"), 200, live(manifest.clone(), "d", Some("me")));
    let update = |owner: Option<&str>| {
        let mut observed = live(manifest.clone(), "d", Some("me"));
        let mut entries = vec![json!({"manager": "stackwright-me", "operation": "Apply",
            "fieldsV1": {"f:spec": {"f:replicas": {}, "f:paused": {}}}})];
        if let Some(owner) = owner {
            entries.push(json!({"manager": owner, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}));
        }
        observed["metadata"]["managedFields"] = json!(entries);
        let mut request = request(&manifest);
        request.observed = Some(apply::observed(&observed));
        request.ceded =
            vec![crate::resource::model::Ceded { path: vec!["spec".into(), "replicas".into()], owner: "hpa".into() }];
        run(async { driver(&server).update(&request).await }).expect("updated");
        server.asked(Method::PATCH).pop().expect("patch").1["spec"].clone()
    };
    // Still ours alone: leaving it out would remove it.
    assert_eq!(update(None), json!({"replicas": 1, "paused": false}));
    assert_eq!(update(Some("hpa")), json!({"paused": false}));
}

/// A run was stopped after it had made the object, and nobody knows but the cluster.
#[test]
fn a_ceded_field_that_was_taken_over_is_left_out_when_an_unfinished_object_is_taken_up() {
    let server = server();
    let manifest = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "n"},
        "spec": {"replicas": 1, "paused": false}});
    let path = "/apis/apps/v1/namespaces/n/deployments/web";
    let mut there = live(manifest.clone(), "d", Some("me"));
    there["metadata"]["managedFields"] = json!([
        {"manager": "stackwright-me", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
    ]);
    server.on(&format!("PATCH {path}"), 409, modified());
    server.on(&format!("PATCH {path}"), 200, there.clone());
    server.on(&format!("GET {path}"), 200, there);
    let mut request = request(&manifest);
    request.ceded =
        vec![crate::resource::model::Ceded { path: vec!["spec".into(), "replicas".into()], owner: "hpa".into() }];
    run(async { driver(&server).create(&request).await }).expect("taken up");
    let specs = server.asked(Method::PATCH).into_iter().map(|(_, body)| body["spec"].clone()).collect::<Vec<_>>();
    assert_eq!(specs, [json!({"replicas": 1, "paused": false}), json!({"paused": false})]);
}

#[test]
fn a_namespace_waits_for_its_service_account() {
    let server = server();
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let mut namespace = live(manifest.clone(), "n", Some("me"));
    namespace["status"] = json!({"phase": "Active"});
    server.on("GET /api/v1/namespaces/n", 200, namespace);
    let subject = subject(&manifest, None);
    let poll = |server: &Server| run(async { driver(server).poll(&subject, None).await }).expect("polled").readiness;
    assert_eq!(poll(&server), Readiness::waiting("the service account default"));
    server.on("GET /api/v1/namespaces/n/serviceaccounts/default", 200, json!({}));
    assert_eq!(poll(&server), Readiness::Current);
}

#[test]
fn a_certificate_shows_its_authority_but_not_its_key() {
    let server = server();
    let group = json!({"metadata": {"name": "cert-manager.io"}, "versions": [{"version": "v1", "resources": [
        {"resource": "certificates", "responseKind": {"kind": "Certificate"}, "scope": "Namespaced"}]}]});
    server.answers.lock().expect("lock").remove("GET /apis");
    server.on("GET /apis", 200, json!({"kind": "APIGroupDiscoveryList", "items": [group]}));
    let manifest = json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate",
        "metadata": {"name": "ca", "namespace": "n"}, "spec": {"secretName": "ca-keys"}});
    let mut issued = live(manifest.clone(), "u", Some("me"));
    issued["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    server.on("GET /apis/cert-manager.io/v1/namespaces/n/certificates/ca", 200, issued);
    let keys = json!({"data": {"ca.crt": "Q0E=", "tls.crt": "Q1JU", "tls.key": "S0VZ"}});
    let subject = subject(&manifest, None);
    let waiting = run(async { driver(&server).poll(&subject, None).await }).expect("polled");
    assert_eq!(waiting.readiness, Readiness::waiting("the keys in Secret ca-keys"));
    server.on("GET /api/v1/namespaces/n/secrets/ca-keys", 200, keys);
    let ready = run(async { driver(&server).poll(&subject, None).await }).expect("polled");
    assert_eq!(ready.readiness, Readiness::Current);
    let outputs = ObjectKind::default().outputs(&ready.observed.expect("observed"));
    let shown = json!({"ca.crt": "CA", "tls.crt": "CRT"});
    assert_eq!(outputs.get("secret"), Some(&Value::from_json(&shown)));
}

#[test]
fn what_the_driver_answers_the_kind_records_without_values() {
    let server = server();
    let manifest = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t", "namespace": "n"},
        "stringData": {"token": "hf_verysecret"}});
    server.on(
        "PATCH /api/v1/namespaces/n/secrets/t",
        422,
        json!({"reason": "Invalid", "message": "Secret \"t\" is invalid: hf_verysecret, aGZfdmVyeXNlY3JldA=="}),
    );
    let error = run(async { driver(&server).create(&request(&manifest)).await }).expect_err("refused");
    assert!(!error.message.contains("verysecret") && !error.message.contains("aGZf"), "{}", error.message);
    let sent = server.asked(Method::PATCH).pop().expect("patch").1;
    assert_eq!(sent["data"], json!({"token": "aGZfdmVyeXNlY3JldA=="}));
    let observed = apply::observed(&live(sent, "u", Some("me")));
    let record = ObjectKind::default().record(&Value::from_json(&manifest), &[], &observed).to_json().to_string();
    assert!(!record.contains("verysecret") && !record.contains("aGZf"), "{record}");
}

#[test]
fn a_long_wait_watches_and_a_short_one_does_not() {
    let watches = |waited: u64, code: u16| {
        let server = server();
        server.on("GET /api/v1/namespaces/n/configmaps", code, json!({"type": "MODIFIED", "object": {}}));
        let mut seen = live(config("c"), "u", Some("me"));
        seen["metadata"]["resourceVersion"] = json!("17");
        let clock = WallClock::scaled(10.0, Timestamp(0));
        let subject = subject(&config("c"), None);
        run(async {
            let driver = driver(&server);
            let seen = apply::observed(&seen);
            driver.until_next_look(&clock, &subject, Some(&seen), Duration::from_secs(waited)).await;
        });
        let gets = server.asked(Method::GET).into_iter().map(|(path, _)| path);
        let watches = gets.filter(|path| path.contains("watch=1")).collect::<Vec<_>>();
        (watches, clock.now().since(Timestamp(0)))
    };
    assert_eq!(watches(1, 200).0, [""; 0]);
    let (asked, took) = watches(10, 200);
    let query = "watch=1&fieldSelector=metadata.name%3Dc&resourceVersion=17&timeoutSeconds=2";
    assert_eq!(asked, [format!("/api/v1/namespaces/n/configmaps?{query}")]);
    assert!(took < Duration::from_secs(2), "the change was not noticed: {took:?}");
    // A refused watch does not make a busy loop.
    let (asked, took) = watches(10, 410);
    assert_eq!(asked.len(), 1);
    assert!(took >= Duration::from_secs(2), "{took:?}");
}
