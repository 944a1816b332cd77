//! Events as JSON lines, for programs.

use std::io::Write;
use std::sync::Mutex;

use crate::env::clock::SharedClock;
use crate::event::{Event, Sink};

/// Writes one JSON object per event.
pub struct JsonLines<W: Write + Send> {
    writer: Mutex<W>,
    clock: SharedClock,
}

impl<W: Write + Send> JsonLines<W> {
    /// To `writer`; `clock` stamps the lines.
    pub fn new(writer: W, clock: SharedClock) -> Self {
        JsonLines { writer: Mutex::new(writer), clock }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn emit(&self, event: Event) {
        #[derive(serde::Serialize)]
        struct Line<'a> {
            at: String,
            event: &'a Event,
        }
        let line = Line { at: self.clock.now().rfc3339(), event: &event };
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(text) = serde_json::to_string(&line) {
            // Nobody reads any more: the run goes on, its result is in the exit code.
            writeln!(writer, "{text}").and_then(|()| writer.flush()).ok();
        }
    }
}
