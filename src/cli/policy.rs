//! Rules that plans must keep: where they come from, and what becomes of a plan that breaks them. Which it breaks is
//! decided in `plan::policy`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::source;
use crate::diag::Diagnostics;
use crate::plan::model::Plan;
use crate::plan::policy::{self, Subject};
use crate::stack::Stack;
use crate::stack::policy::{Policy, policies};
use crate::ui::plan_json::model::Verdict;

/// The exit code of a plan that breaks a rule; 3 is that of `fmt --check`.
const BROKEN: u8 = 4;

/// The rules of a run.
pub(super) struct Rules(Vec<Policy>);

/// What the rules say of a plan.
pub(super) struct Judgement {
    pub verdicts: Vec<Verdict>,
    pub said: Diagnostics,
    /// It may not be carried out.
    pub refused: bool,
}

impl Judgement {
    /// The exit code of a run that ends with it.
    pub(super) fn exit_code() -> ExitCode {
        ExitCode::from(BROKEN)
    }
}

impl Rules {
    /// Those of a stack, then those of files.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub(super) fn of(stack: &Stack, files: &[PathBuf]) -> Result<Rules, Diagnostics> {
        let mut rules = stack.policy.clone();
        for file in files {
            let source = source::read(file).map_err(|Diagnostics(mut said)| {
                said.iter_mut().for_each(|said| said.hint = Some("name a file of [[policy]] tables".to_owned()));
                Diagnostics(said)
            })?;
            rules.extend(policies(&Arc::new(source))?);
        }
        Ok(Rules(rules))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds the rules against a plan that knows what resources are before.
    pub(super) fn judge(&self, plan: &Plan, stack: &Stack) -> Judgement {
        let breaches = policy::judge(&self.0, Subject { plan, stack });
        let verdict = |breach: &policy::Breach<'_>| Verdict {
            rule: breach.rule.name.value.to_string(),
            severity: breach.severity(),
            address: breach.address.clone(),
            summary: breach.how.clone(),
            detail: breach.rule.message.as_ref().map(|message| message.value.to_string()).unwrap_or_default(),
            place: format!("{}:{}", breach.span.source.name, breach.span.line_column().0),
        };
        Judgement {
            verdicts: breaches.iter().map(verdict).collect(),
            said: Diagnostics(policy::diagnostics(&breaches)),
            refused: policy::refuses(&breaches),
        }
    }
}
