//! A run as a trace: what was done when, what it waited for, and which end let it begin. In the JSON that Perfetto and
//! Chrome's tracing page open.
//!
//! One group per component, one track per resource; requests lie within what made them. Each event is written at once: a
//! run that was killed leaves a file that both still open.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};

use crate::address::Address;
use crate::env::clock::{SharedClock, Timestamp};
use crate::event::{Event, Sink};
use crate::graph::Graph;
use crate::plan::execution::{self, Phase, Task};
use crate::plan::model::{Action, Plan};

/// A request to a platform.
pub struct Request<'a> {
    /// Who made it; nobody in particular where things are only read.
    pub address: Option<&'a str>,
    /// How it was asked.
    pub method: &'a str,
    /// What was asked.
    pub what: &'a str,
    /// How it ended.
    pub outcome: &'a str,
    /// When it was sent, milliseconds since 1970.
    pub at_ms: u64,
    /// Until its answer was read.
    pub took_ms: u64,
}

/// Draws a run up.
pub struct Trace {
    inner: Mutex<Inner>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    clock: Option<SharedClock>,
    /// Something was written already.
    begun: bool,
    /// Groups by component; 0 is the run itself.
    groups: BTreeMap<String, u64>,
    tracks: BTreeMap<Key, Track>,
    /// What each has said last that it waits for.
    waits: BTreeMap<Key, String>,
    /// Lanes of requests that are nobody's: until when each is in use.
    lanes: Vec<u64>,
    graph: Graph<Task>,
    /// Ends of tasks: (when, track).
    ends: BTreeMap<Task, (u64, Place)>,
    arrows: u64,
    /// The last moment that was written.
    last: u64,
}

#[derive(Clone, Copy)]
struct Place {
    group: u64,
    track: u64,
}

struct Track {
    place: Place,
    /// Spans that are open, one within the other.
    open: usize,
}

/// A component, or nothing for the run itself, and what in it.
type Key = (String, String);

impl Trace {
    /// Into `out`, from now on.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        let inner = Inner {
            out,
            clock: None,
            begun: false,
            groups: BTreeMap::new(),
            tracks: BTreeMap::new(),
            waits: BTreeMap::new(),
            lanes: Vec::new(),
            graph: Graph::new(),
            ends: BTreeMap::new(),
            arrows: 0,
            last: 0,
        };
        let trace = Trace { inner: Mutex::new(inner) };
        trace.lock().write(&json!({
            "ph": "M", "name": "process_name", "pid": 0, "tid": 0, "args": { "name": "stackwright" },
        }));
        trace
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plan is going to be carried out, by this clock.
    pub fn begin(&self, plan: &Plan, clock: SharedClock) {
        let mut inner = self.lock();
        inner.graph = execution::graph(plan);
        inner.ends.clear();
        let now = clock.now();
        inner.clock = Some(clock);
        // One command may carry out several plans, one after the other.
        inner.close(&run(), now, Json::Null);
        let verb = if plan.destroy { "destroy" } else { "apply" };
        inner.open(&run(), &format!("{verb} {}", plan.stack), now, Json::Null);
    }

    /// The program ends: what is still open is closed.
    pub fn end(&self) {
        let mut inner = self.lock();
        let now = inner.now();
        let names = inner.tracks.keys().cloned().collect::<Vec<_>>();
        for name in names {
            while inner.tracks.get(&name).is_some_and(|track| track.open > 0) {
                inner.close(&name, now, json!({ "unfinished": true }));
            }
        }
        let text = "\n]\n";
        inner.out.write_all(text.as_bytes()).and_then(|()| inner.out.flush()).ok();
    }

    /// A request was answered, or was not.
    pub fn request(&self, request: &Request<'_>) {
        let mut inner = self.lock();
        let (from, to) = (request.at_ms * 1000, (request.at_ms + request.took_ms) * 1000);
        let place = match request.address {
            Some(address) => inner.track(&of(&Address::new(address))),
            None => {
                let free = inner.lanes.iter().position(|until| *until <= from);
                let lane = free.unwrap_or(inner.lanes.len());
                if lane == inner.lanes.len() {
                    inner.lanes.push(0);
                }
                inner.lanes[lane] = to;
                inner.track(&(String::new(), format!("requests {}", lane + 1)))
            }
        };
        inner.last = inner.last.max(to);
        let args = json!({ "what": request.what, "outcome": request.outcome });
        inner.write(&json!({
            "ph": "X", "cat": "request", "name": format!("{} {}", request.method, short(request.what)), "ts": from,
            "dur": to - from, "pid": place.group, "tid": place.track, "args": args,
        }));
    }
}

/// The end of a path.
fn short(what: &str) -> &str {
    what.trim_end_matches('/').rsplit('/').next().unwrap_or(what)
}

impl Inner {
    fn now(&self) -> Timestamp {
        let last = Timestamp(self.last / 1000);
        self.clock.as_ref().map_or(last, |clock| clock.now().max(last))
    }

    fn write(&mut self, event: &Json) {
        // Who cannot write a trace carries the run out all the same.
        let lead = if std::mem::replace(&mut self.begun, true) { ",\n" } else { "[\n" };
        write!(self.out, "{lead}{event}").and_then(|()| self.out.flush()).ok();
    }

    /// The track of a resource, or of something else that has a name, in its group.
    fn track(&mut self, key: &Key) -> Place {
        if let Some(track) = self.tracks.get(key) {
            return track.place;
        }
        let (component, name) = key;
        let next = self.groups.len() as u64 + 1;
        let group = match component.as_str() {
            "" => 0,
            component => *self.groups.entry(component.to_owned()).or_insert(next),
        };
        if group == next {
            self.write(&json!({
                "ph": "M", "name": "process_name", "pid": group, "tid": 0, "args": { "name": component },
            }));
        }
        let place = Place { group, track: self.tracks.len() as u64 + 1 };
        self.write(&json!({
            "ph": "M", "name": "thread_name", "pid": group, "tid": place.track, "args": { "name": name },
        }));
        self.tracks.insert(key.clone(), Track { place, open: 0 });
        place
    }

    fn open(&mut self, key: &Key, name: &str, now: Timestamp, args: Json) {
        let place = self.track(key);
        if let Some(track) = self.tracks.get_mut(key) {
            track.open += 1;
        }
        self.point("B", place, Some(name), now, args);
    }

    fn close(&mut self, key: &Key, now: Timestamp, args: Json) {
        let Some(track) = self.tracks.get_mut(key).filter(|track| track.open > 0) else { return };
        track.open -= 1;
        let place = track.place;
        self.point("E", place, None, now, args);
    }

    /// Closes what lies within the span of a change.
    fn close_inner(&mut self, key: &Key, now: Timestamp) {
        while self.tracks.get(key).is_some_and(|track| track.open > 1) {
            self.close(key, now, Json::Null);
        }
    }

    fn point(&mut self, phase: &str, place: Place, name: Option<&str>, now: Timestamp, args: Json) {
        self.last = self.last.max(now.0 * 1000);
        let mut event = json!({ "ph": phase, "ts": now.0 * 1000, "pid": place.group, "tid": place.track });
        if let Some(name) = name {
            event["name"] = name.into();
        }
        if phase == "i" {
            event["s"] = "t".into();
        }
        if !args.is_null() {
            event["args"] = args;
        }
        self.write(&event);
    }

    /// An arrow from whatever ended last of all that a task has waited for.
    fn arrow(&mut self, task: &Task, to: Place, now: Timestamp) {
        let mut seen = BTreeSet::new();
        let mut queue = vec![task.clone()];
        let mut last: Option<(u64, Place)> = None;
        while let Some(task) = queue.pop() {
            for (needed, _) in self.graph.dependencies(&task) {
                if !seen.insert(needed.clone()) {
                    continue;
                }
                match self.ends.get(needed) {
                    Some((at, place)) => last = last.filter(|(other, _)| other >= at).or(Some((*at, *place))),
                    // Barriers, and what the plan leaves alone: what they have waited for counts.
                    None => queue.push(needed.clone()),
                }
            }
        }
        let Some((at, from)) = last else { return };
        self.arrows += 1;
        let arrow = |phase: &str, place: Place, at: u64| {
            json!({
                "ph": phase, "cat": "needs", "name": "lets begin", "id": self.arrows, "ts": at,
                "pid": place.group, "tid": place.track, "bp": "e",
            })
        };
        // Within the span that ended, not after it.
        let (start, finish) = (arrow("s", from, at.saturating_sub(1)), arrow("f", to, now.0 * 1000));
        self.write(&start);
        self.write(&finish);
    }

    fn task(&self, address: &Address, action: Action) -> Task {
        let task = |phase| Task { phase, address: address.clone() };
        let (apply, destroy) = (task(Phase::Apply), task(Phase::Destroy));
        let leaves = matches!(action, Action::Delete | Action::Forget) || !self.graph.contains(&apply);
        if leaves { destroy } else { apply }
    }

    fn finish(&mut self, address: &Address, action: Action, args: Json) {
        let now = self.now();
        let key = of(address);
        self.close_inner(&key, now);
        self.close(&key, now, args);
        let place = self.track(&key);
        let task = self.task(address, action);
        self.ends.insert(task, (now.0 * 1000, place));
    }

    /// A span within that of a change, in the place of the last one.
    fn within(&mut self, address: &Address, name: &str, args: Json) {
        let now = self.now();
        let key = of(address);
        self.close_inner(&key, now);
        self.open(&key, name, now, args);
    }

    /// Something that happens at a moment, and is the run's own.
    fn moment(&mut self, name: &str) {
        let now = self.now();
        let place = self.track(&run());
        self.point("i", place, Some(name), now, Json::Null);
    }
}

/// The run's own track.
fn run() -> Key {
    (String::new(), "run".to_owned())
}

fn of(address: &Address) -> Key {
    (address.component().to_owned(), address.object_key().unwrap_or(address.as_str()).to_owned())
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace: create",
        Action::Delete => "delete",
        Action::Forget => "let go",
        Action::Adopt => "adopt",
        Action::Run => "run",
        Action::NoOp | Action::Record => "wait",
    }
}

impl Sink for Trace {
    fn emit(&self, event: Event) {
        let mut inner = self.lock();
        match event {
            Event::Stage { what } => inner.moment(&what),
            Event::Started { address, action, estimate } => {
                let (now, key) = (inner.now(), of(&address));
                let args = json!({ "address": address.as_str(), "usually_seconds": estimate.as_secs() });
                inner.open(&key, verb(action), now, args);
                let (place, task) = (inner.track(&key), inner.task(&address, action));
                inner.arrow(&task, place, now);
            }
            Event::Operation { address, name } => {
                let now = inner.now();
                let place = inner.track(&of(&address));
                inner.point("i", place, Some(&name), now, Json::Null);
            }
            Event::Waiting { address, waiting_for, .. } => {
                let key = of(&address);
                // It says so every ten seconds; that is one wait. Who tidies up has no span to wait in.
                let open = inner.tracks.get(&key).is_some_and(|track| track.open > 0);
                if open && inner.waits.insert(key, waiting_for.clone()).as_ref() != Some(&waiting_for) {
                    inner.within(&address, &format!("waiting for {waiting_for}"), Json::Null);
                }
            }
            Event::Retrying { address, class, message, delay } => {
                let key = of(&address);
                inner.waits.remove(&key);
                if inner.tracks.get(&key).is_some_and(|track| track.open > 0) {
                    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    let args = json!({ "class": class, "message": message, "delay_ms": delay });
                    inner.within(&address, "trying again", args);
                }
            }
            Event::Finished { address, action, .. } => inner.finish(&address, action, Json::Null),
            Event::Failed { address, action, causes, .. } => {
                let began = inner.tracks.get(&of(&address)).is_some_and(|track| track.open > 0);
                if began {
                    inner.finish(&address, action, json!({ "failed": causes }));
                }
            }
            Event::Skipped { .. } => {}
            Event::Interrupted { at_once, .. } => {
                inner.moment(if at_once { "interrupted again: leaving" } else { "interrupted: finishing" });
            }
            Event::Stranded { because, .. } => inner.moment(&because),
            Event::Proving { component, url, waiting_for, .. } => {
                let (now, key) = (inner.now(), (component, "completion".to_owned()));
                if inner.tracks.get(&key).is_none_or(|track| track.open == 0) {
                    inner.open(&key, "asking for a completion", now, json!({ "url": url }));
                }
                if let Some(why) = waiting_for
                    && inner.waits.insert(key.clone(), why.clone()).as_ref() != Some(&why)
                {
                    inner.close_inner(&key, now);
                    inner.open(&key, &format!("waiting for {why}"), now, Json::Null);
                }
            }
            Event::Proved { component, model, tokens, .. } => {
                let (now, key) = (inner.now(), (component, "completion".to_owned()));
                inner.close_inner(&key, now);
                inner.close(&key, now, json!({ "model": model, "tokens": tokens }));
            }
        }
    }
}
