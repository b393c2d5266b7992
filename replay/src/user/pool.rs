//! A user pool: finding, listing and creating users.

use anyhow::{Result as AnyResult, anyhow};
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::config::retry::RetryConfig;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::operation::list_users::{ListUsersError, ListUsersOutput};
use aws_sdk_cognitoidentityprovider::types::{
    AttributeType, DeliveryMediumType, MessageActionType, UserType,
};
use shared::text::printable;

use super::pool_account::PoolAccount;
use crate::account::Account;
use crate::aws_error::{Service, aws_error};
use crate::error::{CommandError, Result};

/// Cognito: ListUsers and ListUsersInGroup return at most 60 users.
pub const USERS_PER_PAGE: i32 = 60;

pub struct UserPool {
    cognito: Client,
    pub id: String,
}

/// Cognito throttled all attempts of a call.
#[derive(Debug, thiserror::Error)]
#[error("Cognito throttles {0}. Run the command again with a lower --rate")]
pub struct Throttled(pub &'static str);

/// Cognito does not accept the token for the next page.
#[derive(Debug, thiserror::Error)]
#[error("Cognito no longer accepts the position in the user pool. Run the command again")]
pub struct ExpiredPosition;

/// Users, and the token for the next page.
pub type UserPage = (Vec<UserType>, Option<String>);

/// A user to create.
#[derive(Debug)]
pub struct NewAccount<'a> {
    pub username: &'a str,
    pub email: &'a str,
    pub is_email_verified: bool,
    /// Without one, Cognito creates a password.
    pub temporary_password: Option<&'a str>,
    /// True if Cognito sends the temporary password to the address.
    pub sends_message: bool,
}

impl UserPool {
    /// The user pool with this id, by default that of the stack. Checks the id.
    pub async fn open(account: &Account, id: Option<&str>) -> Result<Self> {
        let id = account.user_pool(id).await?;
        check_id(&id, account.region())?;
        Ok(Self { cognito: account.cognito(), id })
    }

    pub fn client(&self) -> &Client {
        &self.cognito
    }

    /// The same user pool, with one attempt for each call: a second attempt can meet what the first one created.
    pub fn with_one_attempt(&self) -> Self {
        let config = self.cognito.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Self { cognito: Client::from_conf(config), id: self.id.clone() }
    }

    /// Finds the user with this sub. `None` if the pool has none.
    ///
    /// The username in the profile is not used: after a deletion, another person can have the same
    /// username.
    pub async fn find(&self, sub: &str) -> AnyResult<Option<PoolAccount>> {
        let accounts = self.find_all(&filter("sub", sub), 1, |account| account.sub == sub).await?;
        Ok(accounts.into_iter().next())
    }

    /// The same, for a command that needs the user.
    pub async fn get(&self, sub: &str) -> Result<PoolAccount> {
        self.find(sub).await?.ok_or_else(|| {
            CommandError::failed(format!(
                "nothing was changed: the user pool {} has no user with this sub. Check the sub and --user-pool",
                self.id
            ))
        })
    }

    /// The subs of the users with this email address.
    pub async fn subs_with_email(&self, email: &str) -> AnyResult<Vec<String>> {
        let accounts = self.find_all(&filter("email", email), usize::MAX, |_| true).await?;
        Ok(accounts.into_iter().map(|account| account.sub).collect())
    }

    /// At most `limit` users who match. Cognito can return a page without a match before the one with
    /// the match.
    async fn find_all(
        &self,
        filter: &str,
        limit: usize,
        is_match: impl Fn(&PoolAccount) -> bool,
    ) -> AnyResult<Vec<PoolAccount>> {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let (users, next) = self.page(Some(filter), token).await?;
            found.extend(users.into_iter().filter(&is_match));
            if found.len() >= limit || next.is_none() {
                found.truncate(limit);
                return Ok(found);
            }
            token = next;
        }
    }

    /// A page of the users who match a filter of ListUsers, and the token for the next page.
    pub async fn page(
        &self,
        filter: Option<&str>,
        token: Option<String>,
    ) -> AnyResult<(Vec<PoolAccount>, Option<String>)> {
        let output = self.list_users(filter, token).await.map_err(|error| match error.code() {
            Some("ResourceNotFoundException") => self.not_found(),
            _ => aws_error(Service::Cognito, "ListUsers")(error),
        })?;
        Ok((self.accounts(output.users)?, output.pagination_token.filter(|token| !token.is_empty())))
    }

    /// The same with all attributes. Fails with [`Throttled`] or [`ExpiredPosition`], for walks over a whole
    /// pool.
    pub async fn users(&self, filter: Option<&str>, token: Option<String>) -> AnyResult<UserPage> {
        let has_token = token.is_some();
        let output = self.list_users(filter, token).await.map_err(|error| match error.code() {
            Some("ResourceNotFoundException") => self.not_found(),
            code => walk_error("ListUsers", code, has_token)
                .unwrap_or_else(|| aws_error(Service::Cognito, "ListUsers")(error)),
        })?;
        Ok((output.users.unwrap_or_default(), output.pagination_token.filter(|token| !token.is_empty())))
    }

    /// The user with this sub, as Cognito describes it. Fails as [`users`](Self::users) does.
    pub async fn find_user(&self, sub: &str) -> AnyResult<Option<UserType>> {
        let (filter, mut token) = (filter("sub", sub), None);
        loop {
            let (users, next) = self.users(Some(&filter), token).await?;
            let is_match = |user: &UserType| {
                user.attributes().iter().any(|each| each.name() == "sub" && each.value() == Some(sub))
            };
            let found = users.into_iter().find(is_match);
            if found.is_some() || next.is_none() {
                return Ok(found);
            }
            token = next;
        }
    }

    // Asks for all attributes, because Cognito rejects `sub` in a list of attributes.
    async fn list_users(
        &self,
        filter: Option<&str>,
        token: Option<String>,
    ) -> Result<ListUsersOutput, SdkError<ListUsersError>> {
        let call = self.cognito.list_users().user_pool_id(&self.id).limit(USERS_PER_PAGE);
        call.set_filter(filter.map(str::to_owned)).set_pagination_token(token).send().await
    }

    /// A page of the users in a group, and the token for the next page. Fails as [`users`](Self::users) does.
    pub async fn members(&self, group: &str, token: Option<String>) -> AnyResult<UserPage> {
        let has_token = token.is_some();
        let call = self.cognito.list_users_in_group().user_pool_id(&self.id).group_name(group);
        let output = call.limit(USERS_PER_PAGE).set_next_token(token).send().await;
        let output = output.map_err(|error| match error.code() {
            Some("ResourceNotFoundException") => anyhow!(
                "the user pool {} or its group {} does not exist in this account and region. Check --group, \
                 --user-pool and --region",
                self.id,
                printable(group)
            ),
            code => walk_error("ListUsersInGroup", code, has_token)
                .unwrap_or_else(|| aws_error(Service::Cognito, "ListUsersInGroup")(error)),
        })?;
        Ok((output.users.unwrap_or_default(), output.next_token.filter(|token| !token.is_empty())))
    }

    fn accounts(&self, users: Option<Vec<UserType>>) -> AnyResult<Vec<PoolAccount>> {
        let users = users.unwrap_or_default().into_iter();
        users.map(|user| PoolAccount::of(&self.cognito, &self.id, user)).collect()
    }

    /// The first of these groups that the pool does not have.
    pub async fn missing_group<'a>(&self, groups: &'a [String]) -> AnyResult<Option<&'a str>> {
        for group in groups {
            let call = self.cognito.get_group().user_pool_id(&self.id).group_name(group);
            match call.send().await {
                Ok(_) => {}
                Err(error) if error.code() == Some("ResourceNotFoundException") => return Ok(Some(group)),
                Err(error) => return Err(aws_error(Service::Cognito, "GetGroup")(error)),
            }
        }
        Ok(None)
    }

    /// An error for a group that the pool does not have, with the groups that it has.
    pub async fn no_group(&self, group: &str, nothing: &str) -> CommandError {
        let call = self.cognito.list_groups().user_pool_id(&self.id).limit(USERS_PER_PAGE).send().await;
        let groups = call.ok().and_then(|output| output.groups).unwrap_or_default();
        let mut names: Vec<&str> = groups.iter().filter_map(|group| group.group_name()).collect();
        names.sort_unstable();
        let next_step = match names.is_empty() {
            true => "Create it first".to_owned(),
            false => format!("It has: {}", names.join(", ")),
        };
        CommandError::failed(
            printable(&format!("{nothing}: the user pool has no group {group}. {next_step}")).to_string(),
        )
    }

    pub async fn create(&self, new: &NewAccount<'_>) -> AnyResult<UserType> {
        let attribute = |name: &str, value: &str| AttributeType::builder().name(name).value(value).build();
        let verified = if new.is_email_verified { "true" } else { "false" };
        let call = self.cognito.admin_create_user().user_pool_id(&self.id).username(new.username);
        let call = call.user_attributes(attribute("email", new.email)?);
        let call = call.user_attributes(attribute("email_verified", verified)?);
        let call = call.set_temporary_password(new.temporary_password.map(str::to_owned));
        let call = match new.sends_message {
            true => call.desired_delivery_mediums(DeliveryMediumType::Email),
            false => call.message_action(MessageActionType::Suppress),
        };
        let output = call.send().await.map_err(|error| match error.code() {
            Some("ResourceNotFoundException") => self.not_found(),
            Some("UsernameExistsException") => anyhow!(
                "the user pool has a user with this username already. Pass another --username. If this run \
                 created the user and Cognito's answer did not arrive, `replay user list` shows the user"
            ),
            _ => aws_error(Service::Cognito, "AdminCreateUser")(error),
        })?;
        output.user.ok_or_else(|| anyhow!("Cognito returned no user. Check with `replay user list`"))
    }

    fn not_found(&self) -> anyhow::Error {
        anyhow!(
            "user pool {} does not exist in this account and region. Check --user-pool and --region",
            self.id
        )
    }
}

/// The errors of a walk that the caller can do something about.
fn walk_error(operation: &'static str, code: Option<&str>, has_token: bool) -> Option<anyhow::Error> {
    match code? {
        "TooManyRequestsException" => Some(Throttled(operation).into()),
        "InvalidParameterException" if has_token => Some(ExpiredPosition.into()),
        _ => None,
    }
}

/// Checks that a text is the id of a user pool in this region: `REGION_ID`. Emulators also accept ids
/// without a region.
pub fn check_id(id: &str, region: &str) -> Result<()> {
    let is_plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let Some((place, _)) = id.split_once('_').filter(|(place, name)| is_plain(place) && is_plain(name))
    else {
        return Err(CommandError::invalid_input(
            "--user-pool: expected the id of a user pool, such as eu-central-1_EXAMPLE12",
        ));
    };
    if place != region && place.matches('-').count() > 1 {
        return Err(CommandError::invalid_input(format!(
            "--user-pool: the user pool is in {place}, but the region is {region}. Pass --region {place}"
        )));
    }
    Ok(())
}

/// A filter of ListUsers. Cognito wants quotation marks escaped with a backslash.
pub fn filter(attribute: &str, value: &str) -> String {
    format!("{attribute} = \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_cannot_be_extended_by_a_value() {
        for (sub, expected) in [
            ("7d8ca528-4931", r#"sub = "7d8ca528-4931""#),
            (r#"x" or sub ^= ""#, r#"sub = "x\" or sub ^= \"""#),
            (r#"x\"#, r#"sub = "x\\""#),
        ] {
            assert_eq!(filter("sub", sub), expected);
        }
    }

    #[test]
    fn id_of_a_pool_names_its_region() {
        for (id, expected) in [
            ("eu-central-1_EXAMPLE12", None),
            ("local_EXAMPLE12", None),
            ("us-east-1_EXAMPLE12", Some("the user pool is in us-east-1, but the region is eu-central-1")),
            ("", Some("expected the id of a user pool")),
            ("eu-central-1", Some("expected the id of a user pool")),
            ("eu-central-1_", Some("expected the id of a user pool")),
            ("_EXAMPLE12", Some("expected the id of a user pool")),
            ("eu-central-1_EXAMPLE 12", Some("expected the id of a user pool")),
            ("arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_X", Some("expected")),
        ] {
            let error = check_id(id, "eu-central-1").err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(error, None, "{id}"),
                Some(expected) => {
                    assert!(error.as_deref().unwrap_or_default().contains(expected), "{id}: {error:?}")
                }
            }
        }
    }
}
