//! Time: what it is now, and waiting for it to pass.
//!
//! Not for measuring CPU or benchmarks. All waiting in the program goes through [`Clock::sleep`], so that
//! the discrete-event clock of `--sim` can jump.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this; zero when it is not earlier.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Parses RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(instant.as_millisecond()).ok().map(Timestamp)
    }

    /// RFC 3339 in UTC with whole seconds, as Kubernetes writes `metav1.Time`.
    pub fn rfc3339(self) -> String {
        let seconds = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
    }

    /// RFC 3339 in UTC with exactly six fractional digits, as Kubernetes writes `metav1.MicroTime`.
    pub fn rfc3339_micros(self) -> String {
        let whole = self.rfc3339();
        format!("{}.{:03}000Z", whole.trim_end_matches('Z'), self.0 % 1000)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// A wait that completes when its time has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, as finely as the clock has it: for differences of less than milliseconds.
    fn reading(&self) -> Duration {
        Duration::from_millis(self.now().0)
    }

    /// Completes `duration` from now. Dropping the future cancels it.
    fn sleep(&self, duration: Duration) -> Sleep;

    /// While the guard lives, simulated time stands still. Hold it across every wait for the outside
    /// world: a request until its answer is read, a blocking disk write, a question to the user.
    fn busy(&self) -> Guard {
        Guard::default()
    }

    /// Whether time passes while nobody does anything. Where it jumps instead, to the next wait's end, a request
    /// that is held open until something happens has no place in time.
    fn is_continuous(&self) -> bool {
        true
    }

    /// While the guard lives, one [`Clock::busy`] of somebody else does not count. The simulator's server
    /// holds it while a request handler waits for simulated time on a client's behalf.
    fn lend(&self) -> Guard {
        Guard::default()
    }
}

/// Undoes on drop what [`Clock::busy`] or [`Clock::lend`] did.
#[derive(Default)]
pub struct Guard(pub Option<Box<dyn FnOnce() + Send>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// Wall-clock time, optionally faster by a whole or broken factor.
#[derive(Debug)]
pub struct WallClock {
    /// How often a second passes per real second; 1.0 for real time.
    speed: f64,
    start: std::time::Instant,
    epoch: Timestamp,
}

impl WallClock {
    /// Real time.
    pub fn new() -> Self {
        Self::scaled(1.0, Self::real_now())
    }

    /// Time that starts at `epoch` and passes `speed` times as fast as real time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the real clock")]
    pub fn scaled(speed: f64, epoch: Timestamp) -> Self {
        WallClock { speed, start: std::time::Instant::now(), epoch }
    }

    /// The real time of day.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the real clock")]
    pub fn real_now() -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        self.epoch.plus(self.start.elapsed().mul_f64(self.speed))
    }

    fn reading(&self) -> Duration {
        self.start.elapsed().mul_f64(self.speed)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let real = duration.div_f64(self.speed);
        #[expect(clippy::disallowed_methods, reason = "the one place that waits for real time")]
        let sleep = tokio::time::sleep(real);
        Box::pin(sleep)
    }
}

/// The deadline passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct TimedOut;

/// Runs `future`, but no longer than `limit` by `clock`.
///
/// # Errors
/// [`TimedOut`] when the limit passed first; the future is dropped then.
pub async fn timeout<T>(clock: &dyn Clock, limit: Duration, future: impl Future<Output = T>) -> Result<T, TimedOut> {
    tokio::select! {
        biased;
        value = future => Ok(value),
        () = clock.sleep(limit) => Err(TimedOut),
    }
}
