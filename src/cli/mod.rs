//! The command line: arguments, wiring, exit codes. The only place that names providers, simulator and
//! views together.
//!
//! One file per command; each is arguments in, one verb of `ops`, one view out.

mod adopt;
mod apply;
mod args;
mod bench;
mod chart;
mod cost;
mod destroy;
mod export;
mod fallback;
mod graph;
mod history;
mod inspect;
mod kept;
mod lease;
mod lock;
mod matter;
mod panics;
mod pause;
mod plan;
mod policy;
mod preflight;
mod push;
mod reach;
mod reap;
mod rebuild;
mod receipt;
mod report;
mod run;
mod scaffold;
mod sim;
mod source;
mod state;
mod target;
mod terminal;
mod validate;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::env::vars::ProcessVars;

pub use panics::tame as tame_panics;

/// Runs the program with these arguments (the first is its own name).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    tame_panics();
    // reqwest, kube and the simulator use whichever provider is installed, and panic without one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let vars = ProcessVars;
    let parsed = match args::Cli::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1).min(1));
        }
    };
    let terminal = terminal::Terminal::new(&vars, parsed.no_color, parsed.verbose > 0);
    terminal::trace(parsed.verbose);
    let result = match parsed.command {
        args::Command::Init(args) => scaffold::init(&args, &terminal),
        args::Command::New(args) => scaffold::new(&args, &terminal),
        args::Command::Validate(args) => validate::validate(&args, &vars, &terminal),
        args::Command::Fmt(args) => validate::fmt(&args, &terminal),
        args::Command::Schema(args) => validate::schema(&args, &terminal),
        args::Command::Plan(args) => plan::plan(&args, &vars, &terminal),
        args::Command::Apply(args) => apply::apply(&args, &vars, &terminal),
        args::Command::Destroy(args) => destroy::destroy(&args, &vars, &terminal),
        args::Command::Reap(args) => reap::reap(&args, &vars, &terminal),
        args::Command::Adopt(args) => adopt::adopt(&args, &vars, &terminal),
        args::Command::Export(args) => export::export(&args, &vars, &terminal),
        args::Command::Show(args) => inspect::show(&args, &vars, &terminal),
        args::Command::Output(args) => inspect::output(&args, &vars, &terminal),
        args::Command::Status(args) => inspect::status(&args, &vars, &terminal),
        args::Command::Verify(args) => verify::verify(&args, &vars, &terminal),
        args::Command::Bench(args) => bench::bench(&args, &vars, &terminal),
        args::Command::Graph(args) => graph::graph(&args, &vars, &terminal),
        args::Command::Cost(args) => cost::cost(&args, &vars, &terminal),
        args::Command::Pause(args) => pause::pause(&args, &vars, &terminal),
        args::Command::Resume(args) => pause::resume(&args, &vars, &terminal),
        args::Command::Preflight(args) => preflight::preflight(&args, &vars, &terminal),
        args::Command::Lock(args) => lock::lock(&args, &vars, &terminal),
        args::Command::State(args) => state::state(&args, &vars, &terminal),
        args::Command::Forget(args) => state::forget(&args, &vars, &terminal),
        args::Command::History(args) => history::history(&args, &vars, &terminal),
        args::Command::Lease(args) => lease::lease(&args, &vars, &terminal),
        args::Command::Sim(args) => sim::sim(&args, &vars, &terminal),
        args::Command::Chart(args) => chart::chart(&args, &vars, &terminal),
        args::Command::Completions(args) => scaffold::completions(&args, &terminal),
    };
    match result {
        Ok(code) => code,
        Err(diagnostics) => {
            terminal.diagnostics(&diagnostics);
            ExitCode::FAILURE
        }
    }
}
