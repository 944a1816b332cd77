//! Diagnostics as text: summary, excerpt with caret, cause, next step; and as JSON.
//!
//! Lays out through miette. What a file holds is shown as text and never reaches a terminal as commands:
//! control characters and those that turn the direction of writing are replaced, and so are logins within addresses.
//! Prints nothing itself.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, NarratableReportHandler,
    SourceCode, SourceSpan, SpanContents,
};

use crate::diag::{Diagnostic, Severity, Span};

/// How diagnostics are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours for a terminal that has them.
    pub color: bool,
    /// Box-drawing characters; otherwise ASCII.
    pub unicode: bool,
    /// In sentences, for screen readers, instead of drawings.
    pub narrate: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Default for Look {
    fn default() -> Self {
        Look { color: false, unicode: true, narrate: false, width: 100 }
    }
}

/// The longest part of a line that is shown, in characters.
const LONGEST_LINE: usize = 160;

/// The longest explanation that is shown, in characters; summaries and labels have a tenth.
const LONGEST_TEXT: usize = 4_000;

/// How much of a long line stands before the caret.
const LEAD: usize = 40;

/// All diagnostics, one after the other, a blank line between them.
pub fn render(diagnostics: &[Diagnostic], look: Look) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        let report = Report::of(diagnostic);
        let start = text.len();
        let result = if look.narrate {
            NarratableReportHandler::new().render_report(&mut text, &report)
        } else {
            graphical(look).render_report(&mut text, &report)
        };
        if result.is_err() {
            // Only a formatter that fails leads here; the plain line says the same.
            text.truncate(start);
            text.push_str(&clean(&diagnostic.to_string(), Newlines::Shown));
            text.push('\n');
        }
    }
    text
}

fn graphical(look: Look) -> GraphicalReportHandler {
    let theme = match (look.unicode, look.color) {
        (true, true) => GraphicalTheme::unicode(),
        (true, false) => GraphicalTheme::unicode_nocolor(),
        (false, color) => {
            let mut theme = GraphicalTheme::none();
            if color {
                theme.styles = miette::ThemeStyles::ansi();
            }
            theme
        }
    };
    GraphicalReportHandler::new_themed(theme).with_links(false).with_width(look.width.max(40)).with_break_words(false)
}

/// All diagnostics for programs: severity, summary, detail, hint, address, and place.
pub fn to_json(diagnostics: &[Diagnostic]) -> serde_json::Value {
    let entry = |diagnostic: &Diagnostic| {
        let mut entry = serde_json::json!({
            "severity": diagnostic.severity,
            "summary": without_logins(&diagnostic.summary),
        });
        let mut set = |key: &str, value: serde_json::Value| entry[key] = value;
        if !diagnostic.detail.is_empty() {
            set("detail", without_logins(&diagnostic.detail).into());
        }
        if let Some(hint) = &diagnostic.hint {
            set("hint", without_logins(hint).into());
        }
        if let Some(address) = &diagnostic.address {
            set("address", address.as_str().into());
        }
        if let Some((span, label)) = &diagnostic.span {
            let (line, column) = span.line_column();
            let end = Span { source: span.source.clone(), range: span.range.end..span.range.end };
            let (end_line, end_column) = end.line_column();
            set(
                "range",
                serde_json::json!({
                    "file": span.source.name,
                    "start": { "line": line, "column": column, "byte": span.range.start },
                    "end": { "line": end_line, "column": end_column, "byte": span.range.end },
                }),
            );
            set("label", without_logins(label).into());
        }
        entry
    };
    serde_json::Value::Array(diagnostics.iter().map(entry).collect())
}

/// What happens to line breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Newlines {
    Kept,
    Shown,
}

/// The character to show instead, where one could command a terminal or reorder what is read.
fn shown(c: char) -> char {
    match c {
        '\t' => c,
        '\u{7f}' => '\u{2421}',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        c => c,
    }
}

/// The text with a star for each character of a login within an address, `scheme://LOGIN@host`, whoever wrote it there.
pub fn without_logins(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let ends = |c: char| c.is_whitespace() || c.is_control() || "/?#\"'`<>,".contains(c);
        let login = after[..after.find(ends).unwrap_or(after.len())].rfind('@').unwrap_or_default();
        clean.extend(std::iter::repeat_n('*', after[..login].chars().count()));
        rest = &after[login..];
    }
    clean.push_str(rest);
    clean
}

fn clean(text: &str, newlines: Newlines) -> String {
    let text = without_logins(text);
    let longest = if newlines == Newlines::Kept { LONGEST_TEXT } else { LONGEST_TEXT / 10 };
    let kept = |c| if c == '\n' && newlines == Newlines::Kept { c } else { shown(c) };
    let mut rest = text.chars();
    let mut clean = rest.by_ref().take(longest).map(kept).collect::<String>();
    if rest.next().is_some() {
        clean.push('…');
    }
    clean
}

/// A diagnostic in miette's words.
#[derive(Debug)]
struct Report {
    message: String,
    severity: miette::Severity,
    hint: Option<String>,
    excerpt: Option<Excerpt>,
}

impl Report {
    fn of(diagnostic: &Diagnostic) -> Report {
        let mut message = String::new();
        if let Some(address) = &diagnostic.address {
            message = format!("{}: ", clean(address.as_str(), Newlines::Shown));
        }
        message.push_str(&clean(&diagnostic.summary, Newlines::Shown));
        if !diagnostic.detail.is_empty() {
            message.push('\n');
            message.push_str(&clean(&diagnostic.detail, Newlines::Kept));
        }
        Report {
            message,
            severity: match diagnostic.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            hint: diagnostic.hint.as_ref().map(|hint| clean(hint, Newlines::Kept)),
            excerpt: diagnostic.span.as_ref().map(|(span, label)| Excerpt::of(span, label)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let label = Some(excerpt.label.clone()).filter(|label| !label.is_empty());
        Some(Box::new(std::iter::once(LabeledSpan::new(label, excerpt.mark.start, excerpt.mark.len()))))
    }
}

/// The marked line with its neighbours, cut to a readable width, made harmless.
///
/// Cut out by hand so that neither a file of ten megabytes nor one line of that length costs time or space.
#[derive(Debug, PartialEq, Eq)]
struct Excerpt {
    name: String,
    text: String,
    /// The marked bytes of `text`.
    mark: std::ops::Range<usize>,
    label: String,
    /// Number of the first line of `text`, from 0.
    first_line: usize,
    /// Number of the marked line, from 0.
    line: usize,
    /// Column of the mark in characters of the whole line, from 0.
    column: usize,
}

impl Excerpt {
    fn of(span: &Span, label: &str) -> Excerpt {
        let whole = span.source.text.as_str();
        let mut start = span.range.start.min(whole.len());
        while !whole.is_char_boundary(start) {
            start -= 1;
        }
        let line_start = |at: usize| whole[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = |at: usize| whole[at..].find('\n').map_or(whole.len(), |newline| at + newline);
        let (from, to) = (line_start(start), line_end(start));
        // Of a span over several lines the first is marked.
        let mut end = span.range.end.clamp(start, to);
        while !whole.is_char_boundary(end) {
            end -= 1;
        }
        let line = whole.as_bytes()[..from].iter().filter(|byte| **byte == b'\n').count();
        let column = whole[from..start].chars().count();

        let (mut text, mut first_line) = (String::new(), line);
        if from > 0 {
            let before = line_start(from - 1);
            cut(&whole[before..from - 1], 0, &mut text);
            text.push('\n');
            first_line -= 1;
        }
        let skip = if column > LONGEST_LINE - LEAD { column - LEAD } else { 0 };
        let base = text.len();
        cut(&whole[from..to], skip, &mut text);
        let shown_before = column - skip + usize::from(skip > 0);
        let marked = whole[start..end].chars().take(LONGEST_LINE).count();
        let offset_of = |count: usize| {
            let shown = &text[base..];
            base + shown.char_indices().nth(count).map_or(shown.len(), |(at, _)| at)
        };
        let mark = offset_of(shown_before)..offset_of(shown_before + marked);
        if to < whole.len() {
            text.push('\n');
            cut(&whole[to + 1..line_end(to + 1)], 0, &mut text);
        }
        Excerpt {
            name: clean(&span.source.name, Newlines::Shown),
            text,
            mark,
            label: clean(label, Newlines::Shown),
            first_line,
            line,
            column,
        }
    }
}

/// Appends a line without its first `skip` characters, shortened and harmless: one character for each.
fn cut(line: &str, skip: usize, text: &mut String) {
    let line = without_logins(line.strip_suffix('\r').unwrap_or(line));
    if skip > 0 {
        text.push('…');
    }
    let mut rest = line.chars().skip(skip);
    text.extend(rest.by_ref().take(LONGEST_LINE).map(shown));
    if rest.next().is_some() {
        text.push('…');
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // With no neighbours asked for, miette wants to know where the mark is, not what stands there.
        let (line, column) = if before == 0 && after == 0 { (self.line, self.column) } else { (self.first_line, 0) };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            self.text.as_bytes(),
            (0, self.text.len()).into(),
            line,
            column,
            self.text.lines().count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::diag::Source;

    fn at(text: &str, range: std::ops::Range<usize>) -> Span {
        Span { source: Arc::new(Source { name: "stack.toml".into(), text: text.into() }), range }
    }

    fn example() -> Vec<Diagnostic> {
        vec![
            Diagnostic::error("unknown key `mashine_type` in [cluster]")
                .at(at("name = \"x\"\n[cluster]\nmashine_type = \"n1\"\nnodes = 1\n", 21..33), "not known")
                .hint("did you mean `machine_type`?"),
            Diagnostic::warning("the input a is not used").detail("Nothing refers to it.\nReally."),
            Diagnostic::error("quota exceeded").about("node_pools.gpu".into()),
        ]
    }

    #[test]
    fn in_every_look() {
        let plain = Look::default();
        insta::assert_snapshot!("graphical", render(&example(), plain));
        insta::assert_snapshot!("ascii", render(&example(), Look { unicode: false, ..plain }));
        insta::assert_snapshot!("narrated", render(&example(), Look { narrate: true, ..plain }));
        assert!(render(&example(), Look { color: true, ..plain }).contains("\u{1b}["));
        for look in [plain, Look { unicode: false, ..plain }, Look { narrate: true, ..plain }] {
            assert!(!render(&example(), look).contains('\u{1b}'), "{look:?}");
        }
    }

    #[test]
    fn hostile_text_cannot_command_the_terminal() {
        let text = "a = \"\u{1b}[2J\u{202e}evil\u{9b}31m\u{7}\"\r\nb = 1\n";
        let mut diagnostic = Diagnostic::error("bad \u{1b}[31mkey\nnew line")
            .at(at(text, 4..27), "la\u{1b}bel")
            .hint("hi\u{8}nt")
            .detail("de\u{202e}tail");
        diagnostic.address = Some("x\u{1b}y".into());
        let text = render(&[diagnostic], Look::default());
        let odd = text.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect::<Vec<_>>();
        assert!(odd.is_empty(), "{odd:?} in {text}");
        insta::assert_snapshot!("hostile", text);
    }

    #[test]
    fn one_line_of_ten_megabytes_is_cut() {
        let text = format!("a = \"{}\" b\nc = 1\n", "ä".repeat(5_000_000));
        let end = text.find(" b").unwrap() + 1;
        let shown = render(&[Diagnostic::error("x").at(at(&text, end..end + 1), "here")], Look::default());
        assert!(shown.len() < 2_000, "{}", shown.len());
        assert!(shown.contains("stack.toml:1:5000008"), "{shown}");
        let excerpt = Excerpt::of(&at(&text, end..end + 1), "here");
        assert_eq!(&excerpt.text[excerpt.mark.clone()], "b");
    }

    #[test]
    fn json_names_the_place() {
        let json = to_json(&example());
        assert_eq!(json[0]["range"]["start"], serde_json::json!({ "line": 3, "column": 1, "byte": 21 }));
        assert_eq!(json[2]["address"], "node_pools.gpu");
        assert_eq!(json[1]["severity"], "warning");
    }

    #[test]
    fn logins_in_addresses_are_not_shown() {
        for (text, expected) in [
            ("at s3://me:wörd@host/x?a=b@c, and", "at s3://*******@host/x?a=b@c, and"),
            ("\"https://token@host\" http://host/a@b oci://", "\"https://*****@host\" http://host/a@b oci://"),
            ("https://a:b@c@host://x@y", "https://*****@host://*@y"),
        ] {
            assert_eq!(without_logins(text), expected);
        }
        let text = "a = 1\nbackend = \"https://me:hunter2@host/x\"\nb = \"https://me:hunter2@host/x\"\n";
        let mistake = Diagnostic::error("\"https://me:hunter2@host/x\" is no place")
            .detail("https://me:hunter2@host/x")
            .hint("not https://me:hunter2@host/x")
            .at(at(text, 16..43), "here");
        let shown = render(std::slice::from_ref(&mistake), Look::default());
        assert!(!shown.contains("hunter2") && shown.matches("@host").count() == 5, "{shown}");
        assert!(!to_json(&[mistake]).to_string().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_is_rendered(text in "[a\\n\\t\\r\u{1b}é\u{202e}日]{0,40}", start in 0usize..60, length in 0usize..60) {
            let span = at(&text, start..start + length);
            let diagnostics = [Diagnostic::error("x").at(span, "here")];
            for look in [Look::default(), Look { narrate: true, ..Look::default() }] {
                let shown = render(&diagnostics, look);
                prop_assert_eq!(shown.find(char::from(27)), None);
                prop_assert!(shown.contains("stack.toml"), "{}", shown);
            }
        }
    }
}
