//! What a preflight found, for people: by topic, what is missing first and with the way to mend it.

use crate::platform::preflight::{Check, Trial, Verdict};
use crate::ui::paint::{Paint, count, tame};

/// All checks and a last line that says how it stands.
pub fn preflight(checks: &[Check], paint: Paint) -> String {
    let mut out = String::new();
    let mut topic = None;
    for check in checks {
        if topic != Some(check.topic) {
            out.push_str(&format!("{}\n", paint.bold(check.topic.word())));
            topic = Some(check.topic);
        }
        out.push_str(&format!("  {}\n", line(check, paint)));
        if check.verdict != Verdict::Fine {
            ways(check, paint, &mut out);
        }
    }
    let number = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (missing, unknown) = (number(Verdict::Missing), number(Verdict::Unknown));
    let unsure = if unknown > 0 { format!(", {unknown} unknown") } else { String::new() };
    out.push_str(&match (missing, unknown) {
        (0, 0) if checks.is_empty() => "Nothing to check: the stack asks Google Cloud for nothing.\n".to_owned(),
        (0, 0) => format!("{}\n", paint.green(&format!("{}: all fine.", count(checks.len(), "check")))),
        (0, _) => {
            let text =
                format!("{}: none missing{unsure}. What is unknown may still fail.", count(checks.len(), "check"));
            format!("{}\n", paint.yellow(&text))
        }
        _ => format!("{}\n", paint.red(&format!("{}: {missing} missing{unsure}.", count(checks.len(), "check")))),
    });
    out
}

/// What is going to be made for a moment, and what that costs at most.
pub fn trials(trials: &[Trial], price: Option<f64>) -> String {
    let subjects = trials.iter().map(|trial| tame(&trial.subject)).collect::<Vec<_>>();
    let price = price.map_or("an unknown price".to_owned(), |price| format!("at most ${price:.2}"));
    format!("Asking for a machine to see whether there is one ({price}): {}...", subjects.join(", "))
}

/// What came of it.
pub fn probed(checks: &[Check], paint: Paint) -> String {
    let mut out = String::new();
    for check in checks {
        out.push_str(&format!("{}\n", line(check, paint)));
        if check.verdict != Verdict::Fine {
            ways(check, paint, &mut out);
        }
    }
    out
}

/// What could not be seen, for the beginning of an apply.
pub fn unknown<'c>(checks: impl Iterator<Item = &'c Check>, paint: Paint) -> String {
    let mut out = String::new();
    for check in checks {
        out.push_str(&format!("Note: not checked: {}: {}\n", tame(&check.subject), tame(&check.found)));
        ways(check, paint, &mut out);
    }
    out
}

fn line(check: &Check, paint: Paint) -> String {
    let word = match check.verdict {
        Verdict::Missing => paint.red("missing"),
        Verdict::Unknown => paint.yellow("unknown"),
        Verdict::Fine => paint.green("ok     "),
    };
    format!("{word}  {}: {}", tame(&check.subject), tame(&check.found))
}

fn ways(check: &Check, paint: Paint, out: &mut String) {
    if !check.wanted_by.is_empty() {
        out.push_str(&format!("           for {}\n", tame(&check.wanted_by.join(", "))));
    }
    if let Some(mend) = &check.mend {
        out.push_str(&format!("           {}\n", paint.bold(&tame(mend))));
    }
}
