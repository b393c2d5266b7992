//! The answers for a caller with a valid token: what is read, what the caller may see, and the JSON.

use std::time::Duration;

use futures_util::future::join;
use jiff::Timestamp;
use shared::events::{Resource, View};
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
    /// The dashboard of a user.
    pub async fn dashboard(&self, sub: &str, access: Access) -> Result<Response, Problem> {
        let store = &self.deps.store;
        let read = UserRead { user: Some(sub), ..self.read() };
        let lists = timed(store.read_dashboard_lists(sub, self.now));
        let (data, lists) = join(self.read_data(&read), lists).await;
        let data = data?;
        let (statistics, metadata) = self.existing_user(&data, sub, access, View::Dashboard)?;
        let (notifications, activities) = lists.map_err(|error| self.unavailable(&error))?;
        let profile = data.profile.unwrap_or_default();
        let view = DashboardView::new(sub, profile, statistics, &metadata, notifications, activities);
        Ok(Response::ok(&view, &self.caching(access)))
    }

    /// A page of the orders of a user.
    pub async fn orders(&self, sub: &str, page: Page, access: Access) -> Result<Response, Problem> {
        let store = &self.deps.store;
        let read = UserRead { user: Some(sub), ..self.read() };
        let orders = store.read_orders(sub, page.before.as_ref(), page.limit, self.now);
        let (data, orders) = join(self.read_data(&read), timed(orders)).await;
        self.existing_user(&data?, sub, access, View::Orders)?;
        let orders = orders.map_err(|error| self.unavailable(&error))?;
        Ok(Response::ok(&OrdersView::from(orders), &self.caching(access)))
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
        let (statistics, _) = self.existing_user(&data, owner, access, View::Orders)?;
        let orders = timed(store.read_orders(owner, page.before.as_ref(), page.limit, self.now)).await;
        let orders = orders.map_err(|error| self.unavailable(&error))?;
        let caching = match access {
            Access::Granted { until } => self.shared_caching(owner, until, statistics.last_token_issued_at),
            Access::Own | Access::Admin => self.caching(access),
        };
        Ok(Response::ok(&OrdersView::from(orders), &caching))
    }

    /// The profile of a user.
    pub async fn profile(&self, sub: &str, access: Access) -> Result<Response, Problem> {
        let read = UserRead { user: Some(sub), ..self.read() };
        let data = self.read_data(&read).await?;
        self.existing_user(&data, sub, access, View::Profile)?;
        let view = ProfileView::new(sub, data.profile.unwrap_or_default());
        Ok(Response::ok(&view, &self.caching(access)))
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
        if notification.unread_since().is_some() {
            self.deps.user_events.send(&event).await.map_err(|error| {
                let cause = chain(&error);
                tracing::error!(error_type = "send_failed", cause, "notification.read was not published");
                Problem::Unavailable
            })?;
        }
        Ok(Response::not_stored(202, "application/json", &Accepted { source: SOURCE, id: &event.id }))
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
    fn caching(&self, access: Access) -> Caching {
        match access {
            Access::Own => self.cached_for(&[&self.claims.sub], &[]),
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
    ) -> Caching {
        let Some(issued_at) = last_token_issued_at else { return Caching::NoStore };
        let validity = i64::from(self.deps.config.token_validity_minutes) * 60;
        let ends = [until.unwrap_or(Timestamp::MAX), plus_seconds(issued_at, validity)];
        self.cached_for(&[&self.claims.sub, owner], &ends)
    }

    /// Cached until the earliest of `ends`, and not beyond the end of the token.
    fn cached_for(&self, subs: &[&str], ends: &[Timestamp]) -> Caching {
        let ends: Vec<Timestamp> = ends.iter().copied().chain([self.claims.expires_at]).collect();
        Caching::for_users(subs, self.deps.config.max_cache_lifetime_seconds, self.now, &ends)
    }
}

async fn timed<T>(read: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let read = tokio::time::timeout(READ_TIMEOUT, read).await;
    read.unwrap_or_else(|_| Err(StoreError::timed_out("reading a user")))
}
