//! Functions on slash-separated paths and on URLs.

use super::{Call, Function, T, to_text};
use crate::template::data::{Data, Map};
use crate::template::fault::{Fault, Outcome};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base", &[T::Text], |c| Ok(Data::Text(base(c.bytes(0)).into()))),
    Function::new("dir", &[T::Text], |c| Ok(Data::Text(dir(c.bytes(0)).into()))),
    Function::new("clean", &[T::Text], |c| Ok(Data::Text(clean(c.bytes(0)).into()))),
    Function::new("ext", &[T::Text], |c| Ok(Data::Text(ext(c.bytes(0)).into()))),
    Function::new("isAbs", &[T::Text], |c| Ok(Data::Bool(c.bytes(0).starts_with(b"/")))),
    Function::new("osBase", &[T::Text], |c| Ok(Data::Text(base(c.bytes(0)).into()))),
    Function::new("osDir", &[T::Text], |c| Ok(Data::Text(dir(c.bytes(0)).into()))),
    Function::new("osClean", &[T::Text], |c| Ok(Data::Text(clean(c.bytes(0)).into()))),
    Function::new("osExt", &[T::Text], |c| Ok(Data::Text(ext(c.bytes(0)).into()))),
    Function::new("osIsAbs", &[T::Text], |c| Ok(Data::Bool(c.bytes(0).starts_with(b"/")))),
    Function::new("urlParse", &[T::Text], url_parse),
    Function::new("urlJoin", &[T::Map], url_join),
];

/// The shortest path of the same meaning.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut parts = Vec::<&[u8]>::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|p| *p != b"..") => {
                parts.pop();
            }
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, parts.is_empty()) {
        (true, _) => [b"/", &joined[..]].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// What follows the last slash.
fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

fn base(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    match &path[..end] {
        b"" if path.is_empty() => b".",
        b"" => b"/",
        path => last(path),
    }
}

fn dir(path: &[u8]) -> Vec<u8> {
    clean(&path[..path.len() - last(path).len()])
}

fn ext(path: &[u8]) -> &[u8] {
    let last = last(path);
    last.iter().rposition(|b| *b == b'.').map_or(b"", |at| &last[at..])
}

fn percent(bytes: &[u8], keep: &[u8], plus: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' if plus => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(b) || keep.contains(b) => out.push(*b as char),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// Text as part of a URL's query.
pub(super) fn query_escape(bytes: &[u8]) -> String {
    percent(bytes, b"", true)
}

fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| (b? as char).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn url_parse(c: &Call<'_, '_>) -> Outcome {
    let text = c.text(0);
    let fail = |why: &str| {
        Fault::new(format!("unable to parse url: parse {}: {why}", crate::template::print::quoted(text.as_bytes())))
    };
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err(fail("net/url: invalid control character in URL"));
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((&text, ""));
    let (scheme, rest) = match rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)) {
        Some(0) if rest.starts_with(':') => return Err(fail("missing protocol scheme")),
        Some(at) if rest[at..].starts_with(':') && rest.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            (rest[..at].to_ascii_lowercase(), &rest[at + 1..])
        }
        _ => (String::new(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut host, mut path, mut opaque, mut user) = ("", rest, "", String::new());
    if let Some(after) = rest.strip_prefix("//").filter(|_| !rest.starts_with("///")) {
        let (authority, tail) = after.split_at(after.find('/').unwrap_or(after.len()));
        path = tail;
        host = authority;
        if let Some((info, name)) = authority.rsplit_once('@') {
            info.clone_into(&mut user);
            host = name;
        }
        if let Some(bad) = host.chars().find(|c| " <>\"\\^`{|}".contains(*c)) {
            return Err(fail(&format!(
                "invalid character {} in host name",
                crate::template::print::quoted(bad.to_string().as_bytes())
            )));
        }
        let port = host.rsplit(']').next().unwrap_or("").split_once(':').map_or("", |(_, port)| port);
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            let port = crate::template::print::quoted(format!(":{port}").as_bytes());
            return Err(fail(&format!("invalid port {port} after host")));
        }
    } else if let Some(after) = rest.strip_prefix("//") {
        path = after;
    } else if !scheme.is_empty() && !rest.starts_with('/') {
        (path, opaque) = ("", rest);
    } else if scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(fail("first path segment in URL cannot contain colon"));
    }
    let path = unescape(path).ok_or_else(|| fail("invalid URL escape"))?;
    let fragment = unescape(fragment).ok_or_else(|| fail("invalid URL escape"))?;
    let host_name = match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    Ok(Data::map([
        ("scheme", Data::from(scheme)),
        ("host", Data::from(host)),
        ("hostname", Data::from(host_name)),
        ("path", Data::from(path)),
        ("query", Data::from(query)),
        ("opaque", Data::from(opaque)),
        ("fragment", Data::from(fragment)),
        ("userinfo", Data::from(user)),
    ]))
}

fn url_join(c: &Call<'_, '_>) -> Outcome {
    let empty = Map::new(std::collections::BTreeMap::new());
    let map = c.map(0).unwrap_or(&empty);
    let part = |name: &str| match map.get(name.as_bytes()) {
        None | Some(Data::Nil) => Ok(String::new()),
        Some(Data::Text(text)) => Ok(text.str().into_owned()),
        Some(other) => Err(Fault::new(format!(
            "unable to parse {name} key, must be of type string, but {} found",
            to_text(&Data::from(other.type_name().as_ref()))?.str()
        ))),
    };
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, fragment) = (part("query")?, part("fragment")?);
    let (opaque, user) = (part("opaque")?, part("userinfo")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&format!("{scheme}:"));
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !user.is_empty() {
            if !host.is_empty() || !path.is_empty() || !user.is_empty() {
                out.push_str("//");
            }
            if !user.is_empty() {
                out.push_str(&format!("{user}@"));
            }
            out.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&percent(path.as_bytes(), b"$&+,/:;=@!'()*", false));
    } else {
        out.push_str(&opaque);
    }
    if !query.is_empty() {
        out.push_str(&format!("?{query}"));
    }
    if !fragment.is_empty() {
        out.push_str(&format!("#{}", percent(fragment.as_bytes(), b"$&+,/:;=?@!()*", false)));
    }
    Ok(Data::from(out))
}
