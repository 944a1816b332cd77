//! Whether a state may take another's place: the rules of `state push`. Pure.

use crate::diag::{Diagnostic, Diagnostics};
use crate::state::codec::DecodeError;
use crate::state::model::{FORMAT, State};

/// What becomes of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes the place of what is there.
    Replace,
    /// It is what is there.
    Same,
}

/// Reads a state as `state pull` prints it.
///
/// # Errors
/// What is wrong with it.
pub fn read(bytes: &[u8], name: &str) -> Result<State, Diagnostics> {
    #[derive(serde::Deserialize)]
    struct Header {
        format: u64,
    }
    let refused = |what: String, hint: &str| Diagnostics::from(Diagnostic::error(what).hint(hint));
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(refused(format!("{name} is empty"), "push what `stackwright state pull` printed"));
    }
    let header = serde_json::from_slice::<Header>(bytes).map_err(|error| {
        refused(format!("{name} is no state: {error}"), "push what `stackwright state pull` printed")
    })?;
    if header.format > u64::from(FORMAT) {
        let newer = DecodeError::Newer { found: header.format };
        return Err(refused(format!("{name}: {newer}"), "use the stackwright that wrote it, or a newer one"));
    }
    let state = serde_json::from_slice::<State>(bytes).map_err(|error| {
        refused(format!("{name} is damaged: {error}"), "push what `stackwright state pull` printed, unchanged")
    })?;
    Ok(State { format: FORMAT, ..state })
}

/// Whether `pushed` may take the place of `current`. As Terraform has it: of the same lineage, and newer; `force`
/// overrules both, but not the name of the stack.
///
/// # Errors
/// Why not, with both shown.
pub fn judge(current: &State, pushed: &State, force: bool) -> Result<Verdict, Diagnostics> {
    let refused = |what: String, detail: String, hint: &str| {
        Err(Diagnostics::from(Diagnostic::error(what).detail(detail).hint(hint)))
    };
    let both = |a: &str, b: &str| format!("here: {a}\npushed: {b}");
    if pushed.stack != current.stack {
        let what = format!("it is the state of the stack {}, not of {}", pushed.stack, current.stack);
        return refused(what, "Nothing was changed.".to_owned(), "name the stack that it belongs to");
    }
    if pushed.lineage.is_empty() || pushed.serial == 0 {
        let hint = "there is nothing to push; `stackwright destroy` takes a stack away";
        return refused("nothing was ever recorded in it".to_owned(), "Nothing was changed.".to_owned(), hint);
    }
    if current.is_new() {
        return Ok(Verdict::Replace);
    }
    if current.agrees(pushed) && current.departed.is_none() {
        return Ok(Verdict::Same);
    }
    if force {
        return Ok(Verdict::Replace);
    }
    let line = |state: &State| format!("lineage {}, serial {}", state.lineage, state.serial);
    let compared = both(&line(current), &line(pushed));
    if let Some(to) = &current.departed {
        let what = format!("the state is kept in {to} now");
        return refused(what, "Nothing was changed.".to_owned(), "push it there");
    }
    if pushed.lineage != current.lineage {
        let hint = "they are two histories; --force puts this one in the other's place";
        return refused("the state here is of another lineage".to_owned(), compared, hint);
    }
    if pushed.serial < current.serial {
        let hint = "it was recorded since what is pushed; --force forgets that";
        return refused("the state here is newer".to_owned(), compared, hint);
    }
    if pushed.serial == current.serial {
        let hint = "both have gone on from the same state; --force puts this one in the other's place";
        return refused("the state here has the same serial and is not the same".to_owned(), compared, hint);
    }
    Ok(Verdict::Replace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::transition::Transition;
    use crate::value::Value;

    fn state(lineage: &str, serial: u64, output: i64) -> State {
        let mut state = State::empty("s");
        let begin = Transition::Begin { lineage: lineage.into(), stack_id: "i".into() };
        state.apply(&begin).expect("begins");
        state.serial = serial;
        state.outputs.insert("o".into(), Value::Int(output));
        state
    }

    fn refusal(current: &State, pushed: &State) -> String {
        assert_eq!(judge(current, pushed, true), Ok(Verdict::Replace), "force overrules it");
        let Diagnostics(said) = judge(current, pushed, false).expect_err("refused");
        format!("{} | {} | {}", said[0].summary, said[0].detail, said[0].hint.clone().unwrap_or_default())
    }

    #[test]
    fn newer_and_of_the_same_lineage() {
        let here = state("l", 5, 1);
        assert_eq!(judge(&here, &state("l", 6, 2), false), Ok(Verdict::Replace));
        assert_eq!(judge(&here, &here, false), Ok(Verdict::Same));
        assert_eq!(judge(&State::empty("s"), &here, false), Ok(Verdict::Replace));
        let said = refusal(&here, &state("l", 4, 2));
        assert!(
            said.starts_with("the state here is newer | here: lineage l, serial 5\npushed: lineage l, serial 4"),
            "{said}"
        );
        assert!(refusal(&here, &state("m", 9, 2)).contains("another lineage"));
        assert!(refusal(&here, &state("l", 5, 2)).contains("the same serial"));
        let mut departed = here.clone();
        departed.departed = Some("gs://b".into());
        assert!(refusal(&departed, &state("l", 9, 2)).contains("gs://b"));
        for force in [false, true] {
            judge(&here, &State { stack: "t".into(), ..state("l", 9, 1) }, force).expect_err("of another stack");
            judge(&here, &State::empty("s"), force).expect_err("of nothing");
        }
    }

    #[test]
    fn what_is_no_state_is_said_to_be_none() {
        let text = |bytes: &[u8]| read(bytes, "f").expect_err("no state").0[0].summary.clone();
        assert_eq!(text(b"\n"), "f is empty");
        assert!(text(b"{").contains("no state"));
        assert!(text(b"{\"format\":1}").contains("damaged"));
        assert!(text(b"{\"format\":99}").contains("newer"));
        let state = state("l", 3, 1);
        assert_eq!(read(&serde_json::to_vec(&state).expect("json"), "f"), Ok(state));
    }
}
