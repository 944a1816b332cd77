//! Quantiles, and how far they can be trusted. Deterministic: chance comes from a seed.
//!
//! Intervals are for 95 %. Those of quantiles come from order statistics, which need no assumption about the shape of
//! times; those of savings from resampling. Not for streams of data: everything is in memory.

use serde::Serialize;

/// What lies outside of each end of an interval.
const TAIL: f64 = 0.025;
/// Resamplings.
const DRAWS: usize = 2000;

/// A figure with its interval; an end that the number of observations cannot bear is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Not below this, with 97.5 % confidence.
    pub low: Option<f64>,
    /// Not above this, with 97.5 % confidence.
    pub high: Option<f64>,
}

/// Times, summed up. Seconds in all reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Observations.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Median.
    pub p50: Estimate,
    /// Nine of ten are below.
    pub p90: Estimate,
    /// 99 of 100 are below.
    pub p99: Estimate,
}

/// Sums observations up; `None` without any.
pub fn summary(values: &[f64]) -> Option<Summary> {
    let sorted = sorted(values)?;
    let at = |q| estimate(&sorted, q);
    Some(Summary { n: sorted.len(), mean: mean(&sorted), p50: at(0.5), p90: at(0.9), p99: at(0.99) })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn float(n: usize) -> f64 {
    n as f64
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<_>>();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then_some(sorted)
}

/// The arithmetic mean; zero without observations.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / float(values.len()) }
}

/// The median; zero without observations.
pub fn median(values: &[f64]) -> f64 {
    sorted(values).map_or(0.0, |sorted| quantile(&sorted, 0.5))
}

/// A quantile of sorted observations, linear between two of them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of the slice")]
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = q.clamp(0.0, 1.0) * float(last);
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - float(below);
    sorted[below] + (sorted[above] - sorted[below]) * share
}

/// A quantile with the order statistics that enclose it: how many of n observations lie below the true one is binomial,
/// whatever their distribution.
pub fn estimate(sorted: &[f64], q: f64) -> Estimate {
    let n = sorted.len();
    let mut below = 0.0;
    let (mut low, mut high) = (None, None);
    for (k, observed) in sorted.iter().enumerate() {
        // After this, `below` is the chance that at most k observations are below the true quantile.
        below += binomial(n, k, q);
        if below <= TAIL {
            low = Some(*observed);
        }
        if 1.0 - below <= TAIL && high.is_none() {
            high = Some(*observed);
        }
    }
    Estimate { value: quantile(sorted, q), low, high }
}

/// The chance of exactly k of n.
fn binomial(n: usize, k: usize, p: f64) -> f64 {
    let ways = log_factorial(n) - log_factorial(k) - log_factorial(n - k);
    (ways + float(k) * p.ln() + float(n - k) * (1.0 - p).ln()).exp()
}

fn log_factorial(n: usize) -> f64 {
    (2..=n).map(|k| float(k).ln()).sum()
}

/// The interval of a share, k of n: Wilson's, which stays within 0 and 1.
pub fn share(k: usize, n: usize) -> Estimate {
    if n == 0 {
        return Estimate::default();
    }
    let (k, n, z) = (float(k), float(n), 1.96_f64);
    let p = k / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Estimate { value: p, low: Some((middle - half).max(0.0)), high: Some((middle + half).min(1.0)) }
}

/// A sequence of numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; zero where that is zero.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { usize::try_from(self.number() % n as u64).unwrap_or(0) }
    }

    /// Puts things into a random order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at + 1));
        }
    }
}

/// By how much the second kind of time is shorter than the first, as a share of the first: one minus the ratio of their
/// medians. Each entry of `rounds` is one time of the first kind with those of the second kind that were measured right
/// after it; whole rounds are resampled, so that what drifts from round to round cancels. `None` without a round.
///
/// The interval is the expanded percentile interval (Hesterberg, "What Teachers Should Know About the Bootstrap",
/// 2015): of few rounds, plain percentiles promise too much. It has no ends below three rounds.
pub fn saving(rounds: &[(f64, Vec<f64>)], seed: u64) -> Option<Estimate> {
    let of = |picked: &mut dyn Iterator<Item = usize>| -> Option<f64> {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for at in picked {
            first.push(rounds[at].0);
            second.extend_from_slice(&rounds[at].1);
        }
        let base = median(&first);
        (base > 0.0 && !second.is_empty()).then(|| 1.0 - median(&second) / base)
    };
    let value = of(&mut (0..rounds.len()))?;
    if rounds.len() < 3 {
        return Some(Estimate { value, low: None, high: None });
    }
    let mut chance = Chance::new(seed);
    let drawn = (0..DRAWS).filter_map(|_| {
        let picks = (0..rounds.len()).map(|_| chance.below(rounds.len())).collect::<Vec<_>>();
        of(&mut picks.into_iter())
    });
    let drawn = sorted(&drawn.collect::<Vec<_>>())?;
    let n = float(rounds.len());
    let tail = normal_below(-(n / (n - 1.0)).sqrt() * student(rounds.len() - 1));
    Some(Estimate { value, low: Some(quantile(&drawn, tail)), high: Some(quantile(&drawn, 1.0 - tail)) })
}

/// The 97.5 % point of Student's t with so many degrees of freedom (tables; beyond them, the normal's).
fn student(freedom: usize) -> f64 {
    const POINTS: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    freedom.checked_sub(1).and_then(|at| POINTS.get(at)).copied().unwrap_or(1.96)
}

/// The chance that a standard normal number is below x (Abramowitz and Stegun 26.2.17; wrong by less than 1e-7).
fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [0.319_381_530, -0.356_563_782, 1.781_477_937, -1.821_255_978, 1.330_274_429];
    let sum = series.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
    let upper = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum;
    if x > 0.0 { 1.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal numbers, by the sum of twelve uniform ones.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept")]
    fn normal(chance: &mut Chance) -> f64 {
        (0..12).map(|_| (chance.number() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn quantiles_are_those_of_the_textbook() {
        let values = [15.0, 20.0, 35.0, 40.0, 50.0];
        assert!((quantile(&values, 0.4) - 29.0).abs() < 1e-9);
        assert!((quantile(&values, 0.5) - 35.0).abs() < 1e-9);
        assert!((median(&[3.0, 1.0, 2.0, 10.0]) - 2.5).abs() < 1e-9);
        assert!(quantile(&[], 0.5).abs() < 1e-9);
    }

    #[test]
    fn order_statistics_enclose_the_median_as_tables_say() {
        // The interval of a median by the sign test: n = 10 gives the 2nd and 9th, n = 20 the 6th and 15th.
        for (n, low, high) in [(10, 2.0, 9.0), (20, 6.0, 15.0)] {
            let values = (1..=n).map(f64::from).collect::<Vec<_>>();
            let found = estimate(&values, 0.5);
            assert_eq!((found.low, found.high), (Some(low), Some(high)), "{n}");
        }
        // Five observations say nothing about a median with this confidence, and a hundred nothing about the top of p99.
        let few = estimate(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.5);
        assert_eq!((few.low, few.high), (None, None));
        let many = (1..=100).map(f64::from).collect::<Vec<_>>();
        let top = estimate(&many, 0.99);
        assert!(top.low.is_some() && top.high.is_none(), "{top:?}");
    }

    #[test]
    fn normal_and_share_agree_with_tables() {
        for (x, chance) in [(0.0, 0.5), (-1.96, 0.025), (1.645, 0.95), (-2.576, 0.005)] {
            assert!((normal_below(x) - chance).abs() < 1e-4, "{x}");
        }
        let found = share(9, 10);
        assert!((found.low.expect("low") - 0.596).abs() < 2e-3, "{found:?}");
        assert!((found.high.expect("high") - 0.982).abs() < 2e-3, "{found:?}");
    }

    #[test]
    fn intervals_hold_what_they_promise() {
        let (mut medians, mut savings) = (0, 0);
        let runs = 400;
        for seed in 0..runs {
            let mut chance = Chance::new(seed);
            let times = (0..20).map(|_| (0.2 * normal(&mut chance)).exp()).collect::<Vec<_>>();
            let found = summary(&times).expect("times").p50;
            medians += usize::from(found.low.expect("low") <= 1.0 && found.high.expect("high") >= 1.0);
            let rounds = (0..8).map(|_| {
                let cold = 0.5 * (0.15 * normal(&mut chance)).exp();
                (cold, (0..4).map(|_| 0.1 * (0.15 * normal(&mut chance)).exp()).collect::<Vec<_>>())
            });
            let found = saving(&rounds.collect::<Vec<_>>(), seed).expect("rounds");
            savings += usize::from(found.low.expect("low") <= 0.8 && found.high.expect("high") >= 0.8);
        }
        // 95 % promised; 400 runs leave some three points to chance.
        assert!(medians >= 368 && savings >= 368, "{medians} {savings} of {runs}");
    }

    #[test]
    fn few_rounds_have_no_interval_and_chance_repeats_itself() {
        let two = saving(&[(1.0, vec![0.5]), (1.0, vec![0.4])], 1).expect("rounds");
        assert_eq!((two.low, two.high), (None, None));
        assert_eq!(saving(&[], 1), None);
        let rounds = (0..9).map(|n| (1.0 + f64::from(n) / 10.0, vec![0.5 + f64::from(n) / 50.0])).collect::<Vec<_>>();
        assert_eq!(saving(&rounds, 7), saving(&rounds, 7));
    }
}
