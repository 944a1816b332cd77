//! Splits a template into tokens. Not for their meaning: `parse` does that.

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// Literal text between actions.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// Blank space inside an action.
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Pipe,
    /// `(`
    ParenOpen,
    /// `)`
    ParenClose,
    /// `"…"`
    Quoted,
    /// A text between back quotes.
    Raw,
    /// `'x'`
    Char,
    /// A number.
    Number,
    /// A complex number.
    Complex,
    /// `$x`
    Variable,
    /// `.x`
    Field,
    /// `.`
    Dot,
    /// A function's name.
    Identifier,
    /// `true` or `false`.
    Bool,
    /// `nil`
    Nil,
    /// `if`, `range`, ….
    Keyword(Keyword),
    /// Any other printable character.
    Other,
    /// The end.
    End,
    /// The text cannot be split further.
    Error(String),
}

/// The words of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    items: Vec<Item>,
}

/// The tokens of `text`; the last is [`Token::End`] or [`Token::Error`].
pub(super) fn lex(text: &str) -> Vec<Item> {
    let mut lexer = Lexer { text, at: 0, parens: 0, items: Vec::new() };
    if let Err((start, message)) = lexer.run() {
        lexer.push(Token::Error(message), start);
    }
    lexer.items
}

fn find(text: &str, part: &str) -> Option<usize> {
    memchr::memmem::find(text.as_bytes(), part.as_bytes())
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// As Go's `%#U` writes a character: `U+0040 '@'`.
fn code_point(c: Option<char>) -> String {
    match c {
        Some(c) if super::print::printable(c) => format!("U+{:04X} '{c}'", c as u32),
        Some(c) => format!("U+{:04X}", c as u32),
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
    }
}

type Step<T> = Result<T, (usize, String)>;

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn push(&mut self, token: Token, start: usize) {
        self.items.push(Item { token, start, end: self.at });
    }

    fn run(&mut self) -> Step<()> {
        loop {
            let start = self.at;
            let Some(open) = find(self.rest(), "{{") else {
                self.at = self.text.len();
                if self.at > start {
                    self.push(Token::Text, start);
                }
                self.push(Token::End, self.at);
                return Ok(());
            };
            let before = &self.text[start..start + open];
            let after = &self.text[start + open + 2..];
            let trim = after.starts_with('-') && after[1..].starts_with(blank);
            self.at = start + if trim { before.trim_end_matches(blank).len() } else { open };
            if self.at > start {
                self.push(Token::Text, start);
            }
            self.at = start + open;
            let begin = self.at;
            let skip = if trim { 2 } else { 0 };
            if after[skip..].starts_with("/*") {
                self.at = begin + 2 + skip + 2;
                let Some(end) = find(self.rest(), "*/") else { return Err((begin, "unclosed comment".into())) };
                self.at += end + 2;
                let Some(trim) = self.closing() else {
                    return Err((begin, "comment ends before closing delimiter".into()));
                };
                self.close(trim);
                continue;
            }
            self.at = begin + 2;
            self.push(Token::Open, begin);
            self.at += skip;
            self.parens = 0;
            self.action()?;
        }
    }

    /// Whether an action ends here, and whether it trims what follows.
    fn closing(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(blank) && rest[1..].starts_with("-}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn close(&mut self, trim: bool) {
        self.at += if trim { 4 } else { 2 };
        if trim {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(blank).len();
        }
    }

    fn action(&mut self) -> Step<()> {
        loop {
            let start = self.at;
            if let Some(trim) = self.closing() {
                if self.parens > 0 {
                    return Err((start, "unclosed left paren".into()));
                }
                self.at += if trim { 4 } else { 2 };
                self.push(Token::Close, start);
                self.at = start;
                self.close(trim);
                return Ok(());
            }
            let Some(c) = self.next() else { return Err((start, "unclosed action".into())) };
            let token = match c {
                c if blank(c) => {
                    // The blank before `-}}` belongs to the delimiter.
                    while self.closing().is_none() && self.peek().is_some_and(blank) {
                        self.next();
                    }
                    Token::Space
                }
                '=' => Token::Assign,
                ':' => {
                    if self.next() != Some('=') {
                        return Err((start, "expected :=".into()));
                    }
                    Token::Declare
                }
                '|' => Token::Pipe,
                '"' => {
                    self.quoted('"', start, "unterminated quoted string")?;
                    Token::Quoted
                }
                '\'' => {
                    self.quoted('\'', start, "unterminated character constant")?;
                    Token::Char
                }
                '`' => {
                    let Some(end) = self.rest().find('`') else {
                        return Err((start, "unterminated raw quoted string".into()));
                    };
                    self.at += end + 1;
                    Token::Raw
                }
                '$' => {
                    self.word(start)?;
                    Token::Variable
                }
                '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                    if self.word(start)? {
                        Token::Field
                    } else {
                        Token::Dot
                    }
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = start;
                    self.number(start)?
                }
                '(' => {
                    self.parens += 1;
                    Token::ParenOpen
                }
                ')' => {
                    if self.parens == 0 {
                        return Err((start, "unexpected right paren".into()));
                    }
                    self.parens -= 1;
                    Token::ParenClose
                }
                c if word(c) => {
                    self.word(start)?;
                    keyword(&self.text[start..self.at])
                }
                c if c.is_ascii_graphic() => Token::Other,
                c => return Err((start, format!("unrecognized character in action: {}", code_point(Some(c))))),
            };
            self.push(token, start);
        }
    }

    fn quoted(&mut self, end: char, start: usize, message: &str) -> Step<()> {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.next();
                }
                None | Some('\n' | '\\') => return Err((start, message.into())),
                Some(c) if c == end => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// Reads on to the end of a word; whether there was anything.
    fn word(&mut self, start: usize) -> Step<bool> {
        let from = self.at;
        while self.peek().is_some_and(word) {
            self.next();
        }
        let ends = match self.peek() {
            None => true,
            Some(c) => blank(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(') || self.rest().starts_with("}}"),
        };
        if ends { Ok(self.at > from) } else { Err((start, format!("bad character {}", code_point(self.peek())))) }
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.next();
        }
        found
    }

    fn run_of(&mut self, set: &str) {
        while self.accept(set) {}
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let (mut digits, mut hex) = ("0123456789_", false);
        if self.accept("0") {
            if self.accept("xX") {
                (digits, hex) = ("0123456789abcdefABCDEF_", true);
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.run_of(digits);
        if self.accept(".") {
            self.run_of(digits);
        }
        if digits.len() == 11 && self.accept("eE") || hex && self.accept("pP") {
            self.accept("+-");
            self.run_of("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(word) {
            self.next();
            return false;
        }
        true
    }

    fn number(&mut self, start: usize) -> Step<Token> {
        let bad = |lexer: &Self| {
            let text = super::print::quoted(&lexer.text.as_bytes()[start..lexer.at]);
            Err((start, format!("bad number syntax: {text}")))
        };
        if !self.scan_number() {
            return bad(self);
        }
        if self.peek().is_some_and(|c| "+-".contains(c)) {
            if !self.scan_number() || !self.text[..self.at].ends_with('i') {
                return bad(self);
            }
            return Ok(Token::Complex);
        }
        Ok(if self.text[..self.at].ends_with('i') { Token::Complex } else { Token::Number })
    }
}

fn keyword(text: &str) -> Token {
    Token::Keyword(match text {
        "true" | "false" => return Token::Bool,
        "nil" => return Token::Nil,
        "block" => Keyword::Block,
        "break" => Keyword::Break,
        "continue" => Keyword::Continue,
        "define" => Keyword::Define,
        "else" => Keyword::Else,
        "end" => Keyword::End,
        "if" => Keyword::If,
        "range" => Keyword::Range,
        "template" => Keyword::Template,
        "with" => Keyword::With,
        _ => return Token::Identifier,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Token, String)> {
        lex(text).into_iter().map(|i| (i.token, text[i.start..i.end].to_owned())).collect()
    }

    #[test]
    fn trimming_and_comments() {
        let got = tokens("a \n{{- .x -}} \n b {{/* c */}}d {{- /* e */ -}} f");
        let texts = got.iter().filter(|(t, _)| *t == Token::Text).map(|(_, s)| s.as_str()).collect::<Vec<_>>();
        assert_eq!(texts, ["a", "b ", "d", "f"]);
        assert_eq!(tokens("{{-3}}")[1], (Token::Number, "-3".to_owned()));
    }

    #[test]
    fn errors_end_the_stream() {
        for (text, message) in [
            ("{{ \"a", "unterminated quoted string"),
            ("{{ 'a", "unterminated character constant"),
            ("{{ `a", "unterminated raw quoted string"),
            ("{{ (1 }}", "unclosed left paren"),
            ("{{ 1) }}", "unexpected right paren"),
            ("{{/* a", "unclosed comment"),
            ("{{/* a */ }}", "comment ends before closing delimiter"),
            ("{{ a@ }}", "bad character U+0040 '@'"),
            ("{{ 3k }}", "bad number syntax: \"3k\""),
            ("{{ .", "unclosed action"),
            ("{{ : }}", "expected :="),
            ("{{ \u{1} }}", "unrecognized character in action: U+0001"),
        ] {
            assert_eq!(lex(text).last().map(|i| i.token.clone()), Some(Token::Error(message.into())), "{text}");
        }
    }
}
