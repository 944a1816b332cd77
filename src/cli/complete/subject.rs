//! What there is of the stack that a line names, or of `stack.toml`: addresses, outputs, inputs, serials, files.
//!
//! What cannot be read gives no candidates: a shell is no place for messages, and the network is not asked.

use std::path::{Path, PathBuf};

use crate::address::Address;
use crate::cli::args::{BundleArgs, PlaceArgs, StackArgs};
use crate::cli::complete::engine::Wanted;
use crate::cli::kept::Kept;
use crate::cli::reach::Place;
use crate::cli::terminal::Terminal;
use crate::cli::{explain, source};
use crate::env::vars::ProcessVars;
use crate::state::history;
use crate::state::model::State;

/// Leaves it to the shell to offer files, or folders.
const FILES: &str = ":files";
const FOLDERS: &str = ":directories";

/// The stack of a line.
pub(super) struct Subject {
    args: StackArgs,
}

impl Subject {
    /// Of the words that were typed already.
    pub(super) fn of_line(words: &[String]) -> Self {
        let flag = |name: &str| {
            let joined = format!("{name}=");
            let after = words.iter().skip_while(|word| *word != name).nth(1).cloned();
            after.or_else(|| words.iter().find_map(|word| Some(word.strip_prefix(&joined)?.to_owned())))
        };
        let is_stack =
            |word: &&String| Path::new(word).extension().is_some_and(|end| end == "toml") && Path::new(word).is_file();
        let file = flag("--stack").or_else(|| words.iter().find(is_stack).cloned());
        let sim = words.iter().any(|word| word.split('=').next() == Some("--sim")).then(String::new);
        let place = PlaceArgs { sim, world: flag("--world").map(PathBuf::from) };
        let file = file.map_or_else(|| "stack.toml".into(), PathBuf::from);
        Subject { args: StackArgs { file, place, ..StackArgs::default() } }
    }

    /// The lines that a script reads.
    pub(super) fn answer(&self, wanted: &Wanted) -> String {
        let mut lines = Vec::new();
        let mut offer = |word: &str, text: &str| {
            if word.starts_with(&wanted.typed) {
                let tab = if text.is_empty() { "" } else { "\t" };
                lines.push(format!("{}{word}{tab}{text}", wanted.lead));
            }
        };
        wanted.words.iter().for_each(|(word, text)| offer(word, text));
        let mut found = self.values(wanted);
        found.sort();
        found.dedup();
        let shell = [FILES, FOLDERS];
        found.iter().filter(|word| !shell.contains(&word.as_str())).for_each(|word| offer(word, ""));
        // Files are offered where there is nothing better.
        if lines.is_empty() {
            lines.extend(found.into_iter().filter(|word| shell.contains(&word.as_str())));
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn values(&self, wanted: &Wanted) -> Vec<String> {
        let of_state = matches!(wanted.command.as_str(), "forget" | "state show" | "state mv" | "state rm");
        match wanted.value.as_deref() {
            Some("ADDRESS" | "DEPENDENT" | "DEPENDENCY" | "FROM") => self.addresses(!of_state),
            Some("OUTPUT") => self.state().map(|state| state.outputs.into_keys().collect()).unwrap_or_default(),
            Some("NAME=VALUE") => self.inputs(),
            Some("SERIAL") => self.serials(),
            Some("TOPIC") => explain::beginnings(),
            Some("STACK") => stacks(&wanted.typed),
            Some("DIR" | "DIRECTORY") => vec![FOLDERS.to_owned()],
            Some("FILE" | "FILES" | "PATH" | "CHART") => vec![FILES.to_owned()],
            _ => Vec::new(),
        }
    }

    fn kept(&self) -> Option<Kept> {
        let place = Place::of(&self.args.place, &self.args.file);
        let wanted = source::leaving(&self.args, &ProcessVars, true).ok()?;
        // A store is far away.
        Kept::of(&self.args, &place, &wanted.stack).ok().filter(|kept| matches!(kept, Kept::Local(_)))
    }

    fn state(&self) -> Option<State> {
        self.kept()?.read_as_it_is(&Terminal::silent()).ok()
    }

    /// Addresses and components of the state, and of the stack file if that counts.
    fn addresses(&self, of_stack: bool) -> Vec<String> {
        let state = self.state().map(|state| state.resources).unwrap_or_default();
        let mut found = state.into_values().map(|recorded| recorded.address).collect::<Vec<_>>();
        if of_stack {
            let wanted = source::load(&self.args, &BundleArgs::default(), &ProcessVars, true, None);
            found.extend(
                wanted.into_iter().flat_map(|wanted| wanted.desired.resources).map(|resource| resource.address),
            );
            // A component stands for all that is in it.
            let components = found.iter().map(|address| Address::new(address.component())).collect::<Vec<_>>();
            found.extend(components);
        }
        found.iter().map(Address::to_string).collect()
    }

    /// Each with the sign that its value follows.
    fn inputs(&self) -> Vec<String> {
        let loaded = source::stack(&self.args.file, &self.args.inputs, &ProcessVars, true);
        let names = |loaded: crate::stack::Loaded| loaded.stack.inputs.keys().map(|name| format!("{name}=")).collect();
        loaded.map(names).unwrap_or_default()
    }

    fn serials(&self) -> Vec<String> {
        let chapters = self.kept().and_then(|kept| kept.chapters().ok()).unwrap_or_default();
        history::runs(&chapters).iter().map(|run| run.serial.to_string()).collect()
    }
}

/// Stack files in the folder that is typed, and the folders in it; else any file: a saved plan may have any name.
fn stacks(typed: &str) -> Vec<String> {
    let (folder, lead) = match typed.rsplit_once('/') {
        Some((folder, _)) => (if folder.is_empty() { "/" } else { folder }, format!("{folder}/")),
        None => (".", String::new()),
    };
    let mut found = vec![FILES.to_owned()];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.path().is_dir();
        let is_hidden = name.starts_with('.');
        if !is_hidden && (is_folder || name.ends_with(".toml")) {
            found.push(format!("{lead}{name}{}", if is_folder { "/" } else { "" }));
        }
    }
    found
}
