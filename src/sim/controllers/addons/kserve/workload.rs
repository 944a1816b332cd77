//! What runs a model: certificates, the Deployment with its downloader, the Service in front.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::objects::{
    annotation, base64, child_name, core, list, merge_template, metadata, name, namespace, number, secret_text,
    selects_map, text,
};
use super::super::pki::{self, Validity, Wanted};
use super::super::work::Work;
use super::{MANAGER, Settings, is_red_hat};
use crate::sim::kube::api::Status;

/// 12 years, renewed after 8, as KServe signs them.
const LIFETIME: Duration = Duration::from_secs(12 * 365 * 86_400);
/// The port every preset serves on.
pub const PORT: i64 = 8000;

/// The labels of everything that belongs to a service.
pub fn labels<'a>(service: &'a Json, component: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("app.kubernetes.io/name", name(service)),
        ("app.kubernetes.io/part-of", "llminferenceservice"),
        ("app.kubernetes.io/component", component),
    ]
}

/// The name of the Service in front of a model's pods.
pub fn service_name(service: &Json) -> String {
    child_name(name(service), "-kserve-workload-svc")
}

/// The names and addresses that the serving certificate has to carry now.
fn subject(work: &Work, service: &Json) -> Wanted {
    let home = namespace(service);
    let mut wanted = Wanted { common_name: "llminferenceservice".into(), ..Wanted::default() };
    wanted.dns_names.push("localhost".to_owned());
    wanted.ip_addresses.push(std::net::Ipv4Addr::LOCALHOST.into());
    for host in [service_name(service), child_name(name(service), "-epp-service")] {
        wanted.dns_names.extend([
            host.clone(),
            format!("{host}.{home}"),
            format!("{host}.{home}.svc"),
            format!("{host}.{home}.svc.cluster.local"),
        ]);
        if let Some(found) = work.api.get(&core("Service"), home, &host) {
            wanted.ip_addresses.extend(text(&found, "/spec/clusterIP").parse::<std::net::IpAddr>().ok());
        }
    }
    let selector = json!({"app.kubernetes.io/name": name(service), "app.kubernetes.io/part-of": "llminferenceservice"});
    for pod in work.api.list(&core("Pod"), Some(home)) {
        if selects_map(&selector, &pod["metadata"]["labels"]) {
            wanted.ip_addresses.extend(text(&pod, "/status/podIP").parse::<std::net::IpAddr>().ok());
        }
    }
    wanted
}

/// Keeps the Secret with the serving certificate; a pod or Service address outside of it makes a new one.
///
/// # Errors
/// As the API server says, or because there is no CA to sign with.
pub async fn certificate(work: &Work, service: &Json) -> Result<(), Status> {
    let home = namespace(service);
    let secret = child_name(name(service), "-kserve-self-signed-certs");
    let wanted = subject(work, service);
    let existing = work.api.get(&core("Secret"), home, &secret);
    let current = existing.as_ref().and_then(|s| secret_text(s, "tls.crt")).unwrap_or_default();
    let has = pki::names(&current);
    let enough = wanted.dns_names.iter().all(|n| has.contains(n))
        && wanted.ip_addresses.iter().all(|ip| has.contains(&ip.to_string()));
    let fresh = pki::validity(&current).is_some_and(|(from, _)| work.clock.now().since(from) < LIFETIME * 2 / 3);
    if enough && fresh {
        return Ok(());
    }
    let broken = |e: pki::Malformed| Status::failure(500, "InternalError", e.to_string());
    let validity = Validity { from: work.clock.now(), lasts: LIFETIME };
    let key = pki::new_key().map_err(broken)?;
    let mut data = json!({"tls.key": base64(&key)});
    if is_red_hat(&work.instance) {
        let variable = |name: &str, default: &str| {
            work.instance.variable(name, &*work.api).filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        let ca_name = variable("SERVICE_CA_SIGNING_SECRET_NAME", "opendatahub-ca");
        let ca_home = variable("SERVICE_CA_SIGNING_SECRET_NAMESPACE", "cert-manager");
        let ca = work.api.get(&core("Secret"), &ca_home, &ca_name);
        let pair = ca.as_ref().and_then(|s| Some((secret_text(s, "tls.crt")?, secret_text(s, "tls.key")?)));
        let (ca, ca_key) = pair.ok_or_else(|| {
            Status::failure(
                404,
                "NotFound",
                format!("failed to get CA signing secret: secrets \"{ca_name}\" not found"),
            )
        })?;
        data["tls.crt"] = json!(base64(pki::signed(&wanted, validity, &key, &ca, &ca_key).map_err(broken)?));
        data["ca.crt"] = json!(base64(ca));
    } else {
        data["tls.crt"] = json!(base64(pki::self_signed(&wanted, validity, &key).map_err(broken)?));
    }
    let mut metadata = metadata(home, &secret, &labels(service, "llminferenceservice-workload"), Some(service));
    let until = validity.from.plus(LIFETIME);
    metadata["annotations"] = json!({"certificates.kserve.io/expiration": until.rfc3339()});
    let wanted =
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data});
    work.apply(MANAGER, wanted, true).await.map(drop)
}

/// The pod template of the model's workload.
///
/// # Errors
/// What is wrong with the spec, for the condition's message.
fn pod_template(work: &Work, service: &Json, spec: &Json, settings: &Settings) -> Result<Json, String> {
    let mut pod = spec.get("template").cloned().unwrap_or_else(|| json!({}));
    let has_main = list(&pod, "/containers").iter().any(|c| text(c, "/name") == "main");
    if !has_main {
        return Err("template has no container named \"main\"".to_owned());
    }
    let home = namespace(service);
    let account = text(&pod, "/serviceAccountName").to_owned();
    if !account.is_empty() && work.api.get(&core("ServiceAccount"), home, &account).is_none() {
        return Err(format!("failed to fetch ServiceAccount: serviceaccounts \"{account}\" not found"));
    }
    let uri = text(spec, "/model/uri");
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    let downloads = spec.pointer("/storageInitializer/enabled") != Some(&json!(false));
    match scheme {
        "hf" | "s3" if downloads => {
            let mut init = json!({
                "name": "storage-initializer", "image": settings.storage_image, "args": [uri, "/mnt/models"],
                "resources": {
                    "requests": {"cpu": or(&settings.storage, "/cpuRequest", "100m"),
                        "memory": or(&settings.storage, "/memoryRequest", "100Mi")},
                    "limits": {"cpu": or(&settings.storage, "/cpuLimit", "1"),
                        "memory": or(&settings.storage, "/memoryLimit", "1Gi")},
                },
                "volumeMounts": [{"name": "kserve-provision-location", "mountPath": "/mnt/models"}],
            });
            // Credentials come from Secrets that the ServiceAccount lists, never from the main container.
            let account = if account.is_empty() { "default" } else { &account };
            let account = work.api.get(&core("ServiceAccount"), home, account).unwrap_or_default();
            for secret in list(&account, "/secrets") {
                let found = work.api.get(&core("Secret"), home, text(secret, "/name"));
                if found.is_some_and(|s| secret_text(&s, "HF_TOKEN").is_some()) {
                    init["env"] = json!([{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef":
                        {"name": secret["name"], "key": "HF_TOKEN"}}}]);
                }
                let found = work.api.get(&core("Secret"), home, text(secret, "/name"));
                if let Some(found) = found.filter(|s| secret_text(s, "AWS_ACCESS_KEY_ID").is_some()) {
                    init["env"] = store_variables(&found);
                }
            }
            add_init(&mut pod, init);
            add_model_volume(&mut pod, json!({"name": "kserve-provision-location", "emptyDir": {}}));
        }
        "hf" | "s3" => {}
        "pvc" => {
            let path = uri.trim_start_matches("pvc://");
            let claim = path.split('/').next().unwrap_or_default();
            let volume = json!({"name": "kserve-provision-location", "persistentVolumeClaim": {"claimName": claim}});
            add_model_volume(&mut pod, volume);
        }
        "oci" | "oci+native" => {
            let reference = uri.split_once("://").map_or("", |(_, r)| r);
            add_model_volume(&mut pod, json!({"name": "kserve-provision-location", "image": {"reference": reference}}));
        }
        _ => return Err(format!("unsupported schema in model uri {uri:?}")),
    }
    Ok(pod)
}

/// What the downloader learns of an object store: keys from the Secret, the rest from its annotations.
fn store_variables(secret: &Json) -> Json {
    let key = |key: &str| json!({"name": key, "valueFrom": {"secretKeyRef": {"name": name(secret), "key": key}}});
    let mut variables = vec![key("AWS_ACCESS_KEY_ID"), key("AWS_SECRET_ACCESS_KEY")];
    let endpoint = annotation(secret, "serving.kserve.io/s3-endpoint");
    if !endpoint.is_empty() {
        let scheme = if annotation(secret, "serving.kserve.io/s3-usehttps") == "0" { "http" } else { "https" };
        variables.push(json!({"name": "S3_ENDPOINT", "value": endpoint}));
        variables.push(json!({"name": "AWS_ENDPOINT_URL", "value": format!("{scheme}://{endpoint}")}));
    }
    let region = annotation(secret, "serving.kserve.io/s3-region");
    if !region.is_empty() {
        variables.push(json!({"name": "AWS_DEFAULT_REGION", "value": region}));
    }
    json!(variables)
}

fn or(object: &Json, pointer: &str, default: &str) -> String {
    match text(object, pointer) {
        "" => default.to_owned(),
        given => given.to_owned(),
    }
}

/// Puts the downloader before everything else; name, image and arguments stay ours where the user wrote one.
fn add_init(pod: &mut Json, mut init: Json) {
    let entries = pod.get_mut("initContainers").and_then(Json::as_array_mut).map(std::mem::take).unwrap_or_default();
    let (own, others): (Vec<Json>, Vec<Json>) = entries.into_iter().partition(|c| c["name"] == init["name"]);
    if let Some(own) = own.first() {
        let args = init["args"].clone();
        merge_template(&mut init, own);
        init["args"] = args;
        if let Some(init) = init.as_object_mut() {
            init.remove("command");
        }
    }
    let mut all = vec![init];
    all.extend(others);
    pod["initContainers"] = json!(all);
}

fn add_model_volume(pod: &mut Json, volume: Json) {
    let mount = json!({"name": "kserve-provision-location", "mountPath": "/mnt/models", "readOnly": true});
    merge_template(pod, &json!({"volumes": [volume]}));
    let main = pod.get_mut("containers").and_then(Json::as_array_mut).into_iter().flatten();
    for container in main.filter(|c| c["name"] == "main") {
        merge_template(container, &json!({"volumeMounts": [mount]}));
    }
}

/// Keeps the Deployment of a single-node model. `fresh` applies it anew because the spec has changed.
///
/// # Errors
/// As the API server says, or the spec is not one that can run.
pub async fn deployment(
    work: &Work,
    service: &Json,
    spec: &Json,
    settings: &Settings,
    fresh: bool,
) -> Result<(), Status> {
    let pod = pod_template(work, service, spec, settings).map_err(|why| Status::failure(422, "Invalid", why))?;
    let role = if spec.get("prefill").is_some() { "decode" } else { "both" };
    let mut selector = json!({"kserve.io/component": "workload", "llm-d.ai/role": role});
    let own = labels(service, "llminferenceservice-workload");
    for (key, value) in &own {
        selector[*key] = json!(value);
    }
    let mut pod_labels = selector.clone();
    let mut annotations = json!({});
    merge_template(&mut pod_labels, spec.get("labels").unwrap_or(&json!({})));
    merge_template(&mut annotations, spec.get("annotations").unwrap_or(&json!({})));
    let mut wanted = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": metadata(namespace(service), &child_name(name(service), "-kserve"), &own, Some(service)),
        "spec": {
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": pod_labels, "annotations": annotations}, "spec": pod},
        },
    });
    // Without a number the Deployment's own count stays, which an autoscaler may have set.
    if let Some(replicas) = number(spec, "/replicas") {
        wanted["spec"]["replicas"] = json!(replicas);
    }
    work.apply(MANAGER, wanted, fresh).await.map(drop)
}

/// Keeps the Service in front of the model's pods.
///
/// # Errors
/// As the API server says.
pub async fn frontend(work: &Work, service: &Json, settings: &Settings) -> Result<(), Status> {
    let scheme = if settings.tls { "https" } else { "http" };
    let wanted = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": metadata(namespace(service), &service_name(service),
            &labels(service, "llminferenceservice-workload"), Some(service)),
        "spec": {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": name(service), "app.kubernetes.io/part-of": "llminferenceservice",
                "kserve.io/component": "workload"},
            "ports": [{"name": scheme, "appProtocol": scheme, "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    });
    work.ensure(wanted).await.map(drop)
}
