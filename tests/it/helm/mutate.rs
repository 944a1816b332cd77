//! Values made of a chart's own defaults: other scalars, other types, nulls, more keys, deeper maps, all that
//! YAML can say. The same seed makes the same values.

use stackwright::value::Value;

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        // Neighbouring seeds must not make the same sequence, only shifted.
        let mut dice = Dice(seed ^ 0xD1B5_4A32_D192_ED03);
        Dice(dice.next() ^ seed.rotate_left(32))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// YAML in flow style whose scalars are written as they are.
#[derive(Clone)]
enum Node {
    Raw(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn of(value: &Value) -> Node {
        match value {
            Value::List(items) => Node::List(items.iter().map(Node::of).collect()),
            Value::Map(map) => Node::Map(map.iter().map(|(key, value)| (key.clone(), Node::of(value))).collect()),
            scalar => Node::Raw(scalar.to_json().to_string()),
        }
    }

    fn write(&self, out: &mut String) {
        let separated = |out: &mut String, first: &mut bool| {
            if !std::mem::take(first) {
                out.push_str(", ");
            }
        };
        let mut first = true;
        match self {
            Node::Raw(text) => out.push_str(text),
            Node::List(items) => {
                out.push('[');
                for item in items {
                    separated(out, &mut first);
                    item.write(out);
                }
                out.push(']');
            }
            Node::Map(entries) => {
                out.push('{');
                for (key, value) in entries {
                    separated(out, &mut first);
                    out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "10",
    "80",
    "65536",
    "1000000",
    "123456789",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e3",
    "1E+21",
    "1e-7",
    "0.1",
    "-0.5",
    "1.0",
    "3.14159",
    "0777",
    "0o17",
    "0x1F",
    "0b11",
    "1_000",
    "-0",
    "1e22",
    "100000000000000000000000",
];
const TEXTS: &[&str] = &[
    "\"\"",
    "a",
    "text",
    "\"yes\"",
    "'no'",
    "\"null\"",
    "\"1\"",
    "\"1.5\"",
    "'0x1f'",
    "\" padded \"",
    "\"é ü 日本 😀\"",
    "\"a\\nb\\n\"",
    "\"a\\n\\nb\"",
    "\"\\ta\"",
    "2020-01-01",
    "12:30",
    "\"a: b\"",
    "\"# x\"",
    "'it''s'",
    "\"\\\"q\\\"\"",
    "\"{{ .Release.Name }}\"",
    "\"{{ .Values }}\"",
    "\"{{ fail }}\"",
    "\"a,b,c\"",
    "a/b/c",
    "\"1.2.3\"",
    "\"^1.0\"",
    "Ab-Cd_ef",
    "\"the quick brown fox jumps over the lazy dog and runs back to where it came from, all the way along the river\"",
    "\"\\u0000\"",
    "\"\\u00a0\"",
    "\"\\u2028\"",
    "\"<a&b>\"",
    "\"%s %d\"",
    "\"[\"",
    "\"-\"",
    "\"100m\"",
    "\"1Gi\"",
    "\"\\\\\"",
];
const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "y", "n", "True", "NO"];
const NOTHING: &[&str] = &["null", "~", "Null"];
const EMPTY: &[&str] = &["[]", "{}"];
const NAMES: &[&str] = &["a", "name", "enabled", "new", "x.y", "yes", "1", "é", "with space", "global", "image", ""];

fn scalar(dice: &mut Dice) -> Node {
    let from = match dice.below(10) {
        0..=3 => TEXTS,
        4..=6 => NUMBERS,
        7 => WORDS,
        8 => NOTHING,
        _ => EMPTY,
    };
    Node::Raw(dice.pick(from).to_owned())
}

fn tree(dice: &mut Dice, depth: usize) -> Node {
    match dice.below(if depth > 2 { 5 } else { 9 }) {
        0..=4 => scalar(dice),
        5 | 6 => Node::List((0..dice.below(4)).map(|_| tree(dice, depth + 1)).collect()),
        _ => Node::Map((0..dice.below(4)).map(|_| (dice.pick(NAMES).to_owned(), tree(dice, depth + 1))).collect()),
    }
}

/// Something in the place of `old`: mostly of its own type.
fn instead(dice: &mut Dice, old: &Node) -> Node {
    if dice.chance(35) {
        return if dice.chance(60) { scalar(dice) } else { tree(dice, 1) };
    }
    match old {
        Node::Raw(text) => {
            let from = match text.as_str() {
                "true" | "false" => WORDS,
                text if text.starts_with('"') => TEXTS,
                "null" => NOTHING,
                _ => NUMBERS,
            };
            Node::Raw(dice.pick(from).to_owned())
        }
        Node::List(items) => {
            let mut items = items.clone();
            match dice.below(4) {
                0 if !items.is_empty() => {
                    items.remove(dice.below(items.len()));
                }
                1 if !items.is_empty() => {
                    let at = dice.below(items.len());
                    items[at] = instead(dice, &items[at]);
                }
                2 if !items.is_empty() => items.push(items[dice.below(items.len())].clone()),
                _ => items.push(scalar(dice)),
            }
            Node::List(items)
        }
        Node::Map(entries) => {
            let mut entries = entries.clone();
            if entries.is_empty() || dice.chance(30) {
                let key = dice.pick(NAMES).to_owned();
                entries.retain(|(have, _)| *have != key);
                entries.push((key, tree(dice, 1)));
                return Node::Map(entries);
            }
            let at = dice.below(entries.len());
            match dice.below(6) {
                0 => {
                    entries.remove(at);
                }
                1 => entries[at].1 = Node::Raw("null".to_owned()),
                2 => {
                    let (key, node) = entries[dice.below(entries.len())].clone();
                    let _ = key;
                    entries[at].1 = node;
                }
                _ => entries[at].1 = instead(dice, &entries[at].1),
            }
            Node::Map(entries)
        }
    }
}

/// A values file: some of the defaults, changed.
pub fn values(dice: &mut Dice, defaults: &Value) -> String {
    let Node::Map(mut entries) = Node::of(defaults) else { return String::new() };
    // Mostly a few keys, as users give them; now and then the whole tree.
    let mut node = if dice.chance(70) && !entries.is_empty() {
        let count = 1 + dice.below(entries.len().min(3));
        while entries.len() > count {
            entries.remove(dice.below(entries.len()));
        }
        entries
            .into_iter()
            .map(|(key, node)| {
                let new = instead(dice, &node);
                (key, new)
            })
            .collect()
    } else {
        entries
    };
    let mut whole = Node::Map(std::mem::take(&mut node));
    for _ in 0..dice.below(3) {
        if let changed @ Node::Map(_) = instead(dice, &whole) {
            whole = changed;
        }
    }
    let mut out = String::new();
    whole.write(&mut out);
    out.push('\n');
    out
}

/// A line for `--set`.
pub fn line(dice: &mut Dice, defaults: &Value) -> String {
    let mut path = String::new();
    let mut here = Some(defaults);
    for _ in 0..1 + dice.below(3) {
        let known = here.and_then(Value::as_map).filter(|map| !map.is_empty());
        let key = match known {
            Some(map) if dice.chance(85) => map.keys().nth(dice.below(map.len())).cloned().unwrap_or_default(),
            _ => dice.pick(&["a", "new", "x\\.y", "list[0]", "list[2].a", "é"]).to_owned(),
        };
        here = here.and_then(|here| here.get(&key));
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&key);
        if here.is_some_and(|here| here.as_list().is_some()) && dice.chance(50) {
            path.push_str(dice.pick(&["[0]", "[1]", "[4]"]));
        }
    }
    let value = dice.pick(&[
        "1",
        "0",
        "-1",
        "007",
        "1.5",
        "1e3",
        "true",
        "FALSE",
        "null",
        "text",
        "",
        "{a,b}",
        "{1,x\\,y,true}",
        "{}",
        "a\\,b",
        "é",
        "9223372036854775808",
        "{{ .Release.Name }}",
        "yes",
        "a=b",
        "0x1f",
        "{a",
        " spaced ",
        "[1]",
    ]);
    format!("{path}={value}")
}
