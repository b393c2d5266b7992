//! The answers for a caller with a valid token: what is read, what the caller may see, and the JSON.

use std::time::Duration;

use futures_util::future::join;
use jiff::Timestamp;
use shared::events::{EventReference, Resource, View};
use shared::metric::Metric;
use shared::statistics::UserStats;
use shared::store::users::{UserData, UserRead};
use shared::store::{StatsMetadata, StoreError};
use shared::suspension::{Denial, SuspensionStatus};
use shared::telemetry::chain;
use shared::time::plus_seconds;

use crate::claims::Claims;
use crate::dashboard::DashboardView;
use crate::deps::Deps;
use crate::mark_as_read::{Accepted, SOURCE, candidates, event};
use crate::orders::OrdersView;
use crate::permissions::{Access, Action, may};
use crate::problem::Problem;
use crate::profile::ProfileView;
use crate::query::Page;
use crate::response::{Caching, Response};

/// Timeout for reading the table. Longer than one call, so that the error of a call comes first. It
/// ends the repetitions after a call that DynamoDB answered only in part.
const READ_TIMEOUT: Duration = Duration::from_millis(1_200);

/// The caller of a request, with a valid token.
pub struct Caller<'a> {
    pub deps: &'a Deps,
    pub claims: Claims,
    pub now: Timestamp,
}

impl Caller<'_> {
    /// The dashboard of a user. With `after`, the answer shows that event, or says that it does not yet.
    pub async fn dashboard(
        &self,
        sub: &str,
        access: Access,
        after: Option<EventReference>,
    ) -> Result<Response, Problem> {
        let store = &self.deps.store;
        let read = UserRead { user: Some(sub), after: after.as_ref(), ..self.read() };
        let lists = timed(store.read_dashboard_lists(sub, self.now));
        let (data, lists) = self.read_with_list(&read, lists).await?;
        let (statistics, metadata) = self.existing_user(&data, sub, access, View::Dashboard)?;
        let (notifications, activities) = lists.map_err(|error| self.unavailable(&error))?;
        let is_pending = self.is_pending(&read, &data, &metadata);
        let profile = data.profile.unwrap_or_default();
        let view = DashboardView::new(sub, profile, statistics, &metadata, notifications, activities);
        Ok(Response::of_view(&view, is_pending, &self.caching(access, &metadata)))
    }

    /// A page of the orders of a user. `after` as for [`dashboard`](Self::dashboard).
    pub async fn orders(
        &self,
        sub: &str,
        page: Page,
        access: Access,
        after: Option<EventReference>,
    ) -> Result<Response, Problem> {
        let store = &self.deps.store;
        let read = UserRead { user: Some(sub), after: after.as_ref(), ..self.read() };
        let orders = timed(store.read_orders(sub, page.before.as_ref(), page.limit, self.now));
        let (data, orders) = self.read_with_list(&read, orders).await?;
        let (_, metadata) = self.existing_user(&data, sub, access, View::Orders)?;
        let orders = orders.map_err(|error| self.unavailable(&error))?;
        let is_pending = self.is_pending(&read, &data, &metadata);
        Ok(Response::of_view(&OrdersView::from(orders), is_pending, &self.caching(access, &metadata)))
    }

    /// A page of the orders of a user who shares them with the caller. The orders are read only after
    /// the grant. A user who does not exist and one who shares nothing look the same.
    pub async fn shared_orders(&self, owner: &str, page: Page) -> Result<Response, Problem> {
        let store = &self.deps.store;
        let resource = Resource::new(Resource::ORDERS, owner).map_err(|_| Problem::NotFound)?;
        let read = UserRead { user: Some(owner), resource: Some(&resource), ..self.read() };
        let data = self.read_data(&read).await?;
        let access = may(&self.claims, data.grant.as_ref(), Action::Read, &resource, self.now);
        let access = access.ok_or(Problem::NotFound)?;
        let (statistics, metadata) = self.existing_user(&data, owner, access, View::Orders)?;
        let orders = timed(store.read_orders(owner, page.before.as_ref(), page.limit, self.now)).await;
        let orders = orders.map_err(|error| self.unavailable(&error))?;
        let caching = match access {
            Access::Granted { until } => {
                self.shared_caching(owner, until, statistics.last_token_issued_at, &metadata)
            }
            Access::Own | Access::Admin => self.caching(access, &metadata),
        };
        Ok(Response::ok(&OrdersView::from(orders), &caching))
    }

    /// The profile of a user. `after` as for [`dashboard`](Self::dashboard).
    pub async fn profile(
        &self,
        sub: &str,
        access: Access,
        after: Option<EventReference>,
    ) -> Result<Response, Problem> {
        let read = UserRead { user: Some(sub), after: after.as_ref(), ..self.read() };
        let data = self.read_data(&read).await?;
        let (_, metadata) = self.existing_user(&data, sub, access, View::Profile)?;
        let is_pending = self.is_pending(&read, &data, &metadata);
        let view = ProfileView::new(sub, data.profile.unwrap_or_default());
        Ok(Response::of_view(&view, is_pending, &self.caching(access, &metadata)))
    }

    /// Publishes that the caller has read a notification. Nothing is sent if it was read before.
    pub async fn mark_as_read(&self, id: &str, traceparent: Option<&str>) -> Result<Response, Problem> {
        let ids = candidates(id);
        let ids: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let read = UserRead { notification_ids: &ids, ..self.read() };
        let data = self.read_data(&read).await?;
        let is_current = |expires_at| expires_at > self.now.as_second();
        let mut found = data.notifications.into_iter().filter(|state| is_current(state.expires_at));
        let notification = found.next().ok_or(Problem::NotFound)?;
        let mut event = event(&self.claims.sub, &notification.notification_id, self.now);
        event.traceparent = traceparent.map(str::to_owned);
        let is_unread = notification.unread_since().is_some();
        if is_unread {
            self.deps.user_events.send(&event).await.map_err(|error| {
                let cause = chain(&error);
                tracing::error!(error_type = "send_failed", cause, "notification.read was not published");
                Problem::Unavailable
            })?;
        }
        // If another service marked the notification as read, the table never has this event.
        let after = is_unread.then(|| event.reference().to_string());
        let accepted = Accepted { source: SOURCE, id: &event.id, after };
        Ok(Response::not_stored(202, "application/json", &accepted))
    }

    fn read(&self) -> UserRead<'_> {
        UserRead { caller: &self.claims.sub, ..UserRead::default() }
    }

    /// Reads data for the caller, who must not be suspended.
    async fn read_data(&self, read: &UserRead<'_>) -> Result<UserData, Problem> {
        let data = timed(self.deps.store.read_user_data(read)).await;
        let data = data.map_err(|error| self.unavailable(&error))?;
        self.check_suspension(&data.suspension)?;
        Ok(data)
    }

    /// Reads data for the caller and a list. At the same time, unless the caller waits for an event:
    /// then the list is read after the stored event, so that it includes the event.
    async fn read_with_list<T>(
        &self,
        read: &UserRead<'_>,
        list: impl Future<Output = T>,
    ) -> Result<(UserData, T), Problem> {
        if read.after.is_some() {
            return Ok((self.read_data(read).await?, list.await));
        }
        let (data, list) = join(self.read_data(read), list).await;
        Ok((data?, list))
    }

    /// True if the caller waits for an event that the data does not show. Counts it.
    ///
    /// DynamoDB reads the items of a batch one by one. So the stored event can be newer than STATS, and
    /// does not prove that STATS includes it. The version does.
    fn is_pending(&self, read: &UserRead<'_>, data: &UserData, metadata: &StatsMetadata) -> bool {
        let is_shown = data.after_version.is_some_and(|version| version <= metadata.version);
        let is_pending = read.after.is_some() && !is_shown;
        self.deps.metrics.count(&[(Metric::ChangesPending, u64::from(is_pending))]);
        is_pending
    }

    /// Logs and counts a failed read.
    fn unavailable(&self, error: &StoreError) -> Problem {
        error.report(&self.deps.metrics, "the data of a user could not be read");
        Problem::Unavailable
    }

    /// A suspended user sees nothing, and neither does one whose suspension is unreadable.
    fn check_suspension(&self, suspension: &SuspensionStatus) -> Result<(), Problem> {
        match suspension.denial(self.now) {
            None => Ok(()),
            Some(Denial::Suspended) => Err(Problem::Suspended),
            Some(Denial::Unreadable) => {
                let cause = suspension.unreadable();
                tracing::error!(error_type = "unreadable_suspension", cause, "the suspension is unreadable");
                Err(Problem::UnreadableSuspension)
            }
        }
    }

    /// The statistics of a user, with zeros if nothing was counted yet. An erased user is gone. Other
    /// people get 404 also for a user without stored data. Logs the access of an administrator.
    fn existing_user(
        &self,
        data: &UserData,
        sub: &str,
        access: Access,
        view: View,
    ) -> Result<(UserStats, StatsMetadata), Problem> {
        let read = data
            .statistics
            .as_ref()
            .map_or_else(|| Ok(Default::default()), |stored| Ok((stored.statistics()?, stored.metadata()?)));
        let (statistics, metadata): (UserStats, StatsMetadata) =
            read.map_err(|error: StoreError| self.unavailable(&error))?;
        let is_unknown = data.profile.is_none() && data.statistics.is_none();
        if metadata.erased_at.is_some() || (is_unknown && access != Access::Own) {
            return Err(Problem::NotFound);
        }
        // Not before: the path may contain anything, and the log must not have an email address.
        if access == Access::Admin {
            let (admin, view) = (self.claims.sub.as_str(), view.name());
            tracing::info!(admin, user = sub, view, "an administrator reads a page of a user");
        }
        Ok((statistics, metadata))
    }

    /// An answer for an administrator is never cached, so that each access is logged.
    fn caching(&self, access: Access, metadata: &StatsMetadata) -> Caching {
        match access {
            Access::Own => self.cached_for(&[&self.claims.sub], metadata, &[]),
            Access::Granted { .. } | Access::Admin => Caching::NoStore,
        }
    }

    /// An answer about another user, the owner. `until` is the end of the grant.
    ///
    /// user-stats sends no notice about an inactive owner, because all cached pages of a user were
    /// requested with the user's own tokens. This one was not. So it must be gone before the owner can be
    /// inactive: when the owner's last known token expires.
    fn shared_caching(
        &self,
        owner: &str,
        until: Option<Timestamp>,
        last_token_issued_at: Option<Timestamp>,
        metadata: &StatsMetadata,
    ) -> Caching {
        let Some(issued_at) = last_token_issued_at else { return Caching::NoStore };
        let validity = i64::from(self.deps.config.token_validity_minutes) * 60;
        let ends = [until.unwrap_or(Timestamp::MAX), plus_seconds(issued_at, validity)];
        self.cached_for(&[&self.claims.sub, owner], metadata, &ends)
    }

    /// Cached for the lifetime that follows from the last change of the data, until the earliest of
    /// `ends`, and not beyond the end of the token.
    fn cached_for(&self, subs: &[&str], metadata: &StatsMetadata, ends: &[Timestamp]) -> Caching {
        let lifetime = self.deps.config.cache_lifetime.seconds(metadata.last_changed_at, self.now);
        let ends: Vec<Timestamp> = ends.iter().copied().chain([self.claims.expires_at]).collect();
        Caching::for_users(subs, lifetime, self.now, &ends)
    }
}

async fn timed<T>(read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let read = tokio::time::timeout(READ_TIMEOUT, read).await;
    read.unwrap_or_else(|_| Err(StoreError::timed_out("reading a user")))
}
