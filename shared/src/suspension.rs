//! Suspensions: when a user may not sign in.
//!
//! A suspension is stored in the user's PROFILE item. The triggers enforce it from the moment it is
//! written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time::millis;

/// A suspension as PROFILE holds it, in the attribute `suspension`.
///
/// A reinstatement is stored in the same attribute, with `until` equal to `at`. So `at` stays in
/// the item, and an older decision that arrives late cannot win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// For administrators. The user never sees it.
    pub reason: String,
    /// End of the suspension. `None` if it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub until: Option<Timestamp>,
    /// The operator who decided.
    pub by: String,
    /// Time of the decision. If two decisions conflict, the later one wins.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

impl Suspension {
    /// Whether this records that an operator ended an earlier suspension.
    pub fn is_reinstatement(&self) -> bool {
        self.until.is_some_and(|until| until <= self.at)
    }
}

/// Everything in PROFILE that can suspend a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspensionStatus {
    /// The attribute `isBanned`, for tools that expect it. Without a suspension, `true` means
    /// suspended without an end.
    pub is_banned: bool,
    pub suspension: Option<Suspension>,
}

impl SuspensionStatus {
    /// Whether the user may not sign in at the time `now`. A temporary suspension ends by itself.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        match &self.suspension {
            // Another tool may set the flag after a reinstatement: then it counts.
            Some(suspension) if suspension.is_reinstatement() => self.is_banned,
            Some(suspension) => suspension.until.is_none_or(|until| now < until),
            None => self.is_banned,
        }
    }

    /// The status in a few words, for a terminal.
    pub fn describe(&self, now: Timestamp) -> String {
        match &self.suspension {
            Some(suspension @ Suspension { reason, until, by, .. })
                if self.is_in_force(now) && !suspension.is_reinstatement() =>
            {
                let end = until.map_or("without an end".to_owned(), |until| format!("until {until}"));
                format!("suspended {end}, by {by}: {reason}")
            }
            _ if self.is_in_force(now) => {
                "suspended without an end: another tool set the flag isBanned".to_owned()
            }
            _ => "not suspended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn suspension(until: Option<i64>) -> Option<Suspension> {
        let until = until.map(time);
        Some(Suspension { reason: "spam".into(), until, by: "support".into(), at: time(100) })
    }

    #[test]
    fn suspension_is_in_force_until_its_end_and_the_flag_without_an_end() {
        let table = [
            ("nothing stored", false, None, 200, false),
            ("only the flag", true, None, 200, true),
            ("without an end", true, suspension(None), 200, true),
            ("without an end, flag missing", false, suspension(None), 200, true),
            ("temporary, a second before its end", true, suspension(Some(201)), 200, true),
            ("temporary, at its end", true, suspension(Some(200)), 200, false),
            ("temporary, ended, flag still set", true, suspension(Some(150)), 200, false),
            ("reinstated", false, suspension(Some(100)), 200, false),
            ("reinstated, then another tool set the flag", true, suspension(Some(100)), 200, true),
        ];
        for (case, is_banned, suspension, now, expected) in table {
            let status = SuspensionStatus { is_banned, suspension };
            assert_eq!(status.is_in_force(time(now)), expected, "{case}");
        }
    }

    #[test]
    fn status_is_described_in_a_few_words() {
        let status = |reason: &str, until: Option<i64>, at: i64| {
            let until = until.map(time);
            let suspension = Suspension { reason: reason.into(), until, by: "ben".into(), at: time(at) };
            let is_banned = !suspension.is_reinstatement();
            SuspensionStatus { is_banned, suspension: Some(suspension) }.describe(time(100))
        };
        assert_eq!(status("spam", None, 50), "suspended without an end, by ben: spam");
        assert_eq!(status("spam", Some(101), 50), "suspended until 1970-01-01T00:01:41Z, by ben: spam");
        assert_eq!(status("spam", Some(99), 50), "not suspended");
        assert_eq!(status("settled", Some(60), 60), "not suspended");
        assert_eq!(SuspensionStatus::default().describe(time(100)), "not suspended");
        let by_hand = SuspensionStatus { is_banned: true, suspension: None };
        assert_eq!(
            by_hand.describe(time(100)),
            "suspended without an end: another tool set the flag isBanned"
        );
    }
}
