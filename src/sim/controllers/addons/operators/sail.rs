//! The Sail operator: Istio and IstioRevision to a control plane, IstioCNI to node agents.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::super::objects::{
    Condition, apps, generation, going, is_true, list, merge_template, metadata, name, number, text,
};
use super::super::work::{Step, Work};
use super::{deployed, keep, manifests};
use crate::sim::controllers::{Outcome, fields};
use crate::sim::kube::api::{Gvk, Status};

/// What it installs for an IstioRevision.
pub const ISTIOD: &str = include_str!("istiod.yaml");
/// What it installs for an IstioCNI.
pub const CNI: &str = include_str!("cni.yaml");
const FINALIZER: &str = "sailoperator.io/sail-operator";

fn kind(kind: &str) -> Gvk {
    Gvk::new("sailoperator.io", "v1", kind)
}

/// The releases that the operator knows and the images of one of their components (`istiod`, `cni`), from the
/// annotations of its pod, which it reads as a file: `images.v1_27_3.istiod`.
fn known(work: &Work, component: &str) -> Vec<(Vec<u64>, String)> {
    let annotations = work.instance.pod.pointer("/metadata/annotations").and_then(Json::as_object);
    let images = annotations.into_iter().flatten().filter_map(|(key, image)| {
        let (release, part) = key.strip_prefix("images.v")?.split_once('.')?;
        Some((numbers(release).filter(|_| part == component)?, image.as_str()?.to_owned()))
    });
    images.collect()
}

fn numbers(release: &str) -> Option<Vec<u64>> {
    release.split(['.', '_']).map(|number| number.parse().ok()).collect()
}

/// The release that a version means: `v1.27.3` itself, `v1.27-latest` the newest of 1.27 that is known.
fn resolved(work: &Work, version: &str) -> Option<String> {
    let Some(minor) = version.strip_suffix("-latest") else { return Some(version.to_owned()) };
    let minor = numbers(minor.strip_prefix('v')?)?;
    let releases = known(work, "istiod").into_iter().map(|(release, _)| release);
    let newest = releases.filter(|release| release.starts_with(&minor)).max()?;
    Some(format!("v{}", newest.iter().map(u64::to_string).collect::<Vec<_>>().join(".")))
}

/// The image of a component in a version.
fn image(work: &Work, version: &str, component: &str) -> Option<String> {
    let wanted = numbers(resolved(work, version)?.strip_prefix('v')?)?;
    known(work, component).into_iter().find(|(release, _)| *release == wanted).map(|(_, image)| image)
}

/// Takes the finalizer off once everything has been let go: children follow their owner.
async fn finish(work: &Work, object: &Json) -> Result<Outcome, Status> {
    if fields::has_finalizer(object, FINALIZER) {
        let mut changed = object.clone();
        fields::remove_finalizer(&mut changed, FINALIZER);
        work.api.update(changed).await?;
    }
    Ok(Outcome::Done)
}

/// Puts the finalizer on; `true` when that was the step.
async fn begin(work: &Work, object: &Json) -> Result<bool, Status> {
    if fields::has_finalizer(object, FINALIZER) {
        return Ok(false);
    }
    let mut changed = object.clone();
    fields::add_finalizer(&mut changed, FINALIZER);
    work.api.update(changed).await?;
    Ok(true)
}

/// The pull secrets of `values.global`, as pods and accounts carry them.
fn pull_secrets(values: &Json) -> Vec<Json> {
    list(values, "/global/imagePullSecrets").iter().map(|name| json!({"name": name})).collect()
}

fn home(object: &Json, default: &str) -> String {
    match text(object, "/spec/namespace") {
        "" => default.to_owned(),
        given => given.to_owned(),
    }
}

/// Looks after Istios: each wants a revision.
pub struct Istios;
/// Looks after IstioRevisions: each is a control plane.
pub struct Revisions;
/// Looks after the IstioCNI `default`.
pub struct Cnis;

#[async_trait]
impl Step for Istios {
    fn name(&self) -> &'static str {
        "sail-istios"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("Istio")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![kind("IstioRevision")]
    }

    fn concerns(&self, changed: &Json, own: &Json) -> bool {
        super::super::objects::list(changed, "/metadata/ownerReferences").iter().any(|r| text(r, "/name") == name(own))
    }

    async fn step(&self, work: &Work, istio: &Arc<Json>) -> Result<Outcome, Status> {
        if going(istio) {
            return Ok(Outcome::Done);
        }
        let version = text(istio, "/spec/version");
        let Some(version) = resolved(work, version) else {
            let message = format!("version {version:?} not supported");
            let failed = Condition::new("Reconciled", false, "ReconcileError", &message);
            let mut status = work.with_conditions(istio, false, &[failed]);
            status["state"] = json!("ReconcileError");
            work.put_status(istio, status).await?;
            return Ok(Outcome::Done);
        };
        // In place, a revision is called like its Istio.
        let in_place = !matches!(text(istio, "/spec/updateStrategy/type"), "RevisionBased");
        let revision_name =
            if in_place { name(istio).to_owned() } else { format!("{}-{}", name(istio), version.replace('.', "-")) };
        let mut values = istio.pointer("/spec/values").cloned().unwrap_or_else(|| json!({}));
        let revision = if revision_name == "default" { "" } else { &revision_name };
        // The revision's own rule compares this with its namespace, and does not bear its absence.
        let global = json!({"istioNamespace": home(istio, "istio-system")});
        merge_template(&mut values, &json!({"revision": revision, "global": global}));
        let wanted = json!({
            "apiVersion": "sailoperator.io/v1", "kind": "IstioRevision",
            "metadata": metadata("", &revision_name, &[], Some(istio)),
            "spec": {"namespace": home(istio, "istio-system"), "version": version, "values": values},
        });
        let revision = work.ensure(wanted).await?;
        let ready = is_true(&revision, "Ready") && is_true(&revision, "Reconciled");
        let state = match text(&revision, "/status/state") {
            "" => "IstiodNotReady",
            state => state,
        };
        let not = if ready { "" } else { text(&revision, "/status/state") };
        let conditions = [
            Condition::new(
                "Reconciled",
                is_true(&revision, "Reconciled"),
                if is_true(&revision, "Reconciled") { "" } else { "ReconcileError" },
                "",
            ),
            Condition::new("Ready", ready, not, ""),
        ];
        let mut status = work.with_conditions(istio, false, &conditions);
        status["state"] = json!(state);
        status["activeRevisionName"] = json!(revision_name);
        status["observedGeneration"] = json!(generation(istio));
        status["revisions"] = json!({"total": 1, "ready": i64::from(ready), "inUse": 0});
        work.put_status(istio, status).await?;
        Ok(Outcome::Done)
    }
}

#[async_trait]
impl Step for Revisions {
    fn name(&self) -> &'static str {
        "sail-revisions"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("IstioRevision")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("Deployment"), kind("IstioCNI")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        text(changed, "/kind") == "IstioCNI" || name(changed).starts_with("istiod")
    }

    async fn step(&self, work: &Work, revision: &Arc<Json>) -> Result<Outcome, Status> {
        if going(revision) {
            return finish(work, revision).await;
        }
        if begin(work, revision).await? {
            return Ok(Outcome::Done);
        }
        let version = text(revision, "/spec/version");
        let namespace = home(revision, "istio-system");
        let values = revision.pointer("/spec/values").cloned().unwrap_or_else(|| json!({}));
        let Some(pilot) = image(work, version, "istiod") else {
            let message = format!("version {version:?} not supported");
            let failed = Condition::new("Reconciled", false, "ReconcileError", &message);
            let mut status = work.with_conditions(revision, false, &[failed]);
            status["state"] = json!("ReconcileError");
            work.put_status(revision, status).await?;
            return Ok(Outcome::Done);
        };
        let secrets = pull_secrets(&values);
        for mut object in manifests(ISTIOD, &[("NAMESPACE", &namespace), ("PILOT", &pilot)])? {
            match (text(&object, "/kind"), name(&object)) {
                ("ServiceAccount", _) if !secrets.is_empty() => object["imagePullSecrets"] = json!(secrets),
                ("ConfigMap", "istio-sidecar-injector") => object["data"]["values"] = json!(values.to_string()),
                ("Deployment", _) => {
                    if let Some(replicas) = number(&values, "/pilot/replicaCount") {
                        object["spec"]["replicas"] = json!(replicas);
                    }
                    // The manifest's own variables give way to the values'.
                    let given = values.pointer("/pilot/env").and_then(Json::as_object).cloned().unwrap_or_default();
                    let environment = &mut object["spec"]["template"]["spec"]["containers"][0]["env"];
                    if let Some(environment) = environment.as_array_mut() {
                        environment.retain(|e| text(e, "/name") != "ENABLE_GATEWAY_API_INFERENCE_EXTENSION");
                        environment.extend(given.iter().map(|(key, value)| {
                            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                            json!({"name": key, "value": value})
                        }));
                    }
                }
                _ => {}
            }
            keep(work, revision, object).await?;
        }
        let cni = ["/pilot/cni/enabled", "/istio_cni/enabled"].iter().any(|p| values.pointer(p) == Some(&json!(true)));
        let agents = work.api.get(&kind("IstioCNI"), "", "default");
        let healthy = match &agents {
            _ if !cni => Condition::new("DependenciesHealthy", true, "", ""),
            None => {
                Condition::new("DependenciesHealthy", false, "IstioCNINotFound", "IstioCNI resource does not exist")
            }
            Some(agents) if !is_true(agents, "Ready") => {
                Condition::new("DependenciesHealthy", false, "IstioCNINotHealthy", "IstioCNI resource is not healthy")
            }
            Some(_) => Condition::new("DependenciesHealthy", true, "", ""),
        };
        let up = work.api.get(&apps("Deployment"), &namespace, "istiod").is_some_and(|d| deployed(&d));
        let ready = if up {
            Condition::new("Ready", true, "", "")
        } else {
            Condition::new("Ready", false, "IstiodNotReady", "not all istiod pods are ready")
        };
        let unused = Condition::new("InUse", false, "NotReferencedByAnything", "");
        let done = Condition::new("Reconciled", true, "", "");
        let mut status = work.with_conditions(revision, false, &[done, ready, unused, healthy]);
        let state = match (up, healthy.reason) {
            (false, _) => "IstiodNotReady",
            (true, "") => "Healthy",
            (true, reason) => reason,
        };
        status["state"] = json!(state);
        status["observedGeneration"] = json!(generation(revision));
        work.put_status(revision, status).await?;
        Ok(Outcome::Done)
    }
}

#[async_trait]
impl Step for Cnis {
    fn name(&self) -> &'static str {
        "sail-cni"
    }

    fn looks_after(&self) -> Vec<Gvk> {
        vec![kind("IstioCNI")]
    }

    fn also_watches(&self) -> Vec<Gvk> {
        vec![apps("DaemonSet")]
    }

    fn concerns(&self, changed: &Json, _: &Json) -> bool {
        name(changed) == "istio-cni-node"
    }

    async fn step(&self, work: &Work, own: &Arc<Json>) -> Result<Outcome, Status> {
        if going(own) {
            return finish(work, own).await;
        }
        // The CRD's rule; an object of another name is left alone.
        if name(own) != "default" || begin(work, own).await? {
            return Ok(Outcome::Done);
        }
        let namespace = home(own, "istio-cni");
        let values = own.pointer("/spec/values").cloned().unwrap_or_else(|| json!({}));
        let Some(cni) = image(work, text(own, "/spec/version"), "cni") else {
            let failed = Condition::new("Reconciled", false, "ReconcileError", "version not supported");
            let mut status = work.with_conditions(own, false, &[failed]);
            status["state"] = json!("ReconcileError");
            work.put_status(own, status).await?;
            return Ok(Outcome::Done);
        };
        let secrets = pull_secrets(&values);
        for mut object in manifests(CNI, &[("NAMESPACE", &namespace), ("CNI", &cni)])? {
            match text(&object, "/kind") {
                "ServiceAccount" if !secrets.is_empty() => object["imagePullSecrets"] = json!(secrets),
                "DaemonSet" => {
                    let directory = |value: &str, fallback: &str| match text(&values, value) {
                        "" => fallback.to_owned(),
                        given => given.to_owned(),
                    };
                    let binaries = directory("/cni/cniBinDir", "/opt/cni/bin");
                    let volumes = json!({"volumes": [{"name": "cni-bin-dir", "hostPath": {"path": binaries}},
                        {"name": "cni-net-dir", "hostPath": {"path": directory("/cni/cniConfDir", "/etc/cni/net.d")}}]});
                    merge_template(&mut object["spec"]["template"]["spec"], &volumes);
                }
                _ => {}
            }
            keep(work, own, object).await?;
        }
        let set = work.api.get(&apps("DaemonSet"), &namespace, "istio-cni-node");
        let up = set.is_some_and(|set| {
            let of = |field: &str| number(&set, &format!("/status/{field}"));
            of("observedGeneration") == Some(generation(&set))
                && of("desiredNumberScheduled").is_some_and(|desired| desired > 0 && of("numberReady") == Some(desired))
        });
        let ready = if up {
            Condition::new("Ready", true, "", "")
        } else {
            Condition::new("Ready", false, "DaemonSetNotReady", "not all istio-cni-node pods are ready")
        };
        let mut status = work.with_conditions(own, false, &[Condition::new("Reconciled", true, "", ""), ready]);
        status["state"] = json!(if up { "Healthy" } else { "DaemonSetNotReady" });
        status["observedGeneration"] = json!(generation(own));
        work.put_status(own, status).await?;
        Ok(Outcome::Done)
    }
}
