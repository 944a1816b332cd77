//! `validate`, `fmt`, `schema`: the stack file by itself.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use crate::catalog;
use crate::cli::args::{FmtArgs, SchemaArgs, ValidateArgs};
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::cost;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::write_document;
use crate::env::vars::Vars;
use crate::event::line;
use crate::plan::dependencies;
use crate::stack;
use crate::ui::diagnostic::without_logins;
use crate::ui::plan_json;

/// The schemas there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Schema {
    /// Stack files.
    Stack,
    /// What `plan --json` and `show PLAN --json` print.
    Plan,
    /// What `show STACK --json` prints.
    State,
    /// The lines of JSON that commands write with --json and --log-format json.
    Events,
}

pub(super) fn validate(args: &ValidateArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let checked = source::load(&args.stack, &args.charts, vars, true, None).and_then(|wanted| {
        dependencies::graph(&wanted.desired).map_err(Diagnostics)?;
        let mut warnings = wanted.check_objects()?.0;
        warnings.splice(0..0, wanted.warnings.iter().cloned());
        Ok((wanted.desired.resources.len(), warnings))
    });
    if args.json {
        let diagnostics = match &checked {
            Ok((_, warnings)) => warnings,
            Err(Diagnostics(mistakes)) => mistakes,
        };
        let json = serde_json::json!({
            "valid": checked.is_ok(),
            "diagnostics": diagnostics.iter().map(json).collect::<Vec<_>>(),
        });
        terminal.print(&format!("{json:#}\n"));
        return Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let (resources, warnings) = checked?;
    terminal.diagnostics(&Diagnostics(warnings));
    terminal.say(&format!(
        "{} {} is valid: {resources} resources.",
        terminal.err.green("Success!"),
        args.stack.file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn json(diagnostic: &Diagnostic) -> serde_json::Value {
    let place = diagnostic.span.as_ref().map(|(span, label)| {
        let (line, column) = span.line_column();
        serde_json::json!({ "file": span.source.name, "line": line, "column": column, "label": without_logins(label) })
    });
    serde_json::json!({
        "severity": diagnostic.severity,
        "summary": without_logins(&diagnostic.summary),
        "detail": without_logins(&diagnostic.detail),
        "hint": diagnostic.hint.as_deref().map(without_logins),
        "address": diagnostic.address,
        "place": place,
    })
}

/// Terraform's exit code for `fmt -check` on a file that is not in canonical form.
const NOT_CANONICAL: u8 = 3;

pub(super) fn fmt(args: &FmtArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let mut different = false;
    for path in &args.files {
        let standard_input = path.as_os_str() == "-";
        let text = if standard_input {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| {
                Diagnostics::from(Diagnostic::error("cannot read standard input").detail(error.to_string()))
            })?;
            stack::source("standard input", text.into_bytes())?
        } else {
            source::read(path)?
        };
        let source = Arc::new(text);
        let formatted = stack::format::format(&source)?;
        let text = &source.text;
        let changed = formatted != *text;
        different |= changed;
        if args.diff && changed {
            let diff = similar::TextDiff::from_lines(text.as_str(), formatted.as_str());
            let name = path.display().to_string();
            terminal.print(&diff.unified_diff().header(&name, &name).to_string());
        }
        if standard_input {
            if !args.check && !args.diff {
                terminal.print(&formatted);
            }
        } else if changed {
            terminal.print(&format!("{}\n", path.display()));
            if !args.check {
                write_document(path, formatted.as_bytes()).map_err(|error| {
                    let diagnostic = Diagnostic::error(format!("cannot write {}", path.display()));
                    Diagnostics::from(diagnostic.detail(error.to_string()).hint("the file is unchanged"))
                })?;
            }
        }
    }
    Ok(ExitCode::from(if args.check && different { NOT_CANONICAL } else { 0 }))
}

pub(super) fn schema(args: &SchemaArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let text = |schema: serde_json::Value| format!("{schema:#}\n");
    terminal.print(&match args.which {
        Schema::Stack => text(stack_schema()),
        Schema::Plan => text(plan_json::plan_schema()),
        Schema::State => text(plan_json::state_schema()),
        Schema::Events => text(line::schema()),
    });
    Ok(ExitCode::SUCCESS)
}

/// The schema of stack files, with what the catalogue and the price table know.
pub(super) fn stack_schema() -> serde_json::Value {
    let mut schema = stack::schema::json_schema();
    catalog::schema::complete(&mut schema, &cost::machine_types());
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_docs_are_these_schemas() {
        let stack = include_str!("../../docs/schema/stack.schema.json");
        assert!(stack == format!("{:#}\n", stack_schema()), "run: stackwright schema > docs/schema/stack.schema.json");
        let events = include_str!("../../docs/schema/events.schema.json");
        let command = "run: stackwright schema events > docs/schema/events.schema.json";
        assert!(events == format!("{:#}\n", line::schema()), "{command}");
    }
}
