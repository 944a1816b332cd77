//! Sets of fields as `managedFields` writes them, and what can be done with them without a schema.
//!
//! A [`FieldSet`] is a tree of path elements; an element may be a *member* (owned) or only lead to members.
//! Which fields an object has according to its schema, and who owns what after a write, is in `apply`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};

/// A scalar with a total order, as an item of a set or the value of a list key.
#[derive(Clone, Debug)]
pub struct Scalar(pub Json);

impl Scalar {
    fn rank(&self) -> u8 {
        match &self.0 {
            Json::Number(_) => 0,
            Json::String(_) => 1,
            Json::Bool(_) => 2,
            _ => 3,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank()).then_with(|| match (&self.0, &other.0) {
            (Json::Number(a), Json::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
            },
            (Json::String(a), Json::String(b)) => a.cmp(b),
            (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
            (a, b) => a.to_string().cmp(&b.to_string()),
        })
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

/// One step of a path. The order is the canonical order of `fieldsV1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A key of a mapping.
    Field(String),
    /// An item of a keyed list: its key fields in order of name.
    Key(Vec<(String, Scalar)>),
    /// An item of a set.
    Value(Scalar),
    /// An item by position.
    Index(usize),
}

impl Element {
    /// A key of a mapping.
    pub fn field(name: &str) -> Self {
        Element::Field(name.to_owned())
    }

    /// As a key of `fieldsV1`: `f:name`, `k:{"name":"x"}`, `v:"x"`, `i:0`.
    pub fn encode(&self) -> String {
        match self {
            Element::Field(name) => format!("f:{name}"),
            Element::Key(pairs) => {
                let object: Map<String, Json> = pairs.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
                format!("k:{}", Json::Object(object))
            }
            Element::Value(value) => format!("v:{}", value.0),
            Element::Index(index) => format!("i:{index}"),
        }
    }

    /// The inverse of [`Element::encode`].
    pub fn decode(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Element::field(rest),
            "k" => {
                let object = serde_json::from_str::<Map<String, Json>>(rest).ok()?;
                let mut pairs: Vec<_> = object.into_iter().map(|(key, value)| (key, Scalar(value))).collect();
                pairs.sort();
                Element::Key(pairs)
            }
            "v" => Element::Value(Scalar(serde_json::from_str(rest).ok()?)),
            "i" => Element::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    /// Whether a list's item is the one this names. A key field that the item lacks is taken to have been
    /// defaulted, so it does not tell items apart unless all are lacking.
    fn names(&self, index: usize, item: &Json) -> bool {
        match self {
            Element::Key(pairs) => {
                let mut present = false;
                item.is_object()
                    && pairs.iter().all(|(key, value)| match item.get(key) {
                        Some(found) => {
                            present = true;
                            Scalar(found.clone()) == *value
                        }
                        None => true,
                    })
                    && (present || pairs.is_empty())
            }
            Element::Value(value) => Scalar(item.clone()) == *value,
            Element::Index(at) => *at == index,
            Element::Field(_) => false,
        }
    }
}

/// As in the API server's conflict messages: `.name`, `[name="x"]`, `[="x"]`, `[0]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(f, ".{name}"),
            Element::Key(pairs) => {
                f.write_str("[")?;
                for (at, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}={}", if at > 0 { "," } else { "" }, value.0)?;
                }
                f.write_str("]")
            }
            Element::Value(value) => write!(f, "[={}]", value.0),
            Element::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Elements from the root. Displays as `.spec.containers[name="x"].image`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<Element>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

impl Path {
    /// A path of mapping keys.
    pub fn of_fields(names: &[&str]) -> Self {
        Path(names.iter().map(|name| Element::field(name)).collect())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    below: FieldSet,
}

impl Node {
    fn is_void(&self) -> bool {
        !self.member && self.below.is_empty()
    }
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    // Invariant: no node is void.
    nodes: BTreeMap<Element, Node>,
}

impl FieldSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.nodes.values().map(|node| usize::from(node.member) + node.below.len()).sum()
    }

    /// Adds one field; its parents are not added. The empty path is ignored.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.nodes.entry(last.clone()).or_default().member = true,
            [first, rest @ ..] => self.nodes.entry(first.clone()).or_default().below.insert(rest),
        }
    }

    /// Whether the field is a member.
    pub fn contains(&self, path: &[Element]) -> bool {
        match path {
            [] => false,
            [last] => self.nodes.get(last).is_some_and(|node| node.member),
            [first, rest @ ..] => self.nodes.get(first).is_some_and(|node| node.below.contains(rest)),
        }
    }

    /// Whether an element directly below the root is a member.
    pub(super) fn has(&self, element: &Element) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The elements directly below the root, members or leading to members.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.keys()
    }

    /// The members below an element.
    pub fn below(&self, element: &Element) -> Option<&FieldSet> {
        self.nodes.get(element).map(|node| &node.below).filter(|below| !below.is_empty())
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.extend(other);
        out
    }

    /// Adds everything in `other`.
    pub fn extend(&mut self, other: &Self) {
        for (element, node) in &other.nodes {
            let mine = self.nodes.entry(element.clone()).or_default();
            mine.member |= node.member;
            mine.below.extend(&node.below);
        }
    }

    /// What is here and not in `other`; a parent in `other` does not take its children away.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs, false)
    }

    /// What is here and neither in `other` nor below a member of it.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combine(other, |mine, theirs| mine && !theirs, true)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut nodes = BTreeMap::new();
        for (element, node) in &self.nodes {
            if let Some(theirs) = other.nodes.get(element) {
                let both = Node { member: node.member && theirs.member, below: node.below.intersection(&theirs.below) };
                if !both.is_void() {
                    nodes.insert(element.clone(), both);
                }
            }
        }
        FieldSet { nodes }
    }

    fn combine(&self, other: &Self, keep: fn(bool, bool) -> bool, recursive: bool) -> Self {
        let mut nodes = BTreeMap::new();
        for (element, node) in &self.nodes {
            let rest = match other.nodes.get(element) {
                None => node.clone(),
                Some(theirs) if recursive && theirs.member => continue,
                Some(theirs) => Node {
                    member: keep(node.member, theirs.member),
                    below: node.below.combine(&theirs.below, keep, recursive),
                },
            };
            if !rest.is_void() {
                nodes.insert(element.clone(), rest);
            }
        }
        FieldSet { nodes }
    }

    /// Only what is at or below the mapping key `name` of the root.
    #[must_use]
    pub fn only(&self, name: &str) -> Self {
        let element = Element::field(name);
        FieldSet { nodes: self.nodes.get(&element).cloned().map(|node| (element, node)).into_iter().collect() }
    }

    /// The members that have no members below them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        let mut nodes = BTreeMap::new();
        for (element, node) in &self.nodes {
            let below = node.below.leaves();
            let leaf = Node { member: node.member && below.is_empty(), below };
            if !leaf.is_void() {
                nodes.insert(element.clone(), leaf);
            }
        }
        FieldSet { nodes }
    }

    /// Every member, parents before children, in canonical order.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, path: &mut Vec<Element>, out: &mut Vec<Path>) {
        // Members of one level come before anything deeper, as the API server lists conflicts.
        for (element, _) in self.nodes.iter().filter(|(_, node)| node.member) {
            path.push(element.clone());
            out.push(Path(path.clone()));
            path.pop();
        }
        for (element, node) in &self.nodes {
            path.push(element.clone());
            node.below.collect(path, out);
            path.pop();
        }
    }

    /// As the `fieldsV1` of a managed-fields entry.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        for (element, node) in &self.nodes {
            let mut below = Map::new();
            if node.member && !node.below.is_empty() {
                below.insert(".".to_owned(), Json::Object(Map::new()));
            }
            if let Json::Object(rest) = node.below.to_json() {
                below.extend(rest);
            }
            object.insert(element.encode(), Json::Object(below));
        }
        Json::Object(object)
    }

    /// From a `fieldsV1`; what cannot be read is left out.
    pub fn from_json(json: &Json) -> Self {
        let mut set = FieldSet::default();
        for (key, value) in json.as_object().into_iter().flatten() {
            let (Some(element), Some(object)) = (Element::decode(key), value.as_object()) else { continue };
            let node = Node { member: object.is_empty() || object.contains_key("."), below: Self::from_json(value) };
            if !node.is_void() {
                set.nodes.insert(element, node);
            }
        }
        set
    }

    /// The part of `object` that the set names. Needs no schema: a member without members below it takes
    /// its whole value, one with members below it only those. Items of keyed lists keep their keys.
    /// Fields that the object lacks are left out, so the result tells lost fields from changed ones.
    pub fn pick(&self, object: &Json) -> Json {
        match object {
            Json::Object(map) => {
                let mut out = Map::new();
                for (element, node) in &self.nodes {
                    if let Element::Field(name) = element
                        && let Some(value) = map.get(name)
                    {
                        out.insert(name.clone(), node.pick(value));
                    }
                }
                Json::Object(out)
            }
            Json::Array(items) => {
                let mut out = Vec::new();
                for (element, node) in &self.nodes {
                    let found = items.iter().enumerate().filter(|(index, item)| element.names(*index, item));
                    for (_, item) in found {
                        let mut picked = node.pick(item);
                        if let (Element::Key(pairs), Json::Object(picked)) = (element, &mut picked) {
                            for (key, value) in pairs {
                                picked.entry(key.clone()).or_insert_with(|| value.0.clone());
                            }
                        }
                        out.push(picked);
                    }
                }
                Json::Array(out)
            }
            scalar => scalar.clone(),
        }
    }

    /// Takes every member out of `object`, without a schema: a member without members below it goes with its
    /// whole value, one with members below it goes when nothing else is left in it.
    pub fn remove_from(&self, object: &mut Json) {
        match object {
            Json::Object(map) => {
                for (element, node) in &self.nodes {
                    let Element::Field(name) = element else { continue };
                    let Some(value) = map.get_mut(name) else { continue };
                    if node.takes(value) {
                        map.shift_remove(name);
                    }
                }
            }
            Json::Array(items) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let at = index;
                    index += 1;
                    let named = self.nodes.iter().find(|(element, _)| element.names(at, item));
                    !named.is_some_and(|(_, node)| node.takes(item))
                });
            }
            _ => {}
        }
    }
}

impl Node {
    fn pick(&self, value: &Json) -> Json {
        if self.below.is_empty() { value.clone() } else { self.below.pick(value) }
    }

    /// Removes what is below; whether the value itself goes, too.
    fn takes(&self, value: &mut Json) -> bool {
        if self.below.is_empty() {
            return self.member;
        }
        self.below.remove_from(value);
        self.member
            && match value {
                Json::Object(map) => map.is_empty(),
                Json::Array(items) => items.is_empty(),
                _ => false,
            }
    }
}

/// One path a line.
impl fmt::Display for FieldSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, path) in self.paths().iter().enumerate() {
            write!(f, "{}{path}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl FromIterator<Path> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Path>>(paths: I) -> Self {
        let mut set = FieldSet::default();
        for path in paths {
            set.insert(&path.0);
        }
        set
    }
}

#[cfg(test)]
mod tests;
