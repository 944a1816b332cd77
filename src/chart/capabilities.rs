//! What charts are told about the cluster and the release: `.Capabilities` and `.Release`. Not for asking a
//! cluster.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::error::{Cause, ChartError};
use crate::template::{Call, Data, Fault, List, Map, Object, Outcome};

/// The Helm whose behaviour this module has, and the Kubernetes that its libraries know.
pub const HELM: (&str, &str) = ("v4.3.1", "v1.37.0");

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
    /// Group versions (`apps/v1`) and perhaps kinds (`apps/v1/Deployment`) that it serves.
    pub api_versions: BTreeSet<String>,
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
        Ok(KubeVersion { full, numbers })
    }

    /// Without suffix: what ranges are checked against.
    pub(super) fn plain(&self) -> String {
        let numbers = self.numbers.iter().map(u64::to_string).collect::<Vec<_>>();
        format!("v{}", numbers.join("."))
    }
}

impl Object for KubeVersion {
    fn type_name(&self) -> &'static str {
        "common.KubeVersion"
    }

    fn field(&self, name: &str) -> Option<Data> {
        Some(match name {
            "Version" | "GitVersion" => Data::from(self.full.as_str()),
            "String" => Data::from(self.plain()),
            "Major" => Data::from(self.numbers[0].to_string()),
            "Minor" => Data::from(self.numbers[1].to_string()),
            _ => return None,
        })
    }

    fn plain(&self) -> Data {
        Data::map(["Version", "Major", "Minor"].map(|name| (name, self.field(name).unwrap_or(Data::Nil))))
    }

    fn shown(&self) -> Option<String> {
        Some(KubeVersion::plain(self))
    }
}

struct ApiVersions(Rc<BTreeSet<String>>);

impl Object for ApiVersions {
    fn type_name(&self) -> &'static str {
        "common.VersionSet"
    }

    fn field(&self, _: &str) -> Option<Data> {
        None
    }

    fn method(&self, name: &str, call: &Call<'_, '_>) -> Option<Outcome> {
        (name == "Has").then(|| match call.arguments() {
            [Data::Text(version)] => Ok(Data::Bool(self.0.contains(version.str().as_ref()))),
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
        Some(match name {
            "KubeVersion" => Data::Object(self.kube.clone()),
            "APIVersions" => Data::Object(self.apis.clone()),
            "HelmVersion" => Data::Object(Rc::new(HelmVersion)),
            _ => return None,
        })
    }

    fn plain(&self) -> Data {
        Data::map(["KubeVersion", "APIVersions", "HelmVersion"].map(|n| (n, self.field(n).unwrap_or(Data::Nil))))
    }
}

/// Charts ask for the version of Helm to learn what templates can do.
struct HelmVersion;

impl Object for HelmVersion {
    fn type_name(&self) -> &'static str {
        "version.BuildInfo"
    }

    fn field(&self, name: &str) -> Option<Data> {
        Some(Data::from(match name {
            "Version" => HELM.0,
            "GitTreeState" => "clean",
            "KubeClientVersion" => HELM.1.rsplit_once('.').map_or(HELM.1, |(version, _)| version),
            "GitCommit" | "GoVersion" => "",
            _ => return None,
        }))
    }

    fn plain(&self) -> Data {
        let fields = [
            ("version", "Version"),
            ("git_commit", "GitCommit"),
            ("git_tree_state", "GitTreeState"),
            ("go_version", "GoVersion"),
            ("kube_client_version", "KubeClientVersion"),
        ];
        Data::map(fields.map(|(key, name)| (key, self.field(name).unwrap_or(Data::Nil))))
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
