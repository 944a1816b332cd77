//! Charts: where they come from, and what they become.

pub mod cache;
pub mod library;
pub mod lock;
pub mod reference;

pub use library::{Content, Found, Library, LibraryError};
pub use lock::{Lock, LockedCapabilities};
pub use reference::{Git, Place, Reference, Wanted};
