//! Each rule refuses what it is for, and nothing else.

