//! `extends`: one stack file laid over another.
//!
//! Tables are merged key by key, everything else replaces. Every value keeps the place it came from, so that
//! a mistake in a base file is shown in the base file. Reads files only through a [`Loader`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diag::{Diagnostic, Diagnostics, Source, Span};
use crate::env::disk::Disk;
use crate::stack::tree::{self, Node, Tree};

/// Reads the files that a stack extends.
pub trait Loader {
    /// The text of `path` as it is written in the file named `from`.
    ///
    /// # Errors
    /// Why it cannot be read, in words for the user.
    fn load(&self, from: &str, path: &str) -> Result<Arc<Source>, String>;
}

/// Reads from a disk, relative to the file that refers.
pub struct DiskLoader<'a>(pub &'a dyn Disk);

impl Loader for DiskLoader<'_> {
    fn load(&self, from: &str, path: &str) -> Result<Arc<Source>, String> {
        let path = beside(from, path);
        let bytes = self.0.read(&path).map_err(|error| error.to_string())?;
        source(&path.display().to_string(), bytes)
            .map(Arc::new)
            .map_err(|Diagnostics(why)| why.into_iter().map(|d| d.summary).collect())
    }
}

/// Reads nothing, for stacks that are not files.
pub struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _: &str, path: &str) -> Result<Arc<Source>, String> {
        Err(format!("{path} cannot be found from here"))
    }
}

/// The path that `path`, written in the file `from`, means. `..` is taken off by name, so that one file
/// reached in two ways has one name.
pub fn beside(from: &str, path: &str) -> PathBuf {
    let joined = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
    let mut clean = PathBuf::new();
    for part in joined.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir
                if matches!(clean.components().next_back(), Some(std::path::Component::Normal(_))) =>
            {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// A source from bytes.
///
/// # Errors
/// Where the bytes are not UTF-8.
pub fn source(name: &str, bytes: Vec<u8>) -> Result<Source, Diagnostics> {
    // Editors on Windows put a byte order mark first; it is no part of the text.
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source {
            name: name.to_owned(),
            text: match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            },
        }),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Diagnostic::error(format!("{name} is not UTF-8 text"))
                .detail(format!("Line {line} holds bytes that are no characters."))
                .hint("save the file as UTF-8; if it is not a stack file, name one")
                .into())
        }
    }
}

/// The tree of `source` laid over everything that it extends. Mistakes of all files together; whether all
/// of them could be read whole.
pub(crate) fn read(source: Arc<Source>, loader: &dyn Loader) -> (Tree, Vec<Diagnostic>) {
    let (mut merged, mut mistakes) = tree::read(&source);
    let mut chain = vec![source.name.clone()];
    let mut next = extends(&merged);
    while let Some((path, span)) = next {
        let base = match loader.load(&span.source.name, &path) {
            Ok(base) => base,
            Err(why) => {
                mistakes.push(Diagnostic::error(format!("cannot read {path}: {why}")).at(span, "extended here"));
                break;
            }
        };
        chain.push(base.name.clone());
        if chain[..chain.len() - 1].contains(&base.name) {
            let circle = chain.join(" extends ");
            mistakes.push(
                Diagnostic::error(format!("{path} extends itself"))
                    .detail(format!("{circle}."))
                    .at(span, "closes the circle"),
            );
            break;
        }
        let (below, more) = tree::read(&base);
        mistakes.extend(more);
        next = extends(&below);
        merged = merge(below, merged);
    }
    (merged, mistakes)
}

/// What a file extends. A value that is no text is reported with everything else.
fn extends(tree: &Tree) -> Option<(String, Span)> {
    let value = tree.get("extends")?;
    value.text().filter(|path| !path.is_empty()).map(|path| (path.to_owned(), value.span.clone()))
}

/// `over` laid over `base`.
fn merge(base: Tree, over: Tree) -> Tree {
    match (base.node, over.node) {
        (Node::Table(mut below), Node::Table(above)) => {
            for (key, entry) in above {
                match below.remove(&key) {
                    Some(old) => {
                        let value = merge(old.value, entry.value);
                        below.insert(key, tree::Entry { key: entry.key, value });
                    }
                    None => {
                        below.insert(key, entry);
                    }
                }
            }
            Tree { span: over.span, node: Node::Table(below) }
        }
        (_, node) => Tree { span: over.span, node },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl Loader for Files {
        fn load(&self, from: &str, path: &str) -> Result<Arc<Source>, String> {
            let name = beside(from, path).display().to_string();
            let text = self.0.get(name.as_str()).ok_or("no such file")?;
            Ok(Arc::new(Source { name, text: (*text).to_owned() }))
        }
    }

    fn files(top: &str, others: &[(&'static str, &'static str)]) -> (Tree, Vec<Diagnostic>) {
        let source = Source { name: "stacks/top.toml".into(), text: top.into() };
        read(Arc::new(source), &Files(others.iter().copied().collect()))
    }

    #[test]
    fn tables_merge_and_the_rest_replaces() {
        let (tree, mistakes) = files(
            "extends = '../base.toml'\n[cluster]\nlabels = { a = '2' }\nfallback_locations = ['z']\n",
            &[(
                "base.toml",
                "name = 'n'\n[cluster]\nversion = '1'\nlabels = { a = '1', b = '1' }\nfallback_locations = ['x', 'y']\n",
            )],
        );
        assert_eq!(mistakes, []);
        let cluster = tree.get("cluster").unwrap();
        assert_eq!(cluster.get("labels").unwrap().get("a").unwrap().text(), Some("2"));
        assert_eq!(cluster.get("labels").unwrap().get("b").unwrap().text(), Some("1"));
        assert_eq!(cluster.get("version").unwrap().span.source.name, "base.toml");
        assert!(matches!(&cluster.get("fallback_locations").unwrap().node, Node::List(items) if items.len() == 1));
    }

    #[test]
    fn circles_and_missing_files_are_reported_where_they_are_written() {
        let (_, mistakes) =
            files("extends = 'a.toml'", &[("stacks/a.toml", "extends = './top.toml'"), ("stacks/top.toml", "")]);
        assert_eq!(mistakes[0].summary, "./top.toml extends itself");
        assert_eq!(mistakes[0].detail, "stacks/top.toml extends stacks/a.toml extends stacks/top.toml.");
        assert_eq!(mistakes[0].span.as_ref().unwrap().0.source.name, "stacks/a.toml");
        let (_, mistakes) = files("extends = 'gone.toml'", &[]);
        assert_eq!(mistakes[0].summary, "cannot read gone.toml: no such file");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_and_byte_order_marks_dropped() {
        assert!(source("x", vec![b'a', b'\n', 0xff]).unwrap_err().0[0].detail.starts_with("Line 2"));
        assert_eq!(source("x", "\u{feff}name".into()).unwrap().text, "name");
    }
}
