//! `destroy`: the plan of an empty stack, carried out, and the receipt.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::apply::{Job, run_job};
use crate::cli::args::{BundleArgs, DestroyArgs, PlanningArgs, SelectionArgs};
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;

pub(super) fn destroy(args: &DestroyArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let planning = PlanningArgs {
        // What goes is neither made anew nor given fields.
        selection: SelectionArgs { target: args.target.clone(), no_hooks: args.no_hooks, ..SelectionArgs::default() },
        parallelism: args.parallelism,
        lock_timeout: args.lock_timeout.clone(),
    };
    let job = Job {
        stack: &args.stack,
        charts: &BundleArgs::default(),
        planning: &planning,
        auto_approve: args.auto_approve,
        json: args.json,
        destroy: true,
        extend: false,
        probe: false,
        sweep: args.sweep,
        refresh_only: false,
        resume: false,
        report: args.report.as_deref(),
        saved: None,
        adopt: Vec::new(),
        adopt_id: None,
        abandon: args.abandon.iter().map(Address::new).collect(),
        policies: &args.policy.files,
    };
    run_job(job, vars, terminal)
}
