//! Whose a thing is: pure, from what was captured of the clusters that are gone and what is there.
//!
//! First what a thing says itself (a label, a hash in its name, a tag), then what it belongs together with. Only what
//! can be of no other cluster is proven.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds::Row;
use super::names;
use super::thing::{Thing, last, path_of};
use crate::env::clock::Timestamp;
use crate::platform::audit::{Captured, Verdict};

/// A thing with its kind and place.
pub struct Found {
    pub row: &'static Row,
    pub place: String,
    pub thing: Thing,
}

/// A cluster that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Living {
    pub name: String,
    pub location: String,
    pub id: String,
    /// RFC 3339.
    pub created: String,
}

/// Whose a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The cluster's id.
    pub cluster: String,
    pub verdict: Verdict,
    pub because: String,
}

/// What proves that things are a cluster's, made ready to compare.
struct Marks<'a> {
    cluster: &'a Captured,
    short: &'a str,
    label: Option<String>,
    hash: Option<String>,
    balancers: BTreeMap<String, &'a str>,
    /// Starts of the names of its nodes.
    nodes: Vec<String>,
    region: &'a str,
}

impl<'a> Marks<'a> {
    fn of(cluster: &'a Captured) -> Self {
        let group = |group: &String| format!("{}-", group.strip_suffix("-grp").unwrap_or(group));
        Marks {
            cluster,
            short: cluster.id.get(..8).unwrap_or_default(),
            label: names::id_label(&cluster.id),
            hash: cluster.system_uid.as_deref().map(names::content_hash),
            balancers: cluster.services.iter().map(|(uid, name)| (names::balancer(uid), name.as_str())).collect(),
            nodes: cluster.instance_groups.iter().map(group).collect(),
            region: region(&cluster.location),
        }
    }
}

/// The region of a zone or region.
fn region(location: &str) -> &str {
    location.match_indices('-').nth(1).map_or(location, |(at, _)| &location[..at])
}

/// What a thing says of itself.
struct Word {
    verdict: Verdict,
    because: String,
    /// What it belongs together with says nothing against it.
    firm: bool,
}

type Said = Option<Word>;

/// One claim per thing, in the same order; `None` for what is nothing like ours. `captured` are the clusters of one
/// project that are gone, `living` all clusters that are there.
pub fn attribute(captured: &[Captured], living: &[Living], found: &[Found]) -> Vec<Option<Claim>> {
    let mut claims: Vec<Option<Claim>> = found.iter().map(|_| None).collect();
    for cluster in captured {
        let marks = Marks::of(cluster);
        let mut said = found.iter().map(|found| direct(found, &marks, living)).collect::<Vec<_>>();
        follow(found, &marks, &mut said);
        for (claim, said) in claims.iter_mut().zip(said) {
            let Some(Word { verdict, because, .. }) = said else { continue };
            if claim.as_ref().is_none_or(|claim| verdict < claim.verdict) {
                *claim = Some(Claim { cluster: cluster.id.clone(), verdict, because });
            }
        }
    }
    claims
}

fn proven(because: impl Into<String>) -> Said {
    Some(Word { verdict: Verdict::Proven, because: because.into(), firm: true })
}

/// It names somebody else.
fn other(because: impl Into<String>) -> Said {
    Some(Word { verdict: Verdict::Other, because: because.into(), firm: true })
}

/// Nothing says whose it is; what it belongs together with may.
fn open(verdict: Verdict, because: impl Into<String>) -> Said {
    Some(Word { verdict, because: because.into(), firm: false })
}

/// What the thing says itself.
fn direct(found: &Found, marks: &Marks<'_>, living: &[Living]) -> Said {
    let (thing, cluster) = (&found.thing, marks.cluster);
    if cluster.retained.contains(path_of(&thing.self_link)) {
        return other("its volume was to be retained: it is kept on purpose, and goes on costing");
    }
    if cluster.volumes.contains(path_of(&thing.self_link)) {
        return proven("it is a volume that the cluster had");
    }
    if let Some(said) = by_labels(thing, marks, living) {
        return Some(said);
    }
    if !cluster.node_tag.is_empty() {
        if thing.tags.items.contains(&cluster.node_tag) {
            return proven(format!("its network tag is {}", cluster.node_tag));
        }
        if thing.target_tags.contains(&cluster.node_tag) {
            return match names::is_made(&thing.name) {
                true => proven(format!("it is for machines with the tag {}", cluster.node_tag)),
                false => other("it is for the cluster's nodes, and no part of GKE made it"),
            };
        }
    }
    by_name(found, marks, living)
}

fn by_labels(thing: &Thing, marks: &Marks<'_>, living: &[Living]) -> Said {
    let cluster = marks.cluster;
    let label = |key: &str| thing.labels.get(key).map(String::as_str);
    let same = label("goog-k8s-cluster-name") == Some(&cluster.name)
        && label("goog-k8s-cluster-location") == Some(&cluster.location);
    match label("goog-gke-cluster-id-base32") {
        Some(id) if Some(id) == marks.label.as_deref() => return proven("its label names the cluster's id"),
        Some(_) if same => return other("its labels name another cluster of the same name"),
        Some(_) => return other("its label names another cluster"),
        None => {}
    }
    if !same {
        let named = label("goog-k8s-cluster-name")?;
        return other(format!("its label names the cluster {named}"));
    }
    if is_older(&thing.creation_timestamp, &cluster.created) {
        return other("its labels name the cluster, which was made later");
    }
    let heir = living.iter().find(|heir| heir.name == cluster.name && heir.location == cluster.location);
    if heir.is_some_and(|heir| !is_older(&thing.creation_timestamp, &heir.created)) {
        return other("its labels name the cluster that has this name now");
    }
    open(Verdict::Probable, "its labels name a cluster of this name and place")
}

fn by_name(found: &Found, marks: &Marks<'_>, living: &[Living]) -> Said {
    let (thing, cluster) = (&found.thing, marks.cluster);
    let name = thing.name.as_str();
    let is_group = matches!(found.row.collection, "instanceGroups" | "instanceGroupManagers");
    if is_group && cluster.instance_groups.contains(name) {
        return proven("it is the instance group of one of the cluster's pools");
    }
    if !marks.short.is_empty() && names::is_of_cluster(name, &cluster.name, marks.short) {
        return proven(format!("its name holds the cluster's hash {}", marks.short));
    }
    if let Some(balancer) = names::balancer_in(name) {
        return match marks.balancers.get(balancer) {
            Some(service) => proven(format!("its name is made of the uid of the Service {service}")),
            None => by_circumstances(found, marks, living, "it is of a load balancer that no known Service had"),
        };
    }
    if let Some(hash) = names::second_scheme(name) {
        return match &marks.hash {
            Some(ours) if ours == hash => proven(format!("its name holds {ours}, the hash of the cluster")),
            Some(_) => other("its name holds the hash of another cluster"),
            None => by_circumstances(found, marks, living, "the cluster could not be asked for its hash"),
        };
    }
    if found.row.collection == "networkEndpointGroups"
        && let Some(uid) = thing.described("cluster-uid").or_else(|| thing.annotations.get("cluster-uid").cloned())
    {
        return match &cluster.system_uid {
            Some(ours) if *ours == uid => proven("its description names the cluster's uid"),
            _ if cluster.ingress_uids.contains(&uid) => proven("its description names the cluster's ingress uid"),
            Some(_) => other("its description names another cluster"),
            None => by_circumstances(found, marks, living, "the cluster could not be asked for its uid"),
        };
    }
    let uid = names::first_scheme(name).or_else(|| names::node_health(name));
    if let Some(uid) = uid {
        return match cluster.ingress_uids.contains(uid) {
            true => proven("its name holds the cluster's ingress uid"),
            false if cluster.ingress_uids.is_empty() => {
                by_circumstances(found, marks, living, "the cluster could not be asked for its ingress uid")
            }
            false => other("its name holds another cluster's ingress uid"),
        };
    }
    if let Some(short) = names::endpoint_group(name) {
        return match cluster.ingress_uids.iter().any(|uid| uid.get(..8) == Some(short)) {
            true => proven("its name holds the cluster's ingress uid"),
            false => by_circumstances(found, marks, living, "nothing says of which cluster it is"),
        };
    }
    if found.row.collection == "disks" && thing.described("storage.gke.io/created-by").is_some() {
        return by_circumstances(found, marks, living, "nothing says of which cluster it is");
    }
    if names::is_made(name) { open(Verdict::Other, "nothing ties it to the cluster") } else { None }
}

/// What a controller made, for nobody knows whom: like ours where it is in the right place, was made while the
/// cluster was there, and there is no other cluster that it could be of.
fn by_circumstances(found: &Found, marks: &Marks<'_>, living: &[Living], why: &str) -> Said {
    let (thing, cluster) = (&found.thing, marks.cluster);
    let place = last(&found.place);
    let here = place == "global" || region(place) == marks.region;
    let network =
        thing.network.is_empty() || cluster.network.is_empty() || last(&thing.network) == last(&cluster.network);
    let rival = living.iter().any(|rival| place == "global" || region(&rival.location) == marks.region);
    if !here || !network || rival || is_older(&thing.creation_timestamp, &cluster.created) {
        return open(Verdict::Other, why);
    }
    open(Verdict::Probable, format!("{why}; it was made here after the cluster, and no other cluster is here"))
}

/// Whether a time is before another; not where one of them is not known.
fn is_older(time: &str, than: &str) -> bool {
    match (Timestamp::parse(time), Timestamp::parse(than)) {
        (Some(time), Some(than)) => time < than,
        _ => false,
    }
}

/// What belongs together: a proven thing proves what it uses and what uses nothing but proven things, as long as
/// controllers have named them.
fn follow(found: &[Found], marks: &Marks<'_>, said: &mut [Said]) {
    let paths = found.iter().enumerate().map(|(at, found)| (path_of(&found.thing.self_link), at));
    let paths = paths.filter(|(path, _)| !path.is_empty()).collect::<BTreeMap<_, _>>();
    let is_proven = |said: &Said| said.as_ref().is_some_and(|word| word.verdict == Verdict::Proven);
    let open =
        |at: usize, said: &Said| !said.as_ref().is_some_and(|word| word.firm) && names::is_made(&found[at].thing.name);
    loop {
        let mut news: Vec<(usize, String)> = Vec::new();
        let names_proven = found
            .iter()
            .zip(said.iter())
            .filter(|(_, said)| is_proven(said))
            .flat_map(|(found, _)| {
                let name = found.thing.name.as_str();
                let firewall = found.row.collection == "firewalls";
                let balancer = names::balancer_in(name).filter(|_| firewall);
                [balancer, names::node_health(name).filter(|_| firewall)].into_iter().flatten()
            })
            .collect::<BTreeSet<_>>();
        for (at, one) in found.iter().enumerate() {
            let name = one.thing.name.as_str();
            let refers = one.thing.refers_to();
            if is_proven(&said[at]) {
                for used in refers.iter().filter_map(|link| paths.get(path_of(link))) {
                    if open(*used, &said[*used]) {
                        news.push((*used, format!("{} {name} uses it", one.row.words)));
                    }
                }
                continue;
            }
            if !open(at, &said[at]) {
                continue;
            }
            if names::balancer_in(name).or_else(|| names::node_health(name)).is_some_and(|id| names_proven.contains(id))
            {
                news.push((at, "a firewall of the same load balancer is for the cluster's nodes".to_owned()));
                continue;
            }
            let nodes = &one.thing.instances;
            let ours = |link: &String| marks.nodes.iter().any(|start| last(link).starts_with(start.as_str()));
            if !nodes.is_empty() && nodes.iter().all(ours) {
                news.push((at, "it holds nodes of the cluster".to_owned()));
                continue;
            }
            let used = refers.iter().map(|link| paths.get(path_of(link))).collect::<Vec<_>>();
            if !used.is_empty() && used.iter().all(|used| used.is_some_and(|used| is_proven(&said[*used]))) {
                news.push((at, "all that it uses is the cluster's".to_owned()));
            }
        }
        if news.is_empty() {
            return;
        }
        for (at, because) in news {
            if !is_proven(&said[at]) {
                said[at] = proven(because);
            }
        }
    }
}

#[cfg(test)]
mod tests;
