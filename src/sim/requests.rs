//! What a simulated world was asked since it was opened, by kind of request, and what its rules did to which kind.
//!
//! A kind is a method and a path with `*` for every name in it, so that it is a pattern of `faults` as well. In
//! memory, for whoever tests a client: counts (`GET /sim/v1/requests`), and the latest refusals in their words.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::env::clock::Timestamp;

/// How many refusals are kept.
const REFUSALS: usize = 2000;

/// One kind's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How many came.
    pub asked: u64,
    /// How often which rule struck: `http-429`, `lost-answer`, `delay`.
    pub struck: BTreeMap<String, u64>,
}

/// A request that was answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When it was answered.
    pub at: Timestamp,
    /// What was asked: method and path, names included.
    pub asked: String,
    /// HTTP status.
    pub code: u16,
    /// The answer's message.
    pub message: String,
}

/// The counts of one simulator.
#[derive(Debug)]
pub struct Requests {
    kinds: Mutex<BTreeMap<String, Count>>,
    refused: Mutex<VecDeque<Refused>>,
    total: watch::Sender<u64>,
}

impl Default for Requests {
    fn default() -> Self {
        Requests { kinds: Mutex::default(), refused: Mutex::default(), total: watch::Sender::new(0) }
    }
}

impl Requests {
    /// Counts a request; `struck` says what happens to it.
    pub(super) fn count(&self, method: &str, path: &str, struck: Option<&str>) {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let count = kinds.entry(kind(method, path)).or_default();
        count.asked += 1;
        if let Some(struck) = struck {
            *count.struck.entry(struck.to_owned()).or_default() += 1;
        }
        drop(kinds);
        self.total.send_modify(|total| *total += 1);
    }

    /// Notes an answer that was an error. Reads of what is not there are none.
    pub(super) fn refuse(&self, refused: Refused) {
        if refused.code == 404 && refused.asked.starts_with("GET ") {
            return;
        }
        let mut all = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == REFUSALS {
            all.pop_front();
        }
        all.push_back(refused);
    }

    /// The latest refusals, oldest first.
    pub fn refused(&self) -> Vec<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// All kinds so far: `POST /v1/projects/*/locations/*/clusters`.
    pub fn kinds(&self) -> BTreeMap<String, Count> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests there were, and will be.
    pub fn total(&self) -> watch::Receiver<u64> {
        self.total.subscribe()
    }

    /// As `/sim/v1/requests` answers.
    pub(super) fn document(&self) -> Json {
        let kinds = self.kinds().into_iter();
        let kinds = kinds.map(|(kind, count)| (kind, json!({"asked": count.asked, "struck": count.struck})));
        json!({"total": *self.total.borrow(), "kinds": kinds.collect::<serde_json::Map<_, _>>()})
    }
}

/// The kind of a request.
pub fn kind(method: &str, path: &str) -> String {
    let segments = path.trim_start_matches('/').split('/').collect::<Vec<_>>();
    let pattern = match segments.as_slice() {
        ["api", version, rest @ ..] => [&["api", version], objects(rest).as_slice()].concat().join("/"),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => {
            [&["apis", group, version], objects(rest).as_slice()].concat().join("/")
        }
        ["api" | "apis" | "openapi" | "version" | "healthz" | "livez" | "readyz", ..] => segments.join("/"),
        _ => collections(&segments),
    };
    format!("{method} /{pattern}")
}

/// A path of Kubernetes below its version, with `*` for names.
fn objects<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    let (mut pattern, rest) = match rest {
        ["namespaces", _, plural, tail @ ..] if !matches!(*plural, "status" | "finalize") => {
            (vec!["namespaces", "*", *plural], tail)
        }
        [plural, tail @ ..] => (vec![*plural], tail),
        [] => (Vec::new(), rest),
    };
    if let Some((_, subresource)) = rest.split_first() {
        pattern.push("*");
        pattern.extend(subresource);
    }
    pattern
}

/// A path of Google's, where each collection is followed by a name; a verb after a colon stays.
fn collections(segments: &[&str]) -> String {
    const ALONE: &[&str] =
        &["v1", "v1beta1", "v3", "beta", "compute", "storage", "upload", "download", "aggregated", "global"];
    let (mut pattern, mut names) = (Vec::new(), false);
    for segment in segments {
        if names {
            pattern.push(segment.split_once(':').map_or("*".to_owned(), |(_, verb)| format!("*:{verb}")));
        } else {
            pattern.push((*segment).to_owned());
        }
        names = !names && !ALONE.contains(segment);
    }
    pattern.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_path_without_names() {
        let cases = [
            ("/v1/projects/p/locations/l/clusters", "/v1/projects/*/locations/*/clusters"),
            ("/v1/projects/p/locations/l/clusters/c", "/v1/projects/*/locations/*/clusters/*"),
            (
                "/v1/projects/p/locations/l/clusters/c/nodePools/n:setSize",
                "/v1/projects/*/locations/*/clusters/*/nodePools/*:setSize",
            ),
            ("/compute/v1/projects/p/aggregated/disks", "/compute/v1/projects/*/aggregated/disks"),
            ("/compute/v1/projects/p/zones/z/disks/d", "/compute/v1/projects/*/zones/*/disks/*"),
            ("/compute/v1/projects/p/global/firewalls/f", "/compute/v1/projects/*/global/firewalls/*"),
            ("/v3/projects/p:testIamPermissions", "/v3/projects/*:testIamPermissions"),
            ("/api/v1/namespaces", "/api/v1/namespaces"),
            ("/api/v1/namespaces/n", "/api/v1/namespaces/*"),
            ("/api/v1/namespaces/n/status", "/api/v1/namespaces/*/status"),
            ("/api/v1/namespaces/n/pods/p/log", "/api/v1/namespaces/*/pods/*/log"),
            ("/apis/apps/v1/deployments", "/apis/apps/v1/deployments"),
            ("/apis/apps/v1/namespaces/n/deployments/d", "/apis/apps/v1/namespaces/*/deployments/*"),
            ("/apis", "/apis"),
            ("/apis/apps/v1", "/apis/apps/v1"),
        ];
        for (path, pattern) in cases {
            assert_eq!(kind("GET", path), format!("GET {pattern}"));
            assert!(super::super::faults::glob(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn refusals_are_kept_but_for_reads_of_nothing() {
        let requests = Requests::default();
        let refused =
            |asked: &str, code| Refused { at: Timestamp(1), asked: asked.to_owned(), code, message: "no".to_owned() };
        requests.refuse(refused("GET /api/v1/pods/p", 404));
        for _ in 0..REFUSALS + 3 {
            requests.refuse(refused("PATCH /api/v1/pods/p", 403));
        }
        assert_eq!(requests.refused().len(), REFUSALS);
        assert!(requests.refused().iter().all(|refused| refused.code == 403));
    }

    #[test]
    fn counts_by_kind() {
        let requests = Requests::default();
        requests.count("GET", "/api/v1/pods", None);
        requests.count("GET", "/api/v1/pods", Some("http-429"));
        assert_eq!(*requests.total().borrow(), 2);
        let expected = json!({"total": 2, "kinds": {"GET /api/v1/pods": {"asked": 2, "struck": {"http-429": 1}}}});
        assert_eq!(requests.document(), expected);
    }
}
