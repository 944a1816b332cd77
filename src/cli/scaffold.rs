//! `init`, `new`: what one runs once.

use std::process::ExitCode;

use clap::ValueEnum;

use crate::cli::args::{InitArgs, NewArgs};
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk, write_document};

/// The stacks that ship with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Template {
    /// One T4, upstream charts and images.
    GpuT4,
    /// One TPU v6e host, upstream charts and images.
    TpuV6e,
    /// Three T4s with cache-aware routing, upstream charts and images.
    GpuT4Production,
    /// Three TPU v6e hosts with cache-aware routing, upstream charts and images.
    TpuV6eProduction,
    /// One T4, Red Hat's distribution.
    RhaiiGpuT4,
    /// One TPU v6e host, Red Hat's distribution.
    RhaiiTpuV6e,
}

impl Template {
    fn text(self) -> &'static str {
        match self {
            Template::GpuT4 => include_str!("../../stacks/gpu-t4.toml"),
            Template::TpuV6e => include_str!("../../stacks/tpu-v6e.toml"),
            Template::GpuT4Production => include_str!("../../stacks/gpu-t4-production.toml"),
            Template::TpuV6eProduction => include_str!("../../stacks/tpu-v6e-production.toml"),
            Template::RhaiiGpuT4 => include_str!("../../stacks/rhaii-gpu-t4.toml"),
            Template::RhaiiTpuV6e => include_str!("../../stacks/rhaii-tpu-v6e.toml"),
        }
    }
}

fn unwritable(path: &std::path::Path, error: &std::io::Error) -> Diagnostics {
    Diagnostic::error(format!("cannot write {}", path.display()))
        .detail(error.to_string())
        .hint("check the folder and its permissions")
        .into()
}

/// State and keys are nobody else's business.
const IGNORE: &str = "# State, keys and simulated worlds stay on this machine.\n*\n!.gitignore\n!README.md\n";

pub(super) fn init(args: &InitArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let ignore = args.directory.join("state").join(".gitignore");
    match RealDisk.read(&ignore) {
        Ok(_) => terminal.say(&format!("{} is prepared already.", args.directory.display())),
        Err(_) => {
            write_document(&ignore, IGNORE.as_bytes()).map_err(|error| unwritable(&ignore, &error))?;
            terminal.say(&format!(
                "Prepared {}: state will be kept in state/, which git ignores.",
                args.directory.display()
            ));
        }
    }
    if RealDisk.read(&args.directory.join("stack.toml")).is_err() {
        terminal.say("Next: stackwright new, then stackwright apply --sim");
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn new(args: &NewArgs, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    if RealDisk.read(&args.file).is_ok() {
        return Err(Diagnostic::error(format!("{} is there already", args.file.display()))
            .hint("name another file")
            .into());
    }
    // The schema of the shipped stacks is found relative to this repository only.
    let text = args.template.text().lines().filter(|line| !line.starts_with("#:schema"));
    let text = text.collect::<Vec<_>>().join("\n").trim_start().to_owned() + "\n";
    // Its comments name it where it is shipped.
    let name = args.template.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let text = text.replace(&format!("stacks/{name}.toml"), &args.file.display().to_string());
    write_document(&args.file, text.as_bytes()).map_err(|error| unwritable(&args.file, &error))?;
    terminal.say(&format!("Wrote {0}. Try it without a cloud: stackwright apply {0} --sim", args.file.display()));
    Ok(ExitCode::SUCCESS)
}
