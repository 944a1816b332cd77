//! `explain`: what a key of a stack file, an attribute of a kind, a field of a Kubernetes object, a variable or an exit
//! code is. One file per place that knows.

mod kinds;
mod kubernetes;
mod stack;
mod words;

use std::process::ExitCode;

use crate::cli::args::ExplainArgs;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::env::vars::Vars;
use crate::ui::explain_text::{Page, Row, page};

/// Something that can be explained, or why not.
type Found = Result<Page, Diagnostic>;

pub(super) fn explain(args: &ExplainArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let Some(topic) = &args.topic else {
        terminal.print(&page(&contents(), terminal.out));
        return Ok(ExitCode::SUCCESS);
    };
    // Only what Kubernetes is asked about needs the stack, for the definitions that it installs.
    let found = words::find(topic).or_else(|| kinds::find(topic)).or_else(|| stack::find(topic));
    let found = match found {
        Some(found) => found,
        None => kubernetes::find(topic, &args.stack, &args.charts, vars)?.unwrap_or_else(|| Err(unknown(topic))),
    };
    terminal.print(&page(&found.map_err(Diagnostics::from)?, terminal.out));
    Ok(ExitCode::SUCCESS)
}

/// Everything that a topic can begin with, for completions: without what a stack installs.
pub(super) fn beginnings() -> Vec<String> {
    let known = words::names().chain(kinds::names()).chain(kubernetes::names()).map(str::to_owned);
    known.chain(stack::names()).collect()
}

fn contents() -> Page {
    let row = |name: &str, text: &str| Row { name: name.to_owned(), kind: String::new(), text: text.to_owned() };
    let keys = stack::names().join(", ");
    let kinds = kinds::names().collect::<Vec<_>>().join(", ");
    Page {
        name: "explain".to_owned(),
        text: "Name a topic, and a field of it after a dot: stackwright explain node_pools.accelerator".to_owned(),
        fields: vec![
            row("Keys of stack files", &keys),
            row("Kinds of resources", &kinds),
            row(
                "Objects of Kubernetes",
                "any kind that is built in or that the stack installs: deployment.spec.replicas",
            ),
            row("Words", &words::names().collect::<Vec<_>>().join(", ")),
        ],
        ..Page::default()
    }
}

fn unknown(topic: &str) -> Diagnostic {
    let first = topic.split('.').next().unwrap_or_default();
    let known = beginnings();
    let diagnostic = Diagnostic::error(format!("nothing is known of {topic}"));
    match suggest(&first.to_lowercase(), known.iter().map(String::as_str)) {
        Some(other) => diagnostic.hint(format!("did you mean {other}?")),
        None => diagnostic.hint("`stackwright explain` lists what there is; definitions of a stack need its file"),
    }
}

/// There is no such field below that.
fn no_field<'a>(of: &str, field: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let known = known.into_iter().collect::<Vec<_>>();
    let diagnostic = Diagnostic::error(format!("{of} has no {field}"));
    match suggest(field, known.iter().copied()) {
        Some(other) => diagnostic.hint(format!("did you mean {of}.{other}?")),
        None if known.is_empty() => diagnostic.hint(format!("{of} has nothing below it")),
        None => diagnostic.hint(format!("`stackwright explain {of}` lists what it has")),
    }
}
