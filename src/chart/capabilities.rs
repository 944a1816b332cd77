//! What charts are told about the cluster and the release: `.Capabilities` and `.Release`. Not for asking a
//! cluster.

use std::rc::Rc;

use super::error::{Cause, ChartError};
use crate::template::{Call, Data, Fault, Field, List, Map, Object, Outcome, Text};

/// The Helm whose behaviour this module has, and the Kubernetes that its libraries know.
pub const HELM: (&str, &str) = ("v4.3.1", "v1.37.0");

/// How that release was made, for charts that print it.
const HELM_COMMIT: &str = "c0d08d0d6d9424d4a14febb5e8a3e51b0dd00dff";
const HELM_GO: &str = "go1.27.2";

/// The release that a chart is rendered as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// An upgrade rather than a first installation.
    pub is_upgrade: bool,
    /// From 1.
    pub revision: u32,
}

impl Release {
    /// A first installation.
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Release { name: name.into(), namespace: namespace.into(), is_upgrade: false, revision: 1 }
    }

    /// Refuses names that Helm refuses: at most 53 characters of a DNS name.
    ///
    /// # Errors
    /// Where the name is none.
    pub fn check(&self) -> Result<(), ChartError> {
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        };
        if self.name.len() <= 53 && self.name.split('.').all(label) {
            return Ok(());
        }
        Err(ChartError::new(Cause::Unfit, "", format!("{:?} cannot be the name of a release", self.name))
            .hint("use lower-case letters, digits and hyphens, at most 53"))
    }

    pub(super) fn data(&self) -> Data {
        Data::map([
            ("Name", Data::from(self.name.as_str())),
            ("Namespace", Data::from(self.namespace.as_str())),
            ("IsUpgrade", Data::Bool(self.is_upgrade)),
            ("IsInstall", Data::Bool(!self.is_upgrade)),
            ("Revision", Data::int(i64::from(self.revision))),
            ("Service", Data::from("Helm")),
        ])
    }
}

/// What the cluster can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version: `v1.34.1-gke.100`.
    pub kube_version: String,
    /// Group versions (`apps/v1`) and perhaps kinds (`apps/v1/Deployment`) that it serves, in the order in which
    /// a chart may go through them.
    pub api_versions: Vec<String>,
}

impl Default for Capabilities {
    /// What Helm assumes where there is no cluster.
    fn default() -> Self {
        let api_versions = API_VERSIONS.split_whitespace().map(str::to_owned).collect();
        Capabilities { kube_version: HELM.1.to_owned(), api_versions }
    }
}

/// What [`HELM`] assumes without a cluster: printed by a chart that prints `.Capabilities.APIVersions`.
const API_VERSIONS: &str = "
v1 admissionregistration.k8s.io/v1 admissionregistration.k8s.io/v1alpha1 admissionregistration.k8s.io/v1beta1
internal.apiserver.k8s.io/v1alpha1 apps/v1 apps/v1beta1 apps/v1beta2 authentication.k8s.io/v1
authentication.k8s.io/v1alpha1 authentication.k8s.io/v1beta1 authorization.k8s.io/v1 authorization.k8s.io/v1beta1
autoscaling/v1 autoscaling/v2 batch/v1 batch/v1beta1 certificates.k8s.io/v1 certificates.k8s.io/v1beta1
certificates.k8s.io/v1alpha1 coordination.k8s.io/v1alpha2 coordination.k8s.io/v1beta1 coordination.k8s.io/v1
discovery.k8s.io/v1 discovery.k8s.io/v1beta1 events.k8s.io/v1 events.k8s.io/v1beta1 extensions/v1beta1
flowcontrol.apiserver.k8s.io/v1 flowcontrol.apiserver.k8s.io/v1beta1 flowcontrol.apiserver.k8s.io/v1beta2
flowcontrol.apiserver.k8s.io/v1beta3 lifecycle.k8s.io/v1alpha1 networking.k8s.io/v1 networking.k8s.io/v1beta1
node.k8s.io/v1 node.k8s.io/v1alpha1 node.k8s.io/v1beta1 policy/v1 policy/v1beta1 rbac.authorization.k8s.io/v1
rbac.authorization.k8s.io/v1beta1 rbac.authorization.k8s.io/v1alpha1 resource.k8s.io/v1 resource.k8s.io/v1beta2
resource.k8s.io/v1beta1 resource.k8s.io/v1alpha3 scheduling.k8s.io/v1alpha3 scheduling.k8s.io/v1beta1
scheduling.k8s.io/v1 storage.k8s.io/v1beta1 storage.k8s.io/v1 storage.k8s.io/v1alpha1 storagemigration.k8s.io/v1
storagemigration.k8s.io/v1beta1 apiextensions.k8s.io/v1beta1 apiextensions.k8s.io/v1";

/// A Kubernetes version in its parts.
#[derive(Clone, Debug)]
pub(super) struct KubeVersion {
    /// With the leading `v` and any suffix.
    full: String,
    numbers: Vec<u64>,
    /// Only what everybody sees of it was copied.
    copied: bool,
}

impl KubeVersion {
    pub(super) fn parse(text: &str) -> Result<KubeVersion, ChartError> {
        let refuse = || {
            ChartError::new(Cause::Unfit, "", format!("{text:?} is not a Kubernetes version"))
                .hint("write it like v1.34.1")
        };
        let body = text.trim().trim_start_matches('v');
        let core = &body[..body.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(body.len())];
        let numbers = core.trim_end_matches('.').split('.').map(str::parse).collect::<Result<Vec<u64>, _>>();
        let numbers = numbers.ok().filter(|numbers| numbers.len() >= 2).ok_or_else(refuse)?;
        let full = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        Ok(KubeVersion { full, numbers, copied: false })
    }

    /// Without suffix: what ranges are checked against.
    pub(super) fn plain(&self) -> String {
        let numbers = self.numbers.iter().map(u64::to_string).collect::<Vec<_>>();
        format!("v{}", numbers.join("."))
    }

    fn text(&self) -> String {
        if self.copied { self.full.clone() } else { self.plain() }
    }
}

impl Object for KubeVersion {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn field(&self, name: &str) -> Option<Data> {
        Some(match name {
            "GitVersion" => Data::from(self.full.as_str()),
            "String" => Data::from(self.text()),
            name => return public(self.structure(), name),
        })
    }

    fn plain(&self) -> Data {
        Field::plain(self.structure())
    }

    fn shown(&self) -> Option<String> {
        Some(self.text())
    }

    fn structure(&self) -> Option<Vec<Field>> {
        let own = if self.copied { String::new() } else { KubeVersion::plain(self) };
        Some(vec![
            field("Version", Some("Version"), self.full.as_str()),
            field("normalizedVersion", None, own),
            field("Major", Some("Major"), self.numbers[0].to_string()),
            field("Minor", Some("Minor"), self.numbers[1].to_string()),
        ])
    }

    fn by_value(&self) -> Option<Rc<dyn Object>> {
        Some(Rc::new(PlainVersion(self.clone())))
    }

    fn copied(&self) -> Option<Rc<dyn Object>> {
        Some(Rc::new(KubeVersion { copied: true, ..self.clone() }))
    }
}

fn field(name: &'static str, json: Option<&'static str>, text: impl Into<Text>) -> Field {
    Field { name, json, value: Data::Text(text.into()) }
}

/// The field of that name that templates see.
fn public(fields: Option<Vec<Field>>, name: &str) -> Option<Data> {
    fields?.into_iter().find(|field| field.name == name && field.json.is_some()).map(|field| field.value)
}

/// A version that went through a function: it has no methods any more.
struct PlainVersion(KubeVersion);

impl Object for PlainVersion {
    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    fn field(&self, name: &str) -> Option<Data> {
        public(self.structure(), name)
    }

    fn plain(&self) -> Data {
        Object::plain(&self.0)
    }

    fn structure(&self) -> Option<Vec<Field>> {
        self.0.structure()
    }

    fn copied(&self) -> Option<Rc<dyn Object>> {
        Some(Rc::new(PlainVersion(KubeVersion { copied: true, ..self.0.clone() })))
    }
}

struct ApiVersions(Rc<Vec<String>>);

impl Object for ApiVersions {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn field(&self, _: &str) -> Option<Data> {
        None
    }

    fn method(&self, name: &str, call: &Call<'_, '_>) -> Option<Outcome> {
        (name == "Has").then(|| match call.arguments() {
            [Data::Text(version)] => Ok(Data::Bool(self.0.iter().any(|have| have.as_bytes() == version.bytes()))),
            [_] => Err(Fault::new("wrong type for value; expected string")),
            more => Err(Fault::new(format!("wrong number of args for Has: want 1 got {}", more.len()))),
        })
    }

    fn plain(&self) -> Data {
        let versions = self.0.iter().map(|version| Data::from(version.as_str())).collect();
        Data::List(List::of(crate::template::Element::Text, versions))
    }
}

struct Known {
    kube: Rc<KubeVersion>,
    apis: Rc<ApiVersions>,
}

impl Object for Known {
    fn type_name(&self) -> &'static str {
        "*common.Capabilities"
    }

    fn field(&self, name: &str) -> Option<Data> {
        public(self.structure(), name)
    }

    fn plain(&self) -> Data {
        Field::plain(self.structure())
    }

    fn structure(&self) -> Option<Vec<Field>> {
        let objects: [(&'static str, Rc<dyn Object>); 3] = [
            ("KubeVersion", self.kube.clone()),
            ("APIVersions", self.apis.clone()),
            ("HelmVersion", Rc::new(HelmVersion)),
        ];
        Some(objects.map(|(name, value)| Field { name, json: Some(name), value: Data::Object(value) }).into())
    }

    fn copied(&self) -> Option<Rc<dyn Object>> {
        let kube = Rc::new(KubeVersion { copied: true, ..(*self.kube).clone() });
        Some(Rc::new(Known { kube, apis: self.apis.clone() }))
    }
}

/// Charts ask for the version of Helm to learn what templates can do.
struct HelmVersion;

impl Object for HelmVersion {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn field(&self, name: &str) -> Option<Data> {
        public(self.structure(), name)
    }

    fn plain(&self) -> Data {
        Field::plain(self.structure())
    }

    fn structure(&self) -> Option<Vec<Field>> {
        Some(vec![
            field("Version", Some("version"), HELM.0),
            field("GitCommit", Some("git_commit"), HELM_COMMIT),
            field("GitTreeState", Some("git_tree_state"), "clean"),
            field("GoVersion", Some("go_version"), HELM_GO),
            field(
                "KubeClientVersion",
                Some("kube_client_version"),
                HELM.1.rsplit_once('.').map_or(HELM.1, |(version, _)| version),
            ),
        ])
    }
}

impl Capabilities {
    pub(super) fn data(&self, kube: &KubeVersion) -> Data {
        Data::Object(Rc::new(Known {
            kube: Rc::new(kube.clone()),
            apis: Rc::new(ApiVersions(Rc::new(self.api_versions.clone()))),
        }))
    }
}

/// An empty map, for the many places that need one.
pub(super) fn empty() -> Map {
    Map::new(Default::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_kubernetes() {
        let version = KubeVersion::parse("1.33.4-gke.1245000").unwrap();
        assert_eq!((version.full.as_str(), version.plain().as_str()), ("v1.33.4-gke.1245000", "v1.33.4"));
        assert!(KubeVersion::parse("new").is_err() && KubeVersion::parse("v1").is_err());
        assert_eq!(Capabilities::default().api_versions.len(), 57);
        assert!(Release::new("Web", "x").check().is_err() && Release::new("web-1.a", "x").check().is_ok());
    }
}
