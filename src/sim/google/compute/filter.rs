//! Compute's list filters: `labels.a=b`, `name:gke-*`, `(x=1) (y=2)`, `AND`, `OR`, `NOT`.
//!
//! Not the old regular-expression filters (`name eq gke-.*`), except that `eq` and `ne` with a plain value work.

use serde_json::Value as Json;

/// A parsed filter.
#[derive(Debug, PartialEq)]
pub enum Filter {
    /// All of them.
    All(Vec<Filter>),
    /// One of them.
    Any(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// A field compared with a value.
    Term {
        /// `labels.a`.
        field: String,
        /// `=`, `!=`, `:`, `<`, `>`, `<=`, `>=`.
        operator: &'static str,
        /// The value; `*` at its end stands for any text.
        value: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Open,
    Close,
    And,
    Or,
    Not,
    Operator(&'static str),
    Text(String),
}

impl Filter {
    /// Reads a filter; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Filter> {
        let words = words(text)?;
        let mut rest = words.as_slice();
        let filter = any(&mut rest)?;
        rest.is_empty().then_some(filter)
    }

    /// Whether a resource passes.
    pub fn matches(&self, item: &Json) -> bool {
        match self {
            Filter::All(all) => all.iter().all(|f| f.matches(item)),
            Filter::Any(any) => any.iter().any(|f| f.matches(item)),
            Filter::Not(inner) => !inner.matches(item),
            Filter::Term { field, operator, value } => {
                let found = lookup(item, field);
                match *operator {
                    "=" => found.as_deref().is_some_and(|f| equal(f, value)),
                    "!=" => !found.as_deref().is_some_and(|f| equal(f, value)),
                    ":" => found.as_deref().is_some_and(|f| value == "*" || equal(f, value) || contains(f, value)),
                    operator => {
                        let number = |text: &str| text.parse::<f64>().ok();
                        let (Some(a), Some(b)) = (found.as_deref().and_then(number), number(value)) else {
                            return false;
                        };
                        match operator {
                            "<" => a < b,
                            ">" => a > b,
                            "<=" => a <= b,
                            _ => a >= b,
                        }
                    }
                }
            }
        }
    }
}

/// A value of an object by dotted path; keys of maps such as labels may hold anything but dots.
fn lookup(item: &Json, path: &str) -> Option<String> {
    let mut at = item;
    for part in path.split('.') {
        at = at.get(part)?;
    }
    Some(match at {
        Json::String(text) => text.clone(),
        Json::Null => return None,
        other => other.to_string(),
    })
}

fn equal(found: &str, value: &str) -> bool {
    match value.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => found == value,
    }
}

/// `:` finds whole words of a text.
fn contains(found: &str, value: &str) -> bool {
    let value = value.to_lowercase();
    found.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| word == value)
}

fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | '\n' => {
                chars.next();
            }
            '(' | ')' => {
                chars.next();
                words.push(if c == '(' { Word::Open } else { Word::Close });
            }
            '=' | ':' | '!' | '<' | '>' => {
                chars.next();
                let equals = c != ':' && c != '=' && chars.next_if_eq(&'=').is_some();
                words.push(Word::Operator(match (c, equals) {
                    ('=', _) => "=",
                    (':', _) => ":",
                    ('!', true) => "!=",
                    ('<', false) => "<",
                    ('<', true) => "<=",
                    ('>', false) => ">",
                    ('>', true) => ">=",
                    _ => return None,
                }));
            }
            '"' | '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' => value.push(chars.next()?),
                        other => value.push(other),
                    }
                }
                words.push(Word::Text(value));
            }
            _ => {
                let mut value = String::new();
                while let Some(c) = chars.next_if(|c| !" \t\n()=:!<>\"'".contains(*c)) {
                    value.push(c);
                }
                words.push(match value.as_str() {
                    "AND" => Word::And,
                    "OR" => Word::Or,
                    "NOT" => Word::Not,
                    "eq" => Word::Operator("="),
                    "ne" => Word::Operator("!="),
                    _ => Word::Text(value),
                });
            }
        }
    }
    Some(words)
}

fn any(rest: &mut &[Word]) -> Option<Filter> {
    let mut parts = vec![all(rest)?];
    while rest.first() == Some(&Word::Or) {
        *rest = &rest[1..];
        parts.push(all(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
}

fn all(rest: &mut &[Word]) -> Option<Filter> {
    let mut parts = vec![one(rest)?];
    loop {
        match rest.first() {
            Some(Word::And) => *rest = &rest[1..],
            Some(Word::Text(_) | Word::Open | Word::Not) => {}
            _ => break,
        }
        parts.push(one(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
}

fn one(rest: &mut &[Word]) -> Option<Filter> {
    let words = *rest;
    match words {
        [Word::Not, tail @ ..] => {
            *rest = tail;
            Some(Filter::Not(Box::new(one(rest)?)))
        }
        [Word::Open, tail @ ..] => {
            *rest = tail;
            let inner = any(rest)?;
            let [Word::Close, tail @ ..] = *rest else { return None };
            *rest = tail;
            Some(inner)
        }
        [Word::Text(field), Word::Operator(operator), Word::Text(value), tail @ ..] => {
            *rest = tail;
            Some(Filter::Term { field: field.clone(), operator, value: value.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_what_clients_look_for() {
        let disk = json!({"name": "pvc-1", "sizeGb": "10", "labels": {"goog-k8s-cluster-name": "qwen", "empty": ""}});
        let matches = |text: &str| Filter::parse(text).expect(text).matches(&disk);
        assert!(matches("labels.goog-k8s-cluster-name=qwen") && matches("name:pvc-*") && matches("labels.empty:*"));
        assert!(
            matches("(labels.goog-k8s-cluster-name = \"qwen\") (name=pvc-1)") && matches("NOT name=x AND sizeGb>5")
        );
        assert!(matches("name=x OR name eq pvc-1") && !matches("labels.absent:*") && !matches("name!=pvc-1"));
        assert_eq!(Filter::parse("name ="), None);
    }
}
