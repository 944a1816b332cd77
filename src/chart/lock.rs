//! The lock file beside a stack: which charts and manifests it was made with, to the byte.
//!
//! A model and its codec, both pure. What is fetched for it and when is for [`super::source`] and `ops`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::chart::reference::Wanted;
use crate::template::{Constraint, Version};

/// The format that is written, and the newest that is read.
const FORMAT: u64 = 1;

const HEAD: &str = "\
# Which charts and manifests this stack is made with, to the byte: stackwright plans and applies nothing else.
# Commit it with the stack. `stackwright lock` completes it, `lock --upgrade` renews it, `lock --check` compares
# it with what is published. Not for editing by hand.
";

/// A stack's lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// What charts are told about the cluster.
    pub capabilities: Option<LockedCapabilities>,
    /// What is locked, by [`Wanted::id`].
    pub entries: BTreeMap<String, Entry>,
}

/// What charts are told about the cluster, so that the second plan equals the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedCapabilities {
    /// The Kubernetes version: `1.34` or `1.34.1`, without a `v`.
    pub kubernetes: String,
    /// Group and version, and group, version and kind, of what the cluster serves: `apps/v1`, `apps/v1/Deployment`.
    pub apis: BTreeSet<String>,
}

/// One chart or set of manifests, to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it comes from, as [`super::Reference`] is written.
    pub reference: String,
    /// The version or range that the stack asked for.
    pub requested: Option<String>,
    /// The version that it was then; manifests have one only where the stack names it.
    pub version: Option<String>,
    /// `sha256:…` of the archive or of the manifests' text.
    pub digest: String,
    /// How many bytes these are.
    pub size: u64,
    /// The address that it was had from, where the reference does not tell: what an index names.
    pub address: Option<String>,
    /// The commit, where it comes from Git and the host said so.
    pub commit: Option<String>,
}

/// How something that a stack wants stands with the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Locked, and what the stack asks for.
    Locked(&'a Entry),
    /// Locked, but the stack asks for something else by now.
    Changed(&'a Entry, String),
    /// Not locked.
    Missing,
}

/// A lock file that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Damaged {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Where the lock of a stack file is: `stacks/a.toml` has `stacks/a.lock`.
pub fn path(stack_file: &Path) -> PathBuf {
    stack_file.with_extension("lock")
}

/// Whether `version` is what `requested` asks for: the very same text, or within the range.
pub fn satisfies(requested: Option<&str>, version: Option<&str>) -> bool {
    let (Some(requested), version) = (requested, version) else { return true };
    let Some(version) = version else { return false };
    requested == version
        || match (Constraint::parse(requested), Version::loose(version)) {
            (Ok(constraint), Some(version)) => constraint.allows(&version),
            _ => false,
        }
}

/// Whether a text is `sha256:` and 64 digits.
pub fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Lock {
    /// How `wanted` stands. What lies beside the stack is never locked, so only ask for what is remote.
    pub fn standing(&self, wanted: &Wanted) -> Standing<'_> {
        let Some(entry) = self.entries.get(&wanted.id) else { return Standing::Missing };
        let reference = wanted.reference.to_string();
        if entry.reference != reference {
            return Standing::Changed(
                entry,
                format!("it is locked from {}, and wanted from {reference}", entry.reference),
            );
        }
        if let Some(digest) = wanted.digest.as_ref().filter(|digest| **digest != entry.digest) {
            return Standing::Changed(entry, format!("it is locked with {}, and wanted with {digest}", entry.digest));
        }
        if entry.requested != wanted.version && !satisfies(wanted.version.as_deref(), entry.version.as_deref()) {
            let locked = entry.version.as_deref().unwrap_or("no version");
            let asked = wanted.version.as_deref().unwrap_or("the newest");
            return Standing::Changed(entry, format!("{locked} is locked, and {asked} is wanted"));
        }
        Standing::Locked(entry)
    }

    /// The ids that are locked and that nothing wants.
    pub fn superfluous<'a>(&'a self, wanted: &[Wanted]) -> Vec<&'a str> {
        let ids = wanted.iter().filter(|wanted| wanted.is_remote()).map(|wanted| wanted.id.as_str());
        let ids = ids.collect::<BTreeSet<_>>();
        self.entries.keys().map(String::as_str).filter(|id| !ids.contains(id)).collect()
    }

    /// The file's text: same lock, same bytes.
    pub fn encode(&self) -> String {
        let mut text = String::from(HEAD);
        let mut put = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a String takes everything");
        put(format_args!("format = {FORMAT}\n"));
        if let Some(capabilities) = &self.capabilities {
            put(format_args!("\n[capabilities]\nkubernetes = {}\napis = [\n", quoted(&capabilities.kubernetes)));
            for api in &capabilities.apis {
                put(format_args!("  {},\n", quoted(api)));
            }
            put(format_args!("]\n"));
        }
        for (id, entry) in &self.entries {
            put(format_args!("\n[[source]]\nid = {}\n", quoted(id)));
            put(format_args!("reference = {}\n", quoted(&entry.reference)));
            let optional = [
                ("requested", &entry.requested),
                ("version", &entry.version),
                ("address", &entry.address),
                ("commit", &entry.commit),
            ];
            for (key, value) in optional {
                if let Some(value) = value {
                    put(format_args!("{key} = {}\n", quoted(value)));
                }
            }
            put(format_args!("digest = {}\nsize = {}\n", quoted(&entry.digest), entry.size));
        }
        text
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn decode(text: &str) -> Result<Lock, Damaged> {
        let line = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
        let damaged = |at: usize, what: String| Damaged { line: line(at), what };
        let head = toml::from_str::<Head>(text).map_err(|error| unreadable(&error, line))?;
        match head.format {
            Some(format) if *format.get_ref() > FORMAT => {
                let what = format!("format {} was written by a newer stackwright", format.get_ref());
                return Err(damaged(format.span().start, what));
            }
            Some(format) if *format.get_ref() == 0 => {
                return Err(damaged(format.span().start, "format 0 was never written".to_owned()));
            }
            Some(_) => {}
            None => return Err(damaged(0, "the key `format` is missing".to_owned())),
        }
        let file = toml::from_str::<File>(text).map_err(|error| unreadable(&error, line))?;
        let mut lock = Lock { capabilities: None, entries: BTreeMap::new() };
        if let Some(capabilities) = file.capabilities {
            let kubernetes = capabilities.kubernetes;
            if Version::loose(kubernetes.get_ref()).is_none() {
                let what = format!("{} is no version of Kubernetes", quoted(kubernetes.get_ref()));
                return Err(damaged(kubernetes.span().start, what));
            }
            let apis = capabilities.apis.into_iter().collect();
            lock.capabilities = Some(LockedCapabilities { kubernetes: kubernetes.into_inner(), apis });
        }
        for source in file.source {
            let (id, digest) = (source.id, source.digest);
            if !is_digest(digest.get_ref()) {
                let what = format!("{} is no digest", quoted(digest.get_ref()));
                return Err(damaged(digest.span().start, what));
            }
            let at = id.span().start;
            let entry = Entry {
                reference: source.reference,
                requested: source.requested,
                version: source.version,
                digest: digest.into_inner(),
                size: source.size,
                address: source.address,
                commit: source.commit,
            };
            let id = id.into_inner();
            if lock.entries.contains_key(&id) {
                return Err(damaged(at, format!("{} is there twice", quoted(&id))));
            }
            lock.entries.insert(id, entry);
        }
        Ok(lock)
    }
}

fn unreadable(error: &toml::de::Error, line: impl Fn(usize) -> usize) -> Damaged {
    let what = error.message().lines().next().unwrap_or("not TOML").to_owned();
    Damaged { line: line(error.span().map_or(0, |span| span.start)), what }
}

#[derive(Deserialize)]
struct Head {
    format: Option<Spanned<u64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: u64,
    capabilities: Option<CapabilitiesTable>,
    #[serde(default)]
    source: Vec<SourceTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CapabilitiesTable {
    kubernetes: Spanned<String>,
    #[serde(default)]
    apis: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    id: Spanned<String>,
    reference: String,
    requested: Option<String>,
    version: Option<String>,
    digest: Spanned<String>,
    size: u64,
    address: Option<String>,
    commit: Option<String>,
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => write!(out, "\\u{:04X}", u32::from(c)).expect("a String takes everything"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::reference::{Reference, as_is};

    fn digest(of: u8) -> String {
        format!("sha256:{}", format!("{of:02x}").repeat(32))
    }

    fn sample() -> Lock {
        let entry = |reference: &str, version: Option<&str>, of: u8| Entry {
            reference: reference.to_owned(),
            requested: version.map(|_| "~1.30".to_owned()),
            version: version.map(str::to_owned),
            digest: digest(of),
            size: 12345,
            address: version.map(|version| format!("https://a.example/x-{version}.tgz")),
            commit: None,
        };
        let git =
            Entry { commit: Some("0123abcd".to_owned()), ..entry("git+https://github.com/o/r//c?ref=v1", None, 3) };
        Lock {
            capabilities: Some(LockedCapabilities {
                kubernetes: "1.34".to_owned(),
                apis: ["v1", "apps/v1"].map(str::to_owned).into(),
            }),
            entries: BTreeMap::from([
                ("addons.istio/istiod".to_owned(), entry("https://a.example/charts#istiod", Some("1.30.3"), 1)),
                ("manifests.crds".to_owned(), entry("https://a.example/crds.yaml", None, 2)),
                ("charts.\"odd\"\u{1}".to_owned(), git),
            ]),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = sample().encode();
        assert_eq!(Lock::decode(&text), Ok(sample()), "{text}");
        assert_eq!(Lock::decode(&text).map(|lock| lock.encode()), Ok(text));
        let empty = Lock::default();
        assert_eq!(Lock::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let text = sample().encode();
        let line_of = |needle: &str| text.lines().position(|line| line.contains(needle)).expect("there") + 1;
        for (from, to, what) in [
            ("format = 1", "format = 2", "newer stackwright"),
            ("format = 1", "", "`format` is missing"),
            ("size = 12345", "size = -1", "invalid value"),
            ("size = 12345", "weight = 12345", "unknown field"),
            ("sha256:0101", "sha256:01", "no digest"),
            ("sha256:0101", "sha256:01ZZ", "no digest"),
            ("\"1.34\"", "\"new\"", "no version of Kubernetes"),
            ("id = \"manifests.crds\"", "id = \"addons.istio/istiod\"", "twice"),
            ("[capabilities]", "[capabilities", "unclosed table"),
        ] {
            let found = Lock::decode(&text.replacen(from, to, 1)).expect_err(to);
            assert!(found.what.contains(what), "{to}: {found}");
            let expected = if to.is_empty() { 1 } else { line_of(from) };
            // An unknown or missing key is reported at its table.
            let near = if what == "unknown field" { 5 } else { 0 };
            assert!(found.line.abs_diff(expected) <= near, "{to}: {found}, not {expected}");
        }
    }

    #[test]
    fn mutations_never_panic() {
        let text = sample().encode().into_bytes();
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("small")
        };
        let mut read = 0;
        for _ in 0..3000 {
            let mut bytes = text.clone();
            for _ in 0..=next(3) {
                match next(4) {
                    0 => bytes.truncate(next(bytes.len() + 1)),
                    1 if !bytes.is_empty() => {
                        let at = next(bytes.len());
                        bytes[at] = b"\"[]=\n#\\\0\xC3a0"[next(11)];
                    }
                    2 if !bytes.is_empty() => drop(bytes.remove(next(bytes.len()))),
                    _ => {
                        let (from, at) = (next(text.len()), next(bytes.len() + 1));
                        let piece = text[from..(from + next(40)).min(text.len())].to_vec();
                        bytes.splice(at..at, piece);
                    }
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            match Lock::decode(&text) {
                Ok(lock) => {
                    read += 1;
                    assert_eq!(Lock::decode(&lock.encode()), Ok(lock));
                }
                Err(Damaged { line, what }) => {
                    assert!(line >= 1 && line <= text.matches('\n').count() + 1 && !what.is_empty());
                }
            }
        }
        assert!(read > 10, "only {read} could be read: the mutations are too wild to say anything");
    }

    #[test]
    fn a_stack_that_asks_for_something_else_is_noticed() {
        let lock = sample();
        let wanted = |version: Option<&str>, reference: &str, digest: Option<String>| Wanted {
            id: "addons.istio/istiod".to_owned(),
            reference: Reference::chart(reference, None, as_is).expect("a reference"),
            version: version.map(str::to_owned),
            digest,
        };
        let here = "https://a.example/charts#istiod";
        let locked = |wanted: &Wanted| matches!(lock.standing(wanted), Standing::Locked(_));
        assert!(locked(&wanted(Some("~1.30"), here, None)));
        assert!(locked(&wanted(Some("1.30.3"), here, Some(digest(1)))));
        assert!(locked(&wanted(Some(">=1.29 <2"), here, None)) && locked(&wanted(None, here, None)));
        for (other, why) in [
            (wanted(Some("1.31.0"), here, None), "1.30.3 is locked, and 1.31.0 is wanted"),
            (wanted(Some("~1.30"), "oci://a.example/istiod", None), "wanted from oci://"),
            (wanted(Some("~1.30"), here, Some(digest(9))), "wanted with sha256:0909"),
        ] {
            match lock.standing(&other) {
                Standing::Changed(_, found) => assert!(found.contains(why), "{found}"),
                standing => panic!("{standing:?}"),
            }
        }
        let new = Wanted { id: "charts.new".to_owned(), ..wanted(None, here, None) };
        assert_eq!(lock.standing(&new), Standing::Missing);
        assert_eq!(lock.superfluous(&[wanted(None, here, None)]), ["charts.\"odd\"\u{1}", "manifests.crds"]);
    }
}
