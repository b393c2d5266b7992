//! STATS and PROFILE of many users in one read, for account-activity.

use std::collections::HashMap;

use super::batch::Consistency;
use super::error::StoreError;
use super::keys::{self, PK, PROFILE, SK, STATS};
use super::profile_changes::FollowedAttributes;
use super::stats::StoredStatistics;
use super::table::Store;

/// The items of a user that account-activity needs.
#[derive(Clone, Debug, Default)]
pub struct StoredAccount {
    pub statistics: Option<StoredStatistics>,
    /// The attributes of the profile that follow the user pool. `None` if there is no profile.
    pub profile: Option<FollowedAttributes>,
}

impl Store {
    /// Reads STATS and PROFILE of users, by sub. A user without both has no entry in the result.
    pub async fn read_accounts(
        &self,
        subs: &[&str],
        consistency: Consistency,
    ) -> Result<HashMap<String, StoredAccount>, StoreError> {
        let by_key: HashMap<String, &str> = subs.iter().map(|sub| (keys::user(sub), *sub)).collect();
        let wanted = by_key.keys().flat_map(|user| [keys::key(user, STATS), keys::key(user, PROFILE)]);
        let mut accounts: HashMap<String, StoredAccount> = HashMap::new();
        for item in self.read_items(wanted.collect(), consistency).await? {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
            let Some(sub) = text(PK).and_then(|key| by_key.get(key)) else { continue };
            let account = accounts.entry((*sub).to_owned()).or_default();
            if text(SK) == Some(STATS) {
                account.statistics = Some(StoredStatistics::from_item(item));
            } else {
                account.profile = FollowedAttributes::of_profile(&item);
            }
        }
        Ok(accounts)
    }
}
