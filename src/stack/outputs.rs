//! What references may name: the outputs of each type of component.
//!
//! The catalogue gives them their values; a name here without a value there is a mistake of ours.

/// One output of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownOutput {
    /// The section: `cluster`, `node_pools`.
    pub section: &'static str,
    /// The output's name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether keys may follow: `values.x.output.some.key`.
    pub deep: bool,
}

const fn flat(section: &'static str, name: &'static str, about: &'static str) -> KnownOutput {
    KnownOutput { section, name, about, deep: false }
}

/// All of them.
pub const OUTPUTS: &[KnownOutput] = &[
    flat("cluster", "name", "the cluster's name"),
    flat("cluster", "project", "the project it is in"),
    flat("cluster", "location", "the zone or region it was made in"),
    flat("cluster", "endpoint", "the address of its control plane"),
    flat("cluster", "ca_certificate", "the certificate that its control plane is known by, PEM"),
    flat("cluster", "id", "the id that Google gave it"),
    flat("cluster", "version", "the Kubernetes version of its control plane"),
    flat("cluster", "self_link", "its address in Google's API"),
    flat("cluster", "node_tag", "the network tag of its nodes, for firewall rules"),
    flat("node_pools", "name", "the pool's name"),
    flat("node_pools", "version", "the Kubernetes version of its nodes"),
    flat("node_pools", "machine_type", "the type of its machines"),
    flat("node_pools", "location", "the zone or region of its nodes"),
    flat("node_pools", "self_link", "its address in Google's API"),
    flat("addons", "namespace", "the namespace that it runs in"),
    flat("addons", "version", "the version that is installed"),
    flat("gateway", "address", "the address of its load balancer"),
    flat("gateway", "url", "the address with its scheme: https://203.0.113.7"),
    flat("gateway", "name", "the Gateway's name"),
    flat("gateway", "namespace", "the Gateway's namespace"),
    flat("gateway", "ca_certificate", "the certificate authority that signed its certificate, PEM"),
    flat("workloads", "url", "the base address of its OpenAI API, without /v1"),
    flat("workloads", "model", "the model name to ask for"),
    flat("workloads", "name", "the name of its service"),
    flat("workloads", "namespace", "the namespace that it runs in"),
    flat("charts", "namespace", "the namespace that it is installed in"),
    flat("charts", "version", "the chart's version"),
    flat("manifests", "namespace", "the namespace of objects that name none"),
    flat("values", "id", "a text that stays the same while the value exists"),
    KnownOutput { section: "values", name: "output", about: "the input, once it is stored", deep: true },
];

/// The outputs of the components of a section.
pub fn of_section(section: &str) -> impl Iterator<Item = &'static KnownOutput> {
    OUTPUTS.iter().filter(move |output| output.section == section)
}
