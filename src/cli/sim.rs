//! `sim`: the simulator by itself, for gcloud, kubectl, curl and several stackwrights.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::{SimArgs, SimCommand};
use crate::cli::reach::{open_simulator, open_world, start_time, wall_clock_runtime};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::dispatcher::Interrupt;
use crate::env::clock::{SharedClock, WallClock};
use crate::env::disk::RealDisk;
use crate::env::vars::Vars;
use crate::ops::layout;
use crate::sim::environment::environment;

pub(super) fn sim(args: &SimArgs, _: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    match &args.command {
        SimCommand::Serve { addr, world, speed } => serve(*addr, &world_of(world), *speed, terminal),
        SimCommand::Env { url, directory } => env(url, directory, terminal),
        SimCommand::Reset { world } => reset(&world_of(world), terminal),
    }
}

fn world_of(given: &Option<PathBuf>) -> PathBuf {
    given.clone().unwrap_or_else(|| layout::world(Path::new("stack.toml")))
}

fn serve(
    address: std::net::SocketAddr,
    directory: &Path,
    speed: f64,
    terminal: &Terminal,
) -> Result<ExitCode, Diagnostics> {
    if !address.ip().is_loopback() {
        return Err(Diagnostic::error(format!("{address} is not a loopback address"))
            .detail("The simulator accepts any credentials and must not be reachable from outside.")
            .hint("use 127.0.0.1:PORT")
            .into());
    }
    if !(speed.is_finite() && speed > 0.0) {
        return Err(Diagnostic::error(format!("--speed {speed} makes no sense")).hint("use 1 for real time").into());
    }
    let world = open_world(directory)?;
    wall_clock_runtime()?.block_on(async {
        let clock: SharedClock = Arc::new(WallClock::scaled(speed, start_time(&world)));
        let simulator = open_simulator(world, directory, clock, Some(speed)).await?;
        let serving = simulator.serve(address).await.map_err(|error| {
            let diagnostic = Diagnostic::error(format!("cannot serve on {address}")).detail(error.to_string());
            Diagnostics::from(diagnostic.hint("another program may have the port; try --addr 127.0.0.1:0"))
        })?;
        terminal.say(&format!(
            "A simulated Google Cloud answers at {0}, {speed} simulated seconds per second, world {1}.\n\
             stackwright:       stackwright apply STACK --sim={0}\n\
             gcloud, kubectl:   eval \"$(stackwright sim env {0})\"\n\
             Ctrl-C ends it; the world stays.",
            serving.url,
            directory.display()
        ));
        let mut interrupt = crate::cli::run::interrupts();
        interrupt.wait_for(|level| *level > Interrupt::None).await.ok();
        drop(serving);
        Ok(ExitCode::SUCCESS)
    })
}

fn env(url: &str, directory: &Path, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let variables = environment(&RealDisk, url.trim_end_matches('/'), directory).map_err(|error| {
        let diagnostic = Diagnostic::error(format!("cannot write to {}", directory.display()));
        Diagnostics::from(diagnostic.detail(error.to_string()).hint("choose another folder with --directory"))
    })?;
    for (name, value) in variables {
        let quoted = value.replace('\'', "'\\''");
        terminal.print(&format!("export {name}='{quoted}'\n"));
    }
    Ok(ExitCode::SUCCESS)
}

fn reset(directory: &Path, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let world = open_world(directory)?;
    drop(world);
    for name in ["world.jsonl", "state"] {
        let path = directory.join(name);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let diagnostic = Diagnostic::error(format!("cannot remove {}", path.display()));
                return Err(diagnostic.detail(error.to_string()).hint("check its permissions").into());
            }
            _ => {}
        }
    }
    terminal.say(&format!("The world in {} is empty.", directory.display()));
    Ok(ExitCode::SUCCESS)
}
