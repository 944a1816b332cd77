//! The closed lists of words that fields of built-in types take; the published OpenAPI has none of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

type Fields = BTreeMap<&'static str, Vec<&'static str>>;

static CHOICES: LazyLock<BTreeMap<&'static str, Fields>> = LazyLock::new(|| {
    let mut types: BTreeMap<&str, Fields> = BTreeMap::new();
    for line in include_str!("choices.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        if let Some((name, field)) = words.next().and_then(|path| path.rsplit_once('.')) {
            types.entry(name).or_default().insert(field, words.collect());
        }
    }
    types
});

/// The fields of a type that take one of a few words (or lists of them), with these words.
pub fn choices(type_name: &str) -> Option<&'static BTreeMap<&'static str, Vec<&'static str>>> {
    CHOICES.get(type_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::{Type, builtin};

    #[test]
    fn every_choice_is_of_a_text_field_that_exists() {
        assert!(CHOICES.len() > 40);
        for (name, fields) in &*CHOICES {
            let schema = builtin::named(name).unwrap_or_else(|| panic!("{name}")).schema();
            for (field, words) in fields {
                let property = schema.property(field).unwrap_or_else(|| panic!("{name}.{field}"));
                let kind = property.schema.items.as_deref().unwrap_or(&property.schema).kind;
                assert_eq!(kind, Type::String, "{name}.{field}");
                assert!(words.len() > 1, "{name}.{field}");
            }
        }
    }
}
