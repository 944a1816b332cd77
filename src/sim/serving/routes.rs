//! Finding the rule of an HTTPRoute for a request, and changing the request as its filters say.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value as Json;

use crate::sim::controllers::addons::istio::{CONTROLLER, attach, gateway_api};
use crate::sim::controllers::addons::objects::{list, name, namespace, text, uid};
use crate::sim::kube::api::Api;

/// What of a request decides its way.
pub struct Asking<'a> {
    /// Method.
    pub method: &'a Method,
    /// Host, without port.
    pub host: &'a str,
    /// Path.
    pub path: &'a str,
    /// Query, without `?`.
    pub query: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// A rule that matched.
pub struct Chosen {
    /// The route.
    pub route: Arc<Json>,
    /// The rule.
    pub rule: Json,
    /// The path prefix by which it matched, for rewriting.
    pub prefix: String,
    /// Whether the control plane resolved all references of the route.
    pub resolved: bool,
}

/// How well a match fits: the Gateway API's order of precedence.
type Rank = (bool, usize, bool, usize, usize);

/// Finds the rule for a request among the routes attached to a listener.
pub fn choose(api: &dyn Api, gateway: &Json, listener: &Json, asking: &Asking<'_>) -> Option<Chosen> {
    let mut best: Option<(Rank, Chosen)> = None;
    let mut routes = api.list(&gateway_api("HTTPRoute"), None);
    // The oldest route wins, then the first by name.
    routes.sort_by_key(|r| {
        (text(r, "/metadata/creationTimestamp").to_owned(), namespace(r).to_owned(), name(r).to_owned())
    });
    for route in routes {
        let Some(resolved) = attached(api, gateway, listener, &route) else { continue };
        let hosts = list(&route, "/spec/hostnames");
        if !hosts.is_empty() && !hosts.iter().filter_map(Json::as_str).any(|h| attach::host_matches(h, asking.host)) {
            continue;
        }
        for rule in list(&route, "/spec/rules") {
            let anything = [serde_json::json!({"path": {"type": "PathPrefix", "value": "/"}})];
            let matches = match list(rule, "/matches") {
                [] => &anything,
                matches => matches,
            };
            for candidate in matches {
                let Some((rank, prefix)) = fits(candidate, asking) else { continue };
                if best.as_ref().is_none_or(|(known, _)| rank > *known) {
                    let chosen = Chosen { route: route.clone(), rule: rule.clone(), prefix, resolved };
                    best = Some((rank, chosen));
                }
            }
        }
    }
    best.map(|(_, chosen)| chosen)
}

/// Whether a route is attached to the listener and accepted; `Some(resolved)` if so.
fn attached(api: &dyn Api, gateway: &Json, listener: &Json, route: &Json) -> Option<bool> {
    list(route, "/spec/parentRefs").iter().find_map(|reference| {
        let parent = attach::parent(api, route, reference)?;
        if uid(&parent) != uid(gateway) {
            return None;
        }
        let listeners = attach::listeners(api, gateway, route, reference).ok()?;
        if !listeners.iter().any(|l| l["name"] == listener["name"]) {
            return None;
        }
        let entry = list(route, "/status/parents")
            .iter()
            .find(|p| p["parentRef"] == *reference && text(p, "/controllerName") == CONTROLLER)?;
        let says = |kind: &str| list(entry, "/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True");
        says("Accepted").then(|| says("ResolvedRefs"))
    })
}

fn fits(candidate: &Json, asking: &Asking<'_>) -> Option<(Rank, String)> {
    let value = match text(candidate, "/path/value") {
        "" => "/",
        value => value,
    };
    let exact = text(candidate, "/path/type") == "Exact";
    let path_fits = match text(candidate, "/path/type") {
        "Exact" => asking.path == value,
        "RegularExpression" => {
            regex::Regex::new(&format!("^(?:{value})$")).is_ok_and(|pattern| pattern.is_match(asking.path))
        }
        _ => under(asking.path, value).is_some(),
    };
    let method = text(candidate, "/method");
    let headers = list(candidate, "/headers");
    let queries = list(candidate, "/queryParams");
    let found_header = |wanted: &Json| {
        let found = asking.headers.get(text(wanted, "/name")).and_then(|v| v.to_str().ok());
        found.is_some_and(|found| value_fits(wanted, found))
    };
    let found_query = |wanted: &Json| {
        asking
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .any(|(key, found)| key == text(wanted, "/name") && value_fits(wanted, found))
    };
    let all = path_fits
        && (method.is_empty() || method == asking.method.as_str())
        && headers.iter().all(found_header)
        && queries.iter().all(found_query);
    all.then(|| ((exact, value.len(), !method.is_empty(), headers.len(), queries.len()), value.to_owned()))
}

fn value_fits(wanted: &Json, found: &str) -> bool {
    match text(wanted, "/type") {
        "RegularExpression" => {
            regex::Regex::new(&format!("^(?:{})$", text(wanted, "/value"))).is_ok_and(|p| p.is_match(found))
        }
        _ => text(wanted, "/value") == found,
    }
}

/// What follows a path prefix, by whole segments: `/b` of `/a/b` under `/a`, nothing of `/ab`.
fn under<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// What a rule's filters make of a request.
pub enum Filtered {
    /// It goes on, with this path.
    Forward(String),
    /// It is answered with a redirection: status and location.
    Redirect(u16, String),
}

/// Applies a rule's filters.
pub fn filter(chosen: &Chosen, asking: &Asking<'_>, https: bool, headers: &mut HeaderMap) -> Filtered {
    let mut path = asking.path.to_owned();
    for filter in list(&chosen.rule, "/filters") {
        match text(filter, "/type") {
            "URLRewrite" => {
                let rewrite = &filter["urlRewrite"];
                if let Some(new) = rewritten(&path, &chosen.prefix, rewrite) {
                    path = new;
                }
                if let Ok(host) = HeaderValue::from_str(text(rewrite, "/hostname"))
                    && !host.is_empty()
                {
                    headers.insert(http::header::HOST, host);
                }
            }
            "RequestHeaderModifier" => {
                let change = &filter["requestHeaderModifier"];
                for entry in list(change, "/set").iter().chain(list(change, "/add")) {
                    if let (Ok(name), Ok(value)) =
                        (text(entry, "/name").parse::<HeaderName>(), HeaderValue::from_str(text(entry, "/value")))
                    {
                        headers.insert(name, value);
                    }
                }
                for name in list(change, "/remove").iter().filter_map(Json::as_str) {
                    headers.remove(name);
                }
            }
            "RequestRedirect" => {
                let redirect = &filter["requestRedirect"];
                let own = if https { "https" } else { "http" };
                let scheme = Some(text(redirect, "/scheme")).filter(|s| !s.is_empty()).unwrap_or(own);
                let host = Some(text(redirect, "/hostname")).filter(|h| !h.is_empty()).unwrap_or(asking.host);
                let path = rewritten(&path, &chosen.prefix, redirect).unwrap_or(path);
                let port = redirect["port"].as_u64().map(|p| format!(":{p}")).unwrap_or_default();
                let status = redirect["statusCode"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(302);
                return Filtered::Redirect(status, format!("{scheme}://{host}{port}{path}"));
            }
            _ => {}
        }
    }
    Filtered::Forward(path)
}

fn rewritten(path: &str, prefix: &str, rewrite: &Json) -> Option<String> {
    match text(rewrite, "/path/type") {
        "ReplaceFullPath" => Some(text(rewrite, "/path/replaceFullPath").to_owned()),
        "ReplacePrefixMatch" => {
            let rest = under(path, prefix)?;
            let new = text(rewrite, "/path/replacePrefixMatch").trim_end_matches('/');
            let joined = format!("{new}{rest}");
            Some(if joined.is_empty() { "/".to_owned() } else { joined })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asking<'a>(path: &'a str, headers: &'a HeaderMap) -> Asking<'a> {
        Asking { method: &Method::GET, host: "x", path, query: "a=1", headers }
    }

    #[test]
    fn prefixes_match_whole_segments_and_are_replaced() {
        assert_eq!(under("/a/b", "/a"), Some("/b"));
        assert_eq!(under("/ab", "/a"), None);
        assert_eq!(under("/a", "/a/"), Some(""));
        assert_eq!(under("/x", "/"), Some("/x"));
        let to = |new: &str| json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": new}});
        assert_eq!(rewritten("/ns/svc/v1/models", "/ns/svc", &to("/")).as_deref(), Some("/v1/models"));
        assert_eq!(rewritten("/ns/svc", "/ns/svc", &to("/")).as_deref(), Some("/"));
        assert_eq!(rewritten("/a/v1/c", "/a/v1/c", &to("/v1/c")).as_deref(), Some("/v1/c"));
    }

    #[test]
    fn exact_paths_and_headers_rank_higher() {
        let mut headers = HeaderMap::new();
        headers.insert("x-model", HeaderValue::from_static("m"));
        let request = asking("/v1/models", &headers);
        let rank = |candidate: Json| fits(&candidate, &request).map(|(rank, _)| rank);
        let prefix = rank(json!({"path": {"type": "PathPrefix", "value": "/v1"}})).expect("prefix");
        let exact = rank(json!({"path": {"type": "Exact", "value": "/v1/models"}})).expect("exact");
        let header = rank(json!({"path": {"type": "PathPrefix", "value": "/v1"},
            "headers": [{"name": "X-Model", "value": "m"}]}))
        .expect("header");
        assert!(exact > header && header > prefix);
        assert_eq!(rank(json!({"headers": [{"name": "X-Model", "value": "other"}]})), None);
        assert_eq!(rank(json!({"queryParams": [{"name": "a", "value": "2"}]})), None);
    }
}
