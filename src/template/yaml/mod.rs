//! YAML the way Helm reads and writes it: the 1.1 rules for scalars, JSON's data model, sorted keys.

mod block;
mod read;
mod scalar;
mod write;

pub use read::{ReadError, documents, read};
pub use write::text;
pub(super) use write::{write, write_indented};
