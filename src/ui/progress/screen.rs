//! Draws pictures over each other at the end of a terminal's text. Knows nothing of what they show.
//!
//! The cursor stays visible and stands under the picture, so that whatever ends the program leaves a terminal that is as it
//! was. Each picture is one write, between the marks that ask a terminal to show it at once: nothing flickers.

use std::fmt::Write as _;
use std::io::Write;

/// What is drawn on.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    /// The widths of the lines that stand there.
    shown: Vec<usize>,
    /// The columns that there were then.
    columns: usize,
}

impl Screen {
    /// At the end of what was written to `out`.
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Screen { out, shown: Vec::new(), columns: 0 }
    }

    /// Replaces the picture, and writes lines above it that stay. `columns` are those of the terminal now: when it has
    /// become narrower, it has broken the lines that stood there.
    pub(super) fn draw(&mut self, above: &[String], picture: &[String], columns: usize) {
        if above.is_empty() && picture.is_empty() && self.shown.is_empty() {
            return;
        }
        let up = self.shown.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum::<usize>();
        let mut text = String::from("\u{1b}[?2026h\r");
        if up > 0 {
            write!(text, "\u{1b}[{up}A").ok();
        }
        // Lines that stay may be wider than the terminal, and break over what stood there; and lines that the terminal has
        // broken by itself are joined again when it grows, whatever is written over them, unless they were cleared.
        if !above.is_empty() || columns != self.columns {
            text.push_str("\u{1b}[J");
        }
        self.columns = columns;
        for line in above.iter().chain(picture) {
            write!(text, "{line}\u{1b}[K\r\n").ok();
        }
        text.push_str("\u{1b}[J\u{1b}[?2026l");
        self.shown = picture.iter().map(|line| console::measure_text_width(line)).collect();
        // A closed terminal ends the talk, not the run.
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

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

    #[test]
    fn pictures_replace_each_other_also_in_a_terminal_that_became_narrower() {
        let tape = Tape::default();
        let mut screen = Screen::new(Box::new(tape.clone()));
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        screen.draw(&[], &[], 80);
        assert_eq!(tape.take(), "", "nothing is drawn where nothing is shown");
        screen.draw(&[], &lines(&["one", "a line of twenty two c"]), 80);
        let first = tape.take();
        assert!(first.contains("one\u{1b}[K\r\na line") && !first.contains("[2A"), "{first:?}");
        screen.draw(&[], &lines(&["two"]), 80);
        assert!(tape.take().contains("\r\u{1b}[2Atwo"), "two lines up");
        screen.draw(&[], &lines(&["a line of twenty two c"]), 80);
        tape.take();
        screen.draw(&lines(&["said"]), &lines(&["x"]), 10);
        let narrow = tape.take();
        assert!(narrow.contains("\r\u{1b}[3A\u{1b}[Jsaid\u{1b}[K\r\nx"), "its line has become three: {narrow:?}");
        screen.draw(&[], &[], 10);
        assert!(tape.take().contains("\u{1b}[1A\u{1b}[J"), "and is gone");
        screen.draw(&[], &[], 10);
        assert_eq!(tape.take(), "");
    }
}
