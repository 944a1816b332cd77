//! LeaderWorkerSet: its webhooks with certificates of its own, and the StatefulSets behind each set.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::objects::{
    Condition, annotation, apps, base64, core, going, label, list, metadata, name, namespace, number, pod_ready,
    secret_text, text,
};
use super::pki::{self, Validity, Wanted};
use super::work::{Loop, Step, Work};
use crate::sim::controllers::image::Image;
use crate::sim::controllers::programs::{Instance, Program, Start};
use crate::sim::controllers::{Controller, Outcome, Surroundings, admission, webhooks};
use crate::sim::kube::api::{Gvk, Status};

/// From the Secret's filling until the kubelet has brought it into the volume the webhook server reads.
const PROJECTION: Duration = Duration::from_secs(20);
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
const PREFIX: &str = "leaderworkerset.sigs.k8s.io";

fn kind() -> Gvk {
    Gvk::new("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet")
}

/// The Secret that the manager mounts for its webhook server.
fn secret_name(instance: &Instance) -> Option<String> {
    let volumes = list(&instance.pod, "/spec/volumes").iter();
    let mut names = volumes.map(|v| text(v, "/secret/secretName")).filter(|name| name.contains("webhook"));
    names.next().map(str::to_owned)
}

/// LeaderWorkerSet's controller.
pub struct Lws;

#[async_trait]
impl Program for Lws {
    fn name(&self) -> &'static str {
        "lws"
    }

    fn runs(&self, image: &Image) -> bool {
        matches!(image.base(), "lws" | "lws-rhel9")
    }

    fn megabytes(&self, _: &Image) -> u64 {
        30
    }

    fn start(&self, _: &Instance, _: &Surroundings) -> Start {
        Start::Serves(Duration::from_secs(2))
    }

    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        vec![Loop::of(Certificates, instance), Loop::of(Sets, instance)]
    }

    fn listens(&self, _: &Instance, port: u16) -> bool {
        matches!(port, 8080 | 8081 | 8443 | 9443)
    }

    fn certificate(&self, instance: &Instance, around: &Surroundings, port: u16) -> Option<String> {
        let secret = around.api.get(&core("Secret"), instance.namespace(), &secret_name(instance)?)?;
        let chain = secret_text(&secret, "tls.crt")?;
        let (from, _) = pki::validity(&chain)?;
        let arrived = around.clock.now().since(from) >= PROJECTION
            || !annotation(&secret, "cert-manager.io/certificate-name").is_empty();
        (port == 9443 && arrived).then(|| Some(chain + &secret_text(&secret, "tls.key")?)).flatten()
    }

    async fn webhook(&self, _: &Instance, _: &Surroundings, path: &str, review: &Json) -> Result<Json, String> {
        let object = &review["request"]["object"];
        match path {
            "/mutate-leaderworkerset-x-k8s-io-v1-leaderworkerset" => {
                let mut set = object.clone();
                for (pointer, default) in [("replicas", json!(1)), ("startupPolicy", json!("LeaderCreated"))] {
                    if set["spec"].get(pointer).is_none() {
                        set["spec"][pointer] = default;
                    }
                }
                if set.pointer("/spec/leaderWorkerTemplate/size").is_none() {
                    set["spec"]["leaderWorkerTemplate"]["size"] = json!(1);
                }
                Ok(admission::patch(review, &set))
            }
            "/validate-leaderworkerset-x-k8s-io-v1-leaderworkerset" => {
                let size = number(object, "/spec/leaderWorkerTemplate/size").unwrap_or(1);
                let replicas = number(object, "/spec/replicas").unwrap_or(1);
                if size < 1 || replicas < 0 {
                    let why = "spec.leaderWorkerTemplate.size: Invalid value: size must be greater than 0";
                    return Ok(admission::deny(review, 422, "Invalid", why));
                }
                let before = &review["request"]["oldObject"];
                if before.is_object() && number(before, "/spec/leaderWorkerTemplate/size").unwrap_or(1) != size {
                    let why = "spec.leaderWorkerTemplate.size: Invalid value: field is immutable";
                    return Ok(admission::deny(review, 422, "Invalid", why));
                }
                Ok(admission::allow(review))
            }
            "/mutate--v1-pod" | "/validate--v1-pod" => Ok(admission::allow(review)),
            _ => Err(webhooks::NO_SUCH_PATH.to_owned()),
        }
    }
}

/// Fills the webhook's Secret and tells the configurations, where cert-manager does not.
struct Certificates;

#[async_trait]
impl Step for Certificates {
    fn name(&self) -> &'static str {
        "lws-certificates"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![core("Pod")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![
            core("Secret"),
            Gvk::new("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration"),
            Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
        ]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        namespace(changed) == namespace(own) || name(changed).contains("lws")
    }

    async fn step(&self, work: &Work, _pod: &Arc<Json>) -> Result<Outcome, Status> {
        let home = work.namespace();
        let Some(secret) = secret_name(&work.instance) else { return Ok(Outcome::Done) };
        // The manager fills this Secret and never makes it.
        let Some(existing) = work.api.get(&core("Secret"), home, &secret) else { return Ok(Outcome::Done) };
        if !annotation(&existing, "cert-manager.io/certificate-name").is_empty() {
            return Ok(Outcome::Done);
        }
        let Some(ca) = secret_text(&existing, "ca.crt") else {
            let broken = |e: pki::Malformed| Status::failure(500, "InternalError", e.to_string());
            let (ca_key, key) = (pki::new_key().map_err(broken)?, pki::new_key().map_err(broken)?);
            let validity = Validity { from: work.clock.now(), lasts: LIFETIME };
            let authority = Wanted { common_name: "lws-ca".into(), is_ca: true, ..Wanted::default() };
            let ca = pki::self_signed(&authority, validity, &ca_key).map_err(broken)?;
            let service = "lws-webhook-service";
            let names = ["svc", "svc.cluster.local"].map(|end| format!("{service}.{home}.{end}"));
            let serving = Wanted { dns_names: names.into(), ..Wanted::default() };
            let leaf = pki::signed(&serving, validity, &key, &ca, &ca_key).map_err(broken)?;
            let mut filled = (*existing).clone();
            filled["data"] = json!({"ca.crt": base64(&ca), "ca.key": base64(&ca_key),
                "tls.crt": base64(&leaf), "tls.key": base64(&key)});
            work.api.update(filled).await?;
            return Ok(Outcome::Done);
        };
        for of in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
            for configuration in work.api.list(&Gvk::new("admissionregistration.k8s.io", "v1", of), None) {
                let mut changed = (*configuration).clone();
                let webhooks = changed.get_mut("webhooks").and_then(Json::as_array_mut);
                for webhook in webhooks.into_iter().flatten() {
                    if text(webhook, "/clientConfig/service/name") == "lws-webhook-service"
                        && text(webhook, "/clientConfig/service/namespace") == home
                    {
                        webhook["clientConfig"]["caBundle"] = json!(base64(&ca));
                    }
                }
                if changed != *configuration {
                    work.api.update(changed).await?;
                }
            }
        }
        Ok(Outcome::Done)
    }
}

/// Makes StatefulSets of LeaderWorkerSets.
struct Sets;

impl Sets {
    /// The StatefulSet of a group's workers.
    fn workers(set: &Json, leader: &Json, group: i64, size: i64) -> Json {
        let own = name(set);
        let group = group.to_string();
        let labels = json!({format!("{PREFIX}/name"): own, format!("{PREFIX}/group-index"): group,
            format!("{PREFIX}/group-key"): format!("{own}-{group}")});
        let mut template = set.pointer("/spec/leaderWorkerTemplate/workerTemplate").cloned().unwrap_or_default();
        super::objects::merge_template(&mut template, &json!({"metadata": {"labels": labels}}));
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": metadata(namespace(set), &format!("{own}-{group}"), &[(&format!("{PREFIX}/name"), own)], Some(leader)),
            "spec": {"replicas": size - 1, "serviceName": own, "podManagementPolicy": "Parallel",
                "ordinals": {"start": 1}, "selector": {"matchLabels": labels}, "template": template},
        })
    }
}

#[async_trait]
impl Step for Sets {
    fn name(&self) -> &'static str {
        "lws-sets"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind()]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("StatefulSet"), core("Pod")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        namespace(changed) == namespace(own) && label(changed, &format!("{PREFIX}/name")) == name(own)
    }

    async fn step(&self, work: &Work, set: &Arc<Json>) -> Result<Outcome, Status> {
        if going(set) {
            return Ok(Outcome::Done);
        }
        let (home, own) = (namespace(set), name(set));
        let replicas = number(set, "/spec/replicas").unwrap_or(1);
        let size = number(set, "/spec/leaderWorkerTemplate/size").unwrap_or(1);
        let of = format!("{PREFIX}/name");
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata(home, own, &[(&of, own)], Some(set)),
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {of.as_str(): own}},
        });
        work.ensure(service).await?;
        let worker = set.pointer("/spec/leaderWorkerTemplate/workerTemplate");
        let leader = set.pointer("/spec/leaderWorkerTemplate/leaderTemplate").or(worker);
        let mut template = leader.cloned().unwrap_or_default();
        let leader_labels = json!({of.as_str(): own, format!("{PREFIX}/worker-index"): "0"});
        super::objects::merge_template(
            &mut template,
            &json!({"metadata": {"labels": leader_labels, "annotations": {format!("{PREFIX}/size"): size.to_string()}}}),
        );
        let leaders = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": metadata(home, own, &[(&of, own)], Some(set)),
            "spec": {"replicas": replicas, "serviceName": own, "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": leader_labels}, "template": template},
        });
        work.apply("lws", leaders, number(set, "/status/observedGeneration").is_none()).await?;
        let mut ready = 0;
        for group in 0..replicas {
            let Some(leader) = work.api.get(&core("Pod"), home, &format!("{own}-{group}")) else { continue };
            let mut whole = pod_ready(&leader);
            if size > 1 {
                let workers = work.ensure(Self::workers(set, &leader, group, size)).await?;
                whole &= number(&workers, "/status/readyReplicas") == Some(size - 1);
            }
            ready += i64::from(whole);
        }
        let available = ready == replicas;
        let mut status = set.get("status").cloned().unwrap_or_else(|| json!({}));
        let known = |kind: &str| list(set, "/status/conditions").iter().any(|c| c["type"] == kind);
        let mut conditions = Vec::new();
        // A condition appears only once it has been true; the loser then keeps its words.
        if available || known("Available") {
            conditions.push(Condition::new("Available", available, "AllGroupsReady", "All replicas are ready"));
        }
        if !available || known("Progressing") {
            let message = "Replicas are progressing";
            conditions.push(Condition::new("Progressing", !available, "GroupsProgressing", message));
        }
        for condition in conditions {
            super::objects::set_condition(&mut status["conditions"], work.clock.now(), None, condition);
        }
        status["replicas"] = json!(replicas);
        status["readyReplicas"] = json!(ready);
        status["updatedReplicas"] = json!(replicas);
        status["hpaPodSelector"] = json!(format!("{PREFIX}/name={own},{PREFIX}/worker-index=0"));
        work.put_status(set, status).await?;
        Ok(Outcome::Done)
    }
}
