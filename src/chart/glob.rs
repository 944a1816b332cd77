//! Patterns on paths: shell patterns of Go's `path.Match` for .helmignore and `--show-only`, and the wider ones
//! of `.Files.Glob`. Both are matched without backtracking over more than the last star.

/// One element of a pattern.
#[derive(Clone, Debug)]
enum Part {
    One(char),
    /// Any character but a slash.
    Any,
    /// Any run of characters without a slash.
    Star,
    /// Any run of characters.
    Deep,
    Class {
        not: bool,
        ranges: Vec<(char, char)>,
    },
}

/// A pattern, as alternatives of parts.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Vec<Part>>);

/// How many alternatives braces may make.
const MAX_ALTERNATIVES: usize = 1000;

impl Pattern {
    /// As Go's `path.Match` reads it: `*`, `?`, `[a-z]`, `[^a]` and backslashes. `None` where it is malformed.
    pub(super) fn shell(text: &str) -> Option<Pattern> {
        parts(text, false).map(|parts| Pattern(vec![parts]))
    }

    /// As `.Files.Glob` reads it: also `**`, `{a,b}` and `[!a]`.
    pub(super) fn files(text: &str) -> Option<Pattern> {
        let mut done = Vec::new();
        let mut open = vec![text.to_owned()];
        while let Some(text) = open.pop() {
            match braces(&text)? {
                None => done.push(parts(&text, true)?),
                Some((before, choices, after)) => {
                    open.extend(choices.iter().map(|choice| format!("{before}{choice}{after}")));
                }
            }
            if done.len() + open.len() > MAX_ALTERNATIVES {
                return None;
            }
        }
        Some(Pattern(done))
    }

    /// Whether the whole path matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        let path = path.chars().collect::<Vec<_>>();
        self.0.iter().any(|parts| matches(parts, &path))
    }
}

/// The first pair of braces with what it offers.
type Braces = (String, Vec<String>, String);

#[expect(clippy::option_option, reason = "malformed, without braces, with braces")]
fn braces(text: &str) -> Option<Option<Braces>> {
    let (mut start, mut depth, mut cuts, mut escaped) = (0, 0_usize, Vec::new(), false);
    for (at, c) in text.char_indices() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            ',' if depth == 1 => cuts.push(at),
            '}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    cuts.push(at);
                    let mut choices = Vec::new();
                    let mut from = start + 1;
                    for cut in cuts {
                        choices.push(text[from..cut].to_owned());
                        from = cut + 1;
                    }
                    return Some(Some((text[..start].to_owned(), choices, text[at + 1..].to_owned())));
                }
            }
            _ => {}
        }
    }
    (depth == 0).then_some(None)
}

fn parts(text: &str, wide: bool) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        parts.push(match c {
            '*' if wide && letters.peek() == Some(&'*') => {
                while letters.peek() == Some(&'*') {
                    letters.next();
                }
                Part::Deep
            }
            '*' => Part::Star,
            '?' => Part::Any,
            '\\' => match letters.next() {
                Some(letter) => Part::One(letter),
                None if wide => break,
                None => return None,
            },
            '[' => {
                let not = letters.peek() == Some(&'^') || wide && letters.peek() == Some(&'!');
                if not {
                    letters.next();
                }
                let mut ranges = Vec::new();
                loop {
                    let low = match letters.next()? {
                        ']' if !ranges.is_empty() => break,
                        ']' | '-' if !wide => return None,
                        '\\' => letters.next()?,
                        c => c,
                    };
                    let mut high = low;
                    if letters.peek() == Some(&'-') {
                        letters.next();
                        high = match letters.next()? {
                            ']' | '-' if !wide => return None,
                            '\\' => letters.next()?,
                            c => c,
                        };
                    }
                    ranges.push((low, high));
                }
                Part::Class { not, ranges }
            }
            c => Part::One(c),
        });
    }
    Some(parts)
}

fn matches(parts: &[Part], path: &[char]) -> bool {
    // Which positions of the pattern are reachable after each character: constant memory, no backtracking.
    let mut states = vec![false; parts.len() + 1];
    states[0] = true;
    spread(parts, &mut states);
    for &c in path {
        let mut next = vec![false; parts.len() + 1];
        for (at, part) in parts.iter().enumerate().filter(|(at, _)| states[*at]) {
            match part {
                Part::Deep => next[at] = true,
                Part::Star => next[at] |= c != '/',
                Part::Any => next[at + 1] |= c != '/',
                Part::One(wanted) => next[at + 1] |= c == *wanted,
                Part::Class { not, ranges } => {
                    next[at + 1] |= c != '/' && ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *not;
                }
            }
        }
        states = next;
        spread(parts, &mut states);
    }
    states[parts.len()]
}

/// Stars may match nothing.
fn spread(parts: &[Part], states: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        if states[at] && matches!(part, Part::Star | Part::Deep) {
            states[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns() {
        for (pattern, path, matched) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "b/a.txt", false),
            ("b/*.*", "b/a.txt", true),
            ("ru[c-e]?er.txt", "rudder.txt", true),
            ("[^a]x", "bx", true),
            ("[^a]x", "ax", false),
            ("a\\*", "a*", true),
            ("", "", true),
        ] {
            assert_eq!(Pattern::shell(pattern).unwrap().matches(path), matched, "{pattern} {path}");
        }
        for bad in ["[", "[]a]", "[a-", "a\\", "[z-"] {
            assert!(Pattern::shell(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn file_patterns() {
        for (pattern, path, matched) in [
            ("**", "a/b/c", true),
            ("a/**", "a/b/c", true),
            ("a/*", "a/b/c", false),
            ("**.{yaml,json}", "a/b.json", true),
            ("{a,b{c,d}}/x", "bd/x", true),
            ("[!a]", "b", true),
            ("files/*", "files/x", true),
        ] {
            assert_eq!(Pattern::files(pattern).unwrap().matches(path), matched, "{pattern} {path}");
        }
        assert!(Pattern::files("{a").is_none());
        assert!(Pattern::files(&"{a,b}".repeat(30)).is_none());
        let slow = Pattern::files(&"*a".repeat(500)).unwrap();
        assert!(!slow.matches(&"a".repeat(2000).replace("aaaa", "aaab")));
    }
}
