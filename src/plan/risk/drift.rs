//! What becomes of changes by other hands. Not for finding them: that is the kinds'.

use std::collections::BTreeMap;

use super::{Class, Level, Risk};
use crate::plan::model::{Action, Drift, Plan};

/// What a plan does about a drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What is gone is made again.
    MadeAgain,
    /// It is put back as the stack has it.
    PutBack,
    /// It goes, or is forgotten, with what it was done to.
    Goes,
    /// It is taken note of in the state, and nothing else.
    Noted,
    /// It stays as it is: the stack does not mind, or the plan leaves it out.
    Stays,
}

impl Outcome {
    /// In words that follow the resource and a colon.
    pub fn words(self) -> &'static str {
        match self {
            Outcome::MadeAgain => "gone, and made again by this plan",
            Outcome::PutBack => "changed by others, and put back by this plan",
            Outcome::Goes => "changed by others, and gone after this plan",
            Outcome::Noted => "changed by others, and taken note of",
            Outcome::Stays => "changed by others, and left so by this plan",
        }
    }
}

/// Each drift with what the plan does about it.
pub fn outcomes(plan: &Plan) -> Vec<(&Drift, Outcome)> {
    let moved = plan.changes.iter().filter_map(|change| Some((change.moved_from.as_ref()?, change.action)));
    let moved = moved.collect::<BTreeMap<_, _>>();
    let action = |drift: &Drift| match plan.change(&drift.address) {
        Some(change) => Some(change.action),
        None => moved.get(&drift.address).copied(),
    };
    let outcome = |drift| match action(drift) {
        _ if plan.refresh_only => Outcome::Noted,
        Some(Action::Create) => Outcome::MadeAgain,
        Some(Action::Update | Action::Replace | Action::Run) => Outcome::PutBack,
        Some(Action::Delete | Action::Forget) => Outcome::Goes,
        Some(Action::NoOp | Action::Adopt | Action::Record) | None => Outcome::Stays,
    };
    plan.drift.iter().map(|drift| (drift, outcome(drift))).collect()
}

/// Where the plan undoes what others have done, somebody may miss it.
pub(super) fn drifted(plan: &Plan, risks: &mut Vec<Risk>) {
    if plan.refresh_only || plan.destroy {
        return;
    }
    for (drift, outcome) in outcomes(plan) {
        let level = if outcome == Outcome::PutBack { Level::Medium } else { Level::Low };
        risks.push(Risk {
            level,
            class: Class::Drift,
            component: Some(drift.address.component().to_owned()),
            addresses: vec![drift.address.clone()],
            why: outcome.words().to_owned(),
            affects: Vec::new(),
        });
    }
}
