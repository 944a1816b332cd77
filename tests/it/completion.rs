//! Completion in real shells, and by the protocol that their scripts speak.

use std::path::Path;
use std::process::{Command, Stdio};

const STACK: &str = "name = \"demo\"\n[inputs]\nregion = { type = \"string\", default = \"x\" }\n[values.one]\ninput = 1\n\
                     [values.two]\ninput = 2\n[outputs]\nfirst = \"${values.one.output}\"\n";

fn program(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
    command.args(words).current_dir(folder).env_clear().env("HOME", folder).stdin(Stdio::null());
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A stack that was applied, and one more component that was not.
fn applied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::write(folder.path().join("stack.toml"), STACK).expect("written");
    program(folder.path(), &["apply", "--auto-approve"]);
    let more =
        format!("{STACK}[values.three]\ninput = 3\n").replace("[outputs]\nfirst = \"${values.one.output}\"\n", "");
    std::fs::write(folder.path().join("stack.toml"), more).expect("written");
    folder
}

/// Lines to complete: the words before, the word that is being typed, and what is offered besides flags.
const LINES: &[(&str, &str, &[&str])] = &[
    ("plan --target", "values.t", &["values.three", "values.two"]),
    ("forget", "values.", &["values.one", "values.two"]),
    ("state show", "values.o", &["values.one"]),
    ("output --name", "", &["first"]),
    ("plan --var", "r", &["region="]),
    ("history show", "", &["6"]),
    ("plan", "st", &["stack.toml"]),
    ("explain", "exit", &["exit-codes"]),
    ("sch", "", &[]),
];

#[test]
fn bash_is_offered_what_the_stack_has() {
    if Command::new("bash").arg("--version").output().is_err() {
        println!("skipped: bash is not installed");
        return;
    }
    let folder = applied();
    let script = program(folder.path(), &["completions", "bash"]);
    std::fs::write(folder.path().join("completion.bash"), script).expect("written");
    let bin = Path::new(env!("CARGO_BIN_EXE_stackwright")).parent().expect("a folder");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let complete = |before: &str, typed: &str| {
        let text = format!(
            "source completion.bash; compopt() {{ :; }}; COMP_LINE={}; COMP_POINT=${{#COMP_LINE}}; _stackwright; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            shell_word(&format!("stackwright {before} {typed}")),
        );
        let mut command = Command::new("bash");
        command.args(["--norc", "--noprofile", "-c", &text]).current_dir(folder.path()).env_clear();
        let output = command.env("PATH", &path).env("HOME", folder.path()).output().expect("bash");
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>()
    };
    for (before, typed, wanted) in LINES {
        let offered = complete(before, typed);
        let found = offered.iter().filter(|word| !word.starts_with('-') && !word.is_empty()).collect::<Vec<_>>();
        if wanted.is_empty() {
            continue;
        }
        for word in *wanted {
            assert!(found.iter().any(|found| found == word), "{before} {typed}: {offered:?}");
        }
    }
    assert_eq!(complete("plan --target", "values.t"), ["values.three", "values.two"]);
    // Bash has broken the word at the sign, and puts back what stands before it.
    assert_eq!(complete("plan", "--target=values.tw"), ["values.two"]);
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What the program answers to the script of a shell.
fn answer(folder: &Path, before: &str, typed: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackwright"));
    command.args(before.split(' ')).arg(typed).current_dir(folder).env_clear().env("HOME", folder);
    let output = command.env("STACKWRIGHT_COMPLETE", "test").output().expect("the program starts");
    assert!(output.status.success() && output.stderr.is_empty(), "{before} {typed}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_answers_are_what_the_stack_has() {
    let folder = applied();
    for (before, typed, wanted) in LINES {
        let answer = answer(folder.path(), before, typed);
        assert!(wanted.iter().all(|word| answer.iter().any(|found| found == word)), "{before} {typed}: {answer:?}");
    }
    assert_eq!(answer(folder.path(), "plan --target=values.t --replace", "values.tw"), ["values.two"]);
    assert_eq!(answer(folder.path(), "plan", "--target=values.tw"), ["--target=values.two"]);
    assert_eq!(answer(folder.path(), "export -d", "x"), [":directories"]);
    assert_eq!(answer(folder.path(), "--log-format", ""), ["text", "json"]);
    // What cannot be read gives nothing, quietly.
    std::fs::write(folder.path().join("stack.toml"), "name = [").expect("written");
    assert_eq!(answer(folder.path(), "forget", ""), [""; 0]);
}

#[test]
fn fish_and_zsh_are_offered_the_same() {
    let folder = applied();
    let bin = Path::new(env!("CARGO_BIN_EXE_stackwright")).parent().expect("a folder").display().to_string();
    let fish = program(folder.path(), &["completions", "fish"]);
    std::fs::write(folder.path().join("completion.fish"), fish).expect("written");
    let text = format!(
        "set -x PATH {bin} /usr/bin /bin; source completion.fish; complete -C 'stackwright plan --target values.t'"
    );
    match Command::new("fish").args(["--no-config", "-c", &text]).current_dir(folder.path()).output() {
        Err(_) => println!("skipped: fish is not installed"),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("values.three") && text.contains("values.two"), "{text}");
        }
    }
    let zsh = program(folder.path(), &["completions", "zsh"]);
    std::fs::write(folder.path().join("_stackwright"), zsh).expect("written");
    // A shell in a terminal of its own, with a line typed into it.
    let text = format!(
        "PATH={bin}:$PATH; zmodload zsh/zpty; zpty shell zsh -fi; \
         zpty -w shell 'PS1=; autoload -U compinit; compinit -u -D; source ./_stackwright; PATH={bin}:$PATH'; sleep 1; \
         zpty -w -n shell $'stackwright plan --target values.thr\t'; sleep 2; zpty -r -t shell text '*three*' && print -r -- $text"
    );
    match Command::new("zsh").args(["-f", "-c", &text]).current_dir(folder.path()).output() {
        Err(_) => println!("skipped: zsh is not installed"),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("values.three"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    for shell in ["elvish", "powershell"] {
        assert!(program(folder.path(), &["completions", shell]).contains("--log-format"), "{shell}");
    }
}
