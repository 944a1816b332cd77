//! Whether quotas suffice: limits less what is in use, against the sums of the plan.
//!
//! Of TPU chips only the limit can be read: Cloud Quotas does not say how many are in use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::needs::{Need, Needs, Quota};
use super::{Asked, Looks, fine, names, unasked};
use crate::platform::preflight::{Check, Topic, Verdict};
use crate::provider::google::client::GoogleClient;

/// The quota of TPU chips, by family.
const CHIPS: &str = "TPUS-PER-TPU-FAMILY-per-project-region";

/// Says how much of most quotas is in use.
const COMPUTE: Asked = Asked { service: "compute.googleapis.com", role: "roles/compute.viewer" };
/// Says how many chips there may be.
const LIMITS: Asked = Asked { service: "cloudquotas.googleapis.com", role: "roles/cloudquotas.viewer" };

/// One look per region and per project, and one at the TPU families of a project.
pub(super) fn looks<'a>(client: &'a GoogleClient, needs: &'a Needs) -> Looks<'a> {
    let mut regions: BTreeMap<(&str, &str), Vec<(&str, &Need)>> = BTreeMap::new();
    let mut projects: BTreeMap<&str, Vec<(&str, &Need)>> = BTreeMap::new();
    let mut chips: BTreeMap<&str, Vec<(&str, &str, &Need)>> = BTreeMap::new();
    for ((project, quota), need) in &needs.quotas {
        match quota {
            Quota::Region(region, metric) => regions.entry((project, region)).or_default().push((metric, need)),
            Quota::Project(metric) => projects.entry(project).or_default().push((metric, need)),
            Quota::Tpu(region, family) => chips.entry(project).or_default().push((region, family, need)),
        }
    }
    let mut looks: Looks<'a> = Vec::new();
    for ((project, region), wanted) in regions {
        looks.push(Box::pin(async move {
            let path = format!("/compute/v1/projects/{project}/regions/{region}");
            listed(client, project, &path, &format!(" in {region}"), &wanted).await
        }));
    }
    for (project, wanted) in projects {
        looks.push(Box::pin(async move {
            listed(client, project, &format!("/compute/v1/projects/{project}"), " in all regions", &wanted).await
        }));
    }
    for (project, wanted) in chips {
        looks.push(Box::pin(async move { families(client, project, &wanted).await }));
    }
    looks
}

/// Quotas of a document of Compute Engine.
async fn listed(client: &GoogleClient, project: &str, path: &str, place: &str, wanted: &[(&str, &Need)]) -> Vec<Check> {
    let all = wanted.iter().flat_map(|(_, need)| &need.by).cloned().collect::<BTreeSet<_>>();
    let document = match client.get("compute", path).await {
        Ok(document) => document,
        Err(error) => {
            let metrics = wanted.iter().map(|(metric, _)| *metric).collect::<Vec<_>>().join(", ");
            let check = unasked(Topic::Quota, format!("{metrics}{place}"), &error, &COMPUTE, project);
            return vec![Check { wanted_by: names(&all), ..check }];
        }
    };
    let rows = document["quotas"].as_array().into_iter().flatten();
    let rows = rows.filter_map(|row| Some((row["metric"].as_str()?, (row["limit"].as_f64()?, row["usage"].as_f64()?))));
    let rows = rows.collect::<BTreeMap<_, _>>();
    let mut sums: BTreeMap<&str, Need> = BTreeMap::new();
    for (metric, need) in wanted {
        // A project that was never granted preemptible quota uses its ordinary one.
        let ordinary =
            metric.strip_prefix("PREEMPTIBLE_").filter(|_| rows.get(metric).is_none_or(|(limit, _)| *limit == 0.0));
        let sum = sums.entry(ordinary.unwrap_or(metric)).or_default();
        sum.more += need.more;
        sum.by.extend(need.by.iter().cloned());
    }
    let checks = sums.iter().map(|(metric, need)| {
        let subject = format!("{metric}{place}");
        let check = match rows.get(metric) {
            Some(&(limit, usage)) => compared(subject, need.more, limit, Some(usage), project),
            // Not every project has every quota across regions; where it is not listed, it does not bind.
            None if place == " in all regions" => {
                fine(Topic::Quota, subject, "this project has no such limit".to_owned())
            }
            None => Check {
                verdict: Verdict::Unknown,
                ..fine(Topic::Quota, subject, "Compute Engine lists no such quota".to_owned())
            },
        };
        Check { wanted_by: names(&need.by), ..check }
    });
    checks.collect()
}

/// What is free against what is needed.
fn compared(subject: String, more: i64, limit: f64, usage: Option<f64>, project: &str) -> Check {
    #[expect(clippy::cast_precision_loss, reason = "nodes and gigabytes are far below 2^52")]
    let more = more as f64;
    let free = (limit - usage.unwrap_or_default()).max(0.0);
    let of = match usage {
        Some(usage) => format!("{free} of {limit} are free ({usage} in use)"),
        None => format!("the limit is {limit}; how many are in use is not told"),
    };
    if more <= free {
        return fine(Topic::Quota, subject, format!("{more} more needed, {of}"));
    }
    Check {
        verdict: Verdict::Missing,
        mend: Some(format!(
            "ask for {} at https://console.cloud.google.com/iam-admin/quotas?project={project}, or use another location or fewer nodes",
            limit + more - free
        )),
        ..fine(Topic::Quota, subject, format!("{more} more needed, {of}: {} missing", more - free))
    }
}

async fn families(client: &GoogleClient, project: &str, wanted: &[(&str, &str, &Need)]) -> Vec<Check> {
    let path = format!("/v1/projects/{project}/locations/global/services/compute.googleapis.com/quotaInfos/{CHIPS}");
    let answer = client.get("cloudquotas", &path).await;
    let check = |(region, family, need): &(&str, &str, &Need)| {
        let subject = format!("TPU chips of {family} in {region}");
        let check = match &answer {
            Err(error) => unasked(Topic::Quota, subject, error, &LIMITS, project),
            Ok(info) => match limit(info, region, family) {
                Some(limit) if limit < 0.0 => fine(Topic::Quota, subject, "there is no limit".to_owned()),
                Some(limit) => compared(subject, need.more, limit, None, project),
                None => Check {
                    verdict: Verdict::Unknown,
                    ..fine(Topic::Quota, subject, "Cloud Quotas names no limit for it".to_owned())
                },
            },
        };
        Check { wanted_by: names(&need.by), ..check }
    };
    wanted.iter().map(check).collect()
}

/// The limit that holds for a region and family: that of the most dimensions which all agree.
fn limit(info: &Json, region: &str, family: &str) -> Option<f64> {
    let rows = info["dimensionsInfos"].as_array().into_iter().flatten();
    let holds = |row: &&Json| {
        row["dimensions"].as_object().into_iter().flatten().all(|(key, value)| match key.as_str() {
            "region" => value == region,
            "tpu_family" => value == family,
            _ => false,
        })
    };
    let most = rows.filter(holds).max_by_key(|row| row["dimensions"].as_object().map_or(0, serde_json::Map::len))?;
    most["details"]["value"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_told_in_numbers() {
        let check = compared("NVIDIA_T4_GPUS in r".to_owned(), 3, 4.0, Some(2.0), "p");
        assert_eq!(check.verdict, Verdict::Missing);
        assert_eq!(check.found, "3 more needed, 2 of 4 are free (2 in use): 1 missing");
        assert!(check.mend.expect("a way").contains("ask for 5 at https://"), "so many in all");
        assert_eq!(compared(String::new(), 2, 4.0, Some(2.0), "p").verdict, Verdict::Fine);
        assert_eq!(compared(String::new(), 1, 0.0, None, "p").verdict, Verdict::Missing);
    }

    #[test]
    fn the_limit_of_the_most_dimensions_holds() {
        let row = |dimensions: Json, value: &str| json!({"dimensions": dimensions, "details": {"value": value}});
        let info = json!({"dimensionsInfos": [
            row(json!({}), "0"), row(json!({"tpu_family": "CT6E"}), "8"),
            row(json!({"tpu_family": "CT6E", "region": "us-east5"}), "64"), row(json!({"tpu_family": "CT5P"}), "1"),
            row(json!({"tpu_family": "CT6E", "region": "us-east5", "colour": "red"}), "99"),
        ]});
        assert_eq!(limit(&info, "us-east5", "CT6E"), Some(64.0));
        assert_eq!(limit(&info, "europe-west4", "CT6E"), Some(8.0));
        assert_eq!(limit(&info, "europe-west4", "CT3"), Some(0.0));
        assert_eq!(limit(&json!({}), "europe-west4", "CT3"), None);
    }
}
