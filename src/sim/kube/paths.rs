//! What a request asks for: resource, namespace, name, subresource and verb, from its method and path.

/// A request for a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural name.
    pub resource: String,
    /// Namespace; empty for cluster scope or all namespaces.
    pub namespace: String,
    /// Name; empty for a collection.
    pub name: String,
    /// Subresource; empty for the resource itself. `proxy` keeps its tail.
    pub subresource: String,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/<group>`.
    Group(String),
    /// `/api/v1`, `/apis/<group>/<version>`.
    GroupVersion(String, String),
    /// A resource.
    Resource(Target),
    /// Anything else.
    Other,
}

/// Takes a path apart.
pub(crate) fn parse(path: &str) -> Path {
    let decode = |part: &str| percent_decode(part);
    let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api"] => return Path::Core,
        ["apis"] => return Path::Groups,
        ["apis", group] => return Path::Group((*group).to_owned()),
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Path::Other,
    };
    let mut target = Target { group: group.to_owned(), version: version.to_owned(), ..Target::default() };
    // `namespaces/<name>` is the namespace itself, and so are its own subresources.
    let rest = match rest {
        [] => return Path::GroupVersion(group.to_owned(), version.to_owned()),
        ["namespaces", namespace, inner @ ..]
            if inner.first().is_some_and(|word| !group.is_empty() || !matches!(*word, "status" | "finalize")) =>
        {
            target.namespace = (*namespace).to_owned();
            inner
        }
        other => other,
    };
    if let Some(resource) = rest.first() {
        target.resource = (*resource).to_owned();
    }
    if let Some(name) = rest.get(1) {
        target.name = (*name).to_owned();
    }
    if group.is_empty() && target.resource == "namespaces" && target.namespace.is_empty() {
        target.namespace = target.name.clone();
    }
    target.subresource = rest.get(2..).unwrap_or_default().join("/");
    Path::Resource(target)
}

/// Undoes `%xx`.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The pairs of a query string, decoded.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        match parse(path) {
            Path::Resource(target) => target,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn paths() {
        let pods = target("/api/v1/namespaces/n/pods/p/log");
        assert_eq!((pods.namespace.as_str(), pods.resource.as_str(), pods.name.as_str()), ("n", "pods", "p"));
        assert_eq!(pods.subresource, "log");
        let namespace = target("/api/v1/namespaces/n");
        assert_eq!((namespace.resource.as_str(), namespace.name.as_str()), ("namespaces", "n"));
        assert_eq!(target("/api/v1/namespaces/n/finalize").subresource, "finalize");
        assert_eq!(target("/apis/a.b/v1/things").group, "a.b");
        assert_eq!(parse("/apis/apps/v1"), Path::GroupVersion("apps".to_owned(), "v1".to_owned()));
        assert_eq!(parse("/nope"), Path::Other);
    }

    #[test]
    fn queries() {
        assert_eq!(query("a=b%3Dc&d"), [("a".to_owned(), "b=c".to_owned()), ("d".to_owned(), String::new())]);
    }
}
