//! What a plan costs: now, once it is carried out, paused and destroyed. Plain data and its arithmetic; prices are
//! `cost`'s. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::address::{Address, Identity};
use crate::cost::{self, Item, Line, Size};
use crate::plan::model::{Action, Reason, ResourceChange};
use crate::plan::planner::Request;
use crate::value::Value;

/// US dollars by list prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// An hour.
    pub per_hour: f64,
    /// A day.
    pub per_day: f64,
    /// Everything has a price; otherwise it is at least so much.
    pub complete: bool,
}

impl Amount {
    fn of<'l>(lines: impl IntoIterator<Item = &'l Line>) -> Self {
        let mut sum = Amount { complete: true, ..Amount::default() };
        for line in lines {
            sum.per_hour += line.per_hour.unwrap_or_default();
            sum.complete &= line.per_hour.is_some();
        }
        // Micro-dollars: sums of the same prices are the same bytes.
        sum.per_day = (sum.per_hour * 24e6).round() / 1e6;
        sum.per_hour = (sum.per_hour * 1e6).round() / 1e6;
        sum
    }
}

/// One thing and its price.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Priced {
    /// The resource.
    pub address: Address,
    /// What it is: `2 × n1-standard-4`.
    pub what: String,
    /// US dollars an hour; nothing where no price is known.
    pub per_hour: Option<f64>,
    /// Where the price is from, or which one is missing.
    pub source: String,
    /// The day, month or year of which the price is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub as_of: String,
}

/// What a component costs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentCost {
    /// Its name.
    pub component: String,
    /// As it is.
    pub now: Amount,
    /// Once the plan is carried out.
    pub after: Amount,
    /// What `after` consists of.
    pub lines: Vec<Priced>,
}

/// What a stack costs, before and after a plan.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// As it is.
    pub now: Amount,
    /// Once the plan is carried out.
    pub after: Amount,
    /// Running: what is paused has its nodes. Nothing for a plan that takes the stack away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Amount>,
    /// Running, with every pool as large as its autoscaler may make it, where that is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<Amount>,
    /// While it is paused. Nothing for a plan that takes the stack away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Amount>,
    /// After a destroy: what stays there all the same.
    pub destroyed: Amount,
    /// By component, those that cost something or have no price.
    pub components: Vec<ComponentCost>,
}

impl Cost {
    /// What has no price once the plan is carried out.
    pub fn unknown(&self) -> impl Iterator<Item = &Priced> {
        self.components.iter().flat_map(|component| &component.lines).filter(|line| line.per_hour.is_none())
    }
}

/// A thing that is, or will be, there.
struct Thing<'a> {
    address: &'a Address,
    kind: &'a str,
    attrs: Cow<'a, Value>,
    size: Size,
}

fn lines<'t>(things: impl IntoIterator<Item = &'t Thing<'t>>, size: Option<Size>) -> Vec<Line> {
    let items = things.into_iter().map(|thing| Item {
        address: thing.address,
        kind: thing.kind,
        attrs: &thing.attrs,
        size: size.unwrap_or(thing.size),
    });
    cost::items(items).lines
}

/// Prices `changes`; `request` has the desired resources as they are carried out, and `unpaused` as they were before
/// pausing took the nodes away. `None` where nothing could cost anything.
pub(super) fn of(
    request: &Request<'_>,
    changes: &[ResourceChange],
    unpaused: &BTreeMap<&Address, &Value>,
) -> Option<Cost> {
    let now = present(request);
    let after = afterwards(request, changes);
    let (now_lines, after_lines) = (lines(&now, None), lines(&after, None));
    if now_lines.is_empty() && after_lines.is_empty() {
        return None;
    }
    let stays = |change: &&ResourceChange| matches!(change.reason, Reason::Kept | Reason::Abandoned);
    let staying = changes.iter().filter(stays).map(|change| &change.address).collect::<BTreeSet<_>>();
    let destroyed = Amount::of(after_lines.iter().filter(|line| staying.contains(&line.address)));
    let whole = (!request.options.destroy && request.options.targets.is_empty()).then_some(());
    let running = after.iter().map(|thing| Thing {
        attrs: unpaused.get(thing.address).map_or_else(|| thing.attrs.clone(), |attrs| Cow::Borrowed(*attrs)),
        ..*thing
    });
    let running = running.collect::<Vec<_>>();
    let paused = running.iter().map(|thing| {
        let kind = request.kinds.get(thing.kind);
        let less = kind.and_then(|kind| kind.paused(&thing.attrs).ok().flatten());
        Thing { attrs: less.map_or_else(|| thing.attrs.clone(), Cow::Owned), ..*thing }
    });
    let paused = paused.collect::<Vec<_>>();
    let running_cost = Amount::of(&lines(&running, None));
    let most = Amount::of(&lines(&running, Some(Size::Most)));
    Some(Cost {
        now: Amount::of(&now_lines),
        after: Amount::of(&after_lines),
        running: whole.map(|()| running_cost),
        most: whole.map(|()| most).filter(|most| most.per_hour > running_cost.per_hour),
        paused: whole.map(|()| Amount::of(&lines(&paused, None))),
        destroyed,
        components: components(&now_lines, after_lines),
    })
}

fn components(now: &[Line], after: Vec<Line>) -> Vec<ComponentCost> {
    let names = now.iter().chain(&after).map(|line| line.address.component().to_owned()).collect::<BTreeSet<_>>();
    let of = |lines: &[Line], name: &str| Amount::of(lines.iter().filter(|line| line.address.component() == name));
    let component = |name: String| ComponentCost {
        now: of(now, &name),
        after: of(&after, &name),
        lines: after.iter().filter(|line| line.address.component() == name).map(priced).collect(),
        component: name,
    };
    names.into_iter().map(component).collect()
}

fn priced(line: &Line) -> Priced {
    Priced {
        address: line.address.clone(),
        what: line.what.clone(),
        per_hour: line.per_hour,
        source: line.source.clone(),
        as_of: line.as_of.clone(),
    }
}

/// What is there, by identity, in the order of the identities.
fn present<'a>(request: &'a Request<'_>) -> Vec<Thing<'a>> {
    let wanted = request.desired.resources.iter().map(|resource| (resource.address.identity(), resource));
    let wanted = wanted.collect::<BTreeMap<_, _>>();
    let known = |identity: &Identity| match request.recorded.resources.get(identity) {
        Some(recorded) => Some((&recorded.address, recorded.kind.as_str())),
        None => wanted.get(identity).map(|resource| (&resource.address, resource.kind)),
    };
    let thing = |(identity, observed): (&Identity, &'a crate::resource::kind::Observed)| {
        let (address, kind) = known(identity)?;
        Some(Thing { address, kind, attrs: Cow::Borrowed(&observed.attrs), size: Size::Present })
    };
    request.observed.iter().filter_map(thing).collect()
}

/// What will be there.
fn afterwards<'a>(request: &'a Request<'_>, changes: &'a [ResourceChange]) -> Vec<Thing<'a>> {
    let wanted = request.desired.resources.iter().map(|r| (&r.address, &*r.attrs)).collect::<BTreeMap<_, _>>();
    let mut things = Vec::new();
    let mut seen = BTreeSet::new();
    for change in changes {
        let identity = change.moved_from.as_ref().unwrap_or(&change.address).identity();
        let observed = request.observed.get(&identity);
        seen.insert(identity);
        let stays = matches!(change.reason, Reason::Kept | Reason::Abandoned);
        let attrs = match (change.action, wanted.get(&change.address), observed) {
            (Action::Delete, ..) => None,
            (Action::Forget, _, observed) => {
                observed.filter(|_| stays).map(|o| (Cow::Borrowed(&o.attrs), Size::Present))
            }
            (Action::Create | Action::Replace, Some(attrs), _) | (_, Some(attrs), None) => {
                Some((Cow::Borrowed(*attrs), Size::Wanted))
            }
            // How large it is, its autoscaler has said.
            (_, Some(attrs), Some(observed)) => {
                let scaled = cost::as_scaled(&change.kind, attrs, &observed.attrs);
                Some(scaled.map_or((Cow::Borrowed(*attrs), Size::Wanted), |attrs| (Cow::Owned(attrs), Size::Present)))
            }
            (_, None, _) => None,
        };
        if let Some((attrs, size)) = attrs {
            things.push(Thing { address: &change.address, kind: &change.kind, attrs, size });
        }
    }
    // What is not planned stays as it is.
    let rest = request.observed.iter().filter(|(identity, _)| !seen.contains(*identity));
    things.extend(rest.filter_map(|(identity, observed)| {
        let recorded = request.recorded.resources.get(identity)?;
        let attrs = Cow::Borrowed(&observed.attrs);
        Some(Thing { address: &recorded.address, kind: &recorded.kind, attrs, size: Size::Present })
    }));
    things
}
