//! Tokens to syntax trees, with Go's messages. Not for evaluation.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::data::Text;
use super::fault::{Error, Kind};
use super::functions;
use super::lex::{Item, Keyword, Token, lex};
use super::literal;
use super::print::quoted;
use super::syntax::{Body, Branch, Command, Number, Operand, Part, Pipeline, Place, Statement, line};

/// How deeply parentheses and blocks may nest.
const MAX_NESTING: usize = 100;

/// Parses `text`: the body of `name` itself and everything it defines.
pub(super) fn parse(name: &str, source: &Text) -> Result<Vec<Body>, Error> {
    let text = source.str();
    // What is not UTF-8 is replaced first, so that places are those of the text that is gone through.
    let source = if matches!(text, Cow::Owned(_)) { Text::from(text.as_bytes()) } else { source.clone() };
    let text = &*text;
    let mut parser = Parser {
        file: name,
        text,
        whole: &source,
        items: lex(text),
        at: 0,
        variables: vec!["$".to_owned()],
        ranges: 0,
        nesting: 0,
        action: None,
        defined: BTreeMap::new(),
    };
    let list = parser.file()?;
    parser.define(name.to_owned(), list)?;
    Ok(parser.defined.into_values().collect())
}

struct Parser<'a> {
    file: &'a str,
    text: &'a str,
    /// The same text.
    whole: &'a Text,
    items: Vec<Item>,
    at: usize,
    variables: Vec<String>,
    /// How many `range` are open.
    ranges: usize,
    nesting: usize,
    /// Where the action begins that is being parsed.
    action: Option<Place>,
    defined: BTreeMap<String, Body>,
}

/// What ended a list.
enum Ending {
    End,
    Else,
}

enum Step {
    Statement(Statement),
    Ending(Ending),
}

type Parsed<T> = Result<T, Error>;

impl Ending {
    fn shown(&self) -> &'static str {
        match self {
            Ending::End => "{{end}}",
            Ending::Else => "{{else}}",
        }
    }
}

impl<'a> Parser<'a> {
    fn item(&self) -> &Item {
        // The lexer always ends with End or Error, and neither is ever passed.
        &self.items[self.at.min(self.items.len() - 1)]
    }

    fn source(&self, item: &Item) -> &'a str {
        &self.text[item.start..item.end]
    }

    fn next(&mut self) -> Item {
        let item = self.item().clone();
        self.at += 1;
        item
    }

    fn skip_space(&mut self) {
        while self.item().token == Token::Space {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> &Item {
        self.skip_space();
        self.item()
    }

    fn next_solid(&mut self) -> Item {
        self.skip_space();
        self.next()
    }

    fn error<T>(&self, text: impl Into<String>) -> Parsed<T> {
        let place = self.items[self.at.saturating_sub(1).min(self.items.len() - 1)].start;
        self.error_at(place, text)
    }

    fn line(&self, place: Place) -> usize {
        line(&self.text.as_bytes()[..place])
    }

    fn error_at<T>(&self, place: Place, text: impl Into<String>) -> Parsed<T> {
        Err(Error {
            kind: Kind::Parse,
            file: self.file.to_owned(),
            line: u32::try_from(self.line(place)).unwrap_or(u32::MAX),
            column: None,
            at: None,
            text: text.into(),
            inner: None,
        })
    }

    fn unexpected<T>(&self, item: &Item, place: &str) -> Parsed<T> {
        let source = self.source(item);
        let shown = match &item.token {
            Token::Error(message) => {
                let mut text = message.clone();
                let action = self.action.map(|place| self.line(place));
                if let Some(action) = action
                    && action != self.line(item.start)
                {
                    let word = if message.ends_with(" action") { "" } else { " in action" };
                    text.push_str(&format!("{word} started at {}:{}", self.file, action));
                }
                return self.error_at(item.start, text);
            }
            Token::End => "EOF".to_owned(),
            Token::Keyword(_) | Token::Nil | Token::Dot => format!("<{source}>"),
            _ if source.chars().count() > 10 => {
                format!("{}...", quoted(source.chars().take(10).collect::<String>().as_bytes()))
            }
            _ => quoted(source.as_bytes()),
        };
        self.error_at(item.start, format!("unexpected {shown} in {place}"))
    }

    fn expect(&mut self, token: &Token, place: &str) -> Parsed<Item> {
        let item = self.next_solid();
        if item.token == *token { Ok(item) } else { self.unexpected(&item, place) }
    }

    fn define(&mut self, name: String, list: Vec<Statement>) -> Parsed<()> {
        let body = Body { name: name.clone(), file: self.file.to_owned(), source: self.whole.clone(), list };
        match self.defined.get(&name) {
            Some(old) if !old.is_blank() => {
                if body.is_blank() {
                    return Ok(());
                }
                self.error(format!("template: multiple definition of template {}", quoted(name.as_bytes())))
            }
            _ => {
                self.defined.insert(name, body);
                Ok(())
            }
        }
    }

    fn file(&mut self) -> Parsed<Vec<Statement>> {
        let mut list = Vec::new();
        while self.item().token != Token::End {
            if self.item().token == Token::Open {
                let open = self.at;
                self.at += 1;
                if self.peek().token == Token::Keyword(Keyword::Define) {
                    self.at += 1;
                    self.definition()?;
                    continue;
                }
                self.at = open;
            }
            match self.step()? {
                Step::Statement(statement) => list.push(statement),
                Step::Ending(ending) => return self.error(format!("unexpected {}", ending.shown())),
            }
        }
        Ok(list)
    }

    fn template_name(&mut self, place: &str) -> Parsed<String> {
        let item = self.next_solid();
        match item.token {
            Token::Quoted | Token::Raw => {
                let text = self.text_value(&item)?;
                Ok(text.str().into_owned())
            }
            _ => self.unexpected(&item, place),
        }
    }

    fn definition(&mut self) -> Parsed<()> {
        let name = self.template_name("define clause")?;
        self.expect(&Token::Close, "define clause")?;
        let list = self.inner_body("define clause")?;
        self.define(name, list)
    }

    /// The list of a `define` or `block`, which sees no variables from around it.
    fn inner_body(&mut self, place: &str) -> Parsed<Vec<Statement>> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (list, ending) = self.list()?;
        self.variables = outer;
        self.ranges = ranges;
        match ending {
            Ending::End => Ok(list),
            Ending::Else => self.error(format!("unexpected {{{{else}}}} in {place}")),
        }
    }

    fn list(&mut self) -> Parsed<(Vec<Statement>, Ending)> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return self.error("blocks and parentheses are nested too deeply");
        }
        let mut list = Vec::new();
        while self.peek().token != Token::End {
            match self.step()? {
                Step::Statement(statement) => list.push(statement),
                Step::Ending(ending) => {
                    self.nesting -= 1;
                    return Ok((list, ending));
                }
            }
        }
        self.at += 1;
        self.error("unexpected EOF")
    }

    fn step(&mut self) -> Parsed<Step> {
        let item = self.next_solid();
        match item.token {
            Token::Text => {
                Ok(Step::Statement(Statement::Literal(Part { whole: self.whole.clone(), range: item.start..item.end })))
            }
            Token::Open => {
                self.action = Some(item.start);
                let step = self.action();
                self.action = None;
                step
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Step> {
        let item = self.peek().clone();
        let Token::Keyword(keyword) = item.token else {
            let pipeline = self.pipeline("command", &Token::Close)?;
            return Ok(Step::Statement(Statement::Action(pipeline)));
        };
        self.at += 1;
        Ok(Step::Statement(match keyword {
            Keyword::Block => {
                let name = self.template_name("block clause")?;
                let place = self.item().start;
                let pipeline = self.pipeline("block clause", &Token::Close)?;
                let list = self.inner_body("block clause")?;
                self.define(name.clone(), list)?;
                Statement::Template { place, name, pipeline: Some(pipeline) }
            }
            Keyword::Break | Keyword::Continue => {
                let word = if keyword == Keyword::Break { "break" } else { "continue" };
                let close = self.next_solid();
                if close.token != Token::Close {
                    return self.unexpected(&close, &format!("{{{{{word}}}}}"));
                }
                if self.ranges == 0 {
                    return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                if keyword == Keyword::Break { Statement::Break } else { Statement::Continue }
            }
            Keyword::Else => {
                if !matches!(self.peek().token, Token::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(&Token::Close, "else")?;
                }
                return Ok(Step::Ending(Ending::Else));
            }
            Keyword::End => {
                self.expect(&Token::Close, "end")?;
                return Ok(Step::Ending(Ending::End));
            }
            Keyword::If => Statement::If(self.branch("if")?),
            Keyword::With => Statement::With(self.branch("with")?),
            Keyword::Range => Statement::Range(self.branch("range")?),
            Keyword::Template => {
                let place = self.peek().start;
                let name = self.template_name("template clause")?;
                let pipeline = if self.peek().token == Token::Close {
                    self.at += 1;
                    None
                } else {
                    Some(self.pipeline("template clause", &Token::Close)?)
                };
                Statement::Template { place, name, pipeline }
            }
            Keyword::Define => return self.unexpected(&item, "command"),
        }))
    }

    fn branch(&mut self, word: &'static str) -> Parsed<Branch> {
        let outer = self.variables.len();
        let pipeline = self.pipeline(word, &Token::Close)?;
        let loops = usize::from(word == "range");
        self.ranges += loops;
        let (list, ending) = self.list()?;
        self.ranges -= loops;
        let mut otherwise = Vec::new();
        if let Ending::Else = ending {
            let chained = matches!(
                (word, &self.peek().token),
                ("if", Token::Keyword(Keyword::If)) | ("with", Token::Keyword(Keyword::With))
            );
            if chained {
                self.at += 1;
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    return self.error("blocks and parentheses are nested too deeply");
                }
                let inner = self.branch(word)?;
                self.nesting -= 1;
                otherwise.push(if word == "if" { Statement::If(inner) } else { Statement::With(inner) });
            } else {
                let ending;
                (otherwise, ending) = self.list()?;
                if let Ending::Else = ending {
                    return self.error("expected end; found {{else}}");
                }
            }
        }
        self.variables.truncate(outer);
        Ok(Branch { pipeline, list, otherwise })
    }

    fn pipeline(&mut self, place: &str, end: &Token) -> Parsed<Pipeline> {
        let start = self.peek().start;
        let mut variables = Vec::new();
        let mut assigns = false;
        while self.peek().token == Token::Variable {
            let before = self.at;
            let variable = self.next();
            let name = self.source(&variable).to_owned();
            let next = self.peek().clone();
            match next.token {
                Token::Assign | Token::Declare => {
                    self.at += 1;
                    assigns = next.token == Token::Assign;
                    self.declare(name, &mut variables);
                }
                Token::Other if self.source(&next) == "," => {
                    self.at += 1;
                    self.declare(name, &mut variables);
                    if place == "range" && variables.len() < 2 {
                        if matches!(self.peek().token, Token::Variable | Token::Close | Token::ParenClose) {
                            continue;
                        }
                        return self.error("range can only initialize variables");
                    }
                    return self.error(format!("too many declarations in {place}"));
                }
                _ => self.at = before,
            }
            break;
        }
        let mut commands = Vec::<Command>::new();
        loop {
            let item = self.peek().clone();
            if item.token == *end {
                self.at += 1;
                break;
            }
            match item.token {
                Token::Bool
                | Token::Char
                | Token::Complex
                | Token::Dot
                | Token::Field
                | Token::Identifier
                | Token::Number
                | Token::Nil
                | Token::Raw
                | Token::Quoted
                | Token::Variable
                | Token::ParenOpen => commands.push(self.command()?),
                _ => {
                    self.at += 1;
                    return self.unexpected(&item, place);
                }
            }
        }
        if commands.is_empty() {
            return self.error(format!("missing value for {place}"));
        }
        for (at, command) in commands.iter().enumerate().skip(1) {
            if let Some(
                Operand::Bool(..) | Operand::Dot(_) | Operand::Nil(_) | Operand::Number(..) | Operand::Text { .. },
            ) = command.operands.first()
            {
                return self.error(format!("non executable command in pipeline stage {}", at + 1));
            }
        }
        Ok(Pipeline { place: start, variables, assigns, commands })
    }

    fn declare(&mut self, name: String, variables: &mut Vec<String>) {
        self.variables.push(name.clone());
        variables.push(name);
    }

    fn command(&mut self) -> Parsed<Command> {
        let place = self.peek().start;
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let item = self.next();
            match item.token {
                Token::Space => continue,
                Token::Close | Token::ParenClose => self.at -= 1,
                Token::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        if operands.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { place, operands })
    }

    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.item().token != Token::Field {
            return Ok(Some(term));
        }
        let place = self.item().start;
        let mut names = Vec::new();
        while self.item().token == Token::Field {
            let item = self.next();
            names.push(self.source(&item)[1..].to_owned());
        }
        Ok(Some(match term {
            Operand::Field { names: mut first, .. } => {
                first.extend(names);
                Operand::Field { place, names: first }
            }
            Operand::Variable { name, names: mut first, .. } => {
                first.extend(names);
                Operand::Variable { place, name, names: first }
            }
            Operand::Bool(..) | Operand::Text { .. } | Operand::Number(..) | Operand::Nil(_) | Operand::Dot(_) => {
                return self.error(format!("unexpected . after term {}", quoted(term.to_string().as_bytes())));
            }
            term => Operand::Chain { place, operand: Box::new(term), names },
        }))
    }

    fn text_value(&self, item: &Item) -> Parsed<Text> {
        let source = self.source(item);
        if item.token == Token::Raw {
            return Ok(Text::from(source[1..source.len() - 1].replace('\r', "")));
        }
        match literal::unquote(&source[1..source.len() - 1], '"') {
            Some(bytes) => Ok(Text::from(bytes)),
            None => self.error("invalid syntax"),
        }
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let item = self.next_solid();
        let (place, source) = (item.start, self.source(&item));
        Ok(Some(match item.token {
            Token::Identifier => match functions::find(source) {
                Some(function) => Operand::Function { place, function },
                None => return self.error(format!("function {} not defined", quoted(source.as_bytes()))),
            },
            Token::Dot => Operand::Dot(place),
            Token::Nil => Operand::Nil(place),
            Token::Variable => {
                if !self.variables.iter().any(|v| v == source) {
                    return self.error(format!("undefined variable {}", quoted(source.as_bytes())));
                }
                Operand::Variable { place, name: source.to_owned(), names: Vec::new() }
            }
            Token::Field => Operand::Field { place, names: vec![source[1..].to_owned()] },
            Token::Bool => Operand::Bool(place, source == "true"),
            Token::Char | Token::Number | Token::Complex => Operand::Number(place, self.number(&item)?),
            Token::ParenOpen => {
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    return self.error("blocks and parentheses are nested too deeply");
                }
                let pipeline = self.pipeline("parenthesized pipeline", &Token::ParenClose)?;
                self.nesting -= 1;
                Operand::Pipeline(Box::new(pipeline))
            }
            Token::Quoted | Token::Raw => {
                Operand::Text { place, source: source.to_owned(), value: self.text_value(&item)? }
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        }))
    }

    fn number(&self, item: &Item) -> Parsed<Number> {
        let source = self.source(item).to_owned();
        match item.token {
            Token::Char => match literal::character(&source) {
                Some(c) => {
                    let code = i64::from(c);
                    Ok(Number { source, int: Some(code), float: Some(code as f64), is_float: false })
                }
                None if source.len() < 4 => self.error("invalid syntax"),
                None => self.error(format!("malformed character constant: {source}")),
            },
            Token::Complex => self.error(format!("complex numbers are not supported: {source}")),
            _ => {
                let mut int = literal::int(&source, 0);
                let unsigned = literal::uint(&source);
                let mut float = int.map(|i| i as f64).or(unsigned.map(|u| u as f64));
                let is_float = source.contains(['.', 'e', 'E', 'p', 'P']) && !literal::is_hex_int(&source);
                if float.is_none() {
                    float = literal::float(&source);
                    if float.is_some() && !is_float {
                        return self.error(format!("integer overflow: {}", quoted(source.as_bytes())));
                    }
                    if let Some(number) = float.filter(|n| n.fract() == 0.0 && n.abs() < 9.2e18) {
                        int = Some(number as i64);
                    }
                }
                if int.is_none() && float.is_none() {
                    return self.error(format!("illegal number syntax: {}", quoted(source.as_bytes())));
                }
                Ok(Number { source, int, float, is_float })
            }
        }
    }
}
