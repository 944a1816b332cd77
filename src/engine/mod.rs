//! Effects in time: reading what is there, and carrying a plan out.
//!
//! `dispatcher` decides and owns the state, `worker` does one change, `retry` classes answers, `limit` bounds requests, `refresh`
//! reads. Nothing here knows a stack file or a platform's API.

pub mod dispatcher;
mod limit;
pub mod refresh;
pub mod retry;
pub mod worker;

#[cfg(test)]
mod tests;
