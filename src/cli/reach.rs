//! Wires a run to its platform: Google Cloud, the embedded simulator, or a served one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::args::PlaceArgs;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::clock::{SharedClock, Timestamp, WallClock};
use crate::env::discrete::DiscreteClock;
use crate::env::disk::RealDisk;
use crate::env::random::SystemRandom;
use crate::env::vars::ProcessVars;
use crate::ops::layout;
use crate::ops::platforms::Platforms;
use crate::provider;
use crate::provider::kube::given::Given;
use crate::sim::interior::Clusters;
use crate::sim::simulator::{SimOptions, Simulator, read_faults};
use crate::sim::world::{OpenError, World};

/// What of a place a stack is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// The Google Cloud project.
    pub project: Option<String>,
    /// The cluster of a kubeconfig.
    pub given: Option<Given>,
}

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

    /// Who is told that charts are fetched; nobody in a simulated place, where nothing is.
    pub(super) fn fetches<'t>(&self, terminal: &'t Terminal) -> Option<&'t Terminal> {
        (!self.is_simulated()).then_some(terminal)
    }

    pub(super) fn is_simulated(&self) -> bool {
        !matches!(self, Place::Cloud)
    }
}

fn broken(what: &str, error: impl std::fmt::Display) -> Diagnostics {
    Diagnostic::error(what).detail(error.to_string()).into()
}

/// Runs `work` on the runtime and clock of `place`, with its platforms.
pub(super) fn with_platforms<T, W, F>(place: &Place, site: Site, work: W) -> Result<T, Diagnostics>
where
    W: FnOnce(Platforms) -> F,
    F: Future<Output = Result<T, Diagnostics>>,
{
    if let (Some(given), true) = (&site.given, place.is_simulated()) {
        return Err(Diagnostic::error("a cluster given by a kubeconfig cannot be simulated")
            .detail(format!("{} leads to a cluster that is there, whatever --sim says.", given.path.display()))
            .hint("leave --sim out; for a simulated cluster run `stackwright sim serve` and give the kubeconfig that gcloud writes for it")
            .into());
    }
    match place {
        Place::Cloud => wall_clock_runtime()?.block_on(async {
            let clock: SharedClock = Arc::new(WallClock::new());
            work(platforms(None, None, site, clock)?).await
        }),
        Place::Served(url, _) => wall_clock_runtime()?.block_on(async {
            let info = info_of(url).await?;
            let speed = info.get("speed").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
            let root = info.get("root").and_then(|root| root.as_str()).map(str::to_owned);
            let clock: SharedClock = Arc::new(WallClock::scaled(speed, WallClock::real_now()));
            work(platforms(Some(url), root, site, clock)?).await
        }),
        Place::Embedded(directory) => {
            let world = open_world(directory)?;
            let clock = DiscreteClock::new(start_time(&world));
            let runtime = clock.runtime().map_err(|error| broken("cannot start", error))?;
            runtime.block_on(async {
                let shared: SharedClock = Arc::new(clock.clone());
                let simulator = open_simulator(world, directory, shared.clone(), None).await?;
                let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
                let serving = simulator.serve(address).await.map_err(|e| broken("cannot start the simulator", e))?;
                work(platforms(Some(&serving.url), simulator.public_root(), site, shared)?).await
            })
        }
    }
}

/// Opens a world's documents.
pub(super) fn open_world(directory: &Path) -> Result<Arc<World>, Diagnostics> {
    World::open(&RealDisk, directory).map_err(|error| {
        let diagnostic = Diagnostic::error(error.to_string());
        Diagnostics::from(match &error {
            OpenError::InUse(_) => {
                diagnostic.hint("wait until the other command is over, or use another world with --world DIR")
            }
            OpenError::Io(_, cause) => diagnostic.detail(cause.to_string()).hint("choose another folder with --world"),
        })
    })
}

/// A world goes on where it was left, but never lags behind the real day: certificates are checked against it.
pub(super) fn start_time(world: &World) -> Timestamp {
    world.time().unwrap_or_default().max(WallClock::real_now())
}

/// Opens the simulator over a world. Needs a runtime.
pub(super) async fn open_simulator(
    world: Arc<World>,
    directory: &Path,
    clock: SharedClock,
    speed: Option<f64>,
) -> Result<Arc<Simulator>, Diagnostics> {
    let failed = |error| broken("cannot open the world", error);
    let faults = read_faults(&RealDisk, directory).map_err(failed)?;
    let options = SimOptions { world, clock, seed: None, speed, faults, interiors: Arc::new(Clusters) };
    Simulator::open(options).await.map_err(failed)
}

/// What a served simulator says of itself.
async fn info_of(url: &str) -> Result<serde_json::Value, Diagnostics> {
    let unreachable = |error: reqwest::Error| {
        let diagnostic = Diagnostic::error(format!("no simulator answers at {url}")).detail(error.to_string());
        Diagnostics::from(diagnostic.hint("start one with `stackwright sim serve`, or use --sim without a URL"))
    };
    let client = reqwest::Client::builder().no_proxy().build().map_err(unreachable)?;
    let answer = client.get(format!("{url}/sim/v1/info")).send().await.map_err(unreachable)?;
    answer.json().await.map_err(unreachable)
}

pub(super) fn wall_clock_runtime() -> Result<tokio::runtime::Runtime, Diagnostics> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| broken("cannot start", error))
}

fn platforms(
    simulator: Option<&str>,
    public_root: Option<String>,
    site: Site,
    clock: SharedClock,
) -> Result<Platforms, Diagnostics> {
    let random = Arc::new(SystemRandom);
    let providers = provider::registry(provider::ProviderOptions {
        google_endpoint: simulator.map(str::to_owned),
        proxy: simulator.map(str::to_owned),
        public_root,
        project: site.project,
        given: site.given,
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
        models: providers.models,
        objects: providers.objects,
        preflight: providers.preflight,
        clock,
        random,
    })
}
