//! Suspensions: when a user may not sign in, and how an operator changes that.
//!
//! A suspension lives in the user's PROFILE item. The triggers enforce it from the moment it is
//! written. The event that follows evicts the user's cached pages. It suspends nobody by itself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::events::{Data, Event, Subject, SuspensionNotice};
use crate::queues::{Queue, QueueError};
use crate::store::{Store, StoreError};
use crate::time::millis;

/// A suspension as PROFILE holds it, in the attribute `suspension`.
///
/// A reinstatement is stored in the same attribute, with `until` equal to `at`. So `at` stays in
/// the item, and an older decision that arrives late cannot win.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// For administrators. The user never sees it.
    pub reason: String,
    /// End of the suspension. `None`: it has no end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis::option")]
    pub until: Option<Timestamp>,
    /// The operator who decided.
    pub by: String,
    /// Time of the decision. If two decisions conflict, the later one wins.
    #[serde(with = "millis")]
    pub at: Timestamp,
}

impl Suspension {
    /// Whether this records that an earlier suspension was ended by an operator.
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

/// An operator's decision to suspend or reinstate a user.
#[derive(Clone, Debug, PartialEq)]
pub struct SuspensionChange {
    pub sub: String,
    pub suspension: Suspension,
}

impl SuspensionChange {
    /// Suspends a user. `until: None` means without an end.
    pub fn suspend(sub: &str, reason: &str, until: Option<Timestamp>, by: &str, at: Timestamp) -> Self {
        let suspension = Suspension { reason: reason.to_owned(), until, by: by.to_owned(), at };
        Self { sub: sub.to_owned(), suspension }
    }

    /// Ends a user's suspension.
    pub fn reinstate(sub: &str, reason: &str, by: &str, at: Timestamp) -> Self {
        Self::suspend(sub, reason, Some(at), by, at)
    }

    /// Writes the decision to the table, then publishes it with the CloudEvents source `source`.
    /// Returns `false`, and changes nothing, if the table has a later decision.
    pub async fn apply(
        &self,
        store: &Store,
        user_events: &Queue,
        source: &str,
    ) -> Result<bool, SuspensionError> {
        let written = store.write_suspension(&self.sub, &self.suspension).await;
        if !written.map_err(SuspensionError::NotWritten)? {
            return Ok(false);
        }
        let Suspension { reason, until, at, .. } = &self.suspension;
        let notice = SuspensionNotice { reason: Some(reason.clone()), until: *until };
        let data = if self.suspension.is_reinstatement() {
            Data::Reinstated(notice)
        } else {
            Data::Suspended(notice)
        };
        let event = Event::new(source, Subject::user(&self.sub), *at, data);
        user_events.send(&event).await.map_err(SuspensionError::NotPublished)?;
        Ok(true)
    }
}

/// A [`SuspensionChange`] that was not applied completely.
#[derive(Debug, thiserror::Error)]
pub enum SuspensionError {
    #[error("nothing was changed")]
    NotWritten(#[source] StoreError),
    #[error(
        "the decision is in the table and in force, but the user's cached pages were not evicted. \
         Run the command again"
    )]
    NotPublished(#[source] QueueError),
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
        let status = |change: SuspensionChange| {
            let is_banned = !change.suspension.is_reinstatement();
            SuspensionStatus { is_banned, suspension: Some(change.suspension) }.describe(time(100))
        };
        let suspended = |until| SuspensionChange::suspend("ana", "spam", until, "ben", time(50));
        assert_eq!(status(suspended(None)), "suspended without an end, by ben: spam");
        assert_eq!(
            status(suspended(Some(time(101)))),
            "suspended until 1970-01-01T00:01:41Z, by ben: spam"
        );
        assert_eq!(status(suspended(Some(time(99)))), "not suspended");
        assert_eq!(status(SuspensionChange::reinstate("ana", "settled", "ben", time(60))), "not suspended");
        assert_eq!(SuspensionStatus::default().describe(time(100)), "not suspended");
        let by_hand = SuspensionStatus { is_banned: true, suspension: None };
        assert_eq!(
            by_hand.describe(time(100)),
            "suspended without an end: another tool set the flag isBanned"
        );
    }
}
