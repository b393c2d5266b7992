//! Banning a user, and lifting a ban. The ban goes into the table, where it holds from that moment; the notice
//! goes to the queue, and evicts the user's cached pages, idle or not. The notice alone bans nobody.

use anyhow::{Context, Result};
use jiff::Timestamp;
use shared::ban::{Ban, BanStatus};
use shared::events::{Data, Event, Subject, SuspensionNotice};
use shared::queues::Queue;
use shared::store::Store;

/// CloudEvents' source of what the command line sends.
pub(crate) const SOURCE: &str = "/replay";

/// A decision about a user.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Whom, by sub.
    pub sub: String,
    /// The ban. Lifted where its end is its own time.
    pub ban: Ban,
}

impl Decision {
    /// Bans a user, for good where there is no end.
    pub fn suspend(sub: &str, reason: &str, until: Option<Timestamp>, by: &str, at: Timestamp) -> Self {
        let ban = Ban { reason: reason.to_owned(), until, by: by.to_owned(), at };
        Self { sub: sub.to_owned(), ban }
    }

    /// Lifts a user's ban.
    pub fn reinstate(sub: &str, reason: &str, by: &str, at: Timestamp) -> Self {
        Self::suspend(sub, reason, Some(at), by, at)
    }

    /// Carries the decision out: answers `false`, and does nothing, where a later decision is there.
    pub async fn carry_out(&self, store: &Store, user_events: &Queue) -> Result<bool> {
        if !store.write_ban(&self.sub, &self.ban).await.context("nothing was changed")? {
            return Ok(false);
        }
        let notice = SuspensionNotice { reason: Some(self.ban.reason.clone()), until: self.ban.until };
        let data = if self.ban.is_lifted() { Data::Reinstated(notice) } else { Data::Suspended(notice) };
        let event = Event::new(SOURCE, Subject::user(&self.sub), self.ban.at, data);
        let holds = "the decision is in the table and holds, but cached pages were not evicted; run it again";
        user_events.send(&event).await.context(holds)?;
        Ok(true)
    }
}

/// Whether a user has a profile, and their standing as the table has it. A ban that cannot be read keeps the user out, and
/// makes way for one that can be.
pub async fn stored_standing(store: &Store, sub: &str, now: Timestamp) -> Result<(bool, String)> {
    match store.profile_state(sub).await {
        Ok(profile) => Ok((profile.exists, standing(&profile.ban, now))),
        Err(error) if error.is_unreadable() => Ok((true, "banned, by a ban that cannot be read".to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// A user's standing in a few words.
pub fn standing(status: &BanStatus, now: Timestamp) -> String {
    match &status.ban {
        Some(ban @ Ban { reason, until, by, .. }) if status.in_force(now) && !ban.is_lifted() => {
            let until = until.map_or("for good".to_owned(), |until| format!("until {until}"));
            format!("banned {until}, by {by}: {reason}")
        }
        _ if status.in_force(now) => "banned for good: the flag isBanned was set by hand".to_owned(),
        _ => "not banned".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_is_told_in_a_few_words() {
        let time = |second| Timestamp::from_second(second).unwrap();
        let status = |decision: Decision| {
            let is_banned = !decision.ban.is_lifted();
            standing(&BanStatus { is_banned, ban: Some(decision.ban) }, time(100))
        };
        let suspended = |until| Decision::suspend("ana", "spam", until, "ben", time(50));
        assert_eq!(status(suspended(None)), "banned for good, by ben: spam");
        assert_eq!(status(suspended(Some(time(101)))), "banned until 1970-01-01T00:01:41Z, by ben: spam");
        assert_eq!(status(suspended(Some(time(99)))), "not banned");
        assert_eq!(status(Decision::reinstate("ana", "settled", "ben", time(60))), "not banned");
        assert_eq!(standing(&BanStatus::default(), time(100)), "not banned");
        let by_hand = BanStatus { is_banned: true, ban: None };
        assert_eq!(standing(&by_hand, time(100)), "banned for good: the flag isBanned was set by hand");
    }
}
