//! `${…}` inside a text: finds the references, the escapes and the mistakes.
//!
//! Syntax only: whether the thing exists is for `check`, what it is worth for the engine. A reference names
//! something and never computes anything.

use std::ops::Range;

use crate::address::ObjectKey;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Literal text, escapes undone.
    Text(String),
    /// `${a.b.c}`.
    Path {
        /// `["a", "b", "c"]`. For an object `["objects", "<address>", …]`.
        keys: Vec<String>,
        /// Where it stands in the text, from `$` to `}`.
        range: Range<usize>,
    },
}

/// A malformed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it stands in the text.
    pub range: Range<usize>,
    /// What is wrong, for the summary.
    pub what: String,
    /// What to write.
    pub hint: String,
}

/// Splits a text. Malformed references are left out of the pieces and returned beside them.
pub fn pieces(text: &str) -> (Vec<Piece>, Vec<Malformed>) {
    let (mut found, mut malformed) = (Vec::new(), Vec::new());
    let mut literal = String::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find("${") {
        let start = at + offset;
        if text[at..start].ends_with('$') {
            literal.push_str(&text[at..start - 1]);
            literal.push_str("${");
            at = start + 2;
            continue;
        }
        literal.push_str(&text[at..start]);
        let Some(end) = closing(text, start + 2) else {
            malformed.push(Malformed {
                range: start..text.len(),
                what: "`${` without a closing `}`".to_owned(),
                hint: "close the reference with `}`, or write `$${` for the two characters themselves".to_owned(),
            });
            return (found, malformed);
        };
        at = end + 1;
        match keys(text[start + 2..end].trim()) {
            Ok(keys) => {
                if !literal.is_empty() {
                    found.push(Piece::Text(std::mem::take(&mut literal)));
                }
                found.push(Piece::Path { keys, range: start..at });
            }
            Err((what, hint)) => malformed.push(Malformed { range: start..at, what, hint }),
        }
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        found.push(Piece::Text(literal));
    }
    (found, malformed)
}

/// The `}` that ends the reference whose inside starts at `from`; quoted keys may hold one.
fn closing(text: &str, from: usize) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match (quote, byte) {
            (None, b'}') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

type Refusal = (String, String);

fn refusal(what: impl Into<String>, hint: impl Into<String>) -> Refusal {
    (what.into(), hint.into())
}

/// The keys of a path, `a.b["c.d"].0`.
fn keys(path: &str) -> Result<Vec<String>, Refusal> {
    let (first, mut rest) = word(path);
    if first.is_empty() {
        return Err(refusal(
            if path.is_empty() { "an empty reference".to_owned() } else { format!("`{path}` is not a reference") },
            "refer to an input, a component's output or an object's field: `${inputs.project}`, `${cluster.endpoint}`",
        ));
    }
    let mut keys = vec![first.to_owned()];
    if first == "objects" {
        let (address, after) = object_address(rest)?;
        keys.push(address);
        rest = after;
    }
    while !rest.is_empty() {
        let (key, after) = if let Some(inside) = rest.strip_prefix('.') {
            let (key, after) = word(inside);
            (key, after)
        } else if let Some(inside) = rest.strip_prefix('[') {
            bracketed(inside)?
        } else {
            return Err(refusal(
                format!("`{path}` is more than a reference"),
                "a reference names one thing and computes nothing; quote keys with other characters: `data[\"ca.crt\"]`",
            ));
        };
        if key.is_empty() {
            return Err(refusal(format!("`{path}` has an empty part"), "write a name between the dots"));
        }
        keys.push(key.to_owned());
        rest = after;
    }
    Ok(keys)
}

/// A word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    text.split_at(end)
}

/// `"key"]…`, `'key']…` or `0]…`: the key and what follows the bracket.
fn bracketed(inside: &str) -> Result<(&str, &str), Refusal> {
    let unclosed = || refusal("`[` without a closing `]`", "write `[\"key\"]`");
    let Some(quote) = inside.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let (index, after) = inside.split_once(']').ok_or_else(unclosed)?;
        if index.is_empty() || !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refusal(format!("`[{index}]` is not a key"), "write a number or a quoted key: `[\"key\"]`"));
        }
        return Ok((index, after));
    };
    let (key, after) = inside[1..].split_once(quote).ok_or_else(unclosed)?;
    Ok((key, after.strip_prefix(']').ok_or_else(unclosed)?))
}

/// The address after `objects`: quoted in brackets, or plain where the object's name holds no dot.
fn object_address(rest: &str) -> Result<(String, &str), Refusal> {
    let example = "write `${objects.addons.istio/Service/istio-system/istiod.spec.clusterIP}`, or the address in \
                   brackets and quotes when the object's name has a dot";
    let (address, after) = if let Some(inside) = rest.strip_prefix('[') {
        bracketed(inside)?
    } else if let Some(inside) = rest.strip_prefix('.') {
        let bracket = inside.find('[').unwrap_or(inside.len());
        let slash = inside[..bracket].rfind('/').ok_or_else(|| refusal("an object's address has a `/`", example))?;
        let end = inside[slash..bracket].find('.').map_or(bracket, |dot| slash + dot);
        inside.split_at(end)
    } else {
        return Err(refusal("`objects` needs an object's address", example));
    };
    let known = address.split_once('/').is_some_and(|(component, key)| {
        let named = word(component.rsplit('.').next().unwrap_or_default());
        !component.is_empty() && named.1.is_empty() && ObjectKey::parse(key).is_some()
    });
    if known {
        Ok((address.to_owned(), after))
    } else {
        Err(refusal(format!("`{address}` is not the address of an object"), example))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        match pieces(text) {
            (mut found, malformed) if malformed.is_empty() && found.len() == 1 => match found.remove(0) {
                Piece::Path { keys, .. } => keys,
                Piece::Text(text) => panic!("{text}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_split_at_dots_and_brackets() {
        assert_eq!(path("${ cluster.endpoint }"), ["cluster", "endpoint"]);
        assert_eq!(path("${values.n-1.output.list.0}"), ["values", "n-1", "output", "list", "0"]);
        assert_eq!(path("${values.a.output['x}y'][3]}"), ["values", "a", "output", "x}y", "3"]);
    }

    #[test]
    fn objects_have_addresses_with_slashes() {
        assert_eq!(
            path("${objects.addons.istio/Deployment.apps/istio-system/istiod.status.replicas}"),
            ["objects", "addons.istio/Deployment.apps/istio-system/istiod", "status", "replicas"]
        );
        assert_eq!(
            path(r#"${objects["manifests.x/CustomResourceDefinition.apiextensions.k8s.io/a.b.c"].spec["x.y"]}"#),
            ["objects", "manifests.x/CustomResourceDefinition.apiextensions.k8s.io/a.b.c", "spec", "x.y"]
        );
        assert_eq!(path("${objects.gateway/Namespace/x.metadata.uid}")[1], "gateway/Namespace/x");
    }

    #[test]
    fn two_dollars_are_an_escape() {
        assert_eq!(pieces("a $${b} $c $"), (vec![Piece::Text("a ${b} $c $".into())], vec![]));
        assert_eq!(
            pieces("x${inputs.a}y"),
            (
                vec![
                    Piece::Text("x".into()),
                    Piece::Path { keys: vec!["inputs".into(), "a".into()], range: 1..12 },
                    Piece::Text("y".into())
                ],
                vec![]
            )
        );
    }

    #[test]
    fn malformed_references_are_all_named() {
        for text in [
            "${",
            "${}",
            "${ }",
            "${a.}",
            "${a..b}",
            "${a + b}",
            "${.a}",
            "${a[}",
            "${a[x]}",
            "${a['x}",
            "${upper(a)}",
            "${objects}",
            "${objects.a}",
            "${objects.a/b}",
            "${objects['x'].y}",
            "${a['']}",
            "${\"a\"}",
        ] {
            let (_, malformed) = pieces(text);
            assert_eq!(malformed.len(), 1, "{text}");
        }
        assert_eq!(pieces("${} and ${a b} and ${").1.len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_split_without_panic(text in "[$\\{\\}a-z.\\[\\]\"'/ é]{0,40}") {
            let _ = pieces(&text);
        }

        #[test]
        fn escaped_text_comes_back(text in "[${}a]{0,20}") {
            let (found, malformed) = pieces(&text.replace("${", "$${"));
            prop_assert!(malformed.is_empty());
            let back = found.into_iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Path { .. } => unreachable!("all escaped"),
            });
            prop_assert_eq!(back.collect::<String>(), text);
        }
    }
}
