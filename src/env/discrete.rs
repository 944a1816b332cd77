//! The discrete-event clock: simulated time that stands still while anything runs and jumps when all wait.
//!
//! Works on a current-thread tokio runtime only: its park hook runs exactly when no task can make progress.
//! If then no request is in flight either ([`Clock::busy`]), nothing can happen before the earliest sleeper
//! is due, so the clock moves there and wakes it. The order of wake-ups depends on deadlines and on the
//! order in which sleeps began, never on real time. Not for wall-clock use; see [`super::clock::WallClock`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::clock::{Clock, Guard, Sleep, Timestamp};

/// A clock that a current-thread runtime advances by itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DiscreteClock(Arc<Mutex<Timeline>>);

#[derive(Debug)]
struct Timeline {
    now: Timestamp,
    /// Sleepers by deadline, then by the order in which they began.
    sleepers: BTreeMap<(Timestamp, u64), Waker>,
    begun: u64,
    busy: i64,
}

impl DiscreteClock {
    /// A clock that reads `start`.
    pub fn new(start: Timestamp) -> Self {
        DiscreteClock(Arc::new(Mutex::new(Timeline { now: start, sleepers: BTreeMap::new(), begun: 0, busy: 0 })))
    }

    /// Moves the clock forward to `now`, before anything waits on it.
    pub fn set(&self, now: Timestamp) {
        let mut timeline = self.lock();
        timeline.now = timeline.now.max(now);
    }

    /// Builds the runtime that advances this clock.
    ///
    /// # Errors
    /// When the operating system refuses an event queue.
    pub fn runtime(&self) -> std::io::Result<tokio::runtime::Runtime> {
        let clock = self.clone();
        tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(move || clock.advance()).build()
    }

    /// Jumps to the earliest deadline and wakes all who wait for exactly that moment, unless work is in flight.
    pub fn advance(&self) {
        let mut due = Vec::new();
        {
            let mut timeline = self.lock();
            if timeline.busy > 0 {
                return;
            }
            let Some((&(first, _), _)) = timeline.sleepers.first_key_value() else { return };
            timeline.now = timeline.now.max(first);
            while let Some(entry) = timeline.sleepers.first_entry() {
                if entry.key().0 > first {
                    break;
                }
                due.push(entry.remove());
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Timeline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, by: i64) -> Guard {
        self.lock().busy += by;
        let clock = self.clone();
        Guard(Some(Box::new(move || clock.lock().busy -= by)))
    }
}

impl Clock for DiscreteClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let deadline = self.now().plus(duration);
        Box::pin(DiscreteSleep { clock: self.clone(), deadline, key: None })
    }

    fn is_continuous(&self) -> bool {
        false
    }

    fn busy(&self) -> Guard {
        self.count(1)
    }

    fn lend(&self) -> Guard {
        self.count(-1)
    }
}

struct DiscreteSleep {
    clock: DiscreteClock,
    deadline: Timestamp,
    key: Option<(Timestamp, u64)>,
}

impl Future for DiscreteSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut timeline = clock.lock();
        if timeline.now >= self.deadline {
            if let Some(key) = self.key.take() {
                timeline.sleepers.remove(&key);
            }
            return Poll::Ready(());
        }
        let key = match self.key {
            Some(key) => key,
            None => {
                timeline.begun += 1;
                (self.deadline, timeline.begun)
            }
        };
        self.key = Some(key);
        timeline.sleepers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for DiscreteSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.clock.lock().sleepers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_pass_at_once_and_in_order() {
        let clock = DiscreteClock::new(Timestamp(0));
        let runtime = clock.runtime().expect("runtime");
        let order = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            let tasks = [3u64, 1, 2].map(|hours| {
                let (clock, order) = (clock.clone(), order.clone());
                tokio::spawn(async move {
                    clock.sleep(Duration::from_secs(3600 * hours)).await;
                    order.lock().expect("lock").push((hours, clock.now().seconds() / 3600));
                })
            });
            for task in tasks {
                task.await.expect("task");
            }
        });
        assert_eq!(*order.lock().expect("lock"), [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn time_stands_still_while_a_request_is_in_flight() {
        let clock = DiscreteClock::new(Timestamp(0));
        let runtime = clock.runtime().expect("runtime");
        runtime.block_on(async {
            let busy = clock.busy();
            let other = clock.clone();
            let sleeper = tokio::spawn(async move { other.sleep(Duration::from_secs(5)).await });
            // Real waiting on a socket or thread stands in for the request.
            let (send, receive) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                send.send(()).ok();
            });
            receive.await.expect("answer");
            assert_eq!(clock.now(), Timestamp(0));
            drop(busy);
            sleeper.await.expect("sleeper");
            assert_eq!(clock.now(), Timestamp(5000));
        });
    }

    #[test]
    fn a_server_that_sleeps_for_a_client_lends_its_busyness() {
        let clock = DiscreteClock::new(Timestamp(0));
        let runtime = clock.runtime().expect("runtime");
        runtime.block_on(async {
            let _request = clock.busy();
            let lent = clock.lend();
            clock.sleep(Duration::from_secs(7)).await;
            drop(lent);
            assert_eq!(clock.now(), Timestamp(7000));
        });
    }
}
