//! Functions on maps, and those that choose between values. Maps are shared: `set`, `unset`, `merge`
//! and `mergeOverwrite` change the map that they are given.

use std::collections::BTreeMap;

use super::{Call, Function, T, to_text};
use crate::template::data::{Data, Element, List, MAX_NESTING, Map, Text};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("dict", &[], dict).rest(T::Any).places(),
    Function::new("get", &[T::Map, T::Text], |c| {
        Ok(c.map(0).and_then(|map| map.get(c.bytes(1))).unwrap_or_else(|| Data::from("")))
    }),
    Function::new("set", &[T::Map, T::Text, T::Any], set).places(),
    Function::new("unset", &[T::Map, T::Text], |c| {
        if let Some(map) = c.map(0) {
            map.unset(c.bytes(1));
        }
        Ok(c.any(0).clone())
    }),
    Function::new("hasKey", &[T::Map, T::Text], |c| {
        Ok(Data::Bool(c.map(0).is_some_and(|map| map.entries().contains_key(c.bytes(1)))))
    }),
    Function::new("pluck", &[T::Text], |c| {
        let maps = c.from(1).iter().filter_map(|data| if let Data::Map(map) = data { Some(map) } else { None });
        Ok(Data::list(maps.filter_map(|map| map.get(c.bytes(0))).collect()))
    })
    .rest(T::Map),
    Function::new("keys", &[], |c| {
        let maps = c.arguments().iter().filter_map(|data| if let Data::Map(map) = data { Some(map) } else { None });
        Ok(Data::texts(maps.flat_map(|map| map.snapshot().into_iter().map(|(key, _)| key))))
    })
    .rest(T::Map),
    Function::new("values", &[T::Map], |c| {
        Ok(Data::list(c.map(0).map_or_else(Vec::new, |map| map.snapshot().into_iter().map(|(_, v)| v).collect())))
    }),
    Function::new("pick", &[T::Map], |c| {
        let picked = c.from(1).iter().filter_map(|key| match key {
            Data::Text(key) => Some((key.clone(), c.map(0)?.get(key.bytes())?)),
            _ => None,
        });
        Ok(Data::map(picked))
    })
    .rest(T::Text),
    Function::new("omit", &[T::Map], |c| {
        let omitted = |key: &Text| c.from(1).iter().any(|o| matches!(o, Data::Text(o) if o == key));
        let entries = c.map(0).map_or_else(Vec::new, Map::snapshot);
        Ok(Data::map(entries.into_iter().filter(|(key, _)| !omitted(key))))
    })
    .rest(T::Text),
    Function::new("merge", &[T::Map], |c| merge_all(c, false)).rest(T::Map).places(),
    Function::new("mustMerge", &[T::Map], |c| merge_all(c, false)).rest(T::Map).places(),
    Function::new("mergeOverwrite", &[T::Map], |c| merge_all(c, true)).rest(T::Map).places(),
    Function::new("mustMergeOverwrite", &[T::Map], |c| merge_all(c, true)).rest(T::Map).places(),
    Function::new("dig", &[], dig).rest(T::Any),
    Function::new("deepCopy", &[T::Any], copy).places(),
    Function::new("mustDeepCopy", &[T::Any], copy).places(),
    Function::new("default", &[T::Any], |c| {
        Ok(match c.arguments().get(1) {
            Some(given) if given.truth() => given.clone(),
            _ => c.any(0).clone(),
        })
    })
    .rest(T::Any),
    Function::new("empty", &[T::Any], |c| Ok(Data::Bool(!c.any(0).truth()))),
    Function::new("coalesce", &[], |c| {
        Ok(c.arguments().iter().find(|item| item.truth()).cloned().unwrap_or(Data::Nil))
    })
    .rest(T::Any),
    Function::new("all", &[], |c| Ok(Data::Bool(c.arguments().iter().all(Data::truth)))).rest(T::Any),
    Function::new("any", &[], |c| Ok(Data::Bool(c.arguments().iter().any(Data::truth)))).rest(T::Any),
    Function::new("ternary", &[T::Any, T::Any, T::Bool], |c| Ok(c.any(usize::from(!c.bool(2))).clone())).places(),
];

fn dict(c: &Call<'_, '_>) -> Outcome {
    let mut entries = BTreeMap::new();
    for pair in c.arguments().chunks(2) {
        let value = pair.get(1).cloned().unwrap_or_else(|| Data::from(""));
        entries.insert(to_text(&pair[0])?, value);
    }
    Ok(Data::Map(Map::new(entries)))
}

fn set(c: &Call<'_, '_>) -> Outcome {
    let Some(map) = c.map(0) else { return Err(Fault::new("assignment to entry in nil map")) };
    let Data::Text(key) = c.any(1) else { return Err(Fault::new("the key is not a string")) };
    map.set(key.clone(), c.any(2).clone());
    Ok(c.any(0).clone())
}

fn dig(c: &Call<'_, '_>) -> Outcome {
    let [keys @ .., default, start] = c.arguments() else {
        return Err(Fault::new("dig needs at least three arguments"));
    };
    if keys.is_empty() {
        return Err(Fault::new("dig needs at least three arguments"));
    }
    let not_map = |data: &Data| {
        let is = if data.is_nothing() { "nil".into() } else { data.type_name() };
        Fault::new(format!("interface conversion: interface {{}} is {is}, not map[string]interface {{}}"))
    };
    if !matches!(start, Data::Map(map) if map.element() == Element::Any && map.named().is_none()) {
        return Err(not_map(start));
    }
    // All keys are looked at before the first one is used.
    let texts = keys.iter().map(|key| match key {
        Data::Text(key) => Ok(key),
        _ => {
            let is = if key.is_nothing() { "nil".into() } else { key.type_name() };
            Err(Fault::new(format!("interface conversion: interface {{}} is {is}, not string")))
        }
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let mut here = start.clone();
    for key in texts {
        let Data::Map(map) = &here else { return Err(not_map(&here)) };
        if map.element() != Element::Any || map.named().is_some() {
            return Err(not_map(&here));
        }
        match map.get(key.bytes()) {
            Some(next) => here = next,
            None => return Ok(default.clone()),
        }
    }
    Ok(here)
}

fn copy(c: &Call<'_, '_>) -> Outcome {
    if c.any(0).is_nothing() {
        return Err(Fault::new("reflect: call of reflect.Value.Type on zero Value"));
    }
    deep_copy(c, c.any(0), 0)
}

fn deep_copy(c: &Call<'_, '_>, data: &Data, depth: usize) -> Outcome {
    if depth > MAX_NESTING {
        return Err(Fault::limit("the value to copy is nested too deeply, or holds itself"));
    }
    Ok(match data {
        Data::List(list) if list.is_nil() => data.clone(),
        Data::List(list) => {
            c.items(list.items().len())?;
            let items = list.items().iter().map(|item| deep_copy(c, item, depth + 1)).collect::<Result<_, _>>()?;
            Data::List(List::of(list.element(), items))
        }
        Data::Map(map) => {
            c.items(map.len())?;
            c.memory(crate::template::exec::MAP_SIZE)?;
            let entries = map.snapshot().into_iter().map(|(key, item)| Ok((key, deep_copy(c, &item, depth + 1)?)));
            Data::Map(Map::of(map.element(), map.named(), entries.collect::<Result<_, Fault>>()?))
        }
        Data::Object(object) => Data::Object(object.copied().unwrap_or_else(|| object.clone())),
        other => other.clone(),
    })
}

fn merge_all(c: &Call<'_, '_>, overwrite: bool) -> Outcome {
    // Into nothing is into a map that is new.
    let target = c.map(0).cloned().unwrap_or_else(|| Map::new(BTreeMap::new()));
    for source in c.from(1) {
        if let Data::Map(source) = source {
            merge(c, &target, source, overwrite, 0)?;
        }
    }
    Ok(Data::Map(target))
}

/// Takes over what `target` lacks or holds only empty; with `overwrite` everything.
fn merge(c: &Call<'_, '_>, target: &Map, source: &Map, overwrite: bool, depth: usize) -> Result<(), Fault> {
    if depth > MAX_NESTING {
        return Err(Fault::limit("the maps to merge are nested too deeply, or hold themselves"));
    }
    if target.same(source) {
        return Ok(());
    }
    let entries = source.snapshot();
    c.step(entries.len())?;
    for (key, theirs) in entries {
        let ours = target.get(key.bytes());
        if theirs.is_nothing() {
            if overwrite {
                target.set(key, Data::Nil);
            }
            continue;
        }
        if let (Some(Data::Map(ours)), Data::Map(theirs)) = (&ours, &theirs) {
            merge(c, ours, theirs, overwrite, depth + 1)?;
            continue;
        }
        if overwrite || ours.is_none_or(|ours| !ours.truth()) {
            target.set(key, theirs);
        }
    }
    Ok(())
}
