//! The functions that run other templates, stop with a message, or ask the cluster.

use std::rc::Rc;

use super::{Call, Function, T};
use crate::template::data::{Data, Text};
use crate::template::exec::Set;
use crate::template::fault::{Fault, Kind, Outcome};
use crate::template::print::quoted;
use crate::template::{Templates, parse};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("include", &[T::Text, T::Any], include).places(),
    Function::new("tpl", &[T::Text, T::Any], tpl).places(),
    Function::new("required", &[T::Text, T::Any], |c| match c.any(1) {
        Data::Missing | Data::Nil => Err(Fault::new(c.text(0))),
        Data::Text(text) if text.bytes().is_empty() => Err(Fault::new(c.text(0))),
        value => Ok(value.clone()),
    })
    .places(),
    Function::new("fail", &[T::Text], |c| Err(Fault::new(c.text(0)))).places(),
    Function::new("lookup", &[T::Text, T::Text, T::Text, T::Text], |c| {
        c.engine.options.lookup.lookup(&c.text(0), &c.text(1), &c.text(2), &c.text(3))
    }),
    // Helm answers nothing unless it is told to ask the name server; we never do.
    Function::new("getHostByName", &[T::Text], |_| Ok(Data::from(""))),
];

/// The name of the root of all templates, under which Helm runs the texts that `tpl` is given.
const ROOT: &str = "gotpl";

fn run(
    c: &Call<'_, '_>,
    set: &Rc<Set>,
    body: &crate::template::syntax::Body,
    dot: Data,
) -> Result<Vec<u8>, crate::template::fault::Error> {
    let mut out = Vec::new();
    c.engine.trail.borrow_mut().push((c.site.0.to_owned(), c.site.1));
    let result = c.engine.execute(set, body, dot, &mut out);
    c.engine.trail.borrow_mut().pop();
    result.map(|()| out)
}

fn dot(data: &Data) -> Data {
    if data.is_nothing() { Data::Missing } else { data.clone() }
}

fn include(c: &Call<'_, '_>) -> Outcome {
    let name = c.text(0);
    let Some(body) = c.set.find(&name).cloned() else {
        return Err(Fault::new(format!(
            "template: no template {} associated with template {}",
            quoted(name.as_bytes()),
            quoted(ROOT.as_bytes())
        )));
    };
    {
        let mut running = c.engine.running.borrow_mut();
        let count = running.entry(name.clone().into_owned()).or_insert(0);
        if *count > 1000 {
            return Err(Fault::new(format!(
                "rendering template has a nested reference name: {name}: unable to execute template"
            )));
        }
        *count += 1;
    }
    let result = run(c, c.set, &body, dot(c.any(1)));
    if let Some(count) = c.engine.running.borrow_mut().get_mut(name.as_ref()) {
        *count -= 1;
    }
    result.map(|out| Data::Text(out.into())).map_err(|error| Fault::nested("", error))
}

fn tpl(c: &Call<'_, '_>) -> Outcome {
    let Data::Text(text) = c.any(0) else { return Err(Fault::new("the template is not a string")) };
    if super::strings::find(text.bytes(), b"{{").is_none() {
        let nothing = super::strings::find(text.bytes(), NOTHING).is_some();
        return Ok(Data::Text(if nothing { without_nothing(text.bytes().to_vec()).into() } else { text.clone() }));
    }
    let shown = || quoted(text.bytes());
    let known = c.engine.parsed.borrow().get(text).cloned();
    let bodies = match known {
        Some(bodies) => bodies,
        None => {
            c.step(text.bytes().len() / 16)?;
            let bodies = parse::parse(ROOT, text)
                .map_err(|error| Fault::nested(format!("cannot parse template {}: ", shown()), error))?;
            let bodies = Rc::new(bodies.into_iter().map(std::sync::Arc::new).collect::<Vec<_>>());
            let mut parsed = c.engine.parsed.borrow_mut();
            if parsed.len() < 1000 {
                parsed.insert(text.clone(), bodies.clone());
            }
            bodies
        }
    };
    let set = if bodies.len() > 1 {
        let mut own = Templates::default();
        bodies.iter().for_each(|body| own.put(body.clone(), |name| c.set.find(name).is_some()));
        Rc::new(Set { outer: Some(c.set.clone()), own })
    } else {
        c.set.clone()
    };
    let Some(body) = bodies.iter().find(|body| body.name == ROOT) else { return Ok(Data::from("")) };
    let out = run(c, &set, body, dot(c.any(1))).map_err(|error| match error.kind {
        Kind::Limit => Fault::nested("", error),
        _ => Fault::nested(format!("error during tpl function execution for {}: ", shown()), error),
    })?;
    Ok(Data::Text(without_nothing(out).into()))
}

/// Go's words for no value.
const NOTHING: &[u8] = b"<no value>";

/// The output without Go's words for no value.
pub(in crate::template) fn without_nothing(out: Vec<u8>) -> Vec<u8> {
    if super::strings::find(&out, NOTHING).is_none() {
        return out;
    }
    let mut clean = Vec::with_capacity(out.len());
    let mut rest = &out[..];
    while let Some(at) = super::strings::find(rest, NOTHING) {
        clean.extend_from_slice(&rest[..at]);
        rest = &rest[at + NOTHING.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}

/// Answers what templates ask about the cluster.
pub trait Lookup {
    /// The object, or an object whose `items` lists those of the kind where `name` is empty. An empty map
    /// where there is none.
    ///
    /// # Errors
    /// Where the question cannot be answered.
    fn lookup(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Data, Fault>;
}

/// Answers every question with nothing, as `helm template` does.
pub struct NoCluster;

impl Lookup for NoCluster {
    fn lookup(&self, _: &str, _: &str, _: &str, _: &str) -> Result<Data, Fault> {
        Ok(Data::map(std::iter::empty::<(Text, Data)>()))
    }
}
