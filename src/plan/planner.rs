//! From desired, recorded and observed to a [`Plan`], in named steps.
//!
//! Pure: the same request gives the same plan. Resources are visited in dependency order, so that what a
//! reference will see is known, or known to be unknown, when its dependents are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::address::{Address, Identity};
use crate::diag::{Diagnostic, Diagnostics, suggest};
use crate::graph::Graph;
use crate::plan::cost;
use crate::plan::dependencies;
use crate::plan::discretion;
use crate::plan::execution;
use crate::plan::expectation::{Expected, Experience};
use crate::plan::leaving;
use crate::plan::model::{
    Action, Basis, Drift, Edge, FORMAT, OutputChange, Pause, Plan, PlannedProof, Reason, ResourceChange,
};
use crate::plan::pause::{self, Pausing};
use crate::plan::places;
use crate::resource::hook;
use crate::resource::kind::{Demise, Kind, KindTable, Observed, Prior};
use crate::resource::model::{Crowded, Desired, Resource};
use crate::state::model::{Intent, Recorded, State, Target};
use crate::value::{Reference, Scope, Value};

/// Everything a plan depends on.
pub struct Request<'a> {
    /// The kinds of the program.
    pub kinds: &'a KindTable,
    /// What the stack wants; nothing for a destroy.
    pub desired: &'a Desired,
    /// What state says.
    pub recorded: &'a State,
    /// What is there.
    pub observed: &'a BTreeMap<Identity, Observed>,
    /// Connections that do not answer, and that the plan takes away: what is in them goes unseen.
    pub unreachable: &'a BTreeSet<Address>,
    /// The place that would be changed.
    pub target: Option<Target>,
    /// The name of the stack's key, where it has one.
    pub key: Option<&'a str>,
    /// Keyed digests of the secret inputs' values.
    pub secrets: &'a BTreeMap<String, String>,
    /// Secrets that charts have found in the cluster, or that the stack's own Secrets hold, by name: to see what they
    /// leave as it is. Never shown.
    pub found: &'a BTreeMap<String, String>,
    /// What the user asked for besides.
    pub options: &'a Options,
}

/// What the user asked for besides the stack.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Take everything away.
    pub destroy: bool,
    /// Only these and what they need; never deletes.
    pub targets: Vec<Address>,
    /// Replace these even if they are as desired.
    pub replace: Vec<Address>,
    /// Cloud resources that were renamed in the stack: (from, to).
    pub moved: Vec<(Address, Address)>,
    /// Resources, or whole components, that are there and become this stack's.
    pub adopt: Vec<Address>,
    /// Take fields back that other field managers have set.
    pub force_conflicts: bool,
    /// Run no hooks.
    pub no_hooks: bool,
    /// Resources, or whole components, that a destroy leaves where they are and drops from the state.
    pub abandon: Vec<Address>,
    /// Change nothing, and take note of what others have changed.
    pub refresh_only: bool,
    /// Pause the stack, or end its pause.
    pub pausing: Pausing,
}

impl Options {
    /// Whether a resource that is there and nobody's is to be taken over.
    pub fn adopts(&self, address: &Address) -> bool {
        self.adopt.iter().any(|wanted| leaving::names(wanted, address))
    }

    /// Whether a resource that goes is to be left where it is.
    pub(super) fn abandons(&self, address: &Address) -> bool {
        self.abandon.iter().any(|wanted| leaving::names(wanted, address))
    }
}

/// Makes the plan.
///
/// # Errors
/// All mistakes found, none of them about a platform's answer: those are the engine's.
pub fn plan(request: &Request<'_>) -> Result<Plan, Diagnostics> {
    check_identities(request.desired)?;
    if request.options.refresh_only {
        return Ok(Plan { drift: Planner::new(request).drift(), refresh_only: true, ..empty(request) });
    }
    let arranged = pause::arrange(request)?;
    let unpaused = request.desired.resources.iter().map(|r| (&r.address, &*r.attrs)).collect::<BTreeMap<_, _>>();
    let pause = arranged.as_ref().map_or(Pause::None, |(_, pause)| *pause);
    let request = &match &arranged {
        Some((desired, _)) => Request { desired, target: request.target.clone(), ..*request },
        None => Request { target: request.target.clone(), ..*request },
    };
    let graph = dependencies::graph(request.desired).map_err(Diagnostics)?;
    leaving::named(request.recorded, &request.options.abandon, "what is to be abandoned,")?;
    let (wanted, leaving) = match request.options.destroy {
        true => (None, leaving::targeted(request.recorded, &request.options.targets)?),
        false => (targeted(request, &graph)?, None),
    };
    let mut planner = Planner::new(request);
    planner.visit_desired(&graph, &wanted)?;
    planner.visit_hooks(&wanted);
    if wanted.is_none() {
        planner.visit_removed(leaving.as_ref());
    }
    let drift = planner.drift();
    // Of a stack that is partly taken away, the outputs stay as they were: which of them still hold is unknown.
    let outputs = if leaving.is_some() { BTreeMap::new() } else { planner.outputs(wanted.is_some()) };
    let mut changes = planner.changes;
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    let cost = cost::of(request, &changes, &unpaused);
    let plan = Plan {
        changes,
        edges: edges(&graph, wanted.as_ref()),
        drift,
        outputs,
        proofs: request.desired.proofs.iter().map(proof).collect(),
        partial: wanted.is_some() || leaving.is_some(),
        destroy: request.options.destroy,
        cost,
        pause,
        ..empty(request)
    };
    let placement = places::of(request, &plan)?;
    let plan = Plan { placement, ..plan };
    if let Err(cycle) = execution::graph(&plan).order() {
        let members = cycle.0.iter().map(|task| format!("{:?} {}", task.phase, task.address)).collect::<Vec<_>>();
        return Err(Diagnostic::error("the changes cannot be put in order")
            .detail(members.join("\n"))
            .hint("apply in two steps: first take the removed resources out, then make the other changes")
            .into());
    }
    Ok(plan)
}

/// A plan without a change.
fn empty(request: &Request<'_>) -> Plan {
    Plan {
        format: FORMAT,
        stack: request.desired.stack.clone(),
        basis: Basis {
            lineage: request.recorded.lineage.clone(),
            serial: request.recorded.serial,
            target: request.target.clone(),
            secrets: request.secrets.clone(),
            key: request.key.map(str::to_owned),
        },
        changes: Vec::new(),
        edges: Vec::new(),
        drift: Vec::new(),
        outputs: BTreeMap::new(),
        proofs: Vec::new(),
        partial: false,
        destroy: false,
        refresh_only: false,
        looked_up: BTreeMap::new(),
        pause: Pause::None,
        cost: None,
        placement: None,
    }
}

fn proof(proof: &crate::resource::model::Proof) -> PlannedProof {
    PlannedProof {
        component: proof.component.clone(),
        url: proof.url.clone(),
        model: proof.model.clone(),
        ca: proof.ca.clone(),
        server_name: proof.server_name.clone(),
        api_key: proof.api_key.clone(),
        gateway: proof.gateway.clone(),
        timeout_seconds: proof.timeout.as_secs(),
    }
}

/// Two addresses with one identity would fight over one thing.
fn check_identities(desired: &Desired) -> Result<(), Diagnostics> {
    let mut owners: BTreeMap<Identity, &Address> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for resource in &desired.resources {
        if let Some(other) = owners.insert(resource.address.identity(), &resource.address) {
            mistakes.push(
                Diagnostic::error(format!("{} and {} are the same object", other, resource.address))
                    .about(resource.address.clone())
                    .hint("keep it in one of the two components"),
            );
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(Diagnostics(mistakes)) }
}

/// The addresses that `--target` leaves in, dependencies included; `None` without `--target`.
fn targeted(request: &Request<'_>, graph: &Graph<Address>) -> Result<Option<BTreeSet<Address>>, Diagnostics> {
    let targets = &request.options.targets;
    if targets.is_empty() {
        return Ok(None);
    }
    let all = graph.nodes().collect::<BTreeSet<_>>();
    let mut wanted = BTreeSet::new();
    let mut queue = Vec::new();
    let mut mistakes = Vec::new();
    for target in targets {
        let matching = all
            .iter()
            .filter(|a| ***a == *target || a.component() == target.as_str())
            .map(|a| (*a).clone())
            .collect::<Vec<_>>();
        if matching.is_empty() {
            let diagnostic = Diagnostic::error(format!("the target {target} is not in the stack"));
            mistakes.push(match suggest(target.as_str(), all.iter().map(|a| a.as_str())) {
                Some(candidate) => diagnostic.hint(format!("did you mean {candidate}?")),
                None => diagnostic.hint("`stackwright state list` and `stackwright graph` show the addresses"),
            });
        }
        queue.extend(matching);
    }
    if !mistakes.is_empty() {
        return Err(Diagnostics(mistakes));
    }
    while let Some(address) = queue.pop() {
        if wanted.insert(address.clone()) {
            queue.extend(graph.dependencies(&address).into_iter().map(|(key, _)| key.clone()));
        }
    }
    Ok(Some(wanted))
}

fn edges(graph: &Graph<Address>, wanted: Option<&BTreeSet<Address>>) -> Vec<Edge> {
    let mut edges = Vec::with_capacity(graph.edge_count());
    for dependent in graph.nodes().filter(|a| wanted.is_none_or(|w| w.contains(*a))) {
        for (dependency, reasons) in graph.dependencies(dependent) {
            edges.push(Edge {
                dependent: dependent.clone(),
                dependency: dependency.clone(),
                reasons: reasons.to_vec(),
            });
        }
    }
    edges.sort();
    edges
}

pub(super) struct Planner<'a> {
    pub(super) request: &'a Request<'a>,
    recorded_by_move: BTreeMap<Identity, Identity>,
    /// Outputs by address, of those that somebody refers to.
    pub(super) outputs: KnownOutputs,
    referenced: BTreeSet<Address>,
    pub(super) changes: Vec<ResourceChange>,
    pub(super) actions: BTreeMap<Address, Action>,
    pub(super) seen: BTreeSet<Identity>,
    /// What holds secrets that charts have found, and is there with the very same ones.
    unchanged: BTreeSet<Address>,
}

#[derive(Default)]
pub(super) struct KnownOutputs(BTreeMap<Address, Value>);

impl Scope for KnownOutputs {
    fn output(&self, reference: &Reference) -> Option<Value> {
        self.0.get(&reference.address)?.at(&reference.path).filter(|value| value.is_known()).cloned()
    }

    fn secret(&self, _input: &str) -> Option<String> {
        None
    }
}

impl<'a> Planner<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let mut referenced = BTreeSet::new();
        let mut note = |value: &Value| {
            value.visit_templates(&mut |t| referenced.extend(t.references().map(|r| r.address.clone())));
        };
        for resource in &request.desired.resources {
            note(&resource.attrs);
        }
        request.desired.outputs.values().for_each(|output| note(&output.value));
        let recorded_by_move = request
            .options
            .moved
            .iter()
            .filter(|(from, to)| {
                let resources = &request.recorded.resources;
                resources.contains_key(&from.identity()) && !resources.contains_key(&to.identity())
            })
            .map(|(from, to)| (to.identity(), from.identity()))
            .collect();
        Planner {
            request,
            recorded_by_move,
            outputs: KnownOutputs::default(),
            referenced,
            changes: Vec::new(),
            actions: BTreeMap::new(),
            seen: BTreeSet::new(),
            unchanged: BTreeSet::new(),
        }
    }

    fn visit_desired(&mut self, graph: &Graph<Address>, wanted: &Option<BTreeSet<Address>>) -> Result<(), Diagnostics> {
        let resources = self.request.desired.resources.iter().map(|r| (&r.address, r)).collect::<BTreeMap<_, _>>();
        let order = graph.order().unwrap_or_default();
        let mut mistakes = Vec::new();
        for address in &order {
            let Some(resource) = resources.get(address).filter(|resource| resource.kind != hook::KIND) else {
                continue;
            };
            if wanted.as_ref().is_some_and(|w| !w.contains(address)) {
                continue;
            }
            let Some(kind) = self.request.kinds.get(resource.kind) else {
                mistakes.push(
                    Diagnostic::error(format!("there is no kind {}", resource.kind)).about(resource.address.clone()),
                );
                continue;
            };
            mistakes.extend(kind.check(resource));
            self.visit(resource, kind);
            let observed = self.request.observed.get(&resource.address.identity());
            // What is made anew, or where it is made anew, is not bound by what there was.
            let changes = |action: &Action| matches!(action, Action::Update | Action::Adopt | Action::NoOp);
            if let Some(observed) = observed.filter(|_| self.actions.get(address).is_some_and(changes)) {
                let refused = kind.refuse(&resource.attrs, observed).into_iter();
                mistakes.extend(refused.map(|mistake| mistake.about(resource.address.clone())));
            }
        }
        if mistakes.iter().any(|d| d.severity == crate::diag::Severity::Error) {
            return Err(Diagnostics(mistakes));
        }
        Ok(())
    }

    fn visit(&mut self, resource: &Resource, kind: &dyn Kind) {
        let identity = resource.address.identity();
        let recorded_identity = self.recorded_by_move.get(&identity).unwrap_or(&identity).clone();
        let recorded = self.request.recorded.resources.get(&recorded_identity);
        self.seen.insert(recorded_identity.clone());
        let replaced = resource
            .connection
            .as_ref()
            .filter(|c| matches!(self.actions.get(*c), Some(Action::Create | Action::Replace)));
        let observed = self.request.observed.get(&recorded_identity);
        let reachable = observed.filter(|_| replaced.is_none());
        let after = match resource.attrs.is_known() {
            true => resource.attrs.clone(),
            false => Arc::new(resource.attrs.resolve_known(&self.outputs)),
        };
        let prior = Prior {
            recorded: recorded.map(|r| &*r.record).filter(|record| **record != Value::Null),
            observed: reachable,
        };
        let as_found = self.as_found(&after).filter(|_| reachable.is_some());
        let mut changes = match (reachable, &as_found) {
            (Some(_), Some(found)) => discretion::of_desired(kind.diff(found, &resource.ceded, prior), &after),
            (Some(_), None) => kind.diff(&after, &resource.ceded, prior),
            (None, _) => Vec::new(),
        };
        if as_found.is_some() && changes.is_empty() {
            self.unchanged.insert(resource.address.clone());
        }
        discretion::of_recorded(&mut changes, recorded);
        if let Some(crowded) = self.request.desired.crowded.get(&resource.address) {
            make_way(&mut changes, crowded);
        }
        let (action, reason) = self.decide(resource, recorded, observed, replaced, &changes);
        let resume = recorded.and_then(|r| r.pending.as_ref()).is_some_and(|p| p.action != Intent::Delete)
            && matches!(action, Action::Create | Action::NoOp | Action::Update);
        self.note_outputs(resource, kind, action, &after, reachable);
        let goes_with = match (replaced, observed) {
            (Some(connection), Some(observed)) if kind.demise(&observed.attrs) == Demise::WithConnection => {
                Some(connection.clone())
            }
            _ => None,
        };
        self.actions.insert(resource.address.clone(), action);
        let acts = action.acts() || resume;
        // What is taken up where it was left is still being made.
        let doing = if resume && recorded.is_some_and(is_being_made) { Action::Create } else { action };
        // The nodes that a pause takes away go as when their pool is deleted, and come back as when it is made.
        let (doing, usually) = match (doing, self.request.options.pausing, observed) {
            (Action::Update, Pausing::Pause, Some(observed)) => (Action::Delete, kind.removal(&observed.attrs)),
            (Action::Update, Pausing::Resume, _) => (Action::Create, resource.estimate),
            _ => (doing, resource.estimate),
        };
        let old = observed.map(|observed| (kind, &observed.attrs)).filter(|_| goes_with.is_none());
        let expected = self.experience().of_desired(&recorded_identity, doing, usually, old);
        let contested = self.request.options.force_conflicts && changes.iter().any(|change| !change.held_by.is_empty());
        let take = contested || reason == Reason::Wanted;
        self.changes.push(ResourceChange {
            address: resource.address.clone(),
            kind: resource.kind.to_owned(),
            action,
            reason,
            moved_from: recorded.map(|r| &r.address).filter(|a| **a != resource.address).cloned(),
            changes: if action == Action::Create { Vec::new() } else { changes },
            before: None,
            after: acts.then_some(after),
            id: observed.map(|o| o.id.clone()).or_else(|| recorded.and_then(|r| r.id.clone())),
            needed: recorded.map(|r| r.needs.clone()).unwrap_or_default(),
            connection: resource.connection.clone(),
            goes_with,
            ceded: resource.ceded.iter().map(|c| (c.path.clone(), c.owner.clone())).collect(),
            timeout_seconds: resource.timeout.as_secs(),
            estimate_seconds: expected.estimate,
            removal_seconds: expected.removal,
            measured: expected.measured,
            origin: resource.origin.clone(),
            resume,
            take,
        });
    }

    pub(super) fn experience(&self) -> Experience<'a> {
        Experience { recorded: self.request.recorded }
    }

    fn decide(
        &self,
        resource: &Resource,
        recorded: Option<&Recorded>,
        observed: Option<&Observed>,
        replaced: Option<&Address>,
        changes: &[crate::resource::kind::Change],
    ) -> (Action, Reason) {
        if let Some(connection) = replaced {
            return match recorded {
                Some(_) => (Action::Replace, Reason::ConnectionReplaced(connection.clone())),
                None => (Action::Create, Reason::New),
            };
        }
        let pending = recorded.and_then(|r| r.pending.as_ref()).map(|p| p.action);
        match (recorded, observed) {
            (None, None) => (Action::Create, Reason::New),
            // Its label is missing, so that something is to be sent even if nothing differs.
            (None, Some(_)) if self.request.options.adopts(&resource.address) => (Action::Update, Reason::Wanted),
            (None, Some(_)) if changes.is_empty() => (Action::Adopt, Reason::Found),
            (None, Some(_)) => (Action::Update, Reason::Found),
            (Some(_), None) if pending == Some(Intent::Create) => (Action::Create, Reason::Unfinished),
            (Some(_), None) => (Action::Create, Reason::Vanished),
            // A creation that has failed for good may leave something behind that is of no use to anybody.
            (Some(_), Some(_)) if pending == Some(Intent::Create) => match forcing(changes) {
                wrecked if wrecked.is_empty() => (Action::Create, Reason::Unfinished),
                wrecked => (Action::Replace, Reason::Forced(wrecked)),
            },
            (Some(_), Some(_)) if pending == Some(Intent::Delete) => (Action::Replace, Reason::Unfinished),
            (Some(recorded), Some(_)) => {
                let forcing = forcing(changes);
                if !forcing.is_empty() {
                    return (Action::Replace, Reason::Forced(forcing));
                }
                if self.request.options.replace.contains(&resource.address) {
                    return (Action::Replace, Reason::Requested);
                }
                if !changes.is_empty() {
                    return (Action::Update, Reason::Changed);
                }
                let rotated = self.rotated(resource, recorded);
                if !rotated.is_empty() {
                    return (Action::Update, Reason::SecretChanged(rotated));
                }
                (Action::NoOp, Reason::Same)
            }
        }
    }

    /// The attributes with the values that charts have found, and those of the stack's own Secrets; `None` where they
    /// hold none, or one that is part of what is not known yet.
    fn as_found(&self, after: &Value) -> Option<Value> {
        struct Found<'f>(&'f BTreeMap<String, String>);
        impl Scope for Found<'_> {
            fn output(&self, _: &Reference) -> Option<Value> {
                None
            }

            fn secret(&self, input: &str) -> Option<String> {
                self.0.get(input).cloned()
            }
        }
        let found = self.request.found;
        let mut names = BTreeSet::new();
        after.visit_templates(&mut |template| names.extend(template.secrets()));
        names.retain(|name| found.contains_key(*name));
        if names.is_empty() {
            return None;
        }
        let resolved =
            after.resolve_where(&Found(found), &|template| template.secrets().any(|name| found.contains_key(name)));
        resolved.ok()
    }

    /// Secret inputs of the resource whose value is not the one it was applied with.
    fn rotated(&self, resource: &Resource, recorded: &Recorded) -> Vec<String> {
        let mut names = BTreeSet::new();
        resource.attrs.visit_templates(&mut |t| names.extend(t.secrets().map(str::to_owned)));
        names.retain(|name| recorded.secrets.get(name) != self.request.secrets.get(name));
        if self.unchanged.contains(&resource.address) {
            names.retain(|name| !self.request.found.contains_key(name));
        }
        names.into_iter().collect()
    }

    /// What dependents will see of the resource.
    fn note_outputs(
        &mut self,
        resource: &Resource,
        kind: &dyn Kind,
        action: Action,
        after: &Value,
        observed: Option<&Observed>,
    ) {
        if !self.referenced.contains(&resource.address) {
            return;
        }
        let known = kind.known_outputs(after);
        let outputs = match observed {
            Some(observed) if matches!(action, Action::NoOp | Action::Adopt) => kind.outputs(observed),
            Some(observed) if action == Action::Update => overlay(kind.outputs(observed), known),
            _ => known,
        };
        self.outputs.0.insert(resource.address.clone(), outputs);
    }

    fn visit_removed(&mut self, only: Option<&BTreeSet<Identity>>) {
        let state = self.request.recorded;
        let reason = if self.request.options.destroy { Reason::Destroyed } else { Reason::Removed };
        let stays = |identity: &Identity| only.is_some_and(|only| !only.contains(identity));
        let remains = state.resources.iter().filter(|(identity, r)| stays(identity) && r.kind != hook::KIND);
        let remains = remains.map(|(_, recorded)| recorded.address.component()).collect::<BTreeSet<_>>();
        let goes = |identity: &Identity, recorded: &Recorded| {
            // Hooks go with the last of their component.
            let early = recorded.kind == hook::KIND && remains.contains(recorded.address.component());
            !self.seen.contains(identity) && !stays(identity) && !early
        };
        let removed = state.resources.iter().filter(|(identity, recorded)| goes(identity, recorded));
        let removed = removed.collect::<Vec<_>>();
        let leaving = |connection: &Address| {
            removed.iter().any(|(_, r)| r.address == *connection)
                || self.actions.get(connection) == Some(&Action::Replace)
        };
        let last_words = self.last_words(&removed);
        let users = self.users(&removed);
        let mut changes = Vec::with_capacity(removed.len());
        for (identity, recorded) in &removed {
            if recorded.kind == hook::KIND {
                changes.push(self.removed_hook(identity, recorded, reason.clone(), &leaving));
                continue;
            }
            let observed = self.request.observed.get(*identity);
            let kind = self.request.kinds.get(&recorded.kind);
            let outlives = observed.zip(kind).is_some_and(|(observed, kind)| kind.outlives(&observed.attrs));
            // What a hook waits for to be gone must go before the cluster does.
            let awaited = last_words.contains(recorded.address.component()) && !outlives;
            let awaited = awaited || users.contains(*identity);
            let silent = recorded.connection.as_ref().is_some_and(|c| self.request.unreachable.contains(c));
            let goes_with = recorded.connection.as_ref().filter(|connection| leaving(connection)).filter(|_| {
                if silent && observed.is_none() {
                    return true;
                }
                let demise = observed.zip(kind).map(|(observed, kind)| kind.demise(&observed.attrs));
                demise == Some(Demise::WithConnection) && !awaited
            });
            let in_flight = recorded.pending.as_ref().is_some_and(|p| p.operation.is_some());
            let kept = goes_with.is_none() && outlives;
            let there = observed.is_some() || in_flight || silent;
            let abandoned = goes_with.is_none() && self.request.options.abandons(&recorded.address);
            let (action, reason) = match (there, kept) {
                (true, _) if abandoned => (Action::Forget, Reason::Abandoned),
                (true, true) => (Action::Forget, Reason::Kept),
                (true, false) => (Action::Delete, reason.clone()),
                (false, _) => (Action::Forget, Reason::Vanished),
            };
            let expected = match action {
                Action::Delete if goes_with.is_none() => self.experience().of_deletion(identity, kind, observed),
                _ => Expected::default(),
            };
            changes.push(ResourceChange {
                address: recorded.address.clone(),
                kind: recorded.kind.clone(),
                action,
                reason,
                moved_from: None,
                changes: Vec::new(),
                before: None,
                after: None,
                id: observed.map(|o| o.id.clone()).or_else(|| recorded.id.clone()),
                needed: recorded.needs.clone(),
                connection: recorded.connection.clone(),
                goes_with: goes_with.cloned(),
                ceded: Vec::new(),
                timeout_seconds: DELETE_TIMEOUT_SECONDS,
                estimate_seconds: expected.estimate,
                removal_seconds: expected.removal,
                measured: expected.measured,
                origin: None,
                resume: false,
                take: false,
            });
        }
        keep_namespaces(&mut changes);
        self.changes.extend(changes);
    }

    /// Of what is removed, that whose end something else that is removed waits for.
    fn users(&self, removed: &[(&Identity, &Recorded)]) -> BTreeSet<Identity> {
        let waits = |identity: &Identity, recorded: &Recorded| {
            let observed = self.request.observed.get(identity).zip(self.request.kinds.get(&recorded.kind));
            observed.is_some_and(|(observed, kind)| kind.waits_for_users(&observed.attrs))
        };
        let used = removed.iter().filter(|(identity, recorded)| waits(identity, recorded));
        let used = used.map(|(_, recorded)| &recorded.address).collect::<BTreeSet<_>>();
        let users = removed.iter().filter(|(_, recorded)| recorded.needs.iter().any(|need| used.contains(need)));
        users.map(|(identity, _)| (*identity).clone()).collect()
    }

    fn drift(&self) -> Vec<Drift> {
        let mut drift = Vec::new();
        let desired = &self.request.desired.resources;
        let ceded = desired.iter().map(|r| (&r.address, &r.ceded[..])).collect::<BTreeMap<_, _>>();
        for (identity, recorded) in &self.request.recorded.resources {
            // Objects of hooks come and go.
            if recorded.pending.is_some() || *recorded.record == Value::Null || recorded.kind == hook::KIND {
                continue;
            }
            let Some(kind) = self.request.kinds.get(&recorded.kind) else { continue };
            let Some(observed) = self.request.observed.get(identity) else {
                drift.push(Drift { address: recorded.address.clone(), changes: Vec::new(), seen: None });
                continue;
            };
            let ceded = ceded.get(&recorded.address).copied().unwrap_or_default();
            let last = recorded.seen.as_ref().unwrap_or(&recorded.record);
            let mut changes = kind.drift(ceded, Prior { recorded: Some(last), observed: Some(observed) });
            discretion::of_drift(&mut changes, recorded);
            if !changes.is_empty() {
                let seen = self.request.options.refresh_only.then(|| kind.seen(last, ceded, observed));
                drift.push(Drift { address: recorded.address.clone(), changes, seen });
            }
        }
        drift
    }

    /// Of a part of the stack, none goes: which of them still hold is unknown.
    fn outputs(&self, partial: bool) -> BTreeMap<String, OutputChange> {
        let mut outputs = BTreeMap::new();
        for (name, output) in &self.request.desired.outputs {
            let after = output.value.resolve_known(&self.outputs);
            let before = self.request.recorded.outputs.get(name).cloned();
            outputs.insert(name.clone(), OutputChange { before, after: Some(after), sensitive: output.sensitive });
        }
        for (name, before) in self.request.recorded.outputs.iter().filter(|_| !partial) {
            outputs.entry(name.clone()).or_insert_with(|| OutputChange {
                before: Some(before.clone()),
                after: None,
                sensitive: false,
            });
        }
        outputs
    }
}

/// What makes new pods waits for the old ones to go.
fn make_way(changes: &mut [crate::resource::kind::Change], crowded: &Crowded) {
    for change in changes {
        if crowded.paths.iter().any(|path| change.path.starts_with(path)) {
            change.forces_replace = true;
            change.effect = Some(crowded.why.clone());
        }
    }
}

fn is_being_made(recorded: &Recorded) -> bool {
    recorded.pending.as_ref().is_some_and(|pending| pending.action == Intent::Create)
}

/// Where the changes are that cannot be made in place.
fn forcing(changes: &[crate::resource::kind::Change]) -> Vec<Vec<String>> {
    changes.iter().filter(|change| change.forces_replace).map(|change| change.path.clone()).collect()
}

/// What is to stay would go with its namespace.
fn keep_namespaces(changes: &mut [ResourceChange]) {
    let kept = changes.iter().filter(|change| change.reason == Reason::Kept);
    let needed = kept.flat_map(|change| change.needed.iter().cloned()).collect::<BTreeSet<_>>();
    let is_namespace = |address: &Address| address.object_key().is_some_and(|key| key.starts_with("Namespace/"));
    for change in changes.iter_mut().filter(|change| is_namespace(&change.address) && needed.contains(&change.address))
    {
        if change.action == Action::Delete && change.goes_with.is_none() {
            (change.action, change.reason) = (Action::Forget, Reason::Kept);
        }
    }
}

/// No delete of ours takes longer: GKE's own limit for a cluster is an hour (gcloud's default timeout).
pub(super) const DELETE_TIMEOUT_SECONDS: u64 = 3600;

/// `over`'s entries on top of `base`'s.
fn overlay(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Map(mut base), Value::Map(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(old) => overlay(old, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Map(base)
        }
        (_, over) => over,
    }
}
