//! Errors of AWS calls in one line: `SERVICE Operation: Code: AWS's sentence (advice)`.

pub mod advice;
pub mod no_answer;
pub mod sentence;

use std::any::Any;
use std::error::Error;
use std::fmt::Debug;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use shared::aws::FailedCall;
use shared::queues::QueueError;
use shared::store::{CommitFailure, StoreError};
use shared::text::printable;

use advice::advice;
use sentence::shorten;

pub use advice::Service;

/// Text of a [`FailedCall`] to which the service answered without a code.
const WITHOUT_CODE: &str = "error without a code";

/// A failed call of an operation, such as `GetQueueUrl`.
#[derive(Debug, thiserror::Error)]
#[error("{service} {operation}")]
struct AwsError {
    service: Service,
    operation: &'static str,
    /// HTTP status. `None` if there was no answer.
    status: Option<u16>,
    #[source]
    call: FailedCall,
}

/// Turns the SDK's error of an operation into an error that [`describe`] renders with advice.
pub fn aws_error<E, R>(service: Service, operation: &'static str) -> impl Fn(SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    move |error| {
        let response = error.raw_response().map(|response| response as &dyn Any);
        let response = response.and_then(|response| response.downcast_ref::<HttpResponse>());
        let status = response.map(|response| response.status().as_u16());
        AwsError { service, operation, status, call: shared::aws::cause(&error) }.into()
    }
}

/// True if a call failed and AWS may have done what it asks for: no answer arrived, or the answer is no refusal.
/// False for an error that is not about a call.
pub fn is_unanswered(error: &anyhow::Error) -> bool {
    let call = error.downcast_ref::<AwsError>();
    call.is_some_and(|call| call.status.is_none_or(|status| !(400..500).contains(&status)))
}

/// The code with which AWS answered a failed call.
pub fn code(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|link| link.downcast_ref::<FailedCall>()?.code())
}

/// One line: the error and its causes, separated by colons. A failed call of AWS has AWS's sentence and
/// advice. If there are no credentials, the line starts with what to do about them, and says nothing
/// else.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut service, mut status, mut next) = (String::new(), None, None, Some(error));
    while let Some(link) = next {
        status = link.downcast_ref::<AwsError>().and_then(|error| error.status).or(status);
        service = service_of(link).or(service);
        let part = match link.downcast_ref::<FailedCall>() {
            Some(call) => match call.code() {
                Some(code) => explain(service, code, call.service_message()),
                None if call.to_string() == WITHOUT_CODE => no_answer::without_code(status),
                None => match no_answer::credentials_problem(&call.to_string()) {
                    Some(problem) => return problem,
                    None => no_answer::explain(&call.to_string()),
                },
            },
            None => own_text(link, service),
        };
        if text.is_empty() {
            text = part;
        } else if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        next = link.source();
    }
    text
}

/// The service that an error is about.
fn service_of(error: &(dyn Error + 'static)) -> Option<Service> {
    if let Some(error) = error.downcast_ref::<AwsError>() {
        return Some(error.service);
    }
    if error.is::<StoreError>() || error.is::<CommitFailure>() {
        return Some(Service::DynamoDb);
    }
    error.is::<QueueError>().then_some(Service::Sqs)
}

/// The text of an error without its causes. `GetItem failed` becomes `DynamoDB GetItem` if AWS's answer
/// follows.
fn own_text(error: &(dyn Error + 'static), service: Option<Service>) -> String {
    let text = error.to_string();
    let is_before_answer = error.source().is_some_and(|source| source.is::<FailedCall>());
    match (service, text.strip_suffix(" failed")) {
        (Some(service), Some(operation)) if is_before_answer => format!("{service} {operation}"),
        _ => text,
    }
}

/// `Code: AWS's sentence (advice)`.
pub fn explain(service: Option<Service>, code: &str, sentence: Option<&str>) -> String {
    let sentence = sentence.map(shorten).unwrap_or_default();
    let mut text = printable(code);
    if !sentence.is_empty() && sentence != text {
        text = format!("{text}: {sentence}");
    }
    match advice(service, code, &sentence) {
        Some(advice) => format!("{text} ({advice})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn line_has_the_code_the_sentence_and_advice() {
        for (service, code, sentence, expected) in [
            (Some(Service::Sqs), "OverLimit", None, "OverLimit"),
            (Some(Service::Sqs), "OverLimit", Some("Too many."), "OverLimit: Too many"),
            (None, "OverLimit", Some("OverLimit"), "OverLimit"),
            (None, "Over\nLimit", Some("a\u{1b}[1m\nb"), "Over Limit: a [1m b"),
            (
                Some(Service::DynamoDb),
                "ExpiredTokenException",
                Some("The security token included in the request is expired"),
                "ExpiredTokenException: The security token included in the request is expired (the credentials \
                 expired: sign in again)",
            ),
        ] {
            assert_eq!(explain(service, code, sentence), expected);
        }
    }

    #[test]
    fn causes_follow_the_error_once() {
        let error = anyhow::Error::new(io::Error::other("disk full")).context("disk full").context("file");
        assert_eq!(describe(error.as_ref()), "file: disk full");
        let context = anyhow::Error::msg("GetItem failed").context("user");
        assert_eq!(describe(context.as_ref()), "user: GetItem failed");
    }
}
