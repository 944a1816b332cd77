//! `table!` and `choice!`: a table or word of the stack file declared once, for parser and schema alike.

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// The JSON Schema of a table that `table!` declares.
pub(crate) fn table_schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Doc comment lines as one description.
pub(crate) fn description(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A property's schema with its description.
pub(crate) fn described(mut schema: Schema, description: String) -> serde_json::Value {
    schema.insert("description".to_owned(), description.into());
    schema.to_value()
}

/// Declares a table of the stack file: the struct, how it is read, and its JSON Schema.
///
/// The doc comment of a key is its description in editors, and its first line's beginning explains a missing
/// key. `in "[cluster]"` is how messages call the table.
macro_rules! table {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident in $place:literal {
            $( $(#[doc = $note:literal])* pub $field:ident $(as $key:literal)? : $type:ty, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $note])* pub $field: $type, )*
            /// Where the table stands.
            pub span: $crate::diag::Span,
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                true $( && self.$field == other.$field )*
            }
        }

        impl $crate::stack::decode::Decode for $name {
            const REFERABLE: bool = false;
            const TABLE: bool = true;

            fn decode(
                tree: &$crate::stack::tree::Tree,
                decoder: &mut $crate::stack::decode::Decoder<'_>,
            ) -> Option<Self> {
                use $crate::stack::decode::Field;
                if tree.table().is_none() {
                    decoder.wrong_type(tree, "a table");
                    return None;
                }
                decoder.unknown_keys(tree, &[$( table!(@key $field $($key)?) ),*], $place);
                $(
                    let $field = {
                        let note = $crate::stack::decode::declare::description(&[$($note),*]);
                        let what = note.split(['.', ';', ':']).next().unwrap_or_default();
                        <$type as Field>::field(tree, table!(@key $field $($key)?), what, decoder)
                    };
                )*
                Some($name { $( $field: $field?, )* span: tree.span.clone() })
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::stack::decode::declare::table_schema::<Self>(generator)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::stack::decode::Field;
                use $crate::stack::decode::declare::{described, description};
                let (mut properties, mut required) = (serde_json::Map::new(), Vec::<&str>::new());
                $(
                    let schema = <$type as Field>::schema(generator);
                    let key = table!(@key $field $($key)?);
                    properties.insert(key.to_owned(), described(schema, description(&[$($note),*])));
                    if <$type as Field>::REQUIRED {
                        required.push(key);
                    }
                )*
                let mut schema = schemars::json_schema!({
                    "type": "object",
                    "description": description(&[$($doc),*]),
                    "properties": properties,
                    "additionalProperties": false,
                });
                if !required.is_empty() {
                    schema.insert("required".to_owned(), required.into());
                }
                schema
            }
        }
    };
}
pub(crate) use table;

/// Declares a value that is one of a few words.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident { $( $(#[doc = $note:literal])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $( $(#[doc = $note])* $variant, )* }

        impl $name {
            /// All words.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word as written in a stack file.
            pub fn word(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }

            /// The value that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some($name::$variant), )* _ => None }
            }
        }

        impl $crate::stack::decode::Decode for $name {
            fn decode(
                tree: &$crate::stack::tree::Tree,
                decoder: &mut $crate::stack::decode::Decoder<'_>,
            ) -> Option<Self> {
                let word = decoder.known_text(tree, "a string", Self::WORDS[0])?;
                let found = Self::from_word(&word);
                if found.is_none() {
                    decoder.mistake($crate::stack::decode::not_a_choice(tree, &word, Self::WORDS));
                }
                found
            }

            fn schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "anyOf": [
                    { "enum": Self::WORDS },
                    { "type": "string", "pattern": r"\$\{.+\}" },
                ] })
            }
        }
    };
}
pub(crate) use choice;
