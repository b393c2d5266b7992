//! User pools of the account: setting them up, reading them, and what winterbaume's Cognito does
//! otherwise than AWS.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use winterbaume_cognitoidentityprovider::CognitoIdentityProviderService;
use winterbaume_cognitoidentityprovider::views::{CognitoUserView, GroupView, UserPoolView};
use winterbaume_core::{MockRequest, MockResponse, MockService, StatefulService, default_account_id};

use super::sdk_client::{REGION, error_response};

/// Cognito: ListUsers returns at most 60 users.
const USERS_PER_PAGE: usize = 60;
/// Creation date of every pool, group and user.
const CREATED_DATE: &str = "2026-01-01T00:00:00Z";

/// The account's user pools, with their groups and users.
#[derive(Default)]
pub struct UserPools {
    cognito: CognitoIdentityProviderService,
    /// The active kinds of MFA, by user pool and username. winterbaume has none.
    mfa: Mutex<BTreeMap<(String, String), Vec<String>>>,
    /// `LambdaConfig` by user pool. winterbaume keeps none.
    lambda_configs: Mutex<BTreeMap<String, Value>>,
}

/// A user to create.
pub struct NewUser<'a> {
    pub username: &'a str,
    /// Cognito's user status, such as `CONFIRMED`.
    pub status: &'a str,
    pub attributes: BTreeMap<&'a str, &'a str>,
}

impl UserPools {
    /// Creates a user with these groups, and the pool and groups that are missing. An existing user
    /// is replaced.
    pub async fn put_user(&self, user_pool_id: &str, username: &str, groups: &[String]) {
        self.change_pool(user_pool_id, |pool| {
            for name in groups {
                pool.groups.entry(name.clone()).or_insert_with(|| group(user_pool_id, name));
            }
            pool.users.insert(username.to_owned(), user(username, groups));
        })
        .await;
    }

    /// Creates users, and the pool if it is missing. An existing user is replaced, but keeps the groups.
    pub async fn put_users(&self, user_pool_id: &str, users: &[NewUser<'_>]) {
        self.change_pool(user_pool_id, |pool| {
            for NewUser { username, status, attributes } in users {
                let attributes = attributes
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect();
                let groups = pool.users.get(*username).map(|user| user.groups.clone()).unwrap_or_default();
                let user =
                    CognitoUserView { status: (*status).to_owned(), attributes, ..user(username, &groups) };
                pool.users.insert((*username).to_owned(), user);
            }
        })
        .await;
    }

    /// Deletes a user, as the user or an administrator can.
    pub async fn delete_user(&self, user_pool_id: &str, username: &str) {
        self.change_pool(user_pool_id, |pool| drop(pool.users.remove(username))).await;
    }

    /// Disables a user's account, as an administrator can.
    pub async fn disable_user(&self, user_pool_id: &str, username: &str) {
        self.enable_user(user_pool_id, username, false).await;
    }

    /// Enables or disables a user's account, as an administrator can.
    pub async fn enable_user(&self, user_pool_id: &str, username: &str, enabled: bool) {
        self.change_pool(user_pool_id, |pool| {
            if let Some(user) = pool.users.get_mut(username) {
                user.enabled = enabled;
            }
        })
        .await;
    }

    /// Changes attributes of a user, as the user or an administrator can. `None` deletes one.
    pub async fn change_attributes(
        &self,
        user_pool_id: &str,
        username: &str,
        changes: &BTreeMap<String, Option<String>>,
    ) {
        self.change_pool(user_pool_id, |pool| {
            let Some(user) = pool.users.get_mut(username) else { return };
            for (name, value) in changes {
                match value {
                    Some(value) => drop(user.attributes.insert(name.clone(), value.clone())),
                    None => drop(user.attributes.remove(name)),
                }
            }
        })
        .await;
    }

    /// Sets which functions a pool calls, as UpdateUserPool can. Creates the pool if it is missing.
    pub async fn set_lambda_config(&self, user_pool_id: &str, config: Value) {
        self.change_pool(user_pool_id, |_| ()).await;
        let mut all = self.lambda_configs.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(user_pool_id.to_owned(), config);
    }

    /// Turns an authenticator app on or off as the only kind of MFA of a user.
    pub fn set_mfa(&self, user_pool_id: &str, username: &str, enabled: bool) {
        let mut all = self.mfa.lock().unwrap_or_else(PoisonError::into_inner);
        let active = enabled.then(|| "SOFTWARE_TOKEN_MFA".to_owned());
        all.insert((user_pool_id.to_owned(), username.to_owned()), active.into_iter().collect());
    }

    /// The username of the user with this sub.
    pub async fn username(&self, user_pool_id: &str, sub: &str) -> Option<String> {
        let mut view = self.cognito.snapshot(default_account_id(), REGION).await;
        let users = view.user_pools.remove(user_pool_id)?.users.into_values();
        let has_sub = |user: &CognitoUserView| user.attributes.get("sub").is_some_and(|own| own == sub);
        users.into_iter().find(has_sub).map(|user| user.username)
    }

    /// True if the pool has a user with this username and without attributes. pre-token-generation brings
    /// them with its first event.
    pub async fn lacks_attributes(&self, user_pool_id: &str, username: &str) -> bool {
        let view = self.cognito.snapshot(default_account_id(), REGION).await;
        let user = view.user_pools.get(user_pool_id).and_then(|pool| pool.users.get(username));
        user.is_some_and(|user| user.attributes.is_empty())
    }

    /// The state of the account of every user of every pool, by username: true if it is enabled.
    pub async fn enabled(&self) -> BTreeMap<String, bool> {
        let view = self.cognito.snapshot(default_account_id(), REGION).await;
        let users = view.user_pools.into_values().flat_map(|pool| pool.users);
        users.map(|(username, user)| (username, user.enabled)).collect()
    }

    /// The groups of every user of every pool, by username.
    pub async fn groups(&self) -> BTreeMap<String, Vec<String>> {
        let view = self.cognito.snapshot(default_account_id(), REGION).await;
        let users = view.user_pools.into_values().flat_map(|pool| pool.users);
        users.map(|(username, user)| (username, user.groups)).collect()
    }

    async fn change_pool(&self, user_pool_id: &str, change: impl FnOnce(&mut UserPoolView)) {
        let mut view = self.cognito.snapshot(default_account_id(), REGION).await;
        let pool = view.user_pools.entry(user_pool_id.to_owned()).or_insert_with(|| user_pool(user_pool_id));
        change(pool);
        // A snapshot of this service can always be restored.
        let _ = self.cognito.restore(default_account_id(), REGION, view).await;
    }

    pub(super) fn service(&self) -> &dyn MockService {
        &self.cognito
    }

    /// The answer to a request that winterbaume's Cognito would answer wrongly.
    pub(super) async fn corrected_answer(
        &self,
        operation: &str,
        request: &MockRequest,
    ) -> Option<MockResponse> {
        match operation {
            "AdminAddUserToGroup" | "ListUsersInGroup" => self.missing_group(request).await,
            "AdminSetUserPassword" => Some(self.password(request).await),
            "ListUsers" => Some(self.page_of_users(request).await),
            "AdminGetUser" => Some(self.user(request).await),
            "AdminSetUserMFAPreference" => Some(self.mfa_preference(request).await),
            "DescribeUserPool" => Some(self.pool(request).await),
            _ => None,
        }
    }

    /// winterbaume adds users to groups that do not exist, and finds no users in them. AWS refuses.
    async fn missing_group(&self, request: &MockRequest) -> Option<MockResponse> {
        let mut get_group = request.clone();
        let target = http::HeaderValue::from_static("AWSCognitoIdentityProviderService.GetGroup");
        get_group.headers.insert("x-amz-target", target);
        let response = self.cognito.handle(get_group).await;
        (response.status >= 300).then_some(response)
    }

    /// winterbaume leaves the status of a user who gets a temporary password. With AWS, the user must
    /// change it.
    async fn password(&self, request: &MockRequest) -> MockResponse {
        let response = self.cognito.handle(request.clone()).await;
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let (Some(id), Some(username)) = (asked["UserPoolId"].as_str(), asked["Username"].as_str())
            && response.status < 300
            && asked["Permanent"] != true
        {
            self.change_pool(id, |pool| {
                if let Some(user) = pool.users.get_mut(username) {
                    user.status = "FORCE_CHANGE_PASSWORD".to_owned();
                }
            })
            .await;
        }
        response
    }

    /// winterbaume finds users only by their usernames, and shows no MFA. AWS also finds a local user by the
    /// sub.
    async fn user(&self, request: &MockRequest) -> MockResponse {
        let mut asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = |asked: &Value, name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let (pool, name) = (text(&asked, "UserPoolId"), text(&asked, "Username"));
        let view = self.cognito.snapshot(default_account_id(), REGION).await;
        let users = view.user_pools.get(&pool).map(|pool| &pool.users);
        let is_local = |user: &&CognitoUserView| user.status != "EXTERNAL_PROVIDER";
        let has_sub = |user: &&CognitoUserView| user.attributes.get("sub") == Some(&name);
        let by_sub = || users?.values().filter(is_local).find(has_sub).map(|user| user.username.clone());
        let username = if users.is_some_and(|users| users.contains_key(&name)) { None } else { by_sub() };
        let username = username.unwrap_or(name);
        asked["Username"] = username.as_str().into();
        let request = MockRequest { body: asked.to_string().into(), ..request.clone() };
        let response = self.cognito.handle(request).await;
        let mfa = self.mfa.lock().unwrap_or_else(PoisonError::into_inner).get(&(pool, username)).cloned();
        let (200, Some(mfa)) = (response.status, mfa.filter(|mfa| !mfa.is_empty())) else { return response };
        let mut user: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        user["UserMFASettingList"] = mfa.into();
        MockResponse::json(200, user.to_string())
    }

    /// winterbaume keeps no LambdaConfig. AWS shows an empty one for a pool without triggers.
    async fn pool(&self, request: &MockRequest) -> MockResponse {
        let response = self.cognito.handle(request.clone()).await;
        if response.status >= 300 {
            return response;
        }
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let configs = self.lambda_configs.lock().unwrap_or_else(PoisonError::into_inner);
        let config = answer["UserPool"]["Id"].as_str().and_then(|id| configs.get(id)).cloned();
        answer["UserPool"]["LambdaConfig"] = config.unwrap_or_else(|| json!({}));
        MockResponse::json(200, answer.to_string())
    }

    /// winterbaume ignores the preference.
    async fn mfa_preference(&self, request: &MockRequest) -> MockResponse {
        let response = self.cognito.handle(request.clone()).await;
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if let (Some(pool), Some(username)) = (asked["UserPoolId"].as_str(), asked["Username"].as_str())
            && response.status < 300
        {
            let mut all = self.mfa.lock().unwrap_or_else(PoisonError::into_inner);
            let active = all.entry((pool.to_owned(), username.to_owned())).or_default();
            for (settings, kind) in [
                ("SMSMfaSettings", "SMS_MFA"),
                ("SoftwareTokenMfaSettings", "SOFTWARE_TOKEN_MFA"),
                ("EmailMfaSettings", "EMAIL_OTP"),
            ] {
                if let Some(enabled) = asked[settings]["Enabled"].as_bool() {
                    active.retain(|active| active != kind);
                    active.extend(enabled.then(|| kind.to_owned()));
                }
            }
        }
        response
    }

    /// winterbaume returns all users at once, unsorted and unfiltered. AWS returns pages.
    async fn page_of_users(&self, request: &MockRequest) -> MockResponse {
        let response = self.cognito.handle(request.clone()).await;
        if response.status >= 300 {
            return response;
        }
        let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let all: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match page_of(&asked, &all) {
            Some(page) => MockResponse::json(200, page.to_string()),
            None => error_response("InvalidParameterException", false),
        }
    }
}

/// The requested page of all users that match the filter, sorted by username. `None` for a limit,
/// token or filter that Cognito refuses, and for filters that the sandbox does not know.
fn page_of(asked: &Value, all: &Value) -> Option<Value> {
    let limit = match asked.get("Limit") {
        Some(limit) => {
            usize::try_from(limit.as_u64()?).ok().filter(|limit| (1..=USERS_PER_PAGE).contains(limit))?
        }
        None => USERS_PER_PAGE,
    };
    let after = match asked.get("PaginationToken") {
        Some(token) => token.as_str()?.strip_prefix("after-")?,
        None => "",
    };
    let name = |user: &Value| user.get("Username").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut users = all.get("Users").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(filter) = asked.get("Filter") {
        let (attribute, value) = parse_filter(filter.as_str()?)?;
        let has_value = |user: &Value| {
            if attribute == "cognito:user_status" {
                return user["UserStatus"] == value;
            }
            let attributes = user.get("Attributes").and_then(Value::as_array);
            attributes.into_iter().flatten().any(|each| each["Name"] == attribute && each["Value"] == value)
        };
        users.retain(has_value);
    }
    users.sort_by_key(name);
    users.retain(|user| name(user).as_str() > after);
    let more = users.len() > limit;
    users.truncate(limit);
    let token = users.last().filter(|_| more).map(|user| format!("after-{}", name(user)));
    let mut page = json!({"Users": users});
    if let (Some(fields), Some(token)) = (page.as_object_mut(), token) {
        fields.insert("PaginationToken".to_owned(), token.into());
    }
    Some(page)
}

/// A page without users, with the token of a page that begins with the first user.
pub(super) fn empty_page() -> Value {
    json!({"Users": [], "PaginationToken": "after-"})
}

/// The attribute and the value of a filter such as `sub = "7d8c"`. A backslash escapes a quotation
/// mark or a backslash.
fn parse_filter(filter: &str) -> Option<(&str, String)> {
    let (attribute, quoted) = filter.split_once('=')?;
    let attribute = attribute.trim().trim_matches('"');
    if attribute.is_empty() || attribute.contains(|c: char| !c.is_ascii_alphanumeric() && !"_:".contains(c)) {
        return None;
    }
    let mut characters = quoted.trim().strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some((attribute, value)),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

fn user_pool(id: &str) -> UserPoolView {
    UserPoolView {
        id: id.to_owned(),
        name: "sandbox".to_owned(),
        arn: format!("arn:aws:cognito-idp:{REGION}:{}:userpool/{id}", default_account_id()),
        status: "Enabled".to_owned(),
        created_date: CREATED_DATE.to_owned(),
        clients: HashMap::new(),
        users: HashMap::new(),
        groups: HashMap::new(),
        identity_providers: HashMap::new(),
        resource_servers: HashMap::new(),
        domain: None,
        mfa_config: None,
        custom_attributes: Vec::new(),
        tags: HashMap::new(),
    }
}

fn user(username: &str, groups: &[String]) -> CognitoUserView {
    CognitoUserView {
        username: username.to_owned(),
        status: "CONFIRMED".to_owned(),
        created_date: CREATED_DATE.to_owned(),
        attributes: HashMap::new(),
        enabled: true,
        password: None,
        confirmed: true,
        groups: groups.to_vec(),
    }
}

fn group(user_pool_id: &str, name: &str) -> GroupView {
    GroupView {
        group_name: name.to_owned(),
        user_pool_id: user_pool_id.to_owned(),
        description: None,
        role_arn: None,
        precedence: None,
        created_date: CREATED_DATE.to_owned(),
        last_modified_date: CREATED_DATE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_is_one_attribute_with_one_quoted_value() {
        let parsed = |attribute, value: &str| Some((attribute, value.to_owned()));
        for (filter, expected) in [
            (r#"sub = "7d8c""#, parsed("sub", "7d8c")),
            (r#""email"="ana@example.com""#, parsed("email", "ana@example.com")),
            (r#"cognito:user_status = "CONFIRMED""#, parsed("cognito:user_status", "CONFIRMED")),
            (r#"sub = "a\" or \\""#, parsed("sub", r#"a" or \"#)),
            (r#"sub = "a" or sub = "b""#, None),
            (r#"sub ^= "a""#, None),
            (r#"sub = "a"#, None),
            ("sub = a", None),
            ("", None),
        ] {
            assert_eq!(parse_filter(filter), expected, "{filter}");
        }
    }
}
