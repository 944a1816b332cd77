//! Values as Go prints them: `print`'s default form, quoted strings, and `printf` with its verbs and flags.
//! Not for YAML or JSON.

use super::budget::MAX_TEXT;
use super::data::{Data, Field, IntKind, MAX_NESTING};
use super::fault::Fault;
use super::literal::format_float;

/// Whether Go prints the character as it is.
pub(super) fn printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library knows which characters show; a leading letter keeps combining marks unescaped.
    !c.is_whitespace() && !c.is_control() && !format!("{:?}", format!("a{c}")).contains("\\u")
}

/// A text between double quotes with Go's escapes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    quote_with(bytes, '"', false)
}

pub(super) fn quote_with(bytes: &[u8], quote: char, ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(quote);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if c == quote || c == '\\' => {
                    out.push('\\');
                    out.push(c);
                }
                '\u{7}' => out.push_str("\\a"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{b}' => out.push_str("\\v"),
                c if c.is_ascii() && !printable(c) => out.push_str(&format!("\\x{:02x}", c as u32)),
                c if c.is_ascii() || !ascii && (super::tokens::is_mark(c) || printable(c)) => out.push(c),
                c if (c as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", c as u32)),
                c => out.push_str(&format!("\\U{:08x}", c as u32)),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push(quote);
    out
}

/// What `print` shows.
pub(super) fn shown(data: &Data) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    Spec::plain('v').write(&mut out, data, 0)?;
    Ok(out)
}

/// What an action writes: a struct rather than the pointer to it.
pub(super) fn printed(data: &Data) -> Result<Vec<u8>, Fault> {
    let mut out = shown(data)?;
    if let Data::Object(object) = data
        && object.type_name().starts_with('*')
        && object.shown().is_none()
        && out.first() == Some(&b'&')
    {
        out.remove(0);
    }
    Ok(out)
}

/// `print`: blanks between operands when neither is a string.
pub(super) fn print(items: &[Data], line: bool) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let text = |data: &Data| matches!(data, Data::Text(_));
        if at > 0 && (line || !text(item) && !text(&items[at - 1])) {
            out.push(b' ');
        }
        Spec::plain('v').write(&mut out, item, 0)?;
    }
    if line {
        out.push(b'\n');
    }
    Ok(out)
}

/// One verb with its flags.
#[derive(Clone, Default)]
struct Spec {
    verb: char,
    minus: bool,
    plus: bool,
    /// `+` of `%+v`: names of fields, and no sign.
    plus_v: bool,
    /// After a mistake a value is shown as it is kept, not as its type prints itself.
    raw: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

fn room(out: &[u8], more: usize) -> Result<(), Fault> {
    if out.len() + more > MAX_TEXT {
        return Err(Fault::limit("a printed text is longer than a rendering may make"));
    }
    Ok(())
}

impl Spec {
    fn plain(verb: char) -> Self {
        Spec { verb, ..Spec::default() }
    }

    fn pad(&self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), Fault> {
        let count = String::from_utf8_lossy(text).chars().count();
        let missing = self.width.unwrap_or(0).saturating_sub(count);
        room(out, text.len() + missing)?;
        if missing == 0 {
            out.extend_from_slice(text);
        } else if self.minus {
            out.extend_from_slice(text);
            out.resize(out.len() + missing, b' ');
        } else {
            out.resize(out.len() + missing, if self.zero { b'0' } else { b' ' });
            out.extend_from_slice(text);
        }
        Ok(())
    }

    /// A number with its sign, zeros between the two where asked for.
    fn pad_number(&self, out: &mut Vec<u8>, sign: &str, digits: &str) -> Result<(), Fault> {
        let count = sign.len() + digits.len();
        let missing = self.width.unwrap_or(0).saturating_sub(count);
        if self.zero && !self.minus && missing > 0 {
            room(out, count + missing)?;
            out.extend_from_slice(sign.as_bytes());
            out.resize(out.len() + missing, b'0');
            out.extend_from_slice(digits.as_bytes());
            return Ok(());
        }
        Spec { zero: false, ..self.clone() }.pad(out, format!("{sign}{digits}").as_bytes())
    }

    fn bad(&self, out: &mut Vec<u8>, data: &Data) -> Result<(), Fault> {
        out.extend_from_slice(format!("%!{}(", self.verb).as_bytes());
        if data.is_nothing() {
            out.extend_from_slice(b"<nil>");
        } else {
            out.extend_from_slice(data.type_name().as_bytes());
            out.push(b'=');
            Spec { verb: 'v', raw: true, ..self.clone() }.write(out, data, 1)?;
        }
        out.push(b')');
        Ok(())
    }

    fn integer(&self, out: &mut Vec<u8>, data: &Data, kind: IntKind, number: i64) -> Result<(), Fault> {
        if matches!(self.verb, 'v' | 's')
            // `%#v` is Go's own way of writing it, which asks no type how it prints.
            && !(self.raw || self.verb == 'v' && self.sharp)
            && let Some(text) = super::moment::named(kind, number)
        {
            return self.pad(out, text.as_bytes());
        }
        let magnitude = number.unsigned_abs();
        let (mut digits, prefix) = match self.verb {
            'v' | 'd' => (magnitude.to_string(), ""),
            'b' => (format!("{magnitude:b}"), if self.sharp { "0b" } else { "" }),
            'o' => (format!("{magnitude:o}"), if self.sharp { "0" } else { "" }),
            'O' => (format!("{magnitude:o}"), "0o"),
            'x' => (format!("{magnitude:x}"), if self.sharp { "0x" } else { "" }),
            'X' => (format!("{magnitude:X}"), if self.sharp { "0X" } else { "" }),
            'c' | 'q' | 'U' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{FFFD}');
                let text = match self.verb {
                    'c' => c.to_string(),
                    'q' => quote_with(c.to_string().as_bytes(), '\'', self.plus),
                    _ if self.sharp && printable(c) => format!("U+{magnitude:04X} '{c}'"),
                    _ => format!("U+{magnitude:04X}"),
                };
                return Spec { zero: false, ..self.clone() }.pad(out, text.as_bytes());
            }
            _ => return self.bad(out, data),
        };
        let mut spec = self.clone();
        if let Some(precision) = self.precision {
            spec.zero = false;
            if precision == 0 && number == 0 {
                return Spec { zero: false, ..spec }.pad(out, b"");
            }
            room(out, precision)?;
            digits = format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len())));
        }
        let sign = match (number < 0, self.plus, self.space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        spec.pad_number(out, &format!("{sign}{prefix}"), &digits)
    }

    fn number(&self, out: &mut Vec<u8>, data: &Data, number: f64) -> Result<(), Fault> {
        let text = match self.verb {
            'v' => format_float(number, 'g', self.precision),
            'g' | 'G' => format_float(number, self.verb, self.precision),
            'e' | 'E' | 'f' | 'F' => format_float(number, self.verb, self.precision.or(Some(6))),
            'x' | 'X' if number.is_finite() => hex_float(number, self.verb, self.precision),
            'b' if number.is_finite() => binary_float(number),
            'b' | 'x' | 'X' => format_float(number, 'g', None),
            _ => return self.bad(out, data),
        };
        let (sign, digits) = match text.strip_prefix(['+', '-']) {
            Some(digits) => (&text[..1], digits.to_owned()),
            None => ("", text.clone()),
        };
        let sign = match (sign, self.plus, self.space) {
            ("-", ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            ("+", ..) => "+",
            _ => "",
        };
        if number.is_finite() {
            // After `%#v` it is the verb that keeps its zeros no more.
            let digits = if self.sharp && !matches!(self.verb, 'b' | 'v') {
                sharpened(&digits, self.verb, self.precision)
            } else {
                digits
            };
            self.pad_number(out, sign, &digits)
        } else {
            Spec { zero: false, ..self.clone() }.pad(out, format!("{sign}{digits}").as_bytes())
        }
    }

    fn bytes(&self, out: &mut Vec<u8>, data: &Data, bytes: &[u8]) -> Result<(), Fault> {
        let cut = |bytes: &[u8]| -> Vec<u8> {
            match self.precision {
                Some(precision) => {
                    let text = String::from_utf8_lossy(bytes);
                    if text.chars().count() > precision {
                        text.chars().take(precision).collect::<String>().into_bytes()
                    } else {
                        bytes.to_vec()
                    }
                }
                None => bytes.to_vec(),
            }
        };
        match self.verb {
            'v' if self.sharp => self.pad(out, quoted(bytes).as_bytes()),
            'v' | 's' if self.precision.is_none() && self.width.is_none() => {
                room(out, bytes.len())?;
                out.extend_from_slice(bytes);
                Ok(())
            }
            'v' | 's' => self.pad(out, &cut(bytes)),
            'q' => {
                room(out, bytes.len() * 2)?;
                let bytes = cut(bytes);
                if self.sharp && !bytes.contains(&b'`') && std::str::from_utf8(&bytes).is_ok() {
                    return self.pad(out, format!("`{}`", String::from_utf8_lossy(&bytes)).as_bytes());
                }
                self.pad(out, quote_with(&bytes, '"', self.plus).as_bytes())
            }
            'x' | 'X' => {
                room(out, bytes.len() * 5)?;
                let upto = self.precision.map_or(bytes.len(), |p| p.min(bytes.len()));
                let mut text = String::new();
                for (at, byte) in bytes[..upto].iter().enumerate() {
                    if self.space && at > 0 {
                        text.push(' ');
                    }
                    if self.sharp && (at == 0 || self.space) {
                        text.push_str(if self.verb == 'x' { "0x" } else { "0X" });
                    }
                    text.push_str(&if self.verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(out, text.as_bytes())
            }
            _ => self.bad(out, data),
        }
    }

    fn write(&self, out: &mut Vec<u8>, data: &Data, depth: usize) -> Result<(), Fault> {
        if depth > MAX_NESTING {
            return Err(Fault::limit("the value to print is nested too deeply, or holds itself"));
        }
        room(out, 16)?;
        match data {
            Data::Missing | Data::Nil if self.verb == 'v' || depth > 0 => self.pad(out, b"<nil>"),
            Data::Missing | Data::Nil => self.bad(out, data),
            Data::Bool(truth) => match self.verb {
                'v' | 't' => self.pad(out, truth.to_string().as_bytes()),
                _ => self.bad(out, data),
            },
            Data::Int(kind, number) => self.integer(out, data, *kind, *number),
            Data::Float(number) => self.number(out, data, *number),
            Data::Text(text) => self.bytes(out, data, text.bytes()),
            Data::Bytes(bytes) => match self.verb {
                'v' | 'd' => {
                    let items = bytes.bytes().iter().map(u8::to_string).collect::<Vec<_>>();
                    out.extend_from_slice(format!("[{}]", items.join(" ")).as_bytes());
                    Ok(())
                }
                's' | 'q' | 'x' | 'X' => self.bytes(out, data, bytes.bytes()),
                // Every other verb is asked of each byte.
                _ => {
                    let items = bytes.bytes().iter().map(|byte| Data::Int(IntKind::Uint8, i64::from(*byte)));
                    self.list(out, "[]uint8", &items.collect::<Vec<_>>(), depth)
                }
            },
            Data::List(list) if list.is_nil() && self.verb == 'v' && self.sharp => {
                out.extend_from_slice(format!("{}(nil)", data.type_name()).as_bytes());
                Ok(())
            }
            Data::List(list) => self.list(out, &data.type_name(), list.items(), depth),
            Data::Map(map) => {
                let sharp = self.verb == 'v' && self.sharp;
                let open = if sharp { format!("{}{{", data.type_name()) } else { "map[".to_owned() };
                out.extend_from_slice(open.as_bytes());
                for (at, (key, item)) in map.snapshot().iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(if sharp { b", " } else { b" " });
                    }
                    self.bytes(out, &Data::Text(key.clone()), key.bytes())?;
                    out.push(b':');
                    self.write_inner(out, item, depth)?;
                }
                out.push(if sharp { b'}' } else { b']' });
                Ok(())
            }
            Data::Time(moment) => match self.verb {
                'v' | 's' | 'q' | 'x' | 'X' => self.bytes(out, data, moment.to_string().as_bytes()),
                _ => self.bad(out, data),
            },
            Data::Object(object) => match (object.shown(), object.structure()) {
                (Some(text), _) => self.bytes(out, data, text.as_bytes()),
                (None, Some(fields)) => self.structure(out, object.type_name(), &fields, depth),
                (None, None) => match object.plain() {
                    Data::List(list) if self.verb == 'v' && self.sharp => {
                        self.list(out, object.type_name(), list.items(), depth)
                    }
                    plain => self.write(out, &plain, depth + 1),
                },
            },
        }
    }

    fn list(&self, out: &mut Vec<u8>, type_name: &str, items: &[Data], depth: usize) -> Result<(), Fault> {
        let sharp = self.verb == 'v' && self.sharp;
        if sharp {
            out.extend_from_slice(type_name.as_bytes());
        }
        out.push(if sharp { b'{' } else { b'[' });
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(if sharp { b", " } else { b" " });
            }
            self.write_inner(out, item, depth)?;
        }
        out.push(if sharp { b'}' } else { b']' });
        Ok(())
    }

    fn structure(&self, out: &mut Vec<u8>, name: &str, fields: &[Field], depth: usize) -> Result<(), Fault> {
        let sharp = self.verb == 'v' && self.sharp;
        let pointer = name.strip_prefix('*');
        if pointer.is_some() && depth > 0 {
            // Inside of something else Go shows where it lies, which is elsewhere each time.
            let place = "0x000000000000";
            let text = if sharp { format!("({name})({place})") } else { place.to_owned() };
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let name = pointer.unwrap_or(name);
        if pointer.is_some() {
            out.push(b'&');
        }
        if sharp {
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'{');
        for (at, field) in fields.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(if sharp { b", " } else { b" " });
            }
            if self.verb == 'v' && (self.sharp || self.plus_v) {
                out.extend_from_slice(field.name.as_bytes());
                out.push(b':');
            }
            // A field prints as the value that it is, whatever methods a pointer to it would have.
            let by_value = match &field.value {
                Data::Object(object) => object.by_value().map(Data::Object),
                _ => None,
            };
            self.write_inner(out, by_value.as_ref().unwrap_or(&field.value), depth)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn write_inner(&self, out: &mut Vec<u8>, data: &Data, depth: usize) -> Result<(), Fault> {
        match data {
            Data::Missing | Data::Nil if self.sharp && self.verb == 'v' => {
                out.extend_from_slice(b"interface {}(nil)");
                Ok(())
            }
            data => self.write(out, data, depth + 1),
        }
    }
}

/// `-0x1.8p+01`; the sign is in front.
/// A number as `#` wants it: with a point, and with the zeros that `%g` and `%x` leave out.
fn sharpened(digits: &str, verb: char, precision: Option<usize>) -> String {
    let tail =
        digits.find(|c| matches!(c, 'p' | 'P') || matches!((c, verb), ('e' | 'E', v) if !matches!(v, 'x' | 'X')));
    let (number, tail) = digits.split_at(tail.unwrap_or(digits.len()));
    let mut missing = if matches!(verb, 'g' | 'G' | 'x') { precision.unwrap_or(6) } else { 0 };
    // Counted as Go counts: from the first character that is no zero, the x of 0x among them.
    let counted = number.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    missing = missing.saturating_sub(counted);
    let mut text = number.to_owned();
    if !number.contains('.') {
        if number == "0" {
            missing = missing.saturating_sub(1);
        }
        text.push('.');
    }
    text.push_str(&"0".repeat(missing));
    text + tail
}

fn hex_float(number: f64, verb: char, precision: Option<usize>) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let bits = number.to_bits();
    let (mut mantissa, mut exponent) = (bits & ((1 << 52) - 1), ((bits >> 52) & 0x7FF) as i64 - 1023);
    if exponent == -1023 {
        if mantissa == 0 {
            exponent = 0;
        } else {
            // What is below the normal numbers is shifted up to them.
            let shift = mantissa.leading_zeros() - 11;
            mantissa <<= shift;
            exponent = -1022 - i64::from(shift);
        }
    } else {
        mantissa |= 1 << 52;
    }
    if let Some(digits) = precision.filter(|digits| *digits < 13) {
        let dropped = 52 - 4 * digits as u32;
        let (rest, half) = (mantissa & ((1 << dropped) - 1), 1u64 << (dropped - 1));
        mantissa >>= dropped;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= dropped;
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let fraction = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let fraction = match precision {
        None => fraction.trim_end_matches('0').to_owned(),
        Some(digits) => format!("{fraction:0<digits$}")[..digits].to_owned(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    let text = format!("{sign}0x{}{point}{fraction}p{direction}{:02}", mantissa >> 52, exponent.abs());
    if verb == 'X' { text.to_uppercase() } else { text }
}

/// `4503599627370496p-52`.
fn binary_float(number: f64) -> String {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let bits = number.to_bits();
    let (mantissa, exponent) = (bits & ((1 << 52) - 1), ((bits >> 52) & 0x7FF) as i64);
    let (mantissa, exponent) = if exponent == 0 { (mantissa, 1) } else { (mantissa | 1 << 52, exponent) };
    format!("{sign}{mantissa}p{:+}", exponent - 1075)
}

/// `printf`.
pub(super) fn printf(format: &[u8], items: &[Data]) -> Result<Vec<u8>, Fault> {
    Printf { format, at: 0, items, item: 0, reordered: false, good_index: true }.run()
}

struct Printf<'a> {
    format: &'a [u8],
    at: usize,
    items: &'a [Data],
    item: usize,
    reordered: bool,
    good_index: bool,
}

impl Printf<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn digits(&mut self) -> Option<usize> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if start == self.at {
            return None;
        }
        std::str::from_utf8(&self.format[start..self.at]).ok()?.parse().ok().filter(|n| *n <= 1_000_000)
    }

    /// `[n]`: the next operand is the n-th.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let Some(close) = self.format[self.at..].iter().position(|b| *b == b']') else {
            self.good_index = false;
            self.at += 1;
            return false;
        };
        let inner = std::str::from_utf8(&self.format[self.at + 1..self.at + close]).unwrap_or("");
        self.at += close + 1;
        match inner.parse::<usize>() {
            Ok(number) if number >= 1 && number <= self.items.len() => {
                self.item = number - 1;
                true
            }
            _ => {
                self.good_index = false;
                false
            }
        }
    }

    /// `*`: a width or precision from the operands.
    fn star(&mut self) -> Option<i64> {
        let number = match self.items.get(self.item) {
            Some(Data::Int(_, number)) if number.abs() <= 1_000_000 => Some(*number),
            _ => None,
        };
        if self.item < self.items.len() {
            self.item += 1;
        }
        number
    }

    fn run(mut self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        while self.at < self.format.len() {
            let literal = self.format[self.at..].iter().position(|b| *b == b'%').unwrap_or(self.format.len() - self.at);
            room(&out, literal)?;
            out.extend_from_slice(&self.format[self.at..self.at + literal]);
            self.at += literal;
            if self.at >= self.format.len() {
                break;
            }
            self.at += 1;
            self.verb(&mut out)?;
        }
        if !self.reordered && self.item < self.items.len() {
            out.extend_from_slice(b"%!(EXTRA ");
            for (at, item) in self.items[self.item..].iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                if item.is_nothing() {
                    out.extend_from_slice(b"<nil>");
                } else {
                    out.extend_from_slice(item.type_name().as_bytes());
                    out.push(b'=');
                    Spec::plain('v').write(&mut out, item, 0)?;
                }
            }
            out.push(b')');
        }
        Ok(out)
    }

    fn verb(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        self.good_index = true;
        let mut spec = Spec::default();
        loop {
            match self.peek() {
                Some(b'#') => spec.sharp = true,
                Some(b'0') => spec.zero = true,
                Some(b'+') => spec.plus = true,
                Some(b'-') => spec.minus = true,
                Some(b' ') => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            match self.star() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            spec.width = self.digits();
            if after_index && spec.width.is_some() {
                self.good_index = false;
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.peek() == Some(b'*') {
                self.at += 1;
                match self.star() {
                    Some(precision) => spec.precision = usize::try_from(precision).ok(),
                    None => out.extend_from_slice(b"%!(BADPREC)"),
                }
                after_index = false;
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        if spec.minus {
            spec.zero = false;
        }
        let rest = String::from_utf8_lossy(&self.format[self.at..self.format.len().min(self.at + 4)]).into_owned();
        let Some(verb) = rest.chars().next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            return Ok(());
        };
        self.at = (self.at + if verb == '\u{FFFD}' { 1 } else { verb.len_utf8() }).min(self.format.len());
        spec.verb = verb;
        if verb == 'v' {
            spec.plus_v = std::mem::take(&mut spec.plus);
        }
        if verb == '%' {
            out.push(b'%');
            return Ok(());
        }
        if !self.good_index {
            out.extend_from_slice(format!("%!{verb}(BADINDEX)").as_bytes());
            return Ok(());
        }
        let Some(item) = self.items.get(self.item) else {
            out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes());
            return Ok(());
        };
        self.item += 1;
        match verb {
            'T' => {
                let name = item.type_name();
                spec.pad(out, name.as_bytes())
            }
            'p' => spec.bad(out, item),
            _ => spec.write(out, item, 0),
        }
    }
}
