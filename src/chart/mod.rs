//! Helm charts to objects, in process and without a cluster.
//!
//! The way of a chart: [`archive`] or [`directory`] → [`Files`] → [`Chart::load`] → [`render`] → [`Rendered`].
//! Rendering is pure: chart, values and [`Settings`] decide every byte. The behaviour is Helm's
//! ([`capabilities::HELM`]); where it differs on purpose, docs/charts.md says so. Not for talking to a cluster.

mod answers;
pub mod archive;
pub mod cache;
pub mod capabilities;
mod dependencies;
pub mod directory;
mod error;
mod files;
mod glob;
mod hooks;
mod ignore;
pub mod library;
mod load;
mod local;
pub mod lock;
mod metadata;
mod objects;
mod pack;
mod print;
pub mod reference;
mod render;
mod schema;
mod scope;
pub mod set;
pub mod source;
#[cfg(test)]
mod tests;
mod values;

pub use answers::{Answers, Question};
pub use capabilities::{Capabilities, Release};
pub use error::{Cause, ChartError};
pub use files::{Files, Limits};
pub use hooks::{Delete, Event, Hook};
pub use library::{Content, Found, Library, LibraryError, Shelf};
pub use load::Chart;
pub use lock::{Lock, LockedCapabilities};
pub use metadata::{Dependency, Import, Maintainer, Metadata};
pub use objects::{Document, Object, Sorted};
pub use reference::{Git, Place, Reference, Wanted};
pub use render::{Documents, Rendered, Settings, collect, documents, heads, render};
pub use values::Values;
