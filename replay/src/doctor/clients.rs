//! The app clients of a user pool, and the settings that SECURITY.md asks for.

use std::fmt;

use anyhow::Result;
use aws_sdk_cognitoidentityprovider::Client;
use aws_sdk_cognitoidentityprovider::types::{
    ExplicitAuthFlowsType, FeatureType, OAuthFlowType, PreventUserExistenceErrorTypes, TimeUnitsType,
    UserPoolClientType,
};

use super::deployment::Deployment;
use super::report::Outcome;
use crate::aws_error::{Service, aws_error};
use crate::output::counted;

/// Cognito: app clients in a page of ListUserPoolClients.
pub const CLIENTS_PER_PAGE: i32 = 60;
/// Validity of an ID or access token of a client that states none.
const DEFAULT_VALIDITY_MINUTES: i64 = 60;
/// The scope with which a user changes attributes.
const SELF_SERVICE: &str = "aws.cognito.signin.user.admin";

/// An app client, reduced to what the checks need.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AppClient {
    pub id: String,
    pub secret: Option<String>,
    /// True if PreventUserExistenceErrors is ENABLED.
    pub hides_users: bool,
    /// `None` if the client states none.
    pub write_attributes: Option<Vec<String>>,
    /// The longer validity of ID and access tokens.
    pub validity_minutes: i64,
    pub revokes_tokens: bool,
    /// True for ALLOW_USER_SRP_AUTH.
    pub allows_srp: bool,
    /// True if a refresh returns another refresh token.
    pub rotates_refresh_tokens: bool,
    /// True if a user of this client can get a token with which attributes can be changed: a sign-in flow of
    /// the SDK, or the scope.
    pub allows_self_service: bool,
    /// False for a client that only services use.
    pub has_users: bool,
}

/// Without the secret, which must not reach a log.
impl fmt::Debug for AppClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            secret,
            hides_users,
            write_attributes,
            validity_minutes,
            revokes_tokens,
            allows_srp,
            rotates_refresh_tokens,
            allows_self_service,
            has_users,
        } = self;
        out.debug_struct("AppClient")
            .field("id", id)
            .field("has_secret", &secret.is_some())
            .field("hides_users", hides_users)
            .field("write_attributes", write_attributes)
            .field("validity_minutes", validity_minutes)
            .field("revokes_tokens", revokes_tokens)
            .field("allows_srp", allows_srp)
            .field("rotates_refresh_tokens", rotates_refresh_tokens)
            .field("allows_self_service", allows_self_service)
            .field("has_users", has_users)
            .finish()
    }
}

/// Reads all app clients of a user pool.
pub async fn read_clients(cognito: &Client, user_pool_id: &str) -> Result<Vec<AppClient>> {
    let call = cognito.list_user_pool_clients().user_pool_id(user_pool_id).max_results(CLIENTS_PER_PAGE);
    let mut listed = call.into_paginator().items().send();
    let mut clients = Vec::new();
    while let Some(client) = listed.next().await {
        let client = client.map_err(aws_error(Service::Cognito, "ListUserPoolClients"))?;
        let Some(id) = client.client_id else { continue };
        let call = cognito.describe_user_pool_client().user_pool_id(user_pool_id).client_id(id);
        let output = call.send().await.map_err(aws_error(Service::Cognito, "DescribeUserPoolClient"))?;
        clients.extend(output.user_pool_client.as_ref().map(AppClient::of));
    }
    Ok(clients)
}

impl AppClient {
    pub fn of(client: &UserPoolClientType) -> Self {
        let units = client.token_validity_units();
        let validity = |value: Option<i32>, unit: Option<&TimeUnitsType>| match value {
            None | Some(0) => DEFAULT_VALIDITY_MINUTES,
            Some(value) => minutes(value.into(), unit),
        };
        let id = validity(client.id_token_validity(), units.and_then(|units| units.id_token()));
        let access = validity(client.access_token_validity(), units.and_then(|units| units.access_token()));
        let flows = client.explicit_auth_flows();
        let has_sdk_flow = flows.iter().any(|flow| *flow != ExplicitAuthFlowsType::AllowRefreshTokenAuth);
        let scopes = client.allowed_o_auth_scopes();
        let is_for_services = client.allowed_o_auth_flows() == [OAuthFlowType::ClientCredentials];
        Self {
            id: client.client_id().unwrap_or_default().to_owned(),
            secret: client.client_secret().map(str::to_owned),
            hides_users: client.prevent_user_existence_errors()
                == Some(&PreventUserExistenceErrorTypes::Enabled),
            write_attributes: client.write_attributes.clone(),
            validity_minutes: id.max(access),
            revokes_tokens: client.enable_token_revocation() == Some(true),
            rotates_refresh_tokens: client
                .refresh_token_rotation()
                .is_some_and(|rotation| *rotation.feature() == FeatureType::Enabled),
            allows_srp: flows.contains(&ExplicitAuthFlowsType::AllowUserSrpAuth),
            allows_self_service: has_sdk_flow || scopes.iter().any(|scope| scope == SELF_SERVICE),
            has_users: has_sdk_flow || !is_for_services,
        }
    }
}

/// A validity in minutes. Cognito's default unit of ID and access tokens is hours.
fn minutes(value: i64, unit: Option<&TimeUnitsType>) -> i64 {
    match unit.map(TimeUnitsType::as_str) {
        Some("seconds") => value / 60 + i64::from(value % 60 != 0),
        Some("minutes") => value,
        Some("days") => value * 24 * 60,
        _ => value * 60,
    }
}

/// One outcome of all clients with users. `problem` is a sentence about a client.
fn outcome_of(clients: &[AppClient], problem: impl Fn(&AppClient) -> Option<String>) -> Outcome {
    let of_users: Vec<&AppClient> = clients.iter().filter(|client| client.has_users).collect();
    if of_users.is_empty() {
        return Outcome::skipped("the user pool has no app client for users");
    }
    let problems = of_users
        .iter()
        .filter_map(|client| Some(format!("app client {}: {}", client.id, problem(client)?)))
        .collect::<Vec<_>>();
    Outcome::of_problems(&problems, counted(of_users.len(), "app client"))
}

/// `user-existence`.
pub fn user_existence(clients: &[AppClient]) -> Outcome {
    outcome_of(clients, |client| {
        (!client.hides_users).then(|| "PreventUserExistenceErrors is not ENABLED".to_owned())
    })
}

/// `write-attributes`. A client may write a trusted attribute that an identity provider sets if its users
/// cannot: see *Groups from an identity provider* in SECURITY.md.
pub fn write_attributes(deployment: &Deployment, clients: &[AppClient]) -> Outcome {
    let trusted = deployment.list("TrustedAttributes");
    outcome_of(clients, |client| {
        let Some(writable) = client.write_attributes.as_ref().filter(|writable| !writable.is_empty()) else {
            return Some("it states no WriteAttributes, so users may write all attributes".to_owned());
        };
        let is_writable = |name: &&&str| writable.iter().any(|writable| writable == **name);
        let writable: Vec<&str> =
            trusted.iter().filter(is_writable).copied().filter(|_| client.allows_self_service).collect();
        (!writable.is_empty()).then(|| format!("its users may write {}", writable.join(", ")))
    })
}

/// `token-validity`.
pub fn token_validity(deployment: &Deployment, clients: &[AppClient]) -> Outcome {
    let stated = deployment.parameter("TokenValidityMinutes").and_then(|minutes| minutes.parse::<i64>().ok());
    let Some(stated) = stated else {
        return Outcome::unknown("the stack has no parameter TokenValidityMinutes");
    };
    outcome_of(clients, |client| {
        (client.validity_minutes > stated).then(|| {
            format!("tokens live {} minutes, and TokenValidityMinutes is {stated}", client.validity_minutes)
        })
    })
}

/// `token-revocation`.
pub fn token_revocation(clients: &[AppClient]) -> Outcome {
    outcome_of(clients, |client| {
        (!client.revokes_tokens).then(|| "EnableTokenRevocation is not true".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cognitoidentityprovider::types::TokenValidityUnitsType;

    use super::*;

    fn client() -> AppClient {
        AppClient {
            id: "1example23456789".to_owned(),
            hides_users: true,
            write_attributes: Some(vec!["email".to_owned()]),
            validity_minutes: 60,
            revokes_tokens: true,
            allows_self_service: true,
            has_users: true,
            ..AppClient::default()
        }
    }

    #[test]
    fn settings_of_a_client_come_from_cognito() {
        let units = TokenValidityUnitsType::builder().id_token(TimeUnitsType::Minutes);
        let units = units.access_token(TimeUnitsType::Seconds).build();
        let described = UserPoolClientType::builder()
            .client_id("1example23456789")
            .explicit_auth_flows(ExplicitAuthFlowsType::AllowUserSrpAuth)
            .prevent_user_existence_errors(PreventUserExistenceErrorTypes::Enabled)
            .write_attributes("email")
            .id_token_validity(60)
            .access_token_validity(61)
            .token_validity_units(units)
            .enable_token_revocation(true)
            .build();
        assert_eq!(AppClient::of(&described), AppClient { allows_srp: true, ..client() });
        let without_settings = AppClient::of(&UserPoolClientType::builder().build());
        assert_eq!((without_settings.validity_minutes, without_settings.has_users), (60, true));
        let service = UserPoolClientType::builder().allowed_o_auth_flows(OAuthFlowType::ClientCredentials);
        assert!(!AppClient::of(&service.build()).has_users);
    }

    #[test]
    fn secret_is_not_in_the_debug_output() {
        let confidential = AppClient { secret: Some("3example".to_owned()), ..client() };
        let text = format!("{confidential:?}");
        assert!(text.contains("has_secret: true") && !text.contains("3example"), "{text}");
    }

    #[test]
    fn validity_has_a_unit() {
        for (value, unit, expected) in [
            (90, Some(TimeUnitsType::Seconds), 2),
            (5, Some(TimeUnitsType::Minutes), 5),
            (2, Some(TimeUnitsType::Hours), 120),
            (1, Some(TimeUnitsType::Days), 1_440),
            (2, None, 120),
        ] {
            assert_eq!(minutes(value, unit.as_ref()), expected, "{value} {unit:?}");
        }
    }

    #[test]
    fn each_setting_of_a_client_is_checked() {
        let deployment = Deployment::of(
            &[("TrustedAttributes", "custom:department,custom:role"), ("TokenValidityMinutes", "60")],
            &[],
        );
        let writes = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let check = |client: AppClient| {
            let clients = [client];
            [
                user_existence(&clients),
                write_attributes(&deployment, &clients),
                token_validity(&deployment, &clients),
                token_revocation(&clients),
            ]
            .map(|outcome| outcome.is_ok())
        };
        for (client, expected) in [
            (client(), [true; 4]),
            (AppClient { hides_users: false, ..client() }, [false, true, true, true]),
            (AppClient { write_attributes: None, ..client() }, [true, false, true, true]),
            (AppClient { write_attributes: writes(&["custom:role"]), ..client() }, [true, false, true, true]),
            (AppClient { validity_minutes: 61, ..client() }, [true, true, false, true]),
            (AppClient { revokes_tokens: false, ..client() }, [true, true, true, false]),
        ] {
            assert_eq!(check(client.clone()), expected, "{client:?}");
        }
    }

    #[test]
    fn client_of_an_identity_provider_may_write_a_trusted_attribute() {
        let deployment = Deployment::of(&[("TrustedAttributes", "custom:groups")], &[]);
        let writable = AppClient { write_attributes: Some(vec!["custom:groups".to_owned()]), ..client() };
        assert!(!write_attributes(&deployment, std::slice::from_ref(&writable)).is_ok());
        let provider = AppClient { allows_self_service: false, ..writable };
        assert!(write_attributes(&deployment, &[provider]).is_ok());
    }

    #[test]
    fn clients_of_services_are_not_checked() {
        let service = AppClient { has_users: false, hides_users: false, ..client() };
        let outcome = user_existence(&[service]);
        assert_eq!(outcome, Outcome::skipped("the user pool has no app client for users"));
    }
}
