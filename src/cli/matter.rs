//! What a plan is made from, for all commands that make one: the stack, once its charts have looked at the cluster, and
//! the digests of its secrets. Not for what is done with the plan.

use std::collections::BTreeMap;

use crate::cli::args::StackArgs;
use crate::cli::reach::Place;
use crate::cli::run;
use crate::cli::source::{Planned, Wanted};
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::ops::platforms::Platforms;
use crate::ops::preview::Subject;
use crate::plan::planner::Options;
use crate::state::model::State;

/// A stack in a place, and how it is planned.
pub(super) struct Planning<'a> {
    pub args: &'a StackArgs,
    pub place: &'a Place,
    pub planned: &'a Planned,
    pub options: &'a Options,
    pub terminal: &'a Terminal,
    /// A key for the digests of secrets is made where there is none: for runs that change something.
    pub create_key: bool,
}

/// All that a plan is made from besides state and platforms.
pub(super) struct Matter<'a> {
    options: &'a Options,
    known: Option<&'a Wanted>,
    looked: Option<Wanted>,
    secrets: BTreeMap<String, String>,
}

impl<'a> Planning<'a> {
    /// Has charts look at the cluster, where they want to.
    pub(super) async fn matter(&self, platforms: &Platforms, state: &State) -> Result<Matter<'a>, Diagnostics> {
        let looked = self.planned.look(platforms, state, self.options, self.terminal).await?;
        let known = self.planned.known();
        let mut matter = Matter { options: self.options, known, looked, secrets: BTreeMap::new() };
        run::recognise(platforms, self.args, matter.wanted(), state, self.options).await?;
        matter.secrets = run::digests(self.args, self.place, matter.wanted(), self.create_key)?;
        Ok(matter)
    }
}

impl Matter<'_> {
    /// What the stack wants.
    pub(super) fn wanted(&self) -> &Wanted {
        self.looked.as_ref().or(self.known).expect("what is not known at once was looked up")
    }

    /// What to plan.
    pub(super) fn subject<'s>(&'s self, state: &'s State, may_be_blind: bool) -> Subject<'s> {
        let wanted = self.wanted();
        Subject {
            desired: &wanted.desired,
            state,
            secrets: &self.secrets,
            found: &wanted.found,
            options: self.options,
            ttl: wanted.ttl(),
            may_be_blind,
        }
    }
}
