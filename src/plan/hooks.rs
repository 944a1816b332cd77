//! Which hooks run, and which are kept for later: the part of the planner that knows moments.
//!
//! A hook of the installation runs once, when its component is there for the first time; one for upgrades when what
//! the component consists of has changed since; one for the deletion when the component goes. State says what was,
//! so that none of it depends on how far an earlier run got. Not for their order, see [`super::execution`].

use std::collections::BTreeSet;
use std::time::Duration;

use crate::address::{Address, Identity};
use crate::plan::expectation::Expected;
use crate::plan::model::{Action, Reason, ResourceChange};
use crate::plan::planner::{DELETE_TIMEOUT_SECONDS, Planner};
use crate::resource::hook::{Hook, KIND, Moment};
use crate::resource::model::Resource;
use crate::state::model::{Intent, Recorded};
use crate::value::Value;

/// The name that state has for the operation of a hook that ran at a deletion and is only to be cleared away.
pub const RAN: &str = "ran";

impl Planner<'_> {
    /// Hooks of what the stack has; everything else has been visited.
    pub(super) fn visit_hooks(&mut self, wanted: &Option<BTreeSet<Address>>) {
        let hooks = self.request.desired.resources.iter().filter(|resource| resource.kind == KIND);
        for resource in hooks.filter(|resource| wanted.as_ref().is_none_or(|w| w.contains(&resource.address))) {
            let Some(moment) = Moment::of(&resource.address) else { continue };
            let identity = resource.address.identity();
            let experience = self.experience();
            let recorded = self.request.recorded.resources.get(&identity);
            let after = resource.attrs.resolve_known(&self.outputs);
            let (action, reason, resume) = self.decide_hook(resource, moment, recorded, &after);
            let hook = Hook::of(&resource.attrs);
            let expected = match action {
                Action::Run => experience.of_desired(&identity, action, resource.estimate, None),
                _ => Expected::default(),
            };
            self.seen.insert(identity);
            self.actions.insert(resource.address.clone(), action);
            self.changes.push(ResourceChange {
                address: resource.address.clone(),
                kind: resource.kind.to_owned(),
                action,
                reason,
                moved_from: recorded.map(|r| &r.address).filter(|a| **a != resource.address).cloned(),
                changes: Vec::new(),
                before: None,
                after: (action != Action::NoOp || resume).then(|| after.into()),
                id: None,
                needed: recorded.map(|r| r.needs.clone()).unwrap_or_default(),
                connection: resource.connection.clone(),
                goes_with: None,
                ceded: Vec::new(),
                timeout_seconds: u64::try_from(hook.timeout).unwrap_or_default(),
                estimate_seconds: expected.estimate,
                removal_seconds: 0,
                measured: expected.measured,
                origin: resource.origin.clone(),
                resume,
                take: false,
            });
        }
    }

    /// What happens, why, and whether only clearing away is left.
    fn decide_hook(
        &self,
        resource: &Resource,
        moment: Moment,
        recorded: Option<&Recorded>,
        after: &Value,
    ) -> (Action, Reason, bool) {
        let run = |reason| match self.request.options.no_hooks {
            true => (Action::Record, reason, false),
            false => (Action::Run, reason, false),
        };
        let connection = resource.connection.as_ref().and_then(|connection| self.actions.get(connection));
        let anew = matches!(connection, Some(Action::Create | Action::Replace));
        let pending = recorded.and_then(|r| r.pending.as_ref()).filter(|pending| pending.action != Intent::Delete);
        if moment.is_deletion() {
            return match recorded {
                None => (Action::Record, Reason::New, false),
                Some(recorded) if recorded.pending.is_none() && *recorded.record == *after => {
                    (Action::NoOp, Reason::Same, false)
                }
                Some(_) => (Action::Record, Reason::Changed, false),
            };
        }
        match (recorded, pending) {
            // In another cluster nothing has run yet.
            _ if anew && moment.is_installation() => run(Reason::New),
            _ if anew => (Action::Record, Reason::New, false),
            (_, Some(pending)) if pending.sent => (Action::NoOp, Reason::Unfinished, true),
            (_, Some(_)) => run(Reason::Unfinished),
            (Some(_), None) if moment.is_installation() => (Action::NoOp, Reason::Same, false),
            (Some(recorded), None) => {
                let alike = Hook::of(&recorded.record).is_alike(&Hook::of(after));
                // What was recorded before there was a key says nothing of Secrets; their own records do.
                match alike.unwrap_or_else(|| !self.changes_of(resource.address.component())) {
                    true => (Action::NoOp, Reason::Same, false),
                    false => run(Reason::Changed),
                }
            }
            // It is new: where the component is older, this is an upgrade.
            (None, None) => match (self.is_installed(resource.address.component()), moment.is_installation()) {
                (true, false) => run(Reason::Changed),
                (false, true) => run(Reason::New),
                (true, true) | (false, false) => (Action::Record, Reason::New, false),
            },
        }
    }

    /// Whether anything that the component consists of changes.
    fn changes_of(&self, component: &str) -> bool {
        let own = self.changes.iter().filter(|change| change.address.component() == component && change.kind != KIND);
        own.into_iter().any(|change| change.action != Action::NoOp)
    }

    /// Whether an earlier run has installed the component. One with hooks has recorded them then, and owes none of
    /// the installation; one that had none has recorded all of its objects, or those that are changed now.
    fn is_installed(&self, component: &str) -> bool {
        let recorded = self.request.recorded.resources.values();
        let hooks = recorded.filter(|r| r.address.component() == component && r.kind == KIND).collect::<Vec<_>>();
        if !hooks.is_empty() {
            let owed = |hook: &&&Recorded| hook.pending.as_ref().is_some_and(|pending| !pending.sent);
            let installs = |hook: &&Recorded| Moment::of(&hook.address).is_some_and(Moment::is_installation);
            return !hooks.iter().filter(owed).any(installs);
        }
        let objects = self.changes.iter().filter(|c| c.address.component() == component && c.kind != KIND);
        let mut actions = objects.map(|change| change.action).collect::<BTreeSet<_>>();
        if actions.contains(&Action::Update) || actions.contains(&Action::Replace) {
            return true;
        }
        // The namespace may have been made by somebody else's hand, and nothing else.
        actions.remove(&Action::Adopt);
        !actions.is_empty() && !actions.contains(&Action::Create)
    }

    /// Whether what goes is a whole component, so that its hooks for that moment run.
    fn is_leaving(&self, component: &str) -> bool {
        !self.request.desired.resources.iter().any(|resource| resource.address.component() == component)
    }

    /// Whether a hook that state has, and the stack has not, runs now.
    fn runs_last(&self, recorded: &Recorded) -> bool {
        let address = &recorded.address;
        let there = |connection: &Address| {
            let stays = !matches!(self.actions.get(connection), Some(Action::Replace | Action::Create));
            stays && self.request.observed.contains_key(&connection.identity())
        };
        recorded.kind == KIND
            && Moment::of(address).is_some_and(Moment::is_deletion)
            && *recorded.record != Value::Null
            && recorded.pending.as_ref().is_none_or(|pending| pending.operation.as_deref() != Some(RAN))
            && recorded.connection.as_ref().is_none_or(there)
            && self.is_leaving(address.component())
            && !self.request.options.no_hooks
            && !self.request.options.abandons(address)
    }

    /// The components that have a hook to run after they went.
    pub(super) fn last_words(&self, removed: &[(&Identity, &Recorded)]) -> BTreeSet<String> {
        let last = removed.iter().filter(|(_, r)| Moment::of(&r.address) == Some(Moment::PostDelete));
        last.filter(|(_, r)| self.runs_last(r)).map(|(_, r)| r.address.component().to_owned()).collect()
    }

    /// What becomes of a hook that the stack does not have any more.
    pub(super) fn removed_hook(
        &self,
        identity: &Identity,
        recorded: &Recorded,
        reason: Reason,
        leaving: &dyn Fn(&Address) -> bool,
    ) -> ResourceChange {
        let left = self.request.observed.get(identity);
        let runs = self.runs_last(recorded);
        let action = match (runs, left) {
            (true, _) => Action::Run,
            (false, Some(_)) if !self.request.options.abandons(&recorded.address) => Action::Delete,
            (false, _) => Action::Forget,
        };
        let hook = Hook::of(&recorded.record);
        let seconds = |number: i64| u64::try_from(number).unwrap_or_default();
        let expected = match (runs, action) {
            (true, _) => {
                let usually = Duration::from_secs(seconds(hook.estimate));
                self.experience().of_desired(identity, action, usually, None)
            }
            _ => Expected::default(),
        };
        ResourceChange {
            address: recorded.address.clone(),
            kind: recorded.kind.clone(),
            action,
            reason,
            moved_from: None,
            changes: Vec::new(),
            before: None,
            after: runs.then(|| recorded.record.clone()),
            id: None,
            needed: recorded.needs.clone(),
            connection: recorded.connection.clone(),
            goes_with: recorded.connection.clone().filter(|connection| action == Action::Delete && leaving(connection)),
            ceded: Vec::new(),
            timeout_seconds: if runs { seconds(hook.timeout) } else { DELETE_TIMEOUT_SECONDS },
            estimate_seconds: expected.estimate,
            removal_seconds: 0,
            measured: expected.measured,
            origin: None,
            resume: false,
            take: false,
        }
    }
}
