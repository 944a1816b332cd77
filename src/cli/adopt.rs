//! `adopt`: what is there already becomes part of the stack. The plan of these addresses, carried out.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::apply::{Job, run_job};
use crate::cli::args::{AdoptArgs, PlanningArgs, SelectionArgs};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::vars::Vars;

pub(super) fn adopt(args: &AdoptArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let address = Address::new(args.address.clone());
    if address.component().split('.').next() == Some("values") {
        return Err(Diagnostic::error(format!("{address} cannot be adopted: a value is nowhere but in the state"))
            .hint("apply makes it")
            .into());
    }
    let planning = PlanningArgs {
        selection: SelectionArgs {
            target: vec![args.address.clone()],
            force_conflicts: true,
            ..SelectionArgs::default()
        },
        parallelism: args.parallelism,
        lock_timeout: args.lock_timeout.clone(),
    };
    let job = Job {
        stack: &args.stack,
        charts: &args.charts,
        planning: &planning,
        auto_approve: args.auto_approve,
        json: args.json,
        destroy: false,
        extend: false,
        probe: false,
        sweep: false,
        refresh_only: false,
        resume: false,
        report: None,
        saved: None,
        adopt: vec![address],
        adopt_id: args.id.as_deref(),
        abandon: Vec::new(),
        policies: &[],
    };
    run_job(job, vars, terminal)
}
