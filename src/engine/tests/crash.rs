//! The machine stops at every possible point of a run; the next run converges, with nothing lost or doubled.

use super::cloud::desired;
use super::runs::{Machine, actions};
use crate::engine::dispatcher::Interrupt;
use crate::resource::model::Desired;

/// Runs `steps` with a stop at crash point `at` of the last one; then without. Returns whether it did stop.
fn crash_at(steps: &[Desired], at: i64) -> bool {
    let mut machine = Machine::new();
    let (last, before) = steps.split_last().expect("a step");
    for step in before {
        machine.apply(step, Interrupt::None).expect("undisturbed");
    }
    machine.books.lock().expect("books").fuse = Some(at);
    let stopped = machine.apply(last, Interrupt::None).is_none();
    machine.books.lock().expect("books").fuse = None;
    let (_, summary) = machine.apply(last, Interrupt::None).expect("resumed");
    assert!(summary.is_complete(), "point {at}: {:?}", summary.failed);
    let (plan, _) = machine.apply(last, Interrupt::None).expect("looked again");
    assert!(plan.is_empty(), "point {at}: {:?}", actions(&plan));
    let state = machine.backend().read().expect("state");
    let books = machine.books.lock().expect("books");
    let there = books.things.keys().map(String::as_str).collect::<Vec<_>>();
    let recorded = state.resources.keys().map(|i| i.as_str()).collect::<Vec<_>>();
    let wanted = last.resources.iter().map(|r| r.address.as_str()).collect::<Vec<_>>();
    assert_eq!((&there, &recorded), (&wanted, &wanted), "point {at}");
    assert!(state.resources.values().all(|r| r.pending.is_none()), "point {at}");
    stopped
}

fn crash_everywhere(steps: &[Desired], at_least: i64) {
    let mut at = 0;
    while crash_at(steps, at) {
        at += 1;
    }
    assert!(at >= at_least, "only {at} crash points were met");
}

#[test]
fn while_creating() {
    crash_everywhere(&[desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"]), ("c", 1, "x", &[])])], 15);
}

#[test]
fn while_updating() {
    let before = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    crash_everywhere(&[before, desired(&[("a", 2, "x", &[]), ("b", 3, "x", &["a"])])], 6);
}

#[test]
fn while_replacing() {
    let before = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    crash_everywhere(&[before, desired(&[("a", 1, "y", &[]), ("b", 1, "y", &["a"])])], 20);
}

#[test]
fn while_destroying() {
    let before = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"])]);
    crash_everywhere(&[before, desired(&[])], 8);
}

/// The disk is full at any byte, with calls under way; once there is room, nothing is lost or doubled.
#[test]
fn a_full_disk() {
    let stack = desired(&[("a", 1, "x", &[]), ("b", 1, "x", &["a"]), ("c", 1, "x", &[])]);
    let (mut room, mut stopped) = (0, 0);
    loop {
        let mut machine = Machine::new();
        machine.disk.limit(Some(room));
        let done = machine.apply(&stack, Interrupt::None).is_some_and(|(_, summary)| summary.is_complete());
        machine.disk.limit(None);
        machine.disk.lose_power();
        let (_, summary) = machine.apply(&stack, Interrupt::None).expect("with room");
        assert!(summary.is_complete(), "{room} bytes: {:?}", summary.failed);
        let (plan, _) = machine.apply(&stack, Interrupt::None).expect("looked again");
        assert!(plan.is_empty(), "{room} bytes: {:?}", actions(&plan));
        assert_eq!(machine.books.lock().expect("books").made, 3, "{room} bytes");
        if done {
            break;
        }
        (room, stopped) = (room + 13, stopped + 1);
    }
    assert!(stopped > 50, "only {stopped} runs met the end of the disk");
}
