//! Checks for people: one line each with its fact, and what to do about those that failed.

use crate::measure::checks::{Check, Outcome, tally};
use crate::ui::paint::{Paint, count, tame};

/// All checks, by what they belong to.
pub fn checks(checks: &[Check], paint: Paint) -> String {
    let mut out = String::new();
    let mut of = None;
    for check in checks {
        if of != Some(&check.of) {
            out.push_str(&format!("{}\n", paint.bold(&tame(&check.of))));
            of = Some(&check.of);
        }
        out.push_str(&format!("  {}\n", line(check, paint)));
        if let Some(hint) = check.hint.as_ref().filter(|_| check.outcome == Outcome::Failed) {
            out.push_str(&format!("          help: {}\n", tame(hint)));
        }
    }
    out
}

/// One check.
pub fn line(check: &Check, paint: Paint) -> String {
    let word = match check.outcome {
        Outcome::Passed => paint.green("ok    "),
        Outcome::Failed => paint.red("FAILED"),
        Outcome::Skipped => paint.dim("-     "),
    };
    format!("{word}  {}: {}", tame(&check.name), tame(&check.fact))
}

/// How it went in all.
pub fn verdict(checks: &[Check], paint: Paint) -> String {
    let (passed, failed, skipped) = tally(checks);
    let skipped = if skipped > 0 { format!(", {skipped} not looked at") } else { String::new() };
    match failed {
        0 => format!("{}\n", paint.green(&format!("Verified: {} passed{skipped}.", count(passed, "check")))),
        _ => format!(
            "{}\n",
            paint.red(&format!("Not verified: {failed} of {} failed{skipped}.", count(checks.len(), "check")))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let all = [
            Check::passed("cluster", "api server", "answers"),
            Check::failed("cluster", "pools", "no \u{1b}[2Jnodes", Some("look".to_owned())),
            Check::skipped("gateway", "address", "not looked at: pools comes first"),
        ];
        let plain = Paint { color: false };
        assert_eq!(
            checks(&all, plain),
            "cluster\n  ok      api server: answers\n  FAILED  pools: no \\u{1b}[2Jnodes\n          help: look\ngateway\n  -       \
             address: not looked at: pools comes first\n"
        );
        assert_eq!(verdict(&all, plain), "Not verified: 1 of 3 checks failed, 1 not looked at.\n");
    }
}
