//! The step `account`: a call of a user or an administrator to Cognito that invokes no trigger. The user
//! pool changes, and the queue gets what CloudTrail reports, in the shape of the files in
//! `events/account-activity/`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::text::plural;

use crate::aws::SandboxAccount;
use crate::aws::account::{ACCOUNT_ID, USER_POOL_ID};
use crate::aws::sdk_client::REGION;
use crate::tokens::random_uuid;

/// Address of the caller, for documentation (RFC 5737).
const SOURCE_ADDRESS: &str = "192.0.2.44";
/// What CloudTrail writes in place of a value.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// A call, and the user that it is about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountStep {
    pub sub: String,
    pub call: Call,
    /// For UpdateUserAttributes: the new values. `null` deletes an attribute.
    #[serde(default)]
    pub attributes: BTreeMap<String, Option<String>>,
    /// For SetUserMFAPreference: true if an authenticator app is on.
    #[serde(default)]
    pub mfa: Option<bool>,
    /// Number of times that the call is made.
    #[serde(default = "once")]
    pub times: usize,
}

/// A call that a step can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Call {
    AdminDisableUser,
    AdminEnableUser,
    ChangePassword,
    DeleteUser,
    GlobalSignOut,
    /// A sign-in with a wrong password.
    InitiateAuth,
    #[serde(rename = "SetUserMFAPreference")]
    SetUserMfaPreference,
    UpdateUserAttributes,
}

fn once() -> usize {
    1
}

impl Call {
    /// The name in CloudTrail.
    fn name(self) -> &'static str {
        match self {
            Self::AdminDisableUser => "AdminDisableUser",
            Self::AdminEnableUser => "AdminEnableUser",
            Self::ChangePassword => "ChangePassword",
            Self::DeleteUser => "DeleteUser",
            Self::GlobalSignOut => "GlobalSignOut",
            Self::InitiateAuth => "InitiateAuth",
            Self::SetUserMfaPreference => "SetUserMFAPreference",
            Self::UpdateUserAttributes => "UpdateUserAttributes",
        }
    }

    /// The parameters of the call, as CloudTrail shows them.
    fn parameters(self) -> Value {
        match self {
            Self::AdminDisableUser | Self::AdminEnableUser => {
                json!({"userPoolId": USER_POOL_ID, "username": HIDDEN})
            }
            Self::InitiateAuth => json!({"authFlow": "USER_SRP_AUTH", "authParameters": HIDDEN}),
            _ => json!({"accessToken": HIDDEN}),
        }
    }
}

impl AccountStep {
    /// The field that is wrong, and why.
    pub fn validate(&self) -> Result<(), String> {
        let Self { sub, call, attributes, mfa, times } = self;
        let problem = if sub.trim().is_empty() {
            "sub: is empty"
        } else if attributes.is_empty() == (*call == Call::UpdateUserAttributes) {
            "attributes: UpdateUserAttributes needs it, and no other call has it"
        } else if mfa.is_none() == (*call == Call::SetUserMfaPreference) {
            "mfa: SetUserMFAPreference needs it, and no other call has it"
        } else if *times == 0 {
            "times: must not be 0"
        } else {
            return Ok(());
        };
        Err(format!("account.{problem}"))
    }

    /// Changes the user pool, and sends the events to account-activities. Returns what was done, in a few
    /// words.
    pub async fn play(&self, account: &SandboxAccount) -> Result<String> {
        let pools = account.backend().user_pools();
        let username = pools.username(USER_POOL_ID, &self.sub).await.with_context(|| {
            format!(
                "account.sub: the user pool has no user {}. Add a step that invokes pre-token-generation before",
                self.sub
            )
        })?;
        match self.call {
            Call::AdminDisableUser => pools.enable_user(USER_POOL_ID, &username, false).await,
            Call::AdminEnableUser => pools.enable_user(USER_POOL_ID, &username, true).await,
            Call::DeleteUser => pools.delete_user(USER_POOL_ID, &username).await,
            Call::SetUserMfaPreference => {
                pools.set_mfa(USER_POOL_ID, &username, self.mfa.unwrap_or_default());
            }
            Call::UpdateUserAttributes => {
                pools.change_attributes(USER_POOL_ID, &username, &self.attributes).await;
            }
            Call::ChangePassword | Call::GlobalSignOut | Call::InitiateAuth => {}
        }
        let (sqs, queue) = (account.sqs(), &account.account_activities);
        for _ in 0..self.times {
            let body = self.event(account)?.to_string();
            sqs.send_message().queue_url(&queue.url).message_body(body).send().await?;
        }
        Ok(format!("{} sent to {}", plural(self.times, "CloudTrail event"), queue.name))
    }

    /// The event of CloudTrail in the envelope of EventBridge.
    fn event(&self, account: &SandboxAccount) -> Result<Value> {
        let now = account.time.now().to_string();
        let mut detail = json!({
            "eventVersion": "1.11", "eventTime": now, "eventSource": "cognito-idp.amazonaws.com",
            "eventName": self.call.name(), "awsRegion": REGION, "sourceIPAddress": SOURCE_ADDRESS,
            "requestParameters": self.call.parameters(), "responseElements": null,
            "additionalEventData": {"sub": self.sub}, "eventID": random_uuid()?, "readOnly": false,
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": ACCOUNT_ID,
        });
        if self.call == Call::InitiateAuth {
            detail["errorCode"] = json!("NotAuthorizedException");
            detail["errorMessage"] = json!("Incorrect username or password.");
        }
        Ok(json!({
            "version": "0", "id": random_uuid()?, "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.cognito-idp", "account": ACCOUNT_ID, "time": now, "region": REGION,
            "resources": [], "detail": detail,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_has_what_its_call_needs_and_nothing_else() {
        for (step, expected) in [
            (json!({"sub": "a", "call": "DeleteUser"}), Ok(())),
            (json!({"sub": "a", "call": "SetUserMFAPreference", "mfa": true}), Ok(())),
            (json!({"sub": "a", "call": "UpdateUserAttributes", "attributes": {"name": null}}), Ok(())),
            (json!({"sub": " ", "call": "DeleteUser"}), Err("account.sub")),
            (json!({"sub": "a", "call": "UpdateUserAttributes"}), Err("account.attributes")),
            (
                json!({"sub": "a", "call": "DeleteUser", "attributes": {"name": "A"}}),
                Err("account.attributes"),
            ),
            (json!({"sub": "a", "call": "SetUserMFAPreference"}), Err("account.mfa")),
            (json!({"sub": "a", "call": "DeleteUser", "mfa": false}), Err("account.mfa")),
            (json!({"sub": "a", "call": "InitiateAuth", "times": 0}), Err("account.times")),
        ] {
            let parsed: AccountStep = serde_json::from_value(step.clone()).unwrap();
            match (parsed.validate(), expected) {
                (Ok(()), Ok(())) => {}
                (Err(problem), Err(field)) if problem.starts_with(field) => {}
                (found, _) => panic!("{step}: {found:?}"),
            }
        }
    }
}
