//! Values known only later, as tokens inside texts.
//!
//! A token is a short text between two private-use characters. Templates may place, join and quote it;
//! every function that would look inside refuses, naming the source. After rendering,
//! [`Tokens::restore`] turns texts with tokens back into deferred values. Not for resolving them.

use std::cell::RefCell;

use super::data::{Data, MAX_NESTING, Text};
use super::fault::Fault;
use crate::value::{Encoding, Part, Template, Value};

const OPEN: char = '\u{E0F0}';
const CLOSE: char = '\u{E0F1}';
/// The bytes of [`OPEN`].
const MARK: &[u8] = "\u{E0F0}".as_bytes();

/// Whether the character opens or closes a token; quoting leaves those alone.
pub(super) fn is_mark(c: char) -> bool {
    c == OPEN || c == CLOSE
}

/// The deferred values that have a token.
#[derive(Default)]
pub struct Tokens {
    known: RefCell<Vec<Template>>,
}

impl Tokens {
    /// A token for `template`.
    pub fn put(&self, template: Template) -> String {
        let mut known = self.known.borrow_mut();
        let id = known.iter().position(|have| *have == template).unwrap_or_else(|| {
            known.push(template);
            known.len() - 1
        });
        format!("{OPEN}{id}{CLOSE}")
    }

    /// Whether no value is deferred; then no text needs a look.
    pub fn is_empty(&self) -> bool {
        self.known.borrow().is_empty()
    }

    /// The source of the first token in `text`.
    pub fn source(&self, text: &[u8]) -> Option<String> {
        if self.is_empty() || !text.windows(MARK.len()).any(|bytes| bytes == MARK) {
            return None;
        }
        let text = String::from_utf8_lossy(text);
        let id = text.split(OPEN).nth(1)?.split(CLOSE).next()?.parse::<usize>().ok()?;
        self.known.borrow().get(id).map(Template::source)
    }

    /// The source of the first token anywhere in `data`.
    pub fn source_in(&self, data: &Data, deep: bool) -> Option<String> {
        if self.is_empty() { None } else { self.search(data, if deep { MAX_NESTING } else { 0 }) }
    }

    fn search(&self, data: &Data, depth: usize) -> Option<String> {
        match data {
            Data::Text(text) | Data::Bytes(text) => self.source(text.bytes()),
            Data::List(list) if depth > 0 => list.items().iter().find_map(|item| self.search(item, depth - 1)),
            Data::Map(map) if depth > 0 => map.entries().values().find_map(|item| self.search(item, depth - 1)),
            _ => None,
        }
    }

    /// Base64 of a text that holds tokens: a token again.
    ///
    /// # Errors
    /// Where a part is itself encoded already.
    pub fn base64(&self, text: &Text) -> Result<String, Fault> {
        match self.deferred(&text.str()) {
            Some(template) if template.encoding == Encoding::Plain => {
                Ok(self.put(Template { encoding: Encoding::Base64, ..template }))
            }
            _ => Err(Fault::unknown("base64 of a value that is known only later and encoded already")),
        }
    }

    /// What a text of one token is once its base64 is taken off: a token again.
    ///
    /// # Errors
    /// Where it is not known to be base64 of something.
    pub fn unbase64(&self, text: &Text) -> Result<String, Fault> {
        match self.deferred(&text.str()) {
            Some(template) if template.encoding == Encoding::Base64 => {
                Ok(self.put(Template { encoding: Encoding::Plain, ..template }))
            }
            _ => Err(Fault::unknown(format!(
                "{} is known only later; this function looks inside it",
                self.source(text.bytes()).unwrap_or_default()
            ))),
        }
    }

    /// The same tree with every text that holds tokens made a deferred value.
    ///
    /// # Errors
    /// Where a token stands in a key, or an encoded one inside a longer text.
    pub fn restore(&self, value: Value) -> Result<Value, Fault> {
        if self.is_empty() {
            return Ok(value);
        }
        Ok(match value {
            Value::String(text) if text.contains(OPEN) => match self.deferred(&text) {
                Some(template) => Value::Deferred(Box::new(template)),
                None => return Err(Fault::unknown("an encoded value that is known only later inside a longer text")),
            },
            Value::List(items) => Value::List(items.into_iter().map(|i| self.restore(i)).collect::<Result<_, _>>()?),
            Value::Map(map) => {
                let restored = map.into_iter().map(|(key, item)| match self.source(key.as_bytes()) {
                    Some(source) => Err(Fault::unknown(format!("{source} is known only later and cannot be a key"))),
                    None => Ok((key, self.restore(item)?)),
                });
                Value::Map(restored.collect::<Result<_, Fault>>()?)
            }
            plain => plain,
        })
    }

    fn deferred(&self, text: &str) -> Option<Template> {
        let known = self.known.borrow();
        let mut parts = Vec::new();
        let mut sensitive = false;
        let mut rest = text;
        while let Some(at) = rest.find(OPEN) {
            let (before, after) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (id, tail) = after[OPEN.len_utf8()..].split_once(CLOSE)?;
            let template = known.get(id.parse::<usize>().ok()?)?;
            if parts.is_empty() && tail.is_empty() {
                return Some(template.clone());
            }
            if template.encoding != Encoding::Plain {
                return None;
            }
            sensitive |= template.sensitive;
            parts.extend(template.parts.iter().cloned());
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Some(Template { parts, encoding: Encoding::Plain, sensitive })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Reference;

    fn template() -> Template {
        Template::reference("cluster".into(), vec!["endpoint".into()])
    }

    #[test]
    fn tokens_come_back_as_deferred_values() {
        let tokens = Tokens::default();
        let token = tokens.put(template());
        assert_eq!(tokens.put(template()), token);
        assert_eq!(tokens.source(format!("https://{token}").as_bytes()), Some("cluster.endpoint".into()));
        assert_eq!(tokens.restore(Value::from(token.as_str())).unwrap(), Value::from(template()));
        let Value::Deferred(joined) = tokens.restore(Value::from(format!("https://{token}/v1"))).unwrap() else {
            panic!("not deferred")
        };
        let reference = Reference { address: "cluster".into(), path: vec!["endpoint".into()] };
        assert_eq!(joined.parts, [Part::Text("https://".into()), Part::Reference(reference), Part::Text("/v1".into())]);
        let encoded = tokens.base64(&Text::from(token.as_str())).unwrap();
        let Value::Deferred(encoded) = tokens.restore(Value::from(encoded)).unwrap() else { panic!("not deferred") };
        assert_eq!(encoded.encoding, Encoding::Base64);
        let key = Value::Map(std::iter::once((token, Value::Null)).collect());
        assert!(tokens.restore(key).is_err());
    }
}
