//! Partition keys and sort keys of the table.

use jiff::Timestamp;
use uuid::Uuid;

use super::item::{Item, string};
use crate::events::{Event, Resource, Subject};
use crate::suspended_email::SuspendedEmailHash;

/// Attribute of the partition key.
pub const PK: &str = "PK";
/// Attribute of the sort key.
pub const SK: &str = "SK";
/// Attribute of DynamoDB's time to live, in seconds since 1970.
pub const EXPIRES_AT: &str = "expiresAt";

/// Attribute of STATS: the number of commits. Attribute of EVENT: the version of STATS that the commit
/// of the event wrote.
pub const VERSION: &str = "version";

/// Sort key of a user's profile, in a USER partition.
pub const PROFILE: &str = "PROFILE";
/// Sort key of the record of a user's last suspension or reinstatement, in a SUSPENSION partition.
/// Also of the suspension of an email address, in a SUSPENDED_EMAIL partition.
pub const SUSPENSION: &str = "SUSPENSION";
/// Sort key of the statistics.
pub const STATS: &str = "STATS";
/// Sort key of the mark of a user's last invalidation, in a CACHE partition.
pub const CACHE: &str = "CACHE";
/// Sort key of the mark of the last purge of all users' pages, in a LEDGER partition.
pub const PURGE_ALL: &str = "PURGE_ALL";

/// Number of items over which a domain's sign-ups are spread.
///
/// A single item for a popular domain would be a hot item: a partition of DynamoDB takes 1,000
/// write units per second.
pub const DOMAIN_SHARDS: u8 = 32;

/// The partition that holds the statistics of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// A user, by sub.
    User(String),
    /// One shard of an email domain.
    Domain {
        /// The domain, or `other`, `none`, `invalid`.
        domain: String,
        /// From 0 to 31.
        shard: u8,
    },
}

impl Partition {
    /// The partition to which an event is applied. `None` for the subject `unknown`.
    pub fn of(event: &Event) -> Option<Self> {
        match &event.subject {
            Subject::User(sub) => Some(Self::User(sub.clone())),
            Subject::Domain(domain) => Some(Self::Domain { domain: domain.clone(), shard: shard(&event.id) }),
            Subject::Unknown => None,
        }
    }

    /// The partition key.
    pub fn key(&self) -> String {
        match self {
            Self::User(sub) => user(sub),
            Self::Domain { domain, shard } => format!("{DOMAIN_PREFIX}{domain}#{shard}"),
        }
    }

    /// The partition with this key. `None` if it holds no statistics, such as a ledger.
    pub fn from_key(key: &str) -> Option<Self> {
        let partition = if let Some(sub) = key.strip_prefix(USER_PREFIX) {
            Self::User(sub.to_owned())
        } else {
            let (domain, shard) = key.strip_prefix(DOMAIN_PREFIX)?.rsplit_once('#')?;
            Self::Domain { domain: domain.to_owned(), shard: shard.parse().ok()? }
        };
        // Rejects a second spelling of a shard, such as 07.
        (partition.key() == key).then_some(partition)
    }
}

const USER_PREFIX: &str = "USER#";
const DOMAIN_PREFIX: &str = "DOMAIN#";

/// The partition key of a user.
pub fn user(sub: &str) -> String {
    format!("{USER_PREFIX}{sub}")
}

/// True for the partition key of a user.
pub(super) fn is_user(partition: &str) -> bool {
    partition.starts_with(USER_PREFIX)
}

/// The partition key of a user's suspension. A partition of its own, because IAM can restrict
/// access to partition keys only: no function's role can write it.
pub fn suspension(sub: &str) -> String {
    format!("SUSPENSION#{sub}")
}

/// The partition key of what a user may do with resources of others. A partition of its own, so that
/// only resource-permission can write it.
pub fn grants(sub: &str) -> String {
    format!("GRANT#{sub}")
}

/// The sort keys of a user's grants start with this.
pub(super) const GRANT_PREFIX: &str = "GRANT#";

/// The sort key of what a user may do with one resource.
pub fn grant(resource: &Resource) -> String {
    format!("{GRANT_PREFIX}{resource}")
}

/// The partition key of the suspension of an email address.
pub fn suspended_email(hash: &SuspendedEmailHash) -> String {
    format!("SUSPENDED_EMAIL#{}", hash.as_str())
}

/// The partition key of the mark of a user's last invalidation. A partition of its own, so that
/// cache-invalidation needs no right to write USER partitions.
pub fn cache(sub: &str) -> String {
    format!("CACHE#{sub}")
}

/// The partition key of a distribution's ledger.
pub fn ledger(distribution: &str) -> String {
    format!("LEDGER#{distribution}")
}

/// The partition key of what is known about an IP address.
pub(super) fn address(address: &str) -> String {
    format!("ADDRESS#{address}")
}

/// The sort key of the failed sign-ins from an address in the ten minutes that begin at `start`.
pub(super) fn failures(start: Timestamp) -> String {
    format!("FAILURES#{}", start.strftime("%Y-%m-%dT%H:%M"))
}

/// The sort key of a month in a ledger.
pub fn month(time: Timestamp) -> String {
    format!("MONTH#{}", time.strftime("%Y-%m"))
}

/// The shard of an event: a hash of its id that is the same in every process and version.
fn shard(id: &str) -> u8 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).as_bytes()[0] % DOMAIN_SHARDS
}

/// The time to live of what follows from an event, in seconds since 1970.
pub fn expires_at(time: Timestamp, retention_days: u32) -> i64 {
    time.as_second() + i64::from(retention_days) * 24 * 3600
}

/// The primary key of an item.
pub(super) fn key(partition: impl Into<String>, sort: impl Into<String>) -> Item {
    Item::from([(PK.to_owned(), string(partition)), (SK.to_owned(), string(sort))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_is_found_by_its_key() {
        let domain = |domain: &str, shard| Partition::Domain { domain: domain.into(), shard };
        for partition in [Partition::User("a#b".into()), domain("example.com", 0), domain("other", 31)] {
            assert_eq!(Partition::from_key(&partition.key()), Some(partition));
        }
        for key in [
            "",
            "USER",
            "LEDGER#E2EXAMPLE1ABCD",
            "SUSPENSION#ana",
            "CACHE#ana",
            "GRANT#ana",
            "DOMAIN#example.com",
            "DOMAIN#a#07",
            "DOMAIN#a#256",
            "DOMAIN#a#x",
        ] {
            assert_eq!(Partition::from_key(key), None, "{key}");
        }
    }

    #[test]
    fn event_ids_spread_over_all_shards() {
        let shards: std::collections::HashSet<u8> =
            (0..1000).map(|id| shard(&format!("order-{id}"))).collect();
        assert_eq!(shards.len(), usize::from(DOMAIN_SHARDS));
    }
}
