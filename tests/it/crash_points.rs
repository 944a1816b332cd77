//! The machine stops in the middle of a shipped stack's run, at every moment that a run has; the next run converges.
//!
//! The moments are those of an undisturbed run: before and after each record of its journal and during each call that
//! changes something, by kind of object and by what is done to it. So what is new is covered by itself, and
//! `tests/data/crash/<stack>.txt` says which kinds of moments there are at least (`STACKWRIGHT_BLESS=1` writes it).
//! Each is tried in a world of its own: the run stops there, the cloud goes on for a while, and the same command is run
//! again. The short form tries one moment of each kind and transition, wherever there is one, `STACKWRIGHT_LONG=1` all
//! moments of all stacks, and `STACKWRIGHT_CRASHES` so many of each stack.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stackwright::address::Address;
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{Clock, SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::Disk;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::ops::apply::{Applied, Apply, apply};
use stackwright::ops::preview::{Preview, Subject, preview};
use stackwright::plan::model::Plan;
use stackwright::plan::planner::Options;
use stackwright::resource::driver::Driver;
use stackwright::resource::model::Desired;
use stackwright::sim::simulator::Serving;
use stackwright::sim::world::World;

use crate::lab::{STACKS, expanded, failures, is_long, platforms, simulate, text, with_room};
use crate::mortal::{Fate, Moment, MortalDriver, MortalSession};

/// What is said of an object without the stack's mark: controllers made it.
const NOBODYS: &str = " (nobody's)";

/// Until the cloud has nothing left to do.
const SETTLING: Duration = Duration::from_secs(1200);

/// What a stack is told to become.
#[derive(Clone)]
struct Order {
    name: &'static str,
    desired: Desired,
    secrets: BTreeMap<String, String>,
    options: Options,
}

/// The life of a shipped stack: made, changed, changed so that a pool has to be made anew, made smaller by a component
/// and what it serves, and taken away.
fn life(stack: &str) -> Vec<Order> {
    let text = text(stack);
    let pool = text.find("[node_pools.").expect("a pool");
    let more = |text: &str| {
        let edited = format!("{}{}", &text[..pool], text[pool..].replacen("nodes = 1", "nodes = 2", 1));
        edited.replacen("max_num_seqs = 128", "max_num_seqs = 64", 1)
    };
    let spot = |text: &str| {
        format!("{}{}", &text[..pool], text[pool..].replacen("nodes =", "provisioning = \"spot\"\nnodes =", 1))
    };
    let order = |name, text: String, options: Options| {
        let (desired, secrets) = expanded(stack, text);
        Order { name, desired, secrets, options }
    };
    let mut orders = vec![
        order("create", text.clone(), Options::default()),
        order("update", more(&text), Options::default()),
        order("replace", spot(&more(&text)), Options::default()),
        order("remove", spot(&more(&text)), Options::default()),
        order("destroy", text.clone(), Options { destroy: true, ..Options::default() }),
    ];
    let removed = |address: &Address| ["addons.lws", "workloads."].iter().any(|c| address.component().starts_with(c));
    let fewer = &mut orders[3].desired;
    fewer.resources.retain(|resource| !removed(&resource.address));
    fewer.resources.iter_mut().for_each(|resource| resource.needs.retain(|need| !removed(&need.on)));
    (fewer.proofs, fewer.outputs) = Default::default();
    let gone = &mut orders[4].desired;
    *gone = Desired { stack: gone.stack.clone(), ..Desired::default() };
    orders
}

/// A world and a machine's disk at some moment.
#[derive(Clone)]
struct Scene {
    world: Arc<World>,
    disk: MemoryDisk,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        // A fixed day: two runs see the same times.
        Scene { world: World::in_memory(), disk: MemoryDisk::new(), now: Timestamp(1_800_000_000_000) }
    }

    /// Another one that is the same.
    fn copy(&self) -> Self {
        let (world, disk) = (World::in_memory(), MemoryDisk::new());
        for section in self.world.sections("") {
            for (key, document) in self.world.section(&section) {
                world.put(&section, &key, (*document).clone());
            }
        }
        for name in self.disk.list(Path::new("state")).expect("a folder") {
            let path = Path::new("state").join(name);
            if let Ok(bytes) = self.disk.read(&path) {
                disk.write(&path, &bytes).expect("memory");
            }
        }
        Scene { world, disk, now: self.now }
    }

    fn backend(&self, stack: &str) -> LocalBackend {
        LocalBackend::new(Arc::new(self.disk.clone()), &PathBuf::from("state"), stack)
    }

    /// Everything that is there, by name and how often; parts of names that are drawn at random are left out.
    fn books(&self) -> BTreeMap<String, usize> {
        let mut books = BTreeMap::new();
        let sections = ["google/", "kube/"].map(|prefix| self.world.sections(prefix)).concat();
        let node = |key: String| key.strip_prefix("/nodes//").map(str::to_owned);
        let nodes = sections.iter().flat_map(|section| self.world.section(section).into_keys().filter_map(node));
        let nodes = nodes.collect::<Vec<_>>();
        for section in &sections {
            // What only tells of the past.
            if ["operations", "counters", "faults"].iter().any(|past| section.contains(past)) {
                continue;
            }
            // Clusters have random ids.
            let place = section.split('/').enumerate().filter(|(at, _)| !section.starts_with("kube/") || *at != 1);
            let place = place.map(|(_, word)| word).collect::<Vec<_>>().join("/");
            for (mut key, document) in self.world.section(section) {
                if key.contains("/events/") {
                    continue;
                }
                let metadata = &document["metadata"];
                if let Some(prefix) = metadata["generateName"].as_str() {
                    key = key.replace(metadata["name"].as_str().unwrap_or_default(), prefix);
                }
                if let Some(hash) = metadata["labels"]["pod-template-hash"].as_str() {
                    key = key.replace(hash, "HASH");
                }
                if let Some(node) = nodes.iter().find(|node| key.contains(*node)) {
                    key = key.replace(&node[node.len() - 4..], "NODE");
                }
                let name = key.split_inclusive(['/', '-']).map(without_uid).collect::<String>();
                let is_ours = metadata["labels"]["stackwright.dev/id"].is_string();
                let whose = if place == "kube" && !is_ours { NOBODYS } else { "" };
                *books.entry(format!("{place}: {name}{whose}")).or_default() += 1;
            }
        }
        books
    }

    /// The uids of the stack's own objects.
    fn uids(&self) -> BTreeMap<String, String> {
        let mut uids = BTreeMap::new();
        for section in self.world.sections("kube/") {
            for (key, document) in self.world.section(&section) {
                let metadata = &document["metadata"];
                if metadata["labels"]["stackwright.dev/id"].is_string() {
                    uids.insert(key, metadata["uid"].as_str().unwrap_or_default().to_owned());
                }
            }
        }
        uids
    }

    /// How often something was asked of Google that takes a while.
    fn operations(&self) -> BTreeMap<String, usize> {
        let mut operations = BTreeMap::new();
        for section in self.world.sections("google/").iter().filter(|section| section.contains("operations")) {
            for document in self.world.section(section).values() {
                let kind = document["kind"].as_str().unwrap_or_default().to_owned();
                *operations.entry(kind).or_default() += 1;
            }
        }
        operations
    }
}

/// Load balancers are named after uids.
fn without_uid(word: &str) -> &str {
    let name = word.trim_end_matches(['/', '-']);
    let is_uid = name.len() == 32 && name.starts_with('a') && name.bytes().all(|b| b.is_ascii_hexdigit());
    if is_uid { "UID" } else { word }
}

/// One process after another on one scene.
struct Machine<'s> {
    scene: &'s Scene,
    serving: &'s Serving,
    clock: SharedClock,
    random: SeededRandom,
}

impl Machine<'_> {
    /// One process: plan and apply. Nothing when it was stopped.
    async fn process(&self, order: &Order, fate: Option<Arc<Fate>>) -> Option<(Plan, Applied)> {
        let fate = fate.unwrap_or_else(|| Fate::new(None, 0));
        let done = tokio::select! {
            biased;
            () = fate.death() => None,
            done = self.run(order, fate.clone()) => Some(done),
        };
        if done.is_none() {
            self.scene.disk.lose_power();
        }
        done
    }

    async fn run(&self, order: &Order, fate: Arc<Fate>) -> (Plan, Applied) {
        let mut platforms = platforms(self.serving, &self.clock, Arc::new(SeededRandom::new(self.random.next())));
        for driver in platforms.drivers.values_mut() {
            let inner = driver.clone();
            *driver = Arc::new(MortalDriver { inner, fate: fate.clone() }) as Arc<dyn Driver>;
        }
        let inner = self.scene.backend(&order.desired.stack).open("a run").expect("the state is free");
        let mut session = MortalSession { inner, fate };
        let subject = Subject::bare(&order.desired, session.state(), &order.options);
        let Preview { plan, observed, .. } = preview(&platforms, subject).await.expect("a plan");
        let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
        let job = Apply {
            plan: &plan,
            observed,
            secrets: order.secrets.clone(),
            ttl: None,
            parallelism: 16,
            sink: Arc::new(Collected::default()),
            interrupt,
            shuffle: None,
        };
        let applied = apply(&platforms, &mut session, job).await.expect("state can be written");
        session.close().await;
        (plan, applied)
    }
}

/// What a scene is after a run, and after a while.
#[derive(Clone)]
struct End {
    books: BTreeMap<String, usize>,
    operations: BTreeMap<String, usize>,
    recorded: BTreeSet<String>,
}

/// Plays on a scene that is nobody else's, with the simulator running; `None` for `cut` is the undisturbed run.
fn play(scene: &mut Scene, order: &Order, fate: Option<&Arc<Fate>>, seed: u64) -> Result<End, String> {
    let clock = DiscreteClock::new(scene.now);
    let runtime = clock.runtime().expect("runtime");
    let shared: SharedClock = Arc::new(clock.clone());
    let outcome = runtime.block_on(async {
        let (_simulator, serving) = simulate(scene.world.clone(), &shared, None).await;
        let random = SeededRandom::new(seed);
        let pauses = [0, 5, 60, 1200];
        let pause = pauses[usize::try_from(random.next() % 4).expect("small")];
        let machine = Machine { scene, serving: &serving, clock: shared.clone(), random };
        let mut done = machine.process(order, fate.cloned()).await;
        let mut uids = BTreeMap::new();
        if done.is_none() {
            uids = scene.uids();
            shared.sleep(Duration::from_secs(pause)).await;
            done = machine.process(order, None).await;
        }
        let (_, applied) = done.expect("only one is stopped");
        if !applied.is_complete() {
            return Err(format!("it does not converge: {:#?}", failures(&applied)));
        }
        let (plan, _) = machine.process(order, None).await.expect("nobody stops it");
        if !plan.is_empty() {
            let changes =
                plan.changes.iter().filter(|c| c.action.acts()).map(|c| format!("{} {:?}", c.address, c.action));
            return Err(format!("something is left to do: {:?}", changes.collect::<Vec<_>>()));
        }
        let now = scene.uids();
        if let Some((key, _)) = uids.iter().find(|(key, uid)| now.get(*key).is_some_and(|now| now != *uid)) {
            return Err(format!("{key} was made a second time"));
        }
        shared.sleep(SETTLING).await;
        Ok(())
    });
    scene.now = clock.now();
    outcome?;
    let state = scene.backend(&order.desired.stack).read().map_err(|error| error.to_string())?;
    if let Some(pending) = state.resources.values().find(|recorded| recorded.pending.is_some()) {
        return Err(format!("{} is still pending", pending.address));
    }
    let recorded = state.resources.keys().map(|identity| identity.as_str().to_owned()).collect();
    Ok(End { books: scene.books(), operations: scene.operations(), recorded })
}

/// One part of a stack's life, undisturbed.
struct Known {
    order: Order,
    before: Scene,
    end: End,
    /// Moments, and how often each was met.
    moments: BTreeMap<Moment, usize>,
}

fn known(stack: &str) -> Vec<Known> {
    let mut scene = Scene::new();
    let mut parts = Vec::new();
    for order in life(stack) {
        let before = scene.copy();
        let fate = Fate::new(None, 0);
        let end = with_room(|| play(&mut scene, &order, Some(&fate), 1));
        let end = end.unwrap_or_else(|error| panic!("{stack}, {}: {error}", order.name));
        parts.push(Known { order, before, end, moments: fate.met() });
    }
    parts
}

/// What differs, named.
fn difference<T: PartialEq + std::fmt::Debug>(wanted: &BTreeMap<String, T>, found: &BTreeMap<String, T>) -> String {
    let mut text = String::new();
    for key in wanted.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
        if wanted.get(key) != found.get(key) {
            writeln!(text, "  {key}: {:?}, undisturbed {:?}", found.get(key), wanted.get(key)).expect("memory");
        }
    }
    text
}

/// Stops the run at one moment, and runs it again.
fn crash(part: &Known, moment: &Moment, which: usize, seed: u64) -> Result<(), String> {
    let random = SeededRandom::new(seed);
    let progress = usize::try_from(1 + random.next() % 24).expect("small");
    let fate = Fate::new(Some((moment.clone(), which)), progress);
    let mut scene = part.before.copy();
    let end = with_room(|| play(&mut scene, &part.order, Some(&fate), seed))?;
    if !fate.is_dead() {
        return Err("the run did not come there".to_owned());
    }
    let mut wanted = part.end.clone();
    if part.order.name == "remove" {
        // An operator that goes with what it was to clean up gets less far in an undisturbed run.
        wanted.books.retain(|name, _| end.books.contains_key(name) || !name.ends_with(NOBODYS));
    }
    let wrong = difference(&wanted.books, &end.books) + &difference(&wanted.operations, &end.operations);
    if !wrong.is_empty() {
        return Err(format!("the books differ:\n{wrong}"));
    }
    if end.recorded != wanted.recorded {
        let differing = end.recorded.symmetric_difference(&wanted.recorded).collect::<Vec<_>>();
        return Err(format!("other things are recorded: {differing:?}"));
    }
    Ok(())
}

/// The table of a stack's moments.
fn table(stack: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crash").join(format!("{stack}.txt"))
}

/// A line of a table without the side: what happens to which kind, before or after which the machine stops.
fn transition(line: &str) -> String {
    line.replace(": after ", ": ").replace(": before ", ": ")
}

/// Transitions of the stacks before this one, which are tried there.
fn elsewhere(stack: &str) -> BTreeSet<String> {
    let before = STACKS.iter().take_while(|other| **other != stack);
    let tables = before.map(|other| std::fs::read_to_string(table(other)).expect("a table"));
    tables.flat_map(|text| text.lines().map(transition).collect::<Vec<_>>()).collect()
}

/// Moments that must be there: a table in the order of their names, without how often.
fn check_table(stack: &str, parts: &[Known]) {
    let path = table(stack);
    let lines = parts.iter().flat_map(|p| p.moments.keys().map(|m| format!("{}: {m}", p.order.name)));
    let lines = lines.collect::<BTreeSet<_>>();
    if std::env::var_os("STACKWRIGHT_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        let text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
        std::fs::write(&path, text).expect("writable");
    }
    let table = std::fs::read_to_string(&path).expect("a table");
    let missing = table.lines().filter(|line| !lines.contains(*line)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "{stack}: moments that there were and that are not met any more: {missing:#?}");
}

/// Tries moments of a stack, drawn by a seed and of each part of its life alike: all, so many, or one of each kind and
/// transition that no stack before it has.
fn crash_everywhere(stack: &str, seed: u64) {
    let asked = std::env::var("STACKWRIGHT_CRASHES").ok().and_then(|most| most.parse::<usize>().ok());
    let is_short = asked.is_none() && !is_long();
    let mut tried = elsewhere(stack);
    let own = std::fs::read_to_string(table(stack)).unwrap_or_default();
    if is_short && own.lines().all(|line| tried.contains(&transition(line))) {
        return println!("{stack}: in the long form only; all of its transitions are tried in other stacks");
    }
    let begun = Instant::now();
    let parts = known(stack);
    check_table(stack, &parts);
    let random = SeededRandom::new(seed);
    let mut points = Vec::new();
    for part in &parts {
        let mut drawn = part.moments.iter().map(|(moment, count)| (random.next(), moment, count)).collect::<Vec<_>>();
        drawn.sort();
        points.extend(drawn.into_iter().enumerate().map(|(at, (seed, moment, count))| (at, seed, part, moment, count)));
    }
    let all = points.len();
    points.sort_by_key(|(at, seed, ..)| (*at, *seed));
    if is_short {
        points.retain(|(.., part, moment, _)| tried.insert(transition(&format!("{}: {moment}", part.order.name))));
    }
    points.truncate(asked.unwrap_or(usize::MAX));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(String::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some((_, seed, part, moment, count)) = points.get(at) else { break };
                    if at > 0 && at.is_multiple_of(20) {
                        println!("{stack}: {at} of {all} moments, {} s", begun.elapsed().as_secs());
                    }
                    // Of those that are alike, any.
                    let which = usize::try_from(seed % **count as u64).expect("small");
                    if let Err(reason) = crash(part, moment, which, *seed) {
                        let at = format!("{stack}, {}, {moment}, number {which}, seed {seed}", part.order.name);
                        println!("{at}: {reason}");
                        writeln!(wrong.lock().expect("text"), "{at}: {reason}").expect("memory");
                    }
                }
            });
        }
    });
    println!("{stack}: {} of {all} moments, {} s", points.len(), begun.elapsed().as_secs());
    let wrong = wrong.into_inner().expect("text");
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn gpu_t4() {
    crash_everywhere(STACKS[0], 1);
}

#[test]
fn tpu_v6e() {
    crash_everywhere(STACKS[1], 2);
}

#[test]
fn rhaii_gpu_t4() {
    crash_everywhere(STACKS[2], 3);
}

#[test]
fn rhaii_tpu_v6e() {
    crash_everywhere(STACKS[3], 4);
}
