//! The ledger in the table: books invalidation items before each call, and claims the right to
//! purge all pages.
//!
//! A booking or a claim that turns out to be unused is released. If the worker crashes first, the
//! ledger counts too many items, never too few, and the claim runs out after
//! PURGE_ALL_INTERVAL_SECONDS.

use jiff::Timestamp;
use shared::store::{PurgeAllClaim, Reservation, Store};
use shared::telemetry::Metrics;
use shared::time::minus_seconds;

use super::planner::PURGE_ALL_INTERVAL_SECONDS;

/// The ledger of one distribution. Its methods log and count errors of the table.
pub struct Ledger {
    pub store: Store,
    pub distribution_id: String,
    pub metrics: Metrics,
}

/// What was booked for a call.
pub struct Booking {
    /// Determines the month.
    pub booked_at: Timestamp,
    pub items: usize,
    /// Only for a purge of all pages.
    pub claim: Option<PurgeAllClaim>,
}

/// The table failed. The ledger has logged the error.
pub struct LedgerFailed;

/// The result of [`Ledger::reserve`].
pub enum Reserved {
    Granted {
        booking: Booking,
        /// The items of the month, with these.
        month_items: u64,
    },
    /// The items do not fit into the budget. Nothing is booked, but the claim is still held.
    Exhausted(Booking),
    /// The table failed.
    Failed,
}

impl Ledger {
    /// Claims the right to purge all pages. `None` if another worker claimed it less than
    /// PURGE_ALL_INTERVAL_SECONDS ago. (The planner cannot know that: it reads the last purge, not
    /// the last claim.)
    pub async fn claim_purge_all(&self, now: Timestamp) -> Result<Option<PurgeAllClaim>, LedgerFailed> {
        let since = minus_seconds(now, PURGE_ALL_INTERVAL_SECONDS);
        match self.store.claim_purge_all(&self.distribution_id, now, since).await {
            Ok(claim) => Ok(claim),
            Err(error) => {
                error.report(&self.metrics, "could not claim a purge of all pages");
                Err(LedgerFailed)
            }
        }
    }

    /// Releases a claim of this worker. Otherwise no worker could purge all pages for
    /// PURGE_ALL_INTERVAL_SECONDS.
    pub async fn release_claim(&self, claim: Option<PurgeAllClaim>) {
        let Some(claim) = claim else { return };
        if let Err(error) = self.store.release_purge_all(&self.distribution_id, claim).await {
            let what = format!(
                "could not release a claim: the next purge of all pages may be up to {PURGE_ALL_INTERVAL_SECONDS} s late"
            );
            error.report_as_warning(&self.metrics, &what);
        }
    }

    /// Books the items in the month's ledger, if they fit into `budget`. If the table fails,
    /// releases the claim.
    pub async fn reserve(&self, booking: Booking, budget: Option<u64>) -> Reserved {
        let Booking { booked_at, items, .. } = booking;
        match self.store.reserve_invalidation(&self.distribution_id, booked_at, items, budget).await {
            Ok(Reservation::Granted { booked: month_items }) => Reserved::Granted { booking, month_items },
            Ok(Reservation::Exhausted) => Reserved::Exhausted(booking),
            Err(error) => {
                error.report(&self.metrics, "could not book invalidation items");
                self.release_claim(booking.claim).await;
                Reserved::Failed
            }
        }
    }

    /// Releases a booking and its claim. Only for a call that certainly had no effect.
    pub async fn release(&self, booking: Booking) {
        let Booking { booked_at, items, claim } = booking;
        if let Err(error) = self.store.release_invalidation(&self.distribution_id, booked_at, items).await {
            let what = "could not release a booking: the ledger counts too many items";
            error.report_as_warning(&self.metrics, what);
        }
        self.release_claim(claim).await;
    }
}
