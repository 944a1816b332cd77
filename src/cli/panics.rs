//! What is said of a panic: where, and how it was come by. Not what it says, which may quote a value that it was about: a
//! string that could not be cut, an answer that could not be read.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;

/// From now on, panics of this process show no values, at any verbosity.
pub fn tame() {
    std::panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::capture();
        let mut err = std::io::stderr().lock();
        writeln!(err, "{}", said(info)).ok();
        if backtrace.status() == BacktraceStatus::Captured {
            // Names of functions and lines of files.
            writeln!(err, "{backtrace}").ok();
        }
    }));
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    // A text of the program itself; whatever was put together at run time may have anything in it.
    let text = info.payload().downcast_ref::<&'static str>().map(|text| format!(": {text}"));
    let text = text.unwrap_or_else(|| " (its message may quote a secret, and is left out)".to_owned());
    format!(
        "this is a defect of stackwright{place}{text}\n\
         what was under way is recorded: run the same command again, and please report this with the command"
    )
}
