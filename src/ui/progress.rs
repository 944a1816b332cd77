//! Progress of a run for people: a live tree on a terminal, plain lines elsewhere.
//!
//! Components are the unit: an add-on of sixty objects is one line that counts. `--verbose` shows each object.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::address::Address;
use crate::env::clock::{SharedClock, Timestamp};
use crate::event::{Event, Sink};
use crate::plan::model::{Action, Plan};
use crate::ui::paint::{Paint, count, duration, tame};

/// So many resources are named in one line.
const NAMED: usize = 5;

/// Shows a run's events.
pub struct Progress {
    paint: Paint,
    verbose: bool,
    clock: SharedClock,
    inner: Mutex<Inner>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    live: Option<Live>,
    components: BTreeMap<String, Component>,
}

/// The bars of a terminal, by component.
struct Live {
    bars: indicatif::MultiProgress,
    by_component: BTreeMap<String, indicatif::ProgressBar>,
}

#[derive(Default)]
struct Component {
    total: usize,
    done: usize,
    begun: Option<Timestamp>,
    waiting: BTreeMap<Address, String>,
    running: BTreeSet<Address>,
    deleting: bool,
}

impl Progress {
    /// Lines on `out`, or a tree of bars on standard error when `live`.
    pub fn new(
        plan: &Plan,
        out: Box<dyn Write + Send>,
        live: bool,
        paint: Paint,
        verbose: bool,
        clock: SharedClock,
    ) -> Self {
        let mut components: BTreeMap<String, Component> = BTreeMap::new();
        for change in plan.changes.iter().filter(|c| (c.action.acts() || c.resume) && c.goes_with.is_none()) {
            let component = components.entry(change.address.component().to_owned()).or_default();
            component.total += if change.action == Action::Replace { 2 } else { 1 };
            component.deleting |= change.action == Action::Delete;
        }
        let live = live.then(|| Live { bars: indicatif::MultiProgress::new(), by_component: BTreeMap::new() });
        Progress { paint, verbose, clock, inner: Mutex::new(Inner { out, live, components }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the bars away; call when the run is over.
    pub fn finish(&self) {
        if let Some(live) = &self.lock().live {
            live.bars.clear().ok();
        }
    }
}

impl Inner {
    fn line(&mut self, text: &str) {
        match &self.live {
            Some(live) => {
                live.bars.println(text).ok();
            }
            // A closed pipe ends the talk, not the run.
            None => {
                writeln!(self.out, "{text}").and_then(|()| self.out.flush()).ok();
            }
        }
    }

    fn redraw(&mut self, name: &str, now: Timestamp) {
        let Some(component) = self.components.get(name) else { return };
        let Some(live) = &mut self.live else { return };
        if component.running.is_empty() && component.done >= component.total {
            if let Some(bar) = live.by_component.remove(name) {
                bar.finish_and_clear();
            }
            return;
        }
        let bar = live.by_component.entry(name.to_owned()).or_insert_with(|| {
            let bar = live.bars.add(indicatif::ProgressBar::new_spinner());
            // Cut at the terminal's edge: a bar that wraps leaves its first line behind.
            if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let elapsed = component.begun.map_or(Duration::ZERO, |begun| now.since(begun));
        let waiting = component.waiting.values().next().map(|w| format!(": {}", tame(w))).unwrap_or_default();
        let counted =
            if component.total > 1 { format!(" {}/{}", component.done, component.total) } else { String::new() };
        bar.set_message(format!("{}{counted} [{}]{waiting}", tame(name), duration(elapsed)));
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
        match event {
            Event::Stage { what } => inner.line(&self.paint.dim(&tame(&what))),
            Event::Started { address, action, .. } => {
                let name = address.component().to_owned();
                let component = inner.components.entry(name.clone()).or_default();
                let first = component.begun.is_none();
                component.begun.get_or_insert(now);
                component.running.insert(address.clone());
                let (total, single) = (component.total, component.total <= 1);
                if self.verbose || single {
                    inner.line(&format!("{}: {}", self.paint.bold(&tame(address.as_str())), gerund(action)));
                } else if first {
                    let text = format!("{}: {} ({total} objects)", self.paint.bold(&tame(&name)), gerund(action));
                    inner.line(&text);
                }
                inner.redraw(&name, now);
            }
            Event::Operation { address, name } => {
                if self.verbose {
                    inner.line(&self.paint.dim(&format!("{}: {}", tame(address.as_str()), tame(&name))));
                }
            }
            Event::Waiting { address, waiting_for, elapsed } => {
                let name = address.component().to_owned();
                let component = inner.components.entry(name.clone()).or_default();
                let news =
                    component.waiting.insert(address.clone(), waiting_for.clone()).as_ref() != Some(&waiting_for);
                let long = elapsed >= Duration::from_secs(10);
                if inner.live.is_none() && (self.verbose || (news && long)) {
                    let text = format!(
                        "{}: Still working... [{} elapsed] waiting for {}",
                        tame(address.as_str()),
                        duration(elapsed),
                        tame(&waiting_for)
                    );
                    inner.line(&text);
                }
                inner.redraw(&name, now);
            }
            Event::Retrying { address, message, delay, .. } => {
                let name = address.component().to_owned();
                let component = inner.components.entry(name.clone()).or_default();
                let news = component.waiting.insert(address.clone(), message.clone()).as_ref() != Some(&message);
                if inner.live.is_none() && (self.verbose || (news && delay >= Duration::from_secs(4))) {
                    inner.line(&format!(
                        "{}: {} {}",
                        tame(address.as_str()),
                        self.paint.yellow(&format!("trying again in {}:", duration(delay))),
                        tame(&message)
                    ));
                }
                inner.redraw(&name, now);
            }
            Event::Finished { address, action, elapsed } => {
                let name = address.component().to_owned();
                let component = inner.components.entry(name.clone()).or_default();
                component.done += 1;
                component.waiting.remove(&address);
                component.running.remove(&address);
                let over = component.done == component.total;
                let since = component.begun.map_or(elapsed, |begun| now.since(begun));
                let single = component.total <= 1;
                let (text, time) =
                    if self.verbose || single { (tame(address.as_str()), elapsed) } else { (tame(&name), since) };
                if self.verbose || over {
                    let line = format!("{} complete after {}", completion(action), duration(time));
                    inner.line(&format!("{}: {}", self.paint.bold(&text), self.paint.green(&line)));
                }
                inner.redraw(&name, now);
            }
            Event::Failed { address, action: _, causes, hint } => {
                let name = address.component().to_owned();
                let component = inner.components.entry(name.clone()).or_default();
                component.running.remove(&address);
                component.waiting.remove(&address);
                inner.line(&format!("{} {}", self.paint.red("Error:"), self.paint.bold(&tame(address.as_str()))));
                for (depth, cause) in causes.iter().enumerate() {
                    inner.line(&format!("  {}{}", "  ".repeat(depth), tame(cause)));
                }
                if let Some(hint) = hint {
                    inner.line(&format!("  hint: {}", tame(&hint)));
                }
                inner.redraw(&name, now);
            }
            Event::Skipped { address, because } => {
                if self.verbose {
                    inner.line(&self.paint.dim(&format!("{}: not tried, {}", tame(address.as_str()), tame(&because))));
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
                inner.line(&self.paint.yellow(&text));
            }
            Event::Stranded { because, in_flight } => {
                let shown = in_flight.iter().take(NAMED).map(|address| tame(address.as_str()));
                let more = in_flight.len().saturating_sub(NAMED);
                let more = (more > 0).then(|| format!("{more} more"));
                let names = shown.chain(more).collect::<Vec<_>>().join(", ");
                let begun = count(in_flight.len(), "started change");
                let text = format!("{}. Nothing more is begun; {begun} will end first: {names}.", tame(&because));
                inner.line(&self.paint.yellow(&text));
            }
            Event::Proving { component, url, waiting_for } => {
                let text = match waiting_for {
                    None => format!("{}: asking {} for a completion", tame(&component), tame(&url)),
                    Some(why) => format!("{}: no completion yet: {}", tame(&component), tame(&why)),
                };
                inner.line(&text);
            }
            Event::Proved { component, model, text, tokens, elapsed, first_token, .. } => {
                let first = first_token.map(|first| format!(", the first one after {}", millis(first)));
                inner.line(&format!(
                    "{}: {} answered after {} with {tokens} tokens{}: {}",
                    self.paint.bold(&tame(&component)),
                    tame(&model),
                    millis(elapsed),
                    first.unwrap_or_default(),
                    self.paint.green(&format!("{:?}", tame(&text)))
                ));
            }
        }
    }
}

fn millis(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(10) { format!("{} ms", elapsed.as_millis()) } else { duration(elapsed) }
}
