//! What a plan is made from, for all commands that make one: the stack, once its charts have looked at the cluster, and
//! the digests of its secrets. Not for what is done with the plan.

use std::collections::BTreeMap;

use crate::cli::args::{BundleArgs, StackArgs};
use crate::cli::reach::Place;
use crate::cli::run;
use crate::cli::source::{self, Planned, Wanted};
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::ops::platforms::Platforms;
use crate::ops::preview::Subject;
use crate::plan::planner::Options;
use crate::provider;
use crate::state::key::Key;
use crate::state::model::State;

/// A stack in a place, and how it is planned.
pub(super) struct Planning<'a> {
    pub args: &'a StackArgs,
    pub place: &'a Place,
    pub planned: &'a Planned,
    pub options: &'a Options,
    pub terminal: &'a Terminal,
    pub vars: &'a dyn Vars,
    /// A key for the digests of secrets is made where there is none: for runs that record or save what they were.
    pub create_key: bool,
}

/// All that a plan is made from besides state and platforms.
pub(super) struct Matter<'a> {
    options: &'a Options,
    known: Option<&'a Wanted>,
    looked: Option<Wanted>,
    key: Option<Key>,
    key_name: Option<String>,
    secrets: BTreeMap<String, String>,
}

impl<'a> Planning<'a> {
    /// Has charts look at the cluster, where they want to.
    pub(super) async fn matter(&self, platforms: &Platforms, state: &State) -> Result<Matter<'a>, Diagnostics> {
        let looked = self.planned.look(platforms, state, self.options, self.terminal).await?;
        let known = self.planned.known();
        let mut matter =
            Matter { options: self.options, known, looked, key: None, key_name: None, secrets: BTreeMap::new() };
        let lost = self.lost(state);
        let wanted = lost.as_ref().unwrap_or(matter.wanted());
        run::recognise(platforms, self.args, wanted, state, self.options).await?;
        let Planning { args, place, vars, create_key: create, .. } = *self;
        // What is taken away is compared with nothing.
        let any = self.options.destroy;
        let create = create && !any;
        matter.key = run::Keyring { args, place, vars, create, any }.key(matter.wanted(), state)?;
        matter.key_name = matter.key.as_ref().map(Key::name);
        matter.secrets = run::digests(matter.key.as_ref(), matter.wanted());
        Ok(matter)
    }
}

impl Planning<'_> {
    /// What a stack would want that is to go and of which nothing is recorded: where a kubeconfig leads to its cluster,
    /// only its objects can tell that it was there all the same.
    fn lost(&self, state: &State) -> Option<Wanted> {
        let stack = self.planned.stack();
        let given = stack.cluster.as_ref().is_some_and(|cluster| cluster.kubeconfig.is_some());
        if !self.options.destroy || !state.resources.is_empty() || !given {
            return None;
        }
        let synthesize = self.place.is_simulated();
        match source::load(self.args, &BundleArgs::default(), self.vars, synthesize, None) {
            Ok(wanted) => Some(wanted),
            Err(Diagnostics(mistakes)) => {
                let why = mistakes.first().map(|mistake| mistake.summary.clone()).unwrap_or_default();
                let note = "Note: nothing is recorded of the stack, and whether anything of it is there cannot be told";
                self.terminal.say(&self.terminal.err.yellow(&format!("{note}: {why}")));
                None
            }
        }
    }
}

impl Matter<'_> {
    /// What the stack wants.
    pub(super) fn wanted(&self) -> &Wanted {
        self.looked.as_ref().or(self.known).expect("what is not known at once was looked up")
    }

    /// The platforms, once their kinds have the stack's key.
    pub(super) fn keyed(&self, platforms: &Platforms) -> Platforms {
        Platforms { kinds: provider::kinds(self.key.clone()), ..platforms.clone() }
    }

    /// What to plan.
    pub(super) fn subject<'s>(&'s self, state: &'s State, may_be_blind: bool) -> Subject<'s> {
        let wanted = self.wanted();
        Subject {
            desired: &wanted.desired,
            state,
            key: self.key_name.as_deref(),
            secrets: &self.secrets,
            found: &wanted.found,
            options: self.options,
            ttl: wanted.ttl(),
            may_be_blind,
        }
    }
}
