//! A state made again from what is there: what the stack wants is matched with what carries its mark, and recorded as
//! it is. Changes nothing but the state that it returns; whoever asked commits it.
//!
//! What is as the stack wants it is recorded as applied. What is not, is recorded so that the next plan shows how it
//! differs. What only the state knew cannot be had again: stored values are made anew, and hooks of what is there
//! are taken to have run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use crate::address::{Address, Identity};
use crate::diag::{Diagnostic, Diagnostics};
use crate::ops::marks::{Claim, claims, insist};
use crate::ops::places;
use crate::ops::platforms::Platforms;
use crate::ops::preview::{self, Preview, Subject, preview};
use crate::plan::dependencies;
use crate::plan::model::Plan;
use crate::resource::driver::{ApplyRequest, Driver, Found, Ownership, Subject as Thing};
use crate::resource::error::ProviderError;
use crate::resource::hook;
use crate::resource::kind::{Kind, Observed, Prior};
use crate::resource::model::{Desired, Resource};
use crate::resource::readiness::Readiness;
use crate::state::model::{FORMAT, Intent, Pending, Placing, Recorded, State};
use crate::value::{Reference, Scope, Value};

/// Questions under way at a time.
const PARALLEL: usize = 8;

/// The component that has what the stack does not have any more.
pub const UNCLAIMED: &str = "unclaimed";

/// A state that was made again, and what is to be said of it.
#[derive(Debug)]
pub struct Rebuilt {
    /// The state. Its serial counts nothing yet: whoever commits it decides.
    pub state: State,
    /// There and as the stack wants it.
    pub found: Vec<Address>,
    /// There and not as the stack wants it: the next plan shows how.
    pub differing: Vec<Address>,
    /// Not there: the next apply makes it.
    pub missing: Vec<Address>,
    /// There with the stack's mark, and not in the stack: the next apply takes it away.
    pub unclaimed: Vec<Address>,
    /// Made anew, because only the state knew it.
    pub anew: Vec<Address>,
    /// Hooks that are taken to have run.
    pub hooks: Vec<Address>,
}

/// The stack id to rebuild for: the one asked for, or that of the stack's cluster, or of its objects.
///
/// # Errors
/// When nothing carries a mark, or it cannot be told whose to take.
pub async fn stack_id(platforms: &Platforms, desired: &Desired, asked: Option<&str>) -> Result<String, Diagnostics> {
    if let Some(id) = asked {
        return Ok(id.to_owned());
    }
    let found = claims(platforms, desired).await.map_err(|error| unreadable(&error))?;
    let own = |claim: &&Claim| claim.mark.stack.as_ref().is_none_or(|stack| *stack == desired.stack);
    match found.iter().filter(own).collect::<Vec<_>>()[..] {
        [] => Err(match found.first() {
            Some(Claim { mark, things, .. }) => {
                let other = mark.stack.as_deref().unwrap_or(&mark.id);
                Diagnostic::error(format!("{} belongs to the stack {other}, not to {}", things[0], desired.stack))
                    .hint("check the name in the stack file; --stack-id takes it over knowingly")
            }
            None => Diagnostic::error(format!("nothing of the stack {} is there", desired.stack))
                .detail("Neither its cluster nor any of its objects carries the label of a stack.")
                .hint("check project, location and names in the stack file; if all of it is gone, apply makes it anew"),
        }
        .into()),
        [claim] => Ok(claim.mark.id.clone()),
        ref several => {
            let lines = several.iter().map(|claim| format!("{}: {} objects", claim.mark.id, claim.things.len()));
            Err(Diagnostic::error("the stack's objects carry the ids of several stacks")
                .detail(lines.collect::<Vec<_>>().join("\n"))
                .hint("say which is this stack's with --stack-id ID")
                .into())
        }
    }
}

/// Where a stack that names several locations is: the first that has a cluster of its, or its own.
///
/// # Errors
/// What cannot be read.
pub async fn location(platforms: &Platforms, alone: &Desired) -> Result<Option<String>, Diagnostics> {
    for place in alone.places.iter().filter(|_| alone.places.len() > 1) {
        let found = claims(platforms, &alone.at(&place.location)).await.map_err(|error| unreadable(&error))?;
        if found.iter().any(|claim| claim.mark.stack.as_ref().is_some_and(|stack| *stack == alone.stack)) {
            return Ok(Some(place.location.clone()));
        }
    }
    Ok(None)
}

/// A state that says where the stack is that it is about.
pub fn placed(blank: &State, desired: &Desired, location: Option<&str>) -> State {
    let placing = location.filter(|_| desired.places.len() > 1).map(|location| Placing {
        location: location.to_owned(),
        settled: true,
        given_up: Vec::new(),
    });
    State { placing, ..blank.clone() }
}

/// A state of that stack id with nothing in it, to look with.
pub fn blank(stack: &str, id: &str) -> State {
    State { stack_id: id.to_owned(), ..State::empty(stack) }
}

fn unreadable(error: &ProviderError) -> Diagnostics {
    let diagnostic = Diagnostic::error("cannot read what is there").detail(error.message.clone());
    diagnostic.hint(error.hint.clone().unwrap_or_else(|| "nothing was changed; try again".to_owned())).into()
}

struct Known<'k> {
    outputs: &'k BTreeMap<Address, Value>,
    secrets: &'k BTreeMap<String, String>,
}

impl Scope for Known<'_> {
    fn output(&self, reference: &Reference) -> Option<Value> {
        self.outputs.get(&reference.address)?.at(&reference.path).cloned()
    }

    fn secret(&self, input: &str) -> Option<String> {
        self.secrets.get(input).cloned()
    }
}

/// Makes the state of `id` again. `subject.state` is [`blank`]; `values` are those of the secret inputs.
///
/// # Errors
/// What cannot be read, and mistakes of the stack.
pub async fn rebuild(
    platforms: &Platforms,
    subject: Subject<'_>,
    values: &BTreeMap<String, String>,
) -> Result<Rebuilt, Diagnostics> {
    let desired = places::whereabouts(subject.desired, subject.state).desired.into_owned();
    let (desired, digests) = (&desired, subject.secrets);
    let ownership = preview::ownership(platforms, subject.state, &desired.stack, None);
    let mut state = subject.state.clone();
    let Preview { plan, observed, .. } = preview(platforms, subject).await?;
    state.target = plan.basis.target.clone();
    state.key = plan.basis.key.clone();
    let work = Work { platforms, plan: &plan, observed: &observed, values, digests, ownership: &ownership };
    let mut rebuilt = Rebuilt {
        state,
        found: Vec::new(),
        differing: Vec::new(),
        missing: Vec::new(),
        unclaimed: Vec::new(),
        anew: Vec::new(),
        hooks: Vec::new(),
    };
    let outputs = work.record_desired(desired, &mut rebuilt).await?;
    if rebuilt.found.is_empty() && rebuilt.differing.is_empty() {
        return Err(Diagnostic::error(format!("nothing of the stack {} is there", desired.stack))
            .detail(format!("Nothing that it wants carries the stack id {}.", ownership.id))
            .hint("check the stack id, project and location; if all of it is gone, apply makes it anew")
            .into());
    }
    work.record_unclaimed(desired, &outputs, &mut rebuilt).await?;
    let scope = Known { outputs: &outputs, secrets: &BTreeMap::new() };
    for (name, output) in plan.outputs.iter().filter(|(_, output)| !output.sensitive) {
        if let Some(value) = output.after.as_ref().and_then(|after| after.resolve(&scope).ok()) {
            rebuilt.state.outputs.insert(name.clone(), value);
        }
    }
    rebuilt.state.format = FORMAT;
    Ok(rebuilt)
}

struct Work<'w> {
    platforms: &'w Platforms,
    plan: &'w Plan,
    observed: &'w BTreeMap<Identity, Observed>,
    values: &'w BTreeMap<String, String>,
    digests: &'w BTreeMap<String, String>,
    ownership: &'w Ownership,
}

/// What is found of a desired resource.
struct Match<'m> {
    resource: &'m Resource,
    kind: &'m dyn Kind,
    driver: &'m Arc<dyn Driver>,
    observed: &'m Observed,
    /// What would be sent; `None` where something that it refers to is not there.
    attrs: Option<Arc<Value>>,
    connection: Option<Arc<Value>>,
}

impl Work<'_> {
    /// Records what the stack wants and is there; returns the outputs of all of it.
    async fn record_desired(
        &self,
        desired: &Desired,
        rebuilt: &mut Rebuilt,
    ) -> Result<BTreeMap<Address, Value>, Diagnostics> {
        let by_address = desired.resources.iter().map(|r| (&r.address, r)).collect::<BTreeMap<_, _>>();
        let order = dependencies::graph(desired).map_err(Diagnostics)?.order().unwrap_or_default();
        let mut outputs = BTreeMap::new();
        let mut matches = Vec::new();
        for address in &order {
            let Some(resource) = by_address.get(address).filter(|resource| resource.kind != hook::KIND) else {
                continue;
            };
            let (Some(kind), Some(driver)) =
                (self.platforms.kinds.get(resource.kind), self.platforms.drivers.get(resource.kind))
            else {
                continue;
            };
            let scope = Known { outputs: &outputs, secrets: self.values };
            let attrs = resource.attrs.resolve(&scope).ok().map(Arc::new);
            let connection = resource.connection.as_ref().and_then(|address| outputs.get(address).cloned());
            let connection = connection.map(Arc::new);
            if let Some(observed) = self.observed.get(&address.identity()) {
                outputs.insert(address.clone(), kind.outputs(observed));
                matches.push(Match { resource, kind, driver, observed, attrs, connection });
            } else if let Some(attrs) = attrs.filter(|_| resource.kind == "value") {
                let made = self.make(resource, driver, &attrs).await?;
                outputs.insert(address.clone(), kind.outputs(&made));
                let record = kind.record(&attrs, &[], &made);
                self.enter(resource, &made.id, record, BTreeMap::new(), None, rebuilt);
                rebuilt.anew.push(address.clone());
            } else {
                rebuilt.missing.push(address.clone());
            }
        }
        let judged = matches.iter().map(|found| async move { (found, self.judge(found).await) });
        let judged = stream::iter(judged.collect::<Vec<_>>()).buffered(PARALLEL).collect::<Vec<_>>().await;
        for (found, judged) in judged {
            let Judged { record, is_same, pending } = judged.map_err(|error| unreadable(&error))?;
            let mut names = BTreeSet::new();
            found.resource.attrs.visit_templates(&mut |t| names.extend(t.secrets().map(str::to_owned)));
            // Of what is not as wanted it is not known which secret it holds.
            let digests = names.into_iter().filter(|_| is_same);
            let digests = digests.filter_map(|name| Some((name.clone(), self.digests.get(&name)?.clone()))).collect();
            self.enter(found.resource, &found.observed.id, record, digests, pending, rebuilt);
            let list = if is_same { &mut rebuilt.found } else { &mut rebuilt.differing };
            list.push(found.resource.address.clone());
        }
        self.record_hooks(desired, &outputs, rebuilt);
        Ok(outputs)
    }

    /// What only state knows is made again, without a platform.
    async fn make(
        &self,
        resource: &Resource,
        driver: &Arc<dyn Driver>,
        attrs: &Arc<Value>,
    ) -> Result<Observed, Diagnostics> {
        let request = self.request(resource, attrs, None, None);
        let made = driver.create(&request).await.map_err(|error| unreadable(&error))?;
        made.observed.ok_or_else(|| Diagnostic::error(format!("{} cannot be made again", resource.address)).into())
    }

    fn request(
        &self,
        resource: &Resource,
        attrs: &Arc<Value>,
        observed: Option<&Observed>,
        connection: Option<Arc<Value>>,
    ) -> ApplyRequest {
        ApplyRequest {
            subject: Thing {
                address: resource.address.clone(),
                desired: Some(attrs.clone()),
                recorded: None,
                id: observed.map(|observed| observed.id.clone()),
                connection,
                adopt: false,
            },
            attrs: attrs.clone(),
            changes: Vec::new(),
            observed: observed.cloned(),
            ceded: resource.ceded.clone(),
            adopt: false,
            ownership: self.ownership.clone(),
        }
    }

    /// Whether what is there is what is wanted, and what to keep of it.
    async fn judge(&self, found: &Match<'_>) -> Result<Judged, ProviderError> {
        let Match { resource, kind, driver, observed, attrs, connection } = found;
        let wanted = attrs.as_deref().unwrap_or(&resource.attrs);
        let as_found = kind.record_found(Some(wanted), &resource.ceded, observed);
        let mut is_same = false;
        if let Some(attrs) = attrs {
            let prior = Prior { recorded: Some(&as_found), observed: Some(observed) };
            is_same = kind.diff(attrs, &resource.ceded, prior).is_empty();
            if !is_same {
                // Other words for the same thing are known to the platform alone.
                let request = self.request(resource, attrs, Some(observed), connection.clone());
                is_same = insist(self.platforms, || driver.would_keep(&request)).await?;
            }
        }
        let record = match (attrs, is_same) {
            (Some(attrs), true) => kind.record(attrs, &resource.ceded, observed),
            _ => as_found,
        };
        let pending = match resource.kind {
            hook::OBJECT => None,
            _ => {
                let request = self.request(resource, &Arc::new(wanted.clone()), Some(observed), connection.clone());
                let poll = insist(self.platforms, || driver.poll(&request.subject, None)).await?;
                let unfinished = matches!(poll.readiness, Readiness::InProgress { .. });
                let since = self.platforms.clock.now().0;
                unfinished.then_some(Pending { action: Intent::Create, since, operation: None, sent: true })
            }
        };
        Ok(Judged { record, is_same, pending })
    }

    fn enter(
        &self,
        resource: &Resource,
        id: &str,
        record: Value,
        secrets: BTreeMap<String, String>,
        pending: Option<Pending>,
        rebuilt: &mut Rebuilt,
    ) {
        let recorded = Recorded {
            address: resource.address.clone(),
            kind: resource.kind.to_owned(),
            id: Some(id.to_owned()),
            record: record.into(),
            seen: None,
            needs: self.plan.needs(&resource.address),
            connection: resource.connection.clone(),
            secrets,
            pending,
        };
        rebuilt.state.resources.insert(resource.address.identity(), recorded);
    }

    /// The hooks of components that are there are recorded as those that have run.
    fn record_hooks(&self, desired: &Desired, outputs: &BTreeMap<Address, Value>, rebuilt: &mut Rebuilt) {
        let others = desired.resources.iter().filter(|resource| resource.kind != hook::KIND);
        let all = others.map(|resource| resource.address.component()).collect::<BTreeSet<_>>();
        let there = rebuilt.state.resources.values().map(|recorded| recorded.address.component().to_owned());
        let there = there.collect::<BTreeSet<_>>();
        let nothing = BTreeMap::new();
        for resource in desired.resources.iter().filter(|resource| resource.kind == hook::KIND) {
            let component = resource.address.component();
            if all.contains(component) && !there.contains(component) {
                rebuilt.missing.push(resource.address.clone());
                continue;
            }
            let record = resource.attrs.resolve_known(&Known { outputs, secrets: &nothing });
            self.enter(resource, "", record, BTreeMap::new(), None, rebuilt);
            rebuilt.hooks.push(resource.address.clone());
        }
    }

    /// Records what carries the mark and is in no stack file any more.
    async fn record_unclaimed(
        &self,
        desired: &Desired,
        outputs: &BTreeMap<Address, Value>,
        rebuilt: &mut Rebuilt,
    ) -> Result<(), Diagnostics> {
        let mut connections = desired.resources.iter().map(|r| r.connection.clone()).collect::<BTreeSet<_>>();
        connections.insert(None);
        let clusters = desired.resources.iter().filter(|resource| resource.kind == "gke.cluster");
        connections.extend(clusters.map(|resource| Some(resource.address.clone())));
        let known = rebuilt.state.resources.values().filter_map(|r| r.id.clone()).collect::<BTreeSet<_>>();
        let systems = desired.resources.iter().filter_map(|r| r.attrs.at(&["system_pool", "name"])?.as_str());
        let systems = systems.collect::<BTreeSet<_>>();
        let mut extra = Vec::new();
        for (name, driver) in &self.platforms.drivers {
            let Some(kind) = self.platforms.kinds.get(name) else { continue };
            for connection in &connections {
                let through = connection.as_ref().map(|address| outputs.get(address));
                if matches!(through, Some(None)) {
                    continue;
                }
                let through = through.flatten();
                let found = insist(self.platforms, || driver.find(through, self.ownership)).await;
                for Found { name: thing, observed } in found.map_err(|error| unreadable(&error))? {
                    let own_pool = *name == "gke.node_pool" && systems.contains(thing.as_str());
                    if known.contains(&observed.id) || own_pool {
                        continue;
                    }
                    let address = match *name {
                        hook::OBJECT => Address::new(format!("{UNCLAIMED}/{thing}")),
                        kind => Address::new(format!("{UNCLAIMED}.{}-{thing}", kind.replace('.', "-"))),
                    };
                    extra.push((
                        Resource {
                            address,
                            kind: name,
                            attrs: observed.attrs.clone().into(),
                            needs: Vec::new(),
                            connection: connection.clone(),
                            ceded: Vec::new(),
                            timeout: std::time::Duration::ZERO,
                            estimate: std::time::Duration::ZERO,
                            origin: None,
                        },
                        kind.record_found(None, &[], &observed),
                        observed.id,
                    ));
                }
            }
        }
        // What they need of each other orders their deletion.
        let mut all = desired.resources.clone();
        all.extend(extra.iter().map(|(resource, ..)| resource.clone()));
        let graph = dependencies::graph(&Desired { resources: all, ..desired.clone() }).ok();
        for (resource, record, id) in extra {
            let identity = resource.address.identity();
            if rebuilt.state.resources.contains_key(&identity) {
                continue;
            }
            let needs = graph.iter().flat_map(|graph| graph.dependencies(&resource.address));
            let recorded = Recorded {
                address: resource.address.clone(),
                kind: resource.kind.to_owned(),
                id: Some(id),
                record: record.into(),
                seen: None,
                needs: needs.map(|(address, _)| address.clone()).collect(),
                connection: resource.connection.clone(),
                secrets: BTreeMap::new(),
                pending: None,
            };
            rebuilt.state.resources.insert(identity, recorded);
            rebuilt.unclaimed.push(resource.address);
        }
        Ok(())
    }
}

struct Judged {
    record: Value,
    is_same: bool,
    pending: Option<Pending>,
}
