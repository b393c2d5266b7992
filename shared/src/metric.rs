//! The names of the metrics. `docs/operations.md` explains each of them.

use std::fmt;

/// Defines the enum, the list of its variants and their names from one list.
macro_rules! metrics {
    ($($(#[$attribute:meta])* $metric:ident,)*) => {
        /// A metric in the namespace [`NAMESPACE`](crate::telemetry::NAMESPACE).
        ///
        /// The alarms in `template.yaml` and operators' dashboards refer to the names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Metric {
            $($(#[$attribute])* $metric,)*
        }

        impl Metric {
            pub const ALL: &'static [Self] = &[$(Self::$metric,)*];

            /// The name in CloudWatch.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => stringify!($metric),)*
                }
            }
        }
    };
}

metrics! {
    // All functions
    StartFailures,

    // All functions that use the table
    StoreFailures,

    // Triggers
    MessagesNotRendered,
    ProfileWriteFailures,
    SignInsDenied,
    SignUpsDenied,
    UnsentEvents,

    // read-api
    ChangesPending,
    RequestsRefused,

    // All workers
    MessagesDeadLettered,
    /// Messages that failed because no time was left.
    MessagesOutOfTime,

    // user-stats and cache-invalidation
    InvalidationsSkipped,

    // user-stats and account-activity
    BatchSize,
    DuplicateEvents,
    /// In seconds.
    EventAge,
    EventsApplied,
    EventsOfErasedUsers,
    UsersErased,
    /// Counts partitions: users, and shards of domains.
    UsersInConflict,
    /// Counts partitions, as UsersInConflict.
    UsersThrottled,

    // user-stats
    SignInAttemptsStored,
    SignInsOfUnknownUsers,

    // account-activity
    AccountEventsIgnored,
    AddressesWithManyUsers,
    SignInsFailed,
    UserLookupsFailed,
    UsersWithManyFailures,

    // cache-invalidation
    BudgetExhausted,
    /// In seconds.
    InvalidationAge,
    /// In percent of the month's budget.
    InvalidationBudgetUsed,
    InvalidationCalls,
    InvalidationDollars,
    InvalidationItems,
    InvalidationsCoalesced,
    InvalidationsDeferred,
    InvalidationsFailed,
    InvalidationsReplacedByPurgeAll,

    // group-membership
    GroupsCreated,
    MembershipsAdded,
    MembershipsFailed,
    MembershipsRemoved,
    MembershipsSkipped,

    // resource-permission
    PermissionEventsSkipped,
    PermissionsGranted,
    PermissionsRevoked,

    // user-pool-watch
    TriggerDifferences,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
