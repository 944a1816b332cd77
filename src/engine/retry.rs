//! When to repeat a call: a pure table over error classes, with back-off from `backon`.

use std::time::Duration;

use backon::BackoffBuilder;

use crate::resource::error::{ErrorClass, ProviderError};

/// Whether another try can help, without anybody doing anything.
pub fn is_retryable(class: ErrorClass) -> bool {
    match class {
        // A conflict on a resource version goes away by reading again, which every retry does.
        ErrorClass::RateLimited | ErrorClass::Busy | ErrorClass::Unavailable => true,
        ErrorClass::NotFound
        | ErrorClass::AlreadyExists
        | ErrorClass::Conflict
        | ErrorClass::Denied
        | ErrorClass::Unauthenticated
        | ErrorClass::Disabled
        | ErrorClass::Quota
        | ErrorClass::StockOut
        | ErrorClass::Invalid
        | ErrorClass::Unknown => false,
    }
}

/// The delays between the tries of one call.
pub struct Delays(backon::ExponentialBackoff);

impl Delays {
    /// Half a second, doubling up to fifteen: a webhook that comes up is noticed soon, an outage is not
    /// hammered. Without jitter, so that simulated runs repeat; callers are few and start at different times.
    pub fn new() -> Self {
        Delays(
            backon::ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(500))
                .with_max_delay(Duration::from_secs(15))
                .without_max_times()
                .build(),
        )
    }

    /// The wait before the next try after `error`.
    pub fn next(&mut self, error: &ProviderError) -> Duration {
        let delay = self.0.next().unwrap_or(Duration::from_secs(15));
        error.retry_after.map_or(delay, |asked| asked.max(delay))
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self::new()
    }
}
