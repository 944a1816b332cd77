//! Wires a run to its platform: Google Cloud, the embedded simulator, or a served one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::PlaceArgs;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::{SharedClock, Timestamp, WallClock};
use crate::env::discrete::DiscreteClock;
use crate::env::disk::RealDisk;
use crate::env::random::SystemRandom;
use crate::env::vars::ProcessVars;
use crate::ops::layout;
use crate::ops::platforms::Platforms;
use crate::provider;
use crate::sim::simulator::{SimOptions, Simulator};

/// Where a run takes place.
pub(super) enum Place {
    /// The real cloud.
    Cloud,
    /// The simulator in this process, with its world.
    Embedded(PathBuf),
    /// A simulator that is being served, and where state about it lives here.
    Served(String, PathBuf),
}

impl Place {
    pub(super) fn of(args: &PlaceArgs, stack_file: &Path) -> Self {
        let world = || args.world.clone().unwrap_or_else(|| layout::world(stack_file));
        match args.sim.as_deref() {
            None => Place::Cloud,
            Some("") => Place::Embedded(world()),
            Some(url) => Place::Served(url.trim_end_matches('/').to_owned(), world()),
        }
    }

    /// The world that holds the state, for simulated places.
    pub(super) fn world(&self) -> Option<&Path> {
        match self {
            Place::Cloud => None,
            Place::Embedded(world) | Place::Served(_, world) => Some(world),
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        !matches!(self, Place::Cloud)
    }
}

fn broken(what: &str, error: impl std::fmt::Display) -> Diagnostics {
    Diagnostic::error(what).detail(error.to_string()).into()
}

/// Runs `work` on the runtime and clock of `place`, with its platforms.
pub(super) fn with_platforms<T, W, F>(place: &Place, work: W) -> Result<T, Diagnostics>
where
    W: FnOnce(Platforms) -> F,
    F: Future<Output = Result<T, Diagnostics>>,
{
    match place {
        Place::Cloud => wall_clock_runtime()?.block_on(async {
            let clock: SharedClock = Arc::new(WallClock::new());
            work(platforms(None, clock)?).await
        }),
        Place::Served(url, _) => wall_clock_runtime()?.block_on(async {
            let speed = crate::sim::simulator::speed_of(url).await.map_err(|error| {
                broken(&format!("no simulator answers at {url}"), error)
            })?;
            let clock: SharedClock = Arc::new(WallClock::scaled(speed, WallClock::real_now()));
            work(platforms(Some(url), clock)?).await
        }),
        Place::Embedded(world) => {
            let clock = DiscreteClock::new(Timestamp(0));
            let runtime = clock.runtime().map_err(|error| broken("cannot start", error))?;
            runtime.block_on(async {
                let options = SimOptions::new(Some(world.clone()), Arc::new(clock.clone()), Arc::new(RealDisk));
                clock.set(Simulator::start_time(&options).map_err(|e| broken("cannot open the world", e))?);
                let simulator = Simulator::open(options).map_err(|e| broken("cannot open the world", e))?;
                let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
                let serving =
                    simulator.serve(address).await.map_err(|e| broken("cannot start the simulator", e))?;
                let result = work(platforms(Some(&serving.url), Arc::new(clock.clone()))?).await;
                simulator.close();
                result
            })
        }
    }
}

pub(super) fn wall_clock_runtime() -> Result<tokio::runtime::Runtime, Diagnostics> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| broken("cannot start", error))
}

fn platforms(simulator: Option<&str>, clock: SharedClock) -> Result<Platforms, Diagnostics> {
    let random = Arc::new(SystemRandom);
    let providers = provider::registry(provider::ProviderOptions {
        google_endpoint: simulator.map(str::to_owned),
        proxy: simulator.map(str::to_owned),
        clock: clock.clone(),
        random: random.clone(),
        vars: Arc::new(ProcessVars),
    })
    .map_err(|error| broken("cannot set the providers up", error))?;
    Ok(Platforms {
        kinds: providers.kinds,
        drivers: providers.drivers,
        site: providers.site,
        prover: providers.prover,
        clock,
        random,
    })
}
