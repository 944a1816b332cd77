//! Conditions by which a controller says that it will not go on: one table of reasons.
//!
//! Pure over JSON. Gateways and routes carry conditions by listener and by parent as well as their own.

use serde_json::Value as Json;

use super::patience::{ABSENT, DECIDED, End, Explanation, SUPPLY};
use super::status::describe;
use crate::env::clock::Timestamp;

/// Reasons of conditions that are False, and how long they must have been so.
const REASONS: &[(&str, End)] = &[
    // Gateway API: who may use what.
    ("NotAllowedByListeners", End::Lasting(DECIDED, None)),
    ("NoMatchingParent", End::Lasting(DECIDED, None)),
    ("NoMatchingListenerHostname", End::Lasting(DECIDED, None)),
    ("RefNotPermitted", End::Lasting(DECIDED, None)),
    ("UnsupportedProtocol", End::Lasting(DECIDED, None)),
    ("UnsupportedValue", End::Lasting(DECIDED, None)),
    ("InvalidParameters", End::Lasting(DECIDED, None)),
    ("UnsupportedAddress", End::Lasting(DECIDED, None)),
    // … and what is not there: a route may precede its backend, a listener its certificate. KServe moves its routes to
    // the other version of InferencePool when it meets InvalidKind.
    ("BackendNotFound", End::Lasting(ABSENT, None)),
    ("InvalidKind", End::Lasting(ABSENT, None)),
    ("InvalidDestination", End::Lasting(ABSENT, None)),
    ("InvalidExtensionRef", End::Lasting(ABSENT, None)),
    ("InvalidCertificateRef", End::Lasting(ABSENT, None)),
    // cert-manager's issuers.
    ("ErrGetKeyPair", End::Lasting(ABSENT, None)),
    ("ErrInvalidKeyPair", End::Lasting(DECIDED, None)),
    ("ErrInitIssuer", End::Lasting(ABSENT, None)),
    // KServe.
    ("RefsInvalid", End::Lasting(ABSENT, None)),
    ("ScalingCRDNotFound", End::Lasting(ABSENT, None)),
    // Operators whose dependencies come with the same stack, each in its own time.
    ("IstioCNINotFound", End::Lasting(SUPPLY, None)),
    ("MissingDependency", End::Lasting(SUPPLY, None)),
];

/// What a controller has decided against, if anything.
pub fn decided(object: &Json) -> Option<Explanation> {
    let generation = object.pointer("/metadata/generation").and_then(Json::as_i64).unwrap_or_default();
    let own = entries(object, "/status/conditions").map(|condition| (String::new(), condition));
    let listeners = entries(object, "/status/listeners").flat_map(|listener| {
        let name = listener["name"].as_str().unwrap_or_default();
        entries(listener, "/conditions").map(move |condition| (format!(" of the listener {name}"), condition))
    });
    let parents = entries(object, "/status/parents").flat_map(|parent| {
        let name = parent.pointer("/parentRef/name").and_then(Json::as_str).unwrap_or_default();
        entries(parent, "/conditions").map(move |condition| (format!(" by the gateway {name}"), condition))
    });
    let found = listeners.chain(parents).chain(own).filter_map(|(place, condition)| {
        let (_, end) = REASONS.iter().find(|(reason, _)| condition["reason"] == *reason)?;
        let stale = condition["observedGeneration"].as_i64().is_some_and(|seen| seen < generation);
        (condition["status"] == "False" && !stale).then(|| explain(&place, condition, *end))
    });
    // The soonest end first; of the same, the first that is said.
    found.min_by_key(|(patience, _)| *patience).map(|(_, explanation)| explanation)
}

fn explain(place: &str, condition: &Json, end: End) -> (std::time::Duration, Explanation) {
    let said = describe(&format!("{}{place}", condition["type"].as_str().unwrap_or_default()), condition);
    let since = condition["lastTransitionTime"].as_str().and_then(Timestamp::parse);
    match end {
        End::Lasting(patience, _) => (patience, Explanation::ending(said, End::Lasting(patience, since))),
        other => (std::time::Duration::ZERO, Explanation::ending(said, other)),
    }
}

fn entries<'a>(object: &'a Json, pointer: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    object.pointer(pointer).and_then(Json::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_parents_refusal_is_a_decision_and_an_unknown_reason_is_none() {
        let route = |reason: &str, status: &str, seen: i64| {
            json!({"metadata": {"generation": 2}, "status": {"parents": [{"parentRef": {"name": "g"}, "conditions": [
                {"type": "Accepted", "status": status, "reason": reason, "message": "no", "observedGeneration": seen,
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}]}]}})
        };
        let found = decided(&route("NotAllowedByListeners", "False", 2)).expect("a decision");
        assert_eq!(found.causes, ["Accepted by the gateway g is False (NotAllowedByListeners): no"]);
        assert_eq!(found.end, End::Lasting(DECIDED, Timestamp::parse("2026-01-01T00:00:00Z")));
        assert_eq!(decided(&route("NotAllowedByListeners", "False", 1)), None, "of an earlier generation");
        assert_eq!(decided(&route("NotAllowedByListeners", "True", 2)), None);
        assert_eq!(decided(&route("Pending", "False", 2)), None);
    }

    #[test]
    fn a_listeners_certificate_gets_more_time_than_a_refused_reference() {
        let gateway = json!({"status": {"listeners": [
            {"name": "a", "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "InvalidCertificateRef"}]},
            {"name": "b", "conditions": [{"type": "ResolvedRefs", "status": "False", "reason": "RefNotPermitted"}]},
        ]}});
        let found = decided(&gateway).expect("a decision");
        assert_eq!(found.causes, ["ResolvedRefs of the listener b is False (RefNotPermitted)"]);
        assert_eq!(found.end, End::Lasting(DECIDED, None));
    }
}
