//! One list call of Compute Engine, with all its pages. What a page leaves out (a warning, an unreachable place, a
//! refusal) is named: a list with a hole is not taken for a whole one.

use serde_json::Value as Json;

use super::kinds::{Listing, Row};
use super::thing::Thing;
use crate::platform::audit::Unseen;
use crate::provider::google::client::GoogleClient;
use crate::resource::error::ProviderError;

/// Pages at most: 500 resources each. A project with more is not looked at any further, and the answer says so.
const PAGES: usize = 200;

/// What a list call answered.
#[derive(Debug, Default)]
pub struct Listed {
    /// Each with its place: `global`, `regions/R`, `zones/Z`.
    pub things: Vec<(String, Thing)>,
    /// Where nothing could be seen.
    pub unseen: Vec<Unseen>,
}

/// Lists a kind in a project. `again` says how to go on after a failure that may pass.
pub async fn list(client: &GoogleClient, project: &str, row: &Row) -> Listed {
    let mut listed = Listed::default();
    let base = match row.listing {
        Listing::Aggregated => format!("aggregated/{}?includeAllScopes=true&", row.collection),
        Listing::Global => format!("global/{}?", row.collection),
    };
    let mut token = String::new();
    for _ in 0..PAGES {
        let mut path = format!("/compute/v1/projects/{project}/{base}maxResults=500&returnPartialSuccess=true");
        if !token.is_empty() {
            path.push_str(&format!("&pageToken={}", escape(&token)));
        }
        let page = match client.get("compute", &path).await {
            Ok(page) => page,
            Err(error) => {
                listed.unseen.push(hole(row, project, "", reason(&error)));
                return listed;
            }
        };
        take(&page, row, project, &mut listed);
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut token),
            _ => return listed,
        }
    }
    listed.unseen.push(hole(row, project, "", format!("there are more than {} of them", PAGES * 500)));
    listed
}

fn reason(error: &ProviderError) -> String {
    error.message.clone()
}

fn hole(row: &Row, project: &str, place: &str, why: String) -> Unseen {
    let place = if place.is_empty() { String::new() } else { format!(" in {place}") };
    Unseen { what: format!("{}s of {project}{place}", row.words), why }
}

/// Reads one page.
fn take(page: &Json, row: &Row, project: &str, listed: &mut Listed) {
    for place in page["unreachables"].as_array().into_iter().flatten() {
        let place = place.as_str().unwrap_or("a place without a name");
        listed.unseen.push(hole(row, project, super::thing::path_of(place), "it could not be reached".to_owned()));
    }
    if let Some(why) = warning(&page["warning"]) {
        listed.unseen.push(hole(row, project, "", why));
    }
    match (&page["items"], row.listing) {
        (Json::Object(places), Listing::Aggregated) => {
            for (place, held) in places {
                if let Some(why) = warning(&held["warning"]) {
                    listed.unseen.push(hole(row, project, place, why));
                }
                read(&held[row.collection], place, row, project, listed);
            }
        }
        (Json::Null, _) => {}
        (items, Listing::Global) => read(items, "global", row, project, listed),
        (_, Listing::Aggregated) => {
            listed.unseen.push(hole(row, project, "", "the answer is no aggregated list".to_owned()));
        }
    }
}

fn read(items: &Json, place: &str, row: &Row, project: &str, listed: &mut Listed) {
    for item in items.as_array().into_iter().flatten() {
        match serde_json::from_value::<Thing>(item.clone()) {
            Ok(thing) => listed.things.push((place.to_owned(), thing)),
            Err(error) => {
                let name = item["name"].as_str().unwrap_or("one without a name");
                listed.unseen.push(hole(row, project, place, format!("{name} cannot be read: {error}")));
            }
        }
    }
}

/// A warning that something is missing; that a place is empty is none.
fn warning(warning: &Json) -> Option<String> {
    let code = warning["code"].as_str()?;
    if code == "NO_RESULTS_ON_PAGE" {
        return None;
    }
    Some(format!("{code}: {}", warning["message"].as_str().unwrap_or("no reason is given")))
}

/// A text as part of a query.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::kinds::of;
    use super::*;

    fn taken(page: &Json, collection: &str) -> Listed {
        let mut listed = Listed::default();
        take(page, of(collection), "p", &mut listed);
        listed
    }

    #[test]
    fn an_empty_place_is_no_hole_and_an_unreachable_one_is() {
        let page = json!({
            "items": {
                "zones/a": {"disks": [{"name": "d", "sizeGb": "10"}]},
                "zones/b": {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": "There are no results."}},
                "zones/c": {"warning": {"code": "UNREACHABLE", "message": "not today"}},
            },
            "unreachables": ["https://www.googleapis.com/compute/v1/projects/p/zones/d"],
        });
        let listed = taken(&page, "disks");
        assert_eq!(listed.things.len(), 1);
        let holes = listed.unseen.iter().map(|unseen| (unseen.what.as_str(), unseen.why.as_str())).collect::<Vec<_>>();
        assert_eq!(
            holes,
            [
                ("disks of p in projects/p/zones/d", "it could not be reached"),
                ("disks of p in zones/c", "UNREACHABLE: not today")
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_a_hole() {
        let listed = taken(&json!({"items": [{"name": "f", "targetTags": "no list"}, {"name": "g"}]}), "firewalls");
        assert_eq!((listed.things.len(), listed.unseen.len()), (1, 1));
        assert!(listed.unseen[0].why.contains('f'), "{:?}", listed.unseen);
        assert_eq!(taken(&json!({"items": []}), "disks").unseen.len(), 1, "a plain list is no aggregated one");
        assert_eq!(taken(&json!({}), "firewalls").unseen.len(), 0);
    }

    #[test]
    fn page_tokens_are_escaped() {
        assert_eq!(escape("a/b+c="), "a%2Fb%2Bc%3D");
    }
}
