//! What is seen outside of clusters: whether the cluster is there, how it and its pools stand, what the place offers.

use std::collections::BTreeMap;

use super::{Looker, Question, unseen};
use crate::diagnosis::facts::{Facts, Reach, Subject};
use crate::engine::refresh::{Sight, refresh};
use crate::ops::preview::ownership;
use crate::platform::preflight::{Verdict, Wanted};
use crate::platform::standing::Thing;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::model::Desired;
use crate::value::Value;

/// Looks, and says how the inside of the cluster is reached: nothing where there is none, `Some(None)` for the cluster of a
/// kubeconfig.
pub(super) async fn look(
    looker: &Looker<'_>,
    desired: &Desired,
    question: &Question<'_>,
    facts: &mut Facts,
) -> Option<Option<Value>> {
    let has_objects = desired.resources.iter().any(|resource| resource.kind == "k8s.object");
    let Some(cluster) = desired.resources.iter().find(|resource| resource.kind == "gke.cluster") else {
        facts.reach = if has_objects { Reach::There } else { Reach::Unwanted };
        return has_objects.then_some(None);
    };
    let text = |key| cluster.attrs.get(key).and_then(Value::as_str).unwrap_or_default();
    let (things, observed) = futures_util::join!(
        looker.once(looker.platforms.site.standing(&cluster.attrs)),
        observe(looker, desired, question),
    );
    facts.things = things.unwrap_or_else(|error| {
        facts.unseen.push(unseen("how the cluster and its pools stand", error));
        Vec::new()
    });
    if !facts.things.iter().any(|thing| thing.kind == "cluster") {
        let (kind, name) = ("cluster".to_owned(), text("name").to_owned());
        let nothing = String::new();
        let thing = Thing {
            kind,
            name,
            status: "not there".to_owned(),
            field: nothing.clone(),
            text: nothing,
            class: None,
            at: None,
        };
        facts.things.insert(0, thing);
    }
    let mut connection = None;
    match &observed {
        Ok(observed) => match observed.get(&cluster.address.identity()) {
            Some(found) => {
                let kind = looker.platforms.kinds.get(cluster.kind);
                connection = kind.map(|kind| kind.outputs(found));
                facts.reach = Reach::There;
            }
            None => {
                let recorded = question.state.resources.get(&cluster.address.identity());
                let was_there =
                    recorded.is_some_and(|recorded| recorded.id.is_some() && *recorded.record != Value::Null);
                facts.reach = if was_there { Reach::Missing } else { Reach::Absent };
            }
        },
        Err(error) => {
            facts.reach = Reach::Unknown(error.message.clone());
            facts.unseen.push(unseen("the cluster", error.clone()));
        }
    }
    // What is there and well needs no quota.
    let is_well = |thing: &Thing| thing.text.is_empty() && matches!(thing.status.as_str(), "RUNNING" | "RECONCILING");
    let pools = desired.resources.iter().filter(|resource| resource.kind == "gke.node_pool").count();
    let there = facts.things.iter().filter(|thing| thing.kind == "node pool").count();
    if !facts.things.iter().all(is_well) || there < pools {
        check(looker, desired, &observed.unwrap_or_default(), facts).await;
    }
    // One that is still being made, or never was, has no endpoint: there is nothing to look into.
    connection.filter(|outputs| outputs.get("endpoint").is_some()).map(Some)
}

/// The cluster and its pools as they are.
async fn observe(looker: &Looker<'_>, desired: &Desired, question: &Question<'_>) -> Result<Seen, ProviderError> {
    let platforms = looker.platforms;
    let mut outside = desired.clone();
    outside.resources.retain(|resource| resource.kind.starts_with("gke."));
    let mut state = question.state.clone();
    state.resources.retain(|_, recorded| recorded.kind.starts_with("gke."));
    let owner = ownership(platforms, &state, &desired.stack, None);
    let nothing = BTreeMap::new();
    let sight = Sight { adopts: &|_| true, unreachable: None, hints: &nothing };
    let reading = async {
        let read = refresh(&platforms.kinds, &platforms.drivers, &*platforms.clock, &outside, &state, &owner, sight);
        read.await.map_err(|error| error.error)
    };
    looker.once(reading).await
}

type Seen = BTreeMap<crate::address::Identity, crate::resource::kind::Observed>;

async fn check(looker: &Looker<'_>, desired: &Desired, observed: &Seen, facts: &mut Facts) {
    let wanted = desired.resources.iter().filter(|resource| resource.kind.starts_with("gke.")).map(|resource| Wanted {
        address: resource.address.clone(),
        kind: resource.kind.to_owned(),
        attrs: (*resource.attrs).clone(),
        present: observed.get(&resource.address.identity()).map(|found| found.attrs.clone()),
    });
    let wanted = wanted.collect::<Vec<_>>();
    let checks = looker.once(async { Ok(looker.platforms.preflight.check(&wanted).await) }).await;
    match checks {
        Ok(checks) => facts.checks = checks,
        Err(error) => facts.unseen.push(unseen("services, rights, offers and quotas", error)),
    }
    let mut stands = Vec::new();
    for check in facts.checks.iter().filter(|check| check.verdict == Verdict::Missing) {
        for by in &check.wanted_by {
            let found = desired.resources.iter().find(|resource| resource.address.as_str() == by);
            let above = found.map_or_else(|| Subject::of("part", by), super::subject);
            stands.push((above, Subject::of("project", &check.subject)));
        }
    }
    facts.needs.extend(stands);
}

/// Whether the API server itself does not answer, rather than refuse.
pub(super) fn is_silence(error: &ProviderError) -> bool {
    error.class == ErrorClass::Unavailable
}
