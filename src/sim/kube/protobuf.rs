//! Bodies that kubectl sends in protobuf: the kinds that its own commands create with typed clients.
//!
//! Answers are always JSON, which those clients take too. Field numbers are those of Kubernetes' published
//! `generated.proto` files; kinds that are not in the table are refused as an unknown format.

use base64::Engine;
use serde_json::{Map, Value as Json, json};

/// How a field is read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Texts,
    /// A number or truth that may be unset.
    Whole,
    Flag,
    /// The same where unset and zero are one, which JSON leaves out.
    Count,
    Set,
    /// `Quantity`, and a map of them.
    Amount,
    Amounts,
    /// `IntOrString`.
    Either,
    /// A struct whose fields are its owner's in JSON.
    Inline(&'static str),
    /// `map<string, string>`.
    TextMap,
    /// `map<string, bytes>`, written in base64.
    ByteMap,
    Message(&'static str),
    Messages(&'static str),
}

use Form::{
    Amount, Amounts, ByteMap, Count, Either, Flag, Inline, Message, Messages, Set, Text, TextMap, Texts, Whole,
};

type Field = (u64, &'static str, Form);

const META: Field = (1, "metadata", Message("ObjectMeta"));

fn fields(message: &str) -> Option<&'static [Field]> {
    workload_fields(message).or_else(|| pod_fields(message)).or_else(|| plain_fields(message))
}

/// Workloads and what belongs to them.
fn workload_fields(message: &str) -> Option<&'static [Field]> {
    Some(match message {
        "Pod" => &[META, (2, "spec", Message("PodSpec"))],
        "PodTemplateSpec" => &[META, (2, "spec", Message("PodSpec"))],
        "Deployment" => &[META, (2, "spec", Message("DeploymentSpec"))],
        "DeploymentSpec" => &[
            (1, "replicas", Whole),
            (2, "selector", Message("LabelSelector")),
            (3, "template", Message("PodTemplateSpec")),
            (4, "strategy", Message("DeploymentStrategy")),
            (5, "minReadySeconds", Count),
            (6, "revisionHistoryLimit", Whole),
            (7, "paused", Set),
            (9, "progressDeadlineSeconds", Whole),
        ],
        "DeploymentStrategy" => &[(1, "type", Text), (2, "rollingUpdate", Message("RollingUpdateDeployment"))],
        "RollingUpdateDeployment" => &[(1, "maxUnavailable", Either), (2, "maxSurge", Either)],
        "Job" => &[META, (2, "spec", Message("JobSpec"))],
        "JobSpec" => &[
            (1, "parallelism", Whole),
            (2, "completions", Whole),
            (3, "activeDeadlineSeconds", Whole),
            (4, "selector", Message("LabelSelector")),
            (5, "manualSelector", Flag),
            (6, "template", Message("PodTemplateSpec")),
            (7, "backoffLimit", Whole),
            (8, "ttlSecondsAfterFinished", Whole),
            (9, "completionMode", Text),
            (10, "suspend", Flag),
        ],
        "CronJob" => &[META, (2, "spec", Message("CronJobSpec"))],
        "CronJobSpec" => &[
            (1, "schedule", Text),
            (2, "startingDeadlineSeconds", Whole),
            (3, "concurrencyPolicy", Text),
            (4, "suspend", Flag),
            (5, "jobTemplate", Message("JobTemplateSpec")),
            (6, "successfulJobsHistoryLimit", Whole),
            (7, "failedJobsHistoryLimit", Whole),
            (8, "timeZone", Text),
        ],
        "JobTemplateSpec" => &[META, (2, "spec", Message("JobSpec"))],
        "LabelSelector" => {
            &[(1, "matchLabels", TextMap), (2, "matchExpressions", Messages("LabelSelectorRequirement"))]
        }
        "LabelSelectorRequirement" => &[(1, "key", Text), (2, "operator", Text), (3, "values", Texts)],
        "PodDisruptionBudget" => &[META, (2, "spec", Message("PodDisruptionBudgetSpec"))],
        "PodDisruptionBudgetSpec" => &[
            (1, "minAvailable", Either),
            (2, "selector", Message("LabelSelector")),
            (3, "maxUnavailable", Either),
            (4, "unhealthyPodEvictionPolicy", Text),
        ],
        "HorizontalPodAutoscaler" => &[META, (2, "spec", Message("HorizontalPodAutoscalerSpec"))],
        "HorizontalPodAutoscalerSpec" => &[
            (1, "scaleTargetRef", Message("CrossVersionObjectReference")),
            (2, "minReplicas", Whole),
            (3, "maxReplicas", Count),
            (4, "metrics", Messages("MetricSpec")),
        ],
        "autoscaling/v1 HorizontalPodAutoscaler" => {
            &[META, (2, "spec", Message("autoscaling/v1 HorizontalPodAutoscalerSpec"))]
        }
        "autoscaling/v1 HorizontalPodAutoscalerSpec" => &[
            (1, "scaleTargetRef", Message("CrossVersionObjectReference")),
            (2, "minReplicas", Whole),
            (3, "maxReplicas", Count),
            (4, "targetCPUUtilizationPercentage", Whole),
        ],
        "CrossVersionObjectReference" => &[(1, "kind", Text), (2, "name", Text), (3, "apiVersion", Text)],
        "MetricSpec" => &[(1, "type", Text), (4, "resource", Message("ResourceMetricSource"))],
        "ResourceMetricSource" => &[(1, "name", Text), (2, "target", Message("MetricTarget"))],
        "MetricTarget" => {
            &[(1, "type", Text), (2, "value", Amount), (3, "averageValue", Amount), (4, "averageUtilization", Whole)]
        }
        "ResourceQuota" => &[META, (2, "spec", Message("ResourceQuotaSpec"))],
        "ResourceQuotaSpec" => &[(1, "hard", Amounts), (2, "scopes", Texts)],
        "PriorityClass" => &[
            META,
            (2, "value", Whole),
            (3, "globalDefault", Set),
            (4, "description", Text),
            (5, "preemptionPolicy", Text),
        ],
        "Service" => &[META, (2, "spec", Message("ServiceSpec"))],
        "ServiceSpec" => &[
            (1, "ports", Messages("ServicePort")),
            (2, "selector", TextMap),
            (3, "clusterIP", Text),
            (4, "type", Text),
            (7, "sessionAffinity", Text),
            (8, "loadBalancerIP", Text),
            (10, "externalName", Text),
        ],
        "ServicePort" => &[
            (1, "name", Text),
            (2, "protocol", Text),
            (3, "port", Count),
            (4, "targetPort", Either),
            (5, "nodePort", Count),
            (6, "appProtocol", Text),
        ],
        "Ingress" => &[META, (2, "spec", Message("IngressSpec"))],
        "IngressSpec" => &[
            (1, "defaultBackend", Message("IngressBackend")),
            (2, "tls", Messages("IngressTLS")),
            (3, "rules", Messages("IngressRule")),
            (4, "ingressClassName", Text),
        ],
        "IngressTLS" => &[(1, "hosts", Texts), (2, "secretName", Text)],
        "IngressRule" => &[(1, "host", Text), (2, "", Inline("IngressRuleValue"))],
        "IngressRuleValue" => &[(1, "http", Message("HTTPIngressRuleValue"))],
        "HTTPIngressRuleValue" => &[(1, "paths", Messages("HTTPIngressPath"))],
        "HTTPIngressPath" => &[(1, "path", Text), (2, "backend", Message("IngressBackend")), (3, "pathType", Text)],
        "IngressBackend" => &[(4, "service", Message("IngressServiceBackend"))],
        "IngressServiceBackend" => &[(1, "name", Text), (2, "port", Message("ServiceBackendPort"))],
        "ServiceBackendPort" => &[(1, "name", Text), (2, "number", Count)],
        _ => return None,
    })
}

/// What pods are made of, as far as kubectl makes them.
fn pod_fields(message: &str) -> Option<&'static [Field]> {
    Some(match message {
        "PodSpec" => &[
            (1, "volumes", Messages("Volume")),
            (2, "containers", Messages("Container")),
            (3, "restartPolicy", Text),
            (4, "terminationGracePeriodSeconds", Whole),
            (5, "activeDeadlineSeconds", Whole),
            (6, "dnsPolicy", Text),
            (7, "nodeSelector", TextMap),
            (8, "serviceAccountName", Text),
            (9, "serviceAccount", Text),
            (10, "nodeName", Text),
            (11, "hostNetwork", Set),
            (12, "hostPID", Set),
            (13, "hostIPC", Set),
            (14, "securityContext", Message("PodSecurityContext")),
            (15, "imagePullSecrets", Messages("LocalObjectReference")),
            (16, "hostname", Text),
            (17, "subdomain", Text),
            (19, "schedulerName", Text),
            (20, "initContainers", Messages("Container")),
            (21, "automountServiceAccountToken", Flag),
            (22, "tolerations", Messages("Toleration")),
            (24, "priorityClassName", Text),
            (25, "priority", Whole),
            (27, "shareProcessNamespace", Flag),
            (29, "runtimeClassName", Text),
            (30, "enableServiceLinks", Flag),
            (31, "preemptionPolicy", Text),
        ],
        "Container" => &[
            (1, "name", Text),
            (2, "image", Text),
            (3, "command", Texts),
            (4, "args", Texts),
            (5, "workingDir", Text),
            (6, "ports", Messages("ContainerPort")),
            (7, "env", Messages("EnvVar")),
            (8, "resources", Message("ResourceRequirements")),
            (9, "volumeMounts", Messages("VolumeMount")),
            (13, "terminationMessagePath", Text),
            (14, "imagePullPolicy", Text),
            (15, "securityContext", Message("SecurityContext")),
            (16, "stdin", Set),
            (17, "stdinOnce", Set),
            (18, "tty", Set),
            (19, "envFrom", Messages("EnvFromSource")),
            (20, "terminationMessagePolicy", Text),
            (24, "restartPolicy", Text),
        ],
        "ContainerPort" => &[
            (1, "name", Text),
            (2, "hostPort", Count),
            (3, "containerPort", Count),
            (4, "protocol", Text),
            (5, "hostIP", Text),
        ],
        "EnvVar" => &[(1, "name", Text), (2, "value", Text), (3, "valueFrom", Message("EnvVarSource"))],
        "EnvVarSource" => &[
            (1, "fieldRef", Message("ObjectFieldSelector")),
            (3, "configMapKeyRef", Message("KeySelector")),
            (4, "secretKeyRef", Message("KeySelector")),
        ],
        "ObjectFieldSelector" => &[(1, "apiVersion", Text), (2, "fieldPath", Text)],
        "KeySelector" => &[(1, "", Inline("LocalObjectReference")), (2, "key", Text), (3, "optional", Flag)],
        "EnvFromSource" => &[
            (1, "prefix", Text),
            (2, "configMapRef", Message("SourceReference")),
            (3, "secretRef", Message("SourceReference")),
        ],
        "SourceReference" => &[(1, "", Inline("LocalObjectReference")), (2, "optional", Flag)],
        "LocalObjectReference" => &[(1, "name", Text)],
        "ResourceRequirements" => &[(1, "limits", Amounts), (2, "requests", Amounts)],
        "VolumeMount" => &[
            (1, "name", Text),
            (2, "readOnly", Set),
            (3, "mountPath", Text),
            (4, "subPath", Text),
            (5, "mountPropagation", Text),
            (6, "subPathExpr", Text),
        ],
        "Volume" => &[(1, "name", Text), (2, "", Inline("VolumeSource"))],
        "VolumeSource" => &[
            (1, "hostPath", Message("HostPath")),
            (2, "emptyDir", Message("EmptyDir")),
            (6, "secret", Message("SecretVolume")),
            (10, "persistentVolumeClaim", Message("ClaimVolume")),
            (19, "configMap", Message("ConfigMapVolume")),
        ],
        "HostPath" => &[(1, "path", Text), (2, "type", Text)],
        "EmptyDir" => &[(1, "medium", Text), (2, "sizeLimit", Amount)],
        "SecretVolume" => &[(1, "secretName", Text), (3, "defaultMode", Whole), (4, "optional", Flag)],
        "ConfigMapVolume" => {
            &[(1, "", Inline("LocalObjectReference")), (3, "defaultMode", Whole), (4, "optional", Flag)]
        }
        "ClaimVolume" => &[(1, "claimName", Text), (2, "readOnly", Set)],
        "Toleration" => &[
            (1, "key", Text),
            (2, "operator", Text),
            (3, "value", Text),
            (4, "effect", Text),
            (5, "tolerationSeconds", Whole),
        ],
        "PodSecurityContext" => {
            &[(2, "runAsUser", Whole), (3, "runAsNonRoot", Flag), (5, "fsGroup", Whole), (6, "runAsGroup", Whole)]
        }
        "SecurityContext" => &[
            (1, "capabilities", Message("Capabilities")),
            (2, "privileged", Flag),
            (4, "runAsUser", Whole),
            (5, "runAsNonRoot", Flag),
            (6, "readOnlyRootFilesystem", Flag),
            (7, "allowPrivilegeEscalation", Flag),
            (8, "runAsGroup", Whole),
        ],
        "Capabilities" => &[(1, "add", Texts), (2, "drop", Texts)],
        _ => return None,
    })
}

fn plain_fields(message: &str) -> Option<&'static [Field]> {
    Some(match message {
        "ObjectMeta" => &[
            (1, "name", Text),
            (2, "generateName", Text),
            (3, "namespace", Text),
            (5, "uid", Text),
            (6, "resourceVersion", Text),
            (11, "labels", TextMap),
            (12, "annotations", TextMap),
            (14, "finalizers", Texts),
        ],
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => &[META],
        "ConfigMap" => &[META, (2, "data", TextMap), (3, "binaryData", ByteMap), (4, "immutable", Flag)],
        "Secret" => {
            &[META, (2, "data", ByteMap), (3, "type", Text), (4, "stringData", TextMap), (5, "immutable", Flag)]
        }
        "SelfSubjectAccessReview" => &[META, (2, "spec", Message("SelfSubjectAccessReviewSpec"))],
        "SelfSubjectAccessReviewSpec" => &[
            (1, "resourceAttributes", Message("ResourceAttributes")),
            (2, "nonResourceAttributes", Message("NonResourceAttributes")),
        ],
        "ResourceAttributes" => &[
            (1, "namespace", Text),
            (2, "verb", Text),
            (3, "group", Text),
            (4, "version", Text),
            (5, "resource", Text),
            (6, "subresource", Text),
            (7, "name", Text),
        ],
        "NonResourceAttributes" => &[(1, "path", Text), (2, "verb", Text)],
        "SelfSubjectRulesReview" => &[META, (2, "spec", Message("SelfSubjectRulesReviewSpec"))],
        "SelfSubjectRulesReviewSpec" => &[(1, "namespace", Text)],
        "TokenRequest" => &[META, (2, "spec", Message("TokenRequestSpec"))],
        "TokenRequestSpec" => &[(1, "audiences", Texts), (4, "expirationSeconds", Whole)],
        "Eviction" => &[META, (2, "deleteOptions", Message("DeleteOptions"))],
        "DeleteOptions" => &[
            (1, "gracePeriodSeconds", Whole),
            (2, "preconditions", Message("Preconditions")),
            (3, "orphanDependents", Flag),
            (4, "propagationPolicy", Text),
            (5, "dryRun", Texts),
        ],
        "Preconditions" => &[(1, "uid", Text), (2, "resourceVersion", Text)],
        "Role" | "ClusterRole" => &[META, (2, "rules", Messages("PolicyRule"))],
        "PolicyRule" => &[
            (1, "verbs", Texts),
            (2, "apiGroups", Texts),
            (3, "resources", Texts),
            (4, "resourceNames", Texts),
            (5, "nonResourceURLs", Texts),
        ],
        "RoleBinding" | "ClusterRoleBinding" => {
            &[META, (2, "subjects", Messages("Subject")), (3, "roleRef", Message("RoleRef"))]
        }
        "Subject" => &[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)],
        "RoleRef" => &[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)],
        _ => return None,
    })
}

/// One field on the wire.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = number(bytes)?;
    let take = |bytes: &mut &'a [u8], length: usize| {
        let (taken, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(taken)
    };
    let value = match key & 7 {
        0 => Value::Number(number(bytes)?),
        1 => Value::Bytes(take(bytes, 8)?),
        2 => {
            let length = usize::try_from(number(bytes)?).ok()?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => Value::Bytes(take(bytes, 4)?),
        _ => return None,
    };
    Some((key >> 3, value))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// Key and value of a map's entry.
fn entry(mut bytes: &[u8]) -> Option<(String, &[u8])> {
    let (mut key, mut value): (String, &[u8]) = (String::new(), &[]);
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Value::Bytes(found)) => key = text(found)?,
            (2, Value::Bytes(found)) => value = found,
            _ => {}
        }
    }
    Some((key, value))
}

/// A quantity's text.
fn amount(mut bytes: &[u8]) -> Option<String> {
    let mut found = String::new();
    while !bytes.is_empty() {
        if let (1, Value::Bytes(value)) = next(&mut bytes)? {
            found = text(value)?;
        }
    }
    Some(found)
}

/// A number or a text, whichever it says it is.
fn either(mut bytes: &[u8]) -> Option<Json> {
    let (mut is_text, mut number, mut words) = (false, 0, String::new());
    while !bytes.is_empty() {
        match next(&mut bytes)? {
            (1, Value::Number(kind)) => is_text = kind == 1,
            (2, Value::Number(value)) => number = value.cast_signed(),
            (3, Value::Bytes(value)) => words = text(value)?,
            _ => {}
        }
    }
    Some(if is_text { Json::from(words) } else { Json::from(number) })
}

fn message(name: &str, mut bytes: &[u8]) -> Option<Json> {
    let known = fields(name)?;
    let mut object = Map::new();
    while !bytes.is_empty() {
        let (at, value) = next(&mut bytes)?;
        let Some((_, name, form)) = known.iter().find(|(field, _, _)| *field == at) else { continue };
        let mut push = |value: Json| match object.entry(*name).or_insert_with(|| json!([])) {
            Json::Array(items) => items.push(value),
            other => *other = value,
        };
        match (form, value) {
            // Go's encoder writes empty texts out.
            (Text, Value::Bytes([])) => {}
            (Text, Value::Bytes(found)) => {
                object.insert((*name).to_owned(), Json::from(text(found)?));
            }
            (Texts, Value::Bytes(found)) => push(Json::from(text(found)?)),
            (Messages(inner), Value::Bytes(found)) => push(message(inner, found)?),
            (Message(inner), Value::Bytes(found)) => {
                object.insert((*name).to_owned(), message(inner, found)?);
            }
            (Whole, Value::Number(found)) => {
                object.insert((*name).to_owned(), Json::from(found.cast_signed()));
            }
            (Flag, Value::Number(found)) => {
                object.insert((*name).to_owned(), Json::from(found != 0));
            }
            (Count | Set, Value::Number(0)) => {}
            (Count, Value::Number(found)) => {
                object.insert((*name).to_owned(), Json::from(found.cast_signed()));
            }
            (Set, Value::Number(_)) => {
                object.insert((*name).to_owned(), Json::from(true));
            }
            (Amount, Value::Bytes(found)) => {
                object.insert((*name).to_owned(), Json::from(amount(found)?));
            }
            (Amounts, Value::Bytes(found)) => {
                let (key, value) = entry(found)?;
                object.entry(*name).or_insert_with(|| json!({}))[key] = Json::from(amount(value)?);
            }
            (Either, Value::Bytes(found)) => {
                object.insert((*name).to_owned(), either(found)?);
            }
            (Inline(inner), Value::Bytes(found)) => {
                let Json::Object(inner) = message(inner, found)? else { return None };
                object.extend(inner);
            }
            (TextMap | ByteMap, Value::Bytes(found)) => {
                let (key, value) = entry(found)?;
                let value = match form {
                    ByteMap => base64::engine::general_purpose::STANDARD.encode(value),
                    _ => text(value)?,
                };
                object.entry(*name).or_insert_with(|| json!({}))[key] = Json::from(value);
            }
            _ => return None,
        }
    }
    Some(Json::Object(object))
}

/// An object from its wire form; `None` when it is malformed or of a kind that is not in the table.
pub(crate) fn decode(bytes: &[u8]) -> Option<Json> {
    let mut envelope = bytes.strip_prefix(b"k8s\0")?;
    let (mut api_version, mut kind, mut raw): (String, String, &[u8]) = (String::new(), String::new(), &[]);
    while !envelope.is_empty() {
        match next(&mut envelope)? {
            (1, Value::Bytes(mut meta)) => {
                while !meta.is_empty() {
                    match next(&mut meta)? {
                        (1, Value::Bytes(found)) => api_version = text(found)?,
                        (2, Value::Bytes(found)) => kind = text(found)?,
                        _ => {}
                    }
                }
            }
            (2, Value::Bytes(found)) => raw = found,
            _ => {}
        }
    }
    // Of most kinds only one version is written by clients.
    let versioned = format!("{api_version} {kind}");
    let name = if fields(&versioned).is_some() { &versioned } else { &kind };
    let mut object = message(name, raw)?;
    object["apiVersion"] = Json::from(api_version);
    object["kind"] = Json::from(kind);
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, length], bytes].concat()
    }

    #[test]
    fn a_config_map() {
        let meta = [field(1, b"a"), field(2, b""), field(11, &[field(1, b"k"), field(2, b"v")].concat())].concat();
        let data = [field(1, b"key"), field(2, b"value")].concat();
        let raw = [field(1, &meta), field(2, &data)].concat();
        let kind = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
        let bytes = [b"k8s\0".to_vec(), field(1, &kind), field(2, &raw)].concat();
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"k": "v"}},
            "data": {"key": "value"},
        });
        assert_eq!(decode(&bytes), Some(expected));
        assert_eq!(decode(&bytes[..bytes.len() - 3]), None, "cut short");
        let port = [&[0x18_u8, 80][..], &field(4, &[8, 1, 26, 4, b'h', b't', b't', b'p'])].concat();
        let expected = json!({"port": 80, "targetPort": "http"});
        assert_eq!(message("ServicePort", &port), Some(expected), "a number, and a text where either may be");
        assert_eq!(decode(b"noise"), None);
    }
}
