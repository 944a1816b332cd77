//! What templates ask about the cluster, and what they are told. Not for asking it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::value::Value;

/// A question that templates ask about the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// `v1`, `apps/v1`.
    pub api_version: String,
    /// `Secret`.
    pub kind: String,
    /// Empty for all namespaces or none.
    pub namespace: String,
    /// Empty for all objects of the kind.
    pub name: String,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Question { api_version, kind, namespace, name } = self;
        let all = if name.is_empty() { "all " } else { "" };
        write!(f, "{all}{kind} ({api_version})")?;
        for part in [namespace, name].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

/// Answers by question, and the memory of what was asked. What was asked and has no answer is told to be not there;
/// who renders again with the answers comes to an end when nothing new is asked.
#[derive(Debug, Default)]
pub struct Answers {
    known: BTreeMap<Question, Value>,
    asked: Mutex<BTreeSet<Question>>,
}

impl Answers {
    /// With these answers: objects, lists of objects, or null for what is not there. Contents of Secrets are deferred
    /// values.
    pub fn new(known: BTreeMap<Question, Value>) -> Self {
        Answers { known, asked: Mutex::default() }
    }

    /// The answers.
    pub fn known(&self) -> &BTreeMap<Question, Value> {
        &self.known
    }

    pub(super) fn ask(&self, question: Question) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(question);
    }

    /// What was asked, answered or not.
    pub fn asked(&self) -> BTreeSet<Question> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was asked and has no answer yet.
    pub fn open(&self) -> BTreeSet<Question> {
        let mut open = self.asked();
        open.retain(|question| !self.known.contains_key(question));
        open
    }
}
