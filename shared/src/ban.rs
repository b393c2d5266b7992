//! When a user is kept out. A ban lives in the user's PROFILE item and holds from the moment it is written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::millis;

/// A ban as PROFILE holds it, in the attribute `ban`. Lifting it sets `until` to the moment of lifting, so
/// that `at` stays there and an older decision that arrives late cannot win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Why, for the administrators. Never shown to the user.
    pub reason: String,
    /// Until when; for good where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub until: Option<Timestamp>,
    /// Who decided.
    pub by: String,
    /// When it was decided. Of two decisions the later one holds.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

impl Ban {
    /// Whether this records that an earlier ban was lifted.
    pub fn is_lifted(&self) -> bool {
        self.until.is_some_and(|until| until <= self.at)
    }
}

/// What PROFILE says about bans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BanStatus {
    /// The flag for readers that expect one. Alone, without a `ban`, it means a ban for good.
    pub is_banned: bool,
    /// The ban itself.
    pub ban: Option<Ban>,
}

impl BanStatus {
    /// Whether the user is kept out at the time `now`. A temporary ban ends by itself.
    pub fn in_force(&self, now: Timestamp) -> bool {
        match &self.ban {
            // Whoever set the flag by hand after an earlier ban was lifted means it.
            Some(ban) if ban.is_lifted() => self.is_banned,
            Some(ban) => ban.until.is_none_or(|until| now < until),
            None => self.is_banned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ban(until: Option<i64>) -> Option<Ban> {
        Some(Ban { reason: "spam".into(), until: until.map(time), by: "support".into(), at: time(100) })
    }

    #[test]
    fn a_ban_holds_until_its_end_and_the_flag_alone_holds_for_good() {
        let table = [
            ("nothing known", false, None, 200, false),
            ("flag alone", true, None, 200, true),
            ("for good", true, ban(None), 200, true),
            ("for good, flag lost", false, ban(None), 200, true),
            ("temporary, a second before its end", true, ban(Some(201)), 200, true),
            ("temporary, at its end", true, ban(Some(200)), 200, false),
            ("temporary, over, flag still there", true, ban(Some(150)), 200, false),
            ("lifted", false, ban(Some(100)), 200, false),
            ("lifted, then the flag set by hand", true, ban(Some(100)), 200, true),
        ];
        for (case, is_banned, ban, now, expected) in table {
            assert_eq!(BanStatus { is_banned, ban }.in_force(time(now)), expected, "{case}");
        }
    }
}
