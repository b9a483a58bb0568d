//! Parses the command line and runs the command.

use std::process::ExitCode;

/// The relay allocates small and often; mimalloc is measurably cheaper there than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything can ask for TLS: with no default, two crates' choices would meet at first use, and panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    propylon::cli::run()
}
