//! From the text of a CEL rule to its tree.

use serde_json::{Number, Value as Json};

/// Two-sided operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Rest,
}

/// A rule or a part of one.
#[derive(Clone, Debug)]
pub enum Expression {
    Literal(Json),
    Name(String),
    Select(Box<Expression>, String),
    /// `has(a.b)`
    Has(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Minus(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    /// A macro over a list: its name, the list, the variable, one or two bodies.
    Each(&'static str, Box<Expression>, String, Vec<Expression>),
    /// A function, or a method of its first value.
    Call(Option<Box<Expression>>, String, Vec<Expression>),
}

impl Expression {
    /// Whether the name occurs anywhere.
    pub fn mentions(&self, name: &str) -> bool {
        match self {
            Expression::Literal(_) => false,
            Expression::Name(own) => own == name,
            Expression::Select(a, _) | Expression::Has(a, _) | Expression::Not(a) | Expression::Minus(a) => {
                a.mentions(name)
            }
            Expression::Index(a, b) | Expression::Binary(_, a, b) => a.mentions(name) || b.mentions(name),
            Expression::Choice(a, b, c) => a.mentions(name) || b.mentions(name) || c.mentions(name),
            Expression::List(items) => items.iter().any(|item| item.mentions(name)),
            Expression::Map(entries) => entries.iter().any(|(key, value)| key.mentions(name) || value.mentions(name)),
            Expression::Each(_, list, _, body) => list.mentions(name) || body.iter().any(|part| part.mentions(name)),
            Expression::Call(receiver, _, arguments) => {
                receiver.iter().any(|receiver| receiver.mentions(name))
                    || arguments.iter().any(|part| part.mentions(name))
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Value(Json),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "<", ">", "+", "-", "*", "/",
    "%", "!", ";",
];

const MACROS: [&str; 5] = ["all", "exists", "exists_one", "filter", "map"];

/// Deeper nesting than any rule has; keeps hostile ones from exhausting the stack.
const DEEPEST: usize = 60;

/// Parses a whole rule.
pub fn parse(text: &str) -> Option<Expression> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let expression = parser.expression()?;
    (parser.at == parser.tokens.len()).then_some(expression)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if first.is_ascii_digit() {
            rest = number(rest, &mut out)?;
        } else if first == '"' || first == '\'' || (rest.starts_with("r'") || rest.starts_with("r\"")) {
            rest = string(rest, &mut out)?;
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            out.push(match word {
                "true" => Token::Value(Json::Bool(true)),
                "false" => Token::Value(Json::Bool(false)),
                "null" => Token::Value(Json::Null),
                _ => Token::Word(word.to_owned()),
            });
            rest = after;
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        }
        rest = rest.trim_start();
    }
    Some(out)
}

fn number<'a>(text: &'a str, out: &mut Vec<Token>) -> Option<&'a str> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut end = digits(text);
    let mut whole = true;
    if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        whole = false;
        end += 1 + digits(&text[end + 1..]);
    }
    let after = &text[end..];
    // Exponents and hexadecimals do not occur in rules.
    if after.starts_with(|c: char| c.is_ascii_alphabetic() && c != 'u') {
        return None;
    }
    let value = if whole {
        Json::from(text[..end].parse::<i64>().ok()?)
    } else {
        Json::Number(Number::from_f64(text[..end].parse().ok()?)?)
    };
    out.push(Token::Value(value));
    Some(after.strip_prefix('u').unwrap_or(after))
}

fn string<'a>(text: &'a str, out: &mut Vec<Token>) -> Option<&'a str> {
    let (raw, text) = match text.strip_prefix('r') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text.starts_with(quote))?;
    let mut rest = &text[quote.len()..];
    let mut value = String::new();
    while !rest.starts_with(quote) {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        if c != '\\' || raw {
            value.push(c);
            continue;
        }
        let escaped = rest.chars().next()?;
        rest = &rest[escaped.len_utf8()..];
        value.push(match escaped {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            '\\' | '\'' | '"' | '`' | '?' => escaped,
            _ => return None,
        });
    }
    out.push(Token::Value(Json::String(value)));
    Some(&rest[quote.len()..])
}

/// Property names that CEL could not write are escaped in rules.
fn unescape(name: &str) -> String {
    if let Some(keyword) = name.strip_prefix("__").and_then(|name| name.strip_suffix("__"))
        && !keyword.is_empty()
        && !keyword.contains("__")
    {
        return keyword.to_owned();
    }
    let marked = name.replace("__underscores__", "\u{0}");
    let plain = marked.replace("__dot__", ".").replace("__dash__", "-").replace("__slash__", "/");
    plain.replace('\u{0}', "__")
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some(Token::Sign(own)) if *own == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Option<()> {
        self.sign(sign).then_some(())
    }

    fn word(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.tokens.get(self.at) else { return None };
        self.at += 1;
        Some(word.clone())
    }

    fn expression(&mut self) -> Option<Expression> {
        if self.depth >= DEEPEST {
            return None;
        }
        self.depth += 1;
        let condition = self.binary(0)?;
        let whole = if self.sign("?") {
            let yes = self.expression()?;
            self.need(":")?;
            Expression::Choice(Box::new(condition), Box::new(yes), Box::new(self.expression()?))
        } else {
            condition
        };
        self.depth -= 1;
        Some(whole)
    }

    fn operator(&self, level: usize) -> Option<Operator> {
        match (level, self.tokens.get(self.at)?) {
            (2, Token::Word(word)) if word == "in" => Some(Operator::In),
            (level, Token::Sign(sign)) => Some(match (level, *sign) {
                (0, "||") => Operator::Or,
                (1, "&&") => Operator::And,
                (2, "==") => Operator::Equal,
                (2, "!=") => Operator::Unequal,
                (2, "<") => Operator::Less,
                (2, "<=") => Operator::AtMost,
                (2, ">") => Operator::Greater,
                (2, ">=") => Operator::AtLeast,
                (3, "+") => Operator::Add,
                (3, "-") => Operator::Subtract,
                (4, "*") => Operator::Multiply,
                (4, "/") => Operator::Divide,
                (4, "%") => Operator::Rest,
                _ => return None,
            }),
            _ => None,
        }
    }

    fn binary(&mut self, level: usize) -> Option<Expression> {
        if level > 4 {
            return self.unary();
        }
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.operator(level) {
            self.at += 1;
            left = Expression::Binary(operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Expression> {
        let mut signs = Vec::new();
        loop {
            if self.sign("!") {
                signs.push('!');
            } else if self.sign("-") {
                signs.push('-');
            } else {
                break;
            }
        }
        if signs.len() > DEEPEST {
            return None;
        }
        let mut inner = self.member()?;
        for sign in signs.into_iter().rev() {
            inner = if sign == '!' { Expression::Not(Box::new(inner)) } else { Expression::Minus(Box::new(inner)) };
        }
        Some(inner)
    }

    fn member(&mut self) -> Option<Expression> {
        let mut value = self.primary()?;
        let mut links = 0;
        loop {
            links += 1;
            if links > DEEPEST {
                return None;
            }
            if self.sign(".") {
                let name = self.word()?;
                value = if self.sign("(") {
                    self.method(value, name)?
                } else {
                    Expression::Select(Box::new(value), unescape(&name))
                };
            } else if self.sign("[") {
                let index = self.expression()?;
                self.need("]")?;
                value = Expression::Index(Box::new(value), Box::new(index));
            } else {
                return Some(value);
            }
        }
    }

    fn method(&mut self, receiver: Expression, name: String) -> Option<Expression> {
        let mut arguments = self.list(")")?;
        if let Some(known) = MACROS.iter().find(|known| **known == name) {
            if arguments.len() < 2 {
                return None;
            }
            let Expression::Name(variable) = arguments.remove(0) else { return None };
            return Some(Expression::Each(known, Box::new(receiver), variable, arguments));
        }
        Some(Expression::Call(Some(Box::new(receiver)), name, arguments))
    }

    /// Expressions up to a closing sign, which is taken.
    fn list(&mut self, end: &str) -> Option<Vec<Expression>> {
        let mut items = Vec::new();
        while !self.sign(end) {
            items.push(self.expression()?);
            if !self.sign(",") {
                self.need(end)?;
                break;
            }
        }
        Some(items)
    }

    fn primary(&mut self) -> Option<Expression> {
        if self.sign("(") {
            let inner = self.expression()?;
            self.need(")")?;
            return Some(inner);
        }
        if self.sign("[") {
            return Some(Expression::List(self.list("]")?));
        }
        if self.sign("{") {
            let mut entries = Vec::new();
            while !self.sign("}") {
                let key = self.expression()?;
                self.need(":")?;
                entries.push((key, self.expression()?));
                if !self.sign(",") {
                    self.need("}")?;
                    break;
                }
            }
            return Some(Expression::Map(entries));
        }
        if let Some(Token::Value(value)) = self.tokens.get(self.at) {
            self.at += 1;
            return Some(Expression::Literal(value.clone()));
        }
        let name = self.word()?;
        if !self.sign("(") {
            return Some(Expression::Name(name));
        }
        let mut arguments = self.list(")")?;
        if name == "has" {
            return match (arguments.pop()?, arguments.is_empty()) {
                (Expression::Select(object, field), true) => Some(Expression::Has(object, field)),
                _ => None,
            };
        }
        Some(Expression::Call(None, name, arguments))
    }
}
