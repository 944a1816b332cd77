//! `export`: the stack's Kubernetes manifests as files, for kubectl.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::args::ExportArgs;
use crate::cli::reach::Place;
use crate::cli::source;
use crate::cli::terminal::Terminal;
use crate::diag::{Diagnostic, Diagnostics};
use crate::env::disk::{Disk, RealDisk, write_document};
use crate::env::vars::Vars;
use crate::ops::export::{self, Export, HEADER};

/// So many placeholders are named on the terminal; the files name all of them.
const NAMED: usize = 10;

pub(super) fn export(args: &ExportArgs, vars: &dyn Vars, terminal: &Terminal) -> Result<ExitCode, Diagnostics> {
    let place = Place::of(&args.stack.place, &args.stack.file);
    let wanted = source::load(&args.stack, &args.charts, vars, place.is_simulated(), place.fetches(terminal))?;
    terminal.diagnostics(&Diagnostics(wanted.warnings.clone()));
    terminal.diagnostics(&wanted.check_objects()?);
    let stack = &wanted.desired.stack;
    let export = export::manifests(&wanted.desired)?;
    if args.stdout {
        let texts = export.files.iter().map(|file| file.text.as_str());
        terminal.print(&texts.collect::<String>());
        return Ok(ExitCode::SUCCESS);
    }
    let folder = args.directory.clone().unwrap_or_else(|| PathBuf::from(format!("{stack}-manifests")));
    let own = own_files(&folder, stack, &export)?;
    for file in &export.files {
        let path = folder.join(&file.name);
        // What is there already and the same is left alone, its time of change included.
        if RealDisk.read(&path).ok().as_deref() != Some(file.text.as_bytes()) {
            write_document(&path, file.text.as_bytes()).map_err(|error| failed("write", &path, &error))?;
        }
    }
    let written = export.files.iter().map(|file| &file.name).collect::<BTreeSet<_>>();
    for name in own.iter().filter(|name| !written.contains(name)) {
        let path = folder.join(name);
        RealDisk.remove(&path).map_err(|error| failed("remove", &path, &error))?;
    }
    tell(&export, &folder, terminal);
    Ok(ExitCode::SUCCESS)
}

/// The files of an earlier export of this stack.
///
/// # Errors
/// When a file that would be written is not one of them.
fn own_files(folder: &Path, stack: &str, export: &Export) -> Result<Vec<String>, Diagnostics> {
    let header = format!("{HEADER}{stack}: ");
    let names = RealDisk.list(folder).map_err(|error| failed("read", folder, &error))?;
    let is_own = |name: &String| {
        name.ends_with(".yaml")
            && RealDisk.read(&folder.join(name)).is_ok_and(|text| text.starts_with(header.as_bytes()))
    };
    let (own, foreign): (Vec<String>, Vec<String>) = names.into_iter().partition(is_own);
    let mistakes = export.files.iter().filter(|file| foreign.contains(&file.name)).map(|file| {
        Diagnostic::error(format!("{} is not from an export of {stack}", folder.join(&file.name).display()))
            .hint("export into another folder with -d, or move the file away")
    });
    let mistakes = mistakes.collect::<Vec<_>>();
    if mistakes.is_empty() { Ok(own) } else { Err(Diagnostics(mistakes)) }
}

fn tell(export: &Export, folder: &Path, terminal: &Terminal) {
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    terminal.say(&format!("Wrote {} to {}.", count(export.files.len(), "file"), folder.display()));
    if !export.elsewhere.is_empty() {
        let names = export.elsewhere.iter().map(|address| address.as_str()).collect::<Vec<_>>();
        terminal.say(&format!("Without a manifest, and to be made otherwise: {}.", names.join(", ")));
    }
    if export.placeholders.is_empty() {
        return;
    }
    terminal.say(&format!("{} to be filled in:", count(export.placeholders.len(), "value")));
    for placeholder in export.placeholders.iter().take(NAMED) {
        terminal.say(&format!("  {}: {} is {}", placeholder.address, placeholder.path, placeholder.stands_for));
    }
    if export.placeholders.len() > NAMED {
        terminal.say(&format!("  and {} more, named at the top of the files", export.placeholders.len() - NAMED));
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Diagnostics {
    Diagnostic::error(format!("cannot {what} {}", path.display()))
        .detail(error.to_string())
        .hint("check the folder and its permissions, or name another with -d")
        .into()
}
