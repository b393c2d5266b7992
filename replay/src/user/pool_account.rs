//! A user's account in the user pool: what Cognito stores about it, and the calls that change it.

use anyhow::{Result, anyhow};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::ProvideErrorMetadata;
use aws_sdk_cognitoidentityprovider::types::{UserStatusType, UserType};
use jiff::Timestamp;
use shared::email_domain::Domain;

use crate::aws_error::{Service, aws_error};

/// An account in a user pool.
#[derive(Clone, Debug)]
pub struct PoolAccount {
    cognito: Client,
    user_pool_id: String,
    username: String,
    pub sub: String,
    /// Such as `CONFIRMED`.
    pub status: String,
    pub is_enabled: bool,
    pub created_at: Option<Timestamp>,
    pub email: Option<String>,
}

impl PoolAccount {
    /// The account that Cognito describes. Fails if Cognito returns no `sub`: the username that could
    /// replace it is often an email address.
    pub fn of(cognito: &Client, user_pool_id: &str, user: UserType) -> Result<Self> {
        let email = attribute(&user, "email").map(str::to_owned);
        let sub = attribute(&user, "sub").map(str::to_owned).ok_or_else(|| {
            anyhow!(
                "Cognito returned an account without a sub, which names it here. Read the attributes of the user \
                 pool {user_pool_id} in the console"
            )
        })?;
        let created_at = user.user_create_date().and_then(|date| date.to_millis().ok());
        let status = user.user_status().map_or("no status", UserStatusType::as_str).to_owned();
        let username = user.username.ok_or_else(|| anyhow!("Cognito returned a user without a name"))?;
        Ok(Self {
            cognito: cognito.clone(),
            user_pool_id: user_pool_id.to_owned(),
            sub,
            username,
            status,
            is_enabled: user.enabled,
            created_at: created_at.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
            email,
        })
    }

    /// An account that was just created, and that ListUsers may not show yet.
    pub fn created(cognito: &Client, user_pool_id: &str, username: &str, sub: &str) -> Self {
        Self {
            cognito: cognito.clone(),
            user_pool_id: user_pool_id.to_owned(),
            username: username.to_owned(),
            sub: sub.to_owned(),
            status: UserStatusType::Unconfirmed.as_str().to_owned(),
            is_enabled: true,
            created_at: None,
            email: None,
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

    /// Deletes the account. An account that no longer exists counts as deleted.
    pub async fn delete(&self) -> Result<()> {
        let call = self.cognito.admin_delete_user().user_pool_id(&self.user_pool_id);
        match call.username(&self.username).send().await {
            Err(error) if error.code() == Some("UserNotFoundException") => Ok(()),
            call => call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminDeleteUser")),
        }
    }

    /// Sets a password. The user must change a temporary one at the next sign-in.
    pub async fn set_password(&self, password: &str, is_temporary: bool) -> Result<()> {
        let call = self.cognito.admin_set_user_password().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).password(password).permanent(!is_temporary);
        call.send().await.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminSetUserPassword"))
    }

    /// The names of the user's groups, in alphabetical order.
    pub async fn groups(&self) -> Result<Vec<String>> {
        let call = self.cognito.admin_list_groups_for_user().user_pool_id(&self.user_pool_id);
        let mut pages = call.username(&self.username).into_paginator().items().send();
        let mut groups = Vec::new();
        while let Some(group) = pages.next().await {
            let group = group.map_err(aws_error(Service::Cognito, "AdminListGroupsForUser"))?;
            groups.extend(group.group_name);
        }
        groups.sort_unstable();
        Ok(groups)
    }

    pub async fn add_to_group(&self, group: &str) -> Result<()> {
        let call = self.cognito.admin_add_user_to_group().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).group_name(group).send().await;
        call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminAddUserToGroup"))
    }

    pub async fn remove_from_group(&self, group: &str) -> Result<()> {
        let call = self.cognito.admin_remove_user_from_group().user_pool_id(&self.user_pool_id);
        let call = call.username(&self.username).group_name(group).send().await;
        call.map(|_| ()).map_err(aws_error(Service::Cognito, "AdminRemoveUserFromGroup"))
    }

    /// `enabled` or `disabled`.
    pub fn state(&self) -> &'static str {
        if self.is_enabled { "enabled" } else { "disabled" }
    }

    /// The username, unless it is the sub or can be an email address or a telephone number.
    pub fn shown_username(&self) -> Option<&str> {
        let is_shown = self.username != self.sub && !self.username.contains(['@', '+']);
        is_shown.then_some(self.username.as_str())
    }

    /// The domain of the email address. `None` without a plain address.
    pub fn email_domain(&self) -> Option<String> {
        Domain::of_address(self.email.as_deref()?.trim()).ok().map(|domain| domain.to_string())
    }
}

fn attribute<'a>(user: &'a UserType, name: &str) -> Option<&'a str> {
    user.attributes()
        .iter()
        .find(|attribute| attribute.name() == name)
        .and_then(|attribute| attribute.value())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use aws_sdk_cognitoidentityprovider::config::{BehaviorVersion, Config};
    use aws_sdk_cognitoidentityprovider::types::AttributeType;

    use super::*;

    #[test]
    fn account_without_a_sub_is_refused_without_its_name() {
        let cognito =
            Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build());
        let account = |sub: &str| {
            let sub = AttributeType::builder().name("sub").value(sub).build().unwrap();
            let user = UserType::builder().username("ana@example.com").attributes(sub).build();
            PoolAccount::of(&cognito, "eu-central-1_EXAMPLE12", user)
        };
        assert_eq!(account("7d8ca528").unwrap().sub, "7d8ca528");
        let error = account("").unwrap_err().to_string();
        assert!(error.contains("without a sub") && !error.contains("ana"), "{error}");
    }
}
