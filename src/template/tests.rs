//! The language as a whole: a corpus of templates with what the real tools make of them, limits, hostile
//! input.
#![expect(
    clippy::disallowed_methods,
    reason = "a variable names other cases, and hostile templates are held to a time"
)]

use std::path::Path;

use super::*;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    template: String,
    #[serde(default)]
    values: String,
    #[serde(default)]
    partials: Vec<String>,
    /// The output of the real tools.
    out: Option<String>,
    /// Or their refusal.
    err: Option<String>,
    /// Our words, where they differ from theirs on purpose.
    ours: Option<String>,
}

fn roomy<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, f).unwrap();
        thread.join().unwrap()
    })
}

fn data(values: &str) -> Data {
    let mut value = yaml::read(values).unwrap();
    if value == crate::value::Value::Null {
        value = crate::value::Value::map();
    }
    let values = Data::from_value(&value, &mut Tokens::default());
    let release = [
        ("Name", Data::from("rel")),
        ("Namespace", Data::from("ns")),
        ("IsInstall", Data::Bool(true)),
        ("Revision", Data::int(1)),
    ];
    Data::map([("Values", values), ("Release", Data::map(release))])
}

fn options() -> Options<'static> {
    Options { now: (1_700_000_000, 0), key: Some([7; 32]), scope: "test".into(), ..Options::default() }
}

fn render_with(options: &Options<'_>, template: &str, values: &str, partials: &[String]) -> Result<String, Error> {
    let mut templates = Templates::new();
    for (at, partial) in partials.iter().enumerate() {
        templates.parse(&format!("p{at}"), &Text::from(partial.as_str()))?;
    }
    templates.parse("t", &Text::from(template))?;
    let data = data(values);
    Ok(templates.render(&["t"], &|_| data.clone(), options)?.remove(0).1)
}

fn render(template: &str, values: &str) -> Result<String, String> {
    render_with(&options(), template, values, &[]).map_err(|e| e.to_string())
}

#[test]
fn the_corpus_comes_out_as_from_the_real_tools() {
    // Another folder serves for comparing with the real tools on generated cases.
    let folder = std::env::var("TEMPLATE_CORPUS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/template").to_owned());
    let mut files = std::fs::read_dir(Path::new(&folder)).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "json")) {
        let cases = serde_json::from_str::<Vec<Case>>(&std::fs::read_to_string(file).unwrap()).unwrap();
        for case in cases {
            count += 1;
            let name = case.name.clone();
            let (got, want) = roomy(move || {
                let got = render_with(&options(), &case.template, &case.values, &case.partials);
                let got = got.map_err(|e| e.to_string());
                let want = match (case.ours, case.out, case.err) {
                    (Some(ours), ..) if ours.starts_with("template: ") => Err(ours),
                    (Some(ours), ..) => Ok(ours),
                    (None, Some(out), _) => Ok(out),
                    (None, None, err) => Err(err.unwrap_or_default()),
                };
                (got, want)
            });
            if got != want {
                wrong.push(format!("{name}\n   want {want:?}\n   got  {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 500, "only {count} cases");
}

/// A chart's line that costs nothing to render must be cheap, whatever it tries.
#[test]
fn hostile_templates_end_with_a_clear_error() {
    let doubling = "{{ $s := \"0123456789\" }}{{ range until 60 }}{{ $s = print $s $s }}{{ end }}{{ len $s }}";
    let sharing = "{{ $d := dict \"a\" 1 }}{{ range until 60 }}{{ $d = dict \"a\" $d \"b\" $d }}{{ end }}";
    for template in [
        "{{ range until 100000000 }}{{ end }}".to_owned(),
        "{{ range until 10000 }}{{ range until 10000 }}{{ $x := 1 }}{{ end }}{{ end }}".to_owned(),
        "{{ range 9223372036854775807 }}{{ end }}".to_owned(),
        "{{ repeat 1000000000 \"abc\" }}".to_owned(),
        "{{ indent 1000000000 \"abc\" }}".to_owned(),
        "{{ printf \"%1000000d%1000000d\" 1 2 | repeat 100 }}".to_owned(),
        doubling.to_owned(),
        format!("{sharing}{{{{ toYaml $d }}}}"),
        format!("{sharing}{{{{ toJson $d }}}}"),
        format!("{sharing}{{{{ print $d }}}}"),
        format!("{sharing}{{{{ deepCopy $d | len }}}}"),
        format!("{sharing}{{{{ deepEqual $d (deepCopy $d) }}}}"),
        format!("{sharing}{{{{ toToml $d }}}}"),
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toYaml $d }}".to_owned(),
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ print $d }}".to_owned(),
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ deepCopy $d }}".to_owned(),
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ merge (deepCopy $d) $d }}".to_owned(),
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}".to_owned(),
        "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}".to_owned(),
        "{{ define \"a\" }}{{ include \"b\" . }}{{ end }}{{ define \"b\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}".to_owned(),
        "{{ $_ := set . \"t\" \"{{ tpl .t . }}\" }}{{ tpl .t . }}".to_owned(),
        "{{ regexReplaceAll \"\" (repeat 1000000 \"a\") (repeat 1000 \"b\") }}".to_owned(),
        "{{ replace \"a\" (repeat 1000000 \"b\") (repeat 1000000 \"a\") }}".to_owned(),
        "{{ regexMatch (repeat 300 \"(a{1,1000}){1,1000}\") \"a\" | ternary 1 0 }}{{ mustRegexMatch \"((a{1,900}){1,900}){1,900}\" \"a\" }}".to_owned(),
        "{{ randAlphaNum 100000000 }}".to_owned(),
        "{{ seq 1 100000000 }}".to_owned(),
        "{{ wrapWith 1 (repeat 100000 \"x\") (repeat 100000 \"y\") }}".to_owned(),
        "{{ range until 50 }}{{ bcrypt \"a\" }}{{ end }}".to_owned(),
    ] {
        let shown = template.clone();
        let started = std::time::Instant::now();
        let error = roomy(move || render(&template, "").expect_err("a limit"));
        assert!(!error.is_empty());
        let seconds = started.elapsed().as_secs();
        assert!(seconds < 60, "{shown} took {seconds} s");
    }
}

#[test]
fn recursion_through_nested_blocks_is_bounded() {
    let (open, close) = ("{{ if true }}".repeat(40), "{{ end }}".repeat(40));
    let (left, right) = ("(".repeat(40), ")".repeat(40));
    let template = format!(
        "{{{{ define \"a\" }}}}{open}{{{{ {left}include \"a\" .{right} }}}}{close}{{{{ end }}}}{{{{ include \"a\" . }}}}"
    );
    let error = roomy(move || render(&template, "").unwrap_err());
    assert!(error.contains("nested too deeply"), "{}", &error[error.len() - 200..]);
}

#[test]
fn deep_data_is_dropped_without_recursion() {
    let lists = "{{ $l := list }}{{ range until 200000 }}{{ $l = list $l }}{{ end }}ok";
    let maps = "{{ $l := dict }}{{ range until 200000 }}{{ $l = dict \"a\" $l }}{{ end }}ok";
    for template in [lists, maps] {
        assert_eq!(render(template, "").unwrap(), "ok");
    }
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(render(&format!("{{{{ {deep} }}}}"), "").unwrap_err().contains("too deeply"));
    assert!(render(&"{{ if 1 }}".repeat(100_000), "").unwrap_err().contains("too deeply"));
}

#[test]
fn random_values_are_the_same_every_time_and_differ_by_place() {
    let template = "{{ randAlphaNum 20 }} {{ randAlphaNum 20 }} {{ range until 2 }}{{ uuidv4 }} {{ end }}{{ htpasswd \"u\" \"p\" }}";
    let first = render(template, "").unwrap();
    assert_eq!(first, render(template, "").unwrap());
    let parts = first.split(' ').collect::<std::collections::BTreeSet<_>>();
    assert_eq!(parts.len(), 5);
    let other = Options { scope: "other".into(), ..options() };
    assert_ne!(first, render_with(&other, template, "", &[]).unwrap());
    let none = Options { key: None, ..options() };
    let error = render_with(&none, template, "", &[]).unwrap_err().to_string();
    assert!(error.contains("error calling randAlphaNum: random values need the stack's key"), "{error}");
    let hash = first.rsplit(' ').next().unwrap().strip_prefix("u:").unwrap();
    assert!(bcrypt::verify("p", hash).unwrap());
}

#[test]
fn certificates_chain_and_repeat() {
    let template = "{{ $ca := genCA \"root\" 365 }}{{ $c := genSignedCert \"svc\" (list \"10.0.0.1\") (list \"svc.ns.svc\") 30 $ca }}\
{{ $ca.Cert }}{{ $c.Cert }}{{ $c.Key }}";
    let text = render(template, "").unwrap();
    assert_eq!(text, render(template, "").unwrap());
    let blocks = x509_parser::pem::Pem::iter_from_buffer(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let authority = blocks[0].parse_x509().unwrap();
    let leaf = blocks[1].parse_x509().unwrap();
    assert!(authority.is_ca() && !leaf.is_ca());
    assert_eq!(leaf.subject().to_string(), "CN=svc");
    assert_eq!(leaf.issuer().to_string(), "CN=root");
    assert_eq!(leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp(), 30 * 86_400);
    let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len();
    assert_eq!(names, 2);
    assert_eq!(blocks[2].label, "EC PRIVATE KEY");
    let custom = "{{ $ca := genCA \"root\" 365 }}{{ $b := buildCustomCert (b64enc $ca.Cert) (b64enc $ca.Key) }}\
{{ eq $b.Cert $ca.Cert }}{{ (genSelfSignedCert \"a\" nil nil 1).Key | contains \"EC PRIVATE\" }}{{ genPrivateKey \"ed25519\" | contains \"BEGIN PRIVATE KEY\" }}";
    assert_eq!(render(custom, "").unwrap(), "truetruetrue");
    assert!(render("{{ genPrivateKey \"rsa\" }}", "").unwrap_err().contains("ecdsa"));
}

#[test]
fn encryption_comes_back() {
    assert_eq!(render("{{ encryptAES \"secret\" \"plain text\" | decryptAES \"secret\" }}", "").unwrap(), "plain text");
    assert!(render("{{ decryptAES \"secret\" \"AAAA\" }}", "").is_err());
    // Made by sprig.
    assert!(
        render("{{ decryptAES \"secretkey\" \"30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=\" }}", "")
            .is_ok_and(|t| t == "plaintext")
    );
}

#[test]
fn what_is_known_later_is_placed_and_never_looked_into() {
    let unknown = crate::value::Template::reference("cluster".into(), vec!["endpoint".into()]);
    let render = |template: &str| {
        let options = options();
        let token = options.tokens.put(unknown.clone());
        let mut templates = Templates::new();
        templates.parse("t", &Text::from(template))?;
        let data = Data::map([("u", Data::from(token)), ("s", Data::from("x"))]);
        let out = templates.render(&["t"], &|_| data.clone(), &options)?.remove(0).1;
        let value = yaml::read(&out).unwrap();
        Ok::<_, Error>(options.tokens.restore(value).unwrap())
    };
    for template in [
        "a: {{ .u }}",
        "a: {{ .u | quote }}",
        "{{ toYaml (dict \"a\" .u) }}",
        "{{ toJson (dict \"a\" .u) }}",
        "a: {{ printf \"%s\" .u }}",
        "{{ tpl \"a: {{ .u }}\" . }}",
        "{{ dict \"a\" (list .u | first) | toYaml | indent 0 }}",
    ] {
        assert_eq!(render(template).unwrap().get("a"), Some(&crate::value::Value::from(unknown.clone())), "{template}");
    }
    let encoded = render("a: {{ .u | b64enc }}").unwrap();
    let Some(crate::value::Value::Deferred(encoded)) = encoded.get("a") else { panic!("not deferred") };
    assert_eq!(encoded.encoding, crate::value::Encoding::Base64);
    for template in [
        "{{ if .u }}{{ end }}",
        "{{ with .u }}{{ end }}",
        "{{ eq .u \"x\" }}",
        "{{ len .u }}",
        "{{ sha256sum .u }}",
        "{{ .u | upper }}",
        "{{ .u | trunc 3 }}",
        "{{ default \"x\" .u }}",
        "{{ has .u (list \"a\") }}",
        "{{ toYaml (dict \"a\" .u) | sha256sum }}",
        "{{ and .u 1 }}",
        "{{ replace \"a\" \"b\" .u }}",
        "{{ printf \"%5s\" .u }}",
        "{{ index .u 0 }}",
        "{{ empty .u }}",
        "{{ list .u | uniq }}",
        "{{ contains \"x\" .u }}",
    ] {
        let error = render(template).unwrap_err();
        assert_eq!(error.kind, Kind::Unknown, "{template}: {error}");
        assert!(error.to_string().contains("cluster.endpoint is known only later"), "{template}: {error}");
    }
}

/// Texts that look like templates more often than not.
fn templates() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let names = function_names().collect::<Vec<_>>();
    let word = prop_oneof![
        proptest::sample::select(names).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "{{",
            "}}",
            "{{-",
            "-}}",
            "{{ ",
            " }}",
            "|",
            "(",
            ")",
            " ",
            " . ",
            ".a",
            ".Values",
            "$",
            "$x",
            ":=",
            "=",
            ",",
            "if ",
            "else",
            "end",
            "range ",
            "with ",
            "define ",
            "template ",
            "block ",
            "break",
            "continue",
            "nil",
            "true",
            "1",
            "-1",
            "1.5",
            "1e9",
            "0x",
            "99999999999999999999",
            "\"a\"",
            "\"",
            "`b`",
            "'c'",
            "\\n",
            "/*",
            "*/",
            "é",
            "😀",
            "\0",
            "list 1 2",
            "dict \"a\" 1",
            "(list)",
            "(dict)",
            ".Values.m",
            ".Values.l",
            "%v",
            "\"%d\"",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

/// One call of a function with arguments of all kinds.
fn calls() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let heavy = ["bcrypt", "htpasswd", "derivePassword"];
    let names = function_names().filter(|name| !heavy.contains(name)).collect::<Vec<_>>();
    let argument = proptest::sample::select(vec![
        "1",
        "0",
        "-1",
        "1.5",
        "9223372036854775807",
        "-9223372036854775808",
        "\"\"",
        "\"a\"",
        "\"é😀\"",
        "\"1.2.3\"",
        "\"{{ . }}\"",
        "\"[a-\"",
        "\"a: [b\"",
        "nil",
        "true",
        "false",
        ".",
        ".Values",
        ".Values.m",
        ".Values.l",
        ".Values.none",
        "(list)",
        "(dict)",
        "(until 3)",
        "(splitList \",\" \"a,b\")",
        "(now)",
        "(semver \"1.2.3\")",
        "(b64dec \"/w==\")",
        "(list 1 nil \"x\")",
        "(dict \"a\" (dict))",
        "(split \",\" \"a,b\")",
        "(repeat 20 \"ab \")",
        "'x'",
        "\"%[1]*.*d\"",
    ]);
    (proptest::sample::select(names), proptest::collection::vec(argument, 0..6))
        .prop_map(|(name, arguments)| format!("{{{{ {name} {} }}}}", arguments.join(" ")))
}

const SAMPLE: &str = "m: {a: 1, b: {c: x}}\nl: [1, a, null]\n";

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_the_language_panic(template in templates()) {
        let _ = render(&template, SAMPLE);
    }

    #[test]
    fn no_argument_makes_a_function_panic(template in calls()) {
        let limits = Limits { steps: 1_000_000, bytes: 64 << 20, depth: 50 };
        let _ = render_with(&Options { limits, ..options() }, &template, SAMPLE, &[]);
    }

    #[test]
    fn no_text_makes_yaml_panic_and_what_is_written_reads_back(text in "\\PC{0,60}|[ -~\n\t]{0,80}") {
        let _ = yaml::documents(&text);
        let value = crate::value::Value::Map([(text.clone(), crate::value::Value::from(text.as_str()))].into_iter().collect());
        let written = yaml::write(&Data::from_value(&value, &mut Tokens::default())).unwrap();
        // YAML 1.1 breaks lines at these, which 1.2 reads as plain characters.
        if !text.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            proptest::prop_assert_eq!(yaml::read(&format!("{written}\n")).ok(), Some(value), "{}", written);
        }
    }
}
