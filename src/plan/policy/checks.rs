//! What each key of a rule asks of a plan.

use crate::address::Address;
use crate::diag::Span;
use crate::plan::cost::Cost;
use crate::plan::model::{Action, ResourceChange};
use crate::plan::policy::{Breach, Subject, concerns};
use crate::resource::hook;
use crate::stack::policy::{Policy, PolicyAction, PolicyPinned, PolicyPrivate};
use crate::value::Value;

/// Notes everything that breaks one rule.
pub(super) fn check<'p>(rule: &'p Policy, subject: Subject<'_>, breaches: &mut Vec<Breach<'p>>) {
    let mut found = Found { rule, breaches };
    let changes = subject.plan.changes.iter().filter(|change| concerns(rule, change)).collect::<Vec<_>>();
    for denied in &rule.deny {
        for change in changes.iter().filter(|change| is(denied.value, change.action)) {
            found.add(&denied.span, Some(&change.address), done(change.action).to_owned(), ALLOW);
        }
    }
    // What is asked of a stack is not asked of one that goes.
    if subject.plan.destroy || subject.plan.refresh_only {
        return;
    }
    let staying = changes.iter().filter(|change| !change.is_leaving());
    let staying = staying.filter_map(|change| Some((*change, afterwards(change)?))).collect::<Vec<_>>();
    if let Some(first) = rule.locations.first() {
        for (change, attrs) in &staying {
            for location in locations(change, attrs).into_iter().filter(|location| !allows(rule, location)) {
                let how = format!("is in {location}, which is none of {}", words(&rule.locations));
                found.add(
                    &first.span,
                    Some(&change.address),
                    how,
                    "choose one of them, or add the location to the rule",
                );
            }
        }
        let fallbacks = subject.stack.cluster.iter().flat_map(|cluster| &cluster.fallback_locations);
        for fallback in fallbacks.filter(|fallback| !allows(rule, &fallback.value)) {
            let how = format!("may fall back to {}, which is none of {}", &*fallback.value, words(&rule.locations));
            found.add(&first.span, Some(&"cluster".into()), how, "take it out of fallback_locations");
        }
    }
    for wanted in &rule.pinned {
        pinned(wanted.value, &wanted.span, &staying, subject, &mut found);
    }
    for wanted in &rule.private {
        for (change, attrs) in &staying {
            if let Some(how) = public(wanted.value, change, attrs) {
                found.add(&wanted.span, Some(&change.address), how, HIDE);
            }
        }
    }
    money(rule, subject, &mut found);
    if let Some(most) = &rule.max_ttl {
        let ttl = subject.stack.limits.as_ref().and_then(|limits| limits.ttl.as_ref());
        let hint = "set `ttl` in [limits] of the stack file, for example \"8h\"";
        match ttl {
            None => found.add(&most.span, None, "the stack has no time to live".to_owned(), hint),
            Some(ttl) if ttl.value > most.value => {
                let hours = |duration: std::time::Duration| format!("{:.1} hours", duration.as_secs_f64() / 3600.0);
                let how = format!("the stack may live for {}, longer than {}", hours(ttl.value), hours(most.value));
                found.add(&most.span, None, how, hint);
            }
            Some(_) => {}
        }
    }
}

const ALLOW: &str = "change the stack so that this does not happen, or add the resource to `unless` of the rule";
const HIDE: &str = "make it private, or add the resource to `unless` of the rule";
const PIN: &str = "name one version, or add the resource to `unless` of the rule";
const SAVE: &str = "take something away, or raise the limit of the rule";

/// Collects what breaks one rule.
struct Found<'p, 'b> {
    rule: &'p Policy,
    breaches: &'b mut Vec<Breach<'p>>,
}

impl Found<'_, '_> {
    fn add(&mut self, span: &Span, address: Option<&Address>, how: String, hint: &'static str) {
        self.breaches.push(Breach { rule: self.rule, span: span.clone(), address: address.cloned(), how, hint });
    }
}

fn is(denied: PolicyAction, action: Action) -> bool {
    match denied {
        PolicyAction::Create => action == Action::Create,
        PolicyAction::Update => action == Action::Update,
        PolicyAction::Replace => action == Action::Replace,
        PolicyAction::Delete => matches!(action, Action::Delete | Action::Replace),
        PolicyAction::Forget => action == Action::Forget,
        PolicyAction::Adopt => action == Action::Adopt,
        PolicyAction::Run => action == Action::Run,
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "would be made",
        Action::Update => "would be changed",
        Action::Replace => "would be deleted and made again",
        Action::Delete => "would be deleted",
        Action::Forget => "would be forgotten",
        Action::Adopt => "would be adopted",
        Action::Run => "would run",
        Action::NoOp | Action::Record => "would stay as it is",
    }
}

/// What a resource is once the plan is carried out.
fn afterwards(change: &ResourceChange) -> Option<&Value> {
    change.after.as_deref().or(change.before.as_deref())
}

fn words(list: &[crate::stack::Spanned<crate::stack::NonEmpty>]) -> String {
    list.iter().map(|word| word.value.to_string()).collect::<Vec<_>>().join(", ")
}

/// Where a cluster or its nodes are.
fn locations(change: &ResourceChange, attrs: &Value) -> Vec<String> {
    if !change.kind.starts_with("gke.") {
        return Vec::new();
    }
    let mut found = attrs.get("location").and_then(Value::as_str).map(str::to_owned).into_iter().collect::<Vec<_>>();
    let zones = attrs.get("node_locations").and_then(Value::as_list).unwrap_or_default();
    found.extend(zones.iter().filter_map(Value::as_str).map(str::to_owned));
    found.dedup();
    found
}

/// Whether a location is one of a rule's, or a zone of one of its regions.
fn allows(rule: &Policy, location: &str) -> bool {
    rule.locations.iter().any(|allowed| {
        let zone = location.strip_prefix(&*allowed.value).and_then(|zone| zone.strip_prefix('-'));
        super::is_like(&allowed.value, location) || zone.is_some_and(|zone| zone.len() == 1)
    })
}

fn pinned(
    wanted: PolicyPinned,
    span: &Span,
    staying: &[(&ResourceChange, &Value)],
    subject: Subject<'_>,
    found: &mut Found<'_, '_>,
) {
    match wanted {
        PolicyPinned::Images | PolicyPinned::Digests => {
            for (change, attrs) in staying {
                let Some(object) = hook::object(&change.kind, attrs) else { continue };
                let mut loose = Vec::new();
                images(object, &mut |image| {
                    if !is_pinned(image, wanted == PolicyPinned::Digests) && !loose.contains(&image.to_owned()) {
                        loose.push(image.to_owned());
                    }
                });
                for image in loose {
                    found.add(
                        span,
                        Some(&change.address),
                        format!("runs {image}, which may be another image tomorrow"),
                        PIN,
                    );
                }
            }
        }
        PolicyPinned::Charts => {
            let excepted = |name: &str| found.rule.unless.iter().any(|pattern| super::is_like(&pattern.value, name));
            let mut ranges = Vec::new();
            for (name, chart) in &subject.stack.charts {
                let component = format!("charts.{name}");
                let elsewhere = chart.source.value.contains("://");
                let exact = chart.version.as_ref().is_some_and(|version| is_one_version(&version.value));
                let digest = chart.source.value.contains("@sha256:") || chart.source.value.contains("ref=");
                if elsewhere && !exact && !digest && !excepted(&component) {
                    let how = match &chart.version {
                        None => "names no version".to_owned(),
                        Some(version) => format!("takes any version that is {}", &*version.value),
                    };
                    ranges.push((Address::new(component), how));
                }
            }
            for (address, how) in ranges {
                found.add(span, Some(&address), how, PIN);
            }
        }
        PolicyPinned::Cluster => {
            for (change, attrs) in staying.iter().filter(|(change, _)| change.kind == "gke.cluster") {
                if attrs.get("version").is_none_or(|version| *version == Value::Null) {
                    let how = "names no version: it gets whatever its channel has".to_owned();
                    found.add(span, Some(&change.address), how, "set `version` in [cluster]");
                }
            }
        }
    }
}

/// One version: digits between dots, and what follows them.
fn is_one_version(text: &str) -> bool {
    let text = text.trim().trim_start_matches(['v', '=']);
    let core = text.split(['-', '+']).next().unwrap_or_default();
    core.split('.').count() == 3
        && core.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Every image that containers of an object run, wherever in it they stand.
fn images<'v>(value: &'v Value, say: &mut dyn FnMut(&'v str)) {
    match value {
        Value::Map(map) => {
            for (key, below) in map {
                if matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers") {
                    let items = below.as_list().unwrap_or_default();
                    items.iter().filter_map(|item| item.get("image").and_then(Value::as_str)).for_each(&mut *say);
                } else if key != "openAPIV3Schema" {
                    images(below, say);
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| images(item, say)),
        _ => {}
    }
}

fn is_pinned(image: &str, by_digest: bool) -> bool {
    if image.contains("@sha256:") || by_digest {
        return image.contains("@sha256:");
    }
    // A port is part of the registry's name, before the last slash.
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

/// How a resource can be reached from everywhere, if it can.
fn public(wanted: PolicyPrivate, change: &ResourceChange, attrs: &Value) -> Option<String> {
    if wanted == PolicyPrivate::ControlPlane {
        return (change.kind == "gke.cluster").then(|| open(attrs)).flatten();
    }
    let object = hook::object(&change.kind, attrs)?;
    let text = |path: &[&str]| object.at(path).and_then(Value::as_str).unwrap_or_default();
    let internal = |at: &[&str]| {
        ["networking.gke.io/load-balancer-type", "cloud.google.com/load-balancer-type"].iter().any(|key| {
            let path = at.iter().chain([key]).copied().collect::<Vec<_>>();
            text(&path).eq_ignore_ascii_case("internal")
        })
    };
    let annotations = ["metadata", "annotations"];
    let group = text(&["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    match (group, text(&["kind"])) {
        ("", "Service") if text(&["spec", "type"]) == "LoadBalancer" => {
            (!internal(&annotations)).then(|| "gets a public address".to_owned())
        }
        ("gateway.networking.k8s.io", "Gateway") => {
            let class = text(&["spec", "gatewayClassName"]);
            let private = internal(&annotations) || internal(&["spec", "infrastructure", "annotations"]);
            (!private && !class.contains("rilb") && !class.contains("internal"))
                .then(|| "gets a public address".to_owned())
        }
        ("networking.k8s.io", "Ingress") => {
            let class = match text(&["metadata", "annotations", "kubernetes.io/ingress.class"]) {
                "" => text(&["spec", "ingressClassName"]),
                class => class,
            };
            (!class.contains("internal")).then(|| "gets a public address".to_owned())
        }
        _ => None,
    }
}

/// How a control plane is open to everybody, if it is.
fn open(attrs: &Value) -> Option<String> {
    if attrs.get("private").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let networks = attrs.get("authorized_networks").and_then(Value::as_list).unwrap_or_default();
    let everybody =
        |network: &Value| network.get("cidr").and_then(Value::as_str).is_some_and(|cidr| cidr.ends_with("/0"));
    if networks.is_empty() {
        return Some("has a control plane that everybody can reach".to_owned());
    }
    networks.iter().any(everybody).then(|| "lets networks of /0 reach its control plane: that is everybody".to_owned())
}

fn money(rule: &Policy, subject: Subject<'_>, found: &mut Found<'_, '_>) {
    let elsewhere = subject.plan.placement.iter().flat_map(|placement| &placement.alternatives);
    let elsewhere = elsewhere.filter_map(|there| Some((format!(" in {}", there.location), there.cost.as_ref()?)));
    let here = subject.plan.cost.as_ref().map(|cost| (String::new(), cost));
    for (place, cost) in here.into_iter().chain(elsewhere) {
        price(rule, &place, cost, found);
    }
}

/// What the stack costs in one of its places.
fn price(rule: &Policy, place: &str, cost: &Cost, found: &mut Found<'_, '_>) {
    let after = &cost.after;
    for (limit, is, unit) in
        [(&rule.max_per_day, after.per_day, "a day"), (&rule.max_per_hour, after.per_hour, "an hour")]
    {
        let Some(limit) = limit else { continue };
        let most = limit.value.get();
        if is > most {
            let how = format!("the stack would cost ${is:.2} {unit}{place}, more than ${most:.2}");
            found.add(&limit.span, None, how, SAVE);
        } else if !after.complete {
            let lines = cost.unknown().map(|line| line.what.clone()).collect::<Vec<_>>().join(", ");
            let how = format!(
                "whether the stack costs more than ${most:.2} {unit}{place} cannot be said: no price of {lines}"
            );
            found.add(&limit.span, None, how, SAVE);
        }
    }
}
