//! How an operator suspends or reinstates a user: the decision is written to the table, then
//! published.
//!
//! The event only invalidates the user's cached pages. It does not suspend or reinstate anyone by
//! itself.

use jiff::Timestamp;

use crate::events::{Data, Event, Subject, SuspensionNotice};
use crate::queues::{Queue, QueueError};
use crate::store::{Store, StoreError};
use crate::suspension::Suspension;

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
        "the decision is in force, but the user's cached pages were not invalidated. Run the command \
         again"
    )]
    NotPublished(#[source] QueueError),
}
