//! `README.md` and `docs/*.md`, as they are written: every command in them is run, in order, in a folder and a simulated
//! world per document, and must end and print as the document says.
//!
//! Blocks of `console` hold commands after `$ ` and below each what it prints: every line must be in the output, `…` stands
//! for anything, `[exit 1]` for how it ends. Blocks of `sh` hold commands alone. A command that has `--sim` or
//! `--auto-approve` gets it where the document, written for a real cloud and somebody who answers, does not. What cannot be run
//! here is in [`ABROAD`] with the reason; what of it is a command line of ours must still be one that the program takes.
//!
//! This is not for how commands look to the character: that is `scenarios`.

mod page;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use regex::Regex;

use self::page::{Block, Step, steps};

/// What is there before a document begins, as commands of the same kind. `stacks/` and a small `stack.toml` are
/// always there.
const BEFORE: &[(&str, &str)] =
    &[("docs/bench.md", "stackwright apply stacks/gpu-t4-production.toml"), ("docs/json.md", "stackwright apply")];

/// Documents that begin with `stacks/gpu-t4.toml` applied.
const APPLIED: &[&str] = &["docs/bench.md", "docs/money.md", "docs/prefix-caching.md", "docs/verifying.md"];

/// Documents whose commands another test runs, and why: (document, file under `tests/it`, reason).
const ELSEWHERE: &[(&str, &str, &str)] =
    &[("docs/recovering.md", "recovering.rs", "each of its situations has to be brought about first")];

/// Commands, by how they begin, that are not run here, and why.
const ABROAD: &[(&str, &str)] = &[
    ("cargo build", "builds what this test runs"),
    ("cargo run --release -- ", "the same; the page runs what it runs further down"),
    ("cargo test", "runs this test"),
    ("gcloud ", "needs a Google account; gcloud.rs runs gcloud against the simulator"),
    ("kubectl ", "needs a cluster that is served; kube_kubectl.rs runs it against the simulator"),
    ("stackwright sim serve &", "takes a fixed port; served.rs serves on a free one"),
    ("eval \"$(stackwright sim env)\"", "needs the simulator that is served"),
    ("/usr/bin/time ", "measures what takes long, and others' programs"),
    ("python3 ", "measures helm, on real charts"),
    ("curl ", "the gateway's address is of the simulated internet"),
    ("checkov ", "a program of others; policies.rs runs it where it is there"),
    ("conftest ", "a program of others; policies.rs runs the same rules in an interpreter of Rego"),
    ("opa ", "a program of others; policies.rs runs the same rules in an interpreter of Rego"),
    ("KUBEBUILDER_ASSETS=", "needs a real control plane; runs a test"),
    ("STACKWRIGHT_CHARTS=DIR cargo", "runs a test"),
    ("STACKWRIGHT_CHARTS=~/charts ", "needs the real charts; real_charts.rs applies them"),
    ("STACKWRIGHT_LIVE_PROJECT=", "costs money"),
];

/// Languages of blocks that hold no commands.
const SILENT: &[&str] = &["text", "toml", "json", "promql", "python"];

/// Programs of others that commands may pipe into; where one is not there, the part before it is run alone.
const FILTERS: &[&str] = &["jq"];

/// Documents with tests of their own, so that they run beside each other; all others run in `the_others`.
macro_rules! documents {
    ($($test:ident: $document:literal,)*) => {
        const OWN: &[&str] = &[$($document),*];
        $(#[test] fn $test() { play($document); })*
    };
}

documents! {
    the_first_page: "README.md",
    a_t4: "docs/deploy-t4.md",
    a_tpu: "docs/deploy-v6e.md",
    production: "docs/production.md",
    prerequisites: "docs/prerequisites.md",
    questions: "docs/faq.md",
    prefix_caching: "docs/prefix-caching.md",
    the_manual_guide: "docs/from-the-manual-guide.md",
    measuring: "docs/bench.md",
    money: "docs/money.md",
}

#[test]
fn the_others() {
    for document in documents().iter().filter(|name| !OWN.contains(&name.as_str())) {
        play(document);
    }
}

/// The stack of commands that name none.
const STACK: &str = "name = \"demo\"\n[cluster]\nproject = \"demo-project\"\nlocation = \"europe-west4-a\"\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<String> {
    let folder = std::fs::read_dir(root().join("docs")).expect("docs").flatten();
    let names = folder.map(|entry| format!("docs/{}", entry.file_name().to_string_lossy()));
    let mut names = names.filter(|name| name.ends_with(".md")).collect::<Vec<_>>();
    names.extend(["README.md".to_owned(), "docs/ci/README.md".to_owned(), "stacks/README.md".to_owned()]);
    names.sort();
    names
}

fn text(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn blocks(document: &str) -> Vec<Block> {
    page::blocks(document, &text(document))
}

fn commands(document: &str) -> Vec<Step> {
    let blocks = blocks(document);
    let run = blocks.iter().filter(|block| matches!(block.language.as_str(), "console" | "sh"));
    run.flat_map(steps).collect()
}

fn abroad(command: &str) -> Option<&'static (&'static str, &'static str)> {
    ABROAD.iter().find(|(begins, _)| command.starts_with(begins))
}

/// Command lines of ours within a line of the shell.
fn ours(command: &str) -> Vec<Vec<String>> {
    let pattern = r#"(?:^|[\s(])(?:[\w./-]*/)?stackwright( (?:'[^']*'|[^|;&<>)#'"])*)"#;
    let pattern = Regex::new(pattern).expect("pattern");
    let word = Regex::new(r"'([^']*)'|(\S+)").expect("pattern");
    let command = command.replace("\\\n", " ").replace("cargo run --release -- ", "stackwright ");
    let command =
        command.lines().map(|line| line.split(" #").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let lines = pattern.captures_iter(&command).map(|found| found[1].to_owned());
    let words = |line: &str| {
        let found = word.captures_iter(line);
        found.map(|word| word.get(1).or(word.get(2)).expect("one of them").as_str().to_owned()).collect()
    };
    lines.map(|line| words(&line)).collect()
}

/// Whether the program would take these words; where a text only `mentions` a command, its arguments may be missing.
fn is_taken(words: &[String], mentions: bool) -> Result<(), String> {
    use clap::error::ErrorKind::{
        DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand,
    };
    let words = std::iter::once("stackwright").chain(words.iter().map(String::as_str));
    let missing = [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand];
    match stackwright::cli::command().try_get_matches_from(words) {
        Err(error) if mentions && missing.contains(&error.kind()) => Ok(()),
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// A script that is the program, with `--sim` and `--auto-approve` where a command takes them and the line has none.
fn wrapper() -> String {
    fn walk(command: &clap::Command, path: &str, flag: &str, found: &mut Vec<String>) {
        for next in command.get_subcommands() {
            let path = format!("{path} {}", next.get_name()).trim().to_owned();
            if next.get_arguments().any(|argument| argument.get_long() == Some(flag)) {
                found.push(format!("'{path}'"));
            }
            walk(next, &path, flag, found);
        }
    }
    let mut script =
        "#!/bin/sh\ncase $1 in bench|chart|history|lease|sim|state) name=\"$1 $2\" ;; *) name=$1 ;; esac\n".to_owned();
    for flag in ["sim", "auto-approve"] {
        let mut having = Vec::new();
        walk(&stackwright::cli::command(), "", flag, &mut having);
        writeln!(
            script,
            "case \" $* \" in *' --{flag} '* | *' --{flag}='*) ;; *) case $name in {}) set -- \"$@\" --{flag} ;; esac ;; esac",
            having.join("|")
        )
        .expect("memory");
    }
    script + "exec '" + env!("CARGO_BIN_EXE_stackwright") + "' \"$@\"\n"
}

/// A document's folder.
struct Folder {
    folder: tempfile::TempDir,
    path: String,
}

/// A folder in which `stacks/gpu-t4.toml` is applied, made once for all that begin with it.
fn applied() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guides");
        std::fs::remove_dir_all(&kept).ok();
        let folder = Folder::new(false);
        let (code, output) = folder.run("stackwright apply stacks/gpu-t4.toml");
        assert_eq!(code, 0, "{output}");
        copy(&folder.folder.path().join("state"), &kept);
        kept
    })
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("written");
    for entry in std::fs::read_dir(from).expect("readable").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).expect("copied");
        }
    }
}

impl Folder {
    fn new(with_state: bool) -> Folder {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("folder");
        copy(&root().join("stacks"), &folder.path().join("stacks"));
        if with_state {
            copy(applied(), &folder.path().join("state"));
        }
        std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
        let bin = folder.path().join(".bin");
        std::fs::create_dir(&bin).expect("written");
        std::fs::write(bin.join("stackwright"), wrapper()).expect("written");
        std::fs::set_permissions(bin.join("stackwright"), std::fs::Permissions::from_mode(0o755)).expect("permitted");
        let path = std::env::var("PATH").unwrap_or_default();
        Folder { path: format!("{}:{path}", bin.display()), folder }
    }

    /// Runs a line of the shell; variables that it exports are there for the next.
    fn run(&self, command: &str) -> (i32, String) {
        let script = format!(
            "set -o pipefail\n[ ! -e .session ] || . ./.session\n{command}\nended=$?\nexport -p > .session\nexit $ended"
        );
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| folder.join(program).is_file())
}

/// Words without the frames and breaks that a width asks for.
fn flat(text: &str) -> String {
    text.replace(['│', '×'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the pieces between `…` of a line come one after the other.
fn is_shown(line: &str, output: &str) -> bool {
    let mut rest = output;
    flat(line).split('…').map(str::trim).all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

fn play(document: &str) {
    if ELSEWHERE.iter().any(|(name, ..)| *name == document) {
        return;
    }
    let steps = commands(document);
    if steps.iter().all(|step| abroad(&step.command).is_some()) {
        return;
    }
    let folder = Folder::new(APPLIED.contains(&document));
    if let Some((_, before)) = BEFORE.iter().find(|(name, _)| *name == document) {
        let (code, output) = folder.run(before);
        assert_eq!(code, 0, "before {document}: {before}\n{output}");
    }
    let mut wrong = Vec::new();
    for step in steps.iter().filter(|step| abroad(&step.command).is_none()) {
        let mut command = step.command.clone();
        for filter in FILTERS.iter().filter(|filter| !is_there(filter)) {
            if let Some((before, _)) = command.split_once(&format!("| {filter} ")) {
                println!("{}: {filter} is not here, only what comes before it is run", step.at);
                command = before.to_owned();
            }
        }
        let (code, output) = folder.run(&command);
        let flattened = flat(&output);
        let missing = step.shown.iter().filter(|line| !is_shown(line, &flattened)).collect::<Vec<_>>();
        if code != step.exit || !missing.is_empty() {
            wrong.push(format!("{}: {}\nends with {code}, lacks {missing:#?}\n{output}", step.at, step.command));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_block_says_what_it_is() {
    let mut wrong = Vec::new();
    for document in documents() {
        for block in blocks(&document) {
            let language = block.language.as_str();
            let text = block.lines.join("\n");
            match language {
                "console" | "sh" => {
                    let steps = steps(&block);
                    if steps.is_empty() {
                        wrong.push(format!("{}: no command", block.at));
                    }
                }
                "toml" => {
                    wrong.extend(toml::from_str::<toml::Table>(&text).err().map(|e| format!("{}: {e}", block.at)))
                }
                "json" => {
                    wrong.extend(
                        serde_json::from_str::<serde_json::Value>(&text).err().map(|e| format!("{}: {e}", block.at)),
                    );
                }
                _ if SILENT.contains(&language) => {
                    let commands =
                        block.lines.iter().filter(|line| line.starts_with("$ ") || line.starts_with("stackwright "));
                    wrong.extend(commands.map(|line| format!("{}: nobody runs {line}", block.at)));
                }
                _ => wrong.push(format!("{}: no language that is known: {language:?}", block.at)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_run_can_be_typed() {
    let mut wrong = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    // Inline, `[…]`, `|` and `…` leave something open.
    let inline = Regex::new(r"`(stackwright [^`\[|…]+)`").expect("pattern");
    for document in documents() {
        for step in commands(&document) {
            let Some((begins, _)) = abroad(&step.command) else { continue };
            used.insert(*begins);
            for words in ours(&step.command) {
                wrong.extend(
                    is_taken(&words, false).err().map(|error| format!("{}: {}: {error}", step.at, step.command)),
                );
            }
        }
        for found in inline.captures_iter(&text(&document)) {
            let line = found[1].replace('\n', " ");
            for words in ours(&line) {
                wrong.extend(is_taken(&words, true).err().map(|error| format!("{document}: {line}: {error}")));
            }
        }
    }
    for (begins, _) in ABROAD {
        if !used.contains(begins) {
            wrong.push(format!("no document has a command that begins with {begins}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_another_test_runs_is_run_there() {
    let all = documents();
    for (document, file, reason) in ELSEWHERE {
        let test = std::fs::read_to_string(root().join("tests/it").join(file)).expect("a test");
        assert!(test.contains(document) && !reason.is_empty(), "{file} does not name {document}");
    }
    for document in BEFORE.iter().map(|(name, _)| name).chain(OWN).chain(APPLIED) {
        assert!(all.iter().any(|name| name == document), "{document} is not there");
    }
}
