//! Exit codes and environment variables: tables.

use crate::cli::explain::{Found, no_field};
use crate::ui::explain_text::{Page, Row};

/// (code, meaning).
const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Done: everything that was asked for is so. Of a destroy: a receipt says that nothing is left."),
    (
        "1",
        "Not done, or not wholly: a mistake, a refusal, an interruption, a model that does not answer, something left behind. \
           What was done is recorded.",
    ),
    ("2", "With --detailed-exitcode, of plan and drift: there are changes. Without it never."),
    ("3", "Of fmt --check: a file is not in canonical form."),
    ("4", "Of plan, apply and destroy: the plan breaks a rule, and nothing was changed."),
];

/// (variable, meaning). Every variable that the program reads by itself; inputs may name others in a stack file.
const VARIABLES: &[(&str, &str)] = &[
    ("CI", "Set to anything: progress is plain lines, also on a terminal."),
    ("GOOGLE_APPLICATION_CREDENTIALS", "The file with the login for Google Cloud, in place of gcloud's own."),
    ("HOME", "Where gcloud's login is looked for, and the cache of charts."),
    ("HTTPS_PROXY", "A proxy for everything that goes out; NO_PROXY names what does not."),
    ("LANG", "After LC_ALL and LC_CTYPE: whether the terminal shows more than ASCII."),
    ("NO_COLOR", "Set to anything: no colours, as --no-color."),
    ("STACKWRIGHT_BUNDLE", "A folder that `lock --bundle` wrote, as --bundle."),
    ("STACKWRIGHT_CACHE", "Where fetched charts are kept; default: stackwright in XDG_CACHE_HOME, or in ~/.cache."),
    ("STACKWRIGHT_CHARTS", "A folder with archives of charts, looked into before anything is fetched."),
    ("STACKWRIGHT_COMPLETE", "Set by completion scripts while they ask for candidates."),
    ("STACKWRIGHT_KEY", "The stack key, as \"base64:...\", in place of the file beside the state."),
    (
        "STACKWRIGHT_VAR_*",
        "The value of the input of that name: STACKWRIGHT_VAR_project. After --var and --var-file, before the \
                           input's own variable.",
    ),
    ("TERM", "`dumb` means neither colours nor redrawing."),
    ("XDG_CACHE_HOME", "Where caches are, see STACKWRIGHT_CACHE."),
];

/// (name, what the table is, the table).
type Table = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const TABLES: &[Table] = &[
    ("exit-codes", "What the program's exit code says.", EXIT_CODES),
    ("environment", "Variables that the program reads.", VARIABLES),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, ..)| *name)
}

pub(super) fn find(topic: &str) -> Option<Found> {
    let (first, rest) = topic.split_once('.').unwrap_or((topic, ""));
    let (name, text, table) = TABLES.iter().find(|(name, ..)| *name == first)?;
    if rest.is_empty() {
        let fields = table.iter().map(|(name, text)| Row {
            name: (*name).to_owned(),
            kind: String::new(),
            text: (*text).to_owned(),
        });
        let (name, text, fields) = ((*name).to_owned(), (*text).to_owned(), fields.collect());
        return Some(Ok(Page { name, text, fields, ..Page::default() }));
    }
    let row = table
        .iter()
        .find(|(name, _)| *name == rest || name.strip_suffix('*').is_some_and(|prefix| rest.starts_with(prefix)));
    Some(match row {
        Some((_, text)) => Ok(Page { name: rest.to_owned(), text: (*text).to_owned(), ..Page::default() }),
        None => Err(no_field(name, rest, table.iter().map(|(name, _)| *name))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_ours_is_explained() {
        fn walk(folder: &std::path::Path, found: &mut std::collections::BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let quoted = text.split('"').filter(|word| word.starts_with("STACKWRIGHT_"));
                    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                    found.extend(quoted.filter(is_name).map(str::to_owned));
                }
            }
        }
        let mut found = std::collections::BTreeSet::new();
        walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.contains("STACKWRIGHT_CACHE"), "{found:?}");
        for name in found {
            // What scripts for clients of the simulator set, and tests.
            let ours = !matches!(
                name.as_str(),
                "STACKWRIGHT_" | "STACKWRIGHT_SIM_URL" | "STACKWRIGHT_HELM" | "STACKWRIGHT_LONG"
            );
            assert!(!ours || find(&format!("environment.{name}")).unwrap().is_ok(), "{name} is not explained");
        }
    }
}
