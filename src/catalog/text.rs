//! Texts that are partly known only later: joined, encoded, taken apart.

use sha2::Digest as _;

use crate::value::{Encoding, Part, Template, Value};

/// One text of several values, each a text, a number, a boolean or deferred.
pub(super) fn join(values: Vec<Value>) -> Value {
    let mut parts: Vec<Part> = Vec::new();
    let mut sensitive = false;
    for value in values {
        match value {
            Value::Deferred(template) if template.encoding == Encoding::Plain => {
                sensitive |= template.sensitive;
                parts.extend(template.parts);
            }
            other => parts.push(Part::Text(other.scalar_text().unwrap_or_default())),
        }
    }
    simplified(Template { parts, encoding: Encoding::Plain, sensitive })
}

/// The value of a template: its text, when every part of it is text; neighbouring texts become one.
pub(super) fn simplified(mut template: Template) -> Value {
    template.parts = template.parts.into_iter().fold(Vec::new(), |mut parts, part| {
        match (parts.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => parts.push(part),
        }
        parts
    });
    match &template.parts[..] {
        [] => Value::from(""),
        [Part::Text(text)] => match template.encoding {
            Encoding::Plain => Value::from(text.as_str()),
            Encoding::Base64 => Value::String(encode(text)),
        },
        _ => template.into(),
    }
}

/// The value as `Secret.data` wants it.
pub(super) fn base64(value: &Value) -> Value {
    match value {
        Value::Deferred(template) => Template { encoding: Encoding::Base64, ..(**template).clone() }.into(),
        known => Value::String(encode(&known.scalar_text().unwrap_or_default())),
    }
}

/// The SHA-256 of a text, in hexadecimal digits.
pub(super) fn sha256_hex(text: &str) -> String {
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_join_as_far_as_they_are_known() {
        assert_eq!(join(vec!["https://".into(), "a".into(), Value::Int(1)]), Value::from("https://a1"));
        let address = Template::reference("gateway".into(), vec!["address".into()]);
        let Value::Deferred(url) = join(vec!["https://".into(), address.into(), "/x".into(), "/y".into()]) else {
            panic!("deferred");
        };
        assert_eq!(url.parts.len(), 3);
        assert_eq!(url.parts[2], Part::Text("/x/y".into()));
    }

    #[test]
    fn secrets_are_encoded_when_they_are_known() {
        assert_eq!(base64(&"abc".into()), Value::from("YWJj"));
        let Value::Deferred(secret) = base64(&Template::secret("t").into()) else { panic!("deferred") };
        assert_eq!((secret.encoding, secret.is_sensitive()), (Encoding::Base64, true));
    }
}
