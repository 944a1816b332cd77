//! Fitting text to a terminal: how wide it is, and where lines may break. Prose breaks between words and never inside
//! one; nothing is ever cut off. Not for what is copied from the screen, which is left to the terminal.

use unicode_width::UnicodeWidthStr;

/// The width of prose for readers whose terminal is not known: what pagers, mails and logs show without a break.
pub const PROSE: usize = 80;

/// How many columns a text takes: two for an ideograph, none for an accent that joins a letter.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text filled up with spaces to a number of columns.
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    let mut out = text.to_owned();
    out.extend(std::iter::repeat_n(' ', missing));
    out
}

/// Prose in lines of at most `columns`, after `first` on the first line and `rest` on all others. A word that is
/// wider than that has a line of its own.
pub fn prose(text: &str, first: &str, rest: &str, columns: usize) -> String {
    let mut out = first.to_owned();
    let mut used = width(first);
    let mut is_empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let wide = width(word);
        if !is_empty && used + 1 + wide > columns {
            out.push('\n');
            out.push_str(rest);
            used = width(rest);
            is_empty = true;
        }
        if !is_empty {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
        is_empty = false;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_only() {
        let text = "one two three a-very-long-word-indeed four";
        assert_eq!(prose(text, "* ", "  ", 12), "* one two\n  three\n  a-very-long-word-indeed\n  four\n");
        assert_eq!(prose(text, "* ", "  ", 80), format!("* {text}\n"));
        assert_eq!(prose("", "* ", "  ", 80), "* \n");
    }

    #[test]
    fn wide_and_joined_characters_count_as_they_are_shown() {
        assert_eq!((width("名前"), width("e\u{301}"), width("🚀")), (4, 1, 2));
        assert_eq!(pad("名前", 6), "名前  ");
        assert_eq!(prose("名前 名前 名前", "", "", 9), "名前 名前\n名前\n");
    }
}
