//! Where a model's files come from and where they are kept: its address as KServe reads it, the logins, the disk.

use serde_json::json;

use crate::catalog::documents::set;
use crate::catalog::expansion::{Expansion, NewObject, mistake};
use crate::catalog::models::Model;
use crate::catalog::text::base64;
use crate::catalog::workloads::Plan;
use crate::stack::model::Workload;
use crate::value::{Map, Value};

/// The Secret with the Hugging Face token. KServe's download reads the key `HF_TOKEN`, vLLM the key `token`.
const TOKEN: &str = "huggingface-token";

/// The key of the Secret with the key that clients must show.
pub(super) const API_KEY: &str = "key";

/// Where Cloud Storage speaks the protocol of S3, which is the one that KServe's download for this kind knows.
const CLOUD_STORAGE: &str = "storage.googleapis.com";

/// Where a disk for the model's files is mounted.
pub(super) const DISK: &str = "/var/cache/models";

/// The scheme of a model's address.
pub(super) fn scheme(workload: &Workload) -> &str {
    workload.model.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Whether vLLM fetches the files itself, onto a disk that outlives the pod, and not KServe into the pod.
pub(super) fn is_fetched_by_engine(workload: &Workload) -> bool {
    workload.cache.is_some()
}

/// What vLLM is told to serve.
pub(super) fn path(workload: &Workload) -> &str {
    if is_fetched_by_engine(workload) { workload.repository().unwrap_or_default() } else { "/mnt/models" }
}

/// The address of the model as KServe reads it.
pub(super) fn uri(workload: &Workload) -> String {
    match (scheme(workload), &workload.revision) {
        ("hf", Some(revision)) if !is_fetched_by_engine(workload) => {
            format!("hf://{}:{}", workload.repository().unwrap_or_default(), &***revision)
        }
        ("gs", _) => workload.model.replacen("gs://", "s3://", 1),
        _ => workload.model.to_string(),
    }
}

/// Mistakes about addresses and logins.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let workload = plan.workload;
    let from = scheme(workload);
    if let Some(revision) = &workload.revision {
        if from != "hf" {
            let hint = match from {
                "oci" | "oci+native" => "pin an image by its digest: oci://…@sha256:…",
                _ => "remove it, and name the version in the path",
            };
            let what = format!("{from}:// models have no revisions");
            expansion.report(mistake(what, &revision.span, "of Hugging Face only").hint(hint));
        } else if workload.model.contains("://") && workload.repository().is_some_and(|name| name.contains(':')) {
            let what = "the model names a revision already";
            expansion.report(mistake(what, &revision.span, "said twice").hint("keep one of them"));
        }
    }
    let repository = workload.repository().map(|name| name.split(':').next().unwrap_or(name));
    if let Some(model) = repository.and_then(Model::find).filter(|model| model.gated && workload.hf_token.is_none()) {
        let what = format!("{} is gated: Hugging Face hands it out with a token only", model.name);
        let hint = format!(
            "accept its licence at https://huggingface.co/{} and write hf_token = \"${{inputs.hf_token}}\", a secret input",
            model.name
        );
        expansion.report(mistake(what, &workload.model.span, "needs `hf_token`").hint(hint));
    }
    match (from, &workload.credentials) {
        ("gs", None) => {
            let what = "a model in Cloud Storage needs `credentials`";
            let hint = "make an HMAC key (`gcloud storage hmac create`) and write credentials = { access_key = \
                        \"${inputs.access_key}\", secret_key = \"${inputs.secret_key}\" }, both secret inputs";
            expansion.report(mistake(what, &workload.model.span, "KServe reads it as S3").hint(hint));
        }
        ("gs" | "s3", _) | (_, None) => {}
        (_, Some(credentials)) => {
            let what = format!("{from}:// models take no `credentials`");
            let hint = "remove it; Hugging Face takes `hf_token`, an image registry [registries]";
            expansion.report(mistake(what, &credentials.span, "for gs:// and s3://").hint(hint));
        }
    }
    let Some(cache) = &workload.cache else { return };
    if from != "hf" {
        let what = format!("{from}:// models are not fetched onto a disk of their own");
        expansion.report(mistake(what, &cache.span, "for hf:// only").hint("remove `cache`"));
    }
    if workload.replicas() > 1 {
        let what = format!("{} replicas cannot share one disk", workload.replicas());
        let hint =
            "remove `cache`, or keep the files on a claim that many nodes can mount: model = \"pvc://CLAIM/PATH\"";
        expansion.report(mistake(what, &cache.span, "on one node at a time").hint(hint));
    }
}

/// Adds the Secrets that the download needs; returns those that the account lists, the token's first.
pub(super) fn add_secrets(expansion: &mut Expansion<'_>, plan: &Plan<'_>) -> (Option<String>, Vec<String>) {
    let token = plan.workload.hf_token.as_ref().map(|token| add_token(expansion, plan, &token.value.0));
    let mut all = token.iter().cloned().collect::<Vec<_>>();
    all.extend(add_credentials(expansion, plan));
    if let Some(key) = &plan.workload.api_key {
        let data = Map::from([(API_KEY.to_owned(), base64(&key.value.0))]);
        secret(expansion, plan, &key_name(plan), data, &[]);
    }
    (token, all)
}

/// The Secret with the key that clients must show.
pub(super) fn key_name(plan: &Plan<'_>) -> String {
    format!("{}-api-key", plan.name)
}

/// The Secret with the token; shared by workloads of one namespace that have the same token.
fn add_token(expansion: &mut Expansion<'_>, plan: &Plan<'_>, token: &Value) -> String {
    let encoded = base64(token);
    let data = Map::from([("HF_TOKEN".to_owned(), encoded.clone()), ("token".to_owned(), encoded)]);
    let mut name = TOKEN.to_owned();
    if let Some(other) = expansion.find(&format!("Secret/{}/{name}", plan.namespace)) {
        let same = expansion
            .resource(&other)
            .is_some_and(|other| other.attrs.get("data").and_then(Value::as_map) == Some(&data));
        if same {
            return name;
        }
        name = format!("{}-{TOKEN}", plan.name);
    }
    secret(expansion, plan, &name, data, &[]);
    name
}

/// The login to an object store, as KServe's download reads it: keys by name, everything else by annotations.
fn add_credentials(expansion: &mut Expansion<'_>, plan: &Plan<'_>) -> Option<String> {
    let credentials = plan.workload.credentials.as_ref()?;
    let name = format!("{}-store", plan.name);
    let data = Map::from([
        ("AWS_ACCESS_KEY_ID".to_owned(), base64(&credentials.access_key.value.0)),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), base64(&credentials.secret_key.value.0)),
    ]);
    let google = (scheme(plan.workload) == "gs").then(|| CLOUD_STORAGE.to_owned());
    let endpoint = credentials.endpoint.as_ref().map(|endpoint| endpoint.to_string()).or(google);
    let mut annotations = Vec::new();
    if let Some(endpoint) = endpoint {
        annotations.push(("serving.kserve.io/s3-endpoint", endpoint));
        annotations.push(("serving.kserve.io/s3-usehttps", "1".to_owned()));
    }
    let region = credentials.region.as_ref().map(|region| region.to_string());
    annotations.extend(region.map(|region| ("serving.kserve.io/s3-region", region)));
    secret(expansion, plan, &name, data, &annotations);
    Some(name)
}

/// Adds a Secret in the workload's namespace.
pub(super) fn secret(
    expansion: &mut Expansion<'_>,
    plan: &Plan<'_>,
    name: &str,
    data: Map,
    annotations: &[(&str, String)],
) {
    let mut manifest = Value::from_json(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": plan.namespace},
    }));
    for (key, text) in annotations {
        set(&mut manifest, &["metadata", "annotations", key], text.as_str().into());
    }
    set(&mut manifest, &["data"], Value::Map(data));
    expansion.object(NewObject { component: &plan.component, manifest, origin: None, timeout: None });
}

/// Adds the disk; returns the claim's name.
pub(super) fn add_disk(expansion: &mut Expansion<'_>, plan: &Plan<'_>) -> Option<String> {
    let cache = plan.workload.cache.as_ref()?;
    let name = format!("{}-models", plan.name);
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": plan.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": cache.size.0}}},
    });
    if let Some(class) = &cache.class {
        claim["spec"]["storageClassName"] = (&***class).into();
    }
    expansion.own(&plan.component, &claim);
    Some(name)
}
