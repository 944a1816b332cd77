//! Integration tests: whole files, whole commands, real sockets.

mod stack_files;
