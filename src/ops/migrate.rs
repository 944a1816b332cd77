//! Carrying a state from one place to another: copied, compared, and only then marked as gone in the old one.
//!
//! A run that is killed in between leaves either one good state, or two that agree; the next one goes on from there.

use crate::backend::{BackendError, Session};
use crate::diag::{Diagnostic, Diagnostics};
use crate::state::model::State;
use crate::state::transition::Transition;

/// What has to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Copying it, and what follows.
    Copy,
    /// It was copied; the old one must be marked.
    Depart,
    /// Nothing: it was carried over before.
    Nothing,
}

/// What is left to do to bring `old` to where `new` is.
///
/// # Errors
/// When something else is there already.
pub fn step(old: &State, new: &State, to: &str) -> Result<Step, Diagnostics> {
    let refused = |what: String, detail: String, hint: &str| {
        Err(Diagnostics::from(Diagnostic::error(what).detail(detail).hint(hint)))
    };
    match &old.departed {
        Some(there) if there == to && new.lineage == old.lineage => return Ok(Step::Nothing),
        Some(there) => {
            let what = format!("the state that was here is kept in {there} now");
            return refused(what, "Nothing was changed.".to_owned(), "migrate it from there");
        }
        None => {}
    }
    if old.is_new() {
        let hint = "check where the state is kept now; a stack that was never applied needs no migration";
        return refused("there is no state to migrate".to_owned(), "Nothing was changed.".to_owned(), hint);
    }
    if new.is_new() || (new.lineage == old.lineage && new.departed.is_some()) {
        return Ok(Step::Copy);
    }
    if new.lineage == old.lineage && new.serial >= old.serial && new.agrees(old) {
        return Ok(Step::Depart);
    }
    let line = |state: &State| format!("lineage {}, serial {}", state.lineage, state.serial);
    refused(
        format!("another state is in {to} already"),
        format!("to migrate: {}\nthere: {}\nNothing was changed.", line(old), line(new)),
        "choose another place; `stackwright state pull` shows what is there",
    )
}

/// Copies the state.
///
/// # Errors
/// When the new place refuses.
pub async fn copy(old: &State, new: &mut dyn Session) -> Result<(), BackendError> {
    new.commit(vec![Transition::Replaced(Box::new(old.clone()))]).await
}

/// Whether what was read back from the new place is what was copied.
///
/// # Errors
/// When it is not.
pub fn verify(old: &State, read: &State, to: &str) -> Result<(), Diagnostics> {
    if read.agrees(old) && read.serial >= old.serial {
        return Ok(());
    }
    Err(Diagnostic::error(format!("what was read back from {to} is not what was written"))
        .detail("The old state was left as it is, and is the one that holds.")
        .hint("run the same command again; if it stays so, choose another place")
        .into())
}

/// Marks the old state as kept elsewhere.
///
/// # Errors
/// When the old place refuses.
pub async fn depart(old: &mut dyn Session, to: &str) -> Result<(), BackendError> {
    old.commit(vec![Transition::Departed { to: to.to_owned() }]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(lineage: &str) -> State {
        let mut state = State::empty("s");
        let begin = Transition::Begin { lineage: lineage.into(), stack_id: "i".into() };
        state.apply(&begin).expect("begins");
        state
    }

    #[test]
    fn whatever_was_done_is_not_done_again() {
        let mut old = begun("l");
        let mut new = State::empty("s");
        assert_eq!(step(&old, &new, "b"), Ok(Step::Copy));
        new.apply(&Transition::Replaced(Box::new(old.clone()))).expect("legal");
        verify(&old, &new, "b").expect("the same");
        assert_eq!(step(&old, &new, "b"), Ok(Step::Depart));
        old.apply(&Transition::Departed { to: "b".into() }).expect("legal");
        assert_eq!(step(&old, &new, "b"), Ok(Step::Nothing));
        assert!(step(&old, &new, "c").is_err(), "it went elsewhere");
        // Runs against the new one go on; afterwards it comes back.
        new.apply(&Transition::Outputs(std::collections::BTreeMap::from([("o".to_owned(), 1.into())]))).expect("legal");
        assert_eq!(step(&new, &old, "a"), Ok(Step::Copy));
        old.apply(&Transition::Replaced(Box::new(new.clone()))).expect("legal");
        assert!(old.serial > new.serial);
        assert_eq!(step(&new, &old, "a"), Ok(Step::Depart));
    }

    #[test]
    fn another_state_is_not_overwritten() {
        let old = begun("l");
        assert!(step(&old, &begun("m"), "b").is_err());
        assert!(step(&State::empty("s"), &old, "b").is_err());
        let mut newer = begun("l");
        newer
            .apply(&Transition::Outputs(std::collections::BTreeMap::from([("o".to_owned(), 1.into())])))
            .expect("legal");
        assert!(step(&old, &newer, "b").is_err(), "it has gone on");
        assert!(verify(&old, &newer, "b").is_err());
    }
}
