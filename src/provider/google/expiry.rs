//! Until when stacks may live, as the labels of their clusters say: reading them all, and setting one.

use std::collections::BTreeMap;

use google_cloud_container_v1::model::Cluster;

use super::client::GoogleClient;
use super::operation;
use super::pool::{EXPIRES, MARK, STACK};
use crate::platform::audit::Unseen;
use crate::platform::expiry::Marked;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// Every cluster of a project that a stack has marked, and the places that GKE could not look into.
///
/// # Errors
/// When the clusters cannot be listed.
pub async fn marked(client: &GoogleClient, project: &str) -> Result<(Vec<Marked>, Vec<Unseen>), ProviderError> {
    let parent = format!("projects/{project}/locations/-");
    let answer = client.call(|gke| async move { gke.list_clusters().set_parent(parent).send().await }).await?;
    let unseen = answer.missing_zones.iter().map(|zone| Unseen {
        what: format!("clusters of {project} in {zone}"),
        why: "GKE could not look there".to_owned(),
    });
    let marked = answer.clusters.iter().filter_map(|cluster| mark(project, cluster));
    Ok((marked.collect(), unseen.collect()))
}

/// What the labels of a cluster say; nothing where they are not all ours.
fn mark(project: &str, cluster: &Cluster) -> Option<Marked> {
    let labels = &cluster.resource_labels;
    let (stack_id, stack) = (labels.get(MARK)?, labels.get(STACK)?);
    if stack_id.is_empty() || stack.is_empty() || cluster.id.is_empty() {
        return None;
    }
    let text = labels.get(EXPIRES);
    let expires = text.and_then(|text| text.parse().ok());
    Some(Marked {
        project: project.to_owned(),
        location: cluster.location.clone(),
        name: cluster.name.clone(),
        id: cluster.id.clone(),
        stack: stack.clone(),
        stack_id: stack_id.clone(),
        expires,
        illegible: text.filter(|_| expires.is_none()).cloned(),
    })
}

/// Sets or takes off the label of this very cluster; the operation that goes on, if anything was to be done.
///
/// # Errors
/// The refusal; [`ErrorClass::Conflict`] when the cluster is another by now.
pub async fn renew(
    client: &GoogleClient,
    cluster: &Value,
    expires: Option<u64>,
) -> Result<Option<String>, ProviderError> {
    let text = |key| cluster.get(key).and_then(Value::as_str).unwrap_or_default();
    let parent = format!("projects/{}/locations/{}", text("project"), text("location"));
    let name = format!("{parent}/clusters/{}", text("name"));
    let get = name.clone();
    let found = client.call(|gke| async move { gke.get_cluster().set_name(get).send().await }).await?;
    if found.id != text("id") {
        let text = format!("cluster {} was made anew by somebody else since it was read", text("name"));
        return Err(ProviderError::new(ErrorClass::Conflict, text));
    }
    let mut labels =
        found.resource_labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>();
    let before = labels.get(EXPIRES).cloned();
    let wanted = expires.map(|expires| expires.to_string());
    if before == wanted {
        return Ok(None);
    }
    match wanted {
        Some(wanted) => drop(labels.insert(EXPIRES.to_owned(), wanted)),
        None => drop(labels.remove(EXPIRES)),
    }
    let fingerprint = found.label_fingerprint.clone();
    let call = client.call(|gke| async move {
        let request = gke.set_labels().set_name(name).set_label_fingerprint(fingerprint);
        request.set_resource_labels(labels).send().await
    });
    Ok(operation::path(&parent, &call.await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_carries_all_marks_is_a_stacks() {
        let cluster = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Cluster::new().set_name("c").set_id("1a").set_resource_labels(labels)
        };
        let ours = [(MARK, "0123"), (STACK, "shop")];
        let found = mark("p", &cluster(&[ours[0], ours[1], (EXPIRES, "1800000000")])).expect("marked");
        assert_eq!((found.expires, found.illegible.as_deref()), (Some(1_800_000_000), None));
        assert!(found.is_expired(1_800_000_000) && !found.is_expired(1_799_999_999));
        let for_ever = mark("p", &cluster(&ours)).expect("marked");
        assert!(!for_ever.is_expired(u64::MAX));
        let odd = mark("p", &cluster(&[ours[0], ours[1], (EXPIRES, "tomorrow")])).expect("marked");
        assert!(!odd.is_expired(u64::MAX) && odd.illegible.as_deref() == Some("tomorrow"));
        for labels in [&ours[..1], &ours[1..], &[(MARK, ""), ours[1]][..], &[(EXPIRES, "1")][..]] {
            assert_eq!(mark("p", &cluster(labels)), None, "{labels:?}");
        }
    }
}
