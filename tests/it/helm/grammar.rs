//! Templates by chance: every action, every function that is the same twice, arguments that mostly fit.
//!
//! What a function takes is written with one letter for each parameter: `s` text, `i` whole number, `n` any
//! number, `b` boolean, `l` list, `m` map, `d` time, `a` anything, and `*` behind the last for more of it.

use super::mutate::Dice;

/// The values that the templates see.
pub const VALUES: &str = r#"s: text
empty: ""
num: 5
frac: 2.75
neg: -3
big: 1000000
huge: 9007199254740993
t: true
f: false
none: null
list: [a, b, c]
nums: [3, 1, 2.5]
mixed: [1, a, true, null, 1.5, [x], {k: v}]
map: {x: 1, why: two, z: {deep: here, list: [1, 2]}}
nested: {a: {b: {c: 7, d: null}}}
items: [{name: one, port: 80}, {name: two, port: 443, tls: true}]
multi: "one\ntwo\n\nthree\n"
uni: "h\u00e9llo w\u00f6rld \u65e5\u672c"
long: "the quick brown fox jumps over the lazy dog and then runs all the way back to where it came from"
tpl: "{{ .Values.s }}-{{ .Release.Name }}"
yaml: "a: [1, x]\nb: {c: null}\n"
json: '{"a": [1, "x", null], "b": 1.5}'
version: 1.2.3-rc.1+b5
date: "2021-03-04T05:06:07Z"
emptylist: []
emptymap: {}
"#;

const FUNCTIONS: &[(&str, &str)] = &[
    ("abbrev", "is"),
    ("abbrevboth", "iis"),
    ("add", "n*"),
    ("add1", "n"),
    ("add1f", "n"),
    ("addf", "n*"),
    ("adler32sum", "s"),
    ("all", "a*"),
    ("and", "a*"),
    ("any", "a*"),
    ("append", "la"),
    ("atoi", "s"),
    ("b32dec", "s"),
    ("b32enc", "s"),
    ("b64dec", "s"),
    ("b64enc", "s"),
    ("base", "s"),
    ("biggest", "n*"),
    ("camelcase", "s"),
    ("cat", "a*"),
    ("ceil", "n"),
    ("chunk", "il"),
    ("clean", "s"),
    ("coalesce", "a*"),
    ("compact", "l"),
    ("concat", "ll*"),
    ("contains", "ss"),
    ("date", "sd"),
    ("dateInZone", "sds"),
    ("dateModify", "sd"),
    ("deepCopy", "a"),
    ("deepEqual", "aa"),
    ("default", "aa"),
    ("derivePassword", "isss"),
    ("dict", "sasa"),
    ("dig", "ssam"),
    ("dir", "s"),
    ("div", "nn"),
    ("divf", "nn*"),
    ("duration", "a"),
    ("durationRound", "a"),
    ("durationSeconds", "a"),
    ("durationMinutes", "a"),
    ("durationHours", "a"),
    ("durationDays", "a"),
    ("durationWeeks", "a"),
    ("durationMilliseconds", "a"),
    ("durationRoundTo", "aa"),
    ("durationTruncateTo", "aa"),
    ("mustToDuration", "a"),
    ("empty", "a"),
    ("eq", "aa*"),
    ("ext", "s"),
    ("first", "l"),
    ("float64", "a"),
    ("floor", "n"),
    ("fromJson", "s"),
    ("fromJsonArray", "s"),
    ("fromToml", "s"),
    ("fromYaml", "s"),
    ("fromYamlArray", "s"),
    ("ge", "nn"),
    ("get", "ms"),
    ("gt", "nn"),
    ("has", "al"),
    ("hasKey", "ms"),
    ("hasPrefix", "ss"),
    ("hasSuffix", "ss"),
    ("html", "a*"),
    ("htmlDate", "d"),
    ("include", "ta"),
    ("indent", "is"),
    ("index", "aa*"),
    ("initial", "l"),
    ("initials", "s"),
    ("int", "a"),
    ("int64", "a"),
    ("isAbs", "s"),
    ("join", "sa"),
    ("js", "a*"),
    ("kebabcase", "s"),
    ("kindIs", "sa"),
    ("kindOf", "a"),
    ("last", "l"),
    ("le", "nn"),
    ("len", "a"),
    ("list", "a*"),
    ("lookup", "ssss"),
    ("lower", "s"),
    ("lt", "nn"),
    ("max", "n*"),
    ("maxf", "n*"),
    ("merge", "mm*"),
    ("mergeOverwrite", "mm*"),
    ("min", "n*"),
    ("minf", "n*"),
    ("mod", "nn"),
    ("mul", "n*"),
    ("mulf", "n*"),
    ("mustCompact", "l"),
    ("mustFirst", "l"),
    ("mustFromJson", "s"),
    ("mustHas", "al"),
    ("mustMerge", "mm"),
    ("mustMergeOverwrite", "mm"),
    ("mustRegexFind", "rs"),
    ("mustRegexFindAll", "rsi"),
    ("mustRegexMatch", "rs"),
    ("mustRegexReplaceAll", "rss"),
    ("mustRegexReplaceAllLiteral", "rss"),
    ("mustRegexSplit", "rsi"),
    ("mustSlice", "lii"),
    ("mustToJson", "a"),
    ("mustToPrettyJson", "a"),
    ("mustToRawJson", "a"),
    ("mustToYaml", "a"),
    ("mustUniq", "l"),
    ("mustWithout", "la"),
    ("ne", "aa"),
    ("nindent", "is"),
    ("nospace", "s"),
    ("not", "a"),
    ("omit", "ms*"),
    ("or", "a*"),
    ("osBase", "s"),
    ("osClean", "s"),
    ("osDir", "s"),
    ("osExt", "s"),
    ("osIsAbs", "s"),
    ("pick", "ms*"),
    ("pluck", "sm*"),
    ("plural", "ssi"),
    ("prepend", "la"),
    ("print", "a*"),
    ("printf", "fa*"),
    ("println", "a*"),
    ("quote", "a*"),
    ("regexFind", "rs"),
    ("regexFindAll", "rsi"),
    ("regexMatch", "rs"),
    ("regexQuoteMeta", "s"),
    ("regexReplaceAll", "rss"),
    ("regexReplaceAllLiteral", "rss"),
    ("regexSplit", "rsi"),
    ("repeat", "is"),
    ("replace", "sss"),
    ("rest", "l"),
    ("reverse", "l"),
    ("round", "ni"),
    ("semver", "v"),
    ("semverCompare", "cv"),
    ("seq", "i*"),
    ("set", "msa"),
    ("sha1sum", "s"),
    ("sha256sum", "s"),
    ("sha512sum", "s"),
    ("slice", "lii"),
    ("snakecase", "s"),
    ("sortAlpha", "l"),
    ("split", "ss"),
    ("splitList", "ss"),
    ("splitn", "sis"),
    ("squote", "a*"),
    ("sub", "nn"),
    ("subf", "nn*"),
    ("substr", "iis"),
    ("swapcase", "s"),
    ("ternary", "aab"),
    ("title", "s"),
    ("toDate", "sd"),
    ("toDecimal", "a"),
    ("toJson", "a"),
    ("toPrettyJson", "a"),
    ("toRawJson", "a"),
    ("toString", "a"),
    ("toStrings", "l"),
    ("toToml", "m"),
    ("toYaml", "a"),
    ("toYamlPretty", "a"),
    ("tpl", "xa"),
    ("trim", "s"),
    ("trimAll", "ss"),
    ("trimPrefix", "ss"),
    ("trimSuffix", "ss"),
    ("trunc", "is"),
    ("tuple", "a*"),
    ("typeIs", "sa"),
    ("typeIsLike", "sa"),
    ("typeOf", "a"),
    ("uniq", "l"),
    ("unixEpoch", "d"),
    ("unset", "ms"),
    ("until", "i"),
    ("untilStep", "iii"),
    ("untitle", "s"),
    ("upper", "s"),
    ("urlJoin", "m"),
    ("urlParse", "u"),
    ("urlquery", "a*"),
    ("without", "la*"),
    ("wrap", "is"),
    ("wrapWith", "iss"),
    ("required", "sa"),
    ("fail", "s"),
    ("slice", "l"),
    ("slice", "si"),
    ("index", "ms"),
    ("index", "li"),
    ("printf", "fa"),
    ("toYaml", "m"),
    ("toYaml", "l"),
    ("toJson", "m"),
];

const TEXTS: &[&str] = &[
    "\"\"",
    "\"a\"",
    "\"abc\"",
    "`raw`",
    "\"é😀\"",
    "\"a,b,c\"",
    "\"x-y_Z\"",
    "\" a b \"",
    "\"10\"",
    "\"0x1f\"",
    "\"1.5\"",
    "\"true\"",
    "\"a/b/../c.txt\"",
    "\"Hello World\"",
    "\"a\\nb\\tc\"",
    "\"<b>&'\\\"\"",
    "\",\"",
    "\"-\"",
    "\" \"",
    "\"x\"",
    "\"name\"",
    "\"why\"",
    ".Values.s",
    ".Values.uni",
    ".Values.multi",
    ".Values.long",
    ".Values.yaml",
    ".Values.json",
    ".Values.empty",
    ".Values.version",
    ".Release.Name",
    ".Chart.Name",
    ".Template.Name",
    "(.Files.Get \"data.txt\")",
    "\"YWJj\"",
    "\"MFRGG===\"",
    "\"map\"",
    "\"string\"",
    "\"float64\"",
    "\"camelCaseText\"",
    "\"snake_case_text\"",
    "\"1h30m\"",
    "\"-5m\"",
    "\"UTC\"",
    "\"America/New_York\"",
];
const WHOLE: &[&str] =
    &["0", "1", "2", "3", "-1", "5", "80", "10", "0x1F", "(int .Values.num)", "(len .Values.list)", "(int64 7)", "'a'"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-3",
    "1.5",
    "2.5",
    "0.1",
    "1e6",
    "100000000000",
    ".Values.num",
    ".Values.frac",
    ".Values.neg",
    ".Values.big",
    ".Values.huge",
    "(int .Values.num)",
    "(int64 9)",
    "(float64 3)",
    "\"7\"",
    "\"2.5\"",
    "1e-7",
    "-0.0",
];
const LISTS: &[&str] = &[
    "(list)",
    "(list 1 2 3)",
    "(list \"b\" \"a\" \"b\")",
    "(list 1 nil \"x\")",
    "(until 3)",
    "(splitList \",\" \"a,b\")",
    ".Values.list",
    ".Values.nums",
    ".Values.mixed",
    ".Values.items",
    ".Values.emptylist",
    ".Values.map.z.list",
    "(list (list 1) (dict \"a\" 1))",
    "(list 1.5 true \"\" 0)",
    "(keys .Values.map | sortAlpha)",
    "(values (dict \"k\" 1))",
    "(.Files.Lines \"data.txt\")",
    "(tuple 1 \"a\")",
];
const MAPS: &[&str] = &[
    "(dict)",
    "(dict \"a\" 1)",
    "(dict \"a\" (dict \"b\" 2))",
    "(dict \"x\" nil \"y\" false)",
    ".Values.map",
    ".Values.nested",
    ".Values.emptymap",
    "(deepCopy .Values.map)",
    "(deepCopy .Values.nested)",
    "(split \",\" \"a,b\")",
    "(dict \"why\" \"other\" \"z\" (dict \"deep\" \"\" \"more\" 1))",
    "(fromYaml .Values.yaml)",
    ".Values.map.z",
    "(first .Values.items)",
    "$.Values.map",
    "(omit .Values.map \"x\")",
    "(dict \"scheme\" \"http\" \"host\" \"a:80\" \"path\" \"/p\" \"query\" \"q=1\")",
    ".Values",
    ".Values.AsMap",
    ".Chart.Annotations",
];
const OTHERS: &[&str] = &[
    "nil",
    "true",
    "false",
    ".Values.none",
    ".Values.missing",
    ".Values.t",
    ".Values.f",
    "(.Values.missing).x",
    ".",
    ".Values",
    "$x",
    ".Release",
    ".Values.nested.a.b.d",
    "(index .Values.list 0)",
    ".Values.map.x",
    ".Values.nested.a.b.c",
    "(semver \"1.2.3\")",
    "(mustToDuration 90)",
    "(sortAlpha .Capabilities.APIVersions)",
    ".Capabilities.KubeVersion",
    ".Files",
    ".Chart",
    ".Template",
    "(index .Values.items 1).name",
    "(b64dec \"/w==\")",
    ".Subcharts",
];
const PATTERNS: &[&str] = &[
    "\"[a-z]+\"",
    "\"^a\"",
    "\"(a)(b)?\"",
    "\"\"",
    "\"[\"",
    "\"\\\\d+\"",
    "\"(?i)HELLO\"",
    "\"a|b\"",
    "\"[\\\\w-\\\\.]+\"",
    "\"\\\\s\"",
    "\".\"",
    "\"x*\"",
    "`\\bw`",
    "\"[[:alpha:]]\"",
    "\"(?P<n>o)\"",
    "\"a{2,3}\"",
    "\"\\\\pL\"",
    "\"(?s).*\"",
    "\"$\"",
];
const FORMATS: &[&str] = &[
    "\"%v\"",
    "\"%s\"",
    "\"%d\"",
    "\"%q\"",
    "\"%T\"",
    "\"%x\"",
    "\"%5d|%-5s|\"",
    "\"%05.2f\"",
    "\"%+v\"",
    "\"%#v\"",
    "\"%%\"",
    "\"%t\"",
    "\"%c\"",
    "\"%U\"",
    "\"%e\"",
    "\"%g\"",
    "\"%8.3f\"",
    "\"%o\"",
    "\"%b\"",
    "\"%X\"",
    "\"%s-%s\"",
    "\"%[2]v %[1]v\"",
    "\"%*d\"",
    "\"%.3s\"",
    "\"%6q\"",
    "\"% d\"",
    "\"%+d\"",
    "\"%!\"",
    "\"%z\"",
    "\"%.2e\"",
    "\"%#x\"",
    "\"%v %v %v\"",
    "\"no verbs\"",
    "\"%\"",
    "\"%08b\"",
    "\"%-10v|\"",
];
const VERSIONS: &[&str] = &[
    "\"1.2.3\"",
    "\"v1.30.0-gke.5\"",
    "\"1.2\"",
    "\"1\"",
    "\"x\"",
    ".Values.version",
    ".Capabilities.KubeVersion.Version",
    "\"0.0.1\"",
    "\"2.0.0-alpha.1\"",
    "\"01.1.1\"",
];
const RANGES: &[&str] = &[
    "\">=1.0.0\"",
    "\"^1.2\"",
    "\"~1.2.3\"",
    "\"1.x\"",
    "\"*\"",
    "\"<1 || >=2\"",
    "\"1.0 - 2.0\"",
    "\">=1.29-0\"",
    "\"!=1.2.3\"",
    "\"x y\"",
    "\"=1.2.3\"",
    "\">1.0.0,<2.0.0\"",
    "\"\"",
    "\"^0.0.1\"",
    "\"~>1\"",
];
const DATES: &[&str] = &[
    "(toDate \"2006-01-02\" \"2020-02-29\")",
    "(mustToDate \"2006-01-02T15:04:05Z07:00\" .Values.date)",
    "(toDate \"x\" \"y\")",
    "0",
    "(int64 1600000000)",
    "(dateModify \"26h\" (toDate \"2006-01-02\" \"2021-12-31\"))",
];
const SCRIPTS: &[&str] = &[
    ".Values.tpl",
    "\"{{ . }}\"",
    "\"{{ .Values.s | upper }}\"",
    "\"{{ .x }}\"",
    "\"\"",
    "\"{{ if }}\"",
    "\"{{ range .Values.list }}{{ . }}{{ end }}\"",
    "\"{{ include \\\"one\\\" . }}\"",
    "\"{{ define \\\"in\\\" }}i{{ end }}{{ template \\\"in\\\" }}\"",
];
const LINKS: &[&str] = &[
    "\"http://u:p@h:80/p/q?a=b#f\"",
    "\"a/b\"",
    "\"\"",
    "\"mailto:a@b\"",
    "\"http://[::1]:80/\"",
    "\"http://h/%zz\"",
    "\"//h\"",
    "\"http://h/a b?c d\"",
    "\"HTTP://H\"",
];

/// Grows templates.
pub struct Grower<'d> {
    pub dice: &'d mut Dice,
    depth: usize,
    in_range: bool,
}

impl Grower<'_> {
    /// One template: definitions, and the text that is to be compared.
    pub fn template(dice: &mut Dice) -> String {
        let mut grower = Grower { dice, depth: 0, in_range: false };
        let count = 1 + grower.dice.below(3);
        let mut text = String::new();
        if grower.dice.chance(40) {
            text.push_str("{{ $x := ");
            text.push_str(&grower.argument('a', 0));
            text.push_str(" }}");
        } else {
            text.push_str("{{ $x := 1 }}");
        }
        for _ in 0..count {
            grower.piece(&mut text);
        }
        text
    }

    fn open(&mut self, out: &mut String) {
        out.push_str(if self.dice.chance(15) { "{{- " } else { "{{ " });
    }

    fn close(&mut self, out: &mut String) {
        out.push_str(if self.dice.chance(15) { " -}}" } else { " }}" });
    }

    fn action(&mut self, out: &mut String, inner: &str) {
        self.open(out);
        out.push_str(inner);
        self.close(out);
    }

    fn pieces(&mut self, out: &mut String) {
        self.depth += 1;
        for _ in 0..1 + self.dice.below(2) {
            self.piece(out);
        }
        self.depth -= 1;
    }

    fn piece(&mut self, out: &mut String) {
        let choice = self.dice.below(if self.depth > 2 { 60 } else { 100 });
        match choice {
            0..=9 => out
                .push_str(self.dice.pick(&["text", " ", "\n", "  \n  ", "a: b\n", "\t", "- x\n", "}}", "é", "{", "#"])),
            10..=47 => {
                let inner = self.pipeline();
                self.action(out, &inner);
            }
            48..=51 => {
                let inner = format!("$x {} {}", self.dice.pick(&["=", ":="]), self.pipeline());
                self.action(out, &inner);
            }
            52 | 53 => out.push_str(self.dice.pick(&["{{/* note */}}", "{{- /* note */ -}}", " {{- /* a\nb */}}"])),
            54..=56 => {
                let name = self.dice.pick(&["one", "two", "three", "count"]);
                let inner = format!("template \"{name}\" {}", self.argument('a', 1));
                self.action(out, &inner);
            }
            57..=59 if self.in_range => {
                let word = self.dice.pick(&["break", "continue"]);
                let condition = self.pipeline();
                self.action(out, &format!("if {condition}"));
                self.action(out, word);
                self.action(out, "end");
            }
            57..=59 => self.action(out, "$x"),
            60..=75 => {
                let condition = self.pipeline();
                self.action(out, &format!("if {condition}"));
                self.pieces(out);
                if self.dice.chance(30) {
                    let condition = self.pipeline();
                    self.action(out, &format!("else if {condition}"));
                    self.pieces(out);
                }
                if self.dice.chance(50) {
                    self.action(out, "else");
                    self.pieces(out);
                }
                self.action(out, "end");
            }
            76..=83 => {
                let value = self.argument('a', 0);
                let head = if self.dice.chance(25) { format!("with $w := {value}") } else { format!("with {value}") };
                self.action(out, &head);
                self.pieces(out);
                if self.dice.chance(15) {
                    let other = self.argument('a', 0);
                    self.action(out, &format!("else with {other}"));
                    self.pieces(out);
                }
                if self.dice.chance(40) {
                    self.action(out, "else");
                    self.pieces(out);
                }
                self.action(out, "end");
            }
            _ => {
                let kind = self.dice.pick(&["l", "l", "m", "i", "a"]).chars().next().unwrap_or('l');
                let over = self.argument(kind, 0);
                let head = match self.dice.below(4) {
                    0 => format!("range $v := {over}"),
                    1 => format!("range $k, $v := {over}"),
                    _ => format!("range {over}"),
                };
                self.action(out, &head);
                let outer = std::mem::replace(&mut self.in_range, true);
                if head.contains("$v") {
                    self.action(out, "$v");
                    out.push(',');
                }
                if self.dice.chance(60) {
                    self.action(out, ".");
                }
                self.pieces(out);
                self.in_range = outer;
                if self.dice.chance(25) {
                    self.action(out, "else");
                    self.pieces(out);
                }
                self.action(out, "end");
            }
        }
    }

    fn pipeline(&mut self) -> String {
        let mut text = if self.dice.chance(75) { self.call(0, false) } else { self.argument('a', 0) };
        while self.dice.chance(35) {
            text.push_str(" | ");
            let next = match self.dice.below(3) {
                0 => self
                    .dice
                    .pick(&[
                        "quote",
                        "toJson",
                        "toYaml",
                        "len",
                        "print",
                        "typeOf",
                        "kindOf",
                        "toString",
                        "not",
                        "default 5",
                        "nindent 2",
                        "printf \"%v\"",
                        "first",
                        "empty",
                    ])
                    .to_owned(),
                _ => self.call(0, true),
            };
            text.push_str(&next);
        }
        text
    }

    fn call(&mut self, depth: usize, piped: bool) -> String {
        let (name, takes) = FUNCTIONS[self.dice.below(FUNCTIONS.len())];
        let mut kinds = takes.chars().filter(|kind| *kind != '*').collect::<Vec<_>>();
        if takes.ends_with('*') {
            let more = kinds.last().copied().unwrap_or('a');
            for _ in 0..self.dice.below(3) {
                kinds.push(more);
            }
        }
        if piped {
            kinds.pop();
        }
        // Now and then one too many or too few.
        match self.dice.below(60) {
            0 => kinds.push('a'),
            1 => drop(kinds.pop()),
            _ => {}
        }
        let mut text = name.to_owned();
        for kind in kinds {
            let kind = if self.dice.chance(5) { 'a' } else { kind };
            text.push(' ');
            text.push_str(&self.argument(kind, depth));
        }
        text
    }

    fn argument(&mut self, kind: char, depth: usize) -> String {
        if depth < 2 && self.dice.chance(18) {
            return format!("({})", self.call(depth + 1, false));
        }
        let any = &[TEXTS, WHOLE, NUMBERS, LISTS, MAPS, OTHERS][..];
        let from = match kind {
            's' => TEXTS,
            'i' => WHOLE,
            'n' => NUMBERS,
            'b' => &["true", "false", "(empty .Values.none)", ".Values.t"][..],
            'l' => LISTS,
            'm' => MAPS,
            'r' => PATTERNS,
            'f' => FORMATS,
            'v' => VERSIONS,
            'c' => RANGES,
            'd' => DATES,
            'x' => SCRIPTS,
            'u' => LINKS,
            't' => &["\"one\"", "\"two\"", "\"three\"", "\"count\"", "\"nowhere\""][..],
            _ => any[self.dice.below(any.len())],
        };
        self.dice.pick(from).to_owned()
    }
}

/// The definitions that the templates may use.
pub const DEFINITIONS: &str = r#"{{ define "one" }}one {{ . }}{{ end }}
{{ define "two" }}{{ range . }}<{{ . }}>{{ else }}none{{ end }}{{ end }}
{{ define "three" }}{{ $y := . }}{{ with $y }}{{ kindOf . }}{{ end }}{{ include "one" $y }}{{ end }}
{{- define "count" -}} {{ len (toJson .) }} {{- end -}}
"#;
