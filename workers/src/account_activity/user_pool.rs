//! Looks a user up in the user pool by sub, and classifies Cognito's errors.

use std::borrow::Cow;
use std::time::Duration;

use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cognitoidentityprovider::types::AttributeType;
use shared::aws::WORKER_CALL_SECONDS;
use shared::events::Confirmed;
use shared::user_attributes;

/// Longest time of a lookup, in seconds: four calls that each take as long as a call may.
pub const LOOKUP_SECONDS: i64 = 4 * WORKER_CALL_SECONDS;
/// Maximum number of pages of ListUsers in a lookup.
const MAX_PAGES: usize = 5;

/// The user pool whose users the function's role may read.
#[derive(Clone, Debug)]
pub struct UserPool {
    client: Client,
    id: String,
}

/// A user as the pool knows them now.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolUser {
    /// All attributes that a profile keeps.
    pub attributes: Confirmed,
    /// True if at least one kind of MFA is active for the user.
    pub is_mfa_enabled: bool,
}

/// Why a lookup failed.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Too many requests. A later call can succeed.
    #[error("Cognito throttled the request")]
    Throttled(#[source] Cause),
    /// For example no permission, no answer, or an unknown user pool.
    #[error("the call to Cognito failed")]
    Failed(#[source] Cause),
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl LookupError {
    /// The stable code: log field `error_type`, and dimension `reason` of UserLookupsFailed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Throttled(_) => "throttled",
            Self::Failed(_) => "failed",
        }
    }

    fn from_sdk<E, R>(error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let is_throttled =
            matches!(error.code(), Some("TooManyRequestsException" | "ThrottlingException" | "Throttling"));
        let cause: Cause = shared::aws::cause(&error).into();
        if is_throttled { Self::Throttled(cause) } else { Self::Failed(cause) }
    }
}

impl UserPool {
    pub fn new(client: Client, id: String) -> Self {
        Self { client, id }
    }

    /// The user with this sub. `None` if the pool has none. At most [`LOOKUP_SECONDS`], and seven calls:
    /// AdminGetUser twice, and [`MAX_PAGES`] pages of ListUsers.
    ///
    /// AdminGetUser accepts the sub of a local user as the username, but not that of a user of an identity
    /// provider. And it may find another user whose username is this sub, because usernames can be chosen. ListUsers finds
    /// the username in both cases.
    pub async fn find(&self, sub: &str) -> Result<Option<PoolUser>, LookupError> {
        // Every sub is a UUID. Nothing else gets into a filter.
        if sub.is_empty() || !sub.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Ok(None);
        }
        let longest = Duration::from_secs(LOOKUP_SECONDS.unsigned_abs());
        match tokio::time::timeout(longest, self.search(sub)).await {
            Ok(found) => found,
            Err(elapsed) => Err(LookupError::Failed(elapsed.into())),
        }
    }

    async fn search(&self, sub: &str) -> Result<Option<PoolUser>, LookupError> {
        if let Some(user) = self.get(sub, sub).await? {
            return Ok(Some(user));
        }
        match self.username(sub).await? {
            Some(username) => self.get(&username, sub).await,
            None => Ok(None),
        }
    }

    /// The user with this username, if the user has this sub.
    async fn get(&self, username: &str, sub: &str) -> Result<Option<PoolUser>, LookupError> {
        let call = self.client.admin_get_user().user_pool_id(&self.id).username(username);
        let user = match call.send().await {
            Ok(user) => user,
            Err(error) if error.code() == Some("UserNotFoundException") => return Ok(None),
            Err(error) => return Err(LookupError::from_sdk(error)),
        };
        let attributes = user.user_attributes();
        if attribute(attributes, "sub").as_deref() != Some(sub) {
            return Ok(None);
        }
        // SetUserSettings, the older way to switch SMS on, shows only in the options.
        let is_mfa_enabled = !user.user_mfa_setting_list().is_empty() || !user.mfa_options().is_empty();
        let username = user.username().to_owned();
        let attributes = user_attributes::confirmed(username, |name| attribute(attributes, name));
        Ok(Some(PoolUser { attributes, is_mfa_enabled }))
    }

    /// The username of the user with this sub. A page may end before the user, and have no user at all.
    async fn username(&self, sub: &str) -> Result<Option<String>, LookupError> {
        let call = self.client.list_users().user_pool_id(&self.id).filter(format!("sub = \"{sub}\""));
        let mut token = None;
        for _ in 0..MAX_PAGES {
            let page =
                call.clone().set_pagination_token(token).send().await.map_err(LookupError::from_sdk)?;
            let users = page.users.unwrap_or_default();
            let user =
                users.into_iter().find(|user| attribute(user.attributes(), "sub").as_deref() == Some(sub));
            token = page.pagination_token.filter(|token| !token.is_empty());
            if user.is_some() || token.is_none() {
                return Ok(user.and_then(|user| user.username));
            }
        }
        Err(LookupError::Failed(format!("ListUsers has more than {MAX_PAGES} pages for one sub").into()))
    }
}

fn attribute<'a>(attributes: &'a [AttributeType], name: &str) -> Option<Cow<'a, str>> {
    let attribute = attributes.iter().find(|attribute| attribute.name() == name)?;
    attribute.value().map(Cow::Borrowed)
}
