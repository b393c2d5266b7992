//! The user's account in the user pool: finding it, signing it out, disabling and enabling it.

use anyhow::{Result, anyhow};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::ProvideErrorMetadata;
use aws_sdk_cognitoidentityprovider::types::UserType;

use crate::aws_error::{Service, aws_error};

/// An account in a user pool.
pub struct PoolAccount {
    cognito: Client,
    user_pool_id: String,
    username: String,
    pub is_enabled: bool,
    pub email: Option<String>,
}

impl PoolAccount {
    /// Finds the user with this sub. `None` if the pool has none.
    ///
    /// The username in the profile is not used: after a deletion, another person can have the same
    /// username.
    pub async fn find(cognito: Client, user_pool_id: &str, sub: &str) -> Result<Option<Self>> {
        let filter = sub_filter(sub);
        let mut token = None;
        loop {
            let call = cognito.list_users().user_pool_id(user_pool_id).filter(&filter);
            let output = call.set_pagination_token(token).send().await.map_err(|error| match error.code() {
                Some("ResourceNotFoundException") => anyhow!(
                    "user pool {user_pool_id} does not exist in this account and region. Check --user-pool and \
                     --region"
                ),
                _ => aws_error(Service::Cognito, "ListUsers")(error),
            })?;
            let users = output.users.unwrap_or_default();
            if let Some(user) = users.into_iter().find(|user| attribute(user, "sub") == Some(sub)) {
                let email = attribute(&user, "email").map(str::to_owned);
                let username =
                    user.username.ok_or_else(|| anyhow!("Cognito returned a user without a name"))?;
                let user_pool_id = user_pool_id.to_owned();
                return Ok(Some(Self { cognito, user_pool_id, username, is_enabled: user.enabled, email }));
            }
            // Cognito can return a page without a match before the one with the match.
            token = output.pagination_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    /// Revokes the user's refresh tokens. Tokens that an API verifies offline stay valid until they
    /// expire.
    pub async fn sign_out(&self) -> Result<()> {
        let call = self.cognito.admin_user_global_sign_out().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).send().await;
        call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminUserGlobalSignOut"))
    }

    pub async fn disable(&self) -> Result<()> {
        let call = self.cognito.admin_disable_user().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).send().await;
        call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminDisableUser"))
    }

    pub async fn enable(&self) -> Result<()> {
        let call = self.cognito.admin_enable_user().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).send().await;
        call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminEnableUser"))
    }

    /// `enabled` or `disabled`.
    pub fn state(&self) -> &'static str {
        if self.is_enabled { "enabled" } else { "disabled" }
    }
}

fn attribute<'a>(user: &'a UserType, name: &str) -> Option<&'a str> {
    user.attributes()
        .iter()
        .find(|attribute| attribute.name() == name)
        .and_then(|attribute| attribute.value())
}

/// The filter of ListUsers. Cognito wants quotation marks escaped with a backslash.
fn sub_filter(sub: &str) -> String {
    format!("sub = \"{}\"", sub.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_cannot_be_extended_by_a_sub() {
        for (sub, filter) in [
            ("7d8ca528-4931", r#"sub = "7d8ca528-4931""#),
            (r#"x" or sub ^= ""#, r#"sub = "x\" or sub ^= \"""#),
            (r#"x\"#, r#"sub = "x\\""#),
        ] {
            assert_eq!(sub_filter(sub), filter);
        }
    }
}
