//! .helmignore: which files of a folder are no part of the chart. Order matters and a negated rule ignores what
//! it does not match, as in Helm and unlike in Git. Not for walking folders.

use super::error::{Cause, ChartError};
use super::glob::Pattern;

struct Rule {
    pattern: Pattern,
    /// Ignores what does not match.
    negated: bool,
    /// Only folders match.
    folder: bool,
    /// Matched against the whole path, not the last part.
    whole: bool,
}

/// The rules of a folder.
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    /// Reads .helmignore and adds the rule that hides dot files below templates/.
    pub(super) fn parse(text: &str) -> Result<Rules, ChartError> {
        let mut rules = Rules(Vec::new());
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        for (line, rule) in text.lines().enumerate() {
            rules
                .add(rule)
                .map_err(|message| ChartError::new(Cause::Archive, "", message).file(".helmignore").line(line + 1))?;
        }
        rules.add("templates/.?*").map_err(|message| ChartError::new(Cause::Archive, "", message))?;
        Ok(rules)
    }

    fn add(&mut self, rule: &str) -> Result<(), String> {
        let rule = rule.trim();
        if rule.is_empty() || rule.starts_with('#') {
            return Ok(());
        }
        if rule.contains("**") {
            return Err("the pattern ** is not supported here".to_owned());
        }
        let (negated, rule) = rule.strip_prefix('!').map_or((false, rule), |rest| (true, rest));
        let (folder, rule) = rule.strip_suffix('/').map_or((false, rule), |rest| (true, rest));
        let whole = rule.contains('/');
        let rule = rule.strip_prefix('/').unwrap_or(rule);
        let pattern = Pattern::shell(rule).ok_or_else(|| format!("{rule:?} is not a pattern"))?;
        self.0.push(Rule { pattern, negated, folder, whole });
        Ok(())
    }

    /// Whether the file or folder at this path is no part of the chart.
    pub(super) fn ignores(&self, path: &str, is_folder: bool) -> bool {
        for rule in &self.0 {
            let subject = if rule.whole { path } else { path.rsplit('/').next().unwrap_or(path) };
            let right_kind = is_folder || !rule.folder;
            if rule.negated {
                if !right_kind || !rule.pattern.matches(subject) {
                    return true;
                }
            } else if right_kind && rule.pattern.matches(subject) {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_apply_in_order() {
        let rules = Rules::parse("# comment\n*.swp\n/top.txt\nci/\na/b*.txt\n").unwrap();
        for (path, folder, ignored) in [
            ("x.swp", false, true),
            ("d/x.swp", false, true),
            ("top.txt", false, true),
            ("d/top.txt", false, false),
            ("ci", true, true),
            ("ci", false, false),
            ("a/bc.txt", false, true),
            ("z/a/bc.txt", false, false),
            ("templates/.hidden", false, true),
            ("templates/_x.tpl", false, false),
        ] {
            assert_eq!(rules.ignores(path, folder), ignored, "{path}");
        }
        let only = Rules::parse("!keep.txt").unwrap();
        assert!(only.ignores("x", false) && !only.ignores("keep.txt", false));
        assert_eq!(Rules::parse("a\nb**\n").err().unwrap().line, Some(2));
        assert!(Rules::parse("[z-").is_err());
    }
}
