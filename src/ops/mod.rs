//! The verbs: what an embedding program would call. One file per verb; none of them prints.

pub mod apply;
pub mod bench;
pub mod capture;
pub mod conceal;
pub mod expiry;
pub mod export;
pub mod layout;
pub mod lock;
pub mod lookup;
pub mod marks;
pub mod migrate;
pub mod pause;
pub mod places;
pub mod platforms;
pub mod preflight;
pub mod preview;
pub mod probe;
pub mod prove;
pub mod push;
pub mod reap;
pub mod rebuild;
pub mod receipt;
pub mod serving;
pub mod sight;
pub mod status;
pub mod verify;
