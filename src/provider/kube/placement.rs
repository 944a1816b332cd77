//! A pod that no node takes: whether one of those that are there, or one more like them, ever will.
//!
//! The scheduler's objections are about what a node is (its labels, its taints, its size), which nobody changes, or about
//! what runs on it, which may go. Pure over the scheduler's words, the nodes and the pod.

use serde_json::Value as Json;

use super::patience::{ABSENT, DEVICE, End};
use crate::env::clock::Timestamp;
use crate::openapi::quantity::Quantity;

/// Taints that come and go with a node's state.
const PASSING: &[&str] = &["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "cloud.google.com/impending"];

/// When the wait for a node ends. `said` is the condition `PodScheduled`; `grows` whether an autoscaler has said that
/// it makes one.
pub fn end(pod: &Json, said: &Json, nodes: &[Json], grows: bool) -> End {
    let message = said["message"].as_str().unwrap_or_default();
    if grows || nodes.is_empty() {
        return End::Open;
    }
    let Some(objections) = objections(message) else { return End::Open };
    let mut patience = ABSENT;
    for objection in objections {
        match kind(objection) {
            Objection::Nature => {}
            Objection::Want(resource) => {
                if is_had(pod, resource, nodes) {
                    return End::Open;
                }
                if resource.contains('/') {
                    patience = DEVICE;
                }
            }
            Objection::Passing => return End::Open,
        }
    }
    // A node that has only just come may still get its labels.
    let time = |object: &Json, pointer: &str| {
        object.pointer(pointer).and_then(Json::as_str).and_then(Timestamp::parse).unwrap_or_default()
    };
    let born = nodes.iter().map(|node| time(node, "/metadata/creationTimestamp"));
    let since = born.chain([time(said, "/lastTransitionTime")]).max();
    End::Lasting(patience, since)
}

/// What the pod asks for of a resource, that no node has to give at all, for the text of the cause.
pub fn lacking(pod: &Json, said: &Json, nodes: &[Json]) -> Option<String> {
    let message = said["message"].as_str().unwrap_or_default();
    let wants = objections(message)?.into_iter().filter_map(|objection| match kind(objection) {
        Objection::Want(resource) if !is_had(pod, resource, nodes) => Some(resource.to_owned()),
        _ => None,
    });
    wants.into_iter().next()
}

enum Objection<'a> {
    /// About what a node is.
    Nature,
    /// About how much of a resource is left.
    Want(&'a str),
    /// About what may be otherwise in a moment.
    Passing,
}

/// `1 node(s) had …, 2 Insufficient cpu` of the scheduler's sentence, one by one without their counts.
fn objections(message: &str) -> Option<Vec<&str>> {
    let list = message.split_once(" nodes are available: ")?.1;
    let end = list.find(". ").unwrap_or(list.len());
    let each = list[..end].trim_end_matches('.').split(", ");
    Some(each.map(|one| one.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start()).collect())
}

fn kind(objection: &str) -> Objection<'_> {
    if let Some(resource) = objection.strip_prefix("Insufficient ") {
        return Objection::Want(resource);
    }
    if objection.contains("untolerated taint") {
        return if PASSING.iter().any(|key| objection.contains(key)) { Objection::Passing } else { Objection::Nature };
    }
    let nature = ["didn't match Pod's node affinity/selector", "had volume node affinity conflict"];
    if nature.iter().any(|words| objection.contains(words)) { Objection::Nature } else { Objection::Passing }
}

/// Whether some node has, when nothing runs on it, as much of a resource as the pod asks for.
fn is_had(pod: &Json, resource: &str, nodes: &[Json]) -> bool {
    let amount = |value: &Json| Quantity::of(value).map(|quantity| quantity.nanos());
    let containers = pod.pointer("/spec/containers").and_then(Json::as_array).into_iter().flatten();
    let wanted = containers.filter_map(|container| {
        let of = |list: &str| container.pointer(&format!("/resources/{list}")).and_then(|all| all.get(resource));
        amount(of("requests").or_else(|| of("limits"))?)
    });
    let wanted: i128 = wanted.sum();
    let had = nodes.iter().filter_map(|node| amount(node.pointer("/status/allocatable")?.get(resource)?));
    had.max().unwrap_or_default() >= wanted.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(gpus: &str) -> Json {
        json!({"metadata": {"creationTimestamp": "2026-01-01T00:01:00Z"},
            "status": {"allocatable": {"cpu": "3920m", "nvidia.com/gpu": gpus}}})
    }

    fn ends(message: &str, nodes: &[Json]) -> End {
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": 1}}}]}});
        let said = json!({"message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"});
        end(&pod, &said, nodes, false)
    }

    #[test]
    fn what_a_node_is_does_not_change_and_what_runs_on_it_does() {
        let since = Timestamp::parse("2026-01-01T00:01:00Z");
        let taint = "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated \
                     taint {nvidia.com/gpu: present}. no new claims to deallocate, preemption: 0/2 nodes are available: 2 \
                     Preemption is not helpful for scheduling.";
        assert_eq!(ends(taint, &[node("1")]), End::Lasting(ABSENT, since));
        let lost = taint.replace("nvidia.com/gpu: present", "node.kubernetes.io/unreachable: ");
        assert_eq!(ends(&lost, &[node("1")]), End::Open);
        let full = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available.";
        assert_eq!(ends(full, &[node("1")]), End::Open, "somebody else has it");
        assert_eq!(ends(full, &[node("0")]), End::Lasting(DEVICE, since), "nobody has any");
        assert_eq!(ends("no nodes available to schedule pods", &[]), End::Open);
        assert_eq!(
            ends("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims", &[node("1")]),
            End::Open
        );
    }
}
