//! How long a change is expected to take: as earlier runs of this stack measured it, and where there is none, as its
//! catalogue or kind says. Numbers in, numbers out; what follows from them for a whole plan is in [`super::time`].

use std::time::Duration;

use crate::address::Identity;
use crate::plan::model::Action;
use crate::resource::kind::{Kind, Observed};
use crate::state::model::{Intent, State};
use crate::value::Value;

/// What is expected of one change; as [`super::model::ResourceChange`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// Seconds to make, change or delete it.
    pub estimate: u64,
    /// Seconds to delete what is replaced.
    pub removal: u64,
    /// So many runs say so.
    pub measured: u64,
}

/// Who knows how long things take.
#[derive(Clone, Copy)]
pub(super) struct Experience<'a> {
    /// What earlier runs measured.
    pub recorded: &'a State,
}

impl Experience<'_> {
    /// Of something that the stack has; `old` is what a replacement deletes by a call of its own.
    pub(super) fn of_desired(
        self,
        identity: &Identity,
        action: Action,
        usually: Duration,
        old: Option<(&dyn Kind, &Value)>,
    ) -> Expected {
        let intent = match action {
            Action::Create | Action::Replace | Action::Run => Intent::Create,
            Action::Delete => Intent::Delete,
            _ => Intent::Update,
        };
        let (estimate, measured) = self.seconds(identity, intent, usually);
        let removal = match (action, old) {
            (Action::Replace, Some((kind, attrs))) => self.seconds(identity, Intent::Delete, kind.removal(attrs)).0,
            _ => 0,
        };
        Expected { estimate, removal, measured }
    }

    /// Of something that is deleted.
    pub(super) fn of_deletion(
        self,
        identity: &Identity,
        kind: Option<&dyn Kind>,
        observed: Option<&Observed>,
    ) -> Expected {
        let attrs = observed.map_or(&Value::Null, |observed| &observed.attrs);
        let usually = kind.map_or(Duration::ZERO, |kind| kind.removal(attrs));
        let (estimate, measured) = self.seconds(identity, Intent::Delete, usually);
        Expected { estimate, removal: 0, measured }
    }

    fn seconds(self, identity: &Identity, action: Intent, usually: Duration) -> (u64, u64) {
        match self.recorded.usual(identity, action) {
            Some((milliseconds, runs)) => ((milliseconds + 500) / 1000, runs as u64),
            None => (usually.as_secs(), 0),
        }
    }
}
