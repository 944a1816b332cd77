//! The stacks of a project and until when they may live, as text.

use std::time::Duration;

use crate::env::clock::Timestamp;
use crate::platform::audit::Unseen;
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
