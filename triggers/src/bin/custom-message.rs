//! The Lambda function of the trigger custom-message.

use std::process::ExitCode;

use triggers::custom_message::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run("custom-message", Deps::new, Deps::warm_up, handle).await
}
