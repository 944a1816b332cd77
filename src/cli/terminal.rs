//! Standard output is data, standard error is talk. Knows whether either is a terminal.

use std::io::{IsTerminal, Write};

use crate::diag::Diagnostics;
use crate::env::vars::Vars;
use crate::ui::diagnostic::{Look, render};
use crate::ui::paint::Paint;
use crate::ui::plan_text;

/// Where text goes.
pub(super) struct Terminal {
    /// For standard output.
    pub out: Paint,
    /// For standard error.
    pub err: Paint,
    /// Standard error is a terminal that can redraw.
    pub live: bool,
    /// Somebody is there to answer.
    pub interactive: bool,
    /// Say more.
    pub verbose: bool,
    /// The width of the terminal that standard output is.
    pub columns: Option<usize>,
}

impl Terminal {
    pub(super) fn new(vars: &dyn Vars, no_color: bool, verbose: bool) -> Self {
        let set = |name| vars.get(name).is_some_and(|value| !value.is_empty());
        let dumb = vars.get("TERM").is_some_and(|term| term == "dumb");
        let plain = no_color || set("NO_COLOR") || dumb;
        let (out, err) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Terminal {
            out: Paint { color: out && !plain },
            err: Paint { color: err && !plain },
            live: err && !dumb && !set("CI"),
            interactive: std::io::stdin().is_terminal(),
            verbose,
            columns: terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0)),
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
        let mut err = std::io::stderr().lock();
        writeln!(err, "{text}").ok();
    }

    /// Mistakes and warnings.
    pub(super) fn diagnostics(&self, diagnostics: &Diagnostics) {
        if diagnostics.0.is_empty() {
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

/// Sends the libraries' own logging to standard error when asked for twice.
pub(super) fn trace(verbose: u8) {
    if verbose >= 2 {
        // Bodies and headers are never logged at this level by the libraries in use.
        let filter = tracing_subscriber::EnvFilter::new("warn,stackwright=debug,kube_client=debug");
        // Whoever has closed standard error wants to hear nothing about that either.
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        subscriber.log_internal_errors(false).init();
    }
}
