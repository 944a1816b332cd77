//! Answers to what charts ask about the stack's cluster: render, ask, render again, until nothing new is asked.
//!
//! A cluster that is not there, or that the plan would make anew, holds nothing. Contents of Secrets never become part
//! of what is rendered: templates see values that only apply resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use crate::address::Address;
use crate::chart::{Answers, Question};
use crate::diag::{Diagnostic, Diagnostics};
use crate::engine::retry::{Delays, is_retryable};
use crate::ops::platforms::Platforms;
use crate::ops::preview::{Preview, Subject, preview};
use crate::plan::model::Action;
use crate::plan::planner::Options;
use crate::platform::Sought;
use crate::resource::model::Desired;
use crate::state::model::State;
use crate::value::{Encoding, Map, Template, Value};

/// A chart that still asks something new after this many answers never ends.
const ROUNDS: usize = 10;

/// A question is asked so often.
const TRIES: usize = 5;

/// Where questions are asked.
pub enum Place {
    /// There is no cluster that anything could be in.
    Nowhere,
    /// The cluster that these outputs describe, or that of a kubeconfig.
    Cluster(Option<Value>),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Every question, and whether what it is about was there.
    pub questions: BTreeMap<String, bool>,
    /// Contents of Secrets, by the name that deferred values have for them.
    pub secrets: BTreeMap<String, String>,
}

/// The cluster that a stack's objects are in. `alone` is the part of the stack that makes it; empty where a kubeconfig
/// leads to it.
///
/// # Errors
/// When it cannot be found out whether it is there.
pub async fn place(
    platforms: &Platforms,
    alone: &Desired,
    state: &State,
    options: &Options,
    ttl: Option<Duration>,
) -> Result<Place, Diagnostics> {
    let Some(cluster) = alone.resources.iter().find(|resource| resource.kind != "value") else {
        return Ok(Place::Cluster(None));
    };
    let own = |address: &Address| alone.resources.iter().any(|resource| resource.address == *address);
    let mut known = state.clone();
    known.resources.retain(|_, recorded| own(&recorded.address));
    let options = Options { replace: options.replace.clone(), ..Options::default() };
    let subject = Subject { ttl, may_be_blind: true, ..Subject::bare(alone, &known, &options) };
    let Preview { plan, observed, .. } = preview(platforms, subject).await?;
    let stays = plan
        .change(&cluster.address)
        .is_some_and(|change| matches!(change.action, Action::NoOp | Action::Update | Action::Adopt) && !change.resume);
    let found = observed.get(&cluster.address.identity()).filter(|_| stays);
    let kind = platforms.kinds.get(cluster.kind);
    Ok(match found.zip(kind) {
        Some((observed, kind)) => Place::Cluster(Some(kind.outputs(observed))),
        None => Place::Nowhere,
    })
}

/// What `render` comes to once it has all the answers that it asks for, and these.
///
/// # Errors
/// Its own in the end; what cannot be read; a question after every answer.
pub async fn settle<T>(
    platforms: &Platforms,
    place: &Place,
    render: &dyn Fn(&Answers) -> Result<T, Diagnostics>,
) -> Result<(T, Found), Diagnostics> {
    let mut known = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    let mut open = BTreeSet::new();
    for _ in 0..ROUNDS {
        let answers = Answers::new(known.clone());
        let rendered = render(&answers);
        open = answers.open();
        if open.is_empty() {
            let asked = answers.asked().into_iter();
            let there = |question: &Question| known.get(question).is_some_and(|answer| *answer != Value::Null);
            let questions = asked.map(|question| (question.to_string(), there(&question))).collect();
            return rendered.map(|rendered| (rendered, Found { questions, secrets }));
        }
        for question in &open {
            let answer = match place {
                Place::Nowhere => Value::Null,
                Place::Cluster(connection) => match look(platforms, connection.as_ref(), question).await? {
                    None => Value::Null,
                    Some(object) => concealed(&object, &mut secrets),
                },
            };
            known.insert(question.clone(), answer);
        }
    }
    let last = open.iter().map(ToString::to_string).collect::<Vec<_>>();
    Err(Diagnostic::error("the charts ask the cluster something new after every answer")
        .detail(format!("After {ROUNDS} rounds they still want to know: {}.", last.join(", ")))
        .hint("a chart must come to an end: look at how it uses `lookup`")
        .into())
}

async fn look(
    platforms: &Platforms,
    connection: Option<&Value>,
    question: &Question,
) -> Result<Option<Json>, Diagnostics> {
    let Question { api_version, kind, namespace, name } = question;
    let sought = Sought { api_version, kind, namespace, name };
    let mut delays = Delays::new();
    for attempt in 1.. {
        let error = match platforms.objects.look(connection, &sought).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        if attempt >= TRIES || !is_retryable(error.class) {
            let hint =
                "a chart asks for it with `lookup`: let whoever plans read it, or set values that need no answer";
            let diagnostic = Diagnostic::error(format!("cannot look up {question}")).detail(error.message);
            return Err(diagnostic.hint(error.hint.unwrap_or_else(|| hint.to_owned())).into());
        }
        platforms.clock.sleep(delays.next(&error)).await;
    }
    Ok(None)
}

/// An object or a list as templates may see it: what a Secret holds is deferred, under a name by which `secrets` has
/// it.
fn concealed(object: &Json, secrets: &mut BTreeMap<String, String>) -> Value {
    let mut object = object.clone();
    if let Some(items) = object.get_mut("items").map(Json::take) {
        let items = items.as_array().into_iter().flatten().map(|item| concealed(item, secrets)).collect();
        let Value::Map(mut map) = plain(&object) else { return Value::Null };
        map.insert("items".to_owned(), Value::List(items));
        return Value::Map(map);
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut) {
        metadata.remove("managedFields");
    }
    if (object["apiVersion"].as_str(), object["kind"].as_str()) != (Some("v1"), Some("Secret")) {
        return plain(&object);
    }
    // kubectl keeps the whole object in an annotation.
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Json::as_object_mut) {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let text = |pointer| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    let owner = format!("Secret {}/{}", text("/metadata/namespace"), text("/metadata/name"));
    let data = object.get_mut("data").map(Json::take);
    let mut held = Map::new();
    for (key, value) in data.as_ref().and_then(Json::as_object).into_iter().flatten() {
        let encoded = value.as_str().unwrap_or_default();
        if encoded.is_empty() {
            held.insert(key.clone(), "".into());
            continue;
        }
        let name = format!("{owner} {key}");
        let decoded = BASE64.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let mut template = Template::secret(&name);
        // What is text can be had without its base64, too.
        if decoded.is_some() {
            template.encoding = Encoding::Base64;
        }
        secrets.insert(name, decoded.unwrap_or_else(|| encoded.to_owned()));
        held.insert(key.clone(), template.into());
    }
    let Value::Map(mut map) = plain(&object) else { return Value::Null };
    if data.is_some() {
        map.insert("data".to_owned(), Value::Map(held));
    }
    Value::Map(map)
}

/// JSON as it is: what looks like a deferred value in it was written by somebody else.
fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(plain).collect()),
        Json::Object(map) => Value::Map(map.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_secret_holds_is_named_and_not_shown() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": "app", "name": "login", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"stringData\":{\"word\":\"hunter2\"}}", "a": "b"}},
            "data": {"word": "aHVudGVyMg==", "key": "//4=", "none": ""},
        });
        let mut secrets = BTreeMap::new();
        let shown = concealed(&secret, &mut secrets);
        let text = shown.to_json().to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg") && !text.contains("//4="), "{text}");
        assert_eq!(shown.at(&["metadata", "annotations", "a"]), Some(&Value::from("b")));
        assert_eq!(secrets["Secret app/login word"], "hunter2");
        assert_eq!(secrets["Secret app/login key"], "//4=");
        assert_eq!(shown.at(&["data", "none"]), Some(&Value::from("")));
        let list = concealed(&json!({"kind": "SecretList", "items": [secret]}), &mut secrets).to_json().to_string();
        assert!(!list.contains("aHVudGVyMg"), "{list}");
    }

    #[test]
    fn nobody_smuggles_references_into_a_plan() {
        let map = json!({"kind": "ConfigMap", "data": {"$deferred": {"parts": [{"secret": "hf_token"}]}}});
        assert!(concealed(&map, &mut BTreeMap::new()).is_known());
    }
}
