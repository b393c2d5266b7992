//! The DynamoDB table. Its operations are named by what they are for.
//!
//! `docs/data-model.md` describes the items for other services. The files, by item:
//!
//! - [`stats`]: STATS, the statistics
//! - [`commit`]: EVENT, STATS, LIST and NOTIFICATION: the transaction that applies events exactly once
//! - [`stored_events`]: EVENT and ATTEMPT, reading, deleting, and writing attempts
//! - [`lists`]: LIST, the orders, the activities and the unread notifications, newest first
//! - [`list_writes`]: which items of LIST and NOTIFICATION a commit writes
//! - [`list_corrections`]: corrects LIST and NOTIFICATION from the stored events
//! - [`notifications`]: NOTIFICATION, whether a notification was created and read
//! - [`profiles`]: PROFILE, the profile
//! - [`profile_changes`]: PROFILE, the attributes that follow the user pool
//! - [`suspensions`]: SUSPENSION, and the flag `isBanned` of PROFILE
//! - [`grants`]: GRANT, what a user may do with a resource of another user
//! - [`suspended_emails`]: SUSPENSION of an email address
//! - [`accounts`]: STATS and PROFILE of many users, for account-activity
//! - [`addresses`]: FAILURES, from which IP addresses sign-ins failed
//! - [`users`]: STATS, PROFILE, SUSPENSION, GRANT and NOTIFICATION of a user, for the read API
//! - [`invalidations`]: CACHE and LEDGER, what was invalidated and what it cost
//!
//! and for all items: [`keys`], [`batch`], [`error`], [`partitions`].

pub mod accounts;
pub mod addresses;
pub mod batch;
pub mod commit;
pub mod error;
pub mod grants;
pub mod invalidations;
mod item;
pub mod keys;
pub mod list_corrections;
pub mod list_writes;
pub mod lists;
pub mod notifications;
pub mod partitions;
pub mod profile_changes;
pub mod profiles;
pub mod stats;
pub mod stored_events;
pub mod suspended_emails;
pub mod suspensions;
mod table;
pub mod users;

pub use accounts::StoredAccount;
pub use addresses::{AddressWindow, FailedUsers};
pub use batch::Consistency;
pub use commit::{Commit, ProfileWrite};
pub use error::{CancellationReasons, CommitError, CommitFailure, StoreError, StoreErrorKind};
pub use invalidations::{CacheMark, Millis, PurgeAllClaim, PurgeAllMark, Reservation};
pub use item::Item;
pub use keys::Partition;
pub use list_corrections::{ListCorrections, ListDifference};
pub use list_writes::{ListWrites, NotificationChange};
pub use lists::{ActivityEntry, ListKind, ListPosition, NotificationEntry, OrderEntry, Page};
pub use notifications::NotificationState;
pub use profile_changes::{FollowedAttributes, ProfileChanges};
pub use profiles::{KnownUser, Profile};
pub use stats::{StatsMetadata, StoredStatistics};
pub use suspensions::SignInState;
pub use table::Store;
