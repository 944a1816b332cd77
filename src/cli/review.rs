//! What `plan` and `show` have in common for reviewers: plans as text or Markdown, and against an earlier one.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::cli::run;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk};
use crate::plan::compare::{Comparison, Earlier, compare};
use crate::plan::file;
use crate::plan::model::Plan;
use crate::ui::{compare_text, plan_markdown, plan_text};

/// The SHA-256 of a saved plan's bytes.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became different since the plan in a file.
///
/// # Errors
/// Why that is no plan, or none of this stack.
pub(super) fn earlier(path: &Path, plan: &Plan) -> Result<Comparison, Diagnostics> {
    let name = path.display();
    let no_plan = |why: String| {
        Diagnostic::error(format!("{name}: {why}"))
            .hint("name a plan that `stackwright plan --out FILE` saved, or what `stackwright plan --json` printed")
    };
    let bytes = RealDisk.read(path).map_err(|error| {
        Diagnostic::error(format!("cannot read {name}"))
            .detail(error.to_string())
            .hint("name the earlier plan's file with --compare")
    })?;
    let earlier = match run::is_saved_plan(path) {
        true => file::decode(&bytes).map(Earlier::from).map_err(|error| no_plan(error.to_string()))?,
        false => Earlier::from_json(&bytes).map_err(no_plan)?,
    };
    if earlier.stack != plan.stack {
        return Err(Diagnostic::error(format!(
            "{name} is a plan of the stack {}, and this one is of {}",
            earlier.stack, plan.stack
        ))
        .detail("Two stacks have nothing in common that could be compared.")
        .hint("name an earlier plan of the same stack with --compare")
        .into());
    }
    Ok(compare(&earlier, plan))
}

/// A plan for people: what became different first, where there is an earlier one.
pub(super) fn shown(
    plan: &Plan,
    since: Option<&Comparison>,
    hash: &str,
    markdown: bool,
    terminal: &Terminal,
) -> String {
    if markdown {
        return plan_markdown::plan(plan, plan_markdown::Extra { hash, since });
    }
    let view = terminal.plan_view();
    let text = plan_text::plan(plan, view);
    let Some(since) = since else { return text };
    let options = compare_text::Options { paint: view.paint, columns: view.columns, verbose: view.verbose };
    format!("{}\n{text}", compare_text::comparison(since, options))
}
