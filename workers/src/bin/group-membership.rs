//! The Lambda function of the worker group-membership.

use std::process::ExitCode;

use workers::group_membership::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    workers::run("group-membership", Deps::new, handle).await
}
