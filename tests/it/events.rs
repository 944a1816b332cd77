//! The lines of JSON that every command writes: each fits the published schema, streams begin and end as they should,
//! and the trace of a run says the same as its lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

const STACK: &str = r#"
name = "demo"

[cluster]
project = "demo-project"
location = "europe-west4-a"

[node_pools.gpu]
accelerator = "nvidia-t4"
nodes = 1

[values.word]
input = "hello"

[outputs]
word = "${values.word.output}"
"#;

fn run(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stackwright"))
        .args(line.split(' '))
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

fn schema() -> jsonschema::Validator {
    let folder = tempfile::tempdir().expect("folder");
    let output = run(folder.path(), "schema events");
    let schema = serde_json::from_slice::<Json>(&output.stdout).expect("a schema");
    jsonschema::validator_for(&schema).expect("a schema that can be used")
}

/// The lines of a stream, each of which fits.
fn lines(schema: &jsonschema::Validator, stream: &[u8], what: &str) -> Vec<Json> {
    let text = String::from_utf8_lossy(stream);
    let mut last = String::new();
    let mut read = Vec::new();
    for line in text.lines() {
        let value = serde_json::from_str::<Json>(line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
        let wrong = schema.iter_errors(&value).map(|error| error.to_string()).collect::<Vec<_>>();
        assert!(wrong.is_empty(), "{what}: {wrong:?}: {line}");
        let stamp = value["@timestamp"].as_str().expect("a time").to_owned();
        assert!(stamp >= last, "{what}: {stamp} after {last}");
        last = stamp;
        read.push(value);
    }
    read
}

fn types(lines: &[Json]) -> BTreeSet<String> {
    lines.iter().map(|line| line["type"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Runs a command whose lines go to `stdout` or to standard error, and looks at them.
fn told(
    schema: &jsonschema::Validator,
    folder: &Path,
    line: &str,
    command: &str,
    code: i32,
    wanted: &[&str],
) -> Vec<Json> {
    let output = run(folder, line);
    let stream = if line.contains("--log-format") { &output.stderr } else { &output.stdout };
    let lines = lines(schema, stream, line);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{line}: {lines:#?}\n{said}");
    let first = lines.first().unwrap_or_else(|| panic!("{line} writes no lines\n{said}"));
    assert_eq!((&first["type"], &first["command"]), (&"version".into(), &command.into()), "{line}");
    let last = lines.last().expect("a last line");
    assert_eq!((&last["type"], &last["exit_code"]), (&"end".into(), &code.into()), "{line}");
    let types = types(&lines);
    for name in wanted {
        assert!(types.contains(*name), "{line}: no {name} among {types:?}");
    }
    lines
}

#[test]
fn every_command_that_runs_or_reports_writes_lines_that_fit() {
    let schema = schema();
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    std::fs::write(at.join("stack.toml"), STACK).expect("written");
    let told = |line: &str, command: &str, code: i32, wanted: &[&str]| told(&schema, at, line, command, code, wanted);
    told("plan --sim --detailed-exitcode --log-format json", "plan", 2, &["planned_change", "change_summary"]);
    told("preflight --sim --log-format json", "preflight", 0, &["check", "summary"]);
    let applied = told(
        "apply --sim --auto-approve --json",
        "apply",
        0,
        &["planned_change", "apply_start", "apply_operation", "apply_progress", "apply_complete", "outputs", "summary"],
    );
    let outputs = applied.iter().find(|line| line["type"] == "outputs").expect("outputs");
    assert_eq!(outputs["outputs"]["word"]["value"], "hello");
    let of = |name: &str| applied.iter().filter(|line| line["type"] == name).count();
    assert_eq!((of("apply_start"), of("apply_complete")), (3, 3), "cluster, pool and value");
    told("status --sim --log-format json", "status", 0, &["resource_status", "summary"]);
    told("drift --sim --log-format json", "drift", 0, &["change_summary"]);
    told("pause --sim --auto-approve --json", "pause", 0, &["planned_change", "apply_complete", "summary"]);
    told("resume --sim --auto-approve --json", "resume", 0, &["planned_change", "apply_complete", "summary"]);
    told("forget node_pools.gpu --sim --dry-run --json", "forget", 0, &["state_change"]);
    told("state rm values.word --sim --json", "state rm", 0, &["state_change"]);
    told(
        "state mv node_pools.gpu node_pools.other --sim --dry-run --log-format json",
        "state mv",
        0,
        &["state_change"],
    );
    told("forget node_pools.gpu --sim --json", "forget", 0, &["state_change"]);
    told("adopt node_pools.gpu --sim --auto-approve --json", "adopt", 0, &["planned_change", "apply_complete"]);
    told("reap --project demo-project --sim --dry-run --json", "reap", 0, &["stacks"]);
    told("output --name nothing --sim --log-format json", "output", 1, &["diagnostic"]);
    told(
        "destroy --sim --auto-approve --json",
        "destroy",
        0,
        &["planned_change", "apply_complete", "receipt", "summary"],
    );
    std::fs::write(at.join("stack.toml"), STACK.replace("nodes = 1", "nodes = \"many\"")).expect("written");
    let wrong = told("apply --sim --auto-approve --json", "apply", 1, &["diagnostic"]);
    let place = wrong.iter().find(|line| line["type"] == "diagnostic").expect("a diagnostic")["diagnostic"].clone();
    assert_eq!(place["range"]["start"]["line"], 10, "{place}");
    // A refusal and its repetition, and an error.
    std::fs::write(at.join("stack.toml"), STACK).expect("written");
    let faults = r#"{"faults": [
        {"kind": "http", "method": "POST", "path": "*/clusters", "nth": 1, "times": 1, "status": 503},
        {"kind": "http", "method": "POST", "path": "*/nodePools", "nth": 1, "times": 1, "status": 403}]}"#;
    std::fs::write(at.join("state/.sim/faults.json"), faults).expect("written");
    let failed =
        told("apply --sim --auto-approve --json", "apply", 1, &["apply_retry", "apply_errored", "summary", "cause"]);
    let cause = failed.iter().find(|line| line["type"] == "cause").expect("a cause")["cause"].clone();
    assert_eq!(cause["id"], "forbidden", "{cause}");
}

/// Spans of one track: name, begin, end, depth.
type Spans = BTreeMap<(u64, u64), Vec<(String, u64, u64, usize)>>;

/// Reads the spans of a trace; each lies within the one that it began in.
fn spans(trace: &[Json]) -> Spans {
    let number = |event: &Json, key: &str| event[key].as_u64().unwrap_or_else(|| panic!("no {key}: {event}"));
    let mut open: BTreeMap<(u64, u64), Vec<(String, u64)>> = BTreeMap::new();
    let mut spans = Spans::new();
    for event in trace.iter().filter(|event| event["ph"] == "B" || event["ph"] == "E") {
        let track = (number(event, "pid"), number(event, "tid"));
        let stack = open.entry(track).or_default();
        if event["ph"] == "B" {
            let outer = stack.last().map_or(0, |(_, begun)| *begun);
            assert!(number(event, "ts") >= outer, "{event} begins before what it is in");
            stack.push((event["name"].as_str().expect("a name").to_owned(), number(event, "ts")));
        } else {
            let (name, begun) = stack.pop().unwrap_or_else(|| panic!("{event} ends nothing"));
            let end = number(event, "ts");
            assert!(end >= begun, "{name} ends before it begins");
            spans.entry(track).or_default().push((name, begun, end, stack.len()));
        }
    }
    assert!(open.values().all(Vec::is_empty), "never closed: {open:?}");
    spans
}

#[test]
fn a_trace_says_the_same_as_the_lines() {
    let schema = schema();
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    let line = "apply --sim --auto-approve --json --trace run.json";
    let lines = told(&schema, folder.path(), line, "apply", 0, &["apply_complete"]);
    let text = std::fs::read_to_string(folder.path().join("run.json")).expect("a trace");
    let trace = serde_json::from_str::<Vec<Json>>(&text).expect("JSON");
    let spans = spans(&trace);
    // Each resource's track is named after it.
    let mut tracks = BTreeMap::new();
    for event in trace.iter().filter(|event| event["name"] == "thread_name") {
        let track = (event["pid"].as_u64().expect("pid"), event["tid"].as_u64().expect("tid"));
        tracks.insert(event["args"]["name"].as_str().expect("a name").to_owned(), track);
    }
    let mut seen = 0;
    for done in lines.iter().filter(|line| line["type"] == "apply_complete") {
        let address = done["hook"]["resource"]["addr"].as_str().expect("an address");
        let track = tracks.get(address).unwrap_or_else(|| panic!("no track of {address}: {tracks:?}"));
        let whole = spans[track].iter().filter(|(.., depth)| *depth == 0).collect::<Vec<_>>();
        let [(name, begun, end, _)] = whole[..] else { panic!("{address}: {whole:?}") };
        assert_eq!((name.as_str(), (end - begun) / 1000), ("create", done["hook"]["elapsed_ms"].as_u64().expect("ms")));
        seen += 1;
    }
    assert_eq!(seen, 3);
    let waits = |name: &str| {
        spans[&tracks[name]].iter().filter(|(name, .., depth)| *depth == 1 && name.starts_with("waiting for ")).count()
    };
    assert!(waits("cluster") > 0 && waits("node_pools.gpu") > 0);
    // Requests lie within the track of who made them, and what only reads has lanes of its own.
    let requests = |track: (u64, u64)| {
        let of = |event: &&Json| event["ph"] == "X" && event["pid"] == track.0 && event["tid"] == track.1;
        trace.iter().filter(of).collect::<Vec<_>>()
    };
    let (begun, end) =
        spans[&tracks["cluster"]].iter().filter(|(.., depth)| *depth == 0).map(|s| (s.1, s.2)).next().expect("a span");
    let made = requests(tracks["cluster"]);
    assert!(made.len() > 3, "{made:?}");
    for request in made {
        let (at, took) = (request["ts"].as_u64().expect("ts"), request["dur"].as_u64().expect("dur"));
        assert!(at >= begun && at + took <= end, "{request} is not within {begun}..{end}");
        assert_eq!(request["args"]["outcome"].as_str().map(str::is_empty), Some(false), "{request}");
    }
    assert!(!requests(tracks["requests 1"]).is_empty());
    // The pool was let begin by the cluster.
    let arrows = trace.iter().filter(|event| event["ph"] == "s" || event["ph"] == "f").collect::<Vec<_>>();
    let to_pool =
        arrows.iter().find(|event| event["ph"] == "f" && event["tid"] == tracks["node_pools.gpu"].1).expect("an arrow");
    let from = arrows.iter().find(|event| event["ph"] == "s" && event["id"] == to_pool["id"]).expect("its begin");
    assert_eq!((&from["tid"], from["ts"].as_u64().map(|at| at < end)), (&tracks["cluster"].1.into(), Some(true)));
    // Of a plan, there are the requests.
    run(folder.path(), "plan --sim --trace plan.json");
    let plan = std::fs::read_to_string(folder.path().join("plan.json")).expect("a trace");
    let plan = serde_json::from_str::<Vec<Json>>(&plan).expect("JSON");
    assert!(plan.iter().any(|event| event["ph"] == "X"), "{plan:?}");
    let refused = run(folder.path(), "plan --sim --trace no/such/folder.json");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot write no/such/folder.json"));
}

#[test]
fn each_level_of_talk_says_more() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    let says = |flags: &str| {
        run(folder.path(), "sim reset");
        let output = run(folder.path(), format!("apply --sim --auto-approve {flags}").trim());
        assert!(output.status.success(), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (plain, more, most) = (says(""), says("-v"), says("-vv"));
    assert!(!plain.contains("operations/operation-") && more.contains("operations/operation-"), "{more}");
    assert!(!more.contains("env::wire"), "{more}");
    assert!(most.contains("env::wire: GKE Operation: ok in") && most.contains("(cluster)"), "{most}");
    // For programs, too.
    let schema = schema();
    run(folder.path(), "sim reset");
    let output = run(folder.path(), "apply --sim --auto-approve -vv --log-format json");
    let lines = lines(&schema, &output.stderr, "-vv");
    assert!(lines.iter().any(|line| line["@module"] == "stackwright::env::wire" && line["@level"] == "debug"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Plan: 3 to add") && text.contains("word = \"hello\""), "data stays where it is: {text}");
}

/// The most spans that are open at a time.
fn at_a_time(spans: &[(u64, u64)]) -> usize {
    let within = |moment: u64| spans.iter().filter(|(from, to)| *from <= moment && moment < *to).count();
    spans.iter().map(|(from, _)| within(*from)).max().unwrap_or(0)
}

#[test]
fn requests_are_as_many_at_a_time_as_the_user_wants() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let pools = (0..6).map(|at| format!("[node_pools.p{at}]\nmachine_type = \"n1-standard-4\"\n")).collect::<String>();
    let text = STACK.replace("[values.word]", &format!("{pools}[values.word]"));
    std::fs::write(at.join("stack.toml"), text).expect("written");
    let most = |flags: &str| {
        run(at, "sim reset");
        std::fs::create_dir_all(at.join("state/.sim")).expect("a world");
        // Answers take a while, so that requests are under way at the same time.
        let faults = r#"{"faults": [{"kind": "delay", "path": "*", "seconds": 4, "times": 100000}]}"#;
        std::fs::write(at.join("state/.sim/faults.json"), faults).expect("written");
        let output = run(at, &format!("apply --sim --auto-approve --trace run.json {flags}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = std::fs::read_to_string(at.join("run.json")).expect("a trace");
        let trace = serde_json::from_str::<Vec<Json>>(&text).expect("JSON");
        let own = trace.iter().filter(|event| event["ph"] == "X" && event["pid"] != 0);
        let spans =
            own.filter_map(|event| Some((event["ts"].as_u64()?, event["ts"].as_u64()? + event["dur"].as_u64()?)));
        at_a_time(&spans.collect::<Vec<_>>())
    };
    let (one, many) = (most("--parallelism 1"), most("--parallelism 16"));
    assert_eq!(one, 1);
    assert!(many > 2, "{many}");
}
