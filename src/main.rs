//! The `stackwright` binary: hands the process's arguments to [`stackwright::cli`].

fn main() -> std::process::ExitCode {
    stackwright::cli::main(std::env::args_os())
}
