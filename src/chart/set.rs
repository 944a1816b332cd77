//! `--set` and its relatives: one line of `path=value` pairs laid over values, with lists, indices and escapes.
//! Not for files of values.

use std::iter::Peekable;

use super::error::{Cause, ChartError};
use super::values::{Values, floats};
use crate::template::read_json;
use crate::value::{Map, Value};

/// How the right side of the equals sign is read.
pub enum Style<'f> {
    /// `--set`: true, false, null and whole numbers are what they look like; `{a,b}` is a list.
    Guess,
    /// `--set-string`: texts, also in lists.
    Text,
    /// `--set-json`: JSON.
    Json,
    /// `--set-file`: the contents of the file of that name.
    File(&'f dyn Fn(&str) -> Result<String, ChartError>),
    /// `--set-literal`: everything up to the end, as it is.
    Literal,
}

/// Highest index of a list.
const MAX_INDEX: usize = 65_536;
/// Names inside of each other.
const MAX_DEPTH: usize = 30;

impl Values {
    /// Lays one line of assignments over the values.
    ///
    /// # Errors
    /// Where the line is malformed or a path leads through something that is no map or list.
    pub fn set(&mut self, line: &str, style: &Style<'_>) -> Result<(), ChartError> {
        let refuse = |message: String| {
            ChartError::new(Cause::Values, "", format!("cannot set {line:?}: {message}"))
                .hint("write it like image.tag=v1,hosts[0]=a,list={a,b}; a backslash before a comma or dot keeps it")
        };
        if let (Style::Json, true) = (style, line.trim_start().starts_with('{')) {
            return match read_json(line.trim()).map_err(|fault| refuse(fault.to_string()))? {
                Value::Map(map) => {
                    self.add_map(map.into_iter().map(|(k, v)| (k, floats(v))).collect());
                    Ok(())
                }
                _ => Err(refuse("not a map".to_owned())),
            };
        }
        let mut parser = Parser { rest: line.chars().peekable(), style };
        loop {
            match parser.key(&mut self.0, 0) {
                Ok(Flow::More) => {}
                Ok(Flow::End) => return Ok(()),
                Err(Stop::Line(message)) => return Err(refuse(message)),
                Err(Stop::File(error)) => return Err(*error),
            }
        }
    }
}

enum Flow {
    More,
    End,
}

enum Stop {
    Line(String),
    File(Box<ChartError>),
}

type Step<T> = Result<T, Stop>;

fn stop<T>(message: impl Into<String>) -> Step<T> {
    Err(Stop::Line(message.into()))
}

struct Parser<'l, 's> {
    rest: Peekable<std::str::Chars<'l>>,
    style: &'s Style<'s>,
}

impl Parser<'_, '_> {
    fn is_literal(&self) -> bool {
        matches!(self.style, Style::Literal)
    }

    /// Up to the first of `stops`, which is returned, too; without one at the end of the line.
    fn until(&mut self, stops: &str) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                c if stops.contains(c) => return (text, Some(c)),
                '\\' if !self.is_literal() => match self.rest.next() {
                    Some(next) => text.push(next),
                    None => break,
                },
                c => text.push(c),
            }
        }
        (text, None)
    }

    fn key(&mut self, data: &mut Map, depth: usize) -> Step<Flow> {
        let (key, last) = self.until(if self.is_literal() { "=[." } else { "=[,." });
        let put = |data: &mut Map, value: Value| {
            if !key.is_empty() {
                data.insert(key.clone(), value);
            }
        };
        match last {
            None if key.is_empty() => Ok(Flow::End),
            None => stop(format!("{key:?} has no value")),
            Some('=') => {
                let (value, flow) = self.value()?;
                put(data, value);
                Ok(flow)
            }
            Some('[') => {
                let Some(index) = self.index()? else { return Ok(Flow::End) };
                let mut list = match data.get_mut(&key) {
                    None => Vec::new(),
                    Some(Value::List(list)) => std::mem::take(list),
                    Some(_) => return stop(format!("{key:?} is not a list")),
                };
                let flow = self.item(&mut list, index, depth)?;
                put(data, Value::List(list));
                Ok(flow)
            }
            Some('.') => {
                if depth == MAX_DEPTH {
                    return stop(format!("more than {MAX_DEPTH} names inside of each other"));
                }
                let mut inner = match data.get_mut(&key) {
                    None => Map::new(),
                    Some(Value::Map(inner)) => std::mem::take(inner),
                    Some(_) => return stop(format!("{key:?} is not a map")),
                };
                let flow = self.key(&mut inner, depth + 1)?;
                if inner.is_empty() {
                    if let Flow::More = flow {
                        return stop(format!("{key:?} has no value"));
                    }
                    data.remove(&key);
                } else {
                    put(data, Value::Map(inner));
                }
                Ok(flow)
            }
            Some(_) => stop(format!("{key:?} has no value (cannot end with ,)")),
        }
    }

    fn index(&mut self) -> Step<Option<usize>> {
        let (text, last) = self.until("]");
        if last.is_none() {
            return Ok(None);
        }
        match text.parse::<i64>() {
            Ok(number) if number > MAX_INDEX as i64 => stop(format!("the index {number} is too large")),
            Ok(number) => {
                usize::try_from(number).map(Some).or_else(|_| stop(format!("the index {number} is negative")))
            }
            Err(_) => stop(format!("{text:?} is not an index")),
        }
    }

    fn item(&mut self, list: &mut Vec<Value>, index: usize, depth: usize) -> Step<Flow> {
        let (text, last) = self.until("[.=");
        if !text.is_empty() {
            return stop(format!("{text:?} follows an index"));
        }
        let put = |list: &mut Vec<Value>, value: Value| {
            if list.len() <= index {
                list.resize(index + 1, Value::Null);
            }
            list[index] = value;
        };
        match last {
            None => Ok(Flow::End),
            Some('=') => {
                let (value, _) = self.value()?;
                put(list, value);
                Ok(Flow::More)
            }
            Some('[') => {
                let Some(next) = self.index()? else { return Ok(Flow::End) };
                let mut inner = match list.get_mut(index) {
                    None | Some(Value::Null) => Vec::new(),
                    Some(Value::List(inner)) => std::mem::take(inner),
                    Some(_) => return stop("an index into something that is no list"),
                };
                let flow = self.item(&mut inner, next, depth)?;
                put(list, Value::List(inner));
                Ok(flow)
            }
            Some(_) => {
                let existed = index < list.len();
                let mut inner = match list.get_mut(index) {
                    Some(Value::Map(inner)) => std::mem::take(inner),
                    _ => Map::new(),
                };
                let flow = self.key(&mut inner, depth)?;
                if existed || matches!(flow, Flow::More) {
                    put(list, Value::Map(inner));
                }
                Ok(flow)
            }
        }
    }

    /// What follows an equals sign, and whether the line may go on.
    fn value(&mut self) -> Step<(Value, Flow)> {
        match self.style {
            Style::Literal => return Ok((Value::String(self.rest.by_ref().collect()), Flow::More)),
            Style::Json => return self.json(),
            _ => {}
        }
        match self.rest.peek() {
            None => return Ok((Value::from(""), Flow::End)),
            Some('{') => {}
            Some(_) => {
                let (text, _) = self.until(",");
                return Ok((self.read(text)?, Flow::More));
            }
        }
        self.rest.next();
        let mut items = Vec::new();
        loop {
            let (text, last) = self.until(",}");
            match last {
                None => return stop("a list must end with }"),
                Some('}') => {
                    self.rest.next_if_eq(&',');
                    items.push(self.read(text)?);
                    return Ok((Value::List(items), Flow::More));
                }
                Some(_) => items.push(self.read(text)?),
            }
        }
    }

    fn read(&self, text: String) -> Step<Value> {
        Ok(match self.style {
            Style::File(read) => Value::String(read(&text).map_err(|error| Stop::File(Box::new(error)))?),
            Style::Guess => guess(text),
            _ => Value::String(text),
        })
    }

    /// Whether nothing but blanks comes before the next comma or the end, both of which are taken.
    fn blank(&mut self) -> bool {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().is_none() || self.rest.next_if_eq(&',').is_some()
    }

    fn json(&mut self) -> Step<(Value, Flow)> {
        if self.blank() {
            return Ok((Value::Null, Flow::More));
        }
        let rest = self.rest.clone().collect::<String>();
        let mut stream = serde_json::Deserializer::from_str(&rest).into_iter::<serde::de::IgnoredAny>();
        match stream.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) => return stop(format!("not JSON: {error}")),
            None => return stop("not JSON"),
        }
        let length = stream.byte_offset();
        let value = read_json(&rest[..length]).or_else(|fault| stop(fault.to_string()))?;
        let count = rest[..length].chars().count();
        self.rest.by_ref().take(count).for_each(drop);
        self.blank();
        Ok((floats(value), Flow::More))
    }
}

/// What a text looks like: a truth, nothing, a whole number that does not begin with a zero, or a text.
fn guess(text: String) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "0" => Value::Int(0),
        lower if !lower.starts_with('0') => lower.parse().map_or(Value::String(text), Value::Int),
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lines: &[&str], style: &Style<'_>) -> Result<serde_json::Value, String> {
        let mut values = Values::new();
        values.add_file("have: {a: 1, l: [x, w]}\nscalar: 1\n").unwrap();
        lines.iter().try_for_each(|line| values.set(line, style)).map_err(|error| error.message)?;
        values.0.remove("scalar");
        Ok(Value::Map(values.0).to_json())
    }

    #[test]
    fn lines_are_laid_over_values() {
        let have = serde_json::json!({"a": 1.0, "l": ["x", "w"]});
        for (line, key, value) in [
            ("a=1", "a", serde_json::json!(1)),
            ("a=007", "a", serde_json::json!("007")),
            ("a=TRUE", "a", serde_json::json!(true)),
            ("a=null", "a", serde_json::json!(null)),
            ("a=1.5", "a", serde_json::json!("1.5")),
            ("a=", "a", serde_json::json!("")),
            ("a=b\\,c", "a", serde_json::json!("b,c")),
            ("a\\.b=c", "a.b", serde_json::json!("c")),
            ("a={1,b}", "a", serde_json::json!([1, "b"])),
            ("a={}", "a", serde_json::json!([""])),
            ("a.b.c=1,a.d=2", "a", serde_json::json!({"b": {"c": 1}, "d": 2})),
            ("a[1]=x", "a", serde_json::json!([null, "x"])),
            ("a[0].b=1,a[0].c=2", "a", serde_json::json!([{"b": 1, "c": 2}])),
            ("a[0][1]=z", "a", serde_json::json!([[null, "z"]])),
            ("have.l[0]=z", "have", serde_json::json!({"a": 1.0, "l": ["z", "w"]})),
            ("have.b=1", "have", serde_json::json!({"a": 1.0, "b": 1, "l": ["x", "w"]})),
            ("a=b=c", "a", serde_json::json!("b=c")),
        ] {
            let all = set(&[line], &Style::Guess).unwrap();
            assert_eq!(all[key], value, "{line}");
            if key != "have" {
                assert_eq!(all["have"], have, "{line}");
            }
        }
    }

    #[test]
    fn other_styles() {
        assert_eq!(set(&["a=1,b={2}"], &Style::Text).unwrap()["b"], serde_json::json!(["2"]));
        assert_eq!(set(&["a.b=x,y={"], &Style::Literal).unwrap()["a"]["b"], "x,y={");
        let all = set(&["a={\"b\": [1, null]}, c=\"x\",d="], &Style::Json).unwrap();
        assert_eq!((&all["a"], &all[" c"]), (&serde_json::json!({"b": [1.0, null]}), &serde_json::json!("x")));
        assert_eq!(set(&["{\"have\": {\"a\": 2}}"], &Style::Json).unwrap()["have"]["a"], 2.0);
        let read = |name: &str| Ok(format!("<{name}>"));
        assert_eq!(set(&["a=x.txt"], &Style::File(&read)).unwrap()["a"], "<x.txt>");
    }

    #[test]
    fn malformed_lines_are_refused() {
        for bad in [
            "a",
            "a,b=1",
            "a[x]=1",
            "a[-1]=1",
            "a[99999999]=1",
            "a[0]x=1",
            "a={1",
            "scalar.b=1",
            "have[0]=1",
            "a.=",
            "have.l.b=1",
        ] {
            let refused = set(&[bad], &Style::Guess);
            assert!(refused.is_err() || bad == "a.=", "{bad}: {refused:?}");
        }
        assert!(set(&[&format!("{}a=1", "a.".repeat(40))], &Style::Guess).is_err());
        assert!(set(&["a=[1"], &Style::Json).is_err());
    }
}
