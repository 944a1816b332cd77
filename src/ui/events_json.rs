//! Everything that is told as JSON lines, for programs: see `event::line` for their shape.
//!
//! Decides which event becomes which line, at which level, and what its sentence is.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::address::Address;
use crate::diag::{Diagnostic, Severity};
use crate::diagnosis::Cause;
use crate::env::clock::{SharedClock, Timestamp};
use crate::event::line::{
    Body, Complaint, Figures, Level, Line, Output, Planned, Position, Proof, Range, Resource, Step, VERSION,
};
use crate::event::{Event, Sink};
use crate::plan::model::{Action, Plan};
use crate::platform::audit::{Receipt, Unseen};
use crate::platform::preflight::{Check, Verdict};
use crate::resource::readiness::Readiness;
use crate::ui::diagnostic::without_logins;
use crate::ui::paint::{count, duration};
use crate::value::Value;

/// Who speaks where no part of the program is named.
const MODULE: &str = "stackwright.ui";

/// Writes one JSON object per line.
pub struct JsonLines {
    inner: Mutex<Inner>,
}

struct Inner {
    writer: Box<dyn Write + Send>,
    clock: SharedClock,
    /// Of the last line. The clock changes when simulated time begins and ends; lines do not go back.
    last: Timestamp,
    /// Kinds by address, from the plan.
    kinds: BTreeMap<Address, String>,
}

impl JsonLines {
    /// To `writer`; `clock` stamps the lines until [`JsonLines::follow`] names another.
    pub fn new(writer: Box<dyn Write + Send>, clock: SharedClock) -> Self {
        let inner = Inner { writer, clock, last: Timestamp::default(), kinds: BTreeMap::new() };
        JsonLines { inner: Mutex::new(inner) }
    }

    /// From now on, time is what this clock says.
    pub fn follow(&self, clock: SharedClock) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clock = clock;
    }

    /// Writes one line.
    pub fn write(&self, level: Level, message: impl Into<String>, body: Body) {
        self.write_of(MODULE, level, message, body);
    }

    /// Writes one line of a part of the program.
    pub fn write_of(&self, module: &str, level: Level, message: impl Into<String>, body: Body) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.last = inner.last.max(inner.clock.now());
        let line = Line {
            level,
            message: without_logins(&message.into()),
            module: module.to_owned(),
            timestamp: inner.last.rfc3339_micros(),
            body,
        };
        if let Ok(text) = serde_json::to_string(&line) {
            let writer = &mut inner.writer;
            // Nobody reads any more: the run goes on, its result is in the exit code.
            writeln!(writer, "{text}").and_then(|()| writer.flush()).ok();
        }
    }

    /// The first line.
    pub fn begin(&self, command: &str) {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let message = format!("stackwright {version}, {command}");
        let body = Body::Version { stackwright: version, ui: VERSION.to_owned(), command: command.to_owned() };
        self.write(Level::Info, message, body);
    }

    /// The last line.
    pub fn end(&self, exit_code: u8) {
        let level = if exit_code == 1 { Level::Error } else { Level::Info };
        self.write(level, format!("over, with exit code {exit_code}"), Body::End { exit_code });
    }

    /// Something that is only said.
    pub fn say(&self, text: &str) {
        let text = text.trim();
        if !text.is_empty() {
            self.write(Level::Info, text, Body::Log);
        }
    }

    /// A mistake or a warning.
    pub fn diagnostic(&self, diagnostic: &Diagnostic) {
        let (level, word) = match diagnostic.severity {
            Severity::Error => (Level::Error, "error"),
            Severity::Warning => (Level::Warn, "warning"),
        };
        let body = Body::Diagnostic { diagnostic: complaint(diagnostic, word) };
        self.write(level, diagnostic.to_string(), body);
    }

    /// What a plan does, and what has drifted.
    pub fn plan(&self, plan: &Plan) {
        let kinds = plan.changes.iter().map(|change| (change.address.clone(), change.kind.clone())).collect();
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).kinds = kinds;
        for drift in &plan.drift {
            let gone = drift.changes.is_empty() && drift.seen.is_none();
            let action = if gone { "delete" } else { "update" }.to_owned();
            let change = Planned {
                resource: self.resource(&drift.address),
                action,
                reason: None,
                previous: None,
                estimate_seconds: None,
            };
            let what = if gone { "is gone" } else { "was changed" };
            let message = format!("{} {what} outside of stackwright", drift.address);
            self.write(Level::Warn, message, Body::ResourceDrift { change });
        }
        let acting = plan.changes.iter().filter(|change| change.action != Action::NoOp || change.moved_from.is_some());
        for change in acting {
            let planned = Planned {
                resource: self.resource(&change.address),
                action: word(change.action),
                reason: serde_json::to_value(&change.reason).ok(),
                previous: change.moved_from.as_ref().map(Address::to_string),
                estimate_seconds: change.action.acts().then_some(change.estimate_seconds),
            };
            let message = format!("{}: plan to {}", change.address, planned.action);
            self.write(Level::Info, message, Body::PlannedChange { change: planned });
        }
        let counts = plan.counts();
        self.figures((counts.add, counts.change, counts.destroy), counts.run, "plan");
    }

    /// How much is planned or was done.
    pub fn figures(&self, (add, change, remove): (usize, usize, usize), run: usize, operation: &str) {
        let verb = if operation == "plan" { "to " } else { "" };
        let message = match operation {
            "plan" => format!("Plan: {add} {verb}add, {change} to change, {remove} to destroy."),
            _ => format!("Resources: {add} added, {change} changed, {remove} destroyed."),
        };
        let changes = Figures { add, change, remove, run, operation: operation.to_owned() };
        self.write(Level::Info, message, Body::ChangeSummary { changes });
    }

    /// The stack's outputs.
    pub fn outputs(&self, outputs: &BTreeMap<String, Value>) {
        let shown = |value: &Value| Output { sensitive: false, value: Some(value.to_json()) };
        let outputs = outputs.iter().map(|(name, value)| (name.clone(), shown(value))).collect::<BTreeMap<_, _>>();
        self.write(Level::Info, format!("Outputs: {}", outputs.len()), Body::Outputs { outputs });
    }

    /// What a destroyed stack has left.
    pub fn receipt(&self, receipt: &Receipt) {
        let level = if receipt.is_clean() { Level::Info } else { Level::Error };
        let message = format!("{} left of {}", count(receipt.remaining.len(), "resource"), receipt.stack);
        let receipt = serde_json::to_value(receipt).unwrap_or_default();
        self.write(level, message, Body::Receipt { receipt });
    }

    /// A model that does not answer.
    pub fn unproved(&self, component: &str, why: String, hint: Option<&str>) {
        let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        let message = format!("{component} did not answer: {why}{hint}");
        let proof = Proof { component: component.to_owned(), waiting_for: Some(why), ..Proof::default() };
        self.write(Level::Error, message, Body::ProofErrored { proof });
    }

    /// What a project holds.
    pub fn stacks(&self, stacks: Vec<serde_json::Value>, unseen: &[Unseen]) {
        let unknown = unseen.iter().filter_map(|place| serde_json::to_value(place).ok()).collect();
        let message = count(stacks.len(), "stack");
        self.write(Level::Info, message, Body::Stacks { stacks, unknown });
    }

    /// How a resource is.
    pub fn readiness(&self, address: &Address, readiness: &Readiness) {
        let (status, causes) = match readiness {
            Readiness::Current => ("Current", Vec::new()),
            Readiness::InProgress { waiting_for } => ("InProgress", vec![waiting_for.clone()]),
            Readiness::Failed { causes } => ("Failed", causes.clone()),
            Readiness::Terminating { waiting_for } => ("Terminating", vec![waiting_for.clone()]),
            Readiness::NotFound => ("NotFound", Vec::new()),
            Readiness::Unknown { reason } => ("Unknown", vec![reason.clone()]),
        };
        let level = if *readiness == Readiness::Current { Level::Info } else { Level::Warn };
        let (resource, status) = (self.resource(address), status.to_owned());
        self.write(level, format!("{address}: {readiness}"), Body::ResourceStatus { resource, status, causes });
    }

    /// What a place has or lacks.
    pub fn check(&self, check: &Check) {
        let level = if check.verdict == Verdict::Fine { Level::Info } else { Level::Warn };
        let message = format!("{}: {}", check.subject, check.found);
        self.write(level, message, Body::Check { check: serde_json::to_value(check).unwrap_or_default() });
    }

    /// A location that has not what the stack needs.
    pub fn given_up(&self, location: &str, reason: &str, next: Option<&str>) {
        let goes_on = next.map_or_else(|| "there is no other".to_owned(), |next| format!("going on in {next}"));
        let message = format!("{location} is given up, {goes_on}: {reason}");
        let (location, reason, next) = (location.to_owned(), reason.to_owned(), next.map(str::to_owned));
        self.write(Level::Warn, message, Body::LocationGivenUp { location, reason, next });
    }

    /// The state was mended.
    pub fn mended(&self, address: &Address, to: Option<&Address>, dry_run: bool, message: &str) {
        let change = if to.is_some() { "moved" } else { "forgotten" }.to_owned();
        let (resource, to) = (self.resource(address), to.map(Address::to_string));
        self.write(Level::Info, message, Body::StateChange { resource, change, to, dry_run });
    }

    /// How a run went.
    pub fn summary(&self, complete: bool, summary: serde_json::Value) {
        let (level, message) = if complete { (Level::Info, "complete") } else { (Level::Error, "incomplete") };
        self.write(level, message, Body::Summary { summary });
    }

    /// Why a run has failed, most likely.
    pub fn cause(&self, cause: &Cause) {
        let message = format!("most likely cause: {} ({}: {})", cause.sentence, cause.fact.object, cause.fact.says);
        self.write(Level::Error, message, Body::Cause { cause: serde_json::to_value(cause).unwrap_or_default() });
    }

    /// A resource as the lines name it.
    pub fn resource(&self, address: &Address) -> Resource {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Resource::of(address, inner.kinds.get(address).map(String::as_str))
    }

    fn step(&self, address: &Address) -> Step {
        Step { resource: self.resource(address), ..Step::default() }
    }
}

/// The word of an action.
fn word(action: Action) -> String {
    match serde_json::to_value(action) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn complaint(diagnostic: &Diagnostic, severity: &str) -> Complaint {
    let range = diagnostic.span.as_ref().map(|(span, _)| {
        let position = |byte: usize| {
            let (line, column) = crate::diag::Span { source: span.source.clone(), range: byte..byte }.line_column();
            Position { line, column, byte }
        };
        Range { filename: span.source.name.clone(), start: position(span.range.start), end: position(span.range.end) }
    });
    Complaint {
        severity: severity.to_owned(),
        summary: without_logins(&diagnostic.summary),
        detail: without_logins(&diagnostic.detail),
        hint: diagnostic.hint.as_deref().map(without_logins),
        address: diagnostic.address.as_ref().map(Address::to_string),
        range,
    }
}

impl Sink for JsonLines {
    fn emit(&self, event: Event) {
        match event {
            Event::Stage { what } => self.say(&what),
            Event::Started { address, action, estimate } => {
                let action = Some(word(action));
                let hook = Step { action, estimate_seconds: Some(estimate.as_secs()), ..self.step(&address) };
                self.write(Level::Info, format!("{address}: begun"), Body::ApplyStart { hook });
            }
            Event::Operation { address, name } => {
                let message = format!("{address}: {name}");
                let hook = Step { operation: Some(name), ..self.step(&address) };
                self.write(Level::Info, message, Body::ApplyOperation { hook });
            }
            Event::Waiting { address, waiting_for, elapsed } => {
                let message = format!("{address}: [{} elapsed] waiting for {waiting_for}", duration(elapsed));
                let hook = timed(Step { waiting_for: Some(waiting_for), ..self.step(&address) }, elapsed);
                self.write(Level::Info, message, Body::ApplyProgress { hook });
            }
            Event::Retrying { address, class, message, delay } => {
                let said = format!("{address}: trying again in {}: {message}", duration(delay));
                let class = serde_json::to_value(class).ok().and_then(|class| class.as_str().map(str::to_owned));
                let (causes, delay_ms) = (vec![message], Some(millis(delay)));
                let hook = Step { class, causes, delay_ms, ..self.step(&address) };
                self.write(Level::Warn, said, Body::ApplyRetry { hook });
            }
            Event::Finished { address, action, elapsed } => {
                let hook = timed(Step { action: Some(word(action)), ..self.step(&address) }, elapsed);
                let message = format!("{address}: complete after {}", duration(elapsed));
                self.write(Level::Info, message, Body::ApplyComplete { hook });
            }
            Event::Failed { address, action, causes, hint } => {
                let message = format!("{address}: {}", causes.join(": "));
                let hook = Step { action: Some(word(action)), causes, hint, ..self.step(&address) };
                self.write(Level::Error, message, Body::ApplyErrored { hook });
            }
            Event::Skipped { address, because } => {
                let message = format!("{address}: not tried, {because}");
                let hook = Step { causes: vec![because], ..self.step(&address) };
                self.write(Level::Warn, message, Body::ApplySkipped { hook });
            }
            Event::Interrupted { in_flight, at_once } => {
                let what = if at_once { "leaving" } else { "finishing" };
                let message = format!("interrupted: {what} {}", count(in_flight, "started change"));
                self.write(Level::Warn, message, Body::Interrupted { in_flight, at_once });
            }
            Event::Stranded { because, in_flight } => {
                let in_flight = in_flight.iter().map(Address::to_string).collect();
                self.write(Level::Error, because.clone(), Body::Stranded { because, in_flight });
            }
            Event::Proving { component, url, through, waiting_for: None } => {
                let by = through.as_ref().map(|pod| format!(", by port-forward to {pod}")).unwrap_or_default();
                let message = format!("{component}: asking {url} for a completion{by}");
                let proof = Proof { component, url: Some(url), through, ..Proof::default() };
                self.write(Level::Info, message, Body::ProofStart { proof });
            }
            Event::Proving { component, url, through, waiting_for } => {
                let message = format!("{component}: no completion yet: {}", waiting_for.as_deref().unwrap_or_default());
                let proof = Proof { component, url: Some(url), through, waiting_for, ..Proof::default() };
                self.write(Level::Info, message, Body::ProofProgress { proof });
            }
            Event::Proved { component, url, model, text, tokens, elapsed, first_token } => {
                let message = format!("{component}: {model} answered: {text:?}");
                let proof = Proof {
                    component,
                    url: Some(url),
                    through: None,
                    waiting_for: None,
                    model: Some(model),
                    text: Some(text),
                    tokens: Some(tokens),
                    elapsed_ms: Some(millis(elapsed)),
                    first_token_ms: first_token.map(millis),
                };
                self.write(Level::Info, message, Body::ProofComplete { proof });
            }
        }
    }
}

fn timed(step: Step, elapsed: Duration) -> Step {
    Step { elapsed_seconds: Some(elapsed.as_secs()), elapsed_ms: Some(millis(elapsed)), ..step }
}
