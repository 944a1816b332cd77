//! Making a plan: read what is there, compare, refuse state that belongs elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::address::{Address, Identity};
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::refresh::{ReadError, Sight, refresh};
use crate::ops::lookup::Found;
use crate::ops::places::{self, Whereabouts};
use crate::ops::platforms::Platforms;
use crate::plan::model::Plan;
use crate::plan::planner::{self, Options};
use crate::resource::driver::Ownership;
use crate::resource::error::ErrorClass;
use crate::resource::kind::Observed;
use crate::resource::model::Desired;
use crate::state::model::{State, Target};

/// A plan and what it was made from.
#[derive(Debug)]
pub struct Preview {
    /// The plan.
    pub plan: Plan,
    /// What was there.
    pub observed: BTreeMap<Identity, Observed>,
    /// Clusters that do not answer and are to be destroyed: what is in them goes with them, unseen.
    pub unreachable: BTreeSet<Address>,
    /// Why nobody looked: the plan then assumes that nothing is there.
    pub blind: Option<String>,
}

/// What to plan.
pub struct Subject<'a> {
    /// What the stack wants.
    pub desired: &'a Desired,
    /// What is recorded.
    pub state: &'a State,
    /// The name of the key that `secrets` and the kinds make digests with.
    pub key: Option<&'a str>,
    /// Keyed digests of the secret inputs.
    pub secrets: &'a BTreeMap<String, String>,
    /// What charts have looked up in the cluster.
    pub found: &'a Found,
    /// Flags.
    pub options: &'a Options,
    /// From now until `reap` may take the stack away.
    pub ttl: Option<Duration>,
    /// Plan without looking when there are no credentials and nothing is recorded: what a first plan shows
    /// does not depend on any platform.
    pub may_be_blind: bool,
}

static NO_DIGESTS: BTreeMap<String, String> = BTreeMap::new();
static NOTHING_FOUND: Found = Found { questions: BTreeMap::new(), secrets: BTreeMap::new() };

impl<'a> Subject<'a> {
    /// Of a stack without secrets, without charts that look something up, and without a time to live.
    pub fn bare(desired: &'a Desired, state: &'a State, options: &'a Options) -> Self {
        Subject {
            desired,
            state,
            key: None,
            secrets: &NO_DIGESTS,
            found: &NOTHING_FOUND,
            options,
            ttl: None,
            may_be_blind: false,
        }
    }
}

/// How a stack's things are marked.
pub fn ownership(platforms: &Platforms, state: &State, stack: &str, ttl: Option<Duration>) -> Ownership {
    Ownership {
        stack: stack.to_owned(),
        id: state.stack_id.clone(),
        expires: ttl.map(|ttl| platforms.clock.now().plus(ttl).seconds()),
    }
}

/// Reads what is there and plans.
///
/// A stack that names several locations is planned for the one in which it is, or goes on.
///
/// # Errors
/// Mistakes in the stack, state of another target, or an answer of a platform that ends the attempt.
pub async fn preview(platforms: &Platforms, subject: Subject<'_>) -> Result<Preview, Diagnostics> {
    if subject.options.destroy {
        return preview_here(platforms, subject).await;
    }
    let Whereabouts { desired, recorded, leaving } = places::whereabouts(subject.desired, subject.state);
    let mut preview = preview_here(platforms, Subject { desired: &desired, state: &recorded, ..subject }).await?;
    if let Some(placement) = &mut preview.plan.placement {
        placement.leaving = leaving;
    }
    Ok(preview)
}

/// Plans the resources as they are.
async fn preview_here(platforms: &Platforms, subject: Subject<'_>) -> Result<Preview, Diagnostics> {
    let wanted = subject.desired.resources.iter().map(|r| r.kind);
    let recorded = subject.state.resources.values().map(|r| r.kind.as_str());
    let offline = wanted.chain(recorded).all(|kind| kind == "value");
    let mut blind = None;
    let target = if offline {
        None
    } else {
        match platforms.site.target().await {
            Ok(found) => Some(Target { platform: found.platform, id: found.id }),
            Err(error)
                if subject.may_be_blind
                    && subject.state.resources.is_empty()
                    && error.class == ErrorClass::Unauthenticated =>
            {
                blind = Some(error.message);
                None
            }
            Err(error) => {
                let diagnostic =
                    Diagnostic::error("cannot find out which project or cluster this is").detail(error.message.clone());
                return Err(Diagnostics::from(match error.hint {
                    Some(hint) => diagnostic.hint(hint),
                    None => diagnostic,
                }));
            }
        }
    };
    if let (Some(bound), Some(target)) = (&subject.state.target, &target)
        && bound != target
    {
        return Err(Diagnostic::error(format!(
            "the state of {} describes {} {}, but this run would reach {} {}",
            subject.desired.stack, bound.platform, bound.id, target.platform, target.id
        ))
        .detail("Nothing was changed. Using one place's state on another would create everything twice.")
        .hint("point the run at the place that the state describes, or use another state folder")
        .into());
    }
    let owner = ownership(platforms, subject.state, &subject.desired.stack, subject.ttl);
    // A cluster that goes does not have to answer; GKE says whether it is there.
    let whole = subject.options.destroy && subject.options.targets.is_empty() && subject.options.abandon.is_empty();
    let mut unreachable = BTreeSet::new();
    let observed = if blind.is_some() {
        BTreeMap::new()
    } else {
        refresh(
            &platforms.kinds,
            &platforms.drivers,
            platforms.clock.as_ref(),
            subject.desired,
            subject.state,
            &owner,
            Sight {
                adopts: &|address| subject.options.adopts(address),
                unreachable: whole.then_some(&mut unreachable),
                hints: &places::hints(subject.desired, subject.state),
            },
        )
        .await
        .map_err(|error| Diagnostics::from(unreadable(error)))?
    };
    let mut plan = planner::plan(&planner::Request {
        kinds: &platforms.kinds,
        desired: subject.desired,
        recorded: subject.state,
        observed: &observed,
        unreachable: &unreachable,
        target,
        key: subject.key,
        secrets: subject.secrets,
        found: &subject.found.secrets,
        options: subject.options,
    })?;
    plan.looked_up.clone_from(&subject.found.questions);
    Ok(Preview { plan, observed, unreachable, blind })
}

fn unreadable(error: ReadError) -> Diagnostic {
    let diagnostic = Diagnostic::error("cannot read what is there").about(error.address).detail(error.error.message);
    match (error.error.hint, error.error.class) {
        (Some(hint), _) => diagnostic.hint(hint),
        (None, ErrorClass::Unavailable | ErrorClass::RateLimited) => {
            diagnostic.hint("nothing was changed; try again when the platform answers")
        }
        (None, _) => diagnostic.hint("nothing was changed"),
    }
}
