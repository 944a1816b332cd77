//! A panic shows no value: neither its message nor what it was about.

use std::process::{Command, Stdio};

use super::hunt::{Canary, hunt};

/// Panics in the ways in which a program and its libraries do; only when the other test has started it.
#[test]
fn planted() {
    let (Ok(value), Ok(way)) = (std::env::var("CANARY_VALUE"), std::env::var("CANARY_WAY")) else { return };
    stackwright::cli::tame_panics();
    let failed = value.parse::<u8>().map_err(|error| format!("{value}: {error}"));
    match way.as_str() {
        "expect" => drop(failed.expect("it never fails")),
        "format" => panic!("{value} is no number"),
        "cut" => drop(std::hint::black_box(&value[1..])[..std::hint::black_box(4000)].to_owned()),
        "text" => panic!("a text of the program"),
        "thread" => drop(std::thread::spawn(move || panic!("{value}")).join()),
        other => panic!("{other}"),
    }
}

#[test]
fn a_panic_says_where_and_shows_no_value() {
    for way in ["expect", "format", "cut", "text", "thread"] {
        let canary = Canary::new("panic");
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "canary::panics::planted", "--nocapture"])
            .env("CANARY_VALUE", canary.quoted())
            .env("CANARY_WAY", way)
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::null())
            .output()
            .expect("it runs");
        let bytes = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("this is a defect of stackwright at "), "{way}: {text}");
        assert_eq!(text.contains("a text of the program"), way == "text", "{text}");
        // Where it came from is shown all the same.
        assert!(text.contains("canary::panics::planted"), "{way}: {text}");
        let seen = hunt(way, &bytes, &[canary]).iter().map(|s| format!("{s}\n")).collect::<String>();
        assert!(seen.is_empty(), "{seen}");
    }
}
