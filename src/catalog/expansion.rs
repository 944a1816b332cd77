//! What all components write into while a stack is expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::{Address, Identity, ObjectKey};
use crate::catalog::{ceded, documents, timing};
use crate::diag::{Diagnostic, Severity, Span};
use crate::resource::model::{Ceded, Crowded, Need, Proof, Resource};
use crate::stack::model::{Addon, Distribution};
use crate::stack::{AddressText, Spanned, Stack};
use crate::value::{Template, Value};

/// Where objects come from that stand in for a chart.
pub const STAND_IN: &str = "stand-in";

/// The state of one expansion.
pub(super) struct Expansion<'a> {
    pub(super) stack: &'a Stack,
    pub(super) resources: Vec<Resource>,
    pub(super) proofs: Vec<Proof>,
    pub(super) crowded: BTreeMap<Address, Crowded>,
    pub(super) found: Vec<Diagnostic>,
    /// What the user says of his own objects: each, and what it waits for.
    pub(super) depending: Vec<(Address, &'a [Spanned<AddressText>])>,
    /// Values of the outputs that components offer, by component.
    outputs: BTreeMap<String, BTreeMap<&'static str, Value>>,
    places: BTreeMap<Identity, usize>,
    /// Namespaces that something lives in and nobody has declared.
    implied: BTreeSet<Identity>,
}

/// One object to add.
pub(super) struct NewObject<'o> {
    /// The component that it belongs to.
    pub(super) component: &'o str,
    /// The manifest.
    pub(super) manifest: Value,
    /// Where it comes from, if that is worth showing.
    pub(super) origin: Option<&'o str>,
    /// The component's `timeout`, for things that take their time.
    pub(super) timeout: Option<Duration>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Expansion {
            stack,
            resources: Vec::new(),
            proofs: Vec::new(),
            crowded: BTreeMap::new(),
            found: Vec::new(),
            depending: Vec::new(),
            outputs: BTreeMap::new(),
            places: BTreeMap::new(),
            implied: BTreeSet::new(),
        }
    }

    /// An add-on of the stack.
    pub(super) fn addon(&self, name: &str) -> Option<&'a Addon> {
        self.stack.addons.get(name)
    }

    /// The distribution of an add-on; upstream when the stack has no such add-on.
    pub(super) fn distribution(&self, addon: &str) -> Distribution {
        self.addon(addon).and_then(|addon| addon.distribution.as_ref()).map_or(Distribution::Upstream, |d| d.value)
    }

    /// Whether the stack has the add-on in Red Hat's build, which an operator installs.
    pub(super) fn is_rhaii(&self, addon: &str) -> bool {
        self.distribution(addon) == Distribution::Rhaii
    }

    /// Reports a mistake or a warning.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Whether a mistake was reported.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Adds a resource that is no Kubernetes object.
    pub(super) fn add(&mut self, resource: Resource) {
        self.places.insert(resource.address.identity(), self.resources.len());
        self.resources.push(resource);
    }

    /// The resource that says how to reach the cluster: the cluster, unless a kubeconfig gives it.
    pub(super) fn connection(&self) -> Option<Address> {
        self.stack.cluster.as_ref().filter(|cluster| !cluster.is_given()).map(|_| Address::new("cluster"))
    }

    /// Adds a Kubernetes object, or says why it cannot be added.
    pub(super) fn object(&mut self, new: NewObject<'_>) -> Address {
        self.declare(new).unwrap_or_else(|address| address)
    }

    /// The same; the address is an error where it was not added.
    pub(super) fn declare(&mut self, new: NewObject<'_>) -> Result<Address, Address> {
        let key = documents::key(&new.manifest);
        let address = Address::object(new.component, &key);
        let identity = address.identity();
        let mut manifest = new.manifest;
        let place = self.places.get(&identity).copied();
        if let Some(at) = place.filter(|_| !self.implied.contains(&identity)) {
            let other = &self.resources[at].address;
            let both = format!("{other} and {address} are the same object of the cluster");
            let next = "leave it out of one of them";
            self.found.push(Diagnostic::error(both).hint(next).about(address.clone()));
            return Err(address);
        }
        if let Some(at) = place {
            label_as(&mut manifest, &self.resources[at].attrs);
        }
        let timing = timing::object(&key.group, &key.kind);
        let slow = timing.estimate >= Duration::from_secs(30);
        let resource = Resource {
            address: address.clone(),
            kind: "k8s.object",
            ceded: ceded::of(&manifest),
            attrs: manifest.into(),
            needs: Vec::new(),
            connection: self.connection(),
            timeout: new.timeout.filter(|_| slow).unwrap_or(timing.timeout),
            estimate: timing.estimate,
            origin: new.origin.map(str::to_owned),
        };
        match place {
            None => self.add(resource),
            Some(at) => {
                // Whoever declares a namespace has it; the others only live in it.
                self.implied.remove(&identity);
                self.resources[at] = resource;
            }
        }
        Ok(address)
    }

    /// Adds a hook, or says why it cannot be added.
    pub(super) fn hook(&mut self, hook: Resource) -> Address {
        let address = hook.address.clone();
        match self.places.get(&address.identity()) {
            Some(&at) => {
                let both = format!("{} and {address} are the same hook", self.resources[at].address);
                let next = "leave it out of one of them";
                self.found.push(Diagnostic::error(both).hint(next).about(address.clone()));
            }
            None => self.add(hook),
        }
        address
    }

    /// Adds an object of the catalogue's own, from JSON.
    pub(super) fn own(&mut self, component: &str, manifest: &serde_json::Value) -> Address {
        self.object(NewObject { component, manifest: Value::from_json(manifest), origin: None, timeout: None })
    }

    /// Adds the namespace that a component lives in, unless some component has added it before. Where something of the
    /// stack declares it later, it is that one's, with these labels where it has no others.
    pub(super) fn namespace(&mut self, component: &str, name: &str, labels: &[(&str, &str)]) {
        let key = ObjectKey { group: String::new(), kind: "Namespace".into(), namespace: None, name: name.to_owned() };
        if self.find(&key.to_string()).is_none() {
            let mut manifest = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            for (key, value) in labels {
                manifest["metadata"]["labels"][*key] = (*value).into();
            }
            let address = self.own(component, &manifest);
            self.implied.insert(address.identity());
        }
    }

    /// The address of an object, by the text of its key: `Istio.sailoperator.io/default`.
    pub(super) fn find(&self, key: &str) -> Option<Address> {
        self.places.get(key).map(|&at| self.resources[at].address.clone())
    }

    /// The resource of that address, to be changed.
    pub(super) fn resource(&mut self, address: &Address) -> Option<&mut Resource> {
        let at = *self.places.get(&address.identity())?;
        self.resources.get_mut(at)
    }

    /// Says that `dependent` needs `on`, a resource or a component, and why.
    pub(super) fn need(&mut self, dependent: &Address, on: Address, reason: &str) {
        let need = Need { on, reason: reason.to_owned() };
        if need.on == *dependent {
            return;
        }
        if let Some(resource) = self.resource(dependent)
            && !resource.needs.contains(&need)
        {
            resource.needs.push(need);
        }
    }

    /// The same, when the stack has the object.
    pub(super) fn need_object(&mut self, dependent: &Address, key: &str, reason: &str) {
        if let Some(on) = self.find(key) {
            self.need(dependent, on, reason);
        }
    }

    /// The same for a component, when the stack has anything of it.
    pub(super) fn need_component(&mut self, dependent: &Address, component: &str, reason: &str) {
        if self.resources.iter().any(|resource| resource.address.component() == component) {
            self.need(dependent, Address::new(component), reason);
        }
    }

    /// Offers an output of a component.
    pub(super) fn offer(&mut self, component: &str, name: &'static str, value: impl Into<Value>) {
        self.outputs.entry(component.to_owned()).or_default().insert(name, value.into());
    }

    /// The value of a component's output.
    pub(super) fn output(&self, component: &str, name: &str) -> Option<&Value> {
        self.outputs.get(component)?.get(name)
    }

    /// All outputs that are not those of resources.
    pub(super) fn offered(&self) -> &BTreeMap<String, BTreeMap<&'static str, Value>> {
        &self.outputs
    }

    /// Cedes a field of an object.
    pub(super) fn cede(&mut self, address: &Address, ceded: Ceded) {
        if let Some(resource) = self.resource(address)
            && !resource.ceded.contains(&ceded)
        {
            resource.ceded.push(ceded);
        }
    }
}

/// Gives a manifest the labels of another that it has not.
fn label_as(manifest: &mut Value, other: &Value) {
    for (key, value) in other.at(&["metadata", "labels"]).and_then(Value::as_map).into_iter().flatten() {
        let path = ["metadata", "labels", key];
        if manifest.at(&path).is_none() {
            documents::set(manifest, &path, value.clone());
        }
    }
}

/// A reference to a field of an object.
pub(super) fn field(address: &Address, path: &[&str]) -> Template {
    Template::reference(address.clone(), path.iter().map(|key| (*key).to_owned()).collect())
}

/// An error about a place in the stack file.
pub(super) fn mistake(summary: impl Into<String>, span: &Span, label: &str) -> Diagnostic {
    Diagnostic::error(summary).at(span.clone(), label)
}
