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
            other => other.to_owned(),
        }
    }
}

/// Text from outside with its control characters made visible, so that no name can move the cursor, change
/// colours or forge a line. Line feeds and tabs stay.
pub fn tame(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hostile = (c.is_control() && c != '\n' && c != '\t')
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if hostile { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
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
        assert_eq!(tame("a\u{1b}[31mb\rc\nd\u{202e}"), "a\\u{1b}[31mb\\u{d}c\nd\\u{202e}");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_secs(9)), "9s");
        assert_eq!(duration(Duration::from_secs(65)), "1m05s");
        assert_eq!(duration(Duration::from_secs(3 * 3600 + 120)), "3h02m");
    }
}
