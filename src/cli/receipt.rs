//! The end of a destroy: the look at what is left, the sweep, and the receipt as text, as JSON and as a file.

use tokio::sync::watch;

use crate::backend::Session;
use crate::cli::apply::{Job, ask};
use crate::cli::reach::Place;
use crate::cli::run;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::env::disk::{Disk, RealDisk};
use crate::ops::apply::Applied;
use crate::ops::layout;
use crate::ops::platforms::Platforms;
use crate::ops::receipt::{self, Matter};
use crate::plan::model::{Action, Plan};
use crate::platform::audit::Receipt;
use crate::ui::paint::count;
use crate::ui::receipt_text;

/// Whose receipt it is, and who gets it.
pub(super) struct Looking<'a> {
    pub job: &'a Job<'a>,
    pub platforms: &'a Platforms,
    pub interrupt: watch::Receiver<Interrupt>,
    pub terminal: &'a Terminal,
    pub place: &'a Place,
    pub plan: &'a Plan,
}

impl Looking<'_> {
    /// Whether there is something to look for: everything was taken away, or a cluster was.
    pub(super) fn is_due(&self, applied: &Applied) -> bool {
        let gone = |action| matches!(action, Action::Delete | Action::Forget | Action::Replace);
        let cluster = self.plan.changes.iter().any(|change| change.kind == "gke.cluster" && gone(change.action));
        applied.is_complete() && ((self.plan.destroy && !self.plan.partial) || cluster)
    }

    /// Looks, sweeps where that is wanted, and takes note of it in the state and in a file.
    pub(super) async fn look(&self, session: &mut dyn Session) -> Result<Receipt, Diagnostics> {
        let matter = Matter::of(session, self.plan);
        let mut found = match receipt::examine(self.platforms, &matter).await {
            Ok(found) => found,
            Err(error) => {
                let receipt = receipt::blind(self.platforms, &matter, &error);
                self.keep(&receipt)?;
                return Ok(receipt);
            }
        };
        // An apply sweeps nothing: who looks after a replaced cluster says so with `destroy --sweep`.
        if self.job.sweep && found.receipt.can_be_swept() && self.may_sweep(&found.receipt).await? {
            let mut say = |finding: &crate::platform::audit::Finding| {
                self.terminal.say(&format!("Sweeping {} {}...", finding.kind, finding.name));
            };
            let swept = receipt::sweep(self.platforms, session, &matter, found, &self.interrupt, &mut say).await;
            found = swept.map_err(|error| {
                Diagnostics::from(
                    Diagnostic::error("what is left after the sweep could not be looked at")
                        .detail(error.message)
                        .hint("run destroy again to look again"),
                )
            })?;
        }
        receipt::settle(session, &found).await.map_err(|error| run::refused(&error))?;
        self.keep(&found.receipt)?;
        Ok(found.receipt)
    }

    async fn may_sweep(&self, receipt: &Receipt) -> Result<bool, Diagnostics> {
        if self.job.auto_approve {
            return Ok(true);
        }
        if !self.terminal.interactive {
            return Err(Diagnostic::error("nobody is there to approve the sweep")
                .detail("Standard input is not a terminal. Nothing was swept.")
                .hint("use --auto-approve")
                .into());
        }
        self.terminal.say(&receipt_text::receipt(receipt, Some(&self.command()), self.terminal.err));
        let proven = receipt.remaining.iter().filter(|entry| entry.finding.order.is_some()).count();
        let question = format!("\nDo you want to remove {} that the stack has left?", count(proven, "resource"));
        Ok(ask(&question, self.platforms, self.interrupt.clone(), self.terminal).await)
    }

    /// The command that sweeps.
    fn command(&self) -> String {
        let stack = self.job.stack;
        format!("stackwright destroy {}{} --sweep", stack.file.display(), stack.place.again())
    }

    /// Shows the receipt.
    pub(super) fn tell(&self, receipt: &Receipt) {
        if let Some(lines) = &self.terminal.lines {
            lines.receipt(receipt);
        } else {
            self.terminal.say(&receipt_text::receipt(receipt, Some(&self.command()), self.terminal.err));
        }
    }

    /// Keeps the last receipt beside the state.
    fn keep(&self, receipt: &Receipt) -> Result<(), Diagnostics> {
        let path = layout::receipt(&self.job.stack.file, self.place.world(), &receipt.stack);
        let mut text = serde_json::to_string_pretty(receipt).unwrap_or_default();
        text.push('\n');
        RealDisk.write(&path, text.as_bytes()).map_err(|error| {
            Diagnostic::error(format!("cannot write {}", path.display()))
                .detail(error.to_string())
                .hint("make room and check the permissions of the state folder, then run destroy again")
                .into()
        })
    }
}
