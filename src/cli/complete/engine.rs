//! What is being typed: follows a line along the definitions of commands. Pure; knows no stack.

use clap::{Arg, Command};

/// What can stand where the cursor is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    /// Words that are known from the definitions, with what they are.
    pub(super) words: Vec<(String, String)>,
    /// The name of the value: `ADDRESS`, `DIR`.
    pub(super) value: Option<String>,
    /// The command that it is for.
    pub(super) command: String,
    /// What stands before the value in the same word: `--target=`.
    pub(super) lead: String,
    /// What of it is typed already.
    pub(super) typed: String,
}

/// What `current` may become after the words before it.
pub(super) fn wanted(root: &Command, before: &[String], current: &str) -> Wanted {
    let mut command = root;
    let mut path = Vec::new();
    // The argument whose values come next, and how many may.
    let mut pending: Option<(&Arg, usize)> = None;
    let mut positional = 0;
    let mut only_values = false;
    for word in before {
        if let Some((argument, left)) = pending.take() {
            pending = (left > 1).then_some((argument, left - 1));
        } else if only_values {
            positional += 1;
        } else if word == "--" {
            only_values = true;
        } else if let Some(flag) = word.strip_prefix("--") {
            let (name, joined) = flag.split_once('=').map_or((flag, false), |(name, _)| (name, true));
            let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name));
            pending = argument.filter(|_| !joined).and_then(following);
        } else if let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) {
            let last = flags.chars().next_back();
            let argument = command.get_arguments().find(|argument| argument.get_short() == last);
            pending = argument.and_then(following);
        } else if let Some(below) = command.find_subcommand(word).filter(|_| positional == 0) {
            command = below;
            path.push(below.get_name());
        } else {
            positional += 1;
        }
    }
    let path = path.join(" ");
    if let Some((argument, left)) = pending {
        let all = argument.get_value_names().map_or(1, <[_]>::len);
        return value(argument, all.saturating_sub(left), path, String::new(), current);
    }
    if !only_values && let Some((name, typed)) = current.strip_prefix("--").and_then(|flag| flag.split_once('=')) {
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name));
        let lead = format!("--{name}=");
        return argument.map_or_else(Wanted::default, |argument| value(argument, 0, path, lead, typed));
    }
    if !only_values && current.starts_with('-') {
        let flags = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let flags =
            flags.filter_map(|argument| Some((format!("--{}", argument.get_long()?), help(argument.get_help()))));
        return Wanted { words: flags.collect(), command: path, typed: current.to_owned(), ..Wanted::default() };
    }
    let places = command.get_positionals().collect::<Vec<_>>();
    let place = places.get(positional).or_else(|| places.last().filter(|last| takes_many(last)));
    let mut wanted = match place {
        Some(argument) => value(argument, 0, path, String::new(), current),
        None => Wanted { command: path, typed: current.to_owned(), ..Wanted::default() },
    };
    if positional == 0 {
        let below = command.get_subcommands().filter(|below| !below.is_hide_set());
        wanted.words.extend(below.map(|below| (below.get_name().to_owned(), help(below.get_about()))));
    }
    wanted
}

/// The values that follow a flag in words of their own.
fn following(argument: &Arg) -> Option<(&Arg, usize)> {
    let takes = argument.get_action().takes_values() && !argument.is_require_equals_set();
    takes.then(|| (argument, argument.get_num_args().map_or(1, |range| range.max_values().clamp(1, 8))))
}

fn takes_many(argument: &Arg) -> bool {
    argument.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn value(argument: &Arg, at: usize, command: String, lead: String, typed: &str) -> Wanted {
    let possible = argument.get_possible_values();
    let words = possible.iter().filter(|value| !value.is_hide_set());
    let words = words.map(|value| (value.get_name().to_owned(), help(value.get_help()))).collect();
    let names = argument.get_value_names().unwrap_or_default();
    let name = names.get(at).or(names.first()).map_or_else(|| argument.get_id().to_string(), ToString::to_string);
    let value = possible.is_empty().then(|| name.to_uppercase());
    Wanted { words, value, command, lead, typed: typed.to_owned() }
}

/// The first line of a help text.
fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Wanted {
        let words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (current, before) = words.split_last().unwrap();
        wanted(&crate::cli::command(), before, current)
    }

    fn names(wanted: &Wanted) -> Vec<&str> {
        wanted.words.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_line_says_what_is_wanted() {
        assert!(names(&at("")).contains(&"apply"));
        assert!(names(&at("state ")).contains(&"rebuild") && !names(&at("state ")).contains(&"apply"));
        assert!(names(&at("-v plan --")).contains(&"--target"));
        assert!(names(&at("plan --")).contains(&"--log-format"), "flags of the program as a whole");
        let of = |line: &str| (at(line).value.unwrap_or_default(), at(line).lead, at(line).typed);
        let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(of("plan --target a"), text("ADDRESS", "", "a"));
        assert_eq!(of("plan --target=a"), text("ADDRESS", "--target=", "a"));
        assert_eq!(of("plan x.toml --sim --target b --var "), text("NAME=VALUE", "", ""));
        assert_eq!(of("graph --why a "), text("DEPENDENCY", "", ""));
        assert_eq!(of("graph --why a b "), text("STACK", "", ""));
        assert_eq!(of("forget "), text("ADDRESS", "", ""));
        assert_eq!(of("state mv a b "), text("STACK", "", ""));
        assert_eq!(of("export -d "), text("DIR", "", ""));
        assert_eq!(of("plan -- --"), text("STACK", "", "--"));
        assert_eq!(names(&at("--log-format ")), ["text", "json"]);
        assert!(names(&at("completions ")).contains(&"fish"));
    }
}
