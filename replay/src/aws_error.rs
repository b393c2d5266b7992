//! Errors of AWS calls, with advice on what to do.

use std::fmt::{self, Debug};

use anyhow::anyhow;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

/// A service of AWS that commands call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    CloudFormation,
    CloudWatch,
    CloudWatchLogs,
    Cognito,
    DynamoDb,
    Sqs,
    Sts,
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::CloudFormation => "CloudFormation",
            Self::CloudWatch => "CloudWatch",
            Self::CloudWatchLogs => "CloudWatch Logs",
            Self::Cognito => "Cognito",
            Self::DynamoDb => "DynamoDB",
            Self::Sqs => "SQS",
            Self::Sts => "STS",
        })
    }
}

/// Turns the SDK's error of an operation, such as `GetQueueUrl`, into an error with advice.
pub fn aws_error<E, R>(service: Service, operation: &'static str) -> impl Fn(SdkError<E, R>) -> anyhow::Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: Debug + 'static,
{
    move |error| anyhow!("{service} {operation}: {}", with_advice(&shared::aws::cause(&error).to_string()))
}

/// Adds advice in parentheses to an error text of AWS or the SDK. An unknown text stays as it is.
pub fn with_advice(cause: &str) -> String {
    match advice(cause) {
        Some(advice) if !cause.contains(advice) => format!("{cause} ({advice})"),
        _ => cause.to_owned(),
    }
}

fn advice(cause: &str) -> Option<&'static str> {
    let mentions = |codes: &[&str]| codes.iter().any(|code| cause.contains(code));
    let advice = match () {
        () if mentions(&["ExpiredToken", "RequestExpired"]) => "the credentials expired: sign in again",
        () if mentions(&["KmsAccessDenied"]) => "your role may not use the queue's KMS key",
        () if mentions(&["AccessDenied", "NotAuthorized"]) => {
            "your role lacks the permission; the queues of the template accept only the roles in OperatorArns"
        }
        () if mentions(&["NonExistentQueue", "QueueDoesNotExist"]) => {
            "there is no such queue in this account and region"
        }
        () if mentions(&[
            "InvalidClientTokenId",
            "UnrecognizedClient",
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "InvalidAccessKeyId",
        ]) =>
        {
            "AWS does not know these credentials: check that they are complete and belong to this account"
        }
        () if mentions(&["ResourceNotFound"]) => {
            "there is no such table or user pool in this account and region"
        }
        () if mentions(&[
            "no providers in chain provided credentials",
            "credential provider was not enabled",
        ]) =>
        {
            "no credentials: sign in, or pass --profile"
        }
        () if mentions(&["failed to load credentials", "loading credentials"]) => {
            "the credentials could not be loaded: sign in again, or pass another --profile"
        }
        () if mentions(&["dns error", "failed to lookup", "client error (Connect)"]) => {
            "AWS cannot be reached: check the region and --endpoint-url"
        }
        () => return None,
    };
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_get_advice_once() {
        let table = [
            ("ExpiredTokenException", "sign in again"),
            ("AccessDeniedException", "OperatorArns"),
            ("AWS.SimpleQueueService.NonExistentQueue", "no such queue"),
            ("InvalidClientTokenId", "does not know these credentials"),
        ];
        for (cause, advice) in table {
            let text = with_advice(cause);
            assert!(text.starts_with(cause) && text.contains(advice), "{text}");
        }
        assert_eq!(with_advice("OverLimit"), "OverLimit");
        let once = with_advice("KmsAccessDenied");
        assert_eq!((with_advice(&once), once.contains("KMS key")), (once.clone(), true));
    }
}
