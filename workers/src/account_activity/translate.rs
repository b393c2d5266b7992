//! Which event an API call becomes, and which calls are ignored. Pure.
//!
//! A record is no proof of the user's values: CloudTrail may hide them. So calls that change attributes
//! or MFA become events only after the user was looked up in the pool.

use std::net::IpAddr;

use jiff::Timestamp;
use shared::events::{
    AccountChange, ChangedBy, Data, Empty, GroupChange, GroupChanged, SignInFailed, Subject,
};

use super::record::Record;

/// Longest name of a group in a user pool.
const MAX_GROUP_CHARS: usize = 128;

/// The account, region and user pool whose calls count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub account_id: String,
    pub region: String,
    pub user_pool_id: String,
}

/// A call about a user that may concern this user pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Activity {
    /// CloudTrail's `eventID`. The event gets it as its id.
    pub id: String,
    pub time: Timestamp,
    pub sub: String,
    /// True if the call names the user pool. Otherwise the user may be of another pool.
    pub names_user_pool: bool,
    pub change: Change,
    pub ip_address: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Everything that the event needs is in the record.
    Known(Data),
    /// Attributes of the user. The pool has their values.
    Attributes(ChangedBy),
    /// MFA settings of the user. The pool knows whether MFA is on.
    Mfa(ChangedBy),
}

impl Change {
    pub fn needs_lookup(&self) -> bool {
        !matches!(self, Self::Known(_))
    }

    pub fn is_failed_sign_in(&self) -> bool {
        matches!(self, Self::Known(Data::SignInFailed(_)))
    }
}

/// Why a call is ignored. Its message is acknowledged and never dead-lettered: CloudTrail records the
/// calls of the whole account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoreReason {
    OtherAccount,
    OtherRegion,
    OtherUserPool,
    UnknownEventName,
    /// The call failed, and its failure is no news.
    FailedCall,
    /// A sign-in that did not fail.
    SuccessfulSignIn,
    /// A sign-in that failed for another reason than a wrong password.
    NotAPassword,
    /// The record does not name a user.
    NoSub,
    /// Neither the table nor the user pool knows the user.
    UnknownUser,
    /// The profile already has the attributes.
    Unchanged,
    /// A failed sign-in above the number that is stored for a user and an hour.
    Uncounted,
}

impl IgnoreReason {
    pub const ALL: [Self; 11] = [
        Self::OtherAccount,
        Self::OtherRegion,
        Self::OtherUserPool,
        Self::UnknownEventName,
        Self::FailedCall,
        Self::SuccessfulSignIn,
        Self::NotAPassword,
        Self::NoSub,
        Self::UnknownUser,
        Self::Unchanged,
        Self::Uncounted,
    ];

    /// The stable code: the dimension `reason` of AccountEventsIgnored.
    pub fn code(self) -> &'static str {
        match self {
            Self::OtherAccount => "other_account",
            Self::OtherRegion => "other_region",
            Self::OtherUserPool => "other_user_pool",
            Self::UnknownEventName => "unknown_event_name",
            Self::FailedCall => "failed_call",
            Self::SuccessfulSignIn => "successful_sign_in",
            Self::NotAPassword => "not_a_password",
            Self::NoSub => "no_sub",
            Self::UnknownUser => "unknown_user",
            Self::Unchanged => "unchanged",
            Self::Uncounted => "uncounted",
        }
    }
}

/// The activity that a call reports.
pub fn translate(record: Record, scope: &Scope) -> Result<Activity, IgnoreReason> {
    if record.account.as_ref() != Some(&scope.account_id) {
        return Err(IgnoreReason::OtherAccount);
    }
    if record.region.as_ref() != Some(&scope.region) {
        return Err(IgnoreReason::OtherRegion);
    }
    let names_user_pool = record.user_pool_id.is_some();
    if record.user_pool_id.as_ref().is_some_and(|id| *id != scope.user_pool_id) {
        return Err(IgnoreReason::OtherUserPool);
    }
    let change = change(&record)?;
    let sub = record.sub.as_deref().and_then(|sub| sub.parse().ok());
    let Some(Subject::User(sub)) = sub else { return Err(IgnoreReason::NoSub) };
    let ip_address = address_of_user(&record);
    let Record { id, time, .. } = record;
    Ok(Activity { id, time, sub, names_user_pool, change, ip_address })
}

fn change(record: &Record) -> Result<Change, IgnoreReason> {
    let name = record.name.as_str();
    let (operation, by) = match name.strip_prefix("Admin") {
        Some(operation) => (operation, ChangedBy::Administrator),
        None => (name, ChangedBy::User),
    };
    let is_administrator = by == ChangedBy::Administrator;
    let change = match operation {
        "InitiateAuth" | "RespondToAuthChallenge" => return failed_sign_in(record),
        "DeleteUser" => Change::Known(Data::Deleted(Empty {})),
        "UpdateUserAttributes" | "DeleteUserAttributes" => Change::Attributes(by),
        "VerifyUserAttribute" if !is_administrator => Change::Attributes(by),
        "ChangePassword" if !is_administrator => Change::Known(Data::PasswordChanged(AccountChange { by })),
        "SetUserPassword" if is_administrator => Change::Known(Data::PasswordChanged(AccountChange { by })),
        "SetUserMFAPreference" | "SetUserSettings" => Change::Mfa(by),
        "DisableUser" if is_administrator => Change::Known(Data::Disabled(Empty {})),
        "EnableUser" if is_administrator => Change::Known(Data::Enabled(Empty {})),
        "GlobalSignOut" if !is_administrator => Change::Known(Data::SignedOut(AccountChange { by })),
        "UserGlobalSignOut" if is_administrator => Change::Known(Data::SignedOut(AccountChange { by })),
        "AddUserToGroup" if is_administrator => group_changed(record, GroupChange::Added),
        "RemoveUserFromGroup" if is_administrator => group_changed(record, GroupChange::Removed),
        _ => return Err(IgnoreReason::UnknownEventName),
    };
    if record.error_code.is_some() { Err(IgnoreReason::FailedCall) } else { Ok(change) }
}

fn group_changed(record: &Record, change: GroupChange) -> Change {
    let group = record.group.clone().filter(|group| group.chars().count() <= MAX_GROUP_CHARS);
    Change::Known(Data::GroupChanged(GroupChanged { group, change }))
}

/// A sign-in counts if it failed because of a wrong password. Cognito has one error code for several
/// reasons, so the message decides, if CloudTrail has it.
fn failed_sign_in(record: &Record) -> Result<Change, IgnoreReason> {
    let Some(code) = record.error_code.as_deref() else { return Err(IgnoreReason::SuccessfulSignIn) };
    let is_refresh = record.auth_flow.as_ref().is_some_and(|flow| flow.starts_with("REFRESH_TOKEN"));
    let is_other_reason = record.error_message.as_ref().is_some_and(|message| {
        !["Incorrect username or password", "Password attempts exceeded"]
            .iter()
            .any(|reason| message.starts_with(reason))
    });
    if code != "NotAuthorizedException" || is_refresh || is_other_reason {
        return Err(IgnoreReason::NotAPassword);
    }
    let ip_address = address_of_user(record).map(|address| address.to_string());
    Ok(Change::Known(Data::SignInFailed(SignInFailed { ip_address })))
}

/// The IP address that the user signs in from. A backend makes the `Admin*` calls, from its own address:
/// if it counted, all users of the backend would share one address.
fn address_of_user(record: &Record) -> Option<IpAddr> {
    record.ip_address.filter(|_| !record.name.starts_with("Admin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "eu-central-1_EXAMPLE01";

    fn scope() -> Scope {
        Scope {
            account_id: "123456789012".to_owned(),
            region: "eu-central-1".to_owned(),
            user_pool_id: POOL.to_owned(),
        }
    }

    fn record(name: &str) -> Record {
        Record {
            account: Some("123456789012".to_owned()),
            region: Some("eu-central-1".to_owned()),
            id: "1".to_owned(),
            time: Timestamp::UNIX_EPOCH,
            name: name.to_owned(),
            sub: Some("ana".to_owned()),
            user_pool_id: None,
            auth_flow: None,
            group: None,
            error_code: None,
            error_message: None,
            ip_address: Some([198, 51, 100, 7].into()),
        }
    }

    /// The failed call, with the error code of a wrong password.
    fn failed(name: &str) -> Record {
        Record { error_code: Some("NotAuthorizedException".to_owned()), ..record(name) }
    }

    fn known(event_type: &str, by: Option<ChangedBy>) -> String {
        by.map_or_else(|| event_type.to_owned(), |by| format!("{event_type} {by:?}"))
    }

    fn described(translation: Result<Activity, IgnoreReason>) -> String {
        match translation {
            Err(reason) => reason.code().to_owned(),
            Ok(Activity { change: Change::Attributes(by), .. }) => format!("attributes {by:?}"),
            Ok(Activity { change: Change::Mfa(by), .. }) => format!("mfa {by:?}"),
            Ok(Activity { change: Change::Known(data), .. }) => match &data {
                Data::PasswordChanged(change) | Data::SignedOut(change) => {
                    known(data.event_type(), Some(change.by))
                }
                Data::GroupChanged(changed) => format!("{:?} {:?}", changed.change, changed.group),
                _ => known(data.event_type(), None),
            },
        }
    }

    #[test]
    fn call_becomes_the_event_of_its_name() {
        for (name, expected) in [
            ("DeleteUser", "user.deleted"),
            ("AdminDeleteUser", "user.deleted"),
            ("UpdateUserAttributes", "attributes User"),
            ("AdminUpdateUserAttributes", "attributes Administrator"),
            ("VerifyUserAttribute", "attributes User"),
            ("DeleteUserAttributes", "attributes User"),
            ("AdminDeleteUserAttributes", "attributes Administrator"),
            ("ChangePassword", "user.password_changed User"),
            ("AdminSetUserPassword", "user.password_changed Administrator"),
            ("SetUserMFAPreference", "mfa User"),
            ("AdminSetUserMFAPreference", "mfa Administrator"),
            ("SetUserSettings", "mfa User"),
            ("AdminSetUserSettings", "mfa Administrator"),
            ("AdminDisableUser", "user.disabled"),
            ("AdminEnableUser", "user.enabled"),
            ("GlobalSignOut", "user.signed_out User"),
            ("AdminUserGlobalSignOut", "user.signed_out Administrator"),
            ("AdminAddUserToGroup", "Added None"),
            ("AdminRemoveUserFromGroup", "Removed None"),
            // post-confirmation publishes these.
            ("ConfirmSignUp", "unknown_event_name"),
            ("ConfirmForgotPassword", "unknown_event_name"),
            // No operation of Cognito.
            ("AdminChangePassword", "unknown_event_name"),
            ("DisableUser", "unknown_event_name"),
            ("Login_POST", "unknown_event_name"),
            ("Admin", "unknown_event_name"),
            ("", "unknown_event_name"),
        ] {
            assert_eq!(described(translate(record(name), &scope())), expected, "{name}");
            let is_known = expected != "unknown_event_name";
            let expected = if is_known { "failed_call" } else { expected };
            assert_eq!(described(translate(failed(name), &scope())), expected, "failed {name}");
        }
    }

    #[test]
    fn sign_in_counts_only_if_the_password_was_wrong() {
        const WRONG: &str = "Incorrect username or password.";
        for name in
            ["InitiateAuth", "AdminInitiateAuth", "RespondToAuthChallenge", "AdminRespondToAuthChallenge"]
        {
            assert_eq!(described(translate(record(name), &scope())), "successful_sign_in");
            for (code, message, flow, expected) in [
                ("NotAuthorizedException", Some(WRONG), "USER_SRP_AUTH", "user.sign_in_failed"),
                ("NotAuthorizedException", None, "USER_PASSWORD_AUTH", "user.sign_in_failed"),
                ("NotAuthorizedException", Some("Password attempts exceeded"), "", "user.sign_in_failed"),
                ("NotAuthorizedException", Some("User is disabled."), "USER_SRP_AUTH", "not_a_password"),
                ("NotAuthorizedException", None, "REFRESH_TOKEN_AUTH", "not_a_password"),
                ("NotAuthorizedException", Some(WRONG), "REFRESH_TOKEN", "not_a_password"),
                ("UserNotFoundException", Some(WRONG), "USER_SRP_AUTH", "not_a_password"),
                ("CodeMismatchException", None, "", "not_a_password"),
            ] {
                let record = Record {
                    error_code: Some(code.to_owned()),
                    error_message: message.map(str::to_owned),
                    auth_flow: Some(flow.to_owned()),
                    ..record(name)
                };
                assert_eq!(
                    described(translate(record, &scope())),
                    expected,
                    "{name} {code} {message:?} {flow}"
                );
            }
        }
        let Ok(Activity { change: Change::Known(data), .. }) = translate(failed("InitiateAuth"), &scope())
        else {
            panic!("no event")
        };
        assert_eq!(data, Data::SignInFailed(SignInFailed { ip_address: Some("198.51.100.7".to_owned()) }));
    }

    #[test]
    fn address_is_the_users_unless_a_backend_makes_the_call() {
        let user: Option<IpAddr> = Some([198, 51, 100, 7].into());
        for (name, expected) in [
            ("InitiateAuth", user),
            ("RespondToAuthChallenge", user),
            ("AdminInitiateAuth", None),
            ("AdminRespondToAuthChallenge", None),
        ] {
            let activity = translate(failed(name), &scope()).unwrap();
            assert_eq!(activity.ip_address, expected, "{name}");
            let text = expected.map(|address| address.to_string());
            let data = Data::SignInFailed(SignInFailed { ip_address: text });
            assert_eq!(activity.change, Change::Known(data), "{name}");
        }
    }

    #[test]
    fn call_of_another_account_region_or_pool_or_without_a_user_is_ignored() {
        let text = |text: &str| Some(text.to_owned());
        let deleted = || record("AdminDeleteUser");
        for (record, expected) in [
            (Record { account: text("000000000000"), ..deleted() }, "other_account"),
            (Record { account: None, ..deleted() }, "other_account"),
            (Record { region: text("eu-west-1"), ..deleted() }, "other_region"),
            (Record { region: None, ..deleted() }, "other_region"),
            (Record { user_pool_id: text("eu-central-1_EXAMPLE02"), ..deleted() }, "other_user_pool"),
            (Record { user_pool_id: text(POOL), ..deleted() }, "user.deleted"),
            (Record { sub: None, ..deleted() }, "no_sub"),
            (Record { sub: text("domain:example.com"), ..deleted() }, "no_sub"),
            (Record { sub: text("unknown"), ..deleted() }, "no_sub"),
            (Record { sub: text("a\nb"), ..deleted() }, "no_sub"),
            (Record { sub: text(&"x".repeat(200)), ..deleted() }, "no_sub"),
        ] {
            assert_eq!(described(translate(record.clone(), &scope())), expected, "{record:?}");
        }
        for (user_pool_id, expected) in [(None, false), (text(POOL), true)] {
            let activity = translate(Record { user_pool_id, ..deleted() }, &scope()).unwrap();
            assert_eq!(activity.names_user_pool, expected);
        }
    }

    #[test]
    fn group_is_kept_if_cloudtrail_has_it() {
        let long = "x".repeat(129);
        for (group, expected) in
            [(None, "Added None"), (Some("Staff"), "Added Some(\"Staff\")"), (Some(&*long), "Added None")]
        {
            let record = Record { group: group.map(str::to_owned), ..record("AdminAddUserToGroup") };
            assert_eq!(described(translate(record, &scope())), expected);
        }
    }

    #[test]
    fn reasons_have_distinct_codes() {
        let codes: std::collections::BTreeSet<&str> = IgnoreReason::ALL.map(IgnoreReason::code).into();
        assert_eq!(codes.len(), IgnoreReason::ALL.len());
    }
}
