//! Checks as a JUnit report, which build servers show. Nothing is decided here.

use crate::measure::checks::{Check, Outcome, tally};

/// The report, XML. `name` is the stack or the URL.
pub fn junit(name: &str, checks: &[Check]) -> String {
    let (_, failed, skipped) = tally(checks);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
    let seconds = |millis: u64| format!("{:.3}", millis as f64 / 1000.0);
    let all = seconds(checks.iter().map(|check| check.millis).sum());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" \
         errors=\"0\" skipped=\"{skipped}\" time=\"{all}\">\n",
        escape(name),
        checks.len()
    );
    for check in checks {
        let (class, case, fact) = (escape(&check.of), escape(&check.name), escape(&check.fact));
        let head = format!("    <testcase classname=\"{class}\" name=\"{case}\" time=\"{}\"", seconds(check.millis));
        out.push_str(&match check.outcome {
            Outcome::Passed => format!("{head}>\n      <system-out>{fact}</system-out>\n    </testcase>\n"),
            Outcome::Skipped => format!("{head}>\n      <skipped message=\"{fact}\"/>\n    </testcase>\n"),
            Outcome::Failed => {
                let hint = check.hint.as_deref().map(escape).unwrap_or_default();
                format!("{head}>\n      <failure message=\"{fact}\">{hint}</failure>\n    </testcase>\n")
            }
        });
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// Text for XML; control characters that it cannot hold become spaces.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_count_and_escape() {
        let mut failed = Check::failed("gateway", "tls", "a < b & \"c\"\u{1b}", Some("do <this>".to_owned()));
        failed.millis = 1500;
        let xml = junit(
            "x&y",
            &[failed, Check::skipped("gateway", "/health", "tls comes first"), Check::passed("a", "b", "c")],
        );
        assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"1.500\""), "{xml}");
        assert!(xml.contains("message=\"a &lt; b &amp; &quot;c&quot; \">do &lt;this&gt;</failure>"), "{xml}");
        assert!(xml.contains("<testsuite name=\"x&amp;y\""), "{xml}");
    }
}
