//! In whose words a plan is told: our own kinds and attributes, or those of Terraform's providers.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::address::Address;
use crate::plan::model::ResourceChange;
use crate::ui::terraform;
use crate::value::Value;

/// In whose words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Ours.
    #[default]
    Own,
    /// Those of Terraform's google and kubernetes providers, with the names that most rules are written for.
    Terraform,
    /// The same, with the versioned names of the kubernetes provider's types: `kubernetes_deployment_v1`.
    TerraformV1,
}

/// Where a resource stands in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The whole address.
    pub address: String,
    /// The type.
    pub kind: String,
    /// The name within the type.
    pub name: String,
    /// Which of several.
    pub index: Option<String>,
    /// Who carries it out.
    pub provider: &'static str,
}

impl Dialect {
    /// Whether the words are Terraform's.
    pub fn is_terraform(self) -> bool {
        self != Dialect::Own
    }

    /// Where a resource stands; its attributes say what a Kubernetes object is.
    pub fn place(self, address: &Address, kind: &str) -> Place {
        match self {
            Dialect::Own => Place {
                address: address.to_string(),
                kind: kind.to_owned(),
                name: match address.object_key() {
                    Some(key) => key.to_owned(),
                    None => address.component().rsplit('.').next().unwrap_or_default().to_owned(),
                },
                index: None,
                provider: match kind.split('.').next() {
                    Some("gke") => "stackwright/google",
                    Some("k8s") => "stackwright/kubernetes",
                    _ => "stackwright/value",
                },
            },
            Dialect::Terraform | Dialect::TerraformV1 => terraform::place(address, kind, self == Dialect::TerraformV1),
        }
    }

    /// A resource's attributes. Of one that is `made`, what only the platform can tell is not known yet.
    pub fn attributes<'v>(
        self,
        place: &Place,
        (address, kind): (&Address, &str),
        value: &'v Value,
        made: bool,
    ) -> Cow<'v, Value> {
        match self {
            Dialect::Own => Cow::Borrowed(value),
            Dialect::Terraform | Dialect::TerraformV1 => {
                Cow::Owned(terraform::attributes(&place.kind, address, kind, value, made))
            }
        }
    }

    /// An attribute's path.
    pub fn path(self, place: &Place, change: &ResourceChange, path: &[String]) -> Vec<Json> {
        match self {
            Dialect::Own => path.iter().map(|key| Json::from(key.as_str())).collect(),
            Dialect::Terraform | Dialect::TerraformV1 => terraform::path(&place.kind, &change.kind, path),
        }
    }

    /// A reference to what is read of a resource.
    pub fn reference(self, place: &Place, path: &[String]) -> String {
        let mut text = place.address.clone();
        for key in path {
            match key.parse::<usize>() {
                Ok(at) if self.is_terraform() => text.push_str(&format!("[{at}]")),
                _ => text.push_str(&format!(".{key}")),
            }
        }
        text
    }
}
