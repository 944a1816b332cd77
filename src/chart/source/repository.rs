//! Chart repositories: an `index.yaml` that lists charts, their versions, addresses and digests.

use std::collections::BTreeMap;

use reqwest::Url;
use serde::Deserialize;

use super::transport::{shown, step};
use super::{Fault, SourceError, Versions};

/// A repository's index, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    entries: BTreeMap<String, Option<Vec<Listed>>>,
}

/// One version of a chart.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Listed {
    version: Option<String>,
    #[serde(default)]
    urls: Option<Vec<String>>,
    digest: Option<String>,
}

/// Where a version is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub version: String,
    pub address: String,
    /// `sha256:…`, where the index says so.
    pub digest: Option<String>,
}

impl Index {
    /// Reads an index, within bounds: an index of 64 MB has a few million nodes.
    pub(super) fn read(url: &str, bytes: &[u8]) -> Result<Index, SourceError> {
        let refuse = |why: String| {
            let text = format!("{url}/index.yaml is not the index of a chart repository");
            let hint = "check the address: it is what `helm repo add` takes";
            SourceError::new(Fault::Odd, text).detail(why).hint(hint)
        };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("It is not UTF-8 text.".to_owned()))?;
        let budget = serde_saphyr::budget! {
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: 128 << 20,
            max_documents: 1,
        };
        let options = serde_saphyr::options! { budget: budget, with_snippet: false };
        let index: Index =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| refuse(error.to_string()))?;
        if index.entries.is_empty() {
            return Err(refuse("It lists no charts.".to_owned()));
        }
        Ok(index)
    }

    /// The version of a chart that fits best, as Helm chooses it.
    pub(super) fn find(&self, url: &str, name: &str, requested: Option<&str>) -> Result<Location, SourceError> {
        let Some(versions) = self.entries.get(name) else {
            let text = format!("{url} has no chart {name}");
            let error = SourceError::new(Fault::Missing, text);
            let names = self.entries.keys().map(String::as_str);
            return Err(match crate::diag::suggest(name, names.clone()) {
                Some(close) => error.hint(format!("did you mean {close}?")),
                None if self.entries.len() <= 12 => {
                    error.hint(format!("it has {}", names.collect::<Vec<_>>().join(", ")))
                }
                None => error.hint(format!("it has {} others", self.entries.len())),
            });
        };
        let versions = versions.as_deref().unwrap_or_default();
        let listed = Versions::new(versions.iter().filter_map(|listed| listed.version.as_deref()));
        let version = listed.choose(&format!("{name} of {url}"), requested)?;
        let found = versions.iter().find(|listed| listed.version.as_deref() == Some(version));
        let found = found.cloned().unwrap_or_default();
        let Some(address) = found.urls.unwrap_or_default().into_iter().find(|url| !url.is_empty()) else {
            let text = format!("{url} does not say where {name} {version} is");
            return Err(SourceError::new(Fault::Odd, text).hint("ask whoever runs the repository"));
        };
        // Old indexes have bare hexadecimal digits.
        let digest = found.digest.filter(|digest| !digest.is_empty()).map(|digest| {
            let hex = digest.strip_prefix("sha256:").unwrap_or(&digest).to_ascii_lowercase();
            format!("sha256:{hex}")
        });
        Ok(Location { version: version.to_owned(), address: resolve(url, &address)?, digest })
    }
}

/// An address of an index, relative to the repository where it is not whole.
pub(super) fn resolve(repository: &str, address: &str) -> Result<String, SourceError> {
    let odd = |why: String| {
        let text = format!("{repository} names an address that is not followed: {}", shown(address));
        SourceError::new(Fault::Odd, text).detail(why)
    };
    let base = Url::parse(&format!("{repository}/")).map_err(|error| odd(error.to_string()))?;
    let found = base.join(address).map_err(|error| odd(error.to_string()))?;
    // Some repositories keep their archives in a registry.
    if found.scheme() != "oci" {
        step(&base, &found).map_err(odd)?;
    }
    Ok(found.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "\
apiVersion: v1
entries:
  web:
  - {version: 2.0.0-rc.1, urls: [web-2.0.0-rc.1.tgz], name: web, created: 2026-01-01T00:00:00Z, annotations: {a: b}}
  - {version: 1.10.0, urls: ['https://cdn.example/web-1.10.0.tgz'], digest: AB01}
  - {version: 1.9.0, urls: [charts/web-1.9.0.tgz], digest: 'sha256:ab02'}
  - {version: 'odd one', urls: [x]}
  - {urls: [x]}
  - {version: 1.0, urls: [/web-1.0.tgz]}
  none: null
  gone:
  - {version: 1.0.0, urls: []}
generated: 2026-01-01T00:00:00Z
";

    #[test]
    fn the_newest_that_fits() {
        let index = Index::read("https://a.example/r", INDEX.as_bytes()).expect("an index");
        let find = |requested| index.find("https://a.example/r", "web", requested);
        let newest = find(None).expect("there");
        assert_eq!(newest.address, "https://cdn.example/web-1.10.0.tgz");
        assert_eq!((newest.version.as_str(), newest.digest.as_deref()), ("1.10.0", Some("sha256:ab01")));
        let nine = find(Some("~1.9")).expect("there");
        assert_eq!(nine.address, "https://a.example/r/charts/web-1.9.0.tgz");
        assert_eq!(nine.digest.as_deref(), Some("sha256:ab02"));
        assert_eq!(find(Some("1.0")).map(|found| found.address), Ok("https://a.example/web-1.0.tgz".to_owned()));
        assert_eq!(find(Some("2.0.0-rc.1")).map(|found| found.digest), Ok(None));
        assert_eq!(find(Some(">0.0.0-0")).map(|found| found.version), Ok("2.0.0-rc.1".to_owned()));
        let missing = find(Some("^3")).expect_err("no such version");
        assert!(missing.hint.as_deref().is_some_and(|hint| hint.contains("1.10.0")), "{missing:?}");
    }

    #[test]
    fn what_an_index_may_not_say() {
        let index = Index::read("https://a.example", INDEX.as_bytes()).expect("an index");
        let wrong = |name: &str| index.find("https://a.example", name, None).expect_err(name);
        assert!(wrong("wep").hint.expect("a hint").contains("did you mean web?"));
        assert!(wrong("gone").summary.contains("does not say where"));
        assert!(wrong("none").summary.contains("no version"));
        for address in ["http://cdn.example/x.tgz", "http://127.0.0.1/x.tgz", "file:///etc/passwd"] {
            let text = format!("entries: {{web: [{{version: 1.0.0, urls: ['{address}']}}]}}");
            let index = Index::read("https://a.example", text.as_bytes()).expect("an index");
            assert!(index.find("https://a.example", "web", None).is_err(), "{address}");
        }
        for text in ["", "<html>", "entries: {}", "entries: [1]", "\u{0}"] {
            assert!(Index::read("https://a.example", text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_alias_bomb_is_refused_in_time() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", ")));
        }
        bomb.push_str("entries: {web: *a11}\n");
        assert!(Index::read("https://a.example", bomb.as_bytes()).is_err());
    }
}
