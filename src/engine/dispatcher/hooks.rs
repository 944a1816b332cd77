//! Hooks in a run: promised before anything else happens, run in their turn, cleared away when all of their moment
//! are over.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dispatcher, Prepared};
use crate::address::Identity;
use crate::backend::BackendError;
use crate::engine::worker::{Failure, Job};
use crate::plan::model::{Action, ResourceChange};
use crate::resource::hook::{ATTEMPT, Hook, MANIFEST};
use crate::resource::kind::{Kind, Observed};
use crate::state::model::{Intent, State};
use crate::state::transition::Transition;
use crate::value::{Reference, Scope, Value};

/// What references and secrets stand for: what this run has learnt, and else what was there before it.
struct Everything<'s> {
    outputs: &'s BTreeMap<crate::address::Address, Value>,
    secrets: &'s BTreeMap<String, String>,
    observed: &'s BTreeMap<Identity, Observed>,
    kinds: &'s BTreeMap<&'static str, Arc<dyn Kind>>,
    state: &'s State,
}

impl Scope for Everything<'_> {
    fn output(&self, reference: &Reference) -> Option<Value> {
        if let Some(outputs) = self.outputs.get(&reference.address) {
            return outputs.at(&reference.path).cloned();
        }
        let identity = reference.address.identity();
        let kind = self.kinds.get(self.state.resources.get(&identity)?.kind.as_str())?;
        kind.outputs(self.observed.get(&identity)?).at(&reference.path).cloned()
    }

    fn secret(&self, input: &str) -> Option<String> {
        self.secrets.get(input).cloned()
    }
}

impl Dispatcher<'_, '_> {
    fn everything(&self) -> Everything<'_> {
        Everything {
            outputs: &self.summary.outputs,
            secrets: &self.run.secrets,
            observed: &self.run.observed,
            kinds: &self.run.kinds,
            state: self.session.state(),
        }
    }

    /// What is intended now and was not before, with the time of whichever it is.
    fn promise(&self, change: &ResourceChange) -> (Option<Transition>, u64) {
        let recorded = self.session.state().resources.get(&change.address.identity());
        let action = match recorded {
            _ if change.is_leaving() => Intent::Delete,
            Some(_) => Intent::Update,
            None => Intent::Create,
        };
        let pending = recorded.and_then(|recorded| recorded.pending.as_ref());
        // An attempt that was stopped is taken up under its own name.
        let same = |deletes| deletes == change.is_leaving();
        match pending.filter(|pending| !pending.sent && same(pending.action == Intent::Delete)) {
            Some(pending) => (None, pending.since),
            None => {
                let intent = self.intent(change, action);
                let since = if let Transition::Intent { at, .. } = &intent { *at } else { 0 };
                (Some(intent), since)
            }
        }
    }

    /// Makes it durable which hooks this run has to run. Until they have, each further run knows that it must.
    pub(super) async fn promise_hooks(&mut self) -> Result<(), BackendError> {
        let due = self.plan.changes.iter().filter(|c| c.action == Action::Run && !c.is_leaving());
        let promises = due.filter_map(|change| self.promise(change).0).collect();
        self.commit(promises).await
    }

    /// State keeps the hook as it is now, for later.
    pub(super) fn record_hook(&self, change: &ResourceChange, transitions: &mut Vec<Transition>) {
        let identity = change.address.identity();
        let is_known = self.session.state().resources.contains_key(&identity);
        transitions.push(self.intent(change, if is_known { Intent::Update } else { Intent::Create }));
        let record = change.after.as_ref().map(|after| after.resolve_known(&self.everything())).unwrap_or_default();
        let (id, secrets) = (String::new(), BTreeMap::new());
        transitions.push(Transition::Applied { identity, id, record: record.into(), secrets, ready: true });
    }

    /// A worker for a hook whose turn it is.
    pub(super) fn prepare_hook(
        &mut self,
        at: usize,
        change: &ResourceChange,
        transitions: &mut Vec<Transition>,
    ) -> Prepared {
        let (promise, since) = self.promise(change);
        transitions.extend(promise);
        let after = change.after.clone().unwrap_or_default();
        let record = (!change.is_leaving()).then(|| after.resolve_known(&self.everything()));
        let mut attrs = match after.resolve(&self.everything()) {
            Ok(attrs) => attrs,
            Err(error) => {
                let hint = "give it, or leave hooks out with --no-hooks".to_owned();
                return Prepared::Impossible(Failure {
                    causes: vec![error.to_string()],
                    hint: Some(hint),
                    class: None,
                });
            }
        };
        if let Value::Map(map) = &mut attrs {
            map.insert(ATTEMPT.to_owned(), since.to_string().into());
        }
        let last = !clears(change, true);
        let attrs = Arc::new(attrs);
        match self.worker(at, change, Action::Run, Some(&attrs), &attrs) {
            Ok(worker) => Prepared::Launch(Box::new(worker), Job::Run { attrs, record, last }),
            Err(failure) => Prepared::Impossible(failure),
        }
    }

    /// What is to be cleared away after a hook, now that all hooks of its moment are over.
    pub(super) fn prepare_clear(&mut self, at: usize, change: &ResourceChange) -> Prepared {
        let succeeded = match self.ran.get(&change.address) {
            Some(succeeded) => *succeeded,
            None if change.resume => true,
            None => return Prepared::Nothing,
        };
        if !clears(change, succeeded) {
            return Prepared::Nothing;
        }
        let identity = change.address.identity();
        let then = match (succeeded, change.is_leaving()) {
            (false, _) => None,
            (true, true) => Some(Transition::Gone(identity)),
            (true, false) => Some(Transition::Ready(identity)),
        };
        // What its object is called can be read off it whatever else is not known any more.
        let attrs = Arc::new(change.after.clone().unwrap_or_default());
        match self.worker(at, change, Action::Run, Some(&attrs), &attrs) {
            Ok(worker) => Prepared::Launch(Box::new(worker), Job::Clear { then }),
            Err(failure) => Prepared::Impossible(failure),
        }
    }
}

/// Whether the object of a hook is removed. At a deletion nothing stays but what failed.
fn clears(change: &ResourceChange, succeeded: bool) -> bool {
    let attrs = change.after.as_deref().unwrap_or(&Value::Null);
    let hook = Hook::of(attrs);
    let definition = attrs.at(&[MANIFEST, "kind"]).and_then(Value::as_str) == Some("CustomResourceDefinition");
    match (succeeded, change.is_leaving()) {
        (true, true) => true,
        // With a definition all objects of its kind would go.
        _ if definition => false,
        (true, false) => hook.clear_success,
        (false, _) => hook.clear_failure,
    }
}
