//! Colours, durations, money and the taming of hostile text. Not a template language.

use std::time::Duration;

/// Whether and how to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    /// Emit ANSI colours. Nothing is ever said by colour alone.
    pub color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Faint.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// For what is added and what went well.
    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// For what changes and for warnings.
    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// For what goes and for errors.
    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// A Terraform symbol in its colour.
    pub fn symbol(self, symbol: &str) -> String {
        match symbol {
            "+" => self.green(symbol),
            "~" => self.yellow(symbol),
            "-" => self.red(symbol),
            "-/+" => format!("{}/{}", self.red("-"), self.green("+")),
            "=" | ">" => self.with("36", symbol),
            other => other.to_owned(),
        }
    }
}

/// Whether a character can move the cursor, change colours, or make text read differently from what it is: control
/// characters, marks that change the direction of writing, separators and tags that nobody sees.
fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text from outside with its control characters made visible, so that no name can move the cursor, change
/// colours or forge a line. Line feeds and tabs stay.
pub fn tame(text: &str) -> String {
    if !text.contains(is_hostile) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hostile(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// [`tame`], for what must stay on one line: line feeds and tabs are made visible too.
pub fn tame_line(text: &str) -> String {
    let text = tame(text);
    if !text.contains(['\n', '\t']) {
        return text;
    }
    text.replace('\n', "\\n").replace('\t', "\\t")
}

/// `7s`, `4m12s`, `1h05m`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `1 object`, `2 objects`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_made_visible() {
        assert_eq!(tame("plain 名前 🚀\n"), "plain 名前 🚀\n");
        assert_eq!(tame("\u{61c}\u{2028}\u{feff}\u{e0041}"), "\\u{61c}\\u{2028}\\u{feff}\\u{e0041}");
        assert_eq!(tame_line("a\nb\tc\u{7}"), "a\\nb\\tc\\u{7}");
        assert_eq!(tame("a\u{1b}[31mb\rc\nd\u{202e}"), "a\\u{1b}[31mb\\u{d}c\nd\\u{202e}");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_secs(9)), "9s");
        assert_eq!(duration(Duration::from_secs(65)), "1m05s");
        assert_eq!(duration(Duration::from_secs(3 * 3600 + 120)), "3h02m");
    }
}
