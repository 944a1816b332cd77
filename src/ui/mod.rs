//! Views: what a person or a program sees of stacks, plans and runs. The only code that lays out output.

pub mod diagnostic;
