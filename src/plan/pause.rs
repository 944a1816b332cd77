//! Pausing: what costs most goes down to nothing and is remembered, and what is desired meanwhile is exactly that.
//! What can be paused, the kinds say. Pure.

use std::sync::Arc;

use crate::diag::{Diagnostic, Diagnostics};
use crate::plan::model::Pause;
use crate::plan::planner::Request;
use crate::resource::model::{Desired, Resource};
use crate::state::model::Paused;
use crate::value::Value;

/// What the user wants of a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pausing {
    /// A paused stack stays paused, any other is not.
    #[default]
    AsItIs,
    /// It begins.
    Pause,
    /// It is over.
    Resume,
}

/// What is desired with regard to the pause; `None` where there is none.
///
/// # Errors
/// What cannot be paused, where it is to be.
pub(super) fn arrange(request: &Request<'_>) -> Result<Option<(Desired, Pause)>, Diagnostics> {
    let pause = request.recorded.pause();
    let how = match (request.options.pausing, pause) {
        _ if request.options.destroy => return Ok(None),
        (Pausing::Pause, _) => Pause::Pauses,
        (Pausing::Resume, Some(_)) => Pause::Resumes,
        (Pausing::AsItIs, Some(_)) => Pause::Paused,
        (Pausing::Resume | Pausing::AsItIs, None) => return Ok(None),
    };
    let mut desired = request.desired.clone();
    let mut mistakes = Vec::new();
    for resource in &mut desired.resources {
        if let (Pause::Resumes, Some(paused)) = (how, pause) {
            restore(resource, paused);
            continue;
        }
        let Some(kind) = request.kinds.get(resource.kind) else { continue };
        match kind.paused(&resource.attrs) {
            Ok(Some(attrs)) => resource.attrs = Arc::new(attrs),
            Err(why) if how == Pause::Pauses => mistakes.push(
                Diagnostic::error(format!("{} cannot be paused: {why}", resource.address))
                    .detail("Nothing was changed.")
                    .hint(format!(
                        "take it away until it is needed: `stackwright destroy --target {}`",
                        resource.address
                    ))
                    .about(resource.address.clone()),
            ),
            Ok(None) | Err(_) => {}
        }
    }
    if mistakes.is_empty() { Ok(Some((desired, how))) } else { Err(Diagnostics(mistakes)) }
}

/// What an autoscaler had made of a pool comes back, within what it may be now. Queued capacity comes when it is asked
/// for, and pools that are not scaled have the size that the stack says.
fn restore(resource: &mut Resource, paused: &Paused) {
    let Some(&nodes) = paused.sizes.get(&resource.address.identity()) else { return };
    let bound = |key| resource.attrs.at(&["autoscale", key]).and_then(Value::as_int);
    let (Some(least), Some(most)) = (bound("min"), bound("max")) else { return };
    let Value::Map(map) = &*resource.attrs else { return };
    if map.get("flex_start").and_then(Value::as_bool) == Some(true) {
        return;
    }
    let mut map = map.clone();
    map.insert("nodes".to_owned(), nodes.clamp(least, most.max(least)).into());
    resource.attrs = Arc::new(Value::Map(map));
}
