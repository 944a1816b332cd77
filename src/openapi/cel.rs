//! The rules of custom resources: the part of CEL that CRDs use, evaluated over JSON.
//!
//! What is not supported (quantities, networks, URLs, points in time, optionals) is not guessed: such a rule is
//! [`Outcome::Unknown`] and refuses nothing. Costs and static types are not judged.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::validate::is_deferred;

mod parse;

use parse::{Expression, Operator};

/// A rule, parsed.
#[derive(Clone, Debug)]
pub struct Program(Expression);

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be evaluated here.
    Unknown,
}

impl Program {
    /// Parses a rule; `None` when it uses what is not supported.
    pub fn parse(text: &str) -> Option<Self> {
        parse::parse(text).map(Program)
    }

    /// Whether the rule compares with the value before an update.
    pub fn looks_back(&self) -> bool {
        self.0.mentions("oldSelf")
    }

    /// Evaluates an expression that makes a text.
    pub fn text(&self, value: &Json, old: Option<&Json>) -> Option<String> {
        let mut scope = vec![("self", Cow::Borrowed(value))];
        scope.extend(old.map(|old| ("oldSelf", Cow::Borrowed(old))));
        evaluate(&self.0, &mut scope).ok()?.as_str().map(str::to_owned)
    }

    /// Evaluates the rule for a value and, on updates, the value before.
    pub fn holds(&self, value: &Json, old: Option<&Json>) -> Outcome {
        let mut names = vec![("self", value)];
        names.extend(old.map(|old| ("oldSelf", old)));
        self.decides(&names)
    }

    /// Evaluates a rule over names that the caller chooses: `object`, `request`, ….
    pub fn decides(&self, names: &[(&str, &Json)]) -> Outcome {
        match self.value(names).as_ref() {
            Some(Json::Bool(true)) => Outcome::True,
            Some(Json::Bool(false)) => Outcome::False,
            _ => Outcome::Unknown,
        }
    }

    /// What an expression makes of these names; `None` when it cannot be evaluated here.
    pub fn value(&self, names: &[(&str, &Json)]) -> Option<Json> {
        let mut scope = names.iter().map(|(name, value)| (*name, Cow::Borrowed(*value))).collect();
        evaluate(&self.0, &mut scope).ok().map(Cow::into_owned)
    }
}

/// Evaluation stopped: an error in CEL, or something unsupported.
#[derive(Clone, Copy, Debug)]
struct Stop;

type Result<'a> = std::result::Result<Cow<'a, Json>, Stop>;
type Scope<'a> = Vec<(&'a str, Cow<'a, Json>)>;

fn owned<'a>(value: impl Into<Json>) -> Result<'a> {
    Ok(Cow::Owned(value.into()))
}

fn evaluate<'a>(expression: &'a Expression, scope: &mut Scope<'a>) -> Result<'a> {
    match expression {
        Expression::Literal(value) => Ok(Cow::Borrowed(value)),
        Expression::Name(name) => {
            let found =
                scope.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone()).ok_or(Stop)?;
            if is_deferred(&found) { Err(Stop) } else { Ok(found) }
        }
        Expression::Select(object, field) => select(evaluate(object, scope)?, field),
        Expression::Has(object, field) => {
            let object = evaluate(object, scope)?;
            let object = object.as_object().ok_or(Stop)?;
            owned(object.get(field).is_some_and(|value| !value.is_null()))
        }
        Expression::Index(object, index) => {
            let object = evaluate(object, scope)?;
            let index = evaluate(index, scope)?;
            match (object, &*index) {
                (Cow::Borrowed(Json::Array(items)), Json::Number(at)) => {
                    let at = at.as_u64().and_then(|at| usize::try_from(at).ok()).ok_or(Stop)?;
                    known(items.get(at).map(Cow::Borrowed))
                }
                (Cow::Owned(Json::Array(mut items)), Json::Number(at)) => {
                    let at = at.as_u64().and_then(|at| usize::try_from(at).ok()).ok_or(Stop)?;
                    known((at < items.len()).then(|| Cow::Owned(items.swap_remove(at))))
                }
                (object, Json::String(key)) => select(object, key),
                _ => Err(Stop),
            }
        }
        Expression::Not(inner) => match &*evaluate(inner, scope)? {
            Json::Bool(truth) => owned(!truth),
            _ => Err(Stop),
        },
        Expression::Minus(inner) => match &*evaluate(inner, scope)? {
            Json::Number(number) => match number.as_i64() {
                Some(whole) => owned(whole.checked_neg().ok_or(Stop)?),
                None => owned(-number.as_f64().ok_or(Stop)?),
            },
            _ => Err(Stop),
        },
        Expression::Binary(operator, left, right) => binary(*operator, left, right, scope),
        Expression::Choice(condition, yes, no) => match &*evaluate(condition, scope)? {
            Json::Bool(true) => evaluate(yes, scope),
            Json::Bool(false) => evaluate(no, scope),
            _ => Err(Stop),
        },
        Expression::List(items) => {
            let items = items.iter().map(|item| Ok(evaluate(item, scope)?.into_owned()));
            owned(items.collect::<std::result::Result<Vec<Json>, Stop>>()?)
        }
        Expression::Map(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = evaluate(key, scope)?.as_str().ok_or(Stop)?.to_owned();
                object.insert(key, evaluate(value, scope)?.into_owned());
            }
            owned(object)
        }
        Expression::Each(kind, list, name, body) => each(kind, list, name, body, scope),
        Expression::Call(receiver, name, arguments) => {
            let mut values = Vec::with_capacity(arguments.len() + 1);
            for argument in receiver.as_deref().into_iter().chain(arguments) {
                values.push(evaluate(argument, scope)?);
            }
            call(name, &values, receiver.is_some())
        }
    }
}

fn known<'a>(value: Option<Cow<'a, Json>>) -> Result<'a> {
    value.filter(|value| !is_deferred(value)).ok_or(Stop)
}

fn select<'a>(object: Cow<'a, Json>, field: &str) -> Result<'a> {
    known(match object {
        Cow::Borrowed(value) => value.as_object().and_then(|object| object.get(field)).map(Cow::Borrowed),
        Cow::Owned(Json::Object(mut object)) => object.swap_remove(field).map(Cow::Owned),
        Cow::Owned(_) => None,
    })
}

fn truth(value: Result<'_>) -> std::result::Result<bool, Stop> {
    value?.as_bool().ok_or(Stop)
}

fn binary<'a>(operator: Operator, left: &'a Expression, right: &'a Expression, scope: &mut Scope<'a>) -> Result<'a> {
    // `&&` and `||` do not mind an error on one side when the other side decides.
    if matches!(operator, Operator::And | Operator::Or) {
        let decides = operator == Operator::Or;
        let first = truth(evaluate(left, scope));
        if first.is_ok_and(|truth| truth == decides) {
            return owned(decides);
        }
        let second = truth(evaluate(right, scope));
        if second.is_ok_and(|truth| truth == decides) {
            return owned(decides);
        }
        first?;
        second?;
        return owned(!decides);
    }
    let (left, right) = (evaluate(left, scope)?, evaluate(right, scope)?);
    match operator {
        Operator::Equal => return owned(equal(&left, &right)),
        Operator::Unequal => return owned(!equal(&left, &right)),
        Operator::In => {
            return match &*right {
                Json::Array(items) => owned(items.iter().any(|item| equal(item, &left))),
                Json::Object(object) => owned(left.as_str().is_some_and(|key| object.contains_key(key))),
                _ => Err(Stop),
            };
        }
        _ => {}
    }
    match (&*left, &*right) {
        (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => whole(operator, a, b),
            _ => decimal(operator, a.as_f64().ok_or(Stop)?, b.as_f64().ok_or(Stop)?),
        },
        (Json::String(a), Json::String(b)) if operator == Operator::Add => owned(format!("{a}{b}")),
        (Json::String(a), Json::String(b)) => owned(ordered(operator, a.cmp(b))?),
        (Json::Bool(a), Json::Bool(b)) => owned(ordered(operator, a.cmp(b))?),
        (Json::Array(a), Json::Array(b)) if operator == Operator::Add => {
            owned(a.iter().chain(b).cloned().collect::<Vec<Json>>())
        }
        _ => Err(Stop),
    }
}

fn whole<'a>(operator: Operator, a: i64, b: i64) -> Result<'a> {
    let number = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Rest => a.checked_rem(b),
        _ => return owned(ordered(operator, a.cmp(&b))?),
    };
    owned(number.ok_or(Stop)?)
}

fn decimal<'a>(operator: Operator, a: f64, b: f64) -> Result<'a> {
    owned(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Rest => return Err(Stop),
        _ => return owned(ordered(operator, a.partial_cmp(&b).ok_or(Stop)?)?),
    })
}

fn ordered(operator: Operator, order: std::cmp::Ordering) -> std::result::Result<bool, Stop> {
    Ok(match operator {
        Operator::Less => order.is_lt(),
        Operator::AtMost => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::AtLeast => order.is_ge(),
        _ => return Err(Stop),
    })
}

fn equal(a: &Json, b: &Json) -> bool {
    super::apply::same_values(a, b)
}

/// `all`, `exists`, `exists_one`, `filter`, `map` over a list or the keys of a map.
fn each<'a>(
    kind: &str,
    list: &'a Expression,
    name: &'a str,
    body: &'a [Expression],
    scope: &mut Scope<'a>,
) -> Result<'a> {
    let items: Vec<Cow<'a, Json>> = match evaluate(list, scope)? {
        Cow::Borrowed(Json::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
        Cow::Owned(Json::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
        object => object.as_object().ok_or(Stop)?.keys().map(|key| Cow::Owned(Json::from(key.as_str()))).collect(),
    };
    let mut with = |item: &Cow<'a, Json>, body: &'a Expression| {
        scope.push((name, item.clone()));
        let value = evaluate(body, scope);
        scope.pop();
        value
    };
    let first = body.first().ok_or(Stop)?;
    match kind {
        "all" | "exists" => {
            let decides = kind == "exists";
            let mut stopped = false;
            for item in &items {
                match truth(with(item, first)) {
                    Ok(truth) if truth == decides => return owned(decides),
                    Ok(_) => {}
                    Err(Stop) => stopped = true,
                }
            }
            if stopped { Err(Stop) } else { owned(!decides) }
        }
        "exists_one" => {
            let mut count = 0;
            for item in &items {
                count += usize::from(truth(with(item, first))?);
            }
            owned(count == 1)
        }
        "filter" => {
            let mut out = Vec::new();
            for item in &items {
                if truth(with(item, first))? {
                    out.push(item.clone().into_owned());
                }
            }
            owned(out)
        }
        "map" => {
            let (condition, result) = match body {
                [result] => (None, result),
                [condition, result] => (Some(condition), result),
                _ => return Err(Stop),
            };
            let mut out = Vec::new();
            for item in &items {
                if condition.is_none_or(|condition| truth(with(item, condition)).unwrap_or_default()) {
                    out.push(with(item, result)?.into_owned());
                }
            }
            owned(out)
        }
        _ => Err(Stop),
    }
}

fn call<'a>(name: &str, values: &[Cow<'a, Json>], method: bool) -> Result<'a> {
    let values: Vec<&Json> = values.iter().map(|value| &**value).collect();
    match (name, &values[..]) {
        ("size", [Json::String(text)]) => owned(text.chars().count()),
        ("size", [Json::Array(items)]) => owned(items.len()),
        ("size", [Json::Object(object)]) => owned(object.len()),
        ("int", [Json::String(text)]) => owned(text.parse::<i64>().map_err(|_| Stop)?),
        ("int", [Json::Number(number)]) if number.is_i64() => owned(number.clone()),
        ("string", [Json::String(text)]) => owned(text.as_str()),
        ("string", [Json::Number(number)]) if number.is_i64() => owned(number.to_string()),
        ("string", [Json::Bool(truth)]) => owned(truth.to_string()),
        ("double", [Json::Number(number)]) => owned(number.as_f64().ok_or(Stop)?),
        ("startsWith", [Json::String(text), Json::String(part)]) if method => owned(text.starts_with(part.as_str())),
        ("endsWith", [Json::String(text), Json::String(part)]) if method => owned(text.ends_with(part.as_str())),
        ("contains", [Json::String(text), Json::String(part)]) if method => owned(text.contains(part.as_str())),
        ("matches", [Json::String(text), Json::String(pattern)]) => {
            let pattern = super::pattern::Pattern::new(pattern);
            if pattern.is_checked() { owned(pattern.matches(text)) } else { Err(Stop) }
        }
        ("lowerAscii", [Json::String(text)]) if method => owned(text.to_ascii_lowercase()),
        ("upperAscii", [Json::String(text)]) if method => owned(text.to_ascii_uppercase()),
        ("trim", [Json::String(text)]) if method => owned(text.trim()),
        ("split", [Json::String(text), Json::String(by)]) if method => {
            owned(text.split(by.as_str()).map(Json::from).collect::<Vec<Json>>())
        }
        ("replace", [Json::String(text), Json::String(from), Json::String(to)]) if method => {
            owned(text.replace(from.as_str(), to))
        }
        // Lengths of time are numbers of nanoseconds: rules only compare them with each other.
        ("duration", [Json::String(text)]) => owned(nanoseconds(text).ok_or(Stop)?),
        ("isIP", [Json::String(text)]) => owned(text.parse::<std::net::IpAddr>().is_ok()),
        ("substring", [Json::String(text), Json::Number(from), rest @ ..]) if method => {
            let place = |number: &Json| number.as_u64().and_then(|at| usize::try_from(at).ok()).ok_or(Stop);
            let length = text.chars().count();
            let from = place(&Json::Number(from.clone()))?;
            let to = rest.first().map_or(Ok(length), |to| place(to))?;
            if from > to || to > length || rest.len() > 1 {
                return Err(Stop);
            }
            owned(text.chars().skip(from).take(to - from).collect::<String>())
        }
        ("indexOf", [Json::String(text), Json::String(part)]) if method => {
            owned(text.find(part.as_str()).map_or(-1, |at| text[..at].chars().count() as i64))
        }
        _ => Err(Stop),
    }
}

/// Go's `1h30m`, `1.5s`, `-2ms`.
fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let (unit, size) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * size;
    }
    // Go keeps 290 years; so does this, exactly up to a hundred days.
    (total < 9e18).then_some((sign * total) as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(rule: &str, value: Json) -> Outcome {
        Program::parse(rule).map_or(Outcome::Unknown, |program| program.holds(&value, None))
    }

    #[test]
    fn rules_that_hold_and_rules_that_do_not() {
        let value = json!({
            "n": 3, "s": "abc", "list": [1, 2, 3], "items": [{"name": "x", "v": 1}, {"name": "y"}], "map": {"k": "v"},
            "t": true, "f": 1.5, "x-dash": 1,
        });
        for rule in [
            "self.n == 3 && self.s == 'abc'",
            "self.n >= 3 || self.nope > 1",
            "self.nope > 1 || self.n == 3",
            "!has(self.nope) && has(self.n)",
            "has(self.map.k)",
            "self.list.all(x, x > 0)",
            "self.list.exists(x, x == 2)",
            "self.items.exists_one(i, has(i.v) && i.v == 1)",
            "self.items.map(i, i.name) == ['x', 'y']",
            "self.list.filter(x, x > 1).size() == 2",
            "size(self.s) == 3",
            "'k' in self.map",
            "2 in self.list",
            "self.s.matches('^[a-c]+$')",
            "self.s.startsWith(\"ab\") ? self.t : false",
            "self.map['k'] == 'v'",
            "self.list[0] + 2 * 3 == 7",
            "(1 + 2) * 3 == 9",
            "-self.n == -3",
            "7 % 4 == 3 && 7 / 2 == 3",
            "self.f < 2.0",
            "self.map.all(k, self.map[k] != '')",
            "self.x__dash__dash == 1",
            "self.s + 'd' == 'abcd'",
            "self.items.all(a, self.items.exists_one(b, b.name == a.name))",
            "{'a': 1}.size() == 1",
            "self.s in ['abc', 'd']",
            "self.list.map(x, x > 1, x * 2) == [4, 6]",
            "!(self.n < 3)",
            "self.n != null",
            "duration('1h30m') > duration('89m')",
            "duration('0s') == duration('0')",
            "isIP('10.0.0.1') && !isIP(self.s)",
            "self.s.substring(1) == 'bc' && self.s.substring(0, 1) == 'a'",
            r"self.s.matches(r'^\w+$')",
            r"self.s.matches('^\\w+$')",
            r#"self.s.matches(r"""^(?i)ABC$""")"#,
        ] {
            assert_eq!(said(rule, value.clone()), Outcome::True, "{rule}");
            assert_eq!(said(&format!("!({rule})"), value.clone()), Outcome::False, "{rule}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_refuses_nothing() {
        for rule in [
            "self.nope > 1",
            "quantity(self.s) > 1",
            "self.?a.orValue(1) == 1",
            "self ==",
            "",
            "self.list[9] == 1",
            "1 / 0 == 1",
        ] {
            assert_eq!(said(rule, json!({"s": "1", "list": []})), Outcome::Unknown, "{rule}");
        }
        let deferred = json!({"a": {"$deferred": {"parts": []}}});
        assert_eq!(said("self.a == 'x'", deferred), Outcome::Unknown);
        assert_eq!(said(&"(".repeat(10_000), json!({})), Outcome::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".*", rule in "[a-z0-9.()!&|='\"\\\\ \\[\\]{}?:,+*/%<>_-]{0,30}") {
            for rule in [&text, &rule] {
                if let Some(program) = Program::parse(rule) {
                    program.holds(&json!({"a": [1, "x", {}]}), None);
                }
            }
            nanoseconds(&text);
            crate::openapi::quantity::Quantity::parse(&text);
            let schema = |format: &str| crate::openapi::Schema {
                format: Some(format.into()),
                ..crate::openapi::Schema::of(crate::openapi::Type::String)
            };
            for format in ["date-time", "date", "byte", "cidr", "uuid", "uri", "email", "mac", "duration", "quantity"] {
                crate::openapi::validate::validate(&schema(format), &Json::from(text.as_str()));
            }
            let pattern = crate::openapi::pattern::Pattern::new(&rule);
            pattern.matches(&text);
        }
    }
}
