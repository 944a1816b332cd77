//! Kubernetes objects: the kind `k8s.object`, for any cluster that a connection describes.
//!
//! Attributes are the manifest. A connection is a map `{endpoint, ca_certificate?, token?}`: the outputs of
//! a `gke.cluster`; objects without one live in the cluster of a kubeconfig. Outputs are the live object without its managed fields; a
//! cert-manager Certificate also shows `secret["ca.crt"]` and `secret["tls.crt"]` of the Secret that it fills, as PEM.

mod apply;
mod causes;
pub mod client;
mod compare;
mod decided;
mod delete;
mod discovery;
pub mod driver;
mod fields;
mod find;
mod forward;
pub mod given;
pub mod hook;
pub mod immutable;
mod last_words;
mod live;
pub mod look;
pub mod object;
mod patience;
mod placement;
mod read;
mod refusal;
mod settle;
pub mod site;
pub mod status;
mod stored;
mod supplies;
pub mod tenants;
mod transport;
