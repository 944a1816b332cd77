//! The live tree in a real terminal: runs inside tmux, looked at while they go on, at 80 and 40 columns, while the window
//! changes, and in a terminal that cannot redraw. Skipped with one line where tmux is not installed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::served::serve;

/// A tmux server of our own, ended when dropped.
struct Tmux(String);

impl Tmux {
    fn run(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.0, "-f", "/dev/null"]).args(words).env("LANG", "C.UTF-8");
        let output = command.output().expect("tmux starts");
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A window of this size with the program in it.
    fn open(&self, name: &str, (columns, rows): (u16, u16), folder: &Path, variables: &str, line: &str) {
        let program = env!("CARGO_BIN_EXE_stackwright");
        let script = format!(
            "cd {} && env -i HOME=. PATH=$PATH LANG=C.UTF-8 TERM=screen {variables} {program} {line}; echo EXIT $?; sleep 100",
            folder.display()
        );
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.run(&["new-session", "-d", "-s", name, "-x", &columns, "-y", &rows, "sh", "-c", &script]);
    }

    /// What the window shows.
    fn look(&self, name: &str) -> Vec<String> {
        self.run(&["capture-pane", "-p", "-t", name]).lines().map(str::to_owned).collect()
    }

    /// Whether anything of it has a colour, or is bold or faint.
    fn is_coloured(&self, name: &str) -> bool {
        self.run(&["capture-pane", "-e", "-p", "-t", name]).contains("\u{1b}[")
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        Command::new("tmux").args(["-L", &self.0, "kill-server"]).output().ok();
    }
}

fn stack(folder: &Path, name: &str) {
    let text = format!(
        "name = \"{name}\"\n[cluster]\nproject = \"demo-project\"\nlocation = \"europe-west4-a\"\n\
         [node_pools.gpu]\naccelerator = \"nvidia-t4\"\n[node_pools.cpu-with-quite-a-long-name]\nmachine_type = \"n1-standard-4\"\n"
    );
    std::fs::write(folder.join("stack.toml"), text).expect("written");
}

/// Lines of a picture: those of a header, with its figures and its time.
fn headers(lines: &[String]) -> Vec<&String> {
    let header = regex::Regex::new(r"\b\d/3  \d+[sm]").expect("a pattern");
    lines.iter().filter(|line| header.is_match(line)).collect()
}

#[test]
fn a_terminal_shows_what_is_under_way_and_is_left_as_it_was() {
    if Command::new("tmux").arg("-V").output().is_err() {
        println!("skipped: tmux is not installed");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let served = serve(&folder.path().join("world"), "127.0.0.1:0");
    let tmux = Tmux(format!("stackwright-{}", std::process::id()));
    let windows = [
        ("wide", (80, 24), ""),
        ("narrow", (40, 20), ""),
        ("changing", (100, 30), ""),
        ("dumb", (80, 24), "TERM=dumb"),
    ];
    for (name, size, variables) in windows {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a folder");
        stack(&own, name);
        let plain = if name == "narrow" { " --no-color" } else { "" };
        let line = format!("apply --sim={} --world {}/w --auto-approve{plain}", served.url, own.display());
        tmux.open(name, size, &own, variables, &line);
    }
    let begun = Instant::now();
    let mut pictures = windows.map(|(name, ..)| (name, Vec::<Vec<String>>::new()));
    let mut coloured = [false, false];
    let mut sizes = [(40, 10), (120, 20), (60, 8), (80, 24)].iter().cycle();
    loop {
        let mut over = 0;
        for (at, name) in ["wide", "narrow"].into_iter().enumerate() {
            coloured[at] |= tmux.is_coloured(name);
        }
        for (name, seen) in &mut pictures {
            let lines = tmux.look(name);
            over += usize::from(lines.iter().any(|line| line.starts_with("EXIT")));
            seen.push(lines);
        }
        if over == pictures.len() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "{pictures:#?}");
        let (columns, rows) = sizes.next().expect("for ever");
        tmux.run(&["resize-window", "-t", "changing", "-x", &columns.to_string(), "-y", &rows.to_string()]);
        std::thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(coloured, [true, false], "one has colours, and one was told to have none");
    for (name, seen) in &pictures {
        let last = seen.last().expect("looked at");
        let text = last.join("\n");
        assert!(text.contains("EXIT 0") && text.contains("Apply complete!"), "{name}:\n{text}");
        // Nothing of the picture is left.
        assert!(headers(last).is_empty() && !text.contains('━') && !text.contains("then:"), "{name}:\n{text}");
        let live = seen.iter().filter(|lines| !headers(lines).is_empty()).collect::<Vec<_>>();
        if *name == "dumb" {
            assert!(live.is_empty(), "{name}:\n{text}");
            assert!(seen.iter().any(|lines| lines.concat().contains("cluster: Creating...")), "{name}:\n{text}");
            assert!(seen.iter().all(|lines| !lines.concat().contains('⠙')), "{name}");
            continue;
        }
        assert!(live.len() >= 3, "{name}: {} pictures of {}", live.len(), seen.len());
        if *name == "changing" {
            // It is not asked at the moment at which it changes, so one may be between two sizes; most are whole.
            let whole = live.iter().filter(|lines| headers(lines).len() == 1).count();
            assert!(whole * 2 > live.len(), "{name}: {live:#?}");
            continue;
        }
        for lines in &live {
            let picture = lines.join("\n");
            assert_eq!(headers(lines).len(), 1, "{name}: drawn twice\n{picture}");
            assert!(picture.contains('»'), "{name}: nothing is critical\n{picture}");
        }
        let ever = |words: &str| live.iter().any(|lines| lines.iter().any(|line| line.contains(words)));
        // On a busy machine it may all take longer than usual, but not from the beginning.
        assert!(ever(" left"), "{name}: not how long it takes: {live:#?}");
        assert!(ever("then: node_pools."), "{name}: {live:#?}");
        match *name {
            "wide" => {
                assert!(ever("Applying wide  ") && ever(" of ~"), "{live:#?}")
            }
            _ => assert!(ever("node_pools.cpu-…") && !ever("Applying"), "{live:#?}"),
        }
    }
}
