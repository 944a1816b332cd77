//! What became different between an earlier plan and this one: what a reviewer who has read the first has still to
//! read. Pure; knows nothing of files.
//!
//! The earlier plan may be of an older state, or of an older stack: resources are told apart by what they are, not by
//! the component that they stand in.

use std::collections::BTreeMap;

use crate::address::{Address, Identity};
use crate::plan::cost::{Amount, Cost};
use crate::plan::model::{Action, Basis, FORMAT, Pause, Plan, Reason, ResourceChange};
use crate::plan::risk::Risk;

/// A resource with what a plan does to it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// Which.
    pub address: Address,
    /// What happens to it.
    pub action: Action,
}

/// A resource to which both plans do something, and not the same.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Other {
    /// Which.
    pub address: Address,
    /// What the earlier plan does.
    pub before: Action,
    /// What this one does; the same where only attributes differ.
    pub after: Action,
}

/// What became different.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Only this plan changes them.
    pub new: Vec<Step>,
    /// Only the earlier plan changed them.
    pub gone: Vec<Step>,
    /// Both do, each in another way.
    pub other: Vec<Other>,
    /// How many changes are the same in both.
    pub same: usize,
    /// Outputs that differ afterwards.
    pub outputs: Vec<String>,
    /// The places in which each may end, or the order in which they are tried, differ.
    pub other_places: bool,
    /// What the stack costs once each is carried out, where that differs.
    pub cost: Option<(Amount, Amount)>,
    /// What deserves a second look and did not before.
    pub new_risks: Vec<Risk>,
    /// What deserved one and does no more.
    pub gone_risks: Vec<Risk>,
    /// The state that each was made from, where that differs: something was applied in between.
    pub serials: Option<(u64, u64)>,
    /// Of the earlier plan, only what happens to each resource is known: whether attributes, outputs or risks differ is
    /// not.
    pub is_shallow: bool,
    /// The states have nothing to do with each other: the stack was made anew, or it is another place.
    pub other_state: bool,
}

impl Comparison {
    /// Whether carrying out one is carrying out the other.
    pub fn is_same(&self) -> bool {
        self.new.is_empty()
            && self.gone.is_empty()
            && self.other.is_empty()
            && self.outputs.is_empty()
            && !self.other_places
    }
}

/// An earlier plan, as far as it is known.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// The stack that it is of.
    pub stack: String,
    plan: Plan,
    /// Only what happens to each resource is known, and not to which attributes.
    is_shallow: bool,
}

impl From<Plan> for Earlier {
    fn from(plan: Plan) -> Self {
        Earlier { stack: plan.stack.clone(), plan, is_shallow: false }
    }
}

/// A plan's JSON in Terraform's shape, of which the members that are ours are read.
#[derive(serde::Deserialize)]
struct Told {
    stack: String,
    #[serde(default)]
    basis: Basis,
    #[serde(default)]
    cost: Option<Cost>,
    resource_changes: Vec<ToldChange>,
}

#[derive(serde::Deserialize)]
struct ToldChange {
    address: Address,
    /// Where the address is Terraform's.
    #[serde(default)]
    stackwright_address: Option<Address>,
    action: Action,
}

impl Earlier {
    /// From what `plan --json` or `show --json` printed.
    ///
    /// # Errors
    /// Why it is none, in words that follow the file's name.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|_| "this is neither a saved plan nor JSON".to_owned())?;
        if json.get("resource_changes").is_none() {
            let plan = serde_json::from_value::<Plan>(json);
            return plan.map(Earlier::from).map_err(|error| format!("this JSON is no plan: {error}"));
        }
        let told = serde_json::from_value::<Told>(json)
            .map_err(|error| format!("this JSON is no plan of stackwright's: {error}"))?;
        let change = |told: ToldChange| ResourceChange {
            address: told.stackwright_address.unwrap_or(told.address),
            kind: String::new(),
            action: told.action,
            reason: Reason::Same,
            moved_from: None,
            changes: Vec::new(),
            before: None,
            after: None,
            id: None,
            needed: Vec::new(),
            connection: None,
            goes_with: None,
            ceded: Vec::new(),
            timeout_seconds: 0,
            estimate_seconds: 0,
            removal_seconds: 0,
            measured: 0,
            origin: None,
            resume: false,
            take: false,
        };
        let mut changes = told.resource_changes.into_iter().map(change).collect::<Vec<_>>();
        changes.sort_by(|a, b| a.address.cmp(&b.address));
        let plan = Plan {
            format: FORMAT,
            stack: told.stack.clone(),
            basis: told.basis,
            changes,
            edges: Vec::new(),
            drift: Vec::new(),
            outputs: BTreeMap::new(),
            proofs: Vec::new(),
            partial: false,
            destroy: false,
            refresh_only: false,
            looked_up: BTreeMap::new(),
            pause: Pause::None,
            cost: told.cost,
            placement: None,
        };
        Ok(Earlier { stack: told.stack, plan, is_shallow: true })
    }
}

fn acts(change: &ResourceChange) -> bool {
    change.action != Action::NoOp || change.moved_from.is_some() || change.resume
}

fn steps(plan: &Plan) -> BTreeMap<Identity, &ResourceChange> {
    plan.changes.iter().filter(|change| acts(change)).map(|change| (change.address.identity(), change)).collect()
}

/// What became different since `earlier`.
pub fn compare(earlier: &Earlier, plan: &Plan) -> Comparison {
    let Earlier { plan: earlier, is_shallow, .. } = earlier;
    let (before, after) = (steps(earlier), steps(plan));
    let step = |change: &&ResourceChange| Step { address: change.address.clone(), action: change.action };
    let mut comparison = Comparison {
        gone: before.iter().filter(|(id, _)| !after.contains_key(*id)).map(|(_, change)| step(change)).collect(),
        is_shallow: *is_shallow,
        ..Comparison::default()
    };
    for (identity, change) in &after {
        match before.get(identity) {
            None => comparison.new.push(step(change)),
            Some(was) if is_same(was, change) || (*is_shallow && was.action == change.action) => comparison.same += 1,
            Some(was) => {
                let address = change.address.clone();
                comparison.other.push(Other { address, before: was.action, after: change.action });
            }
        }
    }
    let (was, is) = (&earlier.basis, &plan.basis);
    // Before the first apply there is no state, and so no other one.
    comparison.other_state = was.lineage != is.lineage && !was.lineage.is_empty();
    comparison.serials = Some((was.serial, is.serial)).filter(|(was, is)| was != is && !comparison.other_state);
    let cost = |plan: &Plan| plan.cost.as_ref().map(|cost| cost.after).unwrap_or_default();
    comparison.cost = Some((cost(earlier), cost(plan))).filter(|(before, after)| before != after);
    // What is not known of the earlier plan is no news.
    if *is_shallow {
        return comparison;
    }
    let later = |plan: &Plan, name: &str| plan.outputs.get(name).map(|output| (output.after.clone(), output.sensitive));
    let mut names = earlier.outputs.keys().chain(plan.outputs.keys()).cloned().collect::<Vec<_>>();
    names.sort();
    names.dedup();
    names.retain(|name| later(earlier, name) != later(plan, name));
    comparison.outputs = names;
    comparison.other_places = earlier.placement != plan.placement;
    let (had, has) = (earlier.risks(), plan.risks());
    comparison.new_risks = has.iter().filter(|risk| !had.contains(risk)).cloned().collect();
    comparison.gone_risks = had.into_iter().filter(|risk| !has.contains(risk)).collect();
    comparison
}

/// Whether two changes of one resource are the same to whoever reads them.
fn is_same(was: &ResourceChange, is: &ResourceChange) -> bool {
    was.action == is.action
        && was.reason == is.reason
        && was.changes == is.changes
        && was.after == is.after
        && was.take == is.take
        && was.resume == is.resume
        && was.moved_from == is.moved_from
        && was.goes_with == is.goes_with
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::sample::{change, cost, created, deleted, differs, everything, output, plan, updated};

    fn since(earlier: &Plan, later: &Plan) -> Comparison {
        compare(&Earlier::from(earlier.clone()), later)
    }

    #[test]
    fn json_of_a_plan_will_do() {
        let plan = everything();
        let json = serde_json::to_vec(&plan).expect("JSON");
        let comparison = compare(&Earlier::from_json(&json).expect("a plan"), &plan);
        assert!(comparison.is_same() && !comparison.is_shallow);
        // In Terraform's shape.
        let told = json!({"format_version": "1.2", "stack": "demo", "basis": {"lineage": "", "serial": 4, "target": null},
            "cost": cost(1.0, 1.0), "resource_changes": [
            {"address": "node_pools.gpu", "action": "update", "change": {"actions": ["update"]}},
            {"address": "google_x.y", "stackwright_address": "values.asked", "action": "create"},
            {"address": "values.other", "action": "delete"},
            {"address": "cluster", "action": "no_op"}]});
        let earlier = Earlier::from_json(told.to_string().as_bytes()).expect("a plan");
        assert_eq!(earlier.stack, "demo");
        let comparison = compare(&earlier, &plan);
        assert!(comparison.is_shallow && comparison.same == 1 && comparison.other.len() == 1, "{comparison:?}");
        assert_eq!((comparison.gone.len(), comparison.new.len()), (1, 17));
        assert_eq!(comparison.serials, Some((4, 0)));
        for (bad, why) in [("nothing", "neither"), ("{}", "no plan"), ("{\"resource_changes\": 1}", "stackwright")] {
            let error = Earlier::from_json(bad.as_bytes()).expect_err(bad);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_plan_is_the_same_as_itself_whatever_was_applied_in_between() {
        let earlier = everything();
        let mut later = earlier.clone();
        later.basis.serial = 7;
        let comparison = since(&earlier, &later);
        assert!(comparison.is_same() && comparison.same == 19, "{comparison:?}");
        assert_eq!((comparison.serials, comparison.other_state), (Some((0, 7)), false));
        assert_eq!((comparison.new_risks.len(), comparison.gone_risks.len()), (0, 0));
    }

    #[test]
    fn what_is_new_gone_or_otherwise_is_told_apart() {
        let pool = |nodes: i64| {
            updated("node_pools.gpu", json!({"nodes": nodes}), vec![differs("nodes", json!(1), json!(nodes))])
        };
        let mut earlier = plan(vec![
            pool(2),
            created("addons.a/ConfigMap/x/same", json!({"data": {}})),
            created("addons.a/ConfigMap/x/less", json!({})),
            change("values.a", Action::NoOp, crate::plan::model::Reason::Same),
        ]);
        earlier.outputs.insert("o".to_owned(), output(json!(1), json!(2)));
        earlier.cost = Some(cost(1.0, 1.0));
        let mut later = plan(vec![
            pool(3),
            // Another component has it now: it is the same object.
            created("addons.b/ConfigMap/x/same", json!({"data": {}})),
            deleted("addons.a/ConfigMap/x/less"),
            deleted("values.a"),
        ]);
        later.outputs.insert("o".to_owned(), output(json!(1), json!(3)));
        later.cost = Some(cost(1.0, 2.0));
        let comparison = since(&earlier, &later);
        let other = |address: &str, before, after| Other { address: Address::new(address), before, after };
        let expected = [
            other("addons.a/ConfigMap/x/less", Action::Create, Action::Delete),
            other("node_pools.gpu", Action::Update, Action::Update),
        ];
        assert_eq!(comparison.other, expected);
        assert_eq!(comparison.new, [Step { address: Address::new("values.a"), action: Action::Delete }]);
        assert_eq!((comparison.gone.len(), comparison.same), (0, 1));
        assert_eq!(comparison.outputs, ["o"]);
        let (before, after) = comparison.cost.expect("another price");
        assert_eq!((before.per_hour, after.per_hour), (1.0, 2.0));
        assert!(!comparison.new_risks.is_empty() && !comparison.is_same());
        assert_eq!(since(&later, &earlier).gone[0].address, Address::new("values.a"));
    }

    #[test]
    fn another_state_is_told() {
        let earlier = plan(Vec::new());
        let mut later = earlier.clone();
        later.basis.lineage = "b".to_owned();
        // The first apply has made the state.
        assert!(!since(&earlier, &later).other_state);
        let mut earlier = earlier;
        earlier.basis.lineage = "a".to_owned();
        assert!(since(&earlier, &later).other_state);
    }
}
