//! `adopt`: what is there already becomes part of the stack. The plan of these addresses, carried out.

use std::process::ExitCode;

use crate::address::Address;
use crate::cli::apply::{Job, run_job};
use crate::cli::args::{AdoptArgs, PlanningArgs};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::vars::Vars;

pub(super) fn adopt(args: &AdoptArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let address = Address::new(args.address.clone());
    let cloud = address.object_key().is_none()
        && ["cluster", "node_pools", "values"].contains(&args.address.split('.').next().unwrap_or_default());
    if cloud {
        return Err(Diagnostic::error(format!("{address} cannot be adopted: it is no Kubernetes object"))
            .hint("clusters and pools are found again by their labels; others\u{2019} are left alone")
            .into());
    }
    let planning = PlanningArgs {
        target: vec![args.address.clone()],
        replace: Vec::new(),
        parallelism: args.parallelism,
        force_conflicts: true,
        no_hooks: false,
        lock_timeout: args.lock_timeout.clone(),
    };
    let job = Job {
        stack: &args.stack,
        charts: &args.charts,
        planning: &planning,
        auto_approve: args.auto_approve,
        json: args.json,
        destroy: false,
        refresh_only: false,
        saved: None,
        adopt: vec![address],
        abandon: Vec::new(),
    };
    run_job(job, vars, terminal)
}
