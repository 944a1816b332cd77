//! Before anything is paid for: does the place offer what a plan needs, and may this account have it?

use std::collections::BTreeMap;

use crate::address::Identity;
use crate::diag::{Diagnostic, Diagnostics};
use crate::ops::platforms::Platforms;
use crate::plan::model::{Action, Plan, ResourceChange};
use crate::platform::preflight::{Check, Verdict, Wanted};
use crate::resource::kind::Observed;
use crate::resource::model::Desired;
use crate::value::Value;

/// What a preflight found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which people mend things; what is missing first.
    pub checks: Vec<Check>,
}

impl Report {
    /// Those with a verdict.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.verdict == verdict)
    }

    /// Whether everything is known to suffice.
    pub fn is_fine(&self) -> bool {
        self.checks.iter().all(|check| check.verdict == Verdict::Fine)
    }

    /// Refuses what is known to fail, all of it at once.
    ///
    /// # Errors
    /// What is missing.
    pub fn accept(&self) -> Result<(), Diagnostics> {
        let missing = self.of(Verdict::Missing).map(refusal).collect::<Vec<_>>();
        if missing.is_empty() { Ok(()) } else { Err(Diagnostics(missing)) }
    }
}

fn refusal(check: &Check) -> Diagnostic {
    let by = match check.wanted_by.as_slice() {
        [] => String::new(),
        all => format!(" It is for {}.", all.join(", ")),
    };
    let diagnostic = Diagnostic::error(format!("{}: {}", check.subject, check.found))
        .detail(format!("Apply would have failed on the way.{by} Nothing was changed, and nothing more is paid for."));
    match &check.mend {
        Some(mend) => diagnostic.hint(mend.clone()),
        None => diagnostic,
    }
}

/// Whether the plan makes or changes anything that a place has to offer.
pub fn is_needed(plan: &Plan) -> bool {
    plan.changes.iter().any(|change| change.kind.starts_with("gke.") && grows(change))
}

fn grows(change: &ResourceChange) -> bool {
    matches!(change.action, Action::Create | Action::Update | Action::Replace)
}

/// Looks at everything that the plan needs.
pub async fn preflight(platforms: &Platforms, plan: &Plan, observed: &BTreeMap<Identity, Observed>) -> Report {
    let wanted = plan.changes.iter().filter_map(|change| wanted(change, observed)).collect::<Vec<_>>();
    Report { checks: platforms.preflight.check(&wanted).await }
}

/// Looks at everything that a stack wants, as if nothing of it were there: where what is there cannot be read.
pub async fn of_desired(platforms: &Platforms, desired: &Desired) -> Report {
    let wanted = desired.resources.iter().map(|resource| Wanted {
        address: resource.address.clone(),
        kind: resource.kind.to_owned(),
        attrs: (*resource.attrs).clone(),
        present: None,
    });
    Report { checks: platforms.preflight.check(&wanted.collect::<Vec<_>>()).await }
}

fn wanted(change: &ResourceChange, observed: &BTreeMap<Identity, Observed>) -> Option<Wanted> {
    let present = observed.get(&change.address.identity()).map(|observed| observed.attrs.clone());
    let attrs: Value = match (&change.after, &present) {
        (Some(after), _) if grows(change) => (**after).clone(),
        // What stays as it is needs nothing more, and where it is still matters.
        (_, Some(present)) if !change.is_leaving() && change.kind.starts_with("gke.") => present.clone(),
        _ => return None,
    };
    Some(Wanted { address: change.address.clone(), kind: change.kind.clone(), attrs, present })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::preflight::Topic;

    #[test]
    fn what_is_missing_is_refused_and_what_is_unknown_is_not_fine() {
        let check = |verdict| Check {
            topic: Topic::Quota,
            verdict,
            subject: "NVIDIA_T4_GPUS in r".to_owned(),
            found: "1 missing".to_owned(),
            mend: Some("ask".to_owned()),
            wanted_by: vec!["node_pools.gpu".to_owned()],
        };
        let report = |verdicts: &[Verdict]| Report { checks: verdicts.iter().map(|v| check(*v)).collect() };
        assert!(report(&[Verdict::Fine]).is_fine());
        let unknown = report(&[Verdict::Fine, Verdict::Unknown]);
        assert!(!unknown.is_fine() && unknown.accept().is_ok());
        let Diagnostics(refused) = report(&[Verdict::Missing, Verdict::Unknown]).accept().expect_err("refused");
        assert_eq!(refused.len(), 1);
        assert!(refused[0].summary.contains("1 missing") && refused[0].hint.as_deref() == Some("ask"));
    }
}
