//! `--html` and `--report`: pages written to a file.

use std::path::Path;
use std::time::Duration;

use crate::cli::apply::Job;
use crate::cli::reach::Place;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::WallClock;
use crate::env::disk::{Disk, RealDisk};
use crate::event::timeline::{Record, Timeline};
use crate::ops::apply::Applied;
use crate::plan::model::Plan;
use crate::platform::audit::Receipt;
use crate::ui::report::{Ending, Ran, Report, page};
use crate::ui::values;

/// What a page is about.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub plan: &'a Plan,
    pub simulated: bool,
    pub parallelism: usize,
}

/// A page that is to be written.
pub(super) struct Written(String);

/// The page of a plan.
pub(super) fn of_plan(plan: &Plan, simulated: bool, parallelism: usize) -> Written {
    Page { plan, simulated, parallelism }.page(None)
}

impl<'a> Page<'a> {
    /// Of what a job does to its stack.
    pub(super) fn of(job: &Job<'_>, place: &Place, plan: &'a Plan) -> Self {
        Page { plan, simulated: place.is_simulated(), parallelism: job.planning.parallelism }
    }

    /// The page of a run.
    pub(super) fn ran(self, timeline: &Timeline, applied: &Applied, receipt: Option<&Receipt>) -> Written {
        let summary = &applied.summary;
        let left = receipt.map_or(0, |receipt| receipt.remaining.len());
        let ending = match (summary.interrupted, applied.is_complete()) {
            (true, _) => Ending::Interrupted,
            (false, false) => Ending::Failed,
            (false, true) if receipt.is_some_and(|receipt| !receipt.is_clean()) => Ending::Residue(left),
            (false, true) => Ending::Complete,
        };
        let records = timeline.records();
        let unproved = applied.unproved.iter();
        let outputs = applied.outputs.iter().map(|(name, value)| (name.clone(), values::inline(value)));
        self.page(Some(Ran {
            spans: timeline.spans(self.plan),
            elapsed: if applied.elapsed.is_zero() { last(&records) } else { applied.elapsed },
            records: &records,
            ending,
            done: (summary.added, summary.changed, summary.destroyed),
            unproved: unproved.map(|(name, why)| (name.clone(), why.causes.clone(), why.hint.clone())).collect(),
            outputs: outputs.collect(),
        }))
    }

    /// The page of a run whose state could not be written any more.
    pub(super) fn stranded(self, timeline: &Timeline, why: &Diagnostics) -> Written {
        let records = timeline.records();
        let why = why.0.iter().map(|diagnostic| diagnostic.summary.clone()).collect::<Vec<_>>().join("; ");
        self.page(Some(Ran {
            spans: timeline.spans(self.plan),
            elapsed: timeline.elapsed(),
            records: &records,
            ending: Ending::Stranded(why),
            done: timeline.done(self.plan),
            unproved: Vec::new(),
            outputs: Vec::new(),
        }))
    }

    fn page(self, run: Option<Ran<'_>>) -> Written {
        let Page { plan, simulated, parallelism } = self;
        let made = WallClock::real_now().to_string();
        Written(page(&Report { plan, made, simulated, parallelism, run }))
    }
}

fn last(records: &[Record]) -> Duration {
    records.last().map_or(Duration::ZERO, |record| record.at)
}

impl Written {
    /// Writes it to the file that the user named.
    ///
    /// # Errors
    /// It cannot be written there.
    pub(super) fn write(self, path: &Path, terminal: &Terminal) -> Result<(), Diagnostics> {
        RealDisk.write(path, self.0.as_bytes()).map_err(|error| {
            Diagnostics::from(
                Diagnostic::error(format!("cannot write the report to {}", path.display()))
                    .detail(error.to_string())
                    .hint(
                        "choose another file; a saved plan is written once more by `stackwright show PLAN --html FILE`",
                    ),
            )
        })?;
        terminal.say(&format!("Wrote {}.", path.display()));
        Ok(())
    }
}
