//! The canonical layout of a stack file: spaces, blank lines, line ends. Comments stay.
//!
//! Order, quotes and what stands on one line are the writer's choice and are kept. Formatting twice changes
//! nothing more, and what the file means never changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml_edit::{Array, Decor, DocumentMut, InlineTable, Item, RawString, Table, Value};

use crate::diag::{Diagnostic, Diagnostics, Source, Span};
use crate::stack::tree;

/// The text in canonical layout.
///
/// # Errors
/// Where the text is not valid TOML.
pub fn format(source: &Arc<Source>) -> Result<String, Diagnostics> {
    let (_, mistakes) = tree::read(source);
    if !mistakes.is_empty() {
        return Err(Diagnostics(mistakes));
    }
    let text = source.text.replace("\r\n", "\n");
    let mut document = text.parse::<DocumentMut>().map_err(|error| {
        let range = error.span().unwrap_or_default();
        Diagnostic::error(format!("not valid TOML: {}", error.message()))
            .at(Span { source: source.clone(), range }, "here")
    })?;
    let mut headers = BTreeMap::new();
    find_headers(document.as_table(), &mut headers);
    let mut layout = Layout { headers, first: true };
    layout.table(document.as_table_mut(), true);
    let end = lines(document.trailing(), layout.first);
    document.set_trailing(end.trim_end());
    let mut text = document.to_string();
    text.truncate(text.trim_end().len());
    if !text.is_empty() {
        text.push('\n');
    }
    Ok(text)
}

/// For each header by its position: whether values stand right under it.
fn find_headers(table: &Table, headers: &mut BTreeMap<isize, bool>) {
    if let Some(position) = table.position() {
        headers.insert(position, has_values(table));
    }
    for (_, item) in table {
        match item {
            Item::Table(table) => find_headers(table, headers),
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| find_headers(table, headers)),
            Item::Value(_) | Item::None => {}
        }
    }
}

fn has_values(table: &Table) -> bool {
    table.iter().any(|(_, item)| match item {
        Item::Value(_) => true,
        Item::Table(table) => table.is_dotted(),
        Item::ArrayOfTables(_) | Item::None => false,
    })
}

struct Layout {
    headers: BTreeMap<isize, bool>,
    /// Nothing has been laid out yet, so that blank lines would be the file's first.
    first: bool,
}

impl Layout {
    fn table(&mut self, table: &mut Table, root: bool) {
        if !root && !table.is_dotted() {
            self.header(table);
        }
        // The first key under a header follows it at once.
        let mut at_start = !table.is_dotted();
        // toml_edit prints a table's own values before the tables in it.
        for values in [true, false] {
            for (mut key, item) in table.iter_mut() {
                let is_value =
                    matches!(item, Item::Value(_)) || matches!(item, Item::Table(table) if table.is_dotted());
                if is_value != values {
                    continue;
                }
                key.dotted_decor_mut().clear();
                match item {
                    Item::Value(value) => {
                        let before = lines_of(key.leaf_decor().prefix(), at_start);
                        *key.leaf_decor_mut() = Decor::new(before, " ");
                        lay_out(value, " ", 0);
                        let after = comment(value.decor().suffix());
                        value.decor_mut().set_suffix(after);
                        (at_start, self.first) = (false, false);
                    }
                    Item::Table(table) => {
                        if !table.is_dotted() {
                            key.leaf_decor_mut().clear();
                        }
                        self.table(table, false);
                        at_start = false;
                    }
                    Item::ArrayOfTables(tables) => {
                        key.leaf_decor_mut().clear();
                        tables.iter_mut().for_each(|table| self.table(table, false));
                    }
                    Item::None => {}
                }
            }
        }
    }

    /// One blank line before a header, none where it follows an empty table at once, as lists of add-ons do.
    fn header(&mut self, table: &mut Table) {
        let before = text(table.decor().prefix());
        let position = table.position().unwrap_or_default();
        let follows_empty = self.headers.range(..position).next_back().is_some_and(|(_, values)| !values);
        let mut prefix = lines_of(table.decor().prefix(), true);
        let is_first = self.headers.range(..position).next().is_none() && self.first;
        if !(is_first || follows_empty && before.trim_matches([' ', '\t']).is_empty()) {
            prefix.insert(0, '\n');
        }
        let after = comment(table.decor().suffix());
        *table.decor_mut() = Decor::new(prefix, after);
        self.first = false;
    }
}

fn text(raw: Option<&RawString>) -> &str {
    raw.and_then(RawString::as_str).unwrap_or_default()
}

/// Whole comment lines, trimmed, never two blank ones in a row.
fn lines(raw: &RawString, at_start: bool) -> String {
    lines_of(Some(raw), at_start)
}

fn lines_of(raw: Option<&RawString>, at_start: bool) -> String {
    let raw = text(raw);
    let Some((whole, rest)) = raw.rsplit_once('\n') else {
        // The end of a file without a line break.
        return if raw.trim().is_empty() { String::new() } else { format!("{}\n", raw.trim()) };
    };
    let mut kept = String::new();
    let mut blank = at_start;
    for line in whole.split('\n').chain(Some(rest).filter(|rest| !rest.trim().is_empty())).map(str::trim) {
        if line.is_empty() && blank {
            continue;
        }
        blank = line.is_empty();
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// A comment at the end of a line.
fn comment(raw: Option<&RawString>) -> String {
    match text(raw).trim() {
        "" => String::new(),
        comment => format!("  {comment}"),
    }
}

/// Lays out a value that starts after `before`, `depth` arrays deep. What follows it is the caller's.
fn lay_out(value: &mut Value, before: &str, depth: usize) {
    value.decor_mut().set_prefix(before);
    match value {
        Value::Array(array) => lay_out_array(array, depth),
        Value::InlineTable(table) => lay_out_table(table, depth),
        _ => {}
    }
}

fn lay_out_array(array: &mut Array, depth: usize) {
    let broken = |decor: &Decor| text(decor.prefix()).contains('\n') || text(decor.suffix()).contains('\n');
    let tall = array.iter().any(|item| broken(item.decor())) || text(Some(array.trailing())).contains('\n');
    if !tall {
        for (at, item) in array.iter_mut().enumerate() {
            lay_out(item, if at == 0 { "" } else { " " }, depth);
            item.decor_mut().set_suffix("");
        }
        array.set_trailing("");
        array.set_trailing_comma(false);
        return;
    }
    // A comment between an item and its comma moves behind the comma.
    let mut carried = String::new();
    for item in array.iter_mut() {
        let before = format!("{carried}{}", text(item.decor().prefix()));
        carried = text(item.decor().suffix()).to_owned();
        let before = item_lines(&before, depth + 1);
        lay_out(item, &before, depth + 1);
        item.decor_mut().set_suffix("");
    }
    let end = format!("{carried}{}", text(Some(array.trailing())));
    array.set_trailing(reindent(&item_lines(&end, depth), depth));
    array.set_trailing_comma(!array.is_empty());
}

/// What stands between two items: a comment behind the first, comment lines, the indentation of the second.
fn item_lines(between: &str, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut laid = String::new();
    for (at, line) in between.split('\n').map(str::trim).enumerate() {
        if line.is_empty() {
            continue;
        }
        if at == 0 {
            laid.push_str("  ");
        } else {
            laid.push('\n');
            laid.push_str(&indent);
        }
        laid.push_str(line);
    }
    laid.push('\n');
    laid.push_str(&indent);
    laid
}

/// Comment lines before a closing bracket stand with the items, one level deeper than the bracket.
fn reindent(trailing: &str, depth: usize) -> String {
    let lines = trailing.split('\n').collect::<Vec<_>>();
    let last = lines.len().saturating_sub(1);
    let inner = "  ".repeat(depth + 1);
    let lines = lines.iter().enumerate().map(|(at, line)| match at {
        0 => (*line).to_owned(),
        at if at == last => "  ".repeat(depth),
        _ => format!("{inner}{}", line.trim()),
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn lay_out_table(table: &mut InlineTable, depth: usize) {
    if has_breaks(table) {
        // Tables over several lines are laid out by hand, and stay so.
        return;
    }
    let last = table.get_values().len().saturating_sub(1);
    let mut at = 0;
    lay_out_entries(table, depth, last, &mut at);
    table.set_trailing("");
    table.set_trailing_comma(false);
}

fn lay_out_entries(table: &mut InlineTable, depth: usize, last: usize, at: &mut usize) {
    for (mut key, value) in table.iter_mut() {
        key.dotted_decor_mut().clear();
        match value {
            Value::InlineTable(inner) if inner.is_dotted() => lay_out_entries(inner, depth, last, at),
            value => {
                *key.leaf_decor_mut() = Decor::new(" ", " ");
                lay_out(value, " ", depth);
                value.decor_mut().set_suffix(if *at == last { " " } else { "" });
                *at += 1;
            }
        }
    }
}

/// Whether an inline table holds line breaks of its own, comments included.
fn has_breaks(table: &InlineTable) -> bool {
    let broken = |raw: Option<&RawString>| text(raw).contains(['\n', '#']);
    broken(Some(table.trailing()))
        || table.get_values().iter().any(|(path, value)| {
            let keys = path.iter().any(|key| {
                [key.leaf_decor(), key.dotted_decor()]
                    .iter()
                    .any(|decor| broken(decor.prefix()) || broken(decor.suffix()))
            });
            keys || broken(value.decor().prefix()) || broken(value.decor().suffix())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn formatted(text: &str) -> String {
        match format(&Arc::new(Source { name: "s.toml".into(), text: text.into() })) {
            Ok(text) => text,
            Err(mistakes) => panic!("{mistakes}\n{text}"),
        }
    }

    #[test]
    fn a_crooked_file_is_straightened() {
        let crooked = "\n\n#:schema x.json\r\n  name='x'   # the name\n\n\n\n#about b\nb   =  [1,2 ,3,]\n c=[ # first\n1, # one\n  # before two\n 2\n # last\n]\n[ a . b ]  #head\n\n\nx={a=1,b = { c=2 },d.e=3,}\n[addons.x]\n[addons.y]\n[addons.z]\nq = 1\n[[moved]]\nfrom='a'\n\n\n\n\n[[moved]]\nt = {}\n  # the end\n\n\n";
        insta::assert_snapshot!(formatted(crooked));
    }

    #[test]
    fn comments_and_meaning_stay() {
        for (text, same) in [
            ("", ""),
            ("# only a comment", "# only a comment\n"),
            ("\n\n# only\n\n\n# comments\n\n", "# only\n\n# comments\n"),
            ("a = '''\n  text  \n\n\n\n'''\n", "a = '''\n  text  \n\n\n\n'''\n"),
            ("a.b = 1\na.c = 2 # x\n", "a.b = 1\na.c = 2  # x\n"),
            ("[a]\nx = 1\n[b]\n", "[a]\nx = 1\n\n[b]\n"),
            ("# top\n\n[a]\n", "# top\n\n[a]\n"),
            ("a = [\n  [1, 2],\n  [\n    3 # c\n  ]\n]", "a = [\n  [1, 2],\n  [\n    3,  # c\n  ],\n]\n"),
            ("a = { # why\n  b = 1,\n}\n", "a = { # why\n  b = 1,\n}\n"),
        ] {
            assert_eq!(formatted(text), same, "{text:?}");
        }
        assert!(format(&Arc::new(Source { name: "s".into(), text: "a = ".into() })).is_err());
    }

    fn comments(text: &str) -> Vec<String> {
        let mut found =
            text.lines().filter_map(|line| line.split_once('#')).map(|(_, c)| c.trim().to_owned()).collect::<Vec<_>>();
        found.sort();
        found
    }

    /// Pieces that make valid and crooked lines when joined.
    fn line() -> impl Strategy<Value = String> {
        let space = "[ \t]{0,3}";
        let note = prop_oneof![Just(String::new()), "#[a-c ]{0,5}"];
        let value = prop_oneof![
            "[1-9]{1,3}",
            "\"[a-z ]{0,5}\"",
            Just("[ 1,2 ]".to_owned()),
            Just("[\n1,# c\n\n 2 # d\n, 3]".to_owned()),
            Just("[[1],[\n[2]]]".to_owned()),
            Just("{a=1 ,b.c = [ 2 ]}".to_owned()),
            Just("{ a = [\n1\n] }".to_owned()),
            Just("{}".to_owned()),
            Just("[]".to_owned()),
            Just("[ # e\n]".to_owned()),
            Just("'''\n x  \n\n\n'''".to_owned()),
        ];
        (space, 0..8u8, value, space, note).prop_map(|(space, what, value, gap, note)| match what {
            0 => String::new(),
            1 => format!("{space}#{note}"),
            2 => format!("{space}[KEY]{gap}{note}"),
            3 => format!("{space}[[L]]{gap}{note}"),
            4 => format!("{space}KEY.x{gap}= {value}{gap}{note}"),
            _ => format!("{space}KEY{gap}={gap}{value}{gap}{note}"),
        })
    }

    proptest! {
        #[test]
        fn formatting_keeps_meaning_and_comments_and_is_done_once(lines in proptest::collection::vec(line(), 0..14)) {
            let text = lines.iter().enumerate().map(|(n, line)| line.replace("KEY", &format!("k{n}")) + "\n").collect::<String>();
            let once = formatted(&text);
            prop_assert_eq!(toml::from_str::<toml::Table>(&text).unwrap(), toml::from_str::<toml::Table>(&once).unwrap());
            prop_assert_eq!(comments(&text), comments(&once), "{}\n=>\n{}", text, once);
            prop_assert_eq!(formatted(&once), once);
        }
    }
}
