//! Texts of several lines, and what differs between two texts: as trees where both are documents, by line otherwise,
//! and within the line where both have only one.

use similar::{ChangeTag, TextDiff};

use super::documents;
use super::pen::{Mark, Pen};
use super::tree::{self, Pair};
use crate::ui::paint::tame;
use crate::ui::values;
use crate::value::Value;

/// Lines around a difference that are shown with it.
const AROUND: usize = 3;
/// More lines than that are only shown when everything is.
const MANY: usize = 60;
/// Longer texts are not compared: that takes the product of lengths and differences.
const MOST_LINES: usize = 4_000;

/// What ends a text of several lines: a word that is none of them.
fn end_of(texts: &[&str]) -> String {
    let mut end = "EOT".to_owned();
    while texts.iter().any(|text| text.lines().any(|line| line.trim() == end)) {
        end.push('_');
    }
    end
}

/// A text of several lines.
pub(super) fn whole(pen: &mut Pen, indent: usize, mark: Mark, head: &str, text: &str, tail: &str) {
    let end = end_of(&[text]);
    pen.line(indent, mark, &format!("{head}<<-{end}"));
    let most = if pen.verbose { usize::MAX } else { MANY };
    let number = text.lines().count();
    for line in text.lines().take(if number > most { most / 2 } else { number }) {
        pen.line(indent + 4, Mark::Same, &tame(line));
    }
    if number > most {
        let more = pen.paint.dim(&format!("# ({} more lines hidden)", number - most / 2));
        pen.line(indent + 4, Mark::Same, &more);
    }
    pen.line(indent, Mark::Same, &format!("{end}{tail}"));
}

pub(super) fn differing(
    pen: &mut Pen,
    indent: usize,
    head: &str,
    (before, after): (&str, &str),
    remarks: &[String],
    tail: &str,
) {
    if let (Some((_, was)), Some((language, is))) = (documents::read(before), documents::read(after)) {
        if was == is {
            let same = format!("{head}{}(…){tail}", language.function());
            let mut remarks = remarks.to_vec();
            remarks.push("the same content, written differently".to_owned());
            return pen.remarked(indent, Mark::Change, &same, "", &remarks);
        }
        pen.remarked(indent, Mark::Change, &format!("{head}{}(", language.function()), "", remarks);
        tree::differing(pen, indent + 4, "", &Pair { before: Some(&was), after: Some(&is) }, &[], "");
        return pen.line(indent, Mark::Same, &format!("){tail}"));
    }
    if before.contains('\n') || after.contains('\n') {
        return lines(pen, indent, head, (before, after), remarks, tail);
    }
    let (before, after) = cut((before, after));
    pen.change(indent, head, (&before, &format!("{after}{tail}")), remarks);
}

/// Two texts of one line; of long ones, what surrounds the first difference.
fn cut((before, after): (&str, &str)) -> (String, String) {
    let (whole_before, whole_after) = (values::inline(&before.into()), values::inline(&after.into()));
    if before.chars().count().max(after.chars().count()) <= 120 {
        return (whole_before, whole_after);
    }
    let same = before.char_indices().zip(after.chars()).find(|((_, a), b)| a != b);
    let at = same.map_or(before.len().min(after.len()), |((at, _), _)| at);
    let start = before[..at].char_indices().rev().nth(19).map_or(0, |(at, _)| at);
    let piece = |text: &str| {
        let shown = text[start..].chars().take(100).collect::<String>();
        let more = if start + shown.len() < text.len() { "…" } else { "" };
        let text = values::inline(&Value::from(shown));
        let text = text.trim_matches('"');
        format!("\"{}{text}{more}\"", if start > 0 { "…" } else { "" })
    };
    (piece(before), piece(after))
}

fn lines(pen: &mut Pen, indent: usize, head: &str, (before, after): (&str, &str), remarks: &[String], tail: &str) {
    let (were, are) = (before.lines().count(), after.lines().count());
    if were.max(are) > MOST_LINES {
        let (before, after) = (format!("({were} lines)"), format!("({are} lines){tail}"));
        return pen.change(indent, head, (&before, &after), remarks);
    }
    let end = end_of(&[before, after]);
    pen.remarked(indent, Mark::Change, &format!("{head}<<-{end}"), "", remarks);
    let diff = TextDiff::from_lines(before, after);
    let mut shown = 0;
    for group in diff.grouped_ops(AROUND) {
        let start = group.first().map_or(0, |op| op.old_range().start);
        pen.hidden(indent + 4, start.saturating_sub(shown), "line");
        shown = group.last().map_or(start, |op| op.old_range().end);
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let mark = match change.tag() {
                ChangeTag::Delete => Mark::Remove,
                ChangeTag::Insert => Mark::Add,
                ChangeTag::Equal => Mark::Same,
            };
            let line = change.value();
            let text = line.trim_end_matches('\n');
            let bare = text.trim_end_matches(' ');
            // Blanks at the end may be all that differs.
            let blanks = if mark == Mark::Same { 0 } else { text.len() - bare.len() };
            let text = format!("{}{}", tame(if blanks > 0 { bare } else { text }), "·".repeat(blanks));
            pen.line(indent + 4, mark, &text);
            if mark != Mark::Same && !line.ends_with('\n') {
                let note = pen.paint.dim("# (no line feed at the end)");
                pen.line(indent + 4, Mark::Same, &note);
            }
        }
    }
    pen.hidden(indent + 4, were.saturating_sub(shown), "line");
    pen.line(indent, Mark::Same, &format!("{end}{tail}"));
}
