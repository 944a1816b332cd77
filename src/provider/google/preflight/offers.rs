//! Whether a location has a machine type, an accelerator, a version of Kubernetes.
//!
//! That a type is listed does not prove that there is one to be had: capacity shows only when it is asked for.

use std::collections::BTreeSet;

use super::needs::{Collection, Sort, Version, is_zone};
use super::{fine, names, unclear};
use crate::address::Address;
use crate::platform::preflight::{Check, Topic, Verdict};
use crate::provider::google::client::GoogleClient;
use crate::resource::error::{ErrorClass, ProviderError};

/// Whether the location offers a type of machine or accelerator.
pub(super) async fn sort(client: &GoogleClient, project: &str, sort: &Sort, by: &BTreeSet<Address>) -> Vec<Check> {
    vec![Check { wanted_by: names(by), ..offered(client, project, sort).await }]
}

async fn offered(client: &GoogleClient, project: &str, sort: &Sort) -> Check {
    let Sort { location, collection, name } = sort;
    let (collection, command) = match collection {
        Collection::Machines => ("machineTypes", "machine-types"),
        Collection::Accelerators => ("acceleratorTypes", "accelerator-types"),
    };
    let subject = format!("{name} in {location}");
    let zones = match zones(client, project, location).await {
        Ok(zones) => zones,
        Err(error) => return refused(subject, &error),
    };
    let mut unknown = None;
    for zone in &zones {
        let path = format!("/compute/v1/projects/{project}/zones/{zone}/{collection}/{name}");
        match client.get("compute", &path).await {
            Ok(_) => return fine(Topic::Offer, subject, "offered".to_owned()),
            Err(error) if error.class == ErrorClass::NotFound => {}
            Err(error) => unknown = Some(error),
        }
    }
    if let Some(error) = unknown {
        return unclear(Topic::Offer, subject, &error);
    }
    Check {
        verdict: Verdict::Missing,
        mend: Some(format!(
            "choose a location that has it: gcloud compute {command} list --filter=name={name} --project {project}"
        )),
        ..fine(Topic::Offer, subject, "not offered there".to_owned())
    }
}

/// The zones of a location: a region says which it has.
async fn zones(client: &GoogleClient, project: &str, location: &str) -> Result<Vec<String>, ProviderError> {
    if is_zone(location) {
        return Ok(vec![location.to_owned()]);
    }
    let region = client.get("compute", &format!("/compute/v1/projects/{project}/regions/{location}")).await?;
    let urls = region["zones"].as_array().cloned().unwrap_or_default();
    Ok(urls.iter().filter_map(|url| Some(url.as_str()?.rsplit('/').next()?.to_owned())).collect())
}

/// A location that is not there, or that nobody here may use.
fn refused(subject: String, error: &ProviderError) -> Check {
    let mut check = unclear(Topic::Offer, subject, error);
    if matches!(error.class, ErrorClass::NotFound | ErrorClass::Invalid) {
        check.verdict = Verdict::Missing;
    }
    check
}

/// Whether GKE is there, with the version that is wanted.
pub(super) async fn version(
    client: &GoogleClient,
    project: &str,
    version: &Version,
    by: &BTreeSet<Address>,
) -> Vec<Check> {
    let location = &version.location;
    let subject = match &version.version {
        Some(wanted) => format!("Kubernetes {wanted} in {location}"),
        None => format!("GKE in {location}"),
    };
    let path = format!("/v1/projects/{project}/locations/{location}/serverConfig");
    let check = match client.get("container", &path).await {
        Err(error) => refused(subject, &error),
        Ok(config) => match &version.version {
            None => fine(Topic::Offer, subject, "offered".to_owned()),
            Some(wanted) => {
                let channel = version.channel.as_deref().unwrap_or_default().to_ascii_uppercase();
                let channels = config["channels"].as_array().into_iter().flatten();
                let of_channel = channels.filter(|entry| entry["channel"] == channel.as_str());
                let mut offered = of_channel.flat_map(|entry| texts(&entry["validVersions"])).collect::<Vec<_>>();
                if offered.is_empty() {
                    offered = texts(&config["validMasterVersions"]);
                }
                if offered.iter().any(|version| is_of(version, wanted)) {
                    fine(Topic::Offer, subject, "offered".to_owned())
                } else {
                    Check {
                        verdict: Verdict::Missing,
                        mend: Some(format!(
                            "choose one of those, or leave `version` out: gcloud container get-server-config --location {location} --project {project}"
                        )),
                        ..fine(Topic::Offer, subject, format!("not offered; there are {}", offered.join(", ")))
                    }
                }
            }
        },
    };
    vec![Check { wanted_by: names(by), ..check }]
}

fn texts(list: &serde_json::Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Whether a version is the wanted one, or begins with it part by part.
fn is_of(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_versions_end_where_parts_do() {
        assert!(is_of("1.34.1-gke.100", "1.34") && is_of("1.34.1-gke.100", "1.34.1") && is_of("1.34", "1.34"));
        assert!(!is_of("1.34.10-gke.1", "1.34.1") && !is_of("1.33.1", "1.34"));
    }
}
