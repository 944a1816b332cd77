//! What remote state needs of an object store: whole objects, and writes that happen only if nothing came between.
//!
//! A store sends one request at a time and says what is known about its outcome; what to try again is the
//! caller's. [`memory`](super::memory_store) is the model that the others are compared with.

use std::time::Duration;

use async_trait::async_trait;

use crate::env::clock::Timestamp;

/// No request to a store takes longer; a write whose answer has not come by then may still happen.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// An object as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What [`Store::replace`] must name to replace this very version.
    pub tag: Tag,
    /// When this version was written, by the store's own clock.
    pub modified: Timestamp,
}

/// One version of an object: an entity tag, and a generation where the store counts those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// The entity tag.
    pub etag: Option<String>,
    /// Google Cloud Storage's generation.
    pub version: Option<String>,
}

/// What became of a write that must not overwrite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is there.
    Done(Tag),
    /// Something else is there, or another version: nothing was written by this request. An earlier request
    /// whose answer was lost may have written it.
    Refused,
}

/// A request that has no useful answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer, or one that says to come again; whether a write happened is unknown.
    #[error("{0}")]
    Unavailable(String),
    /// Asking again does not help: no such bucket, no permission, a wrong name.
    #[error("{0}")]
    Final(String),
}

/// A place for objects under one prefix. Reads see every earlier write.
#[async_trait]
pub trait Store: Send + Sync {
    /// Where it is, for messages: `gs://bucket/prefix`.
    fn place(&self) -> String;

    /// An object; `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError>;

    /// Writes an object that is not there yet.
    async fn create(&self, key: &str, bytes: &[u8]) -> Result<Written, StoreError>;

    /// Replaces one version of an object.
    async fn replace(&self, key: &str, bytes: &[u8], tag: &Tag) -> Result<Written, StoreError>;

    /// The keys under a prefix, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;

    /// Deletes an object; one that is not there is deleted already.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;
}
