//! Progress of a run for people: a live tree on a terminal, plain lines elsewhere.
//!
//! Components are the unit: an add-on of sixty objects is one line that counts. `--verbose` shows each object. What is
//! told for good are lines; on a terminal, a picture of what is under way stands below them until the run is over.

mod course;
mod frame;
mod screen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::address::Address;
use crate::env::clock::{SharedClock, Timestamp};
use crate::event::{Event, Sink};
use crate::plan::model::{Action, Plan};
use crate::ui::paint::{Paint, count, duration, tame};
use course::Course;
use frame::{Look, frame};
use screen::Screen;

/// So many resources are named in one line.
const NAMED: usize = 5;

/// How often a picture is drawn, in real time.
const PICTURES: Duration = Duration::from_millis(125);

/// Where nothing is told for so long, a line says that the run goes on.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// Where progress is shown.
pub struct Stage {
    /// What is written to: standard error.
    pub out: Box<dyn Write + Send>,
    /// The size of the terminal, asked before each picture: (rows, columns). `None` for plain lines.
    pub size: Option<Size>,
    /// Colours.
    pub paint: Paint,
    /// Characters beyond ASCII.
    pub unicode: bool,
    /// Each object is told, and each retry.
    pub verbose: bool,
}

/// Asks a terminal for its rows and columns.
pub type Size = Box<dyn Fn() -> Option<(usize, usize)> + Send>;

/// Shows a run's events.
pub struct Progress {
    paint: Paint,
    verbose: bool,
    clock: SharedClock,
    inner: Arc<Mutex<Inner>>,
    /// Who draws, and what ends that.
    painter: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

struct Inner {
    target: Target,
    course: Course,
    /// When a line was told last.
    told: Timestamp,
    /// What each has said last that it waits for.
    said: BTreeMap<Address, String>,
}

enum Target {
    Lines(Box<dyn Write + Send>),
    Live(Box<Live>),
}

struct Live {
    screen: Screen,
    size: Size,
    look: Look,
}

impl Progress {
    /// Of a plan that is going to be carried out.
    pub fn new(plan: &Plan, stage: Stage, clock: SharedClock) -> Self {
        let Stage { out, size, paint, unicode, verbose } = stage;
        let simulated = !clock.is_continuous();
        let is_live = size.is_some();
        let target = match size {
            None => Target::Lines(out),
            Some(size) => {
                let look = Look { paint, unicode, simulated, tick: 0, rows: 0, columns: 0 };
                Target::Live(Box::new(Live { screen: Screen::new(out), size, look }))
            }
        };
        let inner = Inner { target, course: Course::new(plan), told: clock.now(), said: BTreeMap::new() };
        let inner = Arc::new(Mutex::new(inner));
        let painter = is_live.then(|| paint_again(inner.clone(), clock.clone()));
        Progress { paint, verbose, clock, inner, painter: Mutex::new(painter) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Takes the picture away; call when the run is over.
    pub fn finish(&self) {
        let painter = self.painter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((end, thread)) = painter {
            drop(end);
            thread.join().ok();
        }
        if let Target::Live(live) = &mut self.lock().target {
            live.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws again and again, in real time: a terminal is looked at by people, whatever the clock of the run.
fn paint_again(inner: Arc<Mutex<Inner>>, clock: SharedClock) -> (Sender<()>, JoinHandle<()>) {
    let (end, ended) = channel::<()>();
    let thread = std::thread::spawn(move || {
        while ended.recv_timeout(PICTURES) == Err(RecvTimeoutError::Timeout) {
            let mut inner = lock(&inner);
            let Inner { target: Target::Live(live), course, .. } = &mut *inner else { break };
            live.look.tick += 1;
            live.draw(&[], course, clock.now());
        }
    });
    (end, thread)
}

impl Live {
    fn draw(&mut self, above: &[String], course: &Course, now: Timestamp) {
        // A terminal that does not tell its size is as small as terminals were.
        let (rows, columns) = (self.size)().unwrap_or((24, 80));
        // The cursor stands in the last line.
        let look = Look { rows: rows.saturating_sub(1), columns: columns.saturating_sub(1), ..self.look };
        let picture = frame(course, now, look);
        self.screen.draw(above, &picture, columns);
    }

    fn clear(&mut self) {
        let columns = (self.size)().map_or(80, |(_, columns)| columns);
        self.screen.draw(&[], &[], columns);
    }
}

impl Inner {
    fn line(&mut self, text: &str, now: Timestamp) {
        self.told = now;
        let Inner { target, course, .. } = self;
        match target {
            Target::Live(live) => live.draw(&text.lines().map(str::to_owned).collect::<Vec<_>>(), course, now),
            // A closed pipe ends the talk, not the run.
            Target::Lines(out) => {
                writeln!(out, "{text}").and_then(|()| out.flush()).ok();
            }
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.target, Target::Live(_))
    }

    /// How many resources of the component change, and whether it is a single one.
    fn size(&self, name: &str) -> (usize, bool) {
        let resources = self.course.components.get(name).map_or(0, |component| component.resources);
        (resources, resources <= 1)
    }

    /// Whether an event says of its resource, or of its component, what was not said before.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Started { address, .. } => {
                self.course.components.get(address.component()).is_none_or(|component| component.begun.is_none())
            }
            Event::Waiting { address, waiting_for: words, .. } | Event::Retrying { address, message: words, .. } => {
                self.said.insert(address.clone(), words.clone()).as_ref() != Some(words)
            }
            _ => true,
        }
    }

    /// Says that the run goes on, where nothing else has been said for long and somebody waits for it.
    fn beat(&mut self, now: Timestamp) {
        if self.is_live() || now.since(self.told) < HEARTBEAT {
            return;
        }
        let rest = self.course.rest(now);
        let elapsed = self.course.begun.map_or(Duration::ZERO, |begun| now.since(begun));
        let names = self.course.active(rest.critical).into_iter().map(|(name, _)| tame(name)).collect::<Vec<_>>();
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let left = if rest.total.is_zero() { String::new() } else { format!(", about {} left", duration(rest.total)) };
        let (done, total) = self.course.counted();
        let names = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        self.line(
            &format!("Still working... [{} elapsed{left}] {done}/{total}: {names}{more}", duration(elapsed)),
            now,
        );
    }
}

fn gerund(action: Action) -> &'static str {
    match action {
        Action::Create => "Creating...",
        Action::Update => "Modifying...",
        Action::Replace => "Replacing...",
        Action::Delete => "Destroying...",
        Action::Adopt => "Adopting...",
        Action::Run => "Running...",
        Action::Forget => "Letting go...",
        Action::NoOp | Action::Record => "Waiting...",
    }
}

fn completion(action: Action) -> &'static str {
    match action {
        Action::Create => "Creation",
        Action::Update => "Modifications",
        Action::Replace => "Replacement",
        Action::Delete => "Destruction",
        Action::Adopt => "Adoption",
        Action::Run => "Run",
        Action::Forget => "Letting go",
        Action::NoOp | Action::Record => "Waiting",
    }
}

impl Sink for Progress {
    fn emit(&self, event: Event) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let news = inner.is_news(&event);
        inner.course.note(&event, now);
        match event {
            Event::Stage { what } => inner.line(&self.paint.dim(&tame(&what)), now),
            Event::Started { address, action, .. } => {
                let name = address.component().to_owned();
                let (total, single) = inner.size(&name);
                let first = news;
                if self.verbose || single {
                    inner.line(&format!("{}: {}", self.paint.bold(&tame(address.as_str())), gerund(action)), now);
                } else if first {
                    let text = format!("{}: {} ({total} objects)", self.paint.bold(&tame(&name)), gerund(action));
                    inner.line(&text, now);
                }
            }
            Event::Operation { address, name } => {
                if self.verbose {
                    inner.line(&self.paint.dim(&format!("{}: {}", tame(address.as_str()), tame(&name))), now);
                }
            }
            Event::Waiting { address, waiting_for, elapsed } => {
                let long = elapsed >= Duration::from_secs(10);
                if !inner.is_live() && (self.verbose || (news && long)) {
                    let text = format!(
                        "{}: Still working... [{} elapsed] waiting for {}",
                        tame(address.as_str()),
                        duration(elapsed),
                        tame(&waiting_for)
                    );
                    inner.line(&text, now);
                }
                // Where time jumps, nobody waits for it.
                if self.clock.is_continuous() {
                    inner.beat(now);
                }
            }
            Event::Retrying { address, message, delay, .. } => {
                if !inner.is_live() && (self.verbose || (news && delay >= Duration::from_secs(4))) {
                    inner.line(
                        &format!(
                            "{}: {} {}",
                            tame(address.as_str()),
                            self.paint.yellow(&format!("trying again in {}:", duration(delay))),
                            tame(&message)
                        ),
                        now,
                    );
                }
            }
            Event::Finished { address, action, elapsed } => {
                let name = address.component().to_owned();
                let (_, single) = inner.size(&name);
                let component = inner.course.components.get(&name);
                let over = component.is_some_and(|component| component.done == component.total);
                let begun = component.and_then(|component| component.begun);
                let since = begun.map_or(elapsed, |begun| now.since(begun));
                let (text, time) =
                    if self.verbose || single { (tame(address.as_str()), elapsed) } else { (tame(&name), since) };
                if self.verbose || over || single {
                    let line = format!("{} complete after {}", completion(action), duration(time));
                    inner.line(&format!("{}: {}", self.paint.bold(&text), self.paint.green(&line)), now);
                }
            }
            Event::Failed { address, action: _, causes, hint } => {
                inner.line(&format!("{} {}", self.paint.red("Error:"), self.paint.bold(&tame(address.as_str()))), now);
                for (depth, cause) in causes.iter().enumerate() {
                    inner.line(&format!("  {}{}", "  ".repeat(depth), tame(cause)), now);
                }
                if let Some(hint) = hint {
                    inner.line(&format!("  hint: {}", tame(&hint)), now);
                }
            }
            Event::Skipped { address, because } => {
                if self.verbose {
                    inner.line(
                        &self.paint.dim(&format!("{}: not tried, {}", tame(address.as_str()), tame(&because))),
                        now,
                    );
                }
            }
            Event::Interrupted { in_flight, at_once } => {
                let begun = count(in_flight, "started change");
                let text = if at_once {
                    format!("Leaving at once: {begun} will be taken up by the next run.")
                } else {
                    format!(
                        "Interrupted: finishing {begun}, starting nothing new. Press Ctrl-C again to leave at once."
                    )
                };
                inner.line(&self.paint.yellow(&text), now);
            }
            Event::Stranded { because, in_flight } => {
                let shown = in_flight.iter().take(NAMED).map(|address| tame(address.as_str()));
                let more = in_flight.len().saturating_sub(NAMED);
                let more = (more > 0).then(|| format!("{more} more"));
                let names = shown.chain(more).collect::<Vec<_>>().join(", ");
                let begun = count(in_flight.len(), "started change");
                let text = format!("{}. Nothing more is begun; {begun} will end first: {names}.", tame(&because));
                inner.line(&self.paint.yellow(&text), now);
            }
            Event::Proving { component, url, through, waiting_for } => {
                let by = through.map(|pod| format!(", by port-forward to {}", tame(&pod))).unwrap_or_default();
                let text = match waiting_for {
                    None => format!("{}: asking {} for a completion{by}", tame(&component), tame(&url)),
                    Some(why) => format!("{}: no completion yet: {}", tame(&component), tame(&why)),
                };
                inner.line(&text, now);
            }
            Event::Proved { component, model, text, tokens, elapsed, first_token, .. } => {
                let first = first_token.map(|first| format!(", the first one after {}", millis(first)));
                inner.line(
                    &format!(
                        "{}: {} answered after {} with {tokens} tokens{}: {}",
                        self.paint.bold(&tame(&component)),
                        tame(&model),
                        millis(elapsed),
                        first.unwrap_or_default(),
                        self.paint.green(&format!("{:?}", tame(&text)))
                    ),
                    now,
                );
            }
        }
    }
}

fn millis(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(10) { format!("{} ms", elapsed.as_millis()) } else { duration(elapsed) }
}
