//! `destroy`: the plan of an empty stack, carried out, and the receipt.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::apply::{Job, run_job};
use crate::cli::args::{BundleArgs, DestroyArgs};
use crate::cli::terminal::Terminal;
use crate::diag::Diagnostics;
use crate::env::vars::Vars;

pub(super) fn destroy(args: &DestroyArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let job = Job {
        stack: &args.stack,
        charts: &BundleArgs::default(),
        planning: &args.planning,
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
