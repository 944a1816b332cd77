//! What a page of documentation holds: fenced blocks, and the commands in them with what they print. Runs nothing.

use std::fmt::Write as _;

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// Document and line.
    pub at: String,
    /// What stands after the fence.
    pub language: String,
    /// What stands within.
    pub lines: Vec<String>,
}

/// A command, what it prints and how it ends.
#[derive(Debug)]
pub struct Step {
    /// Document and line of its block.
    pub at: String,
    /// For the shell.
    pub command: String,
    /// Lines that its output must have.
    pub shown: Vec<String>,
    /// Its exit code.
    pub exit: i32,
}

/// The fenced blocks of a text, with the places that they are at.
pub fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut lines = text.lines().enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let inner = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim_start() != "```");
        let lines = inner.map(str::to_owned).collect();
        found.push(Block { at: format!("{document}:{}", number + 1), language: language.to_owned(), lines });
    }
    found
}

/// The commands of a block: continued lines and texts that a command reads (`<<'EOF'`) belong to it.
pub fn steps(block: &Block) -> Vec<Step> {
    let console = block.language == "console";
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = block.lines.iter();
    while let Some(line) = lines.next() {
        let command = if console { line.strip_prefix("$ ") } else { Some(line.as_str()) };
        let Some(command) = command else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("{}: output before a command", block.at));
            match line.strip_prefix("[exit ").and_then(|code| code.strip_suffix(']')) {
                Some(code) => step.exit = code.parse().expect("a number"),
                None => step.shown.push(line.clone()),
            }
            continue;
        };
        if command.trim().is_empty() || command.starts_with('#') {
            continue;
        }
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            write!(command, "\n{}", lines.next().expect("the rest of the line")).expect("memory");
        }
        let end = command.split_once("<<'").and_then(|(_, rest)| Some(rest.split_once('\'')?.0.to_owned()));
        if let Some(end) = end {
            for line in lines.by_ref() {
                write!(command, "\n{line}").expect("memory");
                if *line == end {
                    break;
                }
            }
        }
        steps.push(Step { at: block.at.clone(), command, shown: Vec::new(), exit: 0 });
    }
    steps
}
