//! Both readers of YAML agree, on texts by hand, by chance and from outside.

use proptest::prelude::*;

use super::super::read::{all, complete, documents};
use super::*;
use crate::template::tokens::Tokens;

fn same(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::List(a), Data::List(b)) => {
            a.items().len() == b.items().len() && a.items().iter().zip(b.items()).all(|(a, b)| same(a, b))
        }
        (Data::Map(a), Data::Map(b)) => {
            let (a, b) = (a.snapshot(), b.snapshot());
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
        }
        (Data::Text(a), Data::Text(b)) => a == b,
        (Data::Float(a), Data::Float(b)) => a == b,
        (Data::Bool(a), Data::Bool(b)) => a == b,
        (Data::Nil, Data::Nil) => true,
        _ => false,
    }
}

/// Both readers agree wherever this one answers.
fn agree(text: &str) -> bool {
    let quick = read::<Value>(text);
    let data = read::<Data>(text);
    let head = head(text);
    assert_eq!(head.is_some(), quick.is_some(), "{text:?}");
    if let (Some(value), Some(head)) = (&quick, head) {
        match complete(text) {
            Ok(wanted) => assert_eq!(*value, wanted, "{text:?}"),
            Err(error) => panic!("{error}: {text:?}"),
        }
        let wanted = match value.clone() {
            Value::Map(map) => {
                Value::Map(map.into_iter().filter(|(field, _)| HEAD.contains(&field.as_str())).collect())
            }
            Value::List(_) => Value::List(Vec::new()),
            other => other,
        };
        assert_eq!(head, wanted, "{text:?}");
        if let Value::Map(_) = value {
            assert_eq!(documents(text), all(text), "{text:?}");
        }
        let wanted = Data::from_value(value, &mut Tokens::default());
        assert!(same(&data.expect("the same kind"), &wanted), "{text:?}");
    }
    quick.is_some()
}

#[test]
fn the_common_kind_is_read_here() {
    for text in [
        "a: 1\nb: x y # note\nc:\n- 1\n- a: b\n  c: d\n-\n  - x\nd:\n  e: \"q\\n\"\n  'f g': 'it''s'\n",
        "a: |\n  one\n\n    two\n  three\nb: |-\n  x\n\n\nc: |+\n  y\n\n",
        "a: |+\n  y\n\nb: 1\n",
        "# head\n\na:\n\n  # note\n  b: [a, \"b c\", 'd']\n  c: []\n  d: {}\n  e:\nf: ~\n",
        "- a\n- -1\n- http://x:80/y\n",
        "0755: 0755\nyes: no\n1.5: 1_000\n",
        "a: |\n  x\n# note\nb: c",
        "args:\n  - --flag=x\n  - \"--other\"\n",
        "",
        "# only a note\n",
        "a: b:c\nd: e#f\n",
        "k:\n- name: x\n  v: |\n    a\n- name: y\n",
        "a: one\n  two\n\n\n  'three' - \"x\"\nb:\n- one\n two\n",
        "a: 1\n  2\nb: x\n# note\nc: y\n    # note\nd: z\n",
        "a: \"one\n  two\\\n  \\ three  \n\n  four\\n\"\nb: 'it''s\n  here'\n",
        "a: \"\\x41\\u00e9\\/\\r\"\n",
        "a: |2\n   x\n  y\nb:\n  c: |2-\n\n     x\n\n",
        "a: {b: c, 'd': [e, {}], \"f\": -1}\nb: [[c], d e]\nc:\n- {a: b} # note\n",
        "a:\n  {}\nb:\n- c:\n    [x, y] # note\n-\n  { d: e }\n",
        "- - a\n  - b\n- - - c\n- -\n- d\n",
    ] {
        assert!(agree(text), "{text:?}");
    }
}

#[test]
fn everything_else_is_left_alone() {
    for text in [
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: >\n  x\n",
        "a: one\n  two: x\n",
        "a: one # note\n  two\n",
        "a: one\n  two # note\n  three\n",
        "a: \"one\ntwo\"\n",
        "a: \"one\\\n\n  two\"\n",
        "a: \"one\\  \n  two\"\n",
        "a: \"one\n  two\": x\n",
        "a: \"\\ud800\"\n",
        "a: \"\\U00000041\"\n",
        "a: |2\n x\n",
        "a: |3\n    \n   x\n",
        "a: {b}\n",
        "a: {b: }\n",
        "a: {b: c\n  }\n",
        "a: [b: c]\n",
        "- [a]: b\n",
        "a:\n  {b: c}: d\n",
        "a:\n  [b]\n  c: d\n",
        "a:\n  [b,\n  c]\n",
        "- ---\n---\n",
        "? a\n: b\n",
        "a: b: c\n",
        "a:\tb\n",
        "--- \na: 1\n",
        "a\n",
        "a: 1\n b: 2\n",
        "a:\n  b: 1\n c: 2\n",
        "<<: {a: 1}\n",
        "a: |\n  x",
        "a: @x\n",
        "a: .inf\n",
        "a: .inf\n\n  # no\n",
        "a: 'x' y\n",
        "a: b\n- c\n",
        "a: [b\n",
        "a: - b\n",
        "a: |\n    x\n  y\n",
    ] {
        assert!(!agree(text), "{text:?}");
    }
}

#[test]
fn files_from_outside_are_read_alike() {
    // A folder of YAML files to compare both readers on.
    #[expect(clippy::disallowed_methods, reason = "only whoever compares names a folder")]
    let Ok(folder) = std::env::var("TEMPLATE_YAML") else { return };
    let (mut quick, mut all) = (0, 0);
    for file in std::fs::read_dir(folder).unwrap().flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap();
        for part in text.split("\n---") {
            let part = format!("{}\n", part.trim_start_matches('-').trim());
            all += part.len();
            quick += if agree(&part) { part.len() } else { 0 };
        }
    }
    assert!(quick * 10 > all * 7, "{quick} of {all} bytes");
}

/// Choices that come from a list of bytes, so that a failure can be made small.
struct Choices<'c>(std::slice::Iter<'c, u8>);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % count
    }

    fn one(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }
}

const WORDS: &[&str] = &[
    "a",
    "b c",
    "d  e",
    "1",
    "-1",
    "true",
    "~",
    "x-y",
    "é",
    "http://x/y",
    "a:b",
    "it's",
    "(z)",
    "0x1f",
    "1e999",
    "- x",
    "#no",
    "x #y",
    "a: b",
    "\"d\"",
    "'q'",
    "%",
    "&a",
    "*b",
    "{",
    "]",
    "|",
    ">",
    "\\",
    "\\n",
    "\\ ",
    ",",
    "=",
    ".inf",
    "-",
];

/// The lines of a scalar after the first, each as deep as `depth` or elsewhere.
fn more(choices: &mut Choices<'_>, depth: usize, breaks: &[&'static str], out: &mut String) {
    for _ in 0..choices.below(4) {
        out.push_str(choices.one(breaks));
        let depth = match choices.below(12) {
            0 => depth + 2,
            1 => depth.saturating_sub(1),
            2 => depth + 1,
            _ => depth,
        };
        out.extend(std::iter::repeat_n(' ', depth));
        out.push_str(choices.one(WORDS));
    }
}

/// What may follow a colon or a hyphen, with its line break. `depth`: that of what holds it.
fn anything(choices: &mut Choices<'_>, depth: usize, left: usize, out: &mut String) {
    let spaces = |out: &mut String, count: usize| out.extend(std::iter::repeat_n(' ', count));
    match choices.below(if left == 0 { 9 } else { 13 }) {
        0..=2 => {
            out.push(' ');
            out.push_str(choices.one(WORDS));
            more(choices, depth + 2, &["\n", "\n", "\n", "\n\n", " \n", "\n   \n", " # note\n"], out);
            out.push_str(choices.one(&["", "", "", " ", " # note"]));
        }
        kind @ (3 | 4) => {
            let quote = if kind == 3 { '\'' } else { '"' };
            out.push(' ');
            out.push(quote);
            out.push_str(choices.one(WORDS));
            more(choices, depth + 2, &["\n", "\n", "\n\n", "  \n", "\n \n\n", "\\\n", "\\ \n", "\\x41\\t\n"], out);
            out.push(quote);
            out.push_str(choices.one(&["", "", "", " ", " # note", ": x"]));
        }
        5 | 6 => {
            let header = choices.one(&[" |", " |-", " |+", " |2", " |2-", " |4+", " |1", " >", " >-", " | "]);
            out.push_str(header);
            more(choices, depth + 2, &["\n", "\n", "\n", "\n\n", "\n      \n", "\n \n"], out);
            out.push_str(choices.one(&["", "", "\n", "\n\n  "]));
        }
        7 => {
            for _ in 0..1 + choices.below(9) {
                out.push_str(choices.one(&[
                    " ", "[", "]", "{", "}", "a", "a: ", "\"b\": ", ", ", ",", "c d", "'x'", "-1", "[]", "{}", ":", "1",
                ]));
            }
        }
        8 => {}
        9 | 10 => {
            out.push('\n');
            let depth = depth + [2, 2, 4, 1, 0][choices.below(5)];
            for _ in 0..1 + choices.below(3) {
                spaces(out, depth);
                out.push_str(choices.one(&[
                    "a:",
                    "b:",
                    "\"c\":",
                    "kind:",
                    "metadata:",
                    "yes:",
                    "1:",
                    "'d e':",
                    "~:",
                    "<<:",
                ]));
                anything(choices, depth, left - 1, out);
            }
            return;
        }
        11 => {
            out.push('\n');
            let depth = depth + [2, 0, 4, 1][choices.below(4)];
            for _ in 0..1 + choices.below(3) {
                spaces(out, depth);
                out.push('-');
                anything(choices, depth, left - 1, out);
            }
            return;
        }
        _ => {
            out.push_str(choices.one(&[" - a", " a: b", " - - c", " a:", " # note"]));
            out.push('\n');
            spaces(out, depth + 2);
            out.push_str(choices.one(&["- a", "b: c", "c:", "- b: c"]));
        }
    }
    out.push_str(choices.one(&["\n", "\n", "\n", "\n", "\n\n", "\n# note\n", "\n    # note\n"]));
}

fn made(bytes: &[u8]) -> String {
    let mut choices = Choices(bytes.iter());
    let mut text = String::new();
    for _ in 0..1 + choices.below(3) {
        text.push_str(choices.one(&["kind:", "spec:", "metadata:", "a:", "\"b\":", "-"]));
        anything(&mut choices, 0, 3, &mut text);
    }
    if choices.below(5) == 0 {
        text.truncate(text.trim_end().len());
    }
    text
}

#[test]
fn most_of_what_chance_makes_is_read_here() {
    let mut state = 7_u64;
    let (mut quick, mut good) = (0, 0);
    for _ in 0..3000 {
        let bytes = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        });
        let text = made(&bytes.take(40).collect::<Vec<_>>());
        quick += usize::from(agree(&text));
        good += usize::from(complete(&text).is_ok());
    }
    assert!(quick * 10 > good * 5, "{quick} of {good}");
}

proptest! {
    #[test]
    fn pieces_in_any_order_are_read_alike(pieces in proptest::collection::vec(
        prop_oneof![
            Just("a: "), Just("b:"), Just("\n"), Just("  "), Just("- "), Just("x"), Just("#"), Just(" "), Just("\n  "),
            Just("|"), Just("|-"), Just("|+"), Just("'"), Just("\""), Just("''"), Just("["), Just("]"), Just(","),
            Just("1"), Just("-"), Just("\n- "), Just("key: v\n"), Just("é"), Just(":"), Just("\n\n"), Just("{}"),
            Just("\n    x"), Just("{"), Just("}"), Just("|2"), Just("|2-"), Just("\\"), Just("\\n"), Just(", "), Just(">"),
        ],
        0..14,
    )) {
        agree(&pieces.concat());
    }

    #[test]
    fn documents_by_chance_are_read_alike(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        agree(&made(&bytes));
    }
}
