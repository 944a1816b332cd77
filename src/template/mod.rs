//! The language of charts: Go's templates with sprig's and Helm's functions.
//!
//! [`Templates`] holds parsed texts, [`Templates::render`] runs one of them with [`Options`]. Errors are
//! worded as Helm users know them. The module knows nothing of charts, files or clusters: those come in
//! as [`Data`], as [`Object`]s and through [`Lookup`].

mod budget;
mod data;
mod exec;
mod fault;
mod functions;
mod json;
mod lex;
mod literal;
mod moment;
mod parse;
mod print;
mod syntax;
mod tables;
#[cfg(test)]
mod tests;
mod tokens;
mod toml;
pub mod yaml;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

pub use budget::Limits;
pub use data::{Data, Element, Field, IntKind, List, MAX_NESTING, Map, Object, Text, lossy};
pub use exec::Engine;
pub use fault::{Error, Fault, Kind, Outcome};
pub use functions::rendering::{Lookup, NoCluster};
pub use functions::versions::{Constraint, Version};
pub use functions::{Call, names as function_names};
pub use json::read as read_json;
pub use moment::Moment;
pub use tokens::Tokens;

use syntax::Body;

/// Parsed templates by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Templates {
    bodies: BTreeMap<String, Arc<Body>>,
}

impl Templates {
    /// No templates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a text; it and everything that it defines replace templates of the same names, except that a
    /// blank one replaces nothing.
    ///
    /// # Errors
    /// Where the text does not parse; unknown functions are found here.
    pub fn parse(&mut self, name: &str, text: &Text) -> Result<(), Error> {
        for body in parse::parse(name, text)? {
            self.put(Arc::new(body), |_| false);
        }
        Ok(())
    }

    fn put(&mut self, body: Arc<Body>, elsewhere: impl Fn(&str) -> bool) {
        if body.is_blank() && (self.bodies.contains_key(&body.name) || elsewhere(&body.name)) {
            return;
        }
        self.bodies.insert(body.name.clone(), body);
    }

    /// Whether there is a template of this name.
    pub fn has(&self, name: &str) -> bool {
        self.bodies.contains_key(name)
    }

    /// The names of all templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bodies.keys().map(String::as_str)
    }

    /// Runs templates one after another on the same data, which they share and may change. The budget of
    /// the options covers all of them.
    ///
    /// Recursion follows the templates: call this on a thread with a large stack (see [`STACK`]).
    ///
    /// # Errors
    /// The first failure.
    pub fn render(
        &self,
        names: &[&str],
        data: &dyn Fn(&str) -> Data,
        options: &Options<'_>,
    ) -> Result<Vec<(String, String)>, Error> {
        let engine = Engine::new(options);
        let set = Rc::new(exec::Set { outer: None, own: self.clone() });
        let mut outputs = Vec::with_capacity(names.len());
        for name in names {
            let Some(body) = self.bodies.get(*name) else {
                return Err(Error {
                    kind: Kind::Execution,
                    file: (*name).to_owned(),
                    line: 0,
                    column: None,
                    at: None,
                    text: "there is no such template".to_owned(),
                    inner: None,
                });
            };
            let mut out = Vec::new();
            engine.execute(&set, body, data(name), &mut out)?;
            let clean = functions::rendering::without_nothing(out);
            let text = String::from_utf8(clean);
            let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            outputs.push(((*name).to_owned(), text));
        }
        Ok(outputs)
    }
}

/// Bytes of stack that a rendering within the default [`Limits`] needs at most.
pub const STACK: usize = 512 << 20;

/// What a rendering depends on besides templates and data.
pub struct Options<'o> {
    /// Answers `lookup`.
    pub lookup: &'o dyn Lookup,
    /// `now`: seconds and nanoseconds since 1970. Certificates are valid from that day on.
    pub now: (i64, u32),
    /// Random values and keys derive from it; without one they are refused.
    pub key: Option<[u8; 32]>,
    /// What keeps apart the random values of renderings with the same key: stack and component.
    pub scope: String,
    /// The values known only later.
    pub tokens: Tokens,
    /// What the rendering may cost.
    pub limits: Limits,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            lookup: &NoCluster,
            now: (0, 0),
            key: None,
            scope: String::new(),
            tokens: Tokens::default(),
            limits: Limits::default(),
        }
    }
}
