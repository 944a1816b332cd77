//! Pictures and lines of a run, without a terminal and with a clock in hand.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::env::clock::{Clock, Sleep};

/// Time that stands where it is put, and passes like everybody's.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Tape {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

/// A plan that makes these, each needing the one before: (address, seconds).
fn plan(chain: &[(&str, u64)]) -> Plan {
    let mut changes = chain.iter().map(|(address, seconds)| {
        json!({ "address": address, "kind": "value", "action": "create", "reason": "new", "timeout_seconds": 900,
            "estimate_seconds": seconds })
    });
    let mut changes = changes.by_ref().collect::<Vec<_>>();
    changes.sort_by_key(|change| change["address"].as_str().unwrap().to_owned());
    let mut edges = chain
        .windows(2)
        .map(|pair| json!({ "dependent": pair[1].0, "dependency": pair[0].0, "reasons": ["it needs it"] }));
    let mut edges = edges.by_ref().collect::<Vec<_>>();
    edges.sort_by_key(|edge| edge["dependent"].as_str().unwrap().to_owned());
    let basis = json!({ "lineage": "", "serial": 0, "target": null });
    serde_json::from_value(json!({
        "format": crate::plan::model::FORMAT, "stack": "demo", "basis": basis, "changes": changes, "edges": edges,
        "drift": [], "outputs": {}, "proofs": [],
    }))
    .expect("a plan")
}

fn started(address: &str) -> Event {
    Event::Started { address: address.into(), action: Action::Create, estimate: Duration::ZERO }
}

fn finished(address: &str) -> Event {
    Event::Finished { address: address.into(), action: Action::Create, elapsed: Duration::from_secs(1) }
}

fn waiting(address: &str, what: &str, seconds: u64) -> Event {
    Event::Waiting { address: address.into(), waiting_for: what.into(), elapsed: Duration::from_secs(seconds) }
}

fn look(rows: usize, columns: usize, unicode: bool) -> Look {
    Look { paint: Paint { color: false }, unicode, simulated: false, tick: 0, rows, columns }
}

#[test]
fn what_remains_follows_the_longest_way() {
    let plan = plan(&[("cluster", 240), ("node_pools.gpu", 420), ("workloads.a/Deployment.apps/n/a", 60)]);
    let mut course = Course::new(&plan);
    let at = |seconds: u64| Timestamp(seconds * 1000);
    course.note(&started("cluster"), at(0));
    assert_eq!(course.rest(at(0)).critical, Some("cluster"));
    assert_eq!([0, 100, 300].map(|now| course.rest(at(now)).total.as_secs()), [720, 620, 510]);
    assert_eq!(course.pending(&course.rest(at(0))), ["node_pools.gpu", "workloads.a"]);
    assert_eq!(course.components["node_pools.gpu"].usual, Duration::from_secs(420));
    course.note(&finished("cluster"), at(300));
    course.note(&started("node_pools.gpu"), at(300));
    let fraction = course.fraction(&course.rest(at(300)));
    assert!((fraction - 1.0 / 3.0).abs() < 0.01, "{fraction}");
    let causes = vec!["no".to_owned()];
    let failed = Event::Failed { address: "node_pools.gpu".into(), action: Action::Create, causes, hint: None };
    course.note(&failed, at(400));
    let rest = course.rest(at(400));
    assert_eq!((rest.total, rest.critical), (Duration::ZERO, None), "what needs it will not be tried");
    assert!(course.active(None).is_empty());
}

#[test]
fn pictures_fit_whatever_the_terminal_and_the_names() {
    let members = (0..30)
        .map(|at| format!("addons.istio/Deployment.apps/istio-system/部署-{at:02}-with-a-long-name"))
        .collect::<Vec<_>>();
    let mut chain = vec![("cluster", 240), ("node_pools.\u{1b}[31mred", 30), ("addons.名前名前名前名前名前名前", 60)];
    chain.extend(members.iter().map(|address| (address.as_str(), 20)));
    chain.extend([("gateway", 90), ("workloads.a", 600)]);
    let plan = plan(&chain);
    let mut course = Course::new(&plan);
    course.note(&started("cluster"), Timestamp(0));
    course.note(&waiting("cluster", "the control plane: it is being made", 0), Timestamp(0));
    for address in chain.iter().skip(1).take(20).map(|(address, _)| *address) {
        course.note(&started(address), Timestamp(1000));
        course
            .note(&waiting(address, "Deployment 部署: 0 of 1 pods: 画像 is being pulled\u{202e}", 1), Timestamp(1000));
    }
    for columns in [8, 20, 39, 59, 60, 79, 200] {
        for rows in [1, 2, 3, 9, 19, 23, 60] {
            for unicode in [true, false] {
                let lines = frame(&course, Timestamp(60_000), look(rows, columns, unicode));
                let text = lines.join("\n");
                assert!(!lines.is_empty() && lines.len() <= rows, "{rows}x{columns}:\n{text}");
                for line in &lines {
                    assert!(console::measure_text_width(line) <= columns, "{rows}x{columns}: {line:?}");
                    assert!(!line.contains(['\u{1b}', '\n', '\u{202e}']), "{line:?}");
                }
                if !unicode && columns > 39 {
                    let ours = ['»', '━', '╌', '├', '└', '…', '⠋'];
                    assert!(!text.contains(ours), "{text}");
                }
            }
        }
    }
    let small = frame(&course, Timestamp(60_000), look(9, 39, true)).join("\n");
    for part in ["0/35", " left", "»", "└", "then: gateway, workloads.a", "…"] {
        assert!(small.contains(part), "{part}:\n{small}");
    }
    let folded = frame(&course, Timestamp(60_000), look(4, 79, true)).join("\n");
    assert!(folded.contains("more: ") && folded.contains("then: "), "{folded}");
    let wide = frame(&course, Timestamp(60_000), look(14, 79, true)).join("\n");
    for part in ["Applying demo  ", "1m00s, about ", "[31mred", "it is being made", "(+"] {
        assert!(wide.contains(part), "{part}:\n{wide}");
    }
}

#[test]
fn without_a_terminal_a_long_silence_is_broken() {
    let (tape, clock) = (Tape::default(), Arc::new(Hand::default()));
    let plan = plan(&[("cluster", 240), ("node_pools.gpu", 420)]);
    let stage =
        Stage { out: Box::new(tape.clone()), size: None, paint: Paint { color: false }, unicode: true, verbose: false };
    let progress = Progress::new(&plan, stage, clock.clone());
    progress.emit(started("cluster"));
    assert_eq!(tape.take(), "cluster: Creating...\n");
    for second in (10..=180).step_by(10) {
        clock.0.store(second * 1000, Ordering::SeqCst);
        progress.emit(waiting("cluster", "the control plane", second));
    }
    assert_eq!(
        tape.take(),
        "cluster: Still working... [10s elapsed] waiting for the control plane\n\
         Still working... [1m10s elapsed, about 9m50s left] 0/2: cluster\n\
         Still working... [2m10s elapsed, about 8m50s left] 0/2: cluster\n"
    );
}

#[test]
fn a_terminal_is_drawn_on_and_left_clean() {
    let (tape, clock) = (Tape::default(), Arc::new(Hand::default()));
    let plan = plan(&[("cluster", 240), ("node_pools.gpu", 420)]);
    let stage = Stage {
        out: Box::new(tape.clone()),
        size: Some(Box::new(|| Some((24, 80)))),
        paint: Paint { color: false },
        unicode: true,
        verbose: false,
    };
    let progress = Progress::new(&plan, stage, clock);
    progress.emit(started("cluster"));
    let drawn = tape.take();
    assert!(
        drawn.contains("cluster: Creating...")
            && drawn.contains("Applying demo")
            && drawn.contains("then: node_pools.gpu")
    );
    std::thread::sleep(PICTURES * 4);
    assert!(tape.take().contains("» ⠙ cluster"), "it turns by itself");
    progress.finish();
    let left = tape.take();
    assert!(left.ends_with("\u{1b}[3A\u{1b}[J\u{1b}[?2026l") || left.ends_with("\u{1b}[J\u{1b}[?2026l"), "{left:?}");
    std::thread::sleep(PICTURES * 2);
    assert_eq!(tape.take(), "", "nobody draws any more");
    assert!(!left.contains("?25l"), "the cursor is never hidden");
}
