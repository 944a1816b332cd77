//! The values that templates compute with: Go's dynamic values as far as templates can see them.
//!
//! Maps are shared and mutable, as Go's are: whoever holds one sees every `set`. Lists and texts never
//! change. There are two kinds of nothing, because Go tells them apart: [`Data::Nil`] is a nil held in a
//! map or list, [`Data::Missing`] is no value at all. Not for YAML, JSON or printing.

use std::borrow::{Borrow, Cow};
use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::fault::{Fault, Outcome};
use super::functions::Call;
use super::moment::Moment;
use super::tokens::Tokens;
use crate::value::Value;

/// Nesting of lists and maps that any walk over data accepts.
pub const MAX_NESTING: usize = 500;

/// A Go string: bytes that are usually, but need not be, UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text; what is not UTF-8 is replaced.
    pub fn str(&self) -> Cow<'_, str> {
        lossy(&self.0)
    }
}

/// [`String::from_utf8_lossy`], faster for what is UTF-8.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.str())
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(Arc::from(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(Arc::from(text.into_bytes()))
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Text(Arc::from(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Text(Arc::from(bytes))
    }
}

impl From<Arc<[u8]>> for Text {
    fn from(bytes: Arc<[u8]>) -> Self {
        Text(bytes)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Text(Arc::from(bytes))
    }
}

/// Go's integer types, as far as templates meet them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntKind {
    /// `int`: constants, `len`, indices.
    Int,
    /// `int64`: what arithmetic functions return.
    Int64,
    /// `int32`: a rune.
    Int32,
    /// `uint8`: one byte of a string.
    Uint8,
    /// `uint64`: parts of a version.
    Uint64,
    /// `time.Duration`, in nanoseconds.
    Duration,
    /// `time.Month`.
    Month,
    /// `time.Weekday`.
    Weekday,
}

impl IntKind {
    /// The Go type.
    pub fn type_name(self) -> &'static str {
        match self {
            IntKind::Int => "int",
            IntKind::Int64 => "int64",
            IntKind::Int32 => "int32",
            IntKind::Uint8 => "uint8",
            IntKind::Uint64 => "uint64",
            IntKind::Duration => "time.Duration",
            IntKind::Month => "time.Month",
            IntKind::Weekday => "time.Weekday",
        }
    }

    /// The Go kind.
    pub fn kind_name(self) -> &'static str {
        match self {
            IntKind::Duration => "int64",
            IntKind::Month | IntKind::Weekday => "int",
            plain => plain.type_name(),
        }
    }

    /// Whether the type has no negative numbers.
    pub fn unsigned(self) -> bool {
        matches!(self, IntKind::Uint8 | IntKind::Uint64)
    }
}

/// What a list's or map's Go type says of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `interface {}`.
    Any,
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `[]uint8`: the contents of files.
    Bytes,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Element::Any => "interface {}",
            Element::Text => "string",
            Element::Int => "int",
            Element::Bytes => "[]uint8",
        }
    }

    /// Go's zero value: what a look-up of an absent key yields.
    pub fn zero(self) -> Data {
        match self {
            Element::Any => Data::Nil,
            Element::Text => Data::from(""),
            Element::Int => Data::Int(IntKind::Int, 0),
            Element::Bytes => Data::Bytes(Text::from("")),
        }
    }
}

/// A list; never changes.
#[derive(Clone)]
pub struct List(Rc<ListBody>);

struct ListBody {
    element: Element,
    items: Vec<Data>,
    /// Go's nil slice: empty, and `null` where it is written as JSON or YAML.
    nil: bool,
}

impl List {
    /// A `[]interface {}`.
    pub fn new(items: Vec<Data>) -> Self {
        Self::of(Element::Any, items)
    }

    /// A list with a declared element type.
    pub fn of(element: Element, items: Vec<Data>) -> Self {
        List(Rc::new(ListBody { element, items, nil: false }))
    }

    /// A list in which Go has put nothing: nil, unless there are items after all.
    pub fn appended(element: Element, items: Vec<Data>) -> Self {
        let nil = items.is_empty();
        List(Rc::new(ListBody { element, items, nil }))
    }

    /// Whether it is Go's nil.
    pub fn is_nil(&self) -> bool {
        self.0.nil
    }

    /// The items.
    pub fn items(&self) -> &[Data] {
        &self.0.items
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.0.element
    }
}

/// A map from strings; everybody who holds it shares it.
#[derive(Clone)]
pub struct Map {
    body: Rc<MapBody>,
    /// A named Go type, where the map is not a plain `map[string]…`.
    named: Option<&'static str>,
}

struct MapBody {
    element: Element,
    entries: RefCell<BTreeMap<Text, Data>>,
}

impl Map {
    /// A `map[string]interface {}`.
    pub fn new(entries: BTreeMap<Text, Data>) -> Self {
        Self::of(Element::Any, None, entries)
    }

    /// A map with a declared element type and perhaps a name of its type.
    pub fn of(element: Element, named: Option<&'static str>, entries: BTreeMap<Text, Data>) -> Self {
        Map { body: Rc::new(MapBody { element, entries: RefCell::new(entries) }), named }
    }

    /// The same map as a plain `map[string]…`: what Go makes of it where it hands one to such a parameter.
    pub fn plain(&self) -> Map {
        Map { named: None, ..self.clone() }
    }

    /// The same map as a value of a named Go type.
    pub fn with_name(&self, name: &'static str) -> Map {
        Map { named: Some(name), ..self.clone() }
    }

    /// The name of its Go type, where it has one of its own.
    pub fn named(&self) -> Option<&'static str> {
        self.named
    }

    /// The value under `key`.
    pub fn get(&self, key: &[u8]) -> Option<Data> {
        self.body.entries.borrow().get(key).cloned()
    }

    /// Sets `key` for everybody who holds this map.
    pub fn set(&self, key: Text, value: Data) {
        let old = self.body.entries.borrow_mut().insert(key, value);
        drop(old);
    }

    /// Removes `key` for everybody who holds this map.
    pub fn unset(&self, key: &[u8]) {
        let old = self.body.entries.borrow_mut().remove(key);
        drop(old);
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.body.entries.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries as they are now, in key order.
    pub fn snapshot(&self) -> Vec<(Text, Data)> {
        self.body.entries.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// A look at the entries; nobody may write meanwhile.
    pub fn entries(&self) -> Ref<'_, BTreeMap<Text, Data>> {
        self.body.entries.borrow()
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.body.element
    }

    /// Whether both are the same map, not just equal ones.
    pub fn same(&self, other: &Map) -> bool {
        Rc::ptr_eq(&self.body, &other.body)
    }

    /// The Go type.
    pub fn type_name(&self) -> String {
        self.named.map_or_else(|| format!("map[string]{}", self.body.element.name()), str::to_owned)
    }
}

// Dropping is a loop, not a recursion: a template can nest data deeper than any stack.
impl Drop for ListBody {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.items));
    }
}

impl Drop for MapBody {
    fn drop(&mut self) {
        bury(std::mem::take(self.entries.get_mut()).into_values());
    }
}

fn bury(children: impl IntoIterator<Item = Data>) {
    let holds = |data: &Data| matches!(data, Data::List(_) | Data::Map(_));
    let mut rest = children.into_iter().filter(holds).collect::<Vec<_>>();
    while let Some(data) = rest.pop() {
        match data {
            Data::List(list) => {
                if let Ok(mut body) = Rc::try_unwrap(list.0) {
                    rest.extend(std::mem::take(&mut body.items).into_iter().filter(holds));
                }
            }
            Data::Map(map) => {
                if let Ok(mut body) = Rc::try_unwrap(map.body) {
                    rest.extend(std::mem::take(body.entries.get_mut()).into_values().filter(holds));
                }
            }
            _ => {}
        }
    }
}

/// Something with fields and methods: `.Files`, `.Capabilities`, a version.
pub trait Object {
    /// The Go type, for messages, `typeOf` and `typeIs`.
    fn type_name(&self) -> &'static str;

    /// A field, or a method without arguments. `None`: there is none of that name.
    fn field(&self, name: &str) -> Option<Data>;

    /// A method with arguments. `None`: there is none of that name.
    ///
    /// # Errors
    /// What the method refuses.
    fn method(&self, name: &str, call: &Call<'_, '_>) -> Option<Outcome> {
        let _ = (name, call);
        None
    }

    /// What it looks like as plain data: for printing, YAML, JSON, `range`, `index` and `len`.
    fn plain(&self) -> Data;

    /// What `print` shows, where that is not the plain data.
    fn shown(&self) -> Option<String> {
        None
    }

    /// The fields in Go's order, where it is a struct or points to one.
    fn structure(&self) -> Option<Vec<Field>> {
        None
    }

    /// What a function is given for it, where that is not the same: a struct that is handed on by value loses
    /// the methods of its pointer, its way of printing itself among them.
    fn by_value(&self) -> Option<Rc<dyn Object>> {
        None
    }

    /// A deep copy, where that is not the same: Go copies no fields that a type keeps to itself.
    fn copied(&self) -> Option<Rc<dyn Object>> {
        None
    }
}

/// A field of a Go struct.
pub struct Field {
    /// Its name in Go.
    pub name: &'static str,
    /// Its name in JSON; `None` where only its own package sees it.
    pub json: Option<&'static str>,
    /// What it holds.
    pub value: Data,
}

impl Field {
    /// The fields as a map by their names in JSON.
    pub fn plain(fields: Option<Vec<Field>>) -> Data {
        let fields = fields.unwrap_or_default().into_iter();
        Data::map(fields.filter_map(|field| Some((field.json?, field.value))))
    }
}

/// One value.
#[derive(Clone)]
pub enum Data {
    /// No value at all: Go's invalid reflect.Value.
    Missing,
    /// A nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// A whole number of some type.
    Int(IntKind, i64),
    /// A float64; every number of chart values is one.
    Float(f64),
    /// A string.
    Text(Text),
    /// A `[]byte`.
    Bytes(Text),
    /// A list.
    List(List),
    /// A map.
    Map(Map),
    /// A point in time.
    Time(Moment),
    /// Something with fields and methods.
    Object(Rc<dyn Object>),
}

impl Data {
    /// A `[]interface {}`.
    pub fn list(items: Vec<Data>) -> Self {
        Data::List(List::new(items))
    }

    /// A `[]string`.
    pub fn texts<T: Into<Text>>(items: impl IntoIterator<Item = T>) -> Self {
        Data::List(List::of(Element::Text, items.into_iter().map(|t| Data::Text(t.into())).collect()))
    }

    /// A `map[string]interface {}`.
    pub fn map<K: Into<Text>>(entries: impl IntoIterator<Item = (K, Data)>) -> Self {
        Data::Map(Map::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect()))
    }

    /// An `int`.
    pub fn int(number: i64) -> Self {
        Data::Int(IntKind::Int, number)
    }

    /// An `int64`.
    pub fn int64(number: i64) -> Self {
        Data::Int(IntKind::Int64, number)
    }

    /// Whether this is nothing, of either kind.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Data::Missing | Data::Nil)
    }

    /// The Go type: `map[string]interface {}`.
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Data::Missing | Data::Nil => "<nil>",
            Data::Bool(_) => "bool",
            Data::Int(kind, _) => kind.type_name(),
            Data::Float(_) => "float64",
            Data::Text(_) => "string",
            Data::Bytes(_) => "[]uint8",
            Data::List(list) => return Cow::Owned(format!("[]{}", list.element().name())),
            Data::Map(map) => return Cow::Owned(map.type_name()),
            Data::Time(_) => "time.Time",
            Data::Object(object) => object.type_name(),
        })
    }

    /// The Go kind: `map`.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Data::Missing | Data::Nil => "invalid",
            Data::Bool(_) => "bool",
            Data::Int(kind, _) => kind.kind_name(),
            Data::Float(_) => "float64",
            Data::Text(_) => "string",
            Data::Bytes(_) | Data::List(_) => "slice",
            Data::Map(_) => "map",
            Data::Time(_) => "struct",
            Data::Object(object) => {
                if object.type_name().starts_with('*') {
                    "ptr"
                } else if object.structure().is_some() {
                    "struct"
                } else {
                    match object.plain() {
                        Data::Map(_) if object.type_name() == "engine.files" => "map",
                        Data::List(_) => "slice",
                        Data::Map(_) => "struct",
                        other => other.kind_name(),
                    }
                }
            }
        }
    }

    /// Go's idea of truth: neither zero nor empty.
    pub fn truth(&self) -> bool {
        match self {
            Data::Missing | Data::Nil => false,
            Data::Bool(truth) => *truth,
            Data::Int(_, number) => *number != 0,
            Data::Float(number) => *number != 0.0,
            Data::Text(text) | Data::Bytes(text) => !text.bytes().is_empty(),
            Data::List(list) => !list.items().is_empty(),
            Data::Map(map) => !map.is_empty(),
            Data::Time(_) => true,
            Data::Object(object) => match object.plain() {
                Data::List(list) => !list.items().is_empty(),
                _ => true,
            },
        }
    }

    /// From a stack's or chart's value. Every number becomes a float64, as Helm's do; what is known only
    /// later becomes a token that `tokens` remembers.
    pub fn from_value(value: &Value, tokens: &mut Tokens) -> Data {
        match value {
            Value::Null => Data::Nil,
            Value::Bool(truth) => Data::Bool(*truth),
            Value::Int(number) => Data::Float(*number as f64),
            Value::Float(number) => Data::Float(*number),
            Value::String(text) => Data::from(text.as_str()),
            Value::List(items) => Data::list(items.iter().map(|item| Data::from_value(item, tokens)).collect()),
            Value::Map(map) => Data::map(map.iter().map(|(k, v)| (k.as_str(), Data::from_value(v, tokens)))),
            Value::Deferred(template) => Data::from(tokens.put(template.as_ref().clone())),
        }
    }

    /// Back to a plain value; floats without a fraction become whole numbers.
    ///
    /// # Errors
    /// Where it is nested too deeply or holds itself.
    pub fn to_value(&self) -> Result<Value, Fault> {
        self.value_at(0)
    }

    fn value_at(&self, depth: usize) -> Result<Value, Fault> {
        if depth > MAX_NESTING {
            return Err(Fault::limit("the value is nested too deeply, or holds itself"));
        }
        Ok(match self {
            Data::Missing | Data::Nil => Value::Null,
            Data::Bool(truth) => Value::Bool(*truth),
            Data::Int(_, number) => Value::Int(*number),
            Data::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e18 => Value::Int(*number as i64),
            Data::Float(number) => Value::Float(*number),
            Data::Text(text) => Value::String(text.str().into_owned()),
            Data::Bytes(bytes) => Value::String(super::functions::encoding::base64(bytes.bytes())),
            Data::List(list) => {
                Value::List(list.items().iter().map(|i| i.value_at(depth + 1)).collect::<Result<_, _>>()?)
            }
            Data::Map(map) => Value::Map(
                map.entries()
                    .iter()
                    .map(|(k, v)| Ok((k.str().into_owned(), v.value_at(depth + 1)?)))
                    .collect::<Result<_, Fault>>()?,
            ),
            Data::Time(moment) => Value::String(moment.rfc3339()),
            Data::Object(object) => object.plain().value_at(depth + 1)?,
        })
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_value() {
            Ok(value) => write!(f, "{value:?}"),
            Err(_) => f.write_str("(nested too deeply)"),
        }
    }
}

impl From<&str> for Data {
    fn from(text: &str) -> Self {
        Data::Text(text.into())
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Data::Text(text.into())
    }
}

impl From<Text> for Data {
    fn from(text: Text) -> Self {
        Data::Text(text)
    }
}

impl From<bool> for Data {
    fn from(truth: bool) -> Self {
        Data::Bool(truth)
    }
}

impl From<f64> for Data {
    fn from(number: f64) -> Self {
        Data::Float(number)
    }
}
