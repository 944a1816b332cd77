//! The map of an attribute tree: a sorted array in place of a search tree.
//!
//! Objects have few keys and there are very many of them. A node of the standard library's tree has room for eleven
//! entries however many there are, so that an object of four small maps takes kilobytes; here it takes what its
//! entries take. Keys that arrive in order, as all our writers and readers send them, are appended.
//! No place for thousands of keys that arrive in disorder one by one: collect those, they are sorted once.

use std::fmt;
use std::iter::FusedIterator;

use super::Value;

/// A map of attributes, in key order.
#[derive(Clone, Default, PartialEq)]
pub struct Map {
    /// Strictly ascending by key.
    entries: Vec<(String, Value)>,
}

impl Map {
    /// An empty map.
    pub const fn new() -> Self {
        Map { entries: Vec::new() }
    }

    /// How many entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        match self.entries.last() {
            Some((last, _)) if last.as_str() < key => Err(self.entries.len()),
            _ => self.entries.binary_search_by(|(known, _)| known.as_str().cmp(key)),
        }
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.find(key).ok().map(|at| &self.entries[at].1)
    }

    /// The value under `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.find(key).ok().map(|at| &mut self.entries[at].1)
    }

    /// Whether there is a value under `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// Puts a value under `key`; the former one, if there was one.
    pub fn insert(&mut self, key: String, value: Value) -> Option<Value> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                // The first growth of a vector is for four entries; most maps have fewer.
                if self.entries.is_empty() {
                    self.entries.reserve_exact(1);
                }
                self.entries.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.find(key).ok().map(|at| self.entries.remove(at).1)
    }

    /// The place of `key`, taken or free.
    pub fn entry(&mut self, key: String) -> Entry<'_> {
        Entry { place: self.find(&key), map: self, key }
    }

    /// Takes every entry out.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.entries.retain_mut(|(key, value)| keep(key, value));
    }

    /// Gives room back that no entry takes.
    pub fn shrink_to_fit(&mut self) {
        self.entries.shrink_to_fit();
    }

    /// Entries in key order.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self.entries.iter())
    }

    /// Entries in key order, values to change.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&String, &mut Value)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &String> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(key, _)| key)
    }

    /// Values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator + Clone {
        self.entries.iter().map(|(_, value)| value)
    }

    /// Values in the order of their keys, to change.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Value> {
        self.entries.iter_mut().map(|(_, value)| value)
    }
}

/// The place of a key in a [`Map`].
pub struct Entry<'a> {
    map: &'a mut Map,
    key: String,
    place: Result<usize, usize>,
}

impl<'a> Entry<'a> {
    /// The value, made by `make` if there is none.
    pub fn or_insert_with(self, make: impl FnOnce() -> Value) -> &'a mut Value {
        let at = self.place.unwrap_or_else(|at| {
            self.map.entries.insert(at, (self.key, make()));
            at
        });
        &mut self.map.entries[at].1
    }

    /// The value, null if there is none.
    pub fn or_default(self) -> &'a mut Value {
        self.or_insert_with(Value::default)
    }

    /// The value, `value` if there is none.
    pub fn or_insert(self, value: Value) -> &'a mut Value {
        self.or_insert_with(|| value)
    }
}

/// Entries of a [`Map`] in key order.
#[derive(Clone)]
pub struct Iter<'a>(std::slice::Iter<'a, (String, Value)>);

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a String, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, value)| (key, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|(key, value)| (key, value))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a String, &'a Value);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Map {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<(String, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl FromIterator<(String, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut map = Map::new();
        map.extend(entries);
        map.shrink_to_fit();
        map
    }
}

impl Extend<(String, Value)> for Map {
    /// As [`Map::insert`] one after the other: of two values for one key the later one stays.
    fn extend<I: IntoIterator<Item = (String, Value)>>(&mut self, entries: I) {
        self.entries.extend(entries);
        if self.entries.is_sorted_by(|(one, _), (next, _)| one < next) {
            return;
        }
        self.entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.entries.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(&mut later.1, &mut kept.1);
            }
            same
        });
    }
}

impl<const N: usize> From<[(String, Value); N]> for Map {
    fn from(entries: [(String, Value); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl std::ops::Index<&str> for Map {
    type Output = Value;

    /// # Panics
    /// Without such a key, as the standard library's maps.
    fn index(&self, key: &str) -> &Value {
        self.get(key).expect("a key that is there")
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(String, i64),
        Remove(String),
        OrInsert(String, i64),
        Extend(Vec<(String, i64)>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = || "[a-e]{0,2}";
        let step = prop_oneof![
            (key(), any::<i64>()).prop_map(|(key, number)| Step::Insert(key, number)),
            key().prop_map(Step::Remove),
            (key(), any::<i64>()).prop_map(|(key, number)| Step::OrInsert(key, number)),
            prop::collection::vec((key(), any::<i64>()), 0..6).prop_map(Step::Extend),
        ];
        prop::collection::vec(step, 0..40)
    }

    proptest! {
        #[test]
        fn it_is_the_standard_map(steps in steps()) {
            let (mut ours, mut theirs) = (Map::new(), BTreeMap::<String, Value>::new());
            for step in steps {
                match step {
                    Step::Insert(key, n) => {
                        prop_assert_eq!(ours.insert(key.clone(), n.into()), theirs.insert(key, n.into()));
                    }
                    Step::Remove(key) => prop_assert_eq!(ours.remove(&key), theirs.remove(&key)),
                    Step::OrInsert(key, n) => {
                        let one = ours.entry(key.clone()).or_insert_with(|| n.into()).clone();
                        prop_assert_eq!(&one, theirs.entry(key).or_insert_with(|| n.into()));
                    }
                    Step::Extend(more) => {
                        let more = more.into_iter().map(|(key, n)| (key, Value::from(n))).collect::<Vec<_>>();
                        ours.extend(more.clone());
                        theirs.extend(more);
                    }
                }
                prop_assert!(ours.iter().eq(theirs.iter()));
                prop_assert_eq!(ours.len(), theirs.len());
                for key in ["", "a", "ab", "ee", "f"] {
                    prop_assert_eq!(ours.get(key), theirs.get(key));
                }
            }
        }
    }
}
