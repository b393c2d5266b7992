//! Partitions and sort keys of the one table.

use uuid::Uuid;

use crate::events::{Event, Subject};

use super::{Item, string};

/// The partition key's attribute.
pub const PK: &str = "PK";
/// The sort key's attribute.
pub const SK: &str = "SK";
/// DynamoDB: a sort key has at most 1,024 bytes.
pub const MAX_SORT_KEY_BYTES: usize = 1024;
/// DynamoDB's time to live: seconds since 1970.
pub const EXPIRES_AT: &str = "expiresAt";

/// Sort key of a user's profile and suspension.
pub const PROFILE: &str = "PROFILE";
/// Sort key of the statistics.
pub const STATS: &str = "STATS";
/// What the sort keys of stored events begin with.
pub const EVENT: &str = "EVENT#";
/// Sort key of the mark of the last invalidation.
pub const CACHE: &str = "CACHE";
/// Sort key of the mark of the last collapse, in a LEDGER partition.
pub const COLLAPSE: &str = "COLLAPSE";

/// A domain's sign-ups are spread over this many items: one popular domain must not be one hot item (a
/// partition of DynamoDB takes 1,000 write units a second).
pub const DOMAIN_SHARDS: u8 = 32;

/// The items that events about one subject are folded into.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// Of a user.
    User(String),
    /// One of the shards of an e-mail domain.
    Domain {
        /// The domain, or `other`, `none`, `invalid`.
        domain: String,
        /// From 0 to 31.
        shard: u8,
    },
}

impl Partition {
    /// Where an event belongs; nowhere where it is about somebody unknown.
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
            Self::Domain { domain, shard } => format!("{DOMAIN}{domain}#{shard}"),
        }
    }

    /// The partition with this key; `None` where nothing is folded into it, as in a ledger.
    pub fn from_key(key: &str) -> Option<Self> {
        let partition = if let Some(sub) = key.strip_prefix(USER) {
            Self::User(sub.to_owned())
        } else {
            let (domain, shard) = key.strip_prefix(DOMAIN)?.rsplit_once('#')?;
            Self::Domain { domain: domain.to_owned(), shard: shard.parse().ok()? }
        };
        // No second way to write a shard, such as 07.
        (partition.key() == key).then_some(partition)
    }
}

/// What the partition keys of users begin with.
const USER: &str = "USER#";
/// What the partition keys of domains begin with.
const DOMAIN: &str = "DOMAIN#";

/// The partition key of a user.
pub fn user(sub: &str) -> String {
    format!("{USER}{sub}")
}

/// The partition key of a distribution's ledger.
pub fn ledger(distribution: &str) -> String {
    format!("LEDGER#{distribution}")
}

/// The sort key of a month in a ledger.
pub fn month(time: jiff::Timestamp) -> String {
    format!("MONTH#{}", time.strftime("%Y-%m"))
}

/// The sort key of a stored event. A `#` in the source is escaped, so that no two events share a key.
pub fn event(source: &str, id: &str) -> String {
    format!("{EVENT}{}#{id}", source.replace('%', "%25").replace('#', "%23"))
}

/// The shard of an event: a hash of its id, the same in every process and version.
fn shard(id: &str) -> u8 {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).as_bytes()[0] % DOMAIN_SHARDS
}

/// The key of an item.
pub(super) fn key(partition: impl Into<String>, sort: impl Into<String>) -> Item {
    Item::from([(PK.to_owned(), string(partition)), (SK.to_owned(), string(sort))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_share_a_key() {
        assert_eq!(event("/shop", "1"), "EVENT#/shop#1");
        assert_ne!(event("a#b", "c"), event("a", "b#c"));
        assert_ne!(event("a#b", "c"), event("a%23b", "c"));
    }

    #[test]
    fn a_partition_is_known_by_its_key() {
        let domain = |domain: &str, shard| Partition::Domain { domain: domain.into(), shard };
        for partition in [Partition::User("a#b".into()), domain("example.com", 0), domain("other", 31)] {
            assert_eq!(Partition::from_key(&partition.key()), Some(partition));
        }
        for key in [
            "",
            "USER",
            "LEDGER#E2EXAMPLE1ABCD",
            "DOMAIN#example.com",
            "DOMAIN#a#07",
            "DOMAIN#a#256",
            "DOMAIN#a#x",
        ] {
            assert_eq!(Partition::from_key(key), None, "{key}");
        }
    }

    #[test]
    fn ids_spread_over_all_shards() {
        let shards: std::collections::HashSet<u8> =
            (0..1000).map(|id| shard(&format!("order-{id}"))).collect();
        assert_eq!(shards.len(), usize::from(DOMAIN_SHARDS));
    }
}
