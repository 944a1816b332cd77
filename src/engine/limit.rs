//! How many requests may be under way: as many as the user allows, fewer while a platform says that it is too many.
//!
//! Halves when a request is refused for rate, grows by one for each round of answered requests: the additive
//! increase and multiplicative decrease of TCP, which shares a server fairly with others who do the same. Neither
//! waits nor retries; that is the worker's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::env::clock::Timestamp;

/// Requests refused together are one sign, not many: between two cuts passes at least this.
const BETWEEN_CUTS: Duration = Duration::from_secs(1);

/// The requests of one run.
pub(super) struct Limit {
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    most: usize,
    allowed: usize,
    /// Permits that are held and are not given back when they come free.
    owed: usize,
    /// Requests answered since the last change.
    answered: usize,
    cut: Option<Timestamp>,
}

/// One request; dropped when it is answered.
pub(super) struct Permit<'a> {
    limit: &'a Limit,
    permit: Option<SemaphorePermit<'a>>,
}

impl Limit {
    /// At most so many, at least one.
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let state = State { most, allowed: most, owed: 0, answered: 0, cut: None };
        Limit { permits: Semaphore::new(most), state: Mutex::new(state) }
    }

    /// Waits for its turn.
    pub(super) async fn acquire(&self) -> Permit<'_> {
        Permit { limit: self, permit: self.permits.acquire().await.ok() }
    }

    /// A request was answered, or refused as too frequent.
    pub(super) fn note(&self, refused: bool, now: Timestamp) {
        let mut state = self.state();
        if !refused {
            state.answered += 1;
            if state.answered >= state.allowed && state.allowed < state.most {
                (state.allowed, state.answered) = (state.allowed + 1, 0);
                match state.owed {
                    0 => self.permits.add_permits(1),
                    _ => state.owed -= 1,
                }
            }
            return;
        }
        state.answered = 0;
        if state.cut.is_some_and(|cut| now.since(cut) < BETWEEN_CUTS) {
            return;
        }
        state.cut = Some(now);
        let fewer = (state.allowed / 2).max(1);
        let surplus = state.allowed - fewer;
        state.allowed = fewer;
        state.owed += surplus - self.permits.forget_permits(surplus);
    }

    /// How many may be under way now.
    #[cfg(test)]
    fn allowed(&self) -> usize {
        self.state().allowed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).plus(Duration::from_secs(seconds))
    }

    /// Takes permits until there is none.
    fn take(limit: &Limit) -> Vec<Permit<'_>> {
        std::iter::from_fn(|| {
            let permit = limit.permits.try_acquire().ok()?;
            Some(Permit { limit, permit: Some(permit) })
        })
        .collect()
    }

    #[test]
    fn a_refusal_halves_what_is_under_way_and_answers_win_it_back() {
        let limit = Limit::new(16);
        let held = take(&limit);
        assert_eq!(held.len(), 16);
        // Sixteen refusals at once are one cut.
        (0..16).for_each(|_| limit.note(true, at(1)));
        assert_eq!(limit.allowed(), 8);
        drop(held);
        let held = take(&limit);
        assert_eq!(held.len(), 8);
        drop(held);
        (2..9).for_each(|second| limit.note(true, at(second)));
        assert_eq!(limit.allowed(), 1);
        // 1 + 2 + … + 15 answers, and not one more.
        (0..120).for_each(|_| limit.note(false, at(10)));
        assert_eq!(limit.allowed(), 16);
        assert_eq!(take(&limit).len(), 16);
        (0..100).for_each(|_| limit.note(false, at(10)));
        assert_eq!(take(&limit).len(), 16);
    }

    proptest! {
        /// Whatever happens in whatever order, once all permits are back there are as many as allowed.
        #[test]
        fn permits_are_neither_lost_nor_invented(
            most in 1usize..20,
            steps in proptest::collection::vec((0u8..4, 0u64..3), 0..200),
        ) {
            let limit = Limit::new(most);
            let (mut held, mut now) = (Vec::new(), 0);
            for (step, pause) in steps {
                now += pause;
                match step {
                    0 => limit.note(true, at(now)),
                    1 => limit.note(false, at(now)),
                    2 => held.extend(limit.permits.try_acquire().ok().map(|permit| Permit { limit: &limit, permit: Some(permit) })),
                    _ => drop(held.pop()),
                }
                prop_assert!((1..=most).contains(&limit.allowed()));
            }
            drop(held);
            prop_assert_eq!(take(&limit).len(), limit.allowed());
        }
    }
}
