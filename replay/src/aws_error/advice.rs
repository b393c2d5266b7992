//! What to do about each error code of AWS.
//!
//! Sources: the *Common errors* and the errors of each operation in the API references of the services,
//! and the policy types that IAM names in a denial (IAM User Guide, *Troubleshoot access denied error
//! messages*). SQS has two names for some codes: that of the query protocol, which the SDK reports if SQS
//! sends the header `x-amzn-query-error`, and that of the JSON protocol.

use std::fmt;

/// A service of AWS that commands call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    CloudFormation,
    CloudWatch,
    CloudWatchLogs,
    Cognito,
    DynamoDb,
    Lambda,
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
            Self::Lambda => "Lambda",
            Self::Sqs => "SQS",
            Self::Sts => "STS",
        })
    }
}

/// What to do if a service answers with one of the codes.
#[derive(Clone, Copy, Debug)]
pub struct AdviceRow {
    /// `None` for all services.
    pub service: Option<Service>,
    /// Error codes, with or without `Exception` at the end.
    pub codes: &'static [&'static str],
    /// A part of AWS's sentence, in lower case. The row counts only if the sentence contains it.
    pub mention: Option<&'static str>,
    pub advice: &'static str,
}

const fn row(
    service: Service,
    codes: &'static [&'static str],
    mention: Option<&'static str>,
    advice: &'static str,
) -> AdviceRow {
    AdviceRow { service: Some(service), codes, mention, advice }
}

const fn any(
    codes: &'static [&'static str],
    mention: Option<&'static str>,
    advice: &'static str,
) -> AdviceRow {
    AdviceRow { service: None, codes, mention, advice }
}

const ACCESS_DENIED: &[&str] = &["AccessDenied", "NotAuthorized"];
const SIGNATURE: &[&str] = &["InvalidSignature", "SignatureDoesNotMatch"];
const THROTTLED: &[&str] = &[
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "ProvisionedThroughputExceededException",
];

const CHECK_CLOCK: &str = "check this machine's clock: AWS refuses a call whose time is off by minutes";
const NO_PERMISSION: &str = "your role lacks the permission: docs/replay.md lists what each command needs";

use Service::{CloudFormation, CloudWatch, CloudWatchLogs, Cognito, DynamoDb, Lambda, Sqs, Sts};

/// All advice. The first row that matches counts.
pub const ROWS: &[AdviceRow] = &[
    any(&["ExpiredToken", "TokenRefreshRequired"], None, "the credentials expired: sign in again"),
    any(SIGNATURE, Some("signature expired"), CHECK_CLOCK),
    any(SIGNATURE, Some("signature not yet current"), CHECK_CLOCK),
    any(&["RequestExpired", "RequestTimeTooSkewed"], None, CHECK_CLOCK),
    any(
        &[
            "InvalidClientTokenId",
            "UnrecognizedClient",
            "InvalidSignature",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "MissingAuthenticationToken",
            "AuthFailure",
        ],
        None,
        "AWS does not know these credentials: check that they are complete, belong to this account, and that \
         the account has enabled the region",
    ),
    any(
        &["OptInRequired", "SubscriptionRequired", "RegionDisabled"],
        None,
        "the account has not enabled this service or region",
    ),
    any(
        ACCESS_DENIED,
        Some("service control policy"),
        "a policy of your organization denies the call: ask its administrator",
    ),
    any(
        ACCESS_DENIED,
        Some("resource control policy"),
        "a policy of your organization denies the call: ask its administrator",
    ),
    any(
        ACCESS_DENIED,
        Some("permissions boundary"),
        "the permissions boundary of your role does not allow the call",
    ),
    any(ACCESS_DENIED, Some("session policy"), "the policy of your session does not allow the call"),
    any(ACCESS_DENIED, Some("vpc endpoint policy"), "the policy of the VPC endpoint does not allow the call"),
    any(
        ACCESS_DENIED,
        Some("kms:"),
        "your role may not use the KMS key: the role's policy or the key's policy must allow it",
    ),
    row(
        Sqs,
        &["KMS.AccessDeniedException", "KmsAccessDenied"],
        None,
        "your role may not use the queue's KMS key: allow kms:Decrypt, and kms:GenerateDataKey to send",
    ),
    row(
        Sqs,
        &["KMS.DisabledException", "KmsDisabled", "KMS.InvalidStateException", "KmsInvalidState"],
        None,
        "the queue's KMS key is disabled, or will be deleted: enable it",
    ),
    row(
        Sqs,
        &["KMS.NotFoundException", "KmsNotFound"],
        None,
        "the queue's KMS key does not exist: set another one at the queue",
    ),
    row(
        Sqs,
        &["KMS.InvalidKeyUsageException", "KmsInvalidKeyUsage"],
        None,
        "the queue's KMS key is not for encryption: set another one at the queue",
    ),
    row(
        Sqs,
        &["KMS.OptInRequired", "KmsOptInRequired"],
        None,
        "the account of the queue's KMS key has not enabled KMS",
    ),
    row(
        Sqs,
        &["KMS.ThrottlingException", "KmsThrottled"],
        None,
        "KMS throttles the calls for the queue's key: wait a minute, then run the command again with a lower \
         --rate",
    ),
    row(
        Sqs,
        ACCESS_DENIED,
        Some("no identity-based policy"),
        "your role's own policy lacks the permission: docs/replay.md lists what each command needs",
    ),
    row(
        Sqs,
        ACCESS_DENIED,
        None,
        "your role lacks the permission; the queues of the template accept only the roles in OperatorArns",
    ),
    row(
        Sqs,
        &["AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"],
        None,
        "there is no such queue in this account and region: check the name, --profile and --region, and pass \
         --stack for a short name",
    ),
    row(
        Sqs,
        &["InvalidAddress"],
        None,
        "the queue's URL does not belong to this endpoint: pass the name of the queue",
    ),
    row(Sqs, &["InvalidSecurity"], None, "SQS accepts only HTTPS: use https:// in --endpoint-url"),
    row(
        Sqs,
        &["InvalidMessageContents"],
        None,
        "the body of a message has characters that SQS does not accept, such as control characters",
    ),
    row(
        Sqs,
        &["InvalidParameterValue"],
        Some("must be shorter than"),
        "the message is longer than the queue's MaximumMessageSize: raise it, or send to another queue",
    ),
    row(
        Sqs,
        &["InvalidParameterValue"],
        Some("already a task running"),
        "follow the running move task with `replay move-task follow`, or stop it with `replay move-task cancel`",
    ),
    row(
        DynamoDb,
        &["ResourceNotFoundException"],
        None,
        "there is no such table in this account and region: check --table, --profile and --region",
    ),
    row(
        DynamoDb,
        &["ValidationException"],
        Some("does not match the schema"),
        "this table is not the template's: check --table",
    ),
    row(
        DynamoDb,
        ACCESS_DENIED,
        None,
        "your role lacks the permission on the table: docs/replay.md lists what each command needs",
    ),
    row(
        Cognito,
        &["ResourceNotFoundException"],
        None,
        "there is no such user pool in this account and region: check --user-pool, --profile and --region",
    ),
    row(
        Cognito,
        &["InvalidParameterException"],
        Some("userpoolid"),
        "--user-pool takes the id of a user pool, such as eu-central-1_EXAMPLE12",
    ),
    row(
        Cognito,
        ACCESS_DENIED,
        Some("iam:passrole"),
        "your role may not pass the role in SmsConfiguration to Cognito: allow iam:PassRole on it, because an \
         update passes all settings of the user pool",
    ),
    row(
        Cognito,
        ACCESS_DENIED,
        None,
        "your role lacks the permission on the user pool: docs/replay.md lists what each command needs",
    ),
    row(
        Cognito,
        &["UserNotFoundException"],
        None,
        "the user pool has no such user: check the sub and --user-pool",
    ),
    row(
        Cognito,
        &["UsernameExistsException", "AliasExistsException"],
        None,
        "the user pool already has a user with this name or address",
    ),
    row(
        Cognito,
        &["InvalidPasswordException", "PasswordHistoryPolicyViolationException"],
        None,
        "the password policy of the user pool refuses the password: choose another one",
    ),
    row(
        Cognito,
        &["ConcurrentModificationException"],
        None,
        "something else changes the user pool at the same time: run the command again",
    ),
    row(
        Cognito,
        &["UserImportInProgressException"],
        None,
        "an import of users runs in the user pool: run the command again when it has ended",
    ),
    row(
        Cognito,
        &["InvalidSmsRoleAccessPolicyException", "InvalidSmsRoleTrustRelationshipException"],
        None,
        "Cognito cannot use the role in SmsConfiguration of the user pool: correct the role, or set another one",
    ),
    row(
        Cognito,
        &["InvalidEmailRoleAccessPolicyException"],
        None,
        "Cognito cannot send with the identity in EmailConfiguration of the user pool: correct its policy",
    ),
    row(
        Cognito,
        &["FeatureUnavailableInTierException", "TierChangeNotAllowedException"],
        None,
        "the feature plan of the user pool does not allow its settings: choose another plan, or change them",
    ),
    row(Cognito, &["UserLambdaValidationException"], None, "a trigger of the user pool denied it"),
    row(
        Cognito,
        &["UnexpectedLambdaException", "InvalidLambdaResponseException"],
        None,
        "a trigger of the user pool failed: read its log",
    ),
    row(
        Cognito,
        &["CodeDeliveryFailureException"],
        None,
        "Cognito could not send the message: check the email settings of the user pool",
    ),
    row(
        Lambda,
        &["ResourceNotFoundException"],
        None,
        "there is no such function in this account and region: check --stack, --profile and --region",
    ),
    row(
        CloudFormation,
        &["ValidationError"],
        Some("does not exist"),
        "there is no such stack in this account and region: check --stack, --profile and --region",
    ),
    row(CloudFormation, ACCESS_DENIED, None, NO_PERMISSION),
    row(CloudWatch, ACCESS_DENIED, None, NO_PERMISSION),
    row(
        CloudWatchLogs,
        &["ResourceNotFoundException"],
        None,
        "there is no such log group in this account and region: check its name, --profile and --region",
    ),
    row(CloudWatchLogs, ACCESS_DENIED, None, NO_PERMISSION),
    row(
        Sts,
        ACCESS_DENIED,
        Some("multifactorauthentication"),
        "the role needs multi-factor authentication: set mfa_serial in the profile, and use a new code",
    ),
    row(
        Sts,
        ACCESS_DENIED,
        None,
        "the role's trust policy does not accept your credentials, or they lack sts:AssumeRole: check \
         role_arn and source_profile",
    ),
    any(ACCESS_DENIED, None, NO_PERMISSION),
    any(
        THROTTLED,
        None,
        "AWS throttles the calls: wait a minute, then run the command again, with a lower --rate if it has one",
    ),
    any(
        &[
            "ServiceUnavailable",
            "InternalError",
            "InternalErrorException",
            "InternalFailure",
            "InternalServerError",
            "InternalServiceError",
        ],
        None,
        "AWS has a problem: run the command again later",
    ),
];

/// What to do about an error code. `sentence` is AWS's error message.
pub fn advice(service: Option<Service>, code: &str, sentence: &str) -> Option<&'static str> {
    let sentence = sentence.to_lowercase();
    let row = ROWS.iter().find(|row| {
        (row.service.is_none() || row.service == service)
            && row.codes.iter().any(|known| without_suffix(known) == without_suffix(code))
            && row.mention.is_none_or(|mention| sentence.contains(mention))
    });
    row.map(|row| row.advice)
}

/// The rows as a Markdown table, for docs/replay.md.
pub fn table() -> String {
    let row = |row: &AdviceRow| {
        let service = row.service.map_or_else(|| "all".to_owned(), |service| service.to_string());
        let codes = row.codes.iter().map(|code| format!("`{code}`"));
        let mention = row.mention.map(|mention| format!("\"{mention}\"")).unwrap_or_default();
        format!("| {service} | {} | {mention} | {} |\n", codes.collect::<Vec<_>>().join(", "), row.advice)
    };
    let head = "| Service | Code | AWS's sentence contains | What to do |\n|---|---|---|---|\n";
    ROWS.iter().fold(head.to_owned(), |table, next| table + &row(next))
}

/// The code without `Exception`, which some services and protocols add.
fn without_suffix(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.strip_suffix("Exception").unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [Service; 8] =
        [CloudFormation, CloudWatch, CloudWatchLogs, Cognito, DynamoDb, Lambda, Sqs, Sts];

    #[test]
    fn every_row_gives_its_advice_for_each_code() {
        for row in ROWS {
            let services = row.service.map_or_else(|| SERVICES.to_vec(), |service| vec![service]);
            let sentence = format!("User X: {} y", row.mention.unwrap_or("z"));
            for (service, code) in services.into_iter().flat_map(|s| row.codes.iter().map(move |c| (s, *c))) {
                let given = advice(Some(service), code, &sentence);
                let of_the_service = |other: &&AdviceRow| other.service == Some(service);
                let is_shadowed = row.service.is_none()
                    && ROWS.iter().filter(of_the_service).any(|other| {
                        other.mention.is_none()
                            && other.codes.iter().any(|c| without_suffix(c) == without_suffix(code))
                    });
                assert!(given == Some(row.advice) || is_shadowed, "{service} {code}: {given:?}");
                assert_eq!(advice(Some(service), &format!("com.amazonaws#{code}"), &sentence), given);
            }
        }
    }

    #[test]
    fn advice_about_operator_arns_is_only_for_queues() {
        for service in SERVICES {
            let given = advice(Some(service), "AccessDeniedException", "User X is not authorized").unwrap();
            assert_eq!(given.contains("OperatorArns"), service == Sqs, "{service}: {given}");
        }
        assert_eq!(advice(None, "AccessDenied", ""), Some(NO_PERMISSION));
        assert_eq!(advice(Some(DynamoDb), "QueueDoesNotExist", ""), None);
    }

    #[test]
    fn sentence_decides_between_advice_for_one_code() {
        for (service, code, sentence, expected) in [
            (
                Sqs,
                "InvalidSignatureException",
                "Signature expired: 20260302T090000Z is now earlier than",
                "clock",
            ),
            (
                Sts,
                "SignatureDoesNotMatch",
                "Signature not yet current: 20260302T090000Z is still later",
                "clock",
            ),
            (
                DynamoDb,
                "InvalidSignatureException",
                "The request signature we calculated does not match",
                "does not know these credentials",
            ),
            (
                Sqs,
                "AccessDenied",
                "User: X is not authorized to perform: sqs:ReceiveMessage because no identity-based policy allows it",
                "your role's own policy",
            ),
            (Sqs, "AccessDenied", "with an explicit deny in a resource-based policy", "OperatorArns"),
            (Sqs, "AccessDenied", "with an explicit deny in a service control policy", "your organization"),
            (
                DynamoDb,
                "AccessDeniedException",
                "User: X is not authorized to perform: kms:Decrypt on the resource",
                "KMS key",
            ),
        ] {
            let given = advice(Some(service), code, sentence).unwrap();
            assert!(given.contains(expected), "{code}: {given}");
        }
    }
}
