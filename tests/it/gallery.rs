//! The failure gallery: whatever goes wrong for good ends `apply` within ten simulated seconds, in words that name the
//! object and the cause; whatever passes does not end it.
//!
//! Cases are data in `tests/gallery/*/case.toml` (see its README); what happened and when is read from the simulator's
//! books, never from the program under test. `STACKWRIGHT_GALLERY=name` runs those whose name contains it,
//! `STACKWRIGHT_LONG` all.

mod books;
mod case;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use stackwright::backend::Session;
use stackwright::backend::local::LocalBackend;
use stackwright::catalog;
use stackwright::chart::{Answers, Library};
use stackwright::diagnosis::causes;
use stackwright::engine::dispatcher::Interrupt;
use stackwright::env::clock::{SharedClock, Timestamp};
use stackwright::env::discrete::DiscreteClock;
use stackwright::env::disk::RealDisk;
use stackwright::env::memory_disk::MemoryDisk;
use stackwright::env::random::SeededRandom;
use stackwright::event::Collected;
use stackwright::ops::apply::{Apply, apply};
use stackwright::ops::diagnose::{self, Question, collect};
use stackwright::ops::preview::{Subject, preview};
use stackwright::plan::planner::Options;
use stackwright::resource::model::Desired;
use stackwright::sim::world::World;
use stackwright::stack;

use crate::lab::{failures, is_long, platforms, simulate, with_room};
use books::Books;
use case::{Case, Ends};

/// How long after the event that ends a case `apply` may go on.
const GRACE: Duration = Duration::from_secs(10);

/// Kubernetes' times are whole seconds: by the platform's own date something may seem to be a second older.
const ROUNDING: Duration = Duration::from_secs(1);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery")
}

/// What came of a case; nothing where it could not even be played.
#[derive(Default)]
struct Told {
    /// When the event came that ends it, since the beginning.
    event: Option<Duration>,
    /// When `apply` was over.
    over: Duration,
    /// What it says.
    failures: Vec<String>,
    /// The model answered and everything was done.
    complete: bool,
    /// The causes that `diagnose` finds afterwards, the likeliest first: ids and sentences.
    causes: Vec<(String, String)>,
}

fn desired(case: &Case) -> (Desired, BTreeMap<String, String>) {
    let path = case.folder.join("stack.toml");
    let source = Arc::new(stack::source(&path.display().to_string(), case.stack().into_bytes()).expect("text"));
    let given = stack::inputs::Given { synthesize: true, ..Default::default() };
    let vars = BTreeMap::<String, String>::new();
    let loaded = stack::load(source, &stack::DiskLoader(&RealDisk), &given, &vars)
        .unwrap_or_else(|why| panic!("{}: not a valid stack: {why:#?}", case.name));
    let library = Library::new(&RealDisk);
    let options = catalog::ExpandOptions {
        key: None,
        answers: &Answers::default(),
        loader: &stack::DiskLoader(&RealDisk),
        secrets: loaded.inputs.secret_origins(),
        library: &library,
    };
    let (desired, _) = catalog::expand(&loaded.stack, &options)
        .unwrap_or_else(|why| panic!("{}: does not expand: {why:#?}", case.name));
    let names = loaded.inputs.names().map(str::to_owned).collect::<Vec<_>>();
    let secrets = names.into_iter().filter_map(|n| Some((n.clone(), loaded.inputs.secret(&n)?.to_owned()))).collect();
    (desired, secrets)
}

/// Cases in which `diagnose` names another cause first, with the reason.
const KNOWN_MISSES: &[(&str, &str)] = &[];

/// The least cases of all whose cause is named first.
const FLOOR: usize = 23;

/// One apply in a new world.
fn play(case: &Case) -> Told {
    let (desired, secrets) = desired(case);
    let begun = Timestamp(1_800_000_000_000);
    let clock = DiscreteClock::new(begun);
    let runtime = clock.runtime().expect("runtime");
    runtime.block_on(async {
        let shared: SharedClock = Arc::new(clock.clone());
        let faults = json!({ "faults": case.faults });
        let (simulator, serving) = simulate(World::in_memory(), &shared, Some(faults)).await;
        let books = Books::keep(&simulator, &shared, &case.somebody);
        let platforms = platforms(&serving, &shared, Arc::new(SeededRandom::new(1)));
        let backend = LocalBackend::new(Arc::new(MemoryDisk::new()), &PathBuf::from("state"), &desired.stack);
        let mut session = backend.open("gallery").expect("state");
        let options = Options::default();
        let subject = Subject::bare(&desired, session.state(), &options);
        let planned = preview(&platforms, subject).await.expect("a plan");
        let (_sender, interrupt) = tokio::sync::watch::channel(Interrupt::None);
        let job = Apply {
            plan: &planned.plan,
            observed: planned.observed,
            secrets,
            ttl: None,
            parallelism: 16,
            sink: Arc::new(Collected::default()),
            interrupt,
            shuffle: None,
        };
        let applied = apply(&platforms, &mut session, job).await.expect("state can be written");
        let over = shared.now().since(begun);
        let event = match &case.terminal {
            Some(happening) => books.when(&simulator, happening).await,
            None => None,
        };
        let desired = &desired;
        let question = Question {
            desired,
            state: session.state(),
            unreadable: None,
            holder: None,
            failures: &diagnose::failures::of(&applied, shared.now()),
            secrets: &BTreeMap::new(),
            again: "stack.toml".to_owned(),
            patience: Duration::from_secs(20),
        };
        let (facts, _) = collect(&platforms, &question).await;
        let causes = causes(&facts).into_iter().map(|cause| (cause.id.to_owned(), cause.sentence));
        Told {
            causes: causes.collect(),
            event: event.map(|at| at.since(begun)),
            over,
            failures: failures(&applied),
            complete: applied.is_complete(),
        }
    })
}

/// What is wrong with what came of it.
fn judge(case: &Case, told: &Told) -> Vec<String> {
    let mut wrong = Vec::new();
    let said = told.failures.join("\n");
    match case.ends {
        Ends::ComesUp => {
            if !told.complete {
                wrong.push("it passes, and apply did not wait for that".to_owned());
            }
        }
        Ends::Stops => {
            if told.complete {
                wrong.push("apply found nothing wrong".to_owned());
            }
            match told.event {
                None => wrong.push("the event that ends it never came".to_owned()),
                Some(event) if told.over + ROUNDING < event => {
                    wrong.push(format!("apply was over {:?} before the event", event.saturating_sub(told.over)));
                }
                Some(event) if told.over.saturating_sub(event) > GRACE => {
                    wrong.push(format!("apply went on for {:?} after the event", told.over.saturating_sub(event)));
                }
                Some(_) => {}
            }
            let missing = case.words.iter().filter(|words| !said.contains(words.as_str()));
            wrong.extend(missing.map(|words| format!("apply does not say \"{words}\"")));
        }
    }
    wrong
}

#[test]
fn apply_ends_with_what_ends_it_and_not_with_what_passes() {
    let only = std::env::var("STACKWRIGHT_GALLERY").unwrap_or_default();
    let meant = |case: &Case| match only.as_str() {
        "" => is_long() || !case.long,
        only => case.name.contains(only),
    };
    let cases = Case::all(&folder()).into_iter().filter(meant).collect::<Vec<_>>();
    assert!(!only.is_empty() || cases.len() >= 28, "{} cases", cases.len());
    let queue = Mutex::new(cases.into_iter());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("lock").next();
                    let Some(case) = next else { break };
                    let begun = std::time::Instant::now();
                    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with_room(|| play(&case))));
                    let told = played.unwrap_or_else(|_| Told::default());
                    rows.lock().expect("lock").push((case, told, begun.elapsed()));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("lock");
    rows.sort_by(|(a, ..), (b, ..)| a.name.cmp(&b.name));
    let mut wrong = Vec::new();
    let (mut named, mut asked) = (0, 0);
    for (case, told, took) in &rows {
        let first = told.causes.first().map_or("-", |(id, _)| id.as_str());
        let miss = KNOWN_MISSES.iter().find(|(name, _)| *name == case.name);
        let right = first == case.cause.as_deref().unwrap_or("-");
        if case.cause.is_some() {
            asked += 1;
            named += usize::from(right);
        }
        let list = told.causes.iter().map(|(id, sentence)| format!("\n    {id}: {sentence}")).collect::<String>();
        if right == miss.is_some() {
            wrong.push(format!("{}: diagnose names {first}{list}", case.name));
        }
        let event = told.event.map_or("-".to_owned(), |event| format!("{:.1}", event.as_secs_f64()));
        let over = told.over.as_secs_f64();
        println!(
            "{:30} {:9} event {event:>8} over {over:8.1} took {took:.1?}  {first}",
            case.name,
            case.ends.to_string()
        );
        let lines = judge(case, told);
        if !lines.is_empty() || !only.is_empty() {
            let said = told.failures.join("\n    ");
            wrong.extend(lines.iter().map(|line| format!("{}: {line}\n    {said}", case.name)));
            println!("    {said}{list}");
        }
    }
    println!("diagnose names the cause first in {named} of {asked}");
    assert!(named >= FLOOR || !only.is_empty(), "{named} of {asked}");
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_case_says_what_it_is() {
    let cases = Case::all(&folder());
    let mut seen = std::collections::BTreeSet::new();
    for case in &cases {
        assert!(case.about.ends_with('.') && seen.insert(case.about.clone()), "{}: {}", case.name, case.about);
        let stops = case.ends == Ends::Stops;
        assert_eq!(case.terminal.is_some(), stops, "{}", case.name);
        assert_eq!(!case.words.is_empty(), stops, "{}", case.name);
        // What apply has no reason to wait for may still be wrong.
        assert!(case.cause.is_some() || !stops, "{}", case.name);
    }
    assert!(cases.iter().filter(|case| case.ends == Ends::Stops).count() >= 25);
    assert!(cases.iter().filter(|case| case.ends == Ends::ComesUp).count() >= 5);
}
