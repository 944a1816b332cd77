//! Does a prefix stay on one replica? From who served what, by the replicas' own counts.
//!
//! Prefixes are first sent together, so that a scheduler that balances load spreads them; then each comes again, one
//! request at a time and in random order, so that taking turns cannot look like staying.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cache::Verdict;
use super::stats::{Estimate, share};

/// Of requests that could stay, the share from which on staying is what the routing does: the rest is a scheduler's
/// balancing.
const MOSTLY: f64 = 0.8;

/// One request of the second part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Visit {
    /// Which prefix.
    pub prefix: usize,
    /// Who served it; `None` where that could not be told.
    pub replica: Option<String>,
    /// Tokens that came from that replica's cache.
    pub hits: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
}

/// What one replica did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replica {
    /// Its pod.
    pub name: String,
    /// Requests that it served.
    pub requests: usize,
    /// Tokens looked up.
    pub queries: f64,
    /// Of these, found.
    pub hits: f64,
}

/// What the visits show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Prefixes.
    pub prefixes: usize,
    /// Each replica, by name.
    pub replicas: Vec<Replica>,
    /// Requests that went where their prefix went before, of those that could.
    pub stayed: (usize, usize),
    /// That as a share.
    pub share: Estimate,
    /// What chance alone gives: one of so many replicas.
    pub chance: f64,
    /// Of the tokens of requests that stayed, the share from the cache.
    pub hit_ratio: f64,
    /// What that means.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Judges visits in the order in which they were made. `replicas` are all that could have served.
pub fn judge(visits: &[Visit], replicas: Vec<Replica>) -> Finding {
    let mut homes: BTreeMap<usize, &str> = BTreeMap::new();
    let (mut stayed, mut could, mut hits, mut tokens) = (0, 0, 0.0, 0.0);
    for visit in visits {
        let Some(replica) = visit.replica.as_deref() else { continue };
        if let Some(home) = homes.insert(visit.prefix, replica) {
            could += 1;
            if home == replica {
                stayed += 1;
                hits += visit.hits;
                tokens += as_float(visit.prompt_tokens);
            }
        }
    }
    let used = visits.iter().filter_map(|visit| visit.replica.as_deref()).collect::<BTreeSet<_>>().len();
    let prefixes = visits.iter().map(|visit| visit.prefix).collect::<BTreeSet<_>>().len();
    let share = share(stayed, could);
    let n = replicas.len();
    let chance = if n == 0 { 1.0 } else { 1.0 / as_float(n as u64) };
    let unknown = visits.iter().filter(|visit| visit.replica.is_none()).count();
    let verdict = if n < 2 {
        Verdict::NotMeasurable("there is one replica: no request has a choice".to_owned())
    } else if unknown * 5 > visits.len() || could == 0 {
        Verdict::NotMeasurable(format!(
            "of {unknown} of {} requests nobody knows which replica served them: others use the model meanwhile, or its \
             metrics cannot be read",
            visits.len()
        ))
    } else if used < 2 {
        Verdict::NotProven(format!("all requests went to one of {n} replicas, whatever their prefix"))
    } else if share.low.unwrap_or(0.0) > chance && share.value >= MOSTLY {
        Verdict::Proven(format!(
            "{stayed} of {could} requests went where their prefix was; by chance {:.0} would have",
            as_float(could) * chance
        ))
    } else {
        Verdict::NotProven(format!(
            "{stayed} of {could} requests went where their prefix was; by chance {:.0} would have",
            as_float(could) * chance
        ))
    };
    let hit_ratio = if tokens > 0.0 { hits / tokens } else { 0.0 };
    Finding { prefixes, replicas, stayed: (stayed, could), share, chance, hit_ratio, verdict }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn as_float(n: impl TryInto<u64>) -> f64 {
    n.try_into().unwrap_or(u64::MAX) as f64
}

#[cfg(test)]
mod tests {
    use super::super::stats::Chance;
    use super::*;

    fn replicas() -> Vec<Replica> {
        ["a", "b", "c"].map(|name| Replica { name: name.to_owned(), ..Replica::default() }).to_vec()
    }

    fn visits(seed: u64, mut serve: impl FnMut(usize, usize) -> usize) -> Vec<Visit> {
        let mut order = (0..6).flat_map(|prefix| [prefix; 5]).collect::<Vec<usize>>();
        Chance::new(seed).shuffle(&mut order);
        let visit = |(at, prefix): (usize, usize)| Visit {
            prefix,
            replica: Some(["a", "b", "c"][serve(at, prefix) % 3].to_owned()),
            hits: 900.0,
            prompt_tokens: 1000,
        };
        order.into_iter().enumerate().map(visit).collect()
    }

    #[test]
    fn staying_is_told_from_turns_and_from_chance() {
        for seed in 0..100 {
            let staying = judge(&visits(seed, |_, prefix| prefix), replicas());
            assert!(staying.verdict.is_proven() && staying.stayed == (24, 24), "{staying:?}");
            let turns = judge(&visits(seed, |at, _| at), replicas());
            assert_eq!(turns.verdict.word(), "not proven", "{seed}: {turns:?}");
            let mut chance = Chance::new(seed + 1000);
            let anywhere = judge(&visits(seed, |_, _| chance.below(3)), replicas());
            assert_eq!(anywhere.verdict.word(), "not proven", "{seed}: {anywhere:?}");
        }
    }

    #[test]
    fn one_replica_proves_nothing() {
        assert_eq!(judge(&visits(1, |_, _| 0), replicas()).verdict.word(), "not proven");
        let alone = replicas()[..1].to_vec();
        assert_eq!(judge(&visits(1, |_, _| 0), alone).verdict.word(), "not measurable");
        let mut unseen = visits(1, |_, prefix| prefix);
        unseen.iter_mut().for_each(|visit| visit.replica = None);
        assert_eq!(judge(&unseen, replicas()).verdict.word(), "not measurable");
    }
}
