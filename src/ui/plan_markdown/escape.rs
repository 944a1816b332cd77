//! Text from outside inside of Markdown: nothing in it is markup, a link, a mention, a heading or the end of anything.
//!
//! Names and values are shown as [`code`] on a line or in a [`fence`] over several. Both also hold inside of tables,
//! lists, summaries and folded details, and GitHub and GitLab look for mentions, issues and links in neither. Sentences
//! of ours with a name in them are [`prose`]. Not for text of our own alone.

use crate::ui::paint::{tame, tame_line};

/// A text on one line, as code. At most `most` bytes of it are shown.
pub(super) fn code(text: &str, most: usize) -> String {
    let text = tame_line(text);
    let shown = clip(&text, most);
    let mut out = String::with_capacity(shown.len() + 16);
    out.push_str("<code>");
    let mut before = ' ';
    let mut rest = shown.chars().peekable();
    while let Some(c) = rest.next() {
        // Between letters an underscore is only that, and names are full of them.
        let joins = before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            ' ' | '-' | '.' | '/' | ',' | '(' | ')' | '=' | '+' | '%' | '$' | '…' => out.push(c),
            '_' if joins => out.push(c),
            c if c.is_ascii_punctuation() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
        before = c;
    }
    out.push_str("</code>");
    out
}

/// A sentence. At most `most` bytes of it are shown.
pub(super) fn prose(text: &str, most: usize) -> String {
    let text = tame_line(text);
    let shown = clip(&text, most);
    let mut out = String::with_capacity(shown.len() + 16);
    let mut before = ' ';
    let mut rest = shown.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        let joins = c == '_' && before.is_alphanumeric() && next.is_alphanumeric();
        let ends = c == ':' && next == ' ';
        let is_plain = matches!(c, ' ' | '-' | '/' | ',' | '(' | ')' | '=' | '+' | '%' | '$' | ';' | '\'' | '"');
        // `www.` begins a link.
        let is_dot = c == '.' && before != 'w';
        match c.is_ascii_punctuation() && !is_plain && !is_dot && !joins && !ends {
            true => out.push_str(&format!("&#{};", u32::from(c))),
            false => out.push(c),
        }
        // Mentions, issues, requests, labels and links are looked for once more in what is shown.
        if matches!(c, '@' | '#' | '!' | '~' | ':' | '&' | '%') && !ends {
            out.push_str("&#8203;");
        }
        before = c;
    }
    out
}

/// A text cut to at most so many bytes, with a sign where it was cut.
pub(super) fn clip(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most.saturating_sub('…'.len_utf8())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// Where so many backticks stand in a row, nobody means them.
const LONGEST: usize = 16;

/// Lines as a block of code in a language. Nothing in it can end it.
pub(super) fn fence(language: &str, text: &str) -> String {
    let mut text = tame(text);
    // A fence of thousands would leave no room for anything else.
    if text.contains(&"`".repeat(LONGEST)) {
        text = text.replace('`', "'");
    }
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let ticks = "`".repeat((longest + 1).max(3));
    format!("{ticks}{language}\n{}\n{ticks}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_code_is_markup() {
        let hostile = "`a` | <b> @me #1 [x](http://y) </details> \\ *b* _c_ a_b \u{1b}[31m \u{202e}\nz";
        let code = code(hostile, 1_000);
        let inner = code.strip_prefix("<code>").and_then(|c| c.strip_suffix("</code>")).expect("tags");
        let entities = regex::Regex::new(r"&#\d+;").expect("pattern");
        let bare = entities.replace_all(inner, "");
        assert!(
            !bare.contains(['`', '|', '<', '>', '@', '#', '[', ']', '\\', '*', ':', '\n', '\u{1b}', '\u{202e}', '&'])
        );
        assert!(inner.contains("a_b") && !inner.contains("_c_"), "{inner}");
        assert_eq!(super::code("名前", 100), "<code>名前</code>");
    }

    #[test]
    fn nothing_in_a_sentence_is_markup() {
        let hostile = "why: `a` | <b> @me #1 !2 [x](http://y) www.z.org </details> \\ *b* _c_ a_b \u{202e}\nz";
        let text = prose(hostile, 1_000);
        let entities = regex::Regex::new(r"&#\d+;").expect("pattern");
        let bare = entities.replace_all(&text, "");
        assert!(
            !bare.contains(['`', '|', '<', '>', '@', '#', '[', ']', '\\', '*', '\n', '\u{202e}', '&', '!']),
            "{bare}"
        );
        assert!(text.starts_with("why: ") && !text.contains("www.") && !text.contains("://") && text.contains("a_b"));
        let shown = text.replace("&#8203;", "\u{200b}").replace("&#64;", "@").replace("&#58;", ":");
        assert!(!shown.contains("@me") && !shown.contains("://"), "{shown}");
        assert_eq!(prose("+$14.29 a day: it's (so)", 99), "+$14.29 a day: it's (so)");
    }

    #[test]
    fn cuts_are_marked_and_whole_characters_stay() {
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcdefgh", 6), "abc…");
        assert_eq!(clip("名前名前", 8), "名…");
        assert_eq!(clip("名前", 1), "…");
    }

    #[test]
    fn nothing_in_a_fence_ends_it() {
        let text = "a\n```\n````\n</details>\n\r\n";
        let fenced = fence("diff", text);
        assert!(fenced.starts_with("`````diff\n") && fenced.ends_with("\n`````\n"), "{fenced}");
        assert!(!fenced.contains('\r'));
        assert!(fence("", &"`".repeat(9_000)).len() < 9_100);
    }
}
