//! The first thing to read of a plan: what it destroys, replaces, interrupts and costs, in a few lines.

use super::pen::Pen;
use crate::plan::risk::{Level, Risk};
use crate::ui::paint::{count, tame_line};
use crate::ui::wrap;

/// More are only counted.
const MOST: usize = 20;

/// What a risk is about: `node_pools.gpu`, `addons.lws (13 objects)`.
pub(crate) fn subject(risk: &Risk) -> String {
    let objects = risk.addresses.iter().all(|address| address.object_key().is_some());
    let number = || count(risk.addresses.len(), if objects { "object" } else { "resource" });
    match (&risk.addresses[..], &risk.component) {
        ([one], _) => one.to_string(),
        ([], None) => String::new(),
        ([], Some(component)) => component.clone(),
        (_, None) => number(),
        (_, Some(component)) => format!("{component} ({})", number()),
    }
}

/// What a risk says, in one sentence.
pub(crate) fn sentence(risk: &Risk) -> String {
    let subject = subject(risk);
    let what = match subject.is_empty() {
        true => risk.class.word().to_owned(),
        false => format!("{} {subject}", risk.class.word()),
    };
    let affects = match &risk.affects[..] {
        [] => String::new(),
        names => format!(
            " ({} there)",
            if names.len() == 1 { format!("{} runs", names[0]) } else { format!("{} run", names.join(", ")) }
        ),
    };
    tame_line(&format!("{what}: {}{affects}", risk.why))
}

pub(super) fn attention(pen: &mut Pen, risks: &[Risk]) {
    if risks.is_empty() {
        return;
    }
    let title = pen.paint.bold("Attention:");
    pen.out.push_str(&format!("{title}\n"));
    let columns = pen.prose_columns();
    for risk in risks.iter().take(MOST) {
        let (mark, paint): (&str, &dyn Fn(&str) -> String) = match risk.level {
            Level::High => ("!!", &|text| pen.paint.red(text)),
            Level::Medium => (" !", &|text| pen.paint.yellow(text)),
            Level::Low => ("  ", &|text| text.to_owned()),
        };
        let text = wrap::prose(&sentence(risk), "", "     ", columns - 5);
        pen.out.push_str(&format!("  {} {text}", paint(mark)));
    }
    if risks.len() > MOST {
        pen.out.push_str(&format!("     and {} more, of less weight\n", risks.len() - MOST));
    }
    pen.out.push('\n');
}
