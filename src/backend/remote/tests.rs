//! Several runs on one remote state: over the model of a store, in simulated time.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::address::Address;
use crate::backend::Session;
use crate::backend::memory_store::MemoryStore;
use crate::env::discrete::DiscreteClock;
use crate::env::memory_disk::MemoryDisk;
use crate::state::history;
use crate::state::model::Intent;
use crate::state::transition::Transition;

fn world<T>(play: impl AsyncFnOnce(SharedClock, MemoryStore) -> T) -> T {
    let clock = DiscreteClock::new(Timestamp(1_760_000_000_000));
    let shared: SharedClock = Arc::new(clock.clone());
    let store = MemoryStore::new(shared.clone());
    clock.runtime().expect("runtime").block_on(play(shared, store))
}

fn backend(store: &MemoryStore, clock: &SharedClock, disk: &MemoryDisk) -> RemoteBackend {
    let spill = Path::new("unpushed").to_owned();
    RemoteBackend::new(Arc::new(store.clone()), clock.clone(), "demo", Arc::new(disk.clone()), spill, |_| true)
}

fn me(name: &str) -> Me {
    Me { run: name.to_owned(), holder: format!("run {name}"), process: None }
}

async fn open(backend: &RemoteBackend, name: &str, limit: u64) -> Result<RemoteSession, BackendError> {
    backend.open(&me(name), Duration::from_secs(limit), &|_| {}).await
}

fn begin() -> Transition {
    Transition::Begin { lineage: "l".into(), stack_id: "0123456789abcdef".into() }
}

fn made(name: &str) -> Vec<Transition> {
    let address = Address::new(format!("values.{name}"));
    let (kind, connection) = ("value".to_owned(), None);
    let identity = address.identity();
    let intent = Transition::Intent { address, kind, action: Intent::Create, at: 1, needs: vec![], connection };
    let applied = Transition::Applied {
        identity,
        id: name.to_owned(),
        record: crate::value::Value::map().into(),
        secrets: std::collections::BTreeMap::new(),
        ready: true,
    };
    vec![intent, applied]
}

#[test]
fn one_writes_and_the_other_waits_its_turn() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let mut first = open(&backend, "a", 0).await.expect("free");
        first.commit(vec![begin()]).await.expect("written");
        match open(&backend, "b", 0).await {
            Err(BackendError::Locked { holder, .. }) => assert!(holder.starts_with("run a, last heard of"), "{holder}"),
            other => panic!("{:?}", other.err()),
        }
        // It is renewed for as long as the run goes on.
        clock.sleep(Duration::from_secs(3600)).await;
        assert!(matches!(open(&backend, "b", 0).await, Err(BackendError::Locked { .. })));
        first.commit(made("x")).await.expect("an hour later");
        assert_eq!(backend.read().await.expect("read meanwhile").state.serial, 3);
        first.close().await;
        let mut second = open(&backend, "b", 0).await.expect("let go of");
        assert_eq!((second.state().serial, second.notes()), (3, &[][..]));
        second.commit(made("y")).await.expect("written");
        assert_eq!(backend.read().await.expect("read").state.resources.len(), 2);
        // The probes of the store's clock are gone.
        assert!(!store.keys().iter().any(|key| key.starts_with("clock/")), "{:?}", store.keys());
    });
}

#[test]
fn a_holder_that_was_stopped_begins_nothing_and_writes_nothing() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let way = store.another(1);
        let mut stopped = open(&backend(&way, &clock, &MemoryDisk::new()), "a", 0).await.expect("free");
        stopped.commit(vec![begin()]).await.expect("written");
        let leash = stopped.leash();
        // As if the process stood still: its heartbeat does not get through.
        way.away(true);
        clock.sleep(Duration::from_secs(61)).await;
        assert!(!leash.holds(clock.now()));
        let after = backend(&store, &clock, &disk);
        assert!(matches!(open(&after, "b", 0).await, Err(BackendError::Locked { .. })), "a call may still run");
        let mut next = open(&after, "b", 300).await.expect("taken over");
        assert!(next.notes()[0].contains("run a"), "{:?}", next.notes());
        way.away(false);
        next.commit(made("x")).await.expect("written");
        let error = stopped.commit(made("y")).await.expect_err("too late");
        assert!(matches!(error, BackendError::Expired { .. } | BackendError::Overtaken { .. }), "{error}");
        next.commit(made("z")).await.expect("nothing came between");
        let names = after.read().await.expect("whole").state.resources.into_keys().map(|i| i.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["values.x", "values.z"]);
    });
}

#[test]
fn a_lease_that_is_broken_stops_its_holder() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let mut first = open(&backend, "a", 0).await.expect("free");
        first.commit(vec![begin()]).await.expect("written");
        let held = backend.held(&me("c")).await.expect("asked").expect("held");
        assert_eq!(held.lease.holder, "run a");
        assert_eq!(backend.break_lease().await.expect("broken").expect("was held").run, "a");
        assert_eq!(backend.held(&me("c")).await.expect("asked"), None);
        let mut second = open(&backend, "b", 0).await.expect("free");
        second.commit(made("x")).await.expect("written");
        assert!(matches!(first.commit(made("y")).await, Err(BackendError::Overtaken { .. })));
        clock.sleep(Duration::from_secs(30)).await;
        assert!(!first.leash().holds(clock.now()), "the heartbeat noticed");
        assert!(second.leash().holds(clock.now()));
    });
}

#[test]
fn what_could_not_be_pushed_is_pushed_by_the_next_run() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let mut first = open(&backend, "a", 0).await.expect("free");
        first.commit(vec![begin()]).await.expect("written");
        store.away(true);
        let error = first.commit(made("x")).await.expect_err("the store is away");
        assert!(matches!(error, BackendError::Storage { .. }), "{error}");
        // What was in flight ends, and is kept as well.
        first.commit(made("y")).await.expect_err("still away");
        first.close().await;
        store.away(false);
        let second = open(&backend, "b", 300).await.expect("taken over");
        assert!(second.notes().iter().any(|note| note.contains("pushed 4 records")), "{:?}", second.notes());
        drop(second);
        assert_eq!(backend.read().await.expect("read").state.resources.len(), 2);
        let third = open(&backend, "c", 300).await.expect("taken over");
        assert!(!third.notes().iter().any(|note| note.contains("unpushed")), "once is enough: {:?}", third.notes());
    });
}

/// Serials alone do not tell whose records they are.
#[test]
fn what_could_not_be_pushed_is_not_added_to_what_others_have_recorded_since() {
    world(async |clock, store| {
        let (here, there) = (MemoryDisk::new(), MemoryDisk::new());
        let mut first = open(&backend(&store, &clock, &here), "a", 0).await.expect("free");
        first.commit(vec![begin()]).await.expect("written");
        store.away(true);
        first.commit(made("x")).await.expect_err("the store is away");
        first.commit(made("y")).await.expect_err("still away");
        assert_eq!(first.unpushed().map(|unpushed| unpushed.records), Some(4));
        first.close().await;
        store.away(false);
        let mut second = open(&backend(&store, &clock, &there), "b", 300).await.expect("taken over");
        second.commit(made("z")).await.expect("written");
        second.close().await;
        let third = open(&backend(&store, &clock, &here), "c", 300).await.expect("free");
        assert!(third.notes().iter().any(|note| note.contains("set aside")), "{:?}", third.notes());
        let names = third.state().resources.keys().map(|identity| identity.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["values.z"]);
    });
}

#[test]
fn a_long_journal_is_folded_and_read_alike() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let mut session = open(&backend, "a", 0).await.expect("free");
        session.commit(vec![begin()]).await.expect("written");
        for number in 0..100 {
            session.commit(made(&format!("n{number}"))).await.expect("written");
        }
        let before = session.state().clone();
        session.compact().await.expect("folded");
        session.commit(made("after")).await.expect("written");
        session.close().await;
        let loaded = backend.read().await.expect("read");
        assert_eq!((loaded.unfolded.0, loaded.state.resources.len()), (1, 101));
        let mut again = open(&backend, "b", 0).await.expect("free");
        again.commit(vec![Transition::Gone(Address::new("values.after").identity())]).await.expect("written");
        assert_eq!(again.state().resources, before.resources);
        again.close().await;
        let runs = history::runs(&backend.chapters().await.expect("read"));
        let told = runs.iter().map(|run| (run.holder.as_deref(), run.added, run.removed)).collect::<Vec<_>>();
        assert_eq!(told, [(Some("run a"), 101, 0), (Some("run b"), 0, 1)]);
    });
}

#[test]
fn folded_segments_are_kept_for_a_while_and_not_for_ever() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let outputs = |run: i64| {
            let outputs = (0..4000).map(|n| (format!("output-{n}"), crate::value::Value::from(n + run)));
            Transition::Outputs(outputs.collect())
        };
        let mut serials = Vec::new();
        for run in 0..6 {
            let mut session = open(&backend, &run.to_string(), 0).await.expect("free");
            let first = session.state().is_new().then(begin);
            session.commit(first.into_iter().chain([outputs(run), outputs(run + 1)]).collect()).await.expect("written");
            session.compact().await.expect("folded");
            serials.push(session.state().serial);
            session.close().await;
        }
        assert!(store.keys().iter().filter(|key| key.starts_with(JOURNAL)).count() < 8, "{:?}", store.keys());
        let chapters = backend.chapters().await.expect("read");
        let state = history::at(&chapters, serials[4] + 1).expect("between two snapshots");
        assert_eq!(Transition::Outputs(state.outputs), outputs(5));
        assert!(history::at(&chapters, serials[0]).is_some(), "a snapshot");
        assert!(history::at(&chapters, serials[0] + 1).is_none(), "no longer");
        // A state that cannot be read is replaced by one that can, and goes on from there.
        let last = backend.read().await.expect("read");
        store.put(&segment::key(last_segment(&store) + 2), b"rubbish");
        assert!(backend.read().await.is_err());
        let me = Me { run: "r".into(), holder: "mender".into(), process: None };
        backend.repair(&me, &last.state).await.expect("repaired");
        let mended = backend.read().await.expect("read").state;
        assert!(mended.agrees(&last.state) && mended.serial > last.state.serial);
        let mut session = open(&backend, "after", 0).await.expect("free");
        session.commit(vec![outputs(9)]).await.expect("written");
    });
}

fn last_segment(store: &MemoryStore) -> u64 {
    store.keys().iter().filter_map(|key| segment::number(key)).max().expect("some")
}

#[test]
fn damage_is_named_and_never_read_as_nothing() {
    world(async |clock, store| {
        let disk = MemoryDisk::new();
        let backend = backend(&store, &clock, &disk);
        let mut session = open(&backend, "a", 0).await.expect("free");
        session.commit(vec![begin()]).await.expect("written");
        session.commit(made("x")).await.expect("written");
        session.close().await;
        let key = segment::key(2);
        let whole = store.get(&key).await.expect("asked").expect("there").bytes;
        for cut in 0..whole.len() {
            store.put(&key, &whole[..cut]);
            match backend.read().await {
                // The header alone, as whole lines, is a fence.
                Ok(loaded) => assert!(whole[..cut].ends_with(b"\n") && loaded.state.serial == 0, "{cut}"),
                Err(BackendError::Damaged { place, .. }) => assert!(place.contains("journal/"), "{place}"),
                Err(other) => panic!("{other}"),
            }
        }
        store.delete(&key).await.expect("deleted");
        assert!(matches!(backend.read().await, Err(BackendError::Damaged { error: DecodeError::Gap { .. }, .. })));
    });
}

/// What one run of a schedule does.
#[derive(Clone, Debug)]
struct Actor {
    start: u64,
    commits: usize,
    pause: u64,
    lost: u64,
    unanswered: u64,
    slow: u64,
    /// From when to when nothing gets through.
    away: (u64, u64),
    /// How long each of its calls takes, seconds: at most what a lease allows for.
    call: u64,
    /// Ends without letting go.
    killed: bool,
}

fn actor() -> impl Strategy<Value = Actor> {
    let times = (0u64..40, 0u64..20_000, (0u64..500, 0u64..300), 0u64..lease::CALL.as_secs());
    (0u64..400, 1usize..12, 0u64..30, 0u64..30, times, any::<bool>()).prop_map(
        |(start, commits, lost, unanswered, (pause, slow, (from, length), call), killed)| Actor {
            start,
            commits,
            pause,
            lost,
            unanswered,
            slow,
            away: (from, from + length),
            call,
            killed,
        },
    )
}

/// What a run did: when it was begun and over, by whom; and for a commit that was acknowledged, of what.
type Done = (Timestamp, Timestamp, usize, Option<String>);

async fn act(number: usize, actor: Actor, clock: SharedClock, store: MemoryStore) -> Vec<Done> {
    let (mut done, disk) = (Vec::new(), MemoryDisk::new());
    let troubled = store.clone();
    let (seconds, watch) = (Duration::from_secs, clock.clone());
    let away = actor.away;
    tokio::spawn(async move {
        watch.sleep(seconds(away.0)).await;
        troubled.away(true);
        watch.sleep(seconds(away.1 - away.0)).await;
        troubled.away(false);
    });
    clock.sleep(seconds(actor.start)).await;
    let backend = backend(&store, &clock, &disk);
    let Ok(mut session) = open(&backend, &format!("run-{number}"), 600).await else { return done };
    for commit in 0..actor.commits {
        if !session.leash().holds(clock.now()) {
            break;
        }
        // The call, to a platform that asks nobody whose state it is.
        let begun = clock.now();
        clock.sleep(seconds(actor.call)).await;
        done.push((begun, clock.now(), number, None));
        let begun = clock.now();
        let name = format!("r{number}-{commit}");
        let mut transitions = made(&name);
        if session.state().is_new() {
            transitions.insert(0, begin());
        }
        if session.commit(transitions).await.is_err() {
            break;
        }
        done.push((begun, clock.now(), number, Some(name)));
        clock.sleep(seconds(actor.pause)).await;
    }
    if !actor.killed {
        session.close().await;
    }
    done
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Two to eight runs with slow, lossy and absent ways to one store: what was acknowledged is there, once and in
    /// one history, and no two runs' calls or writes overlap in time. Each has a clock of its own only for durations;
    /// one whose way is away is to the others like one that stands still, and is revived when it comes back.
    #[test]
    fn exactly_one_writes(actors in proptest::collection::vec(actor(), 2..=8)) {
        let (acknowledged, state) = world(async |clock, store| {
            let mut runs = Vec::new();
            for (number, actor) in actors.iter().cloned().enumerate() {
                let way = store.another(number as u64);
                way.trouble(actor.lost, actor.unanswered, Duration::from_millis(actor.slow));
                runs.push(tokio::spawn(act(number, actor, clock.clone(), way)));
            }
            let mut acknowledged = Vec::new();
            for run in runs {
                acknowledged.extend(run.await.expect("ended"));
            }
            let state = backend(&store, &clock, &MemoryDisk::new()).read().await.expect("whole").state;
            (acknowledged, state)
        });
        let mut names = acknowledged.iter().filter_map(|(.., name)| name.clone()).collect::<Vec<_>>();
        let there = state.resources.values().filter_map(|recorded| recorded.id.clone()).collect::<Vec<_>>();
        for name in &names {
            prop_assert!(there.contains(name), "{name} was acknowledged and is not there");
        }
        let all = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), all);
        let mut spans = acknowledged.iter().map(|(from, to, run, _)| (*from, *to, *run)).collect::<Vec<_>>();
        spans.sort();
        for pair in spans.windows(2) {
            prop_assert!(pair[0].2 == pair[1].2 || pair[0].1 <= pair[1].0, "two runs at once: {:?}", pair);
        }
    }
}
