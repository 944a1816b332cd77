//! The endpoint picker at work: which copy of a model a request goes to.
//!
//! A picker remembers by itself which prompts it sent where; it does not look into the copies' caches. Of their load it
//! knows what it may read from their metrics. Scores are from 0 to 1, weighted as its plugins say.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::asked;
use super::cache::PrefixCache;
use super::network;
use super::openai::Request;
use super::plane::DataPlane;
use super::tokens::{self, Token};
use crate::sim::controllers::addons::kserve::Plugins;
use crate::sim::controllers::addons::objects::{list, text, uid};
use crate::sim::controllers::programs::Instance;

/// Tokens of one block of a picker's memory.
const BLOCK: usize = 16;
/// Blocks that a picker remembers of each copy.
const BLOCKS: usize = 31_250;

/// What a picker remembers: the prompts of each copy, by the copy's name.
pub type Memory = BTreeMap<String, PrefixCache>;

/// The copy for a request.
pub fn choose(
    plane: &DataPlane,
    picker: &Arc<Json>,
    endpoints: &[(Arc<Json>, u16)],
    request: &Request,
) -> Option<(Arc<Json>, u16)> {
    let plugins = Plugins::of(&Instance::of(picker, "main")?).ok()?;
    let (salt, prompt) = prompt_of(request);
    let loads = endpoints.iter().map(|(pod, port)| load(plane, picker, pod, *port)).collect::<Vec<_>>();
    let chosen = plane.remembering(uid(picker), |memory| {
        // Copies that are gone are forgotten.
        memory.retain(|name, _| endpoints.iter().any(|(pod, _)| text(pod, "/metadata/name") == name));
        let scores = endpoints.iter().zip(&loads).map(|((pod, _), load)| {
            let known = memory.get(text(pod, "/metadata/name")).map_or(0, |cache| cache.known(&salt, &prompt));
            let scored = plugins
                .scorers
                .iter()
                .map(|(kind, weight)| weight * score(kind, known, prompt.len(), load.as_ref(), &loads));
            scored.sum::<f64>()
        });
        let scores = scores.collect::<Vec<_>>();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let by_chance = plugins.picker != "max-score-picker";
        let candidates = (0..endpoints.len()).filter(|at| by_chance || scores[*at] >= best - 1e-9).collect::<Vec<_>>();
        // Equals take turns.
        let at = *plane.next_of(&candidates)?;
        let name = text(&endpoints[at].0, "/metadata/name").to_owned();
        memory.entry(name).or_insert_with(|| PrefixCache::new(BLOCK, BLOCKS)).remember(&salt, &prompt);
        Some(at)
    })?;
    endpoints.get(chosen).cloned()
}

/// Requests under way at a copy, and the share of its cache in use; nothing where its metrics are out of reach.
fn load(plane: &DataPlane, picker: &Json, pod: &Arc<Json>, port: u16) -> Option<(f64, f64)> {
    if !network::connects(&*plane.api, picker, pod, i64::from(port)) {
        return None;
    }
    let (_, model) = plane.model(pod, port)?;
    let (counters, usage) = model.counters();
    #[expect(clippy::cast_precision_loss, reason = "requests under way")]
    let running = counters.running as f64;
    Some((running, usage))
}

#[expect(clippy::cast_precision_loss, reason = "tokens of one prompt")]
fn score(kind: &str, known: usize, length: usize, load: Option<&(f64, f64)>, all: &[Option<(f64, f64)>]) -> f64 {
    match kind {
        "prefix-cache-scorer" => {
            let whole = length / BLOCK * BLOCK;
            if whole == 0 { 0.0 } else { known as f64 / whole as f64 }
        }
        "queue-scorer" | "running-requests-size-scorer" | "load-aware-scorer" => {
            let Some((running, _)) = load else { return 0.0 };
            let others = all.iter().flatten().map(|(running, _)| *running);
            let (least, most) = others.fold((f64::MAX, 0.0_f64), |(a, b), n| (a.min(n), b.max(n)));
            if most > least { (most - running) / (most - least) } else { 1.0 }
        }
        "kv-cache-utilization-scorer" => load.map_or(0.0, |(_, usage)| 1.0 - usage),
        _ => 0.0,
    }
}

/// The prompt of a request as a picker sees it.
fn prompt_of(request: &Request) -> (String, Vec<Token>) {
    let body = asked::parse(Some("application/json"), &request.body).unwrap_or_default();
    let salt = text(&body, "/cache_salt").to_owned();
    let messages: Vec<(String, String)> = list(&body, "/messages")
        .iter()
        .map(|m| (text(m, "/role").to_owned(), text(m, "/content").to_owned()))
        .collect();
    if messages.is_empty() {
        return (salt, tokens::tokens(text(&body, "/prompt")));
    }
    (salt, tokens::conversation(&messages))
}
