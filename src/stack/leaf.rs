//! The leaves of a stack file: ranged numbers, durations, names with rules, texts that may be known later.
//!
//! Each says how it is read and its JSON Schema. Tables are in `model`.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::diag::Diagnostic;
use crate::openapi::quantity;
use crate::stack::decode::{Decode, Decoder, Entry, Words, quoted};
use crate::stack::model::InputType;
use crate::stack::names;
use crate::stack::tree::{Node, Tree};
use crate::value::{Map, Value};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const MIN: i64, const MAX: i64>(i64);

impl<const MIN: i64, const MAX: i64> Whole<MIN, MAX> {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<const MIN: i64, const MAX: i64> Decode for Whole<MIN, MAX> {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        match tree.node {
            Node::Int(number) if (MIN..=MAX).contains(&number) => Some(Whole(number)),
            Node::Int(number) => {
                let label = format!("from {MIN} to {MAX}");
                decoder.mistake(Diagnostic::error(format!("{number} is out of range")).at(tree.span.clone(), label));
                None
            }
            _ => {
                decoder.pending(tree, &[InputType::Number], "a whole number")?;
                Some(Whole(MIN))
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl Decode for bool {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        match tree.node {
            Node::Bool(truth) => Some(truth),
            _ => {
                decoder.pending(tree, &[InputType::Bool], "a boolean")?;
                Some(false)
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

fn number(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Option<f64>> {
    match tree.node {
        // Money and fractions are far below 2^53.
        #[expect(clippy::cast_precision_loss, reason = "a stack's numbers are small")]
        Node::Int(number) => Some(Some(number as f64)),
        Node::Float(number) => Some(Some(number)),
        _ => {
            decoder.pending(tree, &[InputType::Number], "a number")?;
            Some(None)
        }
    }
}

/// A share above 0 and up to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Decode for Fraction {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        match number(tree, decoder)? {
            Some(number) if number > 0.0 && number <= 1.0 => Some(Fraction(number)),
            Some(number) => {
                let summary = format!("{number} is out of range");
                decoder.mistake(Diagnostic::error(summary).at(tree.span.clone(), "above 0 and at most 1"));
                None
            }
            None => Some(Fraction(1.0)),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 })
    }
}

/// An amount of US dollars.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Dollars(f64);

impl Dollars {
    /// The amount.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Decode for Dollars {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        match number(tree, decoder)? {
            Some(number) if number >= 0.0 => Some(Dollars(number)),
            Some(number) => {
                let summary = format!("{number} is out of range");
                decoder.mistake(Diagnostic::error(summary).at(tree.span.clone(), "an amount of US dollars"));
                None
            }
            None => Some(Dollars(0.0)),
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
}

/// Reads `90s`, `30m`, `1h30m`, `2d`. `None` for anything else, for nothing, and beyond a century.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut seconds = 0u64;
    let mut rest = text;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let count = rest[..end].parse::<u64>().ok()?;
        let unit = match rest.as_bytes()[end] {
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        seconds = seconds.checked_add(count.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    (1..=36_525 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

impl Decode for Duration {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        let text = decoder.known_text(tree, "a duration such as \"30m\"", "1s")?;
        let found = parse_duration(&text);
        if found.is_none() {
            decoder.mistake(
                Diagnostic::error(format!("{} is not a duration", quoted(&text)))
                    .at(tree.span.clone(), "not a duration")
                    .hint("write days, hours, minutes and seconds in this order: 2d, 8h, 1h30m, 90s"),
            );
        }
        found
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^(?=.)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$|\$\{.+\}" })
    }
}

impl Decode for String {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.known_text(tree, "a string", "")
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Declares a text that a rule of [`names`] admits.
macro_rules! ruled {
    ($( $(#[doc = $doc:literal])* $name:ident: $what:literal, $rule:path, $stand_in:literal; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Decode for $name {
            fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
                let text = decoder.known_text(tree, "a string", $stand_in)?;
                match $rule(&text) {
                    Ok(()) => Some($name(text)),
                    Err(why) => {
                        let summary = format!("{} is not {}", quoted(&text), $what);
                        decoder.mistake(Diagnostic::error(summary).at(tree.span.clone(), why));
                        None
                    }
                }
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )* };
}

ruled! {
    /// The name of a cluster or node pool: at most 40 characters.
    GkeName: "a name that GKE accepts", names::gke, "a";
    /// The name of a stack, a namespace or a Service: at most 63 characters.
    LabelName: "a valid name", names::label, "a";
    /// A Google Cloud project id.
    ProjectId: "a project id", names::project, "project";
    /// A region or zone.
    Location: "a location", names::location, "europe-west4-a";
    /// Where a model is fetched from.
    ModelUri: "the address of a model", names::model, "hf://a/b";
    /// Where a chart is fetched from.
    ChartSource: "the source of a chart", names::chart_source, ".";
    /// Where state lives.
    BackendUrl: "a place for state", names::backend, ".";
    /// A digest, `sha256:…`.
    Digest: "a digest", names::digest, "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    /// An address on the web.
    Url: "an address", names::url, "https://a";
    /// A TPU topology, `4x4`.
    Topology: "a topology", names::topology, "1x1";
    /// A host name, `*.example.com` included.
    HostName: "a host name", names::hostname, "a.a";
    /// The name of an environment variable.
    VariableName: "a variable's name", names::variable, "A";
    /// The key of a Kubernetes label or taint.
    LabelKey: "the key of a label", names::kubernetes_label_key, "a";
    /// The address of a component or object.
    AddressText: "an address", names::address, "cluster";
    /// A block of addresses, `203.0.113.0/24`.
    Block: "a block of addresses", names::block, "0.0.0.0/0";
    /// A time of day in UTC, `03:00`.
    TimeOfDay: "a time of day", names::time_of_day, "00:00";
    /// A day and a time, `2026-01-03T22:00:00Z`.
    Moment: "a moment", names::moment, "2026-01-01T00:00:00Z";
    /// How often something comes again, in the words of RFC 5545.
    Recurrence: "a recurrence", names::recurrence, "FREQ=DAILY";
    /// Any text but an empty one.
    NonEmpty: "a text", names::some_text, "a";
}

impl Location {
    /// Whether it is a zone, not a region.
    pub fn is_zone(&self) -> bool {
        names::is_zone(&self.0)
    }
}

impl Topology {
    /// The chips in it.
    pub fn chips(&self) -> u64 {
        self.0.split('x').filter_map(|side| side.parse::<u64>().ok()).product()
    }
}

/// A text that may hold references to things known later, and secrets. Numbers and booleans become text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text(pub Value);

impl Decode for Text {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        Some(Text(match &tree.node {
            Node::Int(number) => Value::String(number.to_string()),
            Node::Float(number) => Value::String(number.to_string()),
            Node::Bool(truth) => Value::String(truth.to_string()),
            Node::String(_) | Node::Pieces(_) => match decoder.text(tree)? {
                Words::Known(text) => Value::String(text),
                Words::Deferred(template) => template.into(),
                Words::Pending(_) => {
                    decoder.pending(tree, &[InputType::String, InputType::Number, InputType::Bool], "a text")?;
                    Value::String(String::new())
                }
            },
            _ => {
                decoder.wrong_type(tree, "a string");
                return None;
            }
        }))
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A variable's value in `env`.
impl Entry for Text {
    fn check_key(key: &str) -> Result<(), String> {
        names::variable(key)
    }
}

/// Declares a text under a key with a rule, value with a rule.
macro_rules! labels {
    ($( $(#[doc = $doc:literal])* $name:ident: $key:path, $value:path; )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Decode for $name {
            fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
                let text = decoder.known_text(tree, "a string", "")?;
                match $value(&text) {
                    Ok(()) => Some($name(text)),
                    Err(why) => {
                        let summary = format!("{} is not the value of a label", quoted(&text));
                        decoder.mistake(Diagnostic::error(summary).at(tree.span.clone(), why));
                        None
                    }
                }
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }

        impl Entry for $name {
            fn check_key(key: &str) -> Result<(), String> {
                $key(key)
            }
        }
    )* };
}

labels! {
    /// The value of a Google Cloud label.
    GoogleLabel: names::google_label_key, names::google_label_value;
    /// The value of a Kubernetes label.
    KubernetesLabel: names::kubernetes_label_key, names::kubernetes_label_value;
}

/// A quantity of a Kubernetes resource: `"16Gi"`, `"500m"`, `4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity(pub String);

impl Decode for Quantity {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        if let Node::Int(number) = tree.node
            && number >= 0
        {
            return Some(Quantity(number.to_string()));
        }
        let text = decoder.known_text(tree, "a quantity such as \"16Gi\"", "0")?;
        // Neither a sign nor what is too large to hold means anything in a stack.
        if text.starts_with(|c: char| c.is_ascii_digit()) && quantity::Quantity::parse(&text).is_some() {
            return Some(Quantity(text));
        }
        decoder.mistake(
            Diagnostic::error(format!("{} is not a quantity", quoted(&text)))
                .at(tree.span.clone(), "not a quantity")
                .hint("write a number with a unit of Kubernetes: 500m, 4, 16Gi"),
        );
        None
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

impl Entry for Quantity {
    fn check_key(key: &str) -> Result<(), String> {
        names::kubernetes_label_key(key)
    }
}

/// `[min, max]`: the bounds within which a pool is scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autoscale {
    /// Never fewer nodes.
    pub min: i64,
    /// Never more.
    pub max: i64,
}

impl Decode for Autoscale {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        let bounds = Vec::<Whole<0, 1000>>::decode(tree, decoder)?;
        let pending = matches!(tree.node, Node::String(_));
        match &bounds[..] {
            [min, max] if min <= max && max.get() > 0 => Some(Autoscale { min: min.get(), max: max.get() }),
            _ if pending => Some(Autoscale { min: 0, max: 1000 }),
            _ => {
                let summary = "autoscale takes the fewest and the most nodes";
                decoder.mistake(Diagnostic::error(summary).at(tree.span.clone(), "write [1, 5]"));
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array", "minItems": 2, "maxItems": 2,
            "items": { "type": "integer", "minimum": 0, "maximum": 1000 },
        })
    }
}

/// How the machines of a pool are bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioning {
    /// At list price, until deleted.
    OnDemand,
    /// Cheaper, taken back at any time.
    Spot,
    /// Queued for capacity, at most seven days.
    FlexStart,
    /// From a reservation of this name.
    Reservation(String),
}

impl Decode for Provisioning {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        const WORDS: [&str; 4] = ["on-demand", "spot", "flex-start", "reservation:NAME"];
        let text = decoder.known_text(tree, "a string", "on-demand")?;
        match (text.as_str(), text.strip_prefix("reservation:")) {
            ("on-demand", _) => Some(Provisioning::OnDemand),
            ("spot", _) => Some(Provisioning::Spot),
            ("flex-start", _) => Some(Provisioning::FlexStart),
            (_, Some(name)) if !name.is_empty() => Some(Provisioning::Reservation(name.to_owned())),
            _ => {
                decoder.mistake(super::decode::not_a_choice(tree, &text, &WORDS));
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["on-demand", "spot", "flex-start"] },
            { "type": "string", "pattern": r"^reservation:.+|\$\{.+\}" },
        ] })
    }
}

/// Where the gateway's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GatewayTls {
    /// Issued by the stack's own certificate authority.
    Issued,
    /// Plain HTTP only.
    Off,
    /// A Secret of type `kubernetes.io/tls` in the gateway's namespace, made by somebody else.
    Secret(String),
    /// Issued by a ClusterIssuer of cert-manager's that somebody else has made.
    Issuer(String),
}

impl Decode for GatewayTls {
    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        const WORDS: [&str; 4] = ["issued", "off", "secret:NAME", "issuer:NAME"];
        let text = decoder.known_text(tree, "a string", "issued")?;
        match (text.as_str(), text.strip_prefix("secret:")) {
            ("issued", _) => Some(GatewayTls::Issued),
            ("off", _) => Some(GatewayTls::Off),
            (_, Some(name)) if names::label(name).is_ok() => Some(GatewayTls::Secret(name.to_owned())),
            _ if text.strip_prefix("issuer:").is_some_and(|name| names::label(name).is_ok()) => {
                Some(GatewayTls::Issuer(text.trim_start_matches("issuer:").to_owned()))
            }
            _ => {
                decoder.mistake(super::decode::not_a_choice(tree, &text, &WORDS));
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["issued", "off"] },
            { "type": "string", "pattern": r"^(secret|issuer):.+|\$\{.+\}" },
        ] })
    }
}

/// A table of a chart's or add-on's values; may hold references anywhere in its leaves.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Values(pub Map);

impl Decode for Values {
    const REFERABLE: bool = false;

    fn decode(tree: &Tree, decoder: &mut Decoder<'_>) -> Option<Self> {
        if tree.table().is_none() {
            decoder.pending(tree, &[InputType::Map], "a table")?;
            return Some(Values::default());
        }
        match Value::decode(tree, decoder)? {
            Value::Map(map) => Some(Values(map)),
            _ => None,
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_falling_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1d1h1m1s", 90_061)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "8", "h", "1m1h", "1h1h", "-1h", "1.5h", "0s", "99999999999999999999d", "1ü", "40000d", "é"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
