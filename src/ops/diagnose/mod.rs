//! `diagnose`: looks at everything that may say why a stack does not work, all at once, and changes nothing. What it means
//! is `crate::diagnosis`'.
//!
//! Whatever cannot be read is part of the answer, never its end: this runs when something is broken.

pub mod bundle;
pub mod failures;
mod inside;
pub mod mask;
mod outside;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::address::Address;
use crate::diagnosis::facts::{Facts, Reach, Recorded, Refused, Subject, Tried, Unfinished, Unseen};
use crate::env::clock::{Timestamp, timeout};
use crate::ops::places;
use crate::ops::platforms::Platforms;
use crate::plan::dependencies;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::model::{Desired, Resource};
use crate::state::model::{Intent, State};
use crate::value::Value;

use failures::LastFailure;
use mask::Mask;

/// What is asked about.
pub struct Question<'a> {
    /// What the stack wants.
    pub desired: &'a Desired,
    /// What is recorded; empty where nothing can be read.
    pub state: &'a State,
    /// Why the state cannot be read.
    pub unreadable: Option<String>,
    /// Who has the state, other than who asks.
    pub holder: Option<String>,
    /// What the last run failed with.
    pub failures: &'a [LastFailure],
    /// Values that are not to be seen: of the secret inputs.
    pub secrets: &'a BTreeMap<String, String>,
    /// How commands name the stack: `stack.toml --sim`.
    pub again: String,
    /// How long a single look may take.
    pub patience: Duration,
}

/// Looks; with what was seen comes what must not be, to take it out of everything else.
pub async fn collect(platforms: &Platforms, question: &Question<'_>) -> (Facts, Mask) {
    let desired = places::whereabouts(question.desired, question.state).desired;
    let mut facts = Facts {
        stack: desired.stack.clone(),
        again: question.again.clone(),
        now: platforms.clock.now(),
        recorded: recorded(question),
        ..Facts::default()
    };
    facts.needs = needs(&desired);
    let mut mask = Mask::of(question.secrets);
    let looker = Looker { platforms, patience: question.patience };
    let outside = outside::look(&looker, &desired, question, &mut facts).await;
    facts.refused = refused(question, &desired);
    if let Some(connection) = outside {
        inside::look(&looker, &desired, question, connection.as_ref(), &mut facts, &mut mask).await;
    }
    mask.facts(&mut facts);
    (facts, mask)
}

/// What is known without looking at anything: what the last run has said, and the state.
pub fn known(platforms: &Platforms, question: &Question<'_>) -> Facts {
    let mut facts = Facts {
        stack: question.desired.stack.clone(),
        again: question.again.clone(),
        now: platforms.clock.now(),
        recorded: recorded(question),
        refused: refused(question, question.desired),
        needs: needs(question.desired),
        reach: Reach::Unwanted,
        ..Facts::default()
    };
    Mask::of(question.secrets).facts(&mut facts);
    facts
}

/// Looks once, for a bounded time.
struct Looker<'a> {
    platforms: &'a Platforms,
    patience: Duration,
}

impl Looker<'_> {
    async fn once<T>(&self, look: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        timeout(&*self.platforms.clock, self.patience, look).await.unwrap_or_else(|_| {
            let text = format!("no answer within {} s", self.patience.as_secs());
            Err(ProviderError::new(ErrorClass::Unavailable, text))
        })
    }
}

fn unseen(what: impl Into<String>, error: ProviderError) -> Unseen {
    Unseen { what: what.into(), why: error.message, class: error.class }
}

fn recorded(question: &Question<'_>) -> Recorded {
    let state = question.state;
    let pending = state.resources.values().filter_map(|recorded| {
        let pending = recorded.pending.as_ref()?;
        let action = match pending.action {
            Intent::Create => "create",
            Intent::Update => "update",
            Intent::Delete => "delete",
        };
        Some(Unfinished {
            address: recorded.address.to_string(),
            action: action.to_owned(),
            since: Timestamp(pending.since),
            operation: pending.operation.clone(),
        })
    });
    Recorded {
        resources: state.resources.len(),
        pending: pending.collect(),
        paused: state.pause().map(|paused| Timestamp(paused.since)),
        holder: question.holder.clone(),
        unreadable: question.unreadable.clone(),
    }
}

/// What the last run failed with, about what that was.
fn refused(question: &Question<'_>, desired: &Desired) -> Vec<Refused> {
    let failed = question.failures.iter().map(|failure| {
        let found = desired.resources.iter().find(|resource| resource.address.as_str() == failure.address);
        let subject = found.map_or_else(|| Subject::of("part", &failure.address), subject);
        Refused {
            subject,
            address: failure.address.clone(),
            tried: Tried::LastRun,
            text: failure.causes.join(": "),
            class: failure.class,
        }
    });
    failed.collect()
}

/// What a resource is called where it is.
fn subject(resource: &Resource) -> Subject {
    let text = |path: &[&str]| resource.attrs.at(path).and_then(Value::as_str).unwrap_or_default();
    match resource.kind {
        "k8s.object" => Subject::new(text(&["kind"]), text(&["metadata", "namespace"]), text(&["metadata", "name"])),
        "gke.cluster" => Subject::of("cluster", text(&["name"])),
        "gke.node_pool" => Subject::of("node pool", text(&["name"])),
        _ => Subject::of("part", resource.address.as_str()),
    }
}

/// The plan's edges, between what things are called where they are.
fn needs(desired: &Desired) -> Vec<(Subject, Subject)> {
    let Ok(graph) = dependencies::graph(desired) else { return Vec::new() };
    let names = desired.resources.iter().map(|resource| (&resource.address, subject(resource)));
    let names = names.collect::<BTreeMap<_, _>>();
    let name = |address: &Address| names.get(address).cloned().unwrap_or_else(|| Subject::of("part", address.as_str()));
    let edges = graph
        .nodes()
        .flat_map(|above| graph.dependencies(above).into_iter().map(move |(below, _)| (above.clone(), below.clone())));
    edges.map(|(above, below)| (name(&above), name(&below))).collect()
}
