//! What in a plan deserves a second look, and why: what is replaced, destroyed or interrupted, whose address changes,
//! which nodes go, what it costs. Data that every view shares; judged from the plan alone, so that a saved plan tells
//! the same. Pure. Not for forbidding anything, and not for how it looks.

mod drift;
mod objects;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::plan::model::{Action, Plan, Reason, ResourceChange};

pub use drift::{Outcome, outcomes};

/// How much it matters, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Something is lost, or nobody is served for minutes.
    High,
    /// Somebody may notice.
    Medium,
    /// Good to know.
    Low,
}

/// What kind of thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Something is deleted and made again.
    Replace,
    /// Something is deleted.
    Destroy,
    /// Nobody answers for a while.
    Downtime,
    /// Clients find it elsewhere.
    Address,
    /// Nodes go, with the pods on them.
    Drain,
    /// Somebody else has set what is to be changed.
    Conflict,
    /// It stays, and nothing deletes it later.
    LeftBehind,
    /// What is there becomes this stack's.
    Adopt,
    /// Others have changed something since the last apply.
    Drift,
    /// The bill changes.
    Cost,
}

impl Class {
    /// One or two words for it, as a heading.
    pub fn word(self) -> &'static str {
        match self {
            Class::Replace => "replace",
            Class::Destroy => "destroy",
            Class::Downtime => "downtime",
            Class::Address => "address change",
            Class::Drain => "node drain",
            Class::Conflict => "conflict",
            Class::LeftBehind => "left behind",
            Class::Adopt => "takeover",
            Class::Drift => "drift",
            Class::Cost => "cost",
        }
    }
}

/// One thing to know before saying yes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Risk {
    /// How much it matters.
    pub level: Level,
    /// What happens.
    pub class: Class,
    /// The component that it happens to; nothing where it is the whole stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The resources that it happens to, in order; none for what concerns the stack as such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Why, or what of it: words that follow the resource and a colon.
    pub why: String,
    /// Other components that feel it: the workloads whose pods run on a pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub affects: Vec<String>,
}

impl Risk {
    fn of(level: Level, class: Class, change: &ResourceChange, why: impl Into<String>) -> Self {
        Risk {
            level,
            class,
            component: Some(change.address.component().to_owned()),
            addresses: vec![change.address.clone()],
            why: why.into(),
            affects: Vec::new(),
        }
    }
}

impl Plan {
    /// What deserves a second look, the gravest first; empty when nothing does.
    pub fn risks(&self) -> Vec<Risk> {
        let mut risks = Vec::new();
        if self.destroy && !self.partial {
            risks.extend(whole(self));
        } else {
            let users = users(self);
            replaced(self, &users, &mut risks);
            destroyed(self, &mut risks);
            for change in &self.changes {
                disturbed(change, &users, &mut risks);
                objects::interrupted(change, &mut risks);
            }
        }
        left_behind(self, &mut risks);
        adopted(self, &mut risks);
        drift::drifted(self, &mut risks);
        risks.extend(cost(self));
        let mut risks = gathered(risks);
        risks.sort_by(|a, b| (a.level, a.class, &a.component).cmp(&(b.level, b.class, &b.component)));
        risks
    }
}

/// What has the same reason in the same component is one thing to know.
fn gathered(risks: Vec<Risk>) -> Vec<Risk> {
    type Key = (Level, Class, Option<String>, String, Vec<String>);
    let mut seen: BTreeMap<Key, usize> = BTreeMap::new();
    let mut out: Vec<Risk> = Vec::new();
    for risk in risks {
        let key = (risk.level, risk.class, risk.component.clone(), risk.why.clone(), risk.affects.clone());
        match seen.get(&key) {
            Some(&at) => out[at].addresses.extend(risk.addresses),
            None => {
                seen.insert(key, out.len());
                out.push(risk);
            }
        }
    }
    out
}

/// The components whose pods run on a pool, by the pool's address.
fn users(plan: &Plan) -> BTreeMap<&Address, BTreeSet<&str>> {
    let pools = plan.changes.iter().filter(|change| change.kind == "gke.node_pool" && change.action.acts());
    let mut users = pools.map(|change| (&change.address, BTreeSet::new())).collect::<BTreeMap<_, _>>();
    for edge in &plan.edges {
        let Some(users) = users.get_mut(&edge.dependency) else { continue };
        let component = edge.dependent.component();
        // What an add-on runs on every node, it runs on the new ones as well.
        if !["cluster", "node_pools", "addons"].contains(&component.split('.').next().unwrap_or_default()) {
            users.insert(component);
        }
    }
    users
}

fn affected(change: &ResourceChange, users: &BTreeMap<&Address, BTreeSet<&str>>) -> Vec<String> {
    users.get(&change.address).into_iter().flatten().map(|&name| name.to_owned()).collect()
}

/// The stack as a whole goes.
fn whole(plan: &Plan) -> Option<Risk> {
    let gone = plan.changes.iter().filter(|change| change.action == Action::Delete);
    let addresses = gone.map(|change| change.address.clone()).collect::<Vec<_>>();
    let why = match plan.changes.iter().any(|change| change.action == Action::Delete && objects::holds_data(change)) {
        true => "the whole stack goes, and the data on its volumes",
        false => "the whole stack goes",
    };
    let risk = Risk {
        level: Level::High,
        class: Class::Destroy,
        component: None,
        addresses,
        why: why.to_owned(),
        affects: Vec::new(),
    };
    (!risk.addresses.is_empty()).then_some(risk)
}

/// A path as people write it.
fn dotted(path: &[String]) -> String {
    let mut out = String::new();
    for key in path {
        if !out.is_empty() && !key.starts_with('[') {
            out.push('.');
        }
        out.push_str(key);
    }
    out
}

fn replaced(plan: &Plan, users: &BTreeMap<&Address, BTreeSet<&str>>, risks: &mut Vec<Risk>) {
    for change in plan.changes.iter().filter(|change| change.action == Action::Replace) {
        let is_object = change.address.object_key().is_some();
        // What goes with its cluster is one thing to know, however much it is.
        if let Reason::ConnectionReplaced(connection) = &change.reason {
            let why = format!("{connection}, which it lives in, is made anew");
            risks.push(Risk { component: None, ..Risk::of(Level::High, Class::Replace, change, why) });
            objects::readdressed(change, risks);
            continue;
        }
        let mut why = match &change.reason {
            Reason::Forced(paths) => {
                let paths = paths.iter().map(|path| dotted(path)).collect::<Vec<_>>().join(", ");
                format!("{paths} cannot be changed in place")
            }
            Reason::Requested => "asked for with --replace".to_owned(),
            Reason::Unfinished => "an earlier run was stopped while it was on its way out".to_owned(),
            _ => "it is made anew".to_owned(),
        };
        let toll = change.changes.iter().filter(|one| one.forces_replace).find_map(|one| one.effect.as_deref());
        let toll = toll.map(str::to_owned).or_else(|| match change.kind.as_str() {
            "gke.node_pool" => Some("its nodes are deleted, with the pods on them".to_owned()),
            _ => objects::toll(change).map(str::to_owned),
        });
        if let Some(toll) = toll {
            why.push_str(&format!("; {toll}"));
        }
        let grave = !is_object && change.kind.starts_with("gke.") || objects::is_grave(change);
        let level = if grave { Level::High } else { Level::Medium };
        risks.push(Risk { affects: affected(change, users), ..Risk::of(level, Class::Replace, change, why) });
        objects::readdressed(change, risks);
    }
}

fn destroyed(plan: &Plan, risks: &mut Vec<Risk>) {
    let mut stays = BTreeSet::new();
    let mut gone: BTreeMap<&str, Vec<&ResourceChange>> = BTreeMap::new();
    for change in &plan.changes {
        match change.action {
            Action::Delete => gone.entry(change.address.component()).or_default().push(change),
            Action::Forget => {}
            _ => drop(stays.insert(change.address.component())),
        }
    }
    for (component, changes) in gone {
        let is_whole = !plan.partial && !stays.contains(component);
        let mut why = match (plan.destroy, is_whole) {
            (true, _) => "it is taken away".to_owned(),
            (false, true) => "the stack does not have it any more".to_owned(),
            (false, false) => "the stack does not have it any more; the rest of the component stays".to_owned(),
        };
        let serves = is_whole && component.starts_with("workloads.");
        if serves {
            why.push_str("; its model answers no more");
        }
        let mut tolls = Vec::new();
        for toll in changes.iter().filter_map(|change| objects::toll(change)) {
            if !tolls.contains(&toll) {
                tolls.push(toll);
            }
        }
        tolls.iter().for_each(|toll| why.push_str(&format!("; {toll}")));
        let grave = changes.iter().any(|change| change.kind.starts_with("gke.") || objects::is_grave(change));
        risks.push(Risk {
            level: if grave || serves { Level::High } else { Level::Medium },
            class: Class::Destroy,
            component: Some(component.to_owned()),
            addresses: changes.iter().map(|change| change.address.clone()).collect(),
            why,
            affects: Vec::new(),
        });
        changes.iter().for_each(|change| objects::readdressed(change, risks));
    }
}

/// What carrying out a change in place disturbs, as its kind says.
fn disturbed(change: &ResourceChange, users: &BTreeMap<&Address, BTreeSet<&str>>, risks: &mut Vec<Risk>) {
    if change.action != Action::Update {
        return;
    }
    let mut holders = BTreeSet::new();
    for one in &change.changes {
        holders.extend(one.held_by.iter().map(String::as_str));
        let Some(effect) = one.effect.as_deref().filter(|_| !one.forces_replace) else { continue };
        if change.kind == "gke.cluster" && one.path == ["version"] {
            risks.push(Risk::of(Level::Medium, Class::Downtime, change, effect));
        } else if change.kind.starts_with("gke.") {
            let affects = affected(change, users);
            let none_left = change.after.as_ref().is_some_and(|after| {
                let nodes = after.get("nodes").and_then(crate::value::Value::as_int);
                nodes.is_some_and(|nodes| nodes == 0 || (nodes == 1 && one.path != ["nodes"]))
            });
            let level = if none_left && !affects.is_empty() { Level::High } else { Level::Medium };
            risks.push(Risk { affects, ..Risk::of(level, Class::Drain, change, effect) });
        } else {
            risks.push(Risk::of(Level::Medium, Class::Downtime, change, effect));
        }
    }
    if holders.is_empty() {
        return;
    }
    let names = holders.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    risks.push(match change.take {
        true => Risk::of(Level::Medium, Class::Conflict, change, format!("fields are taken from {names}")),
        false => {
            let why = format!("{names} has set fields of it: apply stops there, unless --force-conflicts takes them");
            Risk::of(Level::High, Class::Conflict, change, why)
        }
    });
}

fn left_behind(plan: &Plan, risks: &mut Vec<Risk>) {
    for change in plan.changes.iter().filter(|change| change.action == Action::Forget) {
        let (level, why) = match change.reason {
            Reason::Abandoned => (Level::High, "it stays where it is, and what it costs, it goes on costing"),
            Reason::Kept => (Level::Low, "its makers want it to stay"),
            _ => continue,
        };
        risks.push(Risk::of(level, Class::LeftBehind, change, why));
    }
}

fn adopted(plan: &Plan, risks: &mut Vec<Risk>) {
    for change in &plan.changes {
        let why = match (change.action, &change.reason) {
            (_, Reason::Wanted) => "it is there, was nobody's, and becomes this stack's",
            (Action::Adopt | Action::Update, Reason::Found) => {
                "it carries this stack's labels and comes back into the state"
            }
            _ => continue,
        };
        risks.push(Risk::of(Level::Low, Class::Adopt, change, why));
    }
}

fn cost(plan: &Plan) -> Option<Risk> {
    let cost = plan.cost.as_ref()?;
    let more = cost.after.per_day - cost.now.per_day;
    let complete = cost.after.complete && cost.now.complete;
    if more.abs() < 0.005 && (complete || cost.after == cost.now) {
        return None;
    }
    let sign = if more < 0.0 { '-' } else { '+' };
    let limit = if complete { "" } else { ", as far as prices are known" };
    let why = format!(
        "{sign}${:.2} a day: ${:.2} now, ${:.2} afterwards{limit}",
        more.abs(),
        cost.now.per_day,
        cost.after.per_day
    );
    let level = if more > 0.0 { Level::Medium } else { Level::Low };
    Some(Risk { level, class: Class::Cost, component: None, addresses: Vec::new(), why, affects: Vec::new() })
}
