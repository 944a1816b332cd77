//! Who waits for a request: a client outside the process keeps simulated time still until its answer, so whatever such
//! a request sleeps for must lend the client's hold back. Not the clock itself (`env`), and not what the request does.

use std::future::Future;

use crate::env::clock::Clock;

tokio::task_local! {
    /// Whether a client outside waits for what this task does.
    static OUTSIDE: bool;
}

/// Does the work of a request that came from outside.
pub(super) async fn for_client<T>(work: impl Future<Output = T>) -> T {
    OUTSIDE.scope(true, work).await
}

/// Does work that takes simulated time, such as a webhook's thinking, within a request: time passes for a client that
/// waits outside. The work's own requests are the cluster's and have nobody outside.
pub(super) async fn through<T>(clock: &dyn Clock, work: impl Future<Output = T>) -> T {
    let _lent = OUTSIDE.try_with(|outside| *outside).unwrap_or(false).then(|| clock.lend());
    OUTSIDE.scope(false, work).await
}
