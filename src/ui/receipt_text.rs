//! The receipt of a destroy as text: what is left, whose it is, what it costs, what could not be seen, what to do.

use crate::platform::audit::{Entry, Receipt, Verdict};
use crate::ui::paint::{Paint, count, tame};

/// More lines of a kind than this are counted, not shown; `--json` has them all.
const MOST: usize = 40;

/// The receipt. `sweep` is the command that would sweep what is proven ours, later too; without one nobody keeps what
/// would prove it.
pub fn receipt(receipt: &Receipt, sweep: Option<&str>, paint: Paint) -> String {
    let mut out = String::new();
    for removal in &receipt.swept {
        let what = format!("{} {}{}", removal.kind, removal.name, at(&removal.place));
        match &removal.failed {
            None => out.push_str(&format!("Swept away: {}\n", tame(&what))),
            Some(why) => out.push_str(&format!("{} {}: {}\n", paint.red("Would not go:"), tame(&what), tame(why))),
        }
    }
    if receipt.is_clean() && receipt.goes_on {
        // What looks alike is mostly what the stack has now.
        out.push_str(&paint.green("0 residual resources: nothing of what was replaced is left."));
        return out;
    }
    if receipt.is_clean() {
        out.push_str(&if receipt.abandoned {
            "0 residual resources besides what was left there on purpose.".to_owned()
        } else {
            paint.green("0 residual resources: nothing of this stack is left.")
        });
        out.push_str(&others(receipt));
        return out;
    }
    if !receipt.remaining.is_empty() {
        let head = format!("{} left:", count(receipt.remaining.len(), "resource"));
        out.push_str(&format!("{}\n{}", paint.red(&head), lines(&receipt.remaining)));
    }
    if !receipt.unknown.is_empty() {
        let head = format!(
            "Unknown: {} could not be looked at, so nobody knows what is left there:",
            count(receipt.unknown.len(), "list")
        );
        out.push_str(&paint.red(&head));
        for unseen in receipt.unknown.iter().take(MOST) {
            out.push_str(&format!("\n  {}: {}", tame(&unseen.what), tame(&unseen.why)));
        }
        if receipt.unknown.len() > MOST {
            out.push_str(&format!("\n  and {} more", receipt.unknown.len() - MOST));
        }
        out.push('\n');
    }
    out.push_str(&cost(receipt));
    out.push_str(&others(receipt));
    out.push_str(&ways(receipt, sweep));
    out
}

fn at(place: &str) -> String {
    if place.is_empty() || place == "global" {
        String::new()
    } else {
        format!(" in {}", place.rsplit('/').next().unwrap_or(place))
    }
}

fn lines(entries: &[Entry]) -> String {
    let mut out = String::new();
    for entry in entries.iter().take(MOST) {
        let finding = &entry.finding;
        let whose = match finding.verdict {
            Verdict::Proven => "the stack's",
            Verdict::Probable => "probably the stack's",
            Verdict::Other => "another's",
        };
        let price = match entry.per_hour {
            Some(0.0) => String::new(),
            Some(price) => format!(", ${price:.3} per hour"),
            None => ", price unknown".to_owned(),
        };
        let what = format!("{} {}{}", finding.kind, finding.name, at(&finding.place));
        out.push_str(&format!("  {}: {whose} ({}){price}\n", tame(&what), tame(&finding.because)));
    }
    if entries.len() > MOST {
        out.push_str(&format!("  and {} more\n", entries.len() - MOST));
    }
    out
}

/// What is left goes on costing.
fn cost(receipt: &Receipt) -> String {
    match (receipt.price_is_complete, receipt.per_hour > 0.0) {
        (true, true) => format!(
            "It costs ${:.3} per hour by list prices, ${:.2} per day.",
            receipt.per_hour,
            receipt.per_hour * 24.0
        ),
        (true, false) => "It costs nothing by itself.".to_owned(),
        (false, true) => format!(
            "It costs at least ${:.3} per hour by list prices; the price of the rest is unknown.",
            receipt.per_hour
        ),
        (false, false) => "What it costs is unknown.".to_owned(),
    }
}

fn others(receipt: &Receipt) -> String {
    match receipt.others.len() {
        0 => String::new(),
        n => format!(
            "\n{} {} alike and {} left alone (--json lists them).",
            count(n, "other"),
            if n == 1 { "looks" } else { "look" },
            if n == 1 { "is" } else { "are" }
        ),
    }
}

/// What to do about it.
fn ways(receipt: &Receipt, sweep: Option<&str>) -> String {
    let mut out = String::new();
    if let (true, Some(sweep)) = (receipt.can_be_swept(), sweep) {
        out.push_str(&format!("\nRemove what is proven to be the stack's: {sweep}"));
    }
    let by_hand = receipt.remaining.iter().filter(|entry| {
        let by_sweep = entry.finding.verdict == Verdict::Proven && entry.finding.order.is_some() && sweep.is_some();
        !by_sweep && !entry.finding.command.is_empty()
    });
    let by_hand = by_hand.map(|entry| format!("\n  {}", tame(&entry.finding.command))).collect::<Vec<_>>();
    if !by_hand.is_empty() {
        out.push_str("\nLook at the rest, and remove by hand what is yours:");
        out.extend(by_hand.iter().take(MOST).map(String::as_str));
    }
    if sweep.is_none() {
        out.push_str("\nNothing remembers what the cluster was known by: look now, or nobody will know whose it is.");
    } else {
        out.push_str(
            "\nRun destroy again to look again: what the clusters were known by is kept until nothing is left.",
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::audit::{Billed, Finding, Unseen};

    const PLAIN: Paint = Paint { color: false };

    fn entry(name: &str, verdict: Verdict, per_hour: Option<f64>) -> Entry {
        let finding = Finding {
            kind: "disk".into(),
            name: name.into(),
            place: "zones/z-a".into(),
            path: String::new(),
            cluster: "c".into(),
            verdict,
            because: "of its label".into(),
            billed: Billed::Nothing,
            order: (verdict == Verdict::Proven).then_some(8),
            command: format!("gcloud compute disks delete {name}"),
        };
        Entry { finding, per_hour }
    }

    #[test]
    fn only_a_clean_receipt_says_zero() {
        let clean = Receipt::default();
        assert_eq!(
            super::receipt(&clean, Some("sweep"), PLAIN),
            "0 residual resources: nothing of this stack is left."
        );
        let replaced =
            Receipt { goes_on: true, others: vec![entry("new", Verdict::Other, None)], ..Receipt::default() };
        assert_eq!(
            super::receipt(&replaced, None, PLAIN),
            "0 residual resources: nothing of what was replaced is left."
        );
        let unseen = Unseen { what: "disks of p".into(), why: "no\u{1b}[31m answer".into() };
        let blind = Receipt { unknown: vec![unseen], ..Receipt::default() };
        let text = super::receipt(&blind, Some("sweep"), PLAIN);
        assert!(text.contains("Unknown: 1 list") && text.contains("What it costs is unknown."), "{text}");
        assert!(!text.contains("0 residual") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn each_finding_says_whose_it_is_what_it_costs_and_how_it_goes() {
        let remaining = vec![entry("ours", Verdict::Proven, Some(0.01)), entry("maybe", Verdict::Probable, None)];
        let receipt =
            Receipt { remaining, per_hour: 0.01, others: vec![entry("x", Verdict::Other, None)], ..Receipt::default() };
        let text = super::receipt(&receipt, Some("stackwright destroy --sweep"), PLAIN);
        for part in [
            "2 resources left:",
            "disk ours in z-a: the stack's (of its label), $0.010 per hour",
            "disk maybe in z-a: probably the stack's (of its label), price unknown",
            "at least $0.010 per hour",
            "1 other looks alike and is left alone",
            "the stack's: stackwright destroy --sweep",
            "\n  gcloud compute disks delete maybe",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("delete ours"), "a sweep does that:\n{text}");
        // Without a state, now is the time.
        let text = super::receipt(&receipt, None, PLAIN);
        assert!(text.contains("delete ours") && text.contains("look now"), "{text}");
    }
}
