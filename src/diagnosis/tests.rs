//! Signs to causes on facts that real objects would give.
