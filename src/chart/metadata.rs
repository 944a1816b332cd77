//! Chart.yaml: what a chart says of itself, and the checks that Helm makes on it. Not for finding the
//! dependencies it names.

use std::collections::BTreeMap;

use super::error::{Cause, ChartError};
use crate::template::{Version, yaml};
use crate::value::Value;

/// Somebody who looks after a chart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintainer {
    /// Their name.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// Where to look.
    pub url: String,
}

/// What a chart imports from the values of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Import {
    /// Everything below `exports.<name>` of the dependency, at the top of the chart's own values.
    Exported(String),
    /// A table of the dependency, at a place of the chart's own values.
    Table {
        /// Where it stands in the dependency.
        child: String,
        /// Where it goes.
        parent: String,
    },
}

/// A chart that another one needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependency {
    /// Its name.
    pub name: String,
    /// The versions that fit.
    pub version: String,
    /// Where it comes from.
    pub repository: String,
    /// Values that switch it on or off, separated by commas; the first that is there counts.
    pub condition: String,
    /// Names under `tags` that switch it on or off.
    pub tags: Vec<String>,
    /// What is imported from its values.
    pub imports: Vec<Import>,
    /// Another name for it, so that it can be there more than once.
    pub alias: String,
}

/// What a chart says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `v1` or `v2`.
    pub api_version: String,
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The version of what it installs.
    pub app_version: String,
    /// One sentence.
    pub description: String,
    /// `application`, `library` or nothing, which means the former.
    pub kind: String,
    /// The Kubernetes versions that fit.
    pub kube_version: String,
    /// A picture's address.
    pub icon: String,
    /// The project's address.
    pub home: String,
    /// Addresses of source code.
    pub sources: Vec<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Who looks after it.
    pub maintainers: Vec<Maintainer>,
    /// Anything else.
    pub annotations: BTreeMap<String, String>,
    /// Unused, kept for templates that print it.
    pub condition: String,
    /// Unused, kept for templates that print it.
    pub tags: String,
    /// Whether nobody should use it any more.
    pub deprecated: bool,
    /// The charts that it needs.
    pub dependencies: Vec<Dependency>,
}

impl Metadata {
    /// Reads Chart.yaml.
    ///
    /// # Errors
    /// Where it is not YAML or says what no chart may say.
    pub fn read(text: &str) -> Result<Metadata, ChartError> {
        let mut metadata = Metadata::default();
        metadata.fill("Chart.yaml", text)?;
        if metadata.api_version.is_empty() {
            "v1".clone_into(&mut metadata.api_version);
        }
        Ok(metadata)
    }

    /// Reads requirements.yaml of older charts, whose fields add to those of Chart.yaml.
    ///
    /// # Errors
    /// As [`Metadata::read`].
    pub fn read_requirements(&mut self, text: &str) -> Result<(), ChartError> {
        self.fill("requirements.yaml", text)
    }

    fn fill(&mut self, file: &'static str, text: &str) -> Result<(), ChartError> {
        let refuse = |message: String| ChartError::new(Cause::Metadata, "", message).file(file);
        let value = yaml::read(text).map_err(|error| refuse(error.message.clone()).line(error.line))?;
        let map = match value {
            Value::Map(map) => map,
            Value::Null => return Ok(()),
            _ => return Err(refuse("not a map of fields".to_owned())),
        };
        for (key, value) in &map {
            let wrong = |wanted: &str| refuse(format!("the field {key} must be {wanted}"));
            let one = |slot: &mut String| match text_of(value) {
                Some(text) => {
                    *slot = text;
                    Ok(())
                }
                None if *value == Value::Null => Ok(()),
                None => Err(wrong("a text")),
            };
            match key.as_str() {
                "apiVersion" => one(&mut self.api_version)?,
                "name" => one(&mut self.name)?,
                "version" => one(&mut self.version)?,
                "appVersion" => one(&mut self.app_version)?,
                "description" => one(&mut self.description)?,
                "type" => one(&mut self.kind)?,
                "kubeVersion" => one(&mut self.kube_version)?,
                "icon" => one(&mut self.icon)?,
                "home" => one(&mut self.home)?,
                "condition" => one(&mut self.condition)?,
                "tags" => one(&mut self.tags)?,
                "sources" => self.sources = texts(value).ok_or_else(|| wrong("a list of texts"))?,
                "keywords" => self.keywords = texts(value).ok_or_else(|| wrong("a list of texts"))?,
                "deprecated" => match value {
                    Value::Bool(truth) => self.deprecated = *truth,
                    Value::Null => {}
                    _ => return Err(wrong("true or false")),
                },
                "annotations" => match value {
                    Value::Map(map) => {
                        let pairs = map.iter().map(|(k, v)| Some((k.clone(), null_text(v)?)));
                        self.annotations = pairs.collect::<Option<_>>().ok_or_else(|| wrong("a map of texts"))?;
                    }
                    Value::Null => {}
                    _ => return Err(wrong("a map of texts")),
                },
                "maintainers" => {
                    let items = list(value).ok_or_else(|| wrong("a list"))?;
                    self.maintainers =
                        items.iter().map(maintainer).collect::<Option<_>>().ok_or_else(|| wrong("a list of maps"))?;
                }
                "dependencies" => {
                    let items = list(value).ok_or_else(|| wrong("a list"))?;
                    self.dependencies = items.iter().map(dependency).collect::<Result<_, _>>().map_err(refuse)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The checks that Helm makes, and its cleaning of texts.
    ///
    /// # Errors
    /// The first violation.
    pub fn check(&mut self) -> Result<(), ChartError> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            tidy(text);
        }
        self.sources.iter_mut().for_each(tidy);
        self.keywords.iter_mut().for_each(tidy);
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(tidy);
        }
        let name = self.name.clone();
        let refuse = |message: String| ChartError::new(Cause::Metadata, name.clone(), message).file("Chart.yaml");
        if !matches!(self.api_version.as_str(), "v1" | "v2") {
            return Err(refuse(format!("the apiVersion {:?} is not supported", self.api_version))
                .hint("charts of apiVersion v1 and v2 can be used"));
        }
        if self.name.is_empty() {
            return Err(refuse("the chart has no name".to_owned()));
        }
        if matches!(self.name.as_str(), "." | "..") || self.name.contains('/') {
            return Err(refuse(format!("{:?} cannot be the name of a chart", self.name)));
        }
        if self.version.is_empty() {
            return Err(refuse("the chart has no version".to_owned()));
        }
        if Version::loose(&self.version).is_none() {
            return Err(refuse(format!("the version {:?} is not a semantic version", self.version)));
        }
        if !matches!(self.kind.as_str(), "" | "application" | "library") {
            return Err(refuse(format!("the type {:?} is neither application nor library", self.kind)));
        }
        let mut names = Vec::new();
        for dependency in &mut self.dependencies {
            for text in
                [&mut dependency.name, &mut dependency.version, &mut dependency.repository, &mut dependency.condition]
            {
                tidy(text);
            }
            dependency.tags.iter_mut().for_each(tidy);
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if !dependency.alias.chars().all(plain) {
                return Err(refuse(format!(
                    "the dependency {:?} has the alias {:?} with letters that none may have",
                    dependency.name, dependency.alias
                )));
            }
            let name = dependency.shown().to_owned();
            if names.contains(&name) {
                return Err(refuse(format!("more than one dependency with the name or alias {name:?}"))
                    .hint("give each one an alias"));
            }
            names.push(name);
        }
        Ok(())
    }
}

impl Dependency {
    /// The name it goes by in the chart: the alias where it has one.
    pub fn shown(&self) -> &str {
        if self.alias.is_empty() { &self.name } else { &self.alias }
    }
}

/// White space becomes blanks, and what cannot be printed goes.
fn tidy(text: &mut String) {
    if text.bytes().any(|b| b.is_ascii_control() || !b.is_ascii()) {
        let clean = |c: char| match c {
            c if c.is_whitespace() => Some(' '),
            c if c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{FEFF}') => None,
            c => Some(c),
        };
        *text = text.chars().filter_map(clean).collect();
    }
}

/// A scalar as the text that a text field makes of it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn null_text(value: &Value) -> Option<String> {
    if *value == Value::Null { Some(String::new()) } else { text_of(value) }
}

fn list(value: &Value) -> Option<&[Value]> {
    if *value == Value::Null { Some(&[]) } else { value.as_list() }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    list(value)?.iter().map(null_text).collect()
}

fn maintainer(value: &Value) -> Option<Maintainer> {
    value.as_map()?;
    let field = |name| value.get(name).map_or(Some(String::new()), null_text);
    Some(Maintainer { name: field("name")?, email: field("email")?, url: field("url")? })
}

fn dependency(value: &Value) -> Result<Dependency, String> {
    if value.as_map().is_none() {
        return Err("dependencies must be a list of maps".to_owned());
    }
    let field = |name: &str| {
        value.get(name).map_or(Some(String::new()), null_text).ok_or_else(|| {
            let of = value.get("name").and_then(Value::as_str).unwrap_or("without a name");
            format!("the field {name} of the dependency {of} must be a text")
        })
    };
    let name = field("name")?;
    let wrong = |what: &str| format!("the field {what} of the dependency {name} must be a list");
    let tags = value.get("tags").map_or(Some(Vec::new()), texts).ok_or_else(|| wrong("tags"))?;
    let imports = value.get("import-values").map_or(Some(&[][..]), list).ok_or_else(|| wrong("import-values"))?;
    let imports = imports.iter().filter_map(|import| match import {
        Value::String(name) => Some(Import::Exported(name.clone())),
        Value::Map(map) => {
            // What is left out is named as Go prints it, and so never found.
            let end = |name: &str| map.get(name).and_then(text_of).unwrap_or_else(|| "<nil>".to_owned());
            Some(Import::Table { child: end("child"), parent: end("parent") })
        }
        _ => None,
    });
    Ok(Dependency {
        version: field("version")?,
        repository: field("repository")?,
        condition: field("condition")?,
        alias: field("alias")?,
        tags,
        imports: imports.collect(),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Metadata, ChartError> {
        let mut metadata = Metadata::read(text)?;
        metadata.check()?;
        Ok(metadata)
    }

    #[test]
    fn fields_are_read_as_texts() {
        let metadata = read(
            "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 1.20\nannotations: {a: true}\n\
             dependencies:\n- name: db\n  version: '>1'\n  import-values: [data, {child: a, parent: b}]\n  alias: store\n",
        )
        .unwrap();
        assert_eq!((metadata.app_version.as_str(), metadata.annotations["a"].as_str()), ("1.2", "true"));
        assert_eq!(metadata.dependencies[0].shown(), "store");
        assert_eq!(metadata.dependencies[0].imports.len(), 2);
        assert_eq!(Metadata::read("name: x\nversion: 1.0.0\n").unwrap().api_version, "v1");
    }

    #[test]
    fn mistakes_are_named() {
        let start = "apiVersion: v2\nname: web\nversion: 1.2.3\n";
        for (text, message) in [
            ("apiVersion: v2\nversion: 1.0.0\n".to_owned(), "has no name"),
            ("apiVersion: v2\nname: a/b\nversion: 1.0.0\n".to_owned(), "cannot be the name"),
            ("apiVersion: v9\nname: a\nversion: 1.0.0\n".to_owned(), "\"v9\" is not supported"),
            ("apiVersion: v2\nname: a\n".to_owned(), "has no version"),
            ("apiVersion: v2\nname: a\nversion: one\n".to_owned(), "not a semantic version"),
            (format!("{start}type: other\n"), "neither application nor library"),
            (format!("{start}dependencies: [{{name: a}}, {{name: a}}]\n"), "more than one dependency"),
            (format!("{start}dependencies: [{{name: a, alias: b.c}}]\n"), "that none may have"),
            (format!("{start}description: [1]\n"), "must be a text"),
            ("a: [".to_owned(), ""),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
