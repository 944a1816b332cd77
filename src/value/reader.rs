//! Values read from a serde format, without a detour over another tree. What maps mean is for the caller to say, see
//! [`Maps`]; everything else is the same for all. Writes nothing, and knows no file or wire.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Value;

/// How maps are read.
pub trait Maps: Sized {
    /// Reads one; `reader` is for what is in it.
    ///
    /// # Errors
    /// The format's.
    fn map<'de, A: MapAccess<'de>>(entries: A, reader: Reader<Self>) -> Result<Value, A::Error>;
}

/// Reads a value, maps as `M` says.
pub struct Reader<M>(PhantomData<M>);

impl<M> Reader<M> {
    /// A reader.
    pub const fn new() -> Self {
        Reader(PhantomData)
    }
}

impl<M> Default for Reader<M> {
    fn default() -> Self {
        Reader::new()
    }
}

impl<M> Clone for Reader<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Reader<M> {}

impl<'de, M: Maps> DeserializeSeed<'de> for Reader<M> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Maps> Visitor<'de> for Reader<M> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "what no i64 holds is a float, as in a manifest")]
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        list.shrink_to_fit();
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        M::map(entries, self)
    }
}
