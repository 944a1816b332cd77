//! Standard output is data, standard error is talk. Knows whether either is a terminal, and whether programs listen:
//! then all talk is lines of JSON.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use crate::diag::Diagnostics;
use crate::env::clock::{SharedClock, WallClock};
use crate::env::vars::Vars;
use crate::event::{Several, Sink};
use crate::plan::model::Plan;
use crate::ui::diagnostic::{Look, render};
use crate::ui::events_json::JsonLines;
use crate::ui::paint::Paint;
use crate::ui::plan_text;
use crate::ui::progress::{Progress, Size, Stage};
use crate::ui::trace::Trace;

/// What was asked for about talk.
pub(super) struct Talk<'a> {
    /// Never colour.
    pub no_color: bool,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// Lines of JSON on standard error.
    pub json_talk: bool,
    /// Lines of JSON are the data of the command.
    pub json_data: bool,
    /// The command, without its arguments.
    pub command: &'a str,
}

/// Where text goes.
pub(super) struct Terminal {
    /// For standard output.
    pub out: Paint,
    /// For standard error.
    pub err: Paint,
    /// Standard error is a terminal that can redraw.
    pub live: bool,
    /// Standard error takes characters beyond ASCII.
    unicode: bool,
    /// Somebody is there to answer.
    pub interactive: bool,
    /// Say more.
    pub verbose: bool,
    /// The width of the terminal that standard output is.
    pub columns: Option<usize>,
    /// For programs that listen.
    pub lines: Option<Arc<JsonLines>>,
    /// What is drawn up of the run.
    pub trace: Option<Arc<Trace>>,
}

/// A run that somebody watches.
pub(super) struct Watch {
    /// Where its events go.
    pub sink: Arc<dyn Sink>,
    progress: Option<Arc<Progress>>,
}

impl Watch {
    /// The run is over.
    pub(super) fn finish(&self) {
        if let Some(progress) = &self.progress {
            progress.finish();
        }
    }
}

impl Terminal {
    pub(super) fn new(vars: &dyn Vars, talk: &Talk<'_>) -> Self {
        let set = |name| vars.get(name).is_some_and(|value| !value.is_empty());
        let dumb = vars.get("TERM").is_some_and(|term| term == "dumb");
        let plain = talk.no_color || set("NO_COLOR") || dumb;
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let writer: Option<Box<dyn Write + Send>> = match (talk.json_data, talk.json_talk) {
            (true, _) => Some(Box::new(std::io::stdout())),
            (false, true) => Some(Box::new(std::io::stderr())),
            (false, false) => None,
        };
        let lines = writer.map(|writer| Arc::new(JsonLines::new(writer, Arc::new(WallClock::new()))));
        if let Some(lines) = &lines {
            lines.begin(talk.command);
        }
        Terminal {
            out: Paint { color: out && !plain },
            err: Paint { color: err && !plain && lines.is_none() },
            // What goes over the wire is told line by line: a picture would be torn apart by it.
            live: err && !dumb && !set("CI") && talk.verbosity < 2,
            unicode: is_unicode(vars),
            interactive: std::io::stdin().is_terminal(),
            verbose: talk.verbosity > 0,
            columns: terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)),
            lines,
            trace: None,
        }
    }

    /// One that nobody sees or hears.
    pub(super) fn silent() -> Self {
        let lines = JsonLines::new(Box::new(std::io::sink()), Arc::new(WallClock::new()));
        Terminal {
            out: Paint { color: false },
            err: Paint { color: false },
            live: false,
            unicode: false,
            interactive: false,
            verbose: false,
            columns: None,
            lines: Some(Arc::new(lines)),
            trace: None,
        }
    }

    /// Who watches a run of this plan.
    pub(super) fn watch(&self, plan: &Plan, clock: &SharedClock) -> Watch {
        let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
        let mut progress = None;
        match &self.lines {
            Some(lines) => {
                lines.follow(clock.clone());
                sinks.push(lines.clone());
            }
            None => {
                let size: Size = Box::new(|| {
                    let (rows, columns) = console::Term::stderr().size_checked()?;
                    Some((usize::from(rows), usize::from(columns)))
                });
                let stage = Stage {
                    out: Box::new(std::io::stderr()),
                    size: self.live.then_some(size),
                    paint: self.err,
                    unicode: self.unicode,
                    verbose: self.verbose,
                };
                let shown = Arc::new(Progress::new(plan, stage, clock.clone()));
                sinks.push(shown.clone());
                progress = Some(shown);
            }
        }
        if let Some(trace) = &self.trace {
            trace.begin(plan, clock.clone());
            sinks.push(trace.clone());
        }
        Watch { sink: Arc::new(Several(sinks)), progress }
    }

    /// Shows a plan to programs that listen.
    pub(super) fn lines_of(&self, plan: &Plan) {
        if let Some(lines) = &self.lines {
            lines.plan(plan);
        }
    }

    /// The command is over.
    pub(super) fn end(&self, code: u8) {
        if let Some(trace) = &self.trace {
            trace.end();
        }
        if let Some(lines) = &self.lines {
            lines.end(code);
        }
    }

    /// How to show a plan on standard output.
    pub(super) fn plan_view(&self) -> plan_text::Options {
        plan_text::Options { paint: self.out, verbose: self.verbose, columns: self.columns }
    }

    /// Data. A closed pipe is the reader's choice, not an error.
    pub(super) fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    }

    /// Data in many pieces.
    pub(super) fn print_all(&self, pieces: &[std::borrow::Cow<'_, str>]) {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        pieces.iter().try_for_each(|piece| out.write_all(piece.as_bytes())).and_then(|()| out.flush()).ok();
    }

    /// Talk, with a line feed.
    pub(super) fn say(&self, text: &str) {
        if let Some(lines) = &self.lines {
            lines.say(text);
            return;
        }
        let mut err = std::io::stderr().lock();
        writeln!(err, "{text}").ok();
    }

    /// Mistakes and warnings.
    pub(super) fn diagnostics(&self, diagnostics: &Diagnostics) {
        if diagnostics.0.is_empty() {
            return;
        }
        if let Some(lines) = &self.lines {
            diagnostics.0.iter().for_each(|diagnostic| lines.diagnostic(diagnostic));
            return;
        }
        let look = Look { color: self.err.color, ..Look::default() };
        self.say(render(&diagnostics.0, look).trim_end());
    }

    /// Asks; only `yes` is yes. Everything else goes on meanwhile: a lease is renewed, a signal is heard.
    pub(super) async fn confirm(&self, question: &str) -> bool {
        {
            let mut err = std::io::stderr().lock();
            write!(err, "{question}\n  Only 'yes' will be accepted to approve.\n\n  Enter a value: ").ok();
            err.flush().ok();
        }
        let (answer, answered) = tokio::sync::oneshot::channel();
        // A thread of its own, which nobody waits for when the question is withdrawn.
        std::thread::spawn(move || {
            let mut line = String::new();
            answer.send(std::io::stdin().read_line(&mut line).is_ok() && line.trim() == "yes").ok();
        });
        answered.await.unwrap_or(false)
    }
}

/// Whether the terminal's characters are Unicode, as far as the environment says: the first of these that is set decides.
fn is_unicode(vars: &dyn Vars) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| vars.get(name)).find(|v| !v.is_empty());
    locale.is_some_and(|locale| locale.to_lowercase().replace('-', "").contains("utf8"))
}
