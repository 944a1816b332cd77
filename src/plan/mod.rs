//! The pure planner: what a stack wants against what there is.

pub mod edges;
