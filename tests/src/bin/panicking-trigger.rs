//! A trigger that panics in events whose user is called `panic`, around the same `run` as the real ones.

#![allow(clippy::panic, reason = "that is what it is for")]

use std::process::ExitCode;

use shared::function_id::FunctionId;
use triggers::{TriggerError, TriggerEvent};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    triggers::run(FunctionId::PreSignUp, |_| Ok(()), async |()| (), handle).await
}

async fn handle((): &(), event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    if event.user_name() == "panic" {
        panic!("a secret in a panic message: {}", event.user_name());
    }
    Ok(event)
}
