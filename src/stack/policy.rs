//! Rules that plans must keep: `[[policy]]` of a stack, and files of the same tables. What they mean for a plan is
//! decided in `plan::policy`; here is how they are written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::diag::{Diagnostic, Diagnostics, Source};
use crate::stack::decode::{Decode, Decoder, Spanned, choice, table};
use crate::stack::leaf::{Dollars, NonEmpty};
use crate::stack::tree;

choice! {
    /// What it means that a plan breaks a rule.
    pub enum PolicySeverity {
        /// The plan is refused.
        Error = "error",
        /// It is said, and that is all.
        Warn = "warn",
    }
}

choice! {
    /// What may happen to a resource.
    pub enum PolicyAction {
        /// It is made.
        Create = "create",
        /// It is changed in place.
        Update = "update",
        /// It is deleted and made again.
        Replace = "replace",
        /// It is taken away, for good or to be made again.
        Delete = "delete",
        /// It is dropped from the state and stays where it is.
        Forget = "forget",
        /// It is there, and becomes the stack's.
        Adopt = "adopt",
        /// It is a hook, and runs.
        Run = "run",
    }
}

choice! {
    /// What has to be of one version only.
    pub enum PolicyPinned {
        /// Images: by digest, or by a tag that is not `latest`.
        Images = "images",
        /// Images: by digest.
        Digests = "digests",
        /// Charts of the stack's own: by one version, not a range.
        Charts = "charts",
        /// The cluster: by its `version`, not by its channel alone.
        Cluster = "cluster",
    }
}

choice! {
    /// What must not be reachable from everywhere.
    pub enum PolicyPrivate {
        /// The cluster's API: private, or for authorised networks only.
        ControlPlane = "control-plane",
        /// Whatever is in the cluster: no gateway, ingress or service with a public address.
        Services = "services",
    }
}

table! {
    /// A rule that every plan must keep: what may not happen, where, at what cost. It may ask for several things at once.
    pub struct Policy in "[[policy]]" {
        /// What the rule is called when it is broken.
        pub name: Spanned<NonEmpty>,
        /// Whether a plan that breaks it is refused ("error", the default), or only talked about ("warn").
        pub severity: Option<Spanned<PolicySeverity>>,
        /// Why it is there and what to do, for whoever breaks it.
        pub message: Option<Spanned<NonEmpty>>,
        /// What may not happen: create, update, replace, delete (replace included), forget, adopt, run.
        pub deny: Vec<Spanned<PolicyAction>>,
        /// Only for resources of these kinds: as ["gke.*", "PersistentVolumeClaim", "Deployment.apps"].
        pub kinds: Vec<Spanned<NonEmpty>>,
        /// Only for resources with these addresses; a star stands for anything: ["node_pools.*"].
        pub addresses: Vec<Spanned<NonEmpty>>,
        /// Exceptions: resources and components that it does not hold for, by address.
        pub unless: Vec<Spanned<NonEmpty>>,
        /// US dollars a day that the stack may cost once the plan is carried out.
        pub max_per_day: Option<Spanned<Dollars>>,
        /// US dollars an hour that it may cost.
        pub max_per_hour: Option<Spanned<Dollars>>,
        /// Regions and zones that clusters and nodes may be in: ["europe-west4"] stands for its zones as well.
        pub locations: Vec<Spanned<NonEmpty>>,
        /// What has to be of one version only: images, digests, charts, cluster.
        pub pinned: Vec<Spanned<PolicyPinned>>,
        /// What must not be reachable from everywhere: control-plane, services.
        pub private: Vec<Spanned<PolicyPrivate>>,
        /// The longest time to live; the stack must have one.
        pub max_ttl: Option<Spanned<Duration>>,
    }
}

impl Policy {
    /// Whether it asks for anything.
    pub fn asks(&self) -> bool {
        let lists = [
            self.deny.is_empty(),
            self.locations.is_empty(),
            self.pinned.is_empty(),
            self.private.is_empty(),
            self.max_per_day.is_none(),
            self.max_per_hour.is_none(),
            self.max_ttl.is_none(),
        ];
        !lists.iter().all(|none| *none)
    }

    /// What is wrong with it by itself.
    pub(crate) fn mistake(&self) -> Option<Diagnostic> {
        (!self.asks()).then(|| {
            Diagnostic::error(format!("the policy {} asks for nothing", &*self.name.value))
                .at(self.name.span.clone(), "no plan can break it")
                .hint("give it deny, locations, pinned, private, max_per_day, max_per_hour or max_ttl")
        })
    }

    /// Whether a plan that breaks it is refused.
    pub fn refuses(&self) -> bool {
        self.severity.as_ref().is_none_or(|severity| severity.value == PolicySeverity::Error)
    }
}

table! {
    /// Rules for plans of any stack.
    pub struct PolicyFile in "a policy file" {
        /// The rules.
        pub policy: Vec<Policy>,
    }
}

/// Reads a file of rules.
///
/// # Errors
/// All its mistakes.
pub fn policies(source: &Arc<Source>) -> Result<Vec<Policy>, Diagnostics> {
    let (tree, mut mistakes) = tree::read(source);
    let none = BTreeMap::new();
    let mut decoder = Decoder::new(&none);
    let file = PolicyFile::decode(&tree, &mut decoder);
    if mistakes.is_empty() {
        mistakes = decoder.mistakes;
        mistakes.append(&mut decoder.gaps);
    }
    let rules = file.map(|file| file.policy).unwrap_or_default();
    if mistakes.is_empty() {
        mistakes.extend(rules.iter().filter_map(Policy::mistake));
    }
    if mistakes.is_empty() && rules.is_empty() {
        let empty = Diagnostic::error(format!("{} has no rule", source.name)).hint("write one as [[policy]]");
        return Err(empty.into());
    }
    if mistakes.is_empty() { Ok(rules) } else { Err(Diagnostics(mistakes)) }
}
