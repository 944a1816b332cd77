//! Values that state, plan and requests share, written and read as the values that they are: for
//! `#[serde(with = "…")]`. Sharing is not kept in writing; a value that is read has one owner.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Value;

/// Writes the value.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(value: &Arc<Value>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// Reads a value.
///
/// # Errors
/// The deserializer's.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Value>, D::Error> {
    Value::deserialize(deserializer).map(Arc::new)
}

/// The same for what may be absent.
pub mod option {
    use super::{Arc, Deserialize, Deserializer, Serialize, Serializer, Value};

    /// Writes the value, or none.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &Option<Arc<Value>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    /// Reads a value, or none.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Value>>, D::Error> {
        Option::<Value>::deserialize(deserializer).map(|value| value.map(Arc::new))
    }
}
