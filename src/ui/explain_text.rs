//! What `explain` says of one key, attribute or field: a page of text. Where it comes from is `cli::explain`'s.

use crate::ui::paint::{Paint, tame};

/// Columns that text is broken at.
const WIDTH: usize = 96;

/// One thing that is explained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// As it was asked for: `node_pools.accelerator`.
    pub name: String,
    /// Its type, in a word or two.
    pub kind: String,
    /// What it is, in sentences.
    pub text: String,
    /// What else is known: ("One of", "a, b").
    pub facts: Vec<(String, String)>,
    /// What lies below it.
    pub fields: Vec<Row>,
}

/// One thing that lies below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// What it is.
    pub text: String,
}

/// The page.
pub fn page(page: &Page, paint: Paint) -> String {
    let mut out = paint.bold(&tame(&page.name));
    if !page.kind.is_empty() {
        out.push_str(&format!("  {}", paint.dim(&format!("<{}>", tame(&page.kind)))));
    }
    out.push('\n');
    if !page.text.is_empty() {
        out.push_str(&format!("\n{}", wrapped(&page.text, "  ")));
    }
    for (name, text) in &page.facts {
        out.push_str(&format!("\n{}", wrapped(&format!("{name}: {text}"), "  ")));
    }
    if page.fields.is_empty() {
        return out;
    }
    out.push('\n');
    for row in &page.fields {
        let kind = if row.kind.is_empty() { String::new() } else { paint.dim(&format!("  <{}>", tame(&row.kind))) };
        out.push_str(&format!("  {}{kind}\n{}", paint.bold(&tame(&row.name)), wrapped(&row.text, "      ")));
    }
    out
}

/// Lines of a text, broken between words.
fn wrapped(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for paragraph in tame(text).lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = console::measure_text_width(&line) + console::measure_text_width(word) + indent.len() + 1;
            if !line.is_empty() && longer > WIDTH {
                out.push_str(&format!("{indent}{line}\n"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            out.push_str(&format!("{indent}{line}\n"));
        }
    }
    out
}
