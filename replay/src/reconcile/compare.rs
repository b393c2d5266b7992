//! Compares a user of the pool with what the table has of the user. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_sdk_cognitoidentityprovider::types::UserType;
use shared::events::Subject;
use shared::group_rules::matching::matching_rules;
use shared::group_rules::rule::Rule;
use shared::statistics::UserStats;
use shared::store::{ProfileChanges, StoredAccount};

use super::{Difference, Kind};
use crate::user::import::profile_of;

/// The result for a user of the pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// True if the table has a profile, statistics or an erasure marker of the user.
    pub is_known: bool,
    /// Why the user was not compared, in a few words.
    pub skipped: Option<String>,
    pub differences: Vec<Difference>,
}

/// The key of a user in the table. `None` if Cognito sends neither a sub nor a username.
pub fn sub_of(user: &UserType) -> Option<String> {
    let sub = attribute(user, "sub").filter(|sub| !sub.is_empty()).or(user.username());
    Some(Subject::user(sub.filter(|sub| !sub.is_empty())?).to_string())
}

fn attribute<'a>(user: &'a UserType, name: &str) -> Option<&'a str> {
    user.attributes().iter().find(|attribute| attribute.name() == name).and_then(|each| each.value())
}

/// The groups that the rules give to a user.
pub fn wanted_groups(user: &UserType, rules: &[Rule]) -> BTreeSet<String> {
    let matching = matching_rules(rules, |name| attribute(user, name).map(Cow::Borrowed));
    matching.into_iter().map(|rule| rule.group.clone()).collect()
}

/// What the profile lacks. `None` if there is no profile, or the user gets none.
pub fn profile_changes(user: &UserType, stored: &StoredAccount) -> Option<ProfileChanges> {
    let profile = profile_of(user).ok()?;
    Some(stored.profile.as_ref()?.changes_from_all_attributes(&profile.confirmed))
}

/// True if the user was deleted from the pool and the data stays on purpose: AccountDeletion=keep.
pub fn is_kept(stored: &StoredAccount) -> bool {
    let statistics = stored.statistics.as_ref().and_then(|stored| stored.statistics::<UserStats>().ok());
    statistics.is_some_and(|statistics| statistics.deleted_at.is_some())
}

/// Compares a user. `groups` are the managed groups that the user has in the pool, and the rules. `None` if
/// groups are not compared.
pub fn compare(
    user: &UserType,
    stored: &StoredAccount,
    groups: Option<(&BTreeSet<String>, &[Rule])>,
) -> Comparison {
    let mut comparison = Comparison {
        is_known: stored.statistics.is_some() || stored.profile.is_some(),
        ..Comparison::default()
    };
    let (profile, metadata, statistics) = (
        profile_of(user),
        stored.statistics.as_ref().map(|stored| stored.metadata()).transpose(),
        stored.statistics.as_ref().map(|stored| stored.statistics::<UserStats>()).transpose(),
    );
    let (profile, statistics) = match (profile, metadata, statistics) {
        (Err(reason), _, _) => {
            comparison.skipped = Some(reason.to_owned());
            return comparison;
        }
        (Ok(_), Err(_), _) | (Ok(_), _, Err(_)) => {
            comparison.skipped = Some("unreadable statistics".to_owned());
            return comparison;
        }
        // An erased user gets no profile until the marker expires, as with the triggers.
        (Ok(_), Ok(Some(metadata)), _) if metadata.erased_at.is_some() => {
            comparison.skipped = Some("erased".to_owned());
            return comparison;
        }
        (Ok(profile), Ok(_), Ok(statistics)) => (profile, statistics.unwrap_or_default()),
    };
    let mut add = |kind, fields: Vec<String>| {
        comparison.differences.push(Difference { kind, sub: profile.sub.clone(), fields });
    };
    match &stored.profile {
        None => add(Kind::MissingProfile, Vec::new()),
        Some(followed) => {
            let changes = followed.changes_from_all_attributes(&profile.confirmed);
            if !changes.is_empty() {
                add(Kind::StaleProfile, changes.names().into_iter().map(str::to_owned).collect());
            }
        }
    }
    if statistics.is_disabled.unwrap_or(false) == user.enabled() {
        let state = if user.enabled() { "enabled" } else { "disabled" };
        add(Kind::AccountState, vec![state.to_owned()]);
    }
    if let Some((has, rules)) = groups {
        let wanted = wanted_groups(user, rules);
        let missing: Vec<String> = wanted.difference(has).cloned().collect();
        let extra: Vec<String> = has.difference(&wanted).cloned().collect();
        for (kind, fields) in [(Kind::MissingGroup, missing), (Kind::ExtraGroup, extra)] {
            if !fields.is_empty() {
                add(kind, fields);
            }
        }
    }
    comparison
}
