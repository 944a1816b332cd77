//! What the program and its libraries log: at `-vv` to standard error, and requests into the trace.
//!
//! Bodies and headers are never logged at these levels, neither by us nor by the libraries in use.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::wire;
use crate::event::line::{self, Body};
use crate::ui::events_json::JsonLines;
use crate::ui::paint::tame;
use crate::ui::trace::{Request, Trace};

/// Where workers say whose requests theirs are.
const WORKER: &str = "stackwright::engine::worker";

/// Listens, as far as anybody wants to know.
pub(super) fn listen(terminal: &mut Terminal, verbosity: u8, trace: Option<&Path>) -> Result<(), Diagnostics> {
    if let Some(path) = trace {
        let file = std::fs::File::create(path).map_err(|error| {
            Diagnostics::from(
                Diagnostic::error(format!("cannot write {}", path.display()))
                    .detail(error.to_string())
                    .hint("choose another file with --trace"),
            )
        })?;
        terminal.trace = Some(Arc::new(Trace::new(Box::new(std::io::LineWriter::new(file)))));
    }
    let mut filter = EnvFilter::new("off");
    let wanted: &[&str] = match (verbosity >= 2, terminal.trace.is_some()) {
        (true, _) => &["warn", "stackwright=debug", "kube_client=debug"],
        (false, true) => &["stackwright::env::wire=debug", "stackwright::engine::worker=debug"],
        (false, false) => return Ok(()),
    };
    for directive in wanted {
        filter = filter.add_directive(directive.parse().expect("a directive"));
    }
    let listener = Listener {
        talks: verbosity >= 2,
        lines: terminal.lines.clone(),
        paint: terminal.err,
        trace: terminal.trace.clone(),
    };
    tracing_subscriber::registry().with(listener.with_filter(filter)).try_init().ok();
    Ok(())
}

struct Listener {
    talks: bool,
    lines: Option<Arc<JsonLines>>,
    paint: crate::ui::paint::Paint,
    trace: Option<Arc<Trace>>,
}

/// The resource that a span is about.
struct About(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() == WORKER
            && let Some(span) = context.span(id)
        {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(About(fields.text("address").to_owned()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let scope = context.event_scope(event);
        let about = scope.into_iter().flatten().find_map(|span| Some(span.extensions().get::<About>()?.0.clone()));
        let about = about.as_deref();
        let is_request = event.metadata().target() == wire::TARGET;
        if let (true, Some(trace)) = (is_request, &self.trace) {
            trace.request(&Request {
                address: about,
                method: fields.text("method"),
                what: fields.text("what"),
                outcome: fields.text("outcome"),
                at_ms: fields.text("at_ms").parse().unwrap_or(0),
                took_ms: fields.text("took_ms").parse().unwrap_or(0),
            });
        }
        if !self.talks {
            return;
        }
        let level = *event.metadata().level();
        let mut text = match is_request {
            true => format!(
                "{} {}: {} in {} ms",
                fields.text("method"),
                fields.text("what"),
                fields.text("outcome"),
                fields.text("took_ms")
            ),
            false => fields.sentence(),
        };
        if let Some(address) = about {
            write!(text, " ({address})").ok();
        }
        let module = event.metadata().target();
        match &self.lines {
            Some(lines) => lines.write_of(module, level_of(level), text, Body::Log),
            None => {
                let line = format!("{} {module}: {}", level.as_str().to_lowercase(), tame(&text));
                let mut err = std::io::stderr().lock();
                // Whoever has closed standard error wants to hear nothing about that either.
                std::io::Write::write_fmt(&mut err, format_args!("{}\n", self.paint.dim(&line))).ok();
            }
        }
    }
}

fn level_of(level: Level) -> line::Level {
    match level {
        Level::ERROR => line::Level::Error,
        Level::WARN => line::Level::Warn,
        Level::INFO => line::Level::Info,
        _ => line::Level::Debug,
    }
}

/// Fields of an event as text.
#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| *field == name).map_or("", |(_, text)| text)
    }

    /// The message, then the other fields.
    fn sentence(&self) -> String {
        let mut sentence = self.text("message").to_owned();
        for (name, text) in self.0.iter().filter(|(name, _)| *name != "message") {
            write!(sentence, " {name}={text}").ok();
        }
        sentence
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }
}
