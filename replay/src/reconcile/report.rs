//! What `replay reconcile` prints.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use shared::text::printable;

use super::state::State;
use super::{Difference, Kind};
use crate::output::{counted, number};

/// Maximum number of users that are shown for each kind of difference.
const MAX_SHOWN: usize = 20;

/// The differences between a user pool and the table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReconcileReport {
    /// True if nothing was repaired, because --yes is missing.
    pub dry_run: bool,
    /// True if everything was compared. False if the table knows no user of the pool, which is then
    /// probably another table's.
    pub complete: bool,
    /// When the comparison began.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub begun_at: Option<Timestamp>,
    /// True if the checkpoint had the whole comparison, so that differences since then are missing.
    pub from_checkpoint: bool,
    /// Id of the user pool.
    pub user_pool: String,
    /// Name of the table.
    pub table: String,
    /// Number of pages of the user pool.
    pub pages: usize,
    /// Number of users of the user pool.
    pub users: usize,
    /// Number of these users for which the table has a profile, statistics or an erasure marker.
    pub known: usize,
    /// Number of users who were not compared, by the reason: the status of the account, `erased`, or what is
    /// missing or unreadable.
    pub skipped: BTreeMap<String, usize>,
    /// Number of users that are not in the pool and whose data stays on purpose (AccountDeletion=keep). They
    /// are no difference.
    pub kept: usize,
    /// The groups that were compared. Null if groups were not compared.
    pub groups: Option<Vec<String>>,
    /// The differences by kind, every kind once.
    pub differences: Vec<KindReport>,
    /// The repairs that failed, each with the sub and the reason.
    pub failures: Vec<String>,
}

/// The differences of a kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KindReport {
    /// What differs.
    pub kind: Kind,
    /// Number of differences that the comparison found.
    pub found: usize,
    /// Number of those that remain.
    pub remaining: usize,
    /// The users of at most 20 remaining differences.
    pub users: Vec<DifferenceReport>,
}

/// A difference of a user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DifferenceReport {
    /// The user's sub.
    pub sub: String,
    /// The names of the attributes of the profile, or of the groups. Of an account, its state in the pool:
    /// `disabled` or `enabled`.
    pub fields: Vec<String>,
}

impl ReconcileReport {
    /// The differences of a state. The rest is for the caller to fill.
    pub fn of(state: &State) -> Self {
        let shown = |difference: &Difference| DifferenceReport {
            sub: difference.sub.clone(),
            fields: difference.fields.clone(),
        };
        let differences = Kind::ALL.map(|kind| KindReport {
            kind,
            found: state.found(kind),
            remaining: state.count(kind),
            users: state
                .differences()
                .filter(|difference| difference.kind == kind)
                .take(MAX_SHOWN)
                .map(shown)
                .collect(),
        });
        Self {
            dry_run: true,
            complete: state.is_compared,
            begun_at: state.start.as_ref().map(|start| start.begun_at),
            from_checkpoint: false,
            user_pool: String::new(),
            table: String::new(),
            pages: state.pages,
            users: state.user_count(),
            known: state.known,
            skipped: state.skipped.clone(),
            kept: state.kept,
            groups: None,
            differences: differences.into(),
            failures: Vec::new(),
        }
    }

    pub fn remaining(&self) -> usize {
        self.differences.iter().map(|kind| kind.remaining).sum()
    }

    pub fn found(&self) -> usize {
        self.differences.iter().map(|kind| kind.found).sum()
    }

    /// One line for each count, and for each user that is shown.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let mut line = |count: usize, text: &str| out += &format!("{:>9}  {text}\n", number(count));
        line(self.users, &format!("users of {} on {}", self.user_pool, counted(self.pages, "page")));
        line(self.known, "of them known to the table");
        for (reason, count) in &self.skipped {
            line(*count, &format!("skipped: {}", printable(reason)));
        }
        if self.kept > 0 {
            line(self.kept, "deleted from the pool, data kept on purpose (AccountDeletion=keep)");
        }
        if let Some(at) = self.begun_at.filter(|_| self.from_checkpoint) {
            out +=
                &format!("From the comparison of {at} in the checkpoint, without differences since then\n");
        }
        out += &match &self.groups {
            Some(groups) => format!("Groups compared: {}\n", printable(&groups.join(", "))),
            None => "Groups not compared: no group rules that change the user pool\n".to_owned(),
        };
        if !self.complete {
            return out;
        }
        out += "Differences:\n";
        for KindReport { kind, found, remaining, users } in &self.differences {
            if self.groups.is_none() && matches!(kind, Kind::MissingGroup | Kind::ExtraGroup) {
                out += &format!("        -  {}: not compared\n", kind.title());
                continue;
            }
            let repaired = match found - remaining {
                0 => String::new(),
                repaired => format!(", {} repaired", number(repaired)),
            };
            out += &format!("{:>9}  {}{repaired}\n", number(*found), kind.title());
            for user in users {
                let fields = match user.fields.is_empty() {
                    true => String::new(),
                    false => format!("  {}", user.fields.join(", ")),
                };
                out += &format!("             {}\n", printable(&format!("{}{fields}", user.sub)));
            }
            if *remaining > users.len() {
                out += &format!("             and {} more: --out FILE\n", number(remaining - users.len()));
            }
        }
        for failure in self.failures.iter().take(MAX_SHOWN) {
            out += &format!("failed: {}\n", printable(failure));
        }
        if let Some(more) = self.failures.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
            out += &format!("and {}: --json\n", counted(more, "more failure"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::state::{Record, UserPage};

    #[test]
    fn at_most_twenty_users_of_a_kind_are_shown() {
        let difference = |number: usize| Difference {
            kind: Kind::StaleProfile,
            sub: format!("sub-{number:02}"),
            fields: vec!["email".to_owned()],
        };
        let mut state = State::default();
        state.apply(Record::Users(UserPage {
            subs: (0..23).map(|number| format!("sub-{number:02}")).collect(),
            differences: (0..23).map(difference).collect(),
            ..UserPage::default()
        }));
        state.apply(Record::Compared {});
        let text = ReconcileReport::of(&state).render();
        assert_eq!(text.matches("sub-").count(), 20, "{text}");
        assert!(
            text.contains("       23  profiles with old attributes\n             sub-00  email\n"),
            "{text}"
        );
        assert!(text.contains("             and 3 more: --out FILE\n"), "{text}");
    }

    #[test]
    fn failures_after_the_twentieth_are_counted() {
        let mut state = State::default();
        state.apply(Record::Compared {});
        for (count, expected) in
            [(20, ""), (21, "and 1 more failure: --json\n"), (23, "and 3 more failures: --json\n")]
        {
            let failures = (0..count).map(|number| format!("sub-{number:02}: AccessDenied")).collect();
            let text = ReconcileReport { failures, ..ReconcileReport::of(&state) }.render();
            assert_eq!(text.matches("failed: sub-").count(), 20, "{text}");
            assert_eq!(text.rsplit_once("sub-19: AccessDenied\n").unwrap().1, expected, "{text}");
        }
    }

    #[test]
    fn groups_that_were_not_compared_have_no_count() {
        let mut state = State::default();
        state.apply(Record::Compared {});
        let text = ReconcileReport::of(&state).render();
        assert!(text.contains("        -  users without a group of the rules: not compared\n"), "{text}");
        assert!(text.contains("        -  users in a group against the rules: not compared\n"), "{text}");
        let groups = Some(vec!["Staff".to_owned()]);
        let text = ReconcileReport { groups, ..ReconcileReport::of(&state) }.render();
        assert!(
            !text.contains("not compared") && text.contains("        0  users without a group"),
            "{text}"
        );
    }
}
