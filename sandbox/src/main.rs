//! The binary `sandbox`.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    sandbox::cli::run().await
}
