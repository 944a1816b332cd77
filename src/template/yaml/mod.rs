//! YAML the way Helm reads and writes it: the 1.1 rules for scalars, JSON's data model, sorted keys.

mod block;
mod read;
mod scalar;
mod write;

pub(super) use read::read_data;
pub use read::{ReadError, documents, head, read};
pub use write::text;
pub(super) use write::{write, write_indented};

use super::data::{Data, IntKind};
use crate::value::Value;

/// A value as `toYaml` writes it, whole numbers as such, without the last newline; `None` when it nests too
/// deeply. What is deferred is written as its sources in angle brackets.
pub fn document(value: &Value) -> Option<String> {
    write(&data(value)).ok()
}

fn data(value: &Value) -> Data {
    match value {
        Value::Null => Data::Nil,
        Value::Bool(truth) => Data::Bool(*truth),
        Value::Int(number) => Data::Int(IntKind::Int64, *number),
        Value::Float(number) => Data::Float(*number),
        Value::String(text) => Data::from(text.as_str()),
        Value::List(items) => Data::list(items.iter().map(data).collect()),
        Value::Map(map) => Data::map(map.iter().map(|(key, value)| (key.as_str(), data(value)))),
        Value::Deferred(template) => Data::from(format!("<{}>", template.source())),
    }
}
