//! Edges that Kubernetes objects imply by themselves.

use crate::address::Address;
use crate::resource::model::Resource;

/// Every (dependent, dependency, reason) that the objects imply.
pub fn infer(resources: &[Resource]) -> Vec<(Address, Address, String)> {
    let _ = resources;
    Vec::new()
}
