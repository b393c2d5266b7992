//! pre-token-generation: denies a token while a suspension is in force, and puts groups and claims
//! into the token.

use std::sync::Once;
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Map, Value, json};
use shared::config::ConfigError;
use shared::events::{
    AttemptFlow, Data, Event, GroupsMapped, ProfileUpdated, SignInAttempted, SignInFlow, SignInOutcome,
    SignedIn, Subject, TokenRefreshed,
};
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::queues::Queue;
use shared::store::{FollowedAttributes, Store, StoreError};
use shared::user_attributes;
use tokio::time::Instant;

use crate::post_confirmation::build_confirmation;
use crate::sign_in::{DENIED, OnStoreError, decide};
use crate::{EventPublisher, TriggerError, TriggerEvent};

pub mod claims;
pub mod groups;

use claims::TokenClaims;
use groups::{GroupConfiguration, GroupRules, MappedGroups};

/// Time after the start at which the trigger gives up updating the profile. Publishing the events
/// takes up to 1.15 s more if SQS hangs, and the trigger must answer within 2.5 s.
const UPDATE_DEADLINE: Duration = Duration::from_millis(1_200);
/// With less time than this before the deadline, an update is not started.
const SHORTEST_UPDATE: Duration = Duration::from_millis(300);

/// Dependencies of the trigger.
pub struct Deps {
    rules: GroupRules,
    claims: TokenClaims,
    on_store_error: OnStoreError,
    store: Store,
    publisher: EventPublisher,
    group_memberships: Option<Queue>,
    /// Runs when the warning `claims_not_added` is logged, which is once per start.
    claims_warning: Once,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        let environment = &function.environment;
        let group_memberships = match environment.optional("GROUP_MEMBERSHIPS_QUEUE_URL") {
            Some(_) => Some(function.queue("GROUP_MEMBERSHIPS_QUEUE_URL")?),
            None => None,
        };
        Ok(Self {
            rules: GroupRules::from_environment(environment)?,
            claims: TokenClaims::from_environment(environment)?,
            on_store_error: OnStoreError::from_environment(environment)?,
            store: function.store()?,
            publisher: EventPublisher::from_function(function)?,
            group_memberships,
            claims_warning: Once::new(),
        })
    }

    /// Opens the connections to DynamoDB and SQS.
    pub async fn warm_up(&self) {
        join(self.store.warm_up(), self.publisher.warm_up()).await;
    }
}

/// Denies the token while a suspension is in force. Otherwise maps groups, adds claims and
/// publishes what happened.
pub async fn handle(deps: &Deps, mut event: TriggerEvent) -> Result<TriggerEvent, TriggerError> {
    event.check_readable()?;
    let update_deadline = Instant::now() + UPDATE_DEADLINE;
    let flow = match event.trigger_source().as_str() {
        "TokenGeneration_HostedAuth" => AttemptFlow::Hosted,
        // Also a refresh through GetTokensFromRefreshToken, which Cognito sends with the same
        // source.
        "TokenGeneration_Authentication" => AttemptFlow::Password,
        "TokenGeneration_NewPasswordChallenge" => AttemptFlow::NewPassword,
        "TokenGeneration_AuthenticateDevice" => AttemptFlow::Device,
        "TokenGeneration_RefreshTokens" => AttemptFlow::Refresh,
        "TokenGeneration_ClientCredentials" => return Ok(event),
        // A source that Cognito adds later must not bypass a suspension. Without a user there is
        // nothing to decide.
        source if source.starts_with("TokenGeneration_") && !event.sub().is_empty() => AttemptFlow::Other,
        _ => return Ok(event),
    };
    let Deps { store, publisher, .. } = deps;
    let sub = event.sub();
    let subject = Subject::user(&sub);
    let decision = decide(store, publisher, &sub, deps.on_store_error).await;
    if decision.outcome == SignInOutcome::Denied {
        let reason = decision.reason.code();
        publisher.record_denial(Metric::SignInsDenied, reason, &event);
        let attempt = SignInAttempted {
            flow,
            outcome: decision.outcome,
            reason: reason.to_owned(),
            claimed_by_client: None,
        };
        publisher.publish_attempt(&event, subject, attempt).await;
        return Err(DENIED);
    }

    let sent = GroupConfiguration::from_request(event.request());
    let mapped = deps.rules.map(&sent, &event);
    // If the table could not be read, the user may be suspended: add no group. Removals still
    // apply.
    let mapped = if decision.state.is_some() { mapped } else { mapped.without_additions(&sent) };
    let mut events =
        vec![publisher.build_event(&event, subject.clone(), token_issued(flow, &event, &mapped))];
    let is_user = event.attribute("sub").is_some() || flow != AttemptFlow::Other;
    match &decision.state {
        Some(state) if is_user && !state.has_profile => events.push(build_confirmation(publisher, &event)),
        Some(state) if is_user => {
            events.extend(update_profile(deps, &event, &state.followed, update_deadline).await);
        }
        _ => {}
    }
    let publish_memberships = async {
        if let Some(queue) = deps.group_memberships.as_ref().filter(|_| mapped.changes_membership()) {
            let data = GroupsMapped {
                user_pool_id: event.user_pool_id(),
                username: event.user_name(),
                add: mapped.add.clone(),
                remove: mapped.remove.clone(),
            };
            let groups_mapped = publisher.build_event(&event, subject, Data::GroupsMapped(data));
            publisher.publish_to(queue, groups_mapped).await;
        }
    };
    tokio::join!(publisher.publish_all(events), publish_memberships);
    set_response(&mut event, &sent, &mapped, deps);
    Ok(event)
}

/// Updates the profile if the user's attributes changed. Returns the event to publish afterwards, so
/// that cached pages with the old values are invalidated.
///
/// A failed update never blocks the token. The next token repeats it. If the function crashes
/// between the update and the event, cached pages show the old values until they expire. If two
/// tokens are issued at the same moment, the older value can stay until the next token, because
/// nothing in Cognito's events orders them.
async fn update_profile(
    deps: &Deps,
    event: &TriggerEvent,
    stored: &FollowedAttributes,
    deadline: Instant,
) -> Option<Event> {
    let Deps { store, publisher, .. } = deps;
    let user = user_attributes::confirmed(event.user_name(), |name| event.attribute(name));
    let changes = stored.changes(&user);
    // After a slow read, the next token makes the update.
    if changes.is_empty() || deadline < Instant::now() + SHORTEST_UPDATE {
        return None;
    }
    let sub = event.sub();
    let update = tokio::time::timeout_at(deadline, store.update_profile(&sub, &changes));
    let updated = update.await.unwrap_or_else(|_| Err(StoreError::timed_out("UpdateItem PROFILE")));
    match updated {
        Ok(true) => {}
        // Another token updates the profile at the same time, or the user was erased.
        Ok(false) => return None,
        Err(error) => {
            publisher.report_store_failure(&error, "the profile was not updated");
            publisher.count(Metric::ProfileWriteFailures, "store_error");
            // If the update was made, the next token finds nothing to change, and publishes nothing.
            if !error.may_have_succeeded() {
                return None;
            }
        }
    }
    let changed = changes.names().into_iter().map(str::to_owned).collect();
    let data = Data::ProfileUpdated(ProfileUpdated { changed, by: None });
    Some(publisher.build_event(event, Subject::user(&sub), data))
}

/// Event data for the new token.
fn token_issued(flow: AttemptFlow, event: &TriggerEvent, mapped: &MappedGroups) -> Data {
    let flow = match flow {
        AttemptFlow::Refresh => return Data::TokenRefreshed(TokenRefreshed { client_id: event.client_id() }),
        AttemptFlow::Hosted => SignInFlow::Hosted,
        AttemptFlow::NewPassword => SignInFlow::NewPassword,
        AttemptFlow::Device => SignInFlow::Device,
        AttemptFlow::Other => SignInFlow::Other,
        AttemptFlow::Password | AttemptFlow::PreAuthentication => SignInFlow::Password,
    };
    Data::SignedIn(SignedIn { flow, client_id: event.client_id(), groups: mapped.groups.clone() })
}

/// The field of `response` in event version 1.
const FIRST_VERSION_DETAILS: &str = "claimsOverrideDetails";
/// The field of `response` in event versions 2 and 3.
const DETAILS: &str = "claimsAndScopeOverrideDetails";

/// The field of `response` to fill. Cognito sends the one that it expects, with the value null. If
/// an emulator sends neither or both, the event version decides.
fn details_field(response: &Map<String, Value>, version: &str) -> &'static str {
    match (response.contains_key(FIRST_VERSION_DETAILS), response.contains_key(DETAILS)) {
        (true, false) => FIRST_VERSION_DETAILS,
        (false, true) => DETAILS,
        _ if version == "1" || version.is_empty() => FIRST_VERSION_DETAILS,
        _ => DETAILS,
    }
}

/// Writes the groups and claims into `response` if they change anything.
///
/// An override always lists all groups, even if none changes. An empty list would remove every
/// group, and AWS does not document what a missing list does.
fn set_response(
    event: &mut TriggerEvent,
    sent: &GroupConfiguration,
    mapped: &MappedGroups,
    Deps { claims, claims_warning, .. }: &Deps,
) {
    let mut response = event.response();
    let name = details_field(&response, &event.version());
    let first_version = name == FIRST_VERSION_DETAILS;
    let mut details = match response.remove(name) {
        Some(Value::Object(details)) => details,
        _ => Map::new(),
    };
    let before = details.clone();
    if !first_version {
        claims.add_to(&mut details);
    } else if !claims.is_empty() {
        claims_warning.call_once(|| {
            tracing::warn!(
                error_type = "claims_not_added",
                "TOKEN_CLAIMS needs event version 2 or 3 of pre-token-generation; the user pool sends version 1. \
                 No token gets the claims"
            );
        });
    }
    if details != before || mapped.configuration.is_some() {
        // If Cognito sent groups in an unknown format, an override would remove them: send none.
        let groups_sent = event.request().get("groupConfiguration").unwrap_or(&Value::Null);
        if mapped.configuration.is_some() || groups_sent.is_object() || groups_sent.is_null() {
            let groups = mapped.configuration.as_ref().unwrap_or(sent);
            details.insert("groupOverrideDetails".to_owned(), json!(groups));
        }

        if first_version {
            // AWS documents the override with all three fields.
            details.entry("claimsToAddOrOverride").or_insert_with(|| json!({}));
            details.entry("claimsToSuppress").or_insert_with(|| json!([]));
        }
        response.insert(name.to_owned(), Value::Object(details));
        event.set_response(response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_decides_which_field_is_filled_and_the_version_only_without_one() {
        let (first, later) = (FIRST_VERSION_DETAILS, DETAILS);
        for (fields, version, expected) in [
            (&[first][..], "1", first),
            (&[first], "2", first),
            (&[first], "0", first),
            (&[first], "$LATEST", first),
            (&[later], "1", later),
            (&[later], "3", later),
            (&[later], "", later),
            (&[], "1", first),
            (&[], "", first),
            (&[], "2", later),
            (&[], "3", later),
            (&[], "$LATEST", later),
            (&[first, later], "1", first),
            (&[first, later], "2", later),
        ] {
            let response = fields.iter().map(|field| ((*field).to_owned(), Value::Null)).collect();
            assert_eq!(details_field(&response, version), expected, "{fields:?} {version}");
        }
    }
}
