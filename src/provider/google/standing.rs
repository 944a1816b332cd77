//! How a cluster and its pools stand, and what Google Cloud says is wrong with them: their own status, the newest operation
//! of each, the errors of their instance groups. Reads only; for who asks why something does not work.

use std::collections::BTreeMap;
use std::time::Duration;

use google_cloud_container_v1::model::{NodePool, Operation, cluster, node_pool, operation};

use super::client::GoogleClient;
use super::error::{class_of_text, failed_operation, failure};
use super::pool::group_path;
use crate::env::clock::Timestamp;
use crate::platform::standing::Thing;
use crate::resource::error::{ErrorClass, ProviderError};
use crate::value::Value;

/// Errors of the instance group of a pool that is fine count for this long: of an autoscaler that wants more.
const RECENT: Duration = Duration::from_secs(20 * 60);

/// Looks at the cluster of which these are outputs or attributes.
///
/// # Errors
/// When Google Cloud does not answer.
pub async fn standing(client: &GoogleClient, of: &Value) -> Result<Vec<Thing>, ProviderError> {
    let text = |key| of.get(key).and_then(Value::as_str).unwrap_or_default();
    let (project, location, name) = (text("project"), text("location"), text("name"));
    if project.is_empty() || location.is_empty() || name.is_empty() {
        return Ok(Vec::new());
    }
    let parent = format!("projects/{project}/locations/{location}");
    let path = format!("{parent}/clusters/{name}");
    let mut things = Vec::new();
    let found = match client.call(|gke| async move { gke.get_cluster().set_name(path).send().await }).await {
        Ok(found) => Some(found),
        Err(error) if error.class == ErrorClass::NotFound => None,
        Err(error) => return Err(error),
    };
    let answer = client.call(|gke| async move { gke.list_operations().set_parent(parent).send().await }).await;
    let newest = newest(answer.map(|answer| answer.operations).unwrap_or_default());
    if let Some(found) = &found {
        let is_fine = matches!(found.status, cluster::Status::Running | cluster::Status::Reconciling);
        let mut thing = blank("cluster", name, found.status.name());
        if matches!(found.status, cluster::Status::Error | cluster::Status::Degraded) {
            let error = failure(&found.status_message, found.conditions.iter());
            thing = wrong(thing, "statusMessage", error, None);
        } else if !is_fine && let Some(failed) = newest.get(&target_of(name, None)) {
            thing = of_operation(thing, failed);
        }
        things.push(thing);
        for pool in &found.node_pools {
            things.push(of_pool(client, name, pool, &newest).await);
        }
    }
    // What could not even begin: its creation is all that is there of it.
    for (target, operation) in &newest {
        let mut parts = target.strip_prefix(&format!("clusters/{name}")).into_iter();
        let Some(rest) = parts.next() else { continue };
        let (kind, of) = match rest.strip_prefix("/nodePools/") {
            Some(pool) => ("node pool", pool),
            None if rest.is_empty() => ("cluster", name),
            None => continue,
        };
        if things.iter().all(|thing| thing.kind != kind || thing.name != of) {
            let thing = of_operation(blank(kind, of, None), operation);
            if !thing.text.is_empty() {
                things.push(thing);
            }
        }
    }
    Ok(things)
}

async fn of_pool(client: &GoogleClient, cluster: &str, pool: &NodePool, newest: &BTreeMap<String, Operation>) -> Thing {
    let thing = blank("node pool", &pool.name, pool.status.name());
    let is_fine = pool.status == node_pool::Status::Running;
    // An instance group says what its pool says half an hour later, and says it better.
    for path in pool.instance_group_urls.iter().filter_map(|url| group_path(url)) {
        let Ok(errors) = client.get("compute", &format!("{path}/listErrors")).await else { continue };
        let items = errors["items"].as_array().cloned().unwrap_or_default();
        let newest = items.iter().max_by_key(|item| item["timestamp"].as_str().unwrap_or_default().to_owned());
        let Some(item) = newest else { continue };
        let at = item["timestamp"].as_str().and_then(Timestamp::parse);
        let now = client.clock().now();
        if is_fine && at.is_none_or(|at| now.since(at) > RECENT) {
            continue;
        }
        let part = |key: &str| item["error"][key].as_str().unwrap_or_default();
        let text = format!("{}: {}", part("code"), part("message"));
        let group = path.rsplit('/').next().unwrap_or_default();
        let error = failure(&text, std::iter::empty());
        return wrong(thing, &format!("errors of the instance group {group}"), error, at);
    }
    if matches!(pool.status, node_pool::Status::Error | node_pool::Status::RunningWithError) {
        return wrong(thing, "statusMessage", failure(&pool.status_message, pool.conditions.iter()), None);
    }
    match newest.get(&target_of(cluster, Some(&pool.name))) {
        Some(operation) if !is_fine => of_operation(thing, operation),
        _ => thing,
    }
}

fn blank(kind: &str, name: &str, status: Option<&str>) -> Thing {
    Thing {
        kind: kind.to_owned(),
        name: name.to_owned(),
        status: status.unwrap_or_default().to_owned(),
        field: String::new(),
        text: String::new(),
        class: None,
        at: None,
    }
}

fn wrong(mut thing: Thing, field: &str, error: ProviderError, at: Option<Timestamp>) -> Thing {
    field.clone_into(&mut thing.field);
    thing.text = match error.message.is_empty() {
        true => format!("it is {}, and Google Cloud gives no reason", thing.status),
        false => error.message,
    };
    thing.class = Some(match error.class {
        ErrorClass::Unknown => class_of_text(&thing.text),
        class => class,
    });
    thing.at = at;
    thing
}

fn of_operation(thing: Thing, operation: &Operation) -> Thing {
    let Some(error) = failed_operation(operation) else { return thing };
    let kind = operation.operation_type.name().unwrap_or("its operation");
    wrong(thing, &format!("{kind} {}", operation.name), error, Timestamp::parse(&operation.end_time))
}

/// The newest operation of each cluster and pool.
fn newest(operations: Vec<Operation>) -> BTreeMap<String, Operation> {
    let mut newest: BTreeMap<String, Operation> = BTreeMap::new();
    for operation in operations {
        let Some((_, target)) = operation.target_link.split_once("/clusters/") else { continue };
        let target = format!("clusters/{target}");
        // What is deleted is not there to be wrong.
        let is_newer = newest.get(&target).is_none_or(|other| other.start_time <= operation.start_time);
        if is_newer && operation.operation_type != operation::Type::DeleteCluster {
            newest.insert(target, operation);
        }
    }
    newest
}

fn target_of(cluster: &str, pool: Option<&str>) -> String {
    match pool {
        Some(pool) => format!("clusters/{cluster}/nodePools/{pool}"),
        None => format!("clusters/{cluster}"),
    }
}
