//! Checks and how they went, one line each. What is checked is the verbs' business.

use serde::Serialize;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Not looked at; the fact says why.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it belongs to: `cluster`, `workloads.qwen-3b`, a URL.
    pub of: String,
    /// What is checked: `pools`, `/health`.
    pub name: String,
    /// How it went.
    pub outcome: Outcome,
    /// What was found, or why not.
    pub fact: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How long it took.
    pub millis: u64,
}

impl Check {
    /// As it should be.
    pub fn passed(of: &str, name: &str, fact: impl Into<String>) -> Self {
        Check {
            of: of.to_owned(),
            name: name.to_owned(),
            outcome: Outcome::Passed,
            fact: fact.into(),
            hint: None,
            millis: 0,
        }
    }

    /// Not as it should be.
    pub fn failed(of: &str, name: &str, fact: impl Into<String>, hint: Option<String>) -> Self {
        Check { outcome: Outcome::Failed, hint, ..Check::passed(of, name, fact) }
    }

    /// Not looked at.
    pub fn skipped(of: &str, name: &str, why: impl Into<String>) -> Self {
        Check { outcome: Outcome::Skipped, ..Check::passed(of, name, why) }
    }
}

/// How many went how: passed, failed, skipped.
pub fn tally(checks: &[Check]) -> (usize, usize, usize) {
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    (count(Outcome::Passed), count(Outcome::Failed), count(Outcome::Skipped))
}

/// Whether nothing failed and something was looked at.
pub fn are_fine(checks: &[Check]) -> bool {
    let (passed, failed, _) = tally(checks);
    failed == 0 && passed > 0
}
