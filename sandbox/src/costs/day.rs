//! What the users of a sample do on a day: tokens, changes of their data, and page views.

use jiff::Timestamp;

use super::assumptions::{
    ACTION_SECONDS, ANSWER_MILLISECONDS, COMMIT_MILLISECONDS, LATE_MINUTES, RETENTION_DAYS,
    SECOND_VIEW_SECONDS, TOKEN_VALIDITY_MINUTES, USER_STATS_WINDOW_SECONDS,
};

pub(super) const DAYS_PER_MONTH: u64 = 30;
pub(super) const DAY_SECONDS: i64 = 24 * 3600;
const DAY: i64 = DAY_SECONDS * 1_000;
/// The job starts at 02:00, while few users are active. In the workload of a job by day, it starts at
/// 12:00.
const NIGHT_SECOND: i64 = 2 * 3600;
const NOON_SECOND: i64 = 12 * 3600;

/// How users behave on a day.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Users in the pool.
    pub users: u32,
    /// Percentage of users who sign in on a day: once, with a token refresh each hour after that.
    pub active_percent: u32,
    pub session_minutes: u32,
    /// Actions of an active user in a session.
    pub actions_in_session: u32,
    /// Changes of the user's data for each action, two seconds apart: the user's own, and those of
    /// services: an order, its payment, its notification.
    pub changes_of_action: u32,
    /// Percentage of actions after which a service changes the data once more, minutes later: shipped,
    /// refunded.
    pub late_percent: u32,
    /// A service also changes the data of an active user each time that so many seconds of the session
    /// have passed.
    pub service_change_seconds: Option<u32>,
    /// Page views of the acting device at random times of the session, in addition to two after each action.
    pub random_page_views: u32,
    /// Percentage of active users with a second device.
    pub second_device_percent: u32,
    /// Page views of the second device at random times of the session.
    pub second_device_page_views: u32,
    /// Percentage of users that a background job changes, active or not.
    pub job_percent: u32,
    /// Duration of the job.
    pub job_minutes: u32,
    /// True if the job runs at noon and only for active users.
    pub is_job_for_active_users: bool,
    /// EVENT_RETENTION_DAYS: how long the table keeps events.
    pub retention_days: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            users: 1_000_000,
            active_percent: 20,
            session_minutes: 25,
            actions_in_session: 2,
            changes_of_action: 3,
            late_percent: 30,
            service_change_seconds: None,
            random_page_views: 8,
            second_device_percent: 30,
            second_device_page_views: 4,
            job_percent: 30,
            job_minutes: 10,
            is_job_for_active_users: false,
            retention_days: RETENTION_DAYS,
        }
    }
}

/// Who caused a change of a user's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    User,
    Service,
    Job,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Device {
    Acting,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// user-stats commits the event of a token.
    Token {
        issued_at: i64,
    },
    /// The acting device writes. Its change is committed later.
    Write,
    /// user-stats commits a change of the user's data.
    Commit(Cause),
    PageView(Device),
}

/// A step of a user. Times are in milliseconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub at: i64,
    pub user: u32,
    pub step: Step,
}

/// The time of a millisecond of the day. Times of the days before are valid, too.
pub(super) fn time(millisecond: i64) -> Timestamp {
    Timestamp::from_millisecond(100 * DAY + millisecond).unwrap_or(Timestamp::MAX)
}

/// The millisecond of the day of a time.
pub(super) fn milliseconds(at: Timestamp) -> i64 {
    at.as_millisecond() - 100 * DAY
}

/// The day of `users` users, in the order of time. The same input gives the same day.
pub(super) fn day(model: &Model, users: u32) -> Vec<Moment> {
    let mut writer = Writer { random: fastrand::Rng::with_seed(1), user: 0, moments: Vec::new() };
    for user in 0..users {
        writer.user = user;
        let is_active = writer.is_one_of(model.active_percent);
        if is_active {
            writer.session(model);
        }
        let has_job = writer.is_one_of(model.job_percent) && (is_active || !model.is_job_for_active_users);
        if has_job {
            let begins = if model.is_job_for_active_users { NOON_SECOND } else { NIGHT_SECOND };
            let length = i64::from(model.job_minutes.max(1)) * 60_000;
            let at = begins * 1_000 + writer.random.i64(0..length);
            writer.commit(at, Cause::Job);
        }
    }
    writer.moments.sort_unstable();
    writer.moments
}

struct Writer {
    random: fastrand::Rng,
    user: u32,
    moments: Vec<Moment>,
}

impl Writer {
    fn is_one_of(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    fn push(&mut self, at: i64, step: Step) {
        self.moments.push(Moment { at, user: self.user, step });
    }

    /// The time at which user-stats commits an event that was published at `at`. Each event opens a batch
    /// of its own, and so waits for the whole window.
    fn committed_at(&mut self, at: i64) -> i64 {
        at + (USER_STATS_WINDOW_SECONDS * 1_000.0) as i64 + self.random.i64(COMMIT_MILLISECONDS)
    }

    fn commit(&mut self, at: i64, cause: Cause) {
        let at = self.committed_at(at);
        self.push(at, Step::Commit(cause));
    }

    fn token(&mut self, issued_at: i64) {
        let at = self.committed_at(issued_at);
        self.push(at, Step::Token { issued_at });
    }

    fn page_views(&mut self, device: Device, count: u32, begins: i64, session: i64) {
        for _ in 0..count {
            let at = begins + self.random.i64(0..session);
            self.push(at, Step::PageView(device));
        }
    }

    fn session(&mut self, model: &Model) {
        let session = i64::from(model.session_minutes.max(1)) * 60_000;
        // Sessions end on the day on which they begin.
        let begins = self.random.i64(0..DAY - session);
        let devices = 1 + u32::from(self.is_one_of(model.second_device_percent));
        for _ in 0..devices {
            for n in 0..tokens(model) {
                self.token(begins + i64::from(n * TOKEN_VALIDITY_MINUTES) * 60_000);
            }
        }
        for _ in 0..model.actions_in_session {
            let action = begins + self.random.i64(0..session);
            self.action(model, action);
        }
        if let Some(seconds) = model.service_change_seconds {
            let step = usize::try_from(seconds.max(1)).unwrap_or(usize::MAX) * 1_000;
            for offset in (0..session).step_by(step) {
                self.commit(begins + offset, Cause::Service);
            }
        }
        self.page_views(Device::Acting, model.random_page_views, begins, session);
        if devices == 2 {
            self.page_views(Device::Other, model.second_device_page_views, begins, session);
        }
    }

    fn action(&mut self, model: &Model, at: i64) {
        for n in 0..i64::from(model.changes_of_action) {
            let cause = if n == 0 { Cause::User } else { Cause::Service };
            self.commit(at + n * ACTION_SECONDS * 1_000, cause);
        }
        if model.changes_of_action > 0 {
            self.push(at, Step::Write);
        }
        if self.is_one_of(model.late_percent) {
            let minutes = LATE_MINUTES;
            let later = self.random.i64(minutes.start * 60_000..minutes.end * 60_000);
            self.commit(at + later, Cause::Service);
        }
        let answered = at + self.random.i64(ANSWER_MILLISECONDS);
        self.push(answered, Step::PageView(Device::Acting));
        self.push(at + SECOND_VIEW_SECONDS * 1_000, Step::PageView(Device::Acting));
    }
}

/// Tokens of a device in a session.
pub(super) fn tokens(model: &Model) -> u32 {
    1 + model.session_minutes / TOKEN_VALIDITY_MINUTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(day: &[Moment], is: impl Fn(Step) -> bool) -> usize {
        day.iter().filter(|moment| is(moment.step)).count()
    }

    #[test]
    fn everybody_does_what_the_model_says() {
        let all =
            Model { active_percent: 100, second_device_percent: 100, job_percent: 100, ..Model::default() };
        let all = Model { late_percent: 100, session_minutes: 70, ..all };
        let day = day(&all, 10);
        assert!(day.is_sorted());
        for (step, expected) in [
            (Step::Commit(Cause::User), 2),
            (Step::Commit(Cause::Service), 2 * (2 + 1)),
            (Step::Commit(Cause::Job), 1),
            (Step::Write, 2),
            (Step::PageView(Device::Acting), 2 * 2 + 8),
            (Step::PageView(Device::Other), 4),
        ] {
            assert_eq!(count(&day, |other| other == step), 10 * expected, "{step:?}");
        }
        assert_eq!(count(&day, |step| matches!(step, Step::Token { .. })), 10 * 2 * 2);
    }

    #[test]
    fn workloads_change_the_data_of_active_users() {
        let model = Model { active_percent: 50, job_percent: 100, ..Model::default() };
        let busy = Model { service_change_seconds: Some(60), ..model };
        let services = |model: &Model| count(&day(model, 100), |step| step == Step::Commit(Cause::Service));
        let sessions = count(&day(&model, 100), |step| step == Step::Commit(Cause::User)) / 2;
        // The random numbers of the two days differ a little.
        assert!(services(&busy) > services(&model) + sessions * 20, "{}", services(&busy));
        let by_day = day(&Model { is_job_for_active_users: true, ..model }, 100);
        let jobs = count(&by_day, |step| step == Step::Commit(Cause::Job));
        assert!((30..70).contains(&jobs), "{jobs}");
    }

    #[test]
    fn nobody_does_nothing() {
        let model = Model { active_percent: 0, job_percent: 0, ..Model::default() };
        assert_eq!(day(&model, 100), []);
    }
}
