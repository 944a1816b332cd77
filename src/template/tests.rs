//! The language as a whole: a corpus of templates with what the real tools make of them, limits, hostile
//! input.

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
        templates.parse(&format!("p{at}"), partial)?;
    }
    templates.parse("t", template)?;
    let data = data(values);
    Ok(templates.render(&["t"], &|_| data.clone(), options)?.remove(0).1)
}

fn render(template: &str, values: &str) -> Result<String, String> {
    render_with(&options(), template, values, &[]).map_err(|e| e.to_string())
}

#[test]
fn the_corpus_comes_out_as_from_the_real_tools() {
    let folder = option_env!("TEMPLATE_CORPUS").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/template"));
    let mut files = std::fs::read_dir(Path::new(folder)).unwrap().flatten().map(|e| e.path()).collect::<Vec<_>>();
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
                    (Some(ours), _, Some(_)) => Err(ours),
                    (Some(ours), _, None) => Ok(ours),
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
