//! How requests find one of several copies: KServe's scheduler with its plugins, and which images of it can work.

use serde_json::{Value as Json, json};

use crate::catalog::documents::{key, text};
use crate::catalog::expansion::{Expansion, mistake};
use crate::catalog::workloads::Plan;
use crate::diag::{Diagnostic, Span};
use crate::resource::model::Resource;
use crate::stack::model::{Routing, Workload};
use crate::value::Value;

/// The label that keeps the mesh's proxy out of a pod: copies and scheduler speak TLS of their own, and a proxy that
/// took its own in front of them would have to be told so.
pub(super) const NO_PROXY: (&str, &str) = ("sidecar.istio.io/inject", "false");

/// The preset that KServe makes a scheduler from.
const PRESET: &str = "kserve-config-llm-scheduler";

/// What to take in place of an image that cannot work: the one that KServe 0.20 brings.
const TESTED: &str = "ghcr.io/llm-d/llm-d-router-endpoint-picker:v0.9.0";

/// The first Istio that reads InferencePools of the version that KServe's scheduler is in the end reached through.
const FIRST_ISTIO: (u64, u64) = (1, 28);

/// Scheduler images, by the last part of their name, and the first version whose TLS listener offers HTTP/2 (ALPN
/// `h2`). Envoy calls a scheduler by gRPC, which is HTTP/2; of those before, every call fails in the handshake, and the
/// pool, which fails open, hides it as plain spreading. Mended by pull request 2385 of the Gateway API inference
/// extension in February 2026, from which these were built.
const FIRST_GOOD: &[(&str, [u64; 3])] =
    &[("llm-d-inference-scheduler", [0, 7, 0]), ("llm-d-router-endpoint-picker", [0, 8, 0]), ("epp", [1, 4, 0])];

/// Whether requests go by KServe's scheduler.
pub(super) fn is_scheduled(workload: &Workload) -> bool {
    workload.routing() == Routing::CacheAware
}

/// What is known of a scheduler's image.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// The first version that works.
    Bad(String),
    /// Why it cannot be told.
    Unknown(&'static str),
}

fn judge(image: &str) -> Verdict {
    let path = image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    let Some((_, first)) = FIRST_GOOD.iter().find(|(known, _)| *known == name) else {
        return Verdict::Unknown("the catalogue does not know this image");
    };
    if tag.is_empty() {
        return Verdict::Unknown("it has no tag");
    }
    let numbers = tag.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u64>);
    let Ok(numbers) = numbers.take(3).collect::<Result<Vec<_>, _>>() else {
        return Verdict::Unknown("its tag is no version");
    };
    let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
    // A candidate of the first good version was built before it.
    let candidate = tag.contains("-rc") || tag.contains("-alpha") || tag.contains("-beta");
    let found = [number(0), number(1), number(2)];
    if found < *first || (found == *first && candidate) {
        let [major, minor, patch] = first;
        return Verdict::Bad(format!("v{major}.{minor}.{patch}"));
    }
    Verdict::Good
}

/// Says of an image whether it can be called; `at` is where the stack names it.
fn report(expansion: &mut Expansion<'_>, image: &str, at: &Span) {
    match judge(image) {
        Verdict::Good => {}
        Verdict::Bad(first) => {
            let what = format!("the scheduler {image} cannot be called over TLS");
            let detail = "Its TLS listener does not offer HTTP/2 (ALPN), which the gateway's gRPC calls need: every call \
                          would fail, and requests would be spread without regard to caches, unnoticed.";
            let hint = format!("{first} is the first version that does; write scheduler_image = \"{TESTED}\"");
            expansion.report(mistake(what, at, "known to be bad").detail(detail).hint(hint));
        }
        Verdict::Unknown(why) => {
            let what = format!("whether the scheduler {image} can be called over TLS is not known");
            let hint = "llm-d-inference-scheduler up to v0.6.1 and epp up to v1.3.1 cannot; `bench routing` tells";
            expansion.report(Diagnostic::warning(what).at(at.clone(), why).hint(hint));
        }
    }
}

/// Mistakes about routing.
pub(super) fn check(expansion: &mut Expansion<'_>, plan: &Plan<'_>) {
    let workload = plan.workload;
    let span = workload.routing.as_ref().map_or(&workload.span, |routing| &routing.span);
    let rhaii = expansion.is_rhaii("istio") || expansion.is_rhaii("kserve");
    if workload.routing() == Routing::RoundRobin && rhaii {
        let what = "round-robin routing needs a rule that Red Hat's KServe keeps for itself";
        let hint = "use routing = \"direct\", which spreads to the copy with the fewest requests";
        expansion.report(mistake(what, span, "not with rhaii").hint(hint));
    }
    if !is_scheduled(workload) {
        if let Some(image) = &workload.scheduler_image {
            let what = format!("{} routing has no scheduler", workload.routing().word());
            let hint = "write routing = \"cache-aware\", or remove `scheduler_image`";
            expansion.report(mistake(what, &image.span, "not used").hint(hint));
        }
        return;
    }
    if rhaii {
        let what = "cache-aware routing needs an Istio that reads InferencePool v1";
        let hint = "use upstream istio and kserve; OpenShift Service Mesh 3.2 is Istio 1.27, which reads v1alpha2 only";
        expansion.report(mistake(what, span, "not with rhaii").hint(hint));
        return;
    }
    if workload.replicas() == 1 {
        let warning = Diagnostic::warning("cache-aware routing has nothing to choose from");
        let hint = "write replicas = 3, or routing = \"direct\"";
        expansion.report(warning.at(span.clone(), "one copy only").hint(hint));
    }
    if !workload.prefix_caching() {
        let off = workload.prefix_caching.as_ref().map_or(span, |off| &off.span);
        let what = "cache-aware routing without a cache";
        expansion.report(mistake(what, off, "nothing is cached").hint("remove `prefix_caching = false`"));
    }
    if let Some(version) = expansion.addon("istio").and_then(|addon| addon.version.as_ref()) {
        let numbers = version.trim_start_matches('v').split('.').map(str::parse::<u64>).take(2);
        let numbers = numbers.collect::<Result<Vec<_>, _>>().unwrap_or_default();
        if let [major, minor] = numbers[..]
            && (major, minor) < FIRST_ISTIO
        {
            let what = format!("Istio {} does not read InferencePool v1", &***version);
            let hint = "1.28 is the first that does; leave `version` out for the tested one";
            expansion.report(mistake(what, &version.span, "needed by cache-aware routing").hint(hint));
        }
    }
    if let Some(image) = &workload.scheduler_image {
        report(expansion, image, &image.span);
    }
}

/// The scheduler's plugins: where most of the prompt is cached, and half as much where the fewest requests wait.
///
/// Weights are whole numbers in some versions of this kind, so that 1 and 0.5 are written as 2 and 1.
fn plugins() -> Json {
    json!({
        "apiVersion": "inference.networking.x-k8s.io/v1alpha1",
        "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "prefix-cache-scorer"},
            {"type": "queue-scorer"},
            {"type": "max-score-picker"},
        ],
        "schedulingProfiles": [{
            "name": "default",
            "plugins": [
                {"pluginRef": "prefix-cache-scorer", "weight": 2},
                {"pluginRef": "queue-scorer", "weight": 1},
                {"pluginRef": "max-score-picker"},
            ],
        }],
    })
}

/// `spec.router.scheduler`; `volume` replaces KServe's certificate.
pub(super) fn scheduler(plan: &Plan<'_>, volume: Option<Json>) -> Option<Json> {
    if !is_scheduled(plan.workload) {
        return None;
    }
    let mut main = json!({"name": "main"});
    if let Some(image) = &plan.workload.scheduler_image {
        main["image"] = (&***image).into();
    }
    let mut scheduler = json!({"labels": {NO_PROXY.0: NO_PROXY.1}, "config": {"inline": plugins()}});
    if volume.is_some() || plan.workload.scheduler_image.is_some() {
        scheduler["template"] = json!({"containers": [main]});
    }
    if let Some(volume) = volume {
        scheduler["template"]["volumes"] = json!([volume]);
    }
    Some(scheduler)
}

/// Looks at the scheduler that KServe's own preset brings; called when all components have added their objects.
pub(super) fn check_presets(expansion: &mut Expansion<'_>) {
    let stack = expansion.stack;
    let scheduled = stack.workloads.values().filter(|workload| is_scheduled(workload));
    let Some(workload) =
        scheduled.filter(|workload| workload.scheduler_image.is_none()).min_by_key(|w| w.span.range.start)
    else {
        return;
    };
    let is_preset = |resource: &&Resource| {
        let found = key(&resource.attrs);
        found.kind == "LLMInferenceServiceConfig" && found.name == PRESET
    };
    let presets = expansion.resources.iter().filter(|resource| resource.kind == "k8s.object").filter(is_preset);
    let containers = presets.filter_map(|preset| {
        preset.attrs.at(&["spec", "router", "scheduler", "template", "containers"]).and_then(Value::as_list)
    });
    let main = containers.flatten().filter(|container| text(container, &["name"]) == Some("main"));
    let images = main.filter_map(|container| text(container, &["image"])).map(str::to_owned).collect::<Vec<_>>();
    let span = workload.routing.as_ref().map_or(&workload.span, |routing| &routing.span);
    for image in images {
        report(expansion, &image, span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_that_cannot_be_called() {
        let bad = |first: &str| Verdict::Bad(first.to_owned());
        for (image, expected) in [
            ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.6.1", bad("v0.7.0")),
            ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.4.0@sha256:00", bad("v0.7.0")),
            ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.7.0-rc.1", bad("v0.7.0")),
            ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.7.1", Verdict::Good),
            ("registry.k8s.io/gateway-api-inference-extension/epp:v1.3.1", bad("v1.4.0")),
            ("registry.k8s.io/gateway-api-inference-extension/epp:v1.4.0", Verdict::Good),
            (TESTED, Verdict::Good),
            ("ghcr.io/llm-d/llm-d-inference-scheduler:latest", Verdict::Unknown("its tag is no version")),
            ("ghcr.io/llm-d/llm-d-inference-scheduler", Verdict::Unknown("it has no tag")),
            ("example.com/mine:v1", Verdict::Unknown("the catalogue does not know this image")),
        ] {
            assert_eq!(judge(image), expected, "{image}");
        }
    }
}
