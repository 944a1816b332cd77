//! Causes for people: the most likely first, each with what shows it, what to do, and what goes away with it.

use crate::diagnosis::rules;
use crate::diagnosis::{Cause, Fact};
use crate::ui::paint::{Paint, count, tame, tame_line};

/// As many of what a cause explains are named.
const NAMED: usize = 4;

/// Everything that was found, as `diagnose` prints it.
pub fn causes(causes: &[Cause], paint: Paint) -> String {
    let mut out = String::new();
    for (at, cause) in causes.iter().enumerate() {
        let number = format!("{}.", at + 1);
        let heading = format!("{number:<3}{}", tame_line(&cause.sentence));
        let heading = if at == 0 { paint.bold(&paint.red(&heading)) } else { paint.bold(&heading) };
        out.push_str(&format!("{heading} {}\n", paint.dim(&format!("[{}]", cause.id))));
        out.push_str(&fact(&cause.fact, "shown by:"));
        for also in &cause.also {
            out.push_str(&fact(also, "and by:"));
        }
        out.push_str(&format!("   to do:    {}\n", tame_line(&cause.mend)));
        if let Some(command) = &cause.command {
            out.push_str(&format!("             {}\n", paint.green(&tame_line(command))));
        }
        if !cause.explains.is_empty() {
            let named = cause.explains.iter().take(NAMED).map(|words| tame_line(words)).collect::<Vec<_>>();
            let more = cause.explains.len() - named.len();
            let more = if more > 0 { format!("; {more} more") } else { String::new() };
            let things = count(cause.explains.len(), "other thing");
            out.push_str(&format!("   explains: {things}: {}{more}\n", named.join("; ")));
        }
    }
    out
}

fn fact(fact: &Fact, word: &str) -> String {
    let at = fact.at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let times = if fact.times > 1 { format!(", {} times", fact.times) } else { String::new() };
    format!(
        "   {word:<10}{}, {}{at}{times}:\n             {}\n",
        tame_line(&fact.object),
        tame_line(&fact.field),
        tame_line(&fact.says)
    )
}

/// The end of a run that has failed: the first cause, and how to see more.
pub fn first(cause: &Cause, again: &str, paint: Paint) -> String {
    format!(
        "\n{} {}\n  {}: {}\n  to do: {}\n  more:  stackwright diagnose {again}",
        paint.bold(&paint.red("Most likely cause:")),
        tame_line(&cause.sentence),
        tame_line(&cause.fact.object),
        tame_line(&cause.fact.says),
        tame_line(&cause.mend),
    )
}

/// What is not as it should be and that nothing explains.
pub fn unexplained(words: &[String], paint: Paint) -> String {
    let mut out = paint.bold("Not as it should be, for no reason that is known:\n");
    for words in words {
        out.push_str(&format!("   {}\n", tame_line(words)));
    }
    out
}

/// What could not be looked at: whatever it holds is not in the answer.
pub fn unseen(unseen: &[(String, String)], paint: Paint) -> String {
    let mut out = String::new();
    for (what, why) in unseen {
        out.push_str(&paint.yellow(&format!("Not looked at: {}: {}\n", tame(what), tame_line(why))));
    }
    out
}

/// How the page of troubles begins.
const PREFACE: &str = "\
# Troubleshooting

`stackwright diagnose` looks at everything that may say why a stack does not work: the cluster and its pools, their
operations and instance groups, pods, events, conditions and logs, quotas and rights, the state. It names causes, the most
likely first, each with the fact that shows it and what to do; what follows from a cause is folded under it. It changes
nothing. A failed `apply` ends with the first of them.

With `--json` each cause has one of the ids below; the exit code is 0 where nothing is wrong, else 1. With
`--bundle report.tar.gz` everything that was seen is packed for a report, without values of Secrets, tokens and keys: the
contents are listed before the archive is written. Look into it before you send it.

This page is made from the table of rules in `src/diagnosis/rules/`; a test compares.
";

/// docs/troubleshooting.md: every cause with its signs and what to do.
pub fn page() -> String {
    let mut page = PREFACE.to_owned();
    let rules = rules::all().collect::<Vec<_>>();
    page.push_str("\n| it looks like | cause |\n|---|---|\n");
    for rule in &rules {
        page.push_str(&format!("| {} | [{}](#{}) |\n", rule.seen, rule.title, rule.id));
    }
    for rule in rules {
        page.push_str(&format!("\n<a id=\"{}\"></a>\n## {}\n\n", rule.id, rule.title));
        page.push_str(&format!("`{}`: {}.\n\n{}\n\n", rule.id, generic(rule.sentence), rule.story));
        page.push_str(&format!("- Looks like: {}\n", rule.seen));
        page.push_str(&format!("- What to do: {}\n", generic(rule.mend)));
        if !rule.command.is_empty() {
            page.push_str(&format!("- See more: `{}`\n", generic(rule.command)));
        }
    }
    page
}

/// A sentence of a rule without anything filled in.
fn generic(text: &str) -> String {
    [
        ("{object}", "the object"),
        ("{kind}", "KIND"),
        ("{namespace}", "NAMESPACE"),
        ("{name}", "NAME"),
        ("{what}", "WHAT"),
        ("{stack}", "the stack"),
        ("{again}", "stack.toml"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}
