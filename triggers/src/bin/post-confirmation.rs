//! The Lambda function of the trigger post-confirmation.

use std::process::ExitCode;

use triggers::post_confirmation::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run("post-confirmation", Deps::new, Deps::warm_up, handle).await
}
