//! Writing the lines of a plan: a symbol in its column, a text, and what does not fit continued below it. Not for what
//! the lines say.

use crate::plan::model::Action;
use crate::ui::paint::Paint;
use crate::ui::wrap;

/// What happens to what a line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Add,
    Change,
    Remove,
    /// Nothing, or nothing of its own.
    Same,
}

impl Mark {
    fn symbol(self) -> &'static str {
        match self {
            Mark::Add => "+",
            Mark::Change => "~",
            Mark::Remove => "-",
            Mark::Same => " ",
        }
    }
}

/// What is written, and how.
pub(super) struct Pen {
    pub(super) out: String,
    pub(super) paint: Paint,
    /// The width of the reader's terminal, where there is one: lines that do not fit are then broken where that
    /// changes nothing.
    pub(super) columns: Option<usize>,
    /// Everything, however long.
    pub(super) verbose: bool,
    /// Symbols in the first column and of one character, as what colours differences wants them.
    pub(super) diff: bool,
}

impl Pen {
    pub(super) fn new(paint: Paint, columns: Option<usize>, verbose: bool) -> Self {
        Pen { out: String::new(), paint, columns, verbose, diff: false }
    }

    /// For text that goes into a block of code that is coloured as a difference.
    pub(super) fn for_diff() -> Self {
        Pen { diff: true, ..Pen::new(Paint { color: false }, None, false) }
    }

    /// The width of prose.
    pub(super) fn prose_columns(&self) -> usize {
        self.columns.unwrap_or(wrap::PROSE).clamp(24, 100)
    }

    /// A paragraph of ours, whose lines are those of a terminal of 80 columns: broken anew where there are fewer.
    pub(super) fn paragraph(&self, text: &str) -> String {
        match self.columns {
            Some(columns) if columns < wrap::PROSE => {
                let paragraphs =
                    text.trim_end().split("\n\n").map(|text| wrap::prose(&text.replace('\n', " "), "", "", columns));
                paragraphs.collect::<Vec<_>>().join("\n")
            }
            _ => text.to_owned(),
        }
    }

    fn start(&mut self, indent: usize, mark: Mark) {
        if self.diff {
            self.out.push_str(if mark == Mark::Change { "!" } else { mark.symbol() });
            self.out.extend(std::iter::repeat_n(' ', indent + 1));
            return;
        }
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(&self.paint.symbol(mark.symbol()));
        self.out.push(' ');
    }

    /// The first line of a resource, with the symbol of what happens to it.
    pub(super) fn head(&mut self, action: Action, text: &str) {
        let symbol = action.symbol();
        match (self.diff, symbol) {
            (true, "~") => self.out.push_str("!   "),
            (true, "+" | "-") => self.out.push_str(&format!("{symbol}   ")),
            _ => {
                let blanks = 3_usize.saturating_sub(symbol.len());
                self.out.extend(std::iter::repeat_n(' ', blanks));
                self.out.push_str(&self.paint.symbol(symbol));
                self.out.push(' ');
            }
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// One line.
    pub(super) fn line(&mut self, indent: usize, mark: Mark, text: &str) {
        if mark == Mark::Same && text.is_empty() {
            self.out.push('\n');
            return;
        }
        self.start(indent, mark);
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// `head` `before` -> `after`, and remarks in yellow or red; what does not fit goes below.
    pub(super) fn change(&mut self, indent: usize, head: &str, (before, after): (&str, &str), remarks: &[String]) {
        let arrow = format!(" -> {after}");
        self.remarked(indent, Mark::Change, &format!("{head}{before}"), &arrow, remarks);
    }

    /// A line with something more that may go to the next line, and remarks that may as well.
    pub(super) fn remarked(&mut self, indent: usize, mark: Mark, text: &str, more: &str, remarks: &[String]) {
        let columns = self.columns.unwrap_or(usize::MAX);
        let mut used = indent + 2 + wrap::width(text);
        self.start(indent, mark);
        self.out.push_str(text);
        let below = format!("\n{}", " ".repeat(indent + 6));
        if used + wrap::width(more) > columns && !more.is_empty() {
            let more = more.trim_start();
            self.out.push_str(&below);
            self.out.push_str(more);
            used = indent + 6 + wrap::width(more);
        } else {
            self.out.push_str(more);
            used += wrap::width(more);
        }
        for remark in remarks {
            let wide = wrap::width(remark) + 3;
            let fits = used + wide <= columns;
            self.out.push_str(if fits { " " } else { &below });
            used = if fits { used + wide } else { indent + 5 + wide };
            let remark = format!("# {remark}");
            let painted = match remark.contains("forces replacement") {
                true => self.paint.red(&remark),
                false => self.paint.yellow(&remark),
            };
            self.out.push_str(&painted);
        }
        self.out.push('\n');
    }

    /// `# (3 unchanged attributes hidden)`
    pub(super) fn hidden(&mut self, indent: usize, number: usize, noun: &str) {
        if number == 0 {
            return;
        }
        let s = if number == 1 { "" } else { "s" };
        let text = self.paint.dim(&format!("# ({number} unchanged {noun}{s} hidden)"));
        self.line(indent, Mark::Same, &text);
    }
}
