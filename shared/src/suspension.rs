//! Suspensions: when a user may not sign in.
//!
//! Two items can suspend a user: SUSPENSION, which operators write with `replay`, and the flag
//! `isBanned` of PROFILE, for tools that expect it. [`SuspensionStatus::denial`] is the rule. The
//! triggers, erasures and `replay` all use it, so that an erasure keeps what the triggers enforce.

use jiff::Timestamp;

/// A suspension as the SUSPENSION item holds it.
///
/// A reinstatement is stored in the same item, with `until` equal to `at`. So `at` stays in the
/// table, and an older decision that arrives late cannot win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// For administrators. The user never sees it. Empty if another tool wrote none.
    pub reason: String,
    /// End of the suspension. `None` if it has no end.
    pub until: Option<Timestamp>,
    /// The operator who decided. Empty if another tool wrote none.
    pub by: String,
    /// Time of the decision. If two decisions conflict, the later one wins.
    pub at: Timestamp,
}

impl Suspension {
    /// Whether this records that an operator ended an earlier suspension.
    pub fn is_reinstatement(&self) -> bool {
        self.until.is_some_and(|until| until <= self.at)
    }

    /// True if the suspension is over at the time `now`, or is a reinstatement.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.is_reinstatement() || self.until.is_some_and(|until| until <= now)
    }

    /// The value of the flag `isBanned` that is written together with this suspension. The flag has
    /// no end, so only a suspension without an end sets it.
    pub fn sets_flag(&self) -> bool {
        self.until.is_none()
    }
}

/// A value of the table that any tool may have written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stored<T> {
    #[default]
    Missing,
    Readable(T),
    /// The value exists but has a wrong form. The text names the attribute and the problem.
    Unreadable(&'static str),
}

/// Why the triggers deny a user's sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// A suspension is in force.
    Suspended,
    /// A value that may be a suspension is unreadable.
    Unreadable,
}

/// Everything in the table that can suspend a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuspensionStatus {
    /// The attribute `isBanned` of PROFILE.
    pub is_banned: Stored<bool>,
    /// The SUSPENSION item.
    pub suspension: Stored<Suspension>,
}

impl<T> Stored<T> {
    /// What is unreadable, for the log. `None` if nothing is.
    pub fn unreadable(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable(problem) => Some(problem),
            _ => None,
        }
    }
}

impl Stored<bool> {
    /// The reason why the flag denies sign-ins. It has no end.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::Readable(true) => Some(Denial::Suspended),
            Self::Unreadable(_) => Some(Denial::Unreadable),
            Self::Readable(false) | Self::Missing => None,
        }
    }
}

impl Stored<Suspension> {
    /// The reason why the item denies sign-ins at the time `now`. A suspension with an end ends by itself.
    pub fn denial(&self, now: Timestamp) -> Option<Denial> {
        match self {
            Self::Readable(suspension) => (!suspension.is_over(now)).then_some(Denial::Suspended),
            Self::Unreadable(_) => Some(Denial::Unreadable),
            Self::Missing => None,
        }
    }
}

impl SuspensionStatus {
    /// The status that a decision leaves in the table.
    pub fn after(suspension: &Suspension) -> Self {
        Self {
            is_banned: Stored::Readable(suspension.sets_flag()),
            suspension: Stored::Readable(suspension.clone()),
        }
    }

    /// Why the user may not sign in at the time `now`. `None` if the user may. Either item denies,
    /// whatever the other one says.
    pub fn denial(&self, now: Timestamp) -> Option<Denial> {
        self.is_banned.denial().into_iter().chain(self.suspension.denial(now)).min()
    }

    /// What is unreadable, for the log. `None` if nothing is.
    pub fn unreadable(&self) -> Option<&'static str> {
        self.suspension.unreadable().or(self.is_banned.unreadable())
    }

    /// The status in a few words, for a terminal. Begins with `suspended` if the user may not sign
    /// in, and is `not suspended` otherwise.
    pub fn describe(&self, now: Timestamp) -> String {
        let flag = self.is_banned == Stored::Readable(true);
        match &self.suspension {
            Stored::Readable(suspension) if !suspension.is_over(now) && (suspension.sets_flag() || !flag) => {
                let Suspension { reason, until, by, .. } = suspension;
                let end = until.map_or("without an end".to_owned(), |until| format!("until {until}"));
                let by = if by.is_empty() { "unknown" } else { by };
                let reason = if reason.is_empty() { "no reason given" } else { reason };
                format!("suspended {end}, by {by}: {reason}")
            }
            _ if flag => "suspended without an end: another tool set the flag isBanned".to_owned(),
            _ => match self.unreadable() {
                Some(problem) => format!("suspended: the suspension is unreadable ({problem})"),
                None => "not suspended".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn suspension(until: Option<i64>) -> Stored<Suspension> {
        let until = until.map(time);
        Stored::Readable(Suspension { reason: "spam".into(), until, by: "support".into(), at: time(100) })
    }

    #[test]
    fn user_is_denied_by_the_flag_or_by_a_suspension_in_force() {
        use Denial::{Suspended, Unreadable};
        use Stored::{Missing, Readable};
        let wrong_flag = || Stored::Unreadable("isBanned is not true or false");
        let wrong_item = || Stored::Unreadable("at is missing");
        let table = [
            ("nothing stored", Missing, Missing, None),
            ("flag is false", Readable(false), Missing, None),
            ("only the flag", Readable(true), Missing, Some(Suspended)),
            ("without an end", Readable(true), suspension(None), Some(Suspended)),
            ("without an end, flag missing", Missing, suspension(None), Some(Suspended)),
            ("temporary, a second before its end", Readable(false), suspension(Some(201)), Some(Suspended)),
            ("temporary, at its end", Readable(false), suspension(Some(200)), None),
            (
                "temporary, over, flag set by another tool",
                Readable(true),
                suspension(Some(150)),
                Some(Suspended),
            ),
            ("reinstated", Readable(false), suspension(Some(100)), None),
            ("reinstated, until before at", Readable(false), suspension(Some(50)), None),
            ("reinstated, flag set by another tool", Readable(true), suspension(Some(100)), Some(Suspended)),
            ("unreadable flag", wrong_flag(), Missing, Some(Unreadable)),
            ("unreadable flag after a reinstatement", wrong_flag(), suspension(Some(100)), Some(Unreadable)),
            ("unreadable item", Readable(false), wrong_item(), Some(Unreadable)),
            ("both unreadable", wrong_flag(), wrong_item(), Some(Unreadable)),
            ("unreadable item, and the flag", Readable(true), wrong_item(), Some(Suspended)),
            ("unreadable flag, and a suspension", wrong_flag(), suspension(None), Some(Suspended)),
        ];
        for (case, is_banned, suspension, expected) in table {
            let status = SuspensionStatus { is_banned, suspension };
            assert_eq!(status.denial(time(200)), expected, "{case}");
            let text = status.describe(time(200));
            assert_eq!(text.starts_with("suspended"), expected.is_some(), "{case}: {text}");
            assert_eq!(text == "not suspended", expected.is_none(), "{case}: {text}");
        }
    }

    #[test]
    fn only_a_suspension_without_an_end_sets_the_flag() {
        for (until, expected) in [(None, true), (Some(500), false), (Some(100), false)] {
            let Stored::Readable(suspension) = suspension(until) else { panic!("not readable") };
            assert_eq!(suspension.sets_flag(), expected, "{until:?}");
            let denied = SuspensionStatus::after(&suspension).denial(time(200)).is_some();
            assert_eq!(denied, until != Some(100), "{until:?}");
        }
    }

    #[test]
    fn status_is_described_in_a_few_words() {
        let describe = |flag: bool, reason: &str, by: &str, until: Option<i64>| {
            let until = until.map(time);
            let suspension = Suspension { reason: reason.into(), until, by: by.into(), at: time(50) };
            let suspension = Stored::Readable(suspension);
            SuspensionStatus { is_banned: Stored::Readable(flag), suspension }.describe(time(100))
        };
        let flag_of_another_tool = "suspended without an end: another tool set the flag isBanned";
        assert_eq!(describe(true, "spam", "ben", None), "suspended without an end, by ben: spam");
        assert_eq!(describe(false, "", "", None), "suspended without an end, by unknown: no reason given");
        assert_eq!(
            describe(false, "spam", "ben", Some(101)),
            "suspended until 1970-01-01T00:01:41Z, by ben: spam"
        );
        assert_eq!(describe(true, "spam", "ben", Some(101)), flag_of_another_tool);
        assert_eq!(describe(false, "spam", "ben", Some(99)), "not suspended");
        assert_eq!(describe(false, "settled", "ben", Some(50)), "not suspended");
        assert_eq!(describe(true, "settled", "ben", Some(50)), flag_of_another_tool);
        let unreadable = SuspensionStatus {
            is_banned: Stored::Readable(false),
            suspension: Stored::Unreadable("at is missing"),
        };
        assert_eq!(unreadable.describe(time(100)), "suspended: the suspension is unreadable (at is missing)");
    }
}
