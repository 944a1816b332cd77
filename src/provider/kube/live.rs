//! Lists of objects, read from the wire into values without a detour.
//!
//! A list of thousands of objects is the largest thing that a run reads. What nobody asked about is dropped as it
//! is read, and field ownership, half of each object and rarely looked at, stays the text that it was. Nothing is
//! taken for a reference: whoever wrote an object cannot make this program resolve anything. Sends nothing.

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess};
use serde_json::value::RawValue;

use crate::value::reader::{Maps, Reader};
use crate::value::{Map, Value};

/// A page of a list (`metav1.List`).
#[derive(Debug, serde::Deserialize)]
pub struct Page {
    /// Where the next page begins.
    #[serde(default)]
    pub metadata: PageMetadata,
    /// The objects, without `apiVersion` and `kind`.
    #[serde(default)]
    pub items: Option<Vec<Live>>,
}

/// `metav1.ListMeta`, as far as it is needed.
#[derive(Debug, Default, serde::Deserialize)]
pub struct PageMetadata {
    /// The token of the next page; empty on the last.
    #[serde(default, rename = "continue")]
    pub next: String,
}

/// An object as it is on the server; `fieldsV1` of its managed fields is text.
#[derive(Debug, PartialEq)]
pub struct Live(pub Value);

impl<'de> Deserialize<'de> for Live {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader::<Wire>::new()).map(Live)
    }
}

/// Maps as the server writes them.
struct Wire;

impl Maps for Wire {
    fn map<'de, A: MapAccess<'de>>(mut entries: A, reader: Reader<Self>) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = match key.as_str() {
                "fieldsV1" => {
                    let text = entries.next_value::<&RawValue>().map_err(A::Error::custom)?;
                    Value::String(text.get().to_owned())
                }
                _ => entries.next_value_seed(reader)?,
            };
            map.insert(key, value);
        }
        map.shrink_to_fit();
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_it_is() {
        let text = r#"{"kind":"ConfigMapList","metadata":{"continue":"x","resourceVersion":"7"},"items":[
            {"metadata":{"name":"a","managedFields":[{"fieldsV1":{"f:data":{"f:b":{}}}}]},
             "data":{"$deferred":"${inputs.secret}","n":1,"f":1.5,"e":null,"l":[true]}}]}"#;
        let page = serde_json::from_str::<Page>(text).expect("a page");
        assert_eq!(page.metadata.next, "x");
        let Live(object) = &page.items.as_deref().expect("items")[0];
        let fields = object.at(&["metadata", "managedFields"]).and_then(Value::as_list).expect("fields");
        assert_eq!(fields[0].get("fieldsV1").and_then(Value::as_str), Some(r#"{"f:data":{"f:b":{}}}"#));
        let data = object.get("data").expect("data");
        assert_eq!(data.get("$deferred"), Some(&"${inputs.secret}".into()));
        assert_eq!((data.get("n"), data.get("f")), (Some(&Value::Int(1)), Some(&Value::Float(1.5))));
        // The server writes a list without items so.
        assert!(serde_json::from_str::<Page>(r#"{"items":null}"#).expect("a page").items.is_none());
    }
}
