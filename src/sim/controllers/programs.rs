//! What container images do when they run: the contract of a program, and the table that finds one.
//!
//! Nothing in a simulated cluster works because an object says so: controllers act and webhooks answer only
//! while a Pod runs their program. The kubelet asks when a container serves or ends, [`super::activation`]
//! runs the controllers, [`super::webhooks`] lets it answer. Add-ons implement [`Program`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use super::image::Image;
use super::{Controller, Surroundings, durations, fields};
use crate::env::clock::Timestamp;
use crate::sim::kube::api::{Api, Gvk};

/// What a container's main process does after its start. Asked again, while it has neither served nor
/// ended, whenever its Pod is looked at; the answer may then be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It runs for ever and answers its probes and its clients this long after the start.
    Serves(Duration),
    /// It runs, and waits for something that is not there. Asked again after this long.
    Waits(Duration),
    /// It ends by itself this long after the start.
    Exits {
        /// From the start.
        after: Duration,
        /// 0 is success.
        code: i32,
        /// Killed for want of memory (code 137).
        oom: bool,
        /// Its last words, for the log and for diagnosis.
        log: Vec<String>,
    },
}

impl Start {
    /// It ends with success.
    pub fn completes(after: Duration) -> Self {
        Start::Exits { after, code: 0, oom: false, log: Vec::new() }
    }

    /// It ends with code 1 and these last words.
    pub fn fails(after: Duration, log: impl Into<String>) -> Self {
        Start::Exits { after, code: 1, oom: false, log: vec![log.into()] }
    }
}

/// One container of one Pod.
#[derive(Clone)]
pub struct Instance {
    /// The Pod, as it was when the question was asked.
    pub pod: Arc<Json>,
    /// The container's entry in the Pod's spec (init containers too).
    pub container: Json,
    /// Its image.
    pub image: Image,
}

impl Instance {
    /// Of a container of a Pod; `None` if there is no such container or its image is malformed.
    pub fn of(pod: &Arc<Json>, container: &str) -> Option<Self> {
        let all = fields::list(pod, "/spec/initContainers").iter().chain(fields::list(pod, "/spec/containers"));
        let found = all.into_iter().find(|c| fields::text(c, "/name") == container)?.clone();
        let image = Image::parse(fields::text(&found, "/image")).ok()?;
        Some(Instance { pod: pod.clone(), container: found, image })
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        fields::text(&self.container, "/name")
    }

    /// The Pod's namespace.
    pub fn namespace(&self) -> &str {
        fields::namespace(&self.pod)
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        fields::text(&self.pod, "/spec/nodeName")
    }

    /// Whether it is one of the Pod's init containers.
    pub fn is_init(&self) -> bool {
        fields::list(&self.pod, "/spec/initContainers").iter().any(|c| fields::text(c, "/name") == self.name())
    }

    /// The user it acts as: `system:serviceaccount:<namespace>:<name>`.
    pub fn user(&self) -> String {
        let account = fields::text(&self.pod, "/spec/serviceAccountName");
        let account = if account.is_empty() { "default" } else { account };
        format!("system:serviceaccount:{}:{account}", self.namespace())
    }

    /// `command` and `args`, one after the other.
    pub fn arguments(&self) -> Vec<&str> {
        let all = fields::list(&self.container, "/command").iter().chain(fields::list(&self.container, "/args"));
        all.into_iter().filter_map(Json::as_str).collect()
    }

    /// The value of `--name=value`, `--name value` or a bare `--name` (empty); the first, where it is repeated.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All values of an argument that may be repeated.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let all = self.arguments();
        (0..all.len()).filter_map(move |index| {
            let rest = all[index].strip_prefix('-')?.trim_start_matches('-').strip_prefix(name)?;
            if let Some(value) = rest.strip_prefix('=') {
                return Some(value);
            }
            let next = || all.get(index + 1).copied().filter(|next| !next.starts_with('-')).unwrap_or_default();
            rest.is_empty().then(next)
        })
    }

    /// The value of an environment variable, looked up where `valueFrom` and `envFrom` say.
    pub fn variable(&self, name: &str, api: &dyn Api) -> Option<String> {
        let namespace = self.namespace();
        let entry = fields::list(&self.container, "/env").iter().rfind(|e| fields::text(e, "/name") == name);
        if let Some(entry) = entry {
            if let Some(value) = entry.get("value").and_then(Json::as_str) {
                return Some(value.to_owned());
            }
            let from = &entry["valueFrom"];
            if let Some(key) = from.get("secretKeyRef") {
                return secret_value(api, namespace, fields::text(key, "/name"), fields::text(key, "/key"));
            }
            if let Some(key) = from.get("configMapKeyRef") {
                let map = api.get(&Gvk::new("", "v1", "ConfigMap"), namespace, fields::text(key, "/name"))?;
                return map["data"].get(fields::text(key, "/key"))?.as_str().map(str::to_owned);
            }
            if let Some(field) = from.get("fieldRef") {
                return Some(self.field(fields::text(field, "/fieldPath")));
            }
            return Some(String::new());
        }
        for source in fields::list(&self.container, "/envFrom").iter().rev() {
            let Some(key) = name.strip_prefix(fields::text(source, "/prefix")) else { continue };
            let secret = fields::text(source, "/secretRef/name");
            if let Some(value) = secret_value(api, namespace, secret, key) {
                return Some(value);
            }
            let map = api.get(&Gvk::new("", "v1", "ConfigMap"), namespace, fields::text(source, "/configMapRef/name"));
            if let Some(value) = map.as_ref().and_then(|map| map["data"].get(key)).and_then(Json::as_str) {
                return Some(value.to_owned());
            }
        }
        None
    }

    fn field(&self, path: &str) -> String {
        if let Some((parent, key)) = path.split_once("['") {
            let key = key.trim_end_matches("']");
            let parent = format!("/{}", parent.replace('.', "/"));
            return self
                .pod
                .pointer(&parent)
                .and_then(|p| p.get(key))
                .and_then(Json::as_str)
                .unwrap_or_default()
                .into();
        }
        fields::text(&self.pod, &format!("/{}", path.replace('.', "/"))).to_owned()
    }

    /// The Secret that is mounted at a path, by the Pod's volumes.
    pub fn mounted_secret(&self, path: &str) -> Option<&str> {
        let mounts = fields::list(&self.container, "/volumeMounts");
        let mount = mounts.iter().find(|m| fields::text(m, "/mountPath").trim_end_matches('/') == path)?;
        let volumes = fields::list(&self.pod, "/spec/volumes");
        let volume = volumes.iter().find(|v| v["name"] == mount["name"])?;
        volume.pointer("/secret/secretName").and_then(Json::as_str)
    }

    /// Its entry in the Pod's container statuses.
    pub fn status(&self) -> &Json {
        let all = ["/status/initContainerStatuses", "/status/containerStatuses"];
        let mut all = all.into_iter().flat_map(|pointer| fields::list(&self.pod, pointer));
        all.find(|s| fields::text(s, "/name") == self.name()).unwrap_or(&Json::Null)
    }

    /// When its present process started, if it runs.
    pub fn started_at(&self) -> Option<Timestamp> {
        fields::time(self.status(), "/state/running/startedAt")
    }

    /// A limit or, without one, a request of a resource, as [`fields::quantity`] reads it.
    pub fn resource(&self, name: &str) -> i128 {
        let of = |list: &str| self.container.pointer(&format!("/resources/{list}")).and_then(|all| all.get(name));
        of("limits").or_else(|| of("requests")).map(fields::quantity).unwrap_or_default()
    }
}

/// A value of a Secret, decoded. `None` when the Secret or key is not there or no text.
pub fn secret_value(api: &dyn Api, namespace: &str, name: &str, key: &str) -> Option<String> {
    use base64::Engine;
    let secret = api.get(&Gvk::new("", "v1", "Secret"), namespace, name)?;
    let encoded = secret["data"].get(key)?.as_str()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    String::from_utf8(bytes).ok()
}

/// What an image holds. Methods must not wait; they look at objects through `around.api`, which acts as the
/// Pod's ServiceAccount (reads from memory are not authorised, writes are).
#[async_trait]
pub trait Program: Send + Sync {
    /// For messages and logs: `istiod`.
    fn name(&self) -> &'static str;

    /// Whether this image holds it.
    fn runs(&self, image: &Image) -> bool;

    /// Whether the image's tag was ever published; a pull of another one fails.
    fn published(&self, image: &Image) -> bool {
        let _ = image;
        true
    }

    /// Compressed size of the image in MB, for the time a pull takes.
    fn megabytes(&self, image: &Image) -> u64 {
        let _ = image;
        durations::IMAGE_MEGABYTES
    }

    /// What happens after the process started.
    fn start(&self, instance: &Instance, around: &Surroundings) -> Start {
        let _ = (instance, around);
        Start::Serves(durations::PROGRAM_START)
    }

    /// Whether its readiness probe succeeds now (it serves already). The text of an error goes into the
    /// event. Asked again each probe period.
    fn ready(&self, instance: &Instance, around: &Surroundings) -> Result<(), String> {
        let _ = (instance, around);
        Ok(())
    }

    /// Whether a probe of the container (an entry such as `livenessProbe`) gets the right answer from a program
    /// that serves: scheme, port and path. The error is the kubelet's text. Counts for every probe.
    fn answers(&self, instance: &Instance, around: &Surroundings, probe: &Json) -> Result<(), String> {
        let _ = (instance, around, probe);
        Ok(())
    }

    /// Devices that it registers with its node's kubelet while its container is ready: resource name and
    /// count, e.g. `nvidia.com/gpu` and 1. They become the node's capacity and allocatable.
    fn devices(&self, instance: &Instance, around: &Surroundings, node: &Json) -> Vec<(String, u64)> {
        let _ = (instance, around, node);
        Vec::new()
    }

    /// What it takes to leave after SIGTERM, at most the Pod's grace period.
    fn termination(&self, instance: &Instance) -> Duration {
        let _ = instance;
        durations::TERMINATION
    }

    /// Whether every Pod runs the controllers for itself (a node agent), rather than one leader among all
    /// Pods with this program, namespace and ServiceAccount.
    fn per_pod(&self) -> bool {
        false
    }

    /// The controllers that run while the container is ready. Made once per leader (or per Pod).
    fn controllers(&self, instance: &Instance) -> Vec<Arc<dyn Controller>> {
        let _ = instance;
        Vec::new()
    }

    /// Whether it listens on a TCP port. By default on those that the container declares.
    fn listens(&self, instance: &Instance, port: u16) -> bool {
        fields::list(&instance.container, "/ports").iter().any(|p| p["containerPort"] == port)
    }

    /// The PEM chain, leaf first, that it presents on a port; `None` when it speaks no TLS there. A server of
    /// webhooks adds its private key, for whoever terminates TLS in its place.
    fn certificate(&self, instance: &Instance, around: &Surroundings, port: u16) -> Option<String> {
        let _ = (instance, around, port);
        None
    }

    /// Answers an AdmissionReview or ConversionReview with the review that holds the response; see
    /// [`super::admission`].
    ///
    /// # Errors
    /// The text after the URL in the API server's message; [`super::webhooks::NO_SUCH_PATH`] for a path that
    /// it does not serve.
    async fn webhook(
        &self,
        instance: &Instance,
        around: &Surroundings,
        path: &str,
        review: &Json,
    ) -> Result<Json, String> {
        let _ = (instance, around, path, review);
        Err(super::webhooks::NO_SUCH_PATH.to_owned())
    }

    /// What it logs each time that it looks in vain for what it waits for ([`Start::Waits`]).
    fn complaint(&self, instance: &Instance) -> Vec<String> {
        let _ = instance;
        Vec::new()
    }

    /// The lines of its log after a start.
    fn log(&self, instance: &Instance) -> Vec<String> {
        vec![format!("{} {} started with arguments {:?}", self.name(), instance.image.tag, instance.arguments())]
    }
}

/// Finds the program of an image; the first that claims it.
#[derive(Clone, Default)]
pub struct Programs(Arc<Vec<Arc<dyn Program>>>);

impl Programs {
    /// A table. Images that none of them claims run [`Unknown`].
    pub fn new(programs: Vec<Arc<dyn Program>>) -> Self {
        Programs(Arc::new(programs))
    }

    /// The program of an image.
    pub fn of(&self, image: &Image) -> Arc<dyn Program> {
        self.0.iter().find(|program| program.runs(image)).cloned().unwrap_or_else(|| Arc::new(Unknown))
    }
}

/// A program of which only its image's name is known: it serves after a moment, or, where the Pod expects
/// its containers to end (init containers, Jobs), ends with success. A command that says of itself how it ends,
/// `false` or `sh -c "exit 3"`, ends so.
#[derive(Debug, Clone, Copy)]
pub struct Unknown;

impl Program for Unknown {
    fn name(&self) -> &'static str {
        "program"
    }

    fn runs(&self, _: &Image) -> bool {
        true
    }

    fn start(&self, instance: &Instance, _: &Surroundings) -> Start {
        let sidecar = fields::text(&instance.container, "/restartPolicy") == "Always";
        let policy = fields::text(&instance.pod, "/spec/restartPolicy");
        if (instance.is_init() && !sidecar) || (!instance.is_init() && !matches!(policy, "" | "Always")) {
            return match exit_code(&instance.arguments()) {
                0 => Start::completes(durations::SHORT_RUN),
                code => Start::Exits { after: durations::SHORT_RUN, code, oom: false, log: Vec::new() },
            };
        }
        Start::Serves(durations::PROGRAM_START)
    }
}

/// With which code a command ends, where it says nothing else.
fn exit_code(arguments: &[&str]) -> i32 {
    match arguments {
        ["false" | "/bin/false"] => 1,
        [.., "-c", script] => {
            script.trim().strip_prefix("exit ").and_then(|code| code.trim().parse().ok()).unwrap_or(0)
        }
        _ => 0,
    }
}
