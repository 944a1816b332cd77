//! Views: the only code that turns plans, events and diagnostics into text.
//!
//! Views return text or write to a given writer; they never touch a platform, a state or a clock's sleep.

pub mod bench_html;
pub mod bench_markdown;
pub mod bench_text;
pub mod compare_text;
pub mod cost_text;
pub mod diagnose_text;
pub mod diagnostic;
pub mod events_json;
pub mod explain_text;
pub mod graph;
pub mod paint;
pub mod places_text;
pub mod plan_json;
pub mod plan_markdown;
pub mod plan_text;
pub mod preflight_text;
pub mod progress;
pub mod reap_text;
pub mod rebuild_text;
pub mod receipt_text;
pub mod report;
pub mod state_text;
pub mod summary;
pub mod terraform;
pub mod time_text;
pub mod trace;
pub mod values;
pub mod verify_junit;
pub mod verify_text;
pub mod wrap;
