//! Charts as the real helm renders them: every case of tests/charts, and the same charts with values made by
//! chance, object for object and refusal for refusal.
//!
//! `STACKWRIGHT_HELM` names the helm; without it only what the corpus itself says is checked.
//! `STACKWRIGHT_LONG=1` makes many more values, `STACKWRIGHT_SEED` others, and `STACKWRIGHT_FUZZ_MINUTES=30`
//! makes templates for as long and makes small what differs. `STACKWRIGHT_CHARTS` names a folder of real charts' archives.
#![expect(clippy::disallowed_methods, reason = "variables say which helm, and how long to try")]

mod corpus;
mod fuzz;
mod grammar;
mod mutate;
mod oracle;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::{Case, Sample};
use mutate::Dice;
use oracle::{Helm, Objects, Outcome};
use stackwright::value::Value;

/// Where we differ on purpose: a part of the case's name or of the difference, and why.
const ON_PURPOSE: &[(&str, &str)] =
    &[("rsa keys are not made here", "RSA keys cannot be derived, so genPrivateKey refuses that kind")];

/// How much of what helm does must be done alike.
const THRESHOLD: f64 = 0.99;

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Counts what is alike, and keeps what is not.
#[derive(Default)]
struct Score {
    rendered: (usize, usize),
    refused: (usize, usize),
    excepted: BTreeMap<&'static str, usize>,
    differences: Vec<String>,
}

impl Score {
    fn add(&mut self, name: &str, theirs: &Outcome, ours: &Outcome) {
        let difference = match (theirs, ours) {
            (Ok(theirs), Ok(ours)) => difference(theirs, ours),
            (Err(_), Err(_)) => None,
            (Ok(_), Err(words)) => Some(format!("helm renders it; we refuse: {words}")),
            (Err(words), Ok(_)) => Some(format!("we render it; helm refuses: {}", first_lines(words))),
        };
        if let Some(difference) = &difference
            && let Some((_, why)) = ON_PURPOSE.iter().find(|(part, _)| name.contains(part) || difference.contains(part))
        {
            *self.excepted.entry(why).or_default() += 1;
            return;
        }
        let (alike, all) = if theirs.is_ok() { &mut self.rendered } else { &mut self.refused };
        *all += 1;
        match difference {
            None => *alike += 1,
            Some(difference) => self.differences.push(format!("{name}\n    {difference}")),
        }
    }

    fn report(&self, what: &str) -> String {
        let mut text = String::new();
        let share = |(alike, all): (usize, usize)| 100.0 * alike as f64 / all.max(1) as f64;
        for (verb, score) in [("renders", self.rendered), ("refuses", self.refused)] {
            let _ =
                writeln!(text, "{what}: of what helm {verb}, {} of {} alike ({:.2} %)", score.0, score.1, share(score));
        }
        for (why, count) in &self.excepted {
            let _ = writeln!(text, "{what}: {count} aside: {why}");
        }
        for difference in self.differences.iter().take(60) {
            let _ = writeln!(text, "  {difference}");
        }
        text
    }

    fn good(&self) -> bool {
        let enough = |(alike, all): (usize, usize)| alike as f64 >= THRESHOLD * all as f64;
        enough(self.rendered) && enough(self.refused)
    }
}

fn first_lines(text: &str) -> String {
    text.lines().take(4).collect::<Vec<_>>().join(" / ").chars().take(400).collect()
}

/// The first thing in which two renderings differ.
fn difference(theirs: &Objects, ours: &Objects) -> Option<String> {
    for (at, (their, our)) in theirs.iter().zip(ours).enumerate() {
        if their.0 != our.0 {
            return Some(format!("object {at} comes from {}, in helm from {}", our.0, their.0));
        }
        if let Some((path, their, our)) = unlike(&their.1, &our.1, String::new()) {
            return Some(format!("object {at} of {}{path}:\n      helm {their}\n      ours {our}", theirs[at].0));
        }
    }
    (theirs.len() != ours.len()).then(|| format!("{} objects, in helm {}", ours.len(), theirs.len()))
}

fn unlike(their: &Value, our: &Value, path: String) -> Option<(String, String, String)> {
    match (their, our) {
        (Value::Map(a), Value::Map(b)) if a.keys().eq(b.keys()) => {
            a.iter().zip(b.values()).find_map(|((key, a), b)| unlike(a, b, format!("{path}.{key}")))
        }
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| unlike(a, b, format!("{path}[{at}]")))
        }
        _ if their == our => None,
        (Value::String(a), Value::String(b)) => {
            let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
            let window = |text: &str| text.chars().skip(same.saturating_sub(60)).take(160).collect::<String>();
            Some((format!("{path} at {same}"), format!("{:?}", window(a)), format!("{:?}", window(b))))
        }
        _ => Some((path, format!("{their:?}"), format!("{our:?}"))),
    }
}

/// Does `work` for all items on as many threads as there are processors.
fn shared<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    results.lock().expect("no panic").push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no panic");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn ours(folder: &Path, arguments: &[String]) -> Outcome {
    oracle::ours(folder, arguments).map(|ours| ours.objects)
}

fn unpacked(sample: &Sample, layers: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    sample.unpack(folder.path(), layers);
    folder
}

#[test]
fn the_corpus_renders_and_refuses_as_it_says() {
    let samples = corpus::samples();
    assert!(samples.len() > 20, "only {} charts", samples.len());
    let cases = samples.iter().flat_map(|s| s.cases.iter().map(move |c| (s, c))).collect::<Vec<_>>();
    let wrong = shared(&cases, |(sample, case)| {
        let folder = unpacked(sample, &case.layers);
        let name = format!("{}: {}", sample.name, case.name);
        if ON_PURPOSE.iter().any(|(part, _)| name.contains(part)) {
            return None;
        }
        match (ours(folder.path(), &case.arguments), case.renders) {
            (Ok(_), true) | (Err(_), false) => None,
            (Ok(_), false) => Some(format!("{name}: rendered")),
            (Err(words), true) => Some(format!("{name}: {words}")),
        }
    });
    let wrong = wrong.into_iter().flatten().collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn the_corpus_has_every_function() {
    let samples = corpus::samples().iter().map(Sample::all).collect::<String>();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/template");
    let cases = std::fs::read_dir(folder).expect("readable").flatten();
    let cases = cases.map(|file| std::fs::read_to_string(file.path()).expect("readable")).collect::<String>();
    let words = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned);
        words.collect::<std::collections::BTreeSet<_>>()
    };
    let (samples, cases) = (words(&samples), words(&cases));
    let missing = stackwright::template::function_names().filter(|f| !samples.contains(*f) && !cases.contains(*f));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn charts_come_out_as_from_the_real_helm() {
    let Some(helm) = Helm::named() else {
        eprintln!("left out: comparing with the real helm, which STACKWRIGHT_HELM would name");
        return;
    };
    let samples = corpus::samples();
    let cases = samples.iter().flat_map(|s| s.cases.iter().map(move |c| (s, c))).collect::<Vec<_>>();
    let mut score = Score::default();
    let results = shared(&cases, |(sample, case)| {
        let folder = unpacked(sample, &case.layers);
        let theirs = helm.template(folder.path(), &case.arguments);
        let mine = ours(folder.path(), &case.arguments);
        (theirs, mine)
    });
    let mut lies = Vec::new();
    for ((sample, case), (theirs, ours)) in cases.iter().zip(&results) {
        let name = format!("{}: {}", sample.name, case.name);
        if theirs.is_ok() != case.renders {
            lies.push(format!("{name}: helm says {}", theirs.as_ref().err().map_or("fine", String::as_str)));
        }
        score.add(&name, theirs, ours);
    }
    eprintln!("{}", score.report("corpus"));
    assert!(lies.is_empty(), "the corpus is wrong about helm:\n{}", lies.join("\n"));
    assert!(score.good(), "too much differs");
}

#[test]
fn notes_and_hooks_are_those_of_the_real_helm() {
    let Some(helm) = Helm::named() else { return };
    let samples = corpus::samples();
    let told = ["hooks", "notes", "order"];
    let only_values = |case: &Case| case.arguments.iter().all(|a| !a.starts_with("--") || a.starts_with("--set"));
    let samples = samples.iter().filter(|sample| told.contains(&sample.name.as_str()));
    let cases = samples.flat_map(|s| s.cases.iter().map(move |c| (s, c)));
    let cases = cases.filter(|(_, case)| case.renders && only_values(case)).collect::<Vec<_>>();
    assert!(cases.len() >= 6, "only {} cases", cases.len());
    for (sample, case) in cases {
        let folder = unpacked(sample, &case.layers);
        let (notes, hooks) = helm.release(folder.path(), &case.arguments).expect("it renders");
        let ours = oracle::ours(folder.path(), &case.arguments).expect("it renders");
        assert_eq!(ours.notes, notes, "{}: {}", sample.name, case.name);
        assert_eq!(ours.hooks.expect("objects"), hooks, "{}: {}", sample.name, case.name);
    }
}

#[test]
fn charts_come_out_alike_whatever_the_values() {
    let Some(helm) = Helm::named() else { return };
    let samples = corpus::samples();
    let count = number("STACKWRIGHT_VALUES").unwrap_or(if number("STACKWRIGHT_LONG").is_some() { 300 } else { 20 });
    let seed = number("STACKWRIGHT_SEED").unwrap_or(1);
    let rounds = samples.iter().flat_map(|s| (0..count).map(move |round| (s, round))).collect::<Vec<_>>();
    let results = shared(&rounds, |(sample, round)| {
        let mut dice =
            Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(*round).wrapping_mul(31) ^ hash(&sample.name));
        let renders = sample.cases.iter().filter(|case| case.renders).collect::<Vec<_>>();
        let layers = renders.get(dice.below(renders.len() * 3)).map(|case| case.layers.clone()).unwrap_or_default();
        let folder = unpacked(sample, &layers);
        let text = sample.text("values.yaml").unwrap_or_default();
        let documents = stackwright::template::yaml::documents(&text).unwrap_or_default();
        let defaults = documents.into_iter().next().map_or_else(Value::map, |(_, value)| value);
        let mut arguments = Vec::new();
        if dice.chance(85) {
            let text = mutate::values(&mut dice, &defaults);
            std::fs::write(folder.path().join("beside/made.yaml"), text).expect("writable");
            arguments.extend(["-f".to_owned(), "made.yaml".to_owned()]);
        }
        while arguments.is_empty() || dice.chance(25) {
            arguments.extend(["--set".to_owned(), mutate::line(&mut dice, &defaults)]);
        }
        let theirs = helm.template(folder.path(), &arguments);
        let made = std::fs::read_to_string(folder.path().join("beside/made.yaml")).unwrap_or_default();
        let name = format!("{} {layers:?} {} {}", sample.name, arguments.join(" "), made.trim_end());
        (name, theirs, ours(folder.path(), &arguments))
    });
    let mut score = Score::default();
    for (name, theirs, ours) in &results {
        score.add(name, theirs, ours);
    }
    eprintln!("{}", score.report("values by chance"));
    assert!(score.good(), "too much differs");
}

/// Archives of real charts, in the folder that a variable names: as they are, and with values by chance.
#[test]
fn real_charts_come_out_alike() {
    let (Some(helm), Some(folder)) = (Helm::named(), std::env::var_os("STACKWRIGHT_CHARTS")) else { return };
    let mut archives = std::fs::read_dir(folder).expect("readable").flatten().map(|e| e.path()).collect::<Vec<_>>();
    archives.retain(|path| path.extension().is_some_and(|e| e == "tgz"));
    archives.sort();
    let count = number("STACKWRIGHT_VALUES").unwrap_or(20);
    let seed = number("STACKWRIGHT_SEED").unwrap_or(1);
    let rounds = archives.iter().flat_map(|a| (0..=count).map(move |round| (a, round))).collect::<Vec<_>>();
    let results = shared(&rounds, |(archive, round)| {
        let bytes = std::fs::read(archive).expect("readable");
        let files = stackwright::chart::archive::read(&bytes, &stackwright::chart::Limits::default()).expect("a chart");
        let folder = tempfile::tempdir().expect("a folder");
        for (path, bytes) in files.iter() {
            let place = folder.path().join("chart").join(path);
            std::fs::create_dir_all(place.parent().expect("below")).expect("writable");
            std::fs::write(place, bytes).expect("writable");
        }
        std::fs::create_dir_all(folder.path().join("beside")).expect("writable");
        let name = archive.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut arguments = vec!["--include-crds".to_owned()];
        let mut made = String::new();
        if *round > 0 {
            let mut dice = Dice::new(seed.wrapping_mul(1_000_003).wrapping_add(*round) ^ hash(&name));
            let defaults = files.text("values.yaml").unwrap_or_default();
            let defaults = stackwright::template::yaml::read(&defaults).expect("YAML");
            made = mutate::values(&mut dice, &defaults);
            std::fs::write(folder.path().join("beside/made.yaml"), &made).expect("writable");
            arguments.extend(["-f".to_owned(), "made.yaml".to_owned()]);
            while dice.chance(20) {
                arguments.extend(["--set".to_owned(), mutate::line(&mut dice, &defaults)]);
            }
        }
        made.truncate(made.char_indices().nth(600).map_or(made.len(), |(at, _)| at));
        let theirs = helm.template(folder.path(), &arguments);
        (format!("{name} {} {}", arguments.join(" "), made.trim_end()), theirs, ours(folder.path(), &arguments))
    });
    let mut score = Score::default();
    for (name, theirs, ours) in &results {
        score.add(name, theirs, ours);
    }
    eprintln!("{}", score.report("real charts"));
    assert!(score.good(), "too much differs");
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}
