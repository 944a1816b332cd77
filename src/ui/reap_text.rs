//! The stacks of a project and until when they may live, as text.

use std::time::Duration;

use crate::env::clock::Timestamp;
use crate::platform::audit::{Finding, Unseen};
use crate::platform::expiry::Marked;
use crate::ui::paint::{Paint, count, duration, tame};

/// One line per stack.
pub fn stacks(project: &str, marked: &[Marked], unseen: &[Unseen], now: Timestamp, paint: Paint) -> String {
    let seconds = now.seconds();
    let mut out = String::new();
    for one in marked {
        let left = |seconds: u64| duration(Duration::from_secs(seconds));
        let when = match (one.expires, &one.illegible) {
            (Some(expires), _) if expires <= seconds => paint.red(&format!("expired {} ago", left(seconds - expires))),
            (Some(expires), _) => format!("expires in {}", left(expires - seconds)),
            (None, Some(text)) => paint.yellow(&format!("left alone: its label says {text}, which is no time")),
            (None, None) => "never expires".to_owned(),
        };
        out.push_str(&format!(
            "{} ({}): cluster {} in {}: {when}\n",
            paint.bold(&tame(&one.stack)),
            tame(&one.stack_id),
            tame(&one.name),
            tame(&one.location)
        ));
    }
    for one in unseen {
        out.push_str(&paint.red(&format!("Unknown: {}: {}\n", tame(&one.what), tame(&one.why))));
    }
    let expired = marked.iter().filter(|marked| marked.is_expired(seconds)).count();
    out.push_str(&format!("{} in {}, {expired} expired.\n", count(marked.len(), "stack"), tame(project)));
    out
}

/// A machine that a probe has left.
pub fn stray(machine: &Finding) -> String {
    format!("{} {} in {}: left by a probe, and over\n", machine.kind, tame(&machine.name), tame(&machine.place))
}

/// What became of it.
pub fn swept(machine: &Finding, failed: Option<&str>, paint: Paint) -> String {
    let what = format!("{} {}", machine.kind, tame(&machine.name));
    match failed {
        None => format!("Removed {what}."),
        Some(why) => paint.red(&format!("{what} would not go: {}", tame(why))),
    }
}
