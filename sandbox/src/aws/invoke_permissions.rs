//! The resource-based policies of the triggers, as Lambda's GetPolicy returns them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use shared::function_id::FunctionId;
use winterbaume_core::{MockRequest, MockResponse};

use super::names::{ACCOUNT_ID, USER_POOL_ID, trigger_arn};
use super::sdk_client::{REGION, error_response};

/// By default, the account's user pool may invoke each trigger.
#[derive(Default)]
pub struct InvokePermissions {
    removed: Mutex<BTreeSet<FunctionId>>,
}

impl InvokePermissions {
    /// Removes the permission of a trigger, as RemovePermission can.
    pub fn remove(&self, trigger: FunctionId) {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(trigger);
    }

    /// True if the request is GetPolicy.
    pub(super) fn is_for_policy(request: &MockRequest) -> bool {
        request.uri.contains("/2015-03-31/functions/") && request.uri.ends_with("/policy")
    }

    /// The answer to GetPolicy. A function without a policy is not found, as on AWS.
    pub(super) fn policy(&self, request: &MockRequest) -> MockResponse {
        let uri = request.uri.replace("%3A", ":");
        let arn = uri.trim_end_matches("/policy").rsplit('/').next().unwrap_or_default();
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut permitted = FunctionId::triggers().filter(|trigger| !removed.contains(trigger));
        if !permitted.any(|trigger| trigger_arn(trigger) == arn) {
            return error_response("ResourceNotFoundException", false);
        }
        let pool = format!("arn:aws:cognito-idp:{REGION}:{ACCOUNT_ID}:userpool/{USER_POOL_ID}");
        let statement = json!({
            "Sid": "permission", "Effect": "Allow", "Principal": {"Service": "cognito-idp.amazonaws.com"},
            "Action": "lambda:InvokeFunction", "Resource": arn,
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": ACCOUNT_ID}, "ArnLike": {"AWS:SourceArn": pool},
            },
        });
        let policy = json!({"Version": "2012-10-17", "Id": "default", "Statement": [statement]});
        MockResponse::json(200, json!({"Policy": policy.to_string(), "RevisionId": "1"}).to_string())
    }
}
