//! The settings of a user pool that this version knows, and how an update treats each of them.
//!
//! UpdateUserPool resets every setting that the request does not have, and it does not accept every
//! field that DescribeUserPool returns. A field that is not in these tables stops a command before the
//! update, because nobody knows if the update would reset it. tests/it/replay/settings.rs compares the
//! tables with the shapes of Amazon Cognito's API.

/// How an update treats a field of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// The request has the field with the same path.
    Updatable,
    /// The request has the field under this name.
    Renamed(&'static str),
    /// The request accepts the field only if the pool does not have the newer field with this path.
    /// Cognito refuses a request with both.
    Superseded(&'static str),
    /// The request does not have the field. An update does not change it.
    ReadOnly,
    /// The same, but Cognito itself changes the field at any time: it is a time, a count or the last
    /// failure of a delivery.
    Volatile,
}

use Treatment::{ReadOnly, Renamed, Superseded, Updatable, Volatile};

/// The fields of `UserPool` in an answer of DescribeUserPool. `[]` is each element of a list, `*` each
/// key of a map.
pub const USER_POOL: &[(&str, Treatment)] = &[
    ("Id", ReadOnly),
    ("Name", Renamed("PoolName")),
    ("Policies.PasswordPolicy.MinimumLength", Updatable),
    ("Policies.PasswordPolicy.RequireUppercase", Updatable),
    ("Policies.PasswordPolicy.RequireLowercase", Updatable),
    ("Policies.PasswordPolicy.RequireNumbers", Updatable),
    ("Policies.PasswordPolicy.RequireSymbols", Updatable),
    ("Policies.PasswordPolicy.PasswordHistorySize", Updatable),
    ("Policies.PasswordPolicy.TemporaryPasswordValidityDays", Updatable),
    ("Policies.SignInPolicy.AllowedFirstAuthFactors", Updatable),
    ("DeletionProtection", Updatable),
    ("LambdaConfig.PreSignUp", Updatable),
    ("LambdaConfig.CustomMessage", Updatable),
    ("LambdaConfig.PostConfirmation", Updatable),
    ("LambdaConfig.PreAuthentication", Updatable),
    ("LambdaConfig.PostAuthentication", Updatable),
    ("LambdaConfig.DefineAuthChallenge", Updatable),
    ("LambdaConfig.CreateAuthChallenge", Updatable),
    ("LambdaConfig.VerifyAuthChallengeResponse", Updatable),
    ("LambdaConfig.PreTokenGeneration", Updatable),
    ("LambdaConfig.UserMigration", Updatable),
    ("LambdaConfig.PreTokenGenerationConfig.LambdaVersion", Updatable),
    ("LambdaConfig.PreTokenGenerationConfig.LambdaArn", Updatable),
    ("LambdaConfig.CustomSMSSender.LambdaVersion", Updatable),
    ("LambdaConfig.CustomSMSSender.LambdaArn", Updatable),
    ("LambdaConfig.CustomEmailSender.LambdaVersion", Updatable),
    ("LambdaConfig.CustomEmailSender.LambdaArn", Updatable),
    ("LambdaConfig.KMSKeyID", Updatable),
    ("LambdaConfig.InboundFederation.LambdaVersion", Updatable),
    ("LambdaConfig.InboundFederation.LambdaArn", Updatable),
    ("Status", ReadOnly),
    ("LastModifiedDate", Volatile),
    ("CreationDate", ReadOnly),
    ("SchemaAttributes[].Name", ReadOnly),
    ("SchemaAttributes[].AttributeDataType", ReadOnly),
    ("SchemaAttributes[].DeveloperOnlyAttribute", ReadOnly),
    ("SchemaAttributes[].Mutable", ReadOnly),
    ("SchemaAttributes[].Required", ReadOnly),
    ("SchemaAttributes[].NumberAttributeConstraints.MinValue", ReadOnly),
    ("SchemaAttributes[].NumberAttributeConstraints.MaxValue", ReadOnly),
    ("SchemaAttributes[].StringAttributeConstraints.MinLength", ReadOnly),
    ("SchemaAttributes[].StringAttributeConstraints.MaxLength", ReadOnly),
    ("AutoVerifiedAttributes", Updatable),
    ("AliasAttributes", ReadOnly),
    ("UsernameAttributes", ReadOnly),
    ("SmsVerificationMessage", Updatable),
    ("EmailVerificationMessage", Updatable),
    ("EmailVerificationSubject", Updatable),
    ("VerificationMessageTemplate.SmsMessage", Updatable),
    ("VerificationMessageTemplate.EmailMessage", Updatable),
    ("VerificationMessageTemplate.EmailSubject", Updatable),
    ("VerificationMessageTemplate.EmailMessageByLink", Updatable),
    ("VerificationMessageTemplate.EmailSubjectByLink", Updatable),
    ("VerificationMessageTemplate.DefaultEmailOption", Updatable),
    ("SmsAuthenticationMessage", Updatable),
    ("UserAttributeUpdateSettings.AttributesRequireVerificationBeforeUpdate", Updatable),
    ("MfaConfiguration", Updatable),
    ("DeviceConfiguration.ChallengeRequiredOnNewDevice", Updatable),
    ("DeviceConfiguration.DeviceOnlyRememberedOnUserPrompt", Updatable),
    ("EstimatedNumberOfUsers", Volatile),
    ("EmailConfiguration.SourceArn", Updatable),
    ("EmailConfiguration.ReplyToEmailAddress", Updatable),
    ("EmailConfiguration.EmailSendingAccount", Updatable),
    ("EmailConfiguration.From", Updatable),
    ("EmailConfiguration.ConfigurationSet", Updatable),
    ("SmsConfiguration.SnsCallerArn", Updatable),
    ("SmsConfiguration.ExternalId", Updatable),
    ("SmsConfiguration.SnsRegion", Updatable),
    ("SmsConfiguration.EumsSms.CallerArn", Updatable),
    ("SmsConfiguration.EumsSms.ExternalId", Updatable),
    ("SmsConfiguration.EumsSms.OriginationIdentity", Updatable),
    ("SmsConfiguration.EumsSms.ConfigurationSetName", Updatable),
    ("SmsConfiguration.EumsSms.InEntityId", Updatable),
    ("SmsConfiguration.EumsSms.InTemplateId", Updatable),
    ("SmsConfiguration.EumsSms.Region", Updatable),
    ("UserPoolTags.*", Updatable),
    ("SmsConfigurationFailure", Volatile),
    ("EmailConfigurationFailure", Volatile),
    ("Domain", ReadOnly),
    ("CustomDomain", ReadOnly),
    ("AdminCreateUserConfig.AllowAdminCreateUserOnly", Updatable),
    (
        "AdminCreateUserConfig.UnusedAccountValidityDays",
        Superseded("Policies.PasswordPolicy.TemporaryPasswordValidityDays"),
    ),
    ("AdminCreateUserConfig.InviteMessageTemplate.SMSMessage", Updatable),
    ("AdminCreateUserConfig.InviteMessageTemplate.EmailMessage", Updatable),
    ("AdminCreateUserConfig.InviteMessageTemplate.EmailSubject", Updatable),
    ("UserPoolAddOns.AdvancedSecurityMode", Updatable),
    ("UserPoolAddOns.AdvancedSecurityAdditionalFlows.CustomAuthMode", Updatable),
    ("UsernameConfiguration.CaseSensitive", ReadOnly),
    ("Arn", ReadOnly),
    ("AccountRecoverySetting.RecoveryMechanisms[].Priority", Updatable),
    ("AccountRecoverySetting.RecoveryMechanisms[].Name", Updatable),
    ("UserPoolTier", Updatable),
    ("KeyConfiguration.KeyType", Updatable),
    ("KeyConfiguration.KmsKeyArn", Updatable),
    ("IssuerConfiguration.Type", Updatable),
];

/// The fields of an answer of GetUserPoolMfaConfig. SetUserPoolMfaConfig has all of them.
pub const MFA_CONFIG: &[(&str, Treatment)] = &[
    ("SmsMfaConfiguration.SmsAuthenticationMessage", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.SnsCallerArn", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.ExternalId", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.SnsRegion", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.CallerArn", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.ExternalId", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.OriginationIdentity", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.ConfigurationSetName", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.InEntityId", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.InTemplateId", Updatable),
    ("SmsMfaConfiguration.SmsConfiguration.EumsSms.Region", Updatable),
    ("SoftwareTokenMfaConfiguration.Enabled", Updatable),
    ("EmailMfaConfiguration.Message", Updatable),
    ("EmailMfaConfiguration.Subject", Updatable),
    ("MfaConfiguration", Updatable),
    ("WebAuthnConfiguration.RelyingPartyId", Updatable),
    ("WebAuthnConfiguration.UserVerification", Updatable),
    ("WebAuthnConfiguration.FactorConfiguration", Updatable),
];

/// How an update treats the field with this path. `None` if the table does not have it.
pub fn treatment(table: &[(&str, Treatment)], path: &str) -> Option<Treatment> {
    let row = table.iter().find(|(known, _)| match known.strip_suffix('*') {
        Some(map) => path.strip_prefix(map).is_some_and(|key| !key.is_empty()),
        None => *known == path,
    });
    row.map(|(_, treatment)| *treatment)
}

/// True if the table has a field below this path.
pub fn is_parent(table: &[(&str, Treatment)], path: &str) -> bool {
    let below = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '[']));
    table.iter().any(|(known, _)| below(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_found_by_its_path() {
        for (path, expected) in [
            ("Name", Some(Renamed("PoolName"))),
            ("Policies.PasswordPolicy.MinimumLength", Some(Updatable)),
            ("UserPoolTags.team.name", Some(Updatable)),
            ("UserPoolTags.", None),
            ("SchemaAttributes[].Name", Some(ReadOnly)),
            ("LastModifiedDate", Some(Volatile)),
            ("Policies", None),
            ("Policies.PasswordPolicy.MaximumLength", None),
        ] {
            assert_eq!(treatment(USER_POOL, path), expected, "{path}");
        }
        for (path, expected) in [
            ("Policies", true),
            ("SchemaAttributes", true),
            ("UserPoolTags", true),
            ("Pol", false),
            ("Name", false),
        ] {
            assert_eq!(is_parent(USER_POOL, path), expected, "{path}");
        }
    }

    #[test]
    fn no_field_is_twice_in_a_table() {
        for table in [USER_POOL, MFA_CONFIG] {
            for (index, (path, _)) in table.iter().enumerate() {
                assert!(table.iter().skip(index + 1).all(|(other, _)| other != path), "{path}");
            }
        }
    }
}
