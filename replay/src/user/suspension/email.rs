//! The email addresses of a user that `--email` suspends, or whose suspension it ends.

use anyhow::Result;
use jiff::Timestamp;
use shared::email_domain::Domain;
use shared::store::Store;
use shared::suspended_email::{SuspendedEmailHash, SuspendedEmailKey};
use shared::suspension::{Denial, Stored, Suspension};

/// An email address, without the part before the `@`, so that no output contains an address.
pub struct UserEmail {
    /// The origin of the address: `--email`, `the profile` or `the user pool`.
    source: &'static str,
    domain: Domain,
    /// `None` without SUSPENDED_EMAIL_KEY.
    pub hash: Option<SuspendedEmailHash>,
    stored: Stored<Suspension>,
}

/// An address that `--email` cannot suspend, because pre-sign-up denies it anyway.
#[derive(Debug, thiserror::Error)]
#[error("the address of {0} is not a plain email address such as ana@example.com")]
pub struct InvalidAddress(&'static str);

impl UserEmail {
    /// The addresses with their suspensions in the table. Addresses with the same hash are one.
    pub async fn read_all(
        store: &Store,
        key: Option<&SuspendedEmailKey>,
        addresses: &[(&'static str, &str)],
    ) -> Result<Vec<Self>> {
        let mut found: Vec<Self> = Vec::new();
        for (source, address) in addresses {
            let domain = Domain::of_address(address.trim()).map_err(|_| InvalidAddress(source))?;
            let hash = match key {
                Some(key) => Some(SuspendedEmailHash::of(address, key).map_err(|_| InvalidAddress(source))?),
                None => None,
            };
            if hash.is_some() && found.iter().any(|other| other.hash == hash) {
                continue;
            }
            let stored = match &hash {
                Some(hash) => store.read_suspended_email(hash).await?,
                None => Stored::Missing,
            };
            found.push(Self { source, domain, hash, stored });
        }
        Ok(found)
    }

    /// For example `the address of the profile, at example.com`.
    pub fn name(&self) -> String {
        format!("the address of {}, at {}", self.source, self.domain)
    }

    /// The suspension of the address in a few words.
    pub fn describe(&self, now: Timestamp) -> &'static str {
        if self.hash.is_none() {
            return "unknown without SUSPENDED_EMAIL_KEY";
        }
        match self.stored.denial(now) {
            None => "not suspended",
            Some(Denial::Suspended) => "suspended",
            Some(Denial::Unreadable) => "suspended: the item is unreadable",
        }
    }
}
