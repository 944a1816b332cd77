//! Functions on lists. Not joining and sorting as texts: `strings` does that.

use super::builtin::deep_equal;
use super::math::to_int;
use super::{Call, Function, T};
use crate::template::data::{Data, Element, List};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("list", &[], |c| Ok(Data::list(c.arguments().to_vec()))).rest(T::Any).places(),
    Function::new("tuple", &[], |c| Ok(Data::list(c.arguments().to_vec()))).rest(T::Any).places(),
    Function::new("append", &[T::Any, T::Any], push).places(),
    Function::new("mustAppend", &[T::Any, T::Any], push).places(),
    Function::new("push", &[T::Any, T::Any], push).places(),
    Function::new("mustPush", &[T::Any, T::Any], push).places(),
    Function::new("prepend", &[T::Any, T::Any], prepend).places(),
    Function::new("mustPrepend", &[T::Any, T::Any], prepend).places(),
    Function::new("first", &[T::Any], first).places(),
    Function::new("mustFirst", &[T::Any], first).places(),
    Function::new("last", &[T::Any], last).places(),
    Function::new("mustLast", &[T::Any], last).places(),
    Function::new("rest", &[T::Any], rest).places(),
    Function::new("mustRest", &[T::Any], rest).places(),
    Function::new("initial", &[T::Any], initial).places(),
    Function::new("mustInitial", &[T::Any], initial).places(),
    Function::new("reverse", &[T::Any], reverse).places(),
    Function::new("mustReverse", &[T::Any], reverse).places(),
    Function::new("uniq", &[T::Any], uniq).deep(),
    Function::new("mustUniq", &[T::Any], uniq).deep(),
    Function::new("without", &[T::Any], without).rest(T::Any).deep(),
    Function::new("mustWithout", &[T::Any], without).rest(T::Any).deep(),
    Function::new("has", &[T::Any, T::Any], has).deep(),
    Function::new("mustHas", &[T::Any, T::Any], has).deep(),
    Function::new("compact", &[T::Any], compact).deep(),
    Function::new("mustCompact", &[T::Any], compact).deep(),
    Function::new("slice", &[T::Any], slice).rest(T::Any),
    Function::new("mustSlice", &[T::Any], slice).rest(T::Any),
    Function::new("concat", &[], concat).rest(T::Any).places(),
    Function::new("chunk", &[T::Int, T::Any], chunk).places(),
    Function::new("mustChunk", &[T::Int, T::Any], chunk).places(),
    Function::new("until", &[T::Int], |c| {
        let count = c.int(0);
        range(c, 0, count, if count < 0 { -1 } else { 1 })
    }),
    Function::new("untilStep", &[T::Int, T::Int, T::Int], |c| range(c, c.int(0), c.int(1), c.int(2))),
    Function::new("seq", &[], seq).rest(T::Int),
];

/// The items of a list, or the refusal in sprig's words.
fn items(c: &Call<'_, '_>, index: usize, what: &str) -> Result<List, Fault> {
    let list = match c.any(index) {
        Data::List(list) => list.clone(),
        Data::Object(object) => match object.plain() {
            Data::List(list) => list,
            _ => return Err(Fault::new(format!("{what} {}", c.any(index).kind_name()))),
        },
        Data::Missing | Data::Nil => {
            return Err(Fault::new("runtime error: invalid memory address or nil pointer dereference"));
        }
        other => return Err(Fault::new(format!("{what} {}", other.kind_name()))),
    };
    c.step(list.items().len() / 4)?;
    Ok(list)
}

fn push(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot push on type")?;
    c.items(list.items().len() + 1)?;
    Ok(Data::list(list.items().iter().chain([c.any(1)]).cloned().collect()))
}

fn prepend(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot prepend on type")?;
    c.items(list.items().len() + 1)?;
    Ok(Data::list([c.any(1)].into_iter().chain(list.items()).cloned().collect()))
}

fn first(c: &Call<'_, '_>) -> Outcome {
    Ok(items(c, 0, "Cannot find first on type")?.items().first().cloned().unwrap_or(Data::Nil))
}

fn last(c: &Call<'_, '_>) -> Outcome {
    Ok(items(c, 0, "Cannot find last on type")?.items().last().cloned().unwrap_or(Data::Nil))
}

/// What Go's functions return for a list in which there is nothing.
fn nil() -> Data {
    Data::List(List::appended(Element::Any, Vec::new()))
}

fn rest(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot find rest on type")?;
    Ok(list.items().split_first().map_or_else(nil, |(_, rest)| Data::list(rest.to_vec())))
}

fn initial(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot find initial on type")?;
    Ok(list.items().split_last().map_or_else(nil, |(_, rest)| Data::list(rest.to_vec())))
}

fn reverse(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot find reverse on type")?;
    Ok(Data::list(list.items().iter().rev().cloned().collect()))
}

fn uniq(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot find uniq on type")?;
    let mut out = Vec::<Data>::new();
    for item in list.items() {
        if !contains(c, &out, item)? {
            out.push(item.clone());
        }
    }
    Ok(Data::list(out))
}

fn contains(c: &Call<'_, '_>, items: &[Data], wanted: &Data) -> Result<bool, Fault> {
    for item in items {
        if deep_equal(c, item, wanted, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn without(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot find without on type")?;
    let mut out = Vec::new();
    for item in list.items() {
        if !contains(c, c.from(1), item)? {
            out.push(item.clone());
        }
    }
    Ok(Data::list(out))
}

fn has(c: &Call<'_, '_>) -> Outcome {
    if c.any(1).is_nothing() {
        return Ok(Data::Bool(false));
    }
    let list = items(c, 1, "Cannot find has on type")?;
    Ok(Data::Bool(contains(c, list.items(), c.any(0))?))
}

fn compact(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "Cannot compact on type")?;
    Ok(Data::list(list.items().iter().filter(|item| item.truth()).cloned().collect()))
}

fn slice(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 0, "list should be type of slice or array but")?;
    let all = list.items();
    if all.is_empty() {
        return Ok(Data::Nil);
    }
    let at = |index: usize, otherwise: usize| match c.arguments().get(index) {
        Some(data) => usize::try_from(to_int(data)).ok(),
        None => Some(otherwise),
    };
    match (at(1, 0), at(2, all.len())) {
        (Some(start), Some(end)) if start <= end && end <= all.len() => {
            Ok(Data::List(List::of(list.element(), all[start..end].to_vec())))
        }
        _ => Err(Fault::new("reflect.Value.Slice: slice index out of bounds")),
    }
}

fn concat(c: &Call<'_, '_>) -> Outcome {
    let mut out = Vec::new();
    for index in 0..c.arguments().len() {
        let list = items(c, index, "Cannot concat type")
            .map_err(|f| if f.text.starts_with("Cannot") { Fault::new(format!("{} as list", f.text)) } else { f })?;
        c.items(out.len() + list.items().len())?;
        out.extend_from_slice(list.items());
    }
    Ok(Data::List(List::appended(Element::Any, out)))
}

fn chunk(c: &Call<'_, '_>) -> Outcome {
    let list = items(c, 1, "Cannot chunk type")?;
    let size = usize::try_from(c.int(0)).ok().filter(|s| *s > 0);
    let Some(size) = size else { return Err(Fault::new("runtime error: makeslice: len out of range")) };
    Ok(Data::list(list.items().chunks(size).map(|part| Data::list(part.to_vec())).collect()))
}

fn range(c: &Call<'_, '_>, start: i64, stop: i64, step: i64) -> Outcome {
    let toward = (stop < start && step < 0) || (stop > start && step > 0);
    let count = if toward { stop.abs_diff(start).div_ceil(step.unsigned_abs()) } else { 0 };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    c.items(count)?;
    let numbers = (0..count as i64).map(|at| Data::int(start + at * step)).collect();
    Ok(Data::List(List::of(Element::Int, numbers)))
}

fn seq(c: &Call<'_, '_>) -> Outcome {
    let (start, step, end) = match c.arguments().len() {
        1 => (1, if c.int(0) < 1 { -1 } else { 1 }, c.int(0)),
        2 => (c.int(0), if c.int(1) < c.int(0) { -1 } else { 1 }, c.int(1)),
        3 => (c.int(0), c.int(1), c.int(2)),
        _ => return Ok(Data::from("")),
    };
    // With a step of its own the end is one further up where it is not below the start, whichever way the step goes.
    let down = if c.arguments().len() == 3 { end < start } else { step < 0 };
    if c.arguments().len() == 3 && (step == 0 || down != (step < 0)) {
        return Ok(Data::from(""));
    }
    let end = end.saturating_add(if down { -1 } else { 1 });
    let Data::List(list) = range(c, start, end, step)? else { return Ok(Data::from("")) };
    let numbers = list.items().iter().map(super::to_text).collect::<Result<Vec<_>, _>>()?;
    let numbers = numbers.iter().map(|n| n.bytes()).collect::<Vec<_>>();
    Ok(Data::Text(numbers.join(&b" "[..]).into()))
}
