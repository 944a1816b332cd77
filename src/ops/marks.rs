//! Whose a stack's things are when its state does not know them: for recognising a state that is lost, or of another
//! stack, before everything is planned a second time. Reads labels; makes no state, see [`super::rebuild`].

use std::collections::BTreeMap;

use crate::address::Address;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::retry::{Delays, is_retryable};
use crate::ops::platforms::Platforms;
use crate::plan::planner::Options;
use crate::resource::driver::{Mark, Subject};
use crate::resource::error::{ErrorClass, ProviderError};
use crate::resource::hook::OBJECT;
use crate::resource::model::Desired;
use crate::state::model::State;

/// A question is asked so often.
const TRIES: usize = 6;

/// The kind of clusters that a stack makes.
const CLUSTER: &str = "gke.cluster";

/// What carries a mark, of what a stack wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub mark: Mark,
    /// What carries it, at least one.
    pub things: Vec<Address>,
    /// Of so many that were asked about.
    pub of: usize,
}

/// Asks until there is an answer, or asking again does not help.
///
/// # Errors
/// The last answer.
pub(super) async fn insist<T, F>(platforms: &Platforms, ask: impl Fn() -> F) -> Result<T, ProviderError>
where
    F: Future<Output = Result<T, ProviderError>>,
{
    let mut delays = Delays::new();
    let mut attempt = 1;
    loop {
        match ask().await {
            Err(error) if attempt < TRIES && is_retryable(error.class) => {
                platforms.clock.sleep(delays.next(&error)).await;
            }
            answer => return answer,
        }
        attempt += 1;
    }
}

/// The marks on the stack's cluster, or where a kubeconfig leads to one, on its objects; the most frequent first.
/// `desired` is the stack or at least its cluster.
///
/// # Errors
/// What cannot be read.
pub async fn claims(platforms: &Platforms, desired: &Desired) -> Result<Vec<Claim>, ProviderError> {
    let of_kind = |kind: &str| desired.resources.iter().filter(|r| r.kind == kind).collect::<Vec<_>>();
    let clusters = of_kind(CLUSTER);
    let (kind, asked) = match clusters.is_empty() {
        false => (CLUSTER, clusters),
        true => (OBJECT, of_kind(OBJECT).into_iter().filter(|r| r.connection.is_none()).collect()),
    };
    let Some(driver) = platforms.drivers.get(kind).filter(|_| !asked.is_empty()) else { return Ok(Vec::new()) };
    let subjects = asked.iter().map(|resource| Subject {
        address: resource.address.clone(),
        desired: Some(resource.attrs.clone()),
        recorded: None,
        id: None,
        connection: None,
        adopt: false,
    });
    let subjects = subjects.collect::<Vec<_>>();
    let marks = insist(platforms, || driver.marks(&subjects)).await?;
    let mut things: BTreeMap<Mark, Vec<Address>> = BTreeMap::new();
    for (subject, mark) in subjects.iter().zip(marks) {
        if let Some(mark) = mark {
            things.entry(mark).or_default().push(subject.address.clone());
        }
    }
    let claims = things.into_iter().map(|(mark, things)| Claim { mark, things, of: subjects.len() });
    let mut claims = claims.collect::<Vec<_>>();
    claims.sort_by_key(|claim| std::cmp::Reverse(claim.things.len()));
    Ok(claims)
}

/// Refuses to go on where the stack's cluster, or most of its objects, carry a mark that the state does not know:
/// the plan would be to make everything a second time. `again` is what a proposed command ends with: file and flags.
///
/// # Errors
/// What carries whose mark, with the ways out.
pub async fn recognise(
    platforms: &Platforms,
    desired: &Desired,
    state: &State,
    options: &Options,
    again: &str,
) -> Result<(), Diagnostics> {
    match unknown_claim(platforms, desired, state, options, &|_| true).await {
        None => Ok(()),
        Some(claim) => Err(unrecognised(&claim, desired, state, options.destroy, again).into()),
    }
}

/// As [`recognise`], where only what a stack of this name has made matters.
///
/// # Errors
/// What carries whose mark, with the ways out.
pub async fn recognise_own(
    platforms: &Platforms,
    desired: &Desired,
    state: &State,
    options: &Options,
    again: &str,
) -> Result<(), Diagnostics> {
    let own = |mark: &Mark| mark.stack.as_ref().is_some_and(|stack| *stack == desired.stack);
    match unknown_claim(platforms, desired, state, options, &own).await {
        None => Ok(()),
        Some(claim) => Err(unrecognised(&claim, desired, state, options.destroy, again).into()),
    }
}

/// The claim on what a stack wants that its state does not know.
async fn unknown_claim(
    platforms: &Platforms,
    desired: &Desired,
    state: &State,
    options: &Options,
    counts: &(dyn Fn(&Mark) -> bool + Sync),
) -> Option<Claim> {
    let unknown = |address: &Address| {
        let recorded = state.resources.get(&address.identity());
        recorded.is_none_or(|recorded| recorded.id.is_none() && recorded.pending.is_none()) && !options.adopts(address)
    };
    let resources = desired.resources.iter().filter(|resource| unknown(&resource.address)).cloned().collect();
    let asked = Desired { stack: desired.stack.clone(), resources, ..Desired::default() };
    let claims = match claims(platforms, &asked).await {
        Ok(claims) => claims,
        // Without a login nothing is looked at; whatever else is wrong, the plan finds out and says.
        Err(ProviderError { class: ErrorClass::Unauthenticated, .. }) => return None,
        Err(error) => {
            tracing::debug!("marks cannot be read: {error}");
            return None;
        }
    };
    let is_unknown = |claim: &Claim| claim.mark.id != state.stack_id && claim.things.len() * 2 > claim.of;
    claims.into_iter().find(|claim| is_unknown(claim) && counts(&claim.mark))
}

fn unrecognised(claim: &Claim, desired: &Desired, state: &State, destroy: bool, again: &str) -> Diagnostic {
    let Mark { id, stack } = &claim.mark;
    let what = match &claim.things[..] {
        [one] => one.to_string(),
        more => format!("{} of the stack's {} objects", more.len(), claim.of),
    };
    let verb = if claim.things.len() == 1 { "is" } else { "are" };
    if let Some(other) = stack.as_ref().filter(|stack| **stack != desired.stack) {
        return Diagnostic::error(format!(
            "{what} {verb} there and belong{} to the stack {other}",
            if verb == "is" { "s" } else { "" }
        ))
        .detail(format!("It carries the stack id {id}. Nothing was planned: it would be refused."))
        .hint("choose another name or place for it, or destroy the other stack first");
    }
    let has = match state.is_new() {
        true => "there is no state of the stack here".to_owned(),
        false => format!("the state here is of the stack id {} and does not know it", state.stack_id),
    };
    Diagnostic::error(format!("{what} {verb} there and made by a stack whose state is not here"))
        .detail(format!(
            "It carries the stack id {id}; {has}. Nothing was planned: it would be to {}.",
            if destroy { "leave all of it where it is" } else { "make everything a second time" }
        ))
        .hint(format!(
            "if the state is kept elsewhere, point [state] there; if an earlier one is still here, `stackwright history \
             list {again}` shows it; if it is lost, `stackwright state rebuild {again}` makes it again from what is there"
        ))
}
