//! values.schema.json: refuses values that a chart's own schema refuses. Nothing is fetched for it. Not for the
//! schemas of objects.

use jsonschema::{Retrieve, Uri};

use super::dependencies::Node;
use super::error::{Cause, ChartError};
use super::values::child;
use crate::template::{Data, Map, Tokens};

/// Mistakes shown of one chart.
const SHOWN: usize = 20;

/// Checks the values of a chart and of all charts inside.
pub(super) fn check(node: &Node, values: &Map, tokens: &Tokens) -> Result<(), ChartError> {
    if let Some(text) = &node.chart.schema {
        let refuse = |message: String| {
            ChartError::new(Cause::Schema, &node.name, message).file(format!("{}/values.schema.json", node.name))
        };
        let schema = serde_json::from_slice::<serde_json::Value>(text)
            .map_err(|error| refuse(format!("the schema is not JSON: {error}")))?;
        let validator = jsonschema::options().with_retriever(Nothing).build(&schema).map_err(|error| {
            refuse(format!("the schema cannot be used: {error}"))
                .hint("nothing is fetched for a schema; use a version of the chart that holds what its schema needs")
        })?;
        let subject =
            json(&Data::Map(values.clone()), 0).ok_or_else(|| refuse("the values are nested too deeply".to_owned()))?;
        // What is known only later fits any schema.
        let later = |text: Option<&str>| text.is_some_and(|text| tokens.source(text.as_bytes()).is_some());
        let mistakes = validator.iter_errors(&subject).filter(|error| !later(error.instance().as_str()));
        let mut mistakes = mistakes.map(|error| {
            let path = error.instance_path().to_string();
            let path = if path.is_empty() { "(the whole)" } else { path.trim_start_matches('/') };
            // Whatever was given for a value may be a password.
            format!("- {path}: {}", error.masked_with("what was given"))
        });
        let shown = mistakes.by_ref().take(SHOWN).collect::<Vec<_>>();
        if !shown.is_empty() {
            let more = mistakes.count();
            let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
            return Err(refuse("the values do not fit the chart's schema".to_owned())
                .detail(format!("{}{more}", shown.join("\n")))
                .hint("change these values; `stackwright chart show values` prints the chart's defaults"));
        }
    }
    for inner in &node.dependencies {
        match values.get(inner.name.as_bytes()) {
            None | Some(Data::Nil) => {}
            Some(Data::Map(_)) => {
                if let Some(values) = child(values, &inner.name) {
                    check(inner, &values, tokens)?;
                }
            }
            Some(_) => {
                let message = format!("the value {} must be a map, because it holds a dependency's values", inner.name);
                return Err(ChartError::new(Cause::Schema, &node.name, message));
            }
        }
    }
    Ok(())
}

/// Fetches nothing. A name without a place stands for a schema that allows everything, as in Helm.
struct Nothing;

impl Retrieve for Nothing {
    fn retrieve(&self, uri: &Uri<String>) -> Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>> {
        if uri.scheme().as_str() == "urn" {
            return Ok(serde_json::Value::Bool(true));
        }
        Err(format!("it refers to {uri}, which is not fetched").into())
    }
}

/// The values as JSON; whole floats are integers, as JSON has but one kind of number.
fn json(data: &Data, depth: usize) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    if depth > crate::template::MAX_NESTING {
        return None;
    }
    Some(match data {
        Data::Missing | Data::Nil => Json::Null,
        Data::Bool(truth) => Json::Bool(*truth),
        Data::Int(_, number) => Json::from(*number),
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => Json::from(*number as i64),
        Data::Float(number) => Json::from(*number),
        Data::Text(text) | Data::Bytes(text) => Json::from(text.str()),
        Data::List(list) => Json::Array(list.items().iter().map(|i| json(i, depth + 1)).collect::<Option<_>>()?),
        Data::Map(map) => Json::Object(
            map.entries()
                .iter()
                .map(|(k, v)| Some((k.str().into_owned(), json(v, depth + 1)?)))
                .collect::<Option<_>>()?,
        ),
        Data::Time(_) | Data::Object(_) => Json::Null,
    })
}
