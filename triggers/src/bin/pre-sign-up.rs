//! The Lambda function of the trigger pre-sign-up.

use std::process::ExitCode;

use triggers::pre_sign_up::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run("pre-sign-up", Deps::new, Deps::warm_up, handle).await
}
