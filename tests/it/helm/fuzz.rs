//! Templates by chance, by the real helm and by us: many in one chart where both take them, one by one where
//! we refuse, and what differs made small.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use stackwright::value::Value;

use super::grammar::{DEFINITIONS, Grower, VALUES};
use super::mutate::Dice;
use super::oracle::{Helm, Outcome};
use super::{hash, number, ours, shared};

/// What of our refusals is on purpose.
const ON_PURPOSE: &[&str] = &[];

/// How the libraries of helm begin the words that `fromYaml` and its relatives return; ours are others.
const WORDS: &[&str] = &[
    "toml: ",
    "error converting YAML",
    "error unmarshaling JSON",
    "json: ",
    "invalid character",
    "unexpected end of JSON",
];

fn write(folder: &Path, templates: &[(usize, &str)]) {
    let chart = folder.join("chart/templates");
    std::fs::create_dir_all(&chart).expect("writable");
    std::fs::create_dir_all(folder.join("beside")).expect("writable");
    let metadata = "apiVersion: v2\nname: fuzz\nversion: 1.2.3\nappVersion: \"7\"\nannotations: {a: b}\n";
    std::fs::write(folder.join("chart/Chart.yaml"), metadata).expect("writable");
    std::fs::write(folder.join("chart/values.yaml"), VALUES).expect("writable");
    std::fs::write(folder.join("chart/data.txt"), "first\nsecond: x\n").expect("writable");
    std::fs::write(chart.join("_definitions.tpl"), DEFINITIONS).expect("writable");
    for (at, template) in templates {
        // The text is compared byte by byte, whatever it is.
        let text = format!(
            "{{{{ define \"c{at}\" }}}}{template}{{{{ end -}}}}\nkind: X{at}\nout: {{{{ include \"c{at}\" . | b64enc | quote }}}}\n"
        );
        std::fs::write(chart.join(format!("c{at}.yaml")), text).expect("writable");
    }
}

fn outs(outcome: Outcome) -> Result<BTreeMap<String, String>, String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    Ok(outcome?.iter().map(|(_, value)| (text(value, "kind"), text(value, "out"))).collect())
}

fn decoded(text: &str) -> String {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    format!("{:?}", String::from_utf8_lossy(&bytes))
}

/// What both make of one template, and what differs.
fn single(helm: &Helm, template: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &[(0, template)]);
    let theirs = outs(helm.template(folder.path(), &[]));
    let ours = outs(ours(folder.path(), &[]));
    compare(&theirs, &ours)
}

type Outs = Result<BTreeMap<String, String>, String>;

fn compare(theirs: &Outs, ours: &Outs) -> Option<String> {
    match (theirs, ours) {
        (Err(_), Err(_)) => None,
        (Ok(theirs), Ok(ours)) if theirs == ours => None,
        (Ok(theirs), Ok(_)) if worded(theirs) => None,
        (Ok(theirs), Ok(ours)) => {
            let get = |outs: &BTreeMap<String, String>| outs.get("X0").map_or_else(String::new, |text| decoded(text));
            Some(format!("text\n    helm {}\n    ours {}", get(theirs), get(ours)))
        }
        (Ok(_), Err(words)) if ON_PURPOSE.iter().any(|part| words.contains(part)) => None,
        (Ok(_), Err(words)) => Some(format!("we refuse: {words}")),
        (Err(words), Ok(_)) => Some(format!("helm refuses: {}", words.lines().next().unwrap_or_default())),
    }
}

/// Whether a text shows where something lies in memory: helm prints pointers within maps as such.
fn addressed(text: &str) -> bool {
    text.split("0x").skip(1).any(|rest| rest.chars().take_while(char::is_ascii_hexdigit).count() >= 9)
}

fn worded(theirs: &BTreeMap<String, String>) -> bool {
    theirs.values().any(|text| aside(&decoded(text)))
}

/// Whether a text of helm's is none that anybody can repeat.
fn aside(text: &str) -> bool {
    // They may have gone through urlquery.
    let text = &text.replace("%3A", ":").replace('+', " ");
    WORDS.iter().any(|words| text.contains(words)) || addressed(text)
}

/// The words that a template is made of.
fn tokens(template: &str) -> Vec<String> {
    let mut tokens = Vec::<String>::new();
    let mut letters = template.chars().peekable();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        let word = |c: char| c.is_alphanumeric() || "._$".contains(c);
        let joins = match (quote, tokens.last()) {
            (Some(_), _) => true,
            (None, Some(last)) => {
                let end = last.chars().last().unwrap_or(' ');
                (word(letter) && word(end)) || (letter == '{' && last == "{") || (letter == '}' && last == "}")
            }
            _ => false,
        };
        match tokens.last_mut() {
            Some(last) if joins => last.push(letter),
            _ => tokens.push(letter.to_string()),
        }
        match quote {
            Some(open) if letter == open => {
                quote = None;
                tokens.push(String::new());
            }
            Some('"') if letter == '\\' => {
                if let (Some(last), Some(next)) = (tokens.last_mut(), letters.next()) {
                    last.push(next);
                }
            }
            None if letter == '"' || letter == '`' => quote = Some(letter),
            _ => {}
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

/// A smaller template that differs in the same way.
fn smaller(helm: &Helm, template: &str, difference: &str) -> (String, String) {
    let class = |difference: &str| difference.split([':', '\n']).next().unwrap_or("").to_owned();
    let wanted = class(difference);
    let mut best = (template.to_owned(), difference.to_owned());
    let mut parts = tokens(template);
    let mut size = parts.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < 70 {
        let mut at = 0;
        let mut shrunk = false;
        while at < parts.len() && tries < 70 {
            let mut fewer = parts.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            let text = fewer.concat();
            tries += 1;
            match single(helm, &text) {
                Some(difference) if class(&difference) == wanted => {
                    best = (text, difference);
                    parts = fewer;
                    shrunk = true;
                }
                _ => at += size,
            }
        }
        if !shrunk || size > parts.len() {
            size /= 2;
        }
    }
    best
}

/// One round: a chart full of templates. Returns how many were compared, how many both refuse, and what differs.
fn round(helm: &Helm, seed: u64, count: usize, refusals: usize) -> (usize, usize, Vec<(String, String)>) {
    let mut dice = Dice::new(seed);
    let templates = (0..count).map(|_| Grower::template(&mut dice)).collect::<Vec<_>>();
    let mut taken = Vec::new();
    let mut refused = Vec::new();
    for (at, template) in templates.iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &[(at, template)]);
        if ours(folder.path(), &[]).is_ok() { taken.push((at, template.as_str())) } else { refused.push(template) }
    }
    let mut differences = Vec::new();
    let mut compared = 0;
    let mut lots = vec![taken];
    while let Some(mut taken) = lots.pop() {
        if taken.is_empty() {
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &taken);
        match outs(helm.template(folder.path(), &[])) {
            Err(words) => {
                // Helm names the file; without it goes on.
                let culprit = taken.iter().position(|(at, _)| words.contains(&format!("fuzz/templates/c{at}.yaml")));
                // Or it broke down altogether, mostly because one template made a map hold itself and another
                // printed it.
                let Some(culprit) = culprit.or_else(|| (taken.len() == 1).then_some(0)) else {
                    lots.push(taken.split_off(taken.len() / 2));
                    lots.push(taken);
                    continue;
                };
                let (_, template) = taken.remove(culprit);
                if let Some(difference) = single(helm, template) {
                    differences.push((template.to_owned(), difference));
                }
                lots.push(taken);
            }
            Ok(theirs) => {
                let mine = outs(ours(folder.path(), &[]));
                let mine = mine.as_ref();
                for (at, template) in &taken {
                    let kind = format!("X{at}");
                    let alike = mine.is_ok_and(|mine| mine.get(&kind) == theirs.get(&kind));
                    compared += 1;
                    if !alike && let Some(difference) = single(helm, template) {
                        differences.push(((*template).to_owned(), difference));
                    } else if !alike && !aside(&decoded(&theirs[&kind])) {
                        let what = mine.map_or_else(
                            |words| words.clone(),
                            |mine| decoded(mine.get(&kind).map_or("", String::as_str)),
                        );
                        let their = decoded(theirs.get(&kind).map_or("", String::as_str));
                        differences.push((
                            (*template).to_owned(),
                            format!("only among others\n    helm {their}\n    ours {what}"),
                        ));
                    }
                }
            }
        }
    }
    let mut both = 0;
    for template in refused.iter().take(refusals) {
        match single(helm, template) {
            None => both += 1,
            Some(difference) => differences.push(((*template).clone(), difference)),
        }
    }
    (compared, both, differences)
}

#[test]
fn templates_by_chance_come_out_alike() {
    let Some(helm) = Helm::named() else { return };
    let minutes = number("STACKWRIGHT_FUZZ_MINUTES");
    let start = Instant::now();
    let mut seed = number("STACKWRIGHT_SEED").unwrap_or(1);
    let (mut compared, mut refused, mut found) = (0, 0, Vec::new());
    loop {
        let seeds = [seed, seed + 1];
        let size = if minutes.is_some() { (300, 60) } else { (150, 15) };
        for (taken, both, differences) in shared(&seeds, |seed| round(&helm, *seed ^ hash("templates"), size.0, size.1))
        {
            compared += taken;
            refused += both;
            for (template, difference) in differences {
                let (template, difference) =
                    if minutes.is_some() { smaller(&helm, &template, &difference) } else { (template, difference) };
                eprintln!("  {template}\n    {difference}");
                found.push(template);
            }
        }
        seed += 2;
        if minutes.is_none_or(|minutes| start.elapsed() > Duration::from_secs(60 * minutes)) {
            break;
        }
    }
    let mut report = String::new();
    let _ = write!(
        report,
        "templates by chance: {compared} rendered and {refused} refused by both, {} differ",
        found.len()
    );
    eprintln!("{report} (seeds up to {seed})");
    assert!(found.len() * 100 <= compared + refused + found.len(), "too much differs");
}
