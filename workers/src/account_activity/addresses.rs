//! From which IP addresses sign-ins of many users fail.
//!
//! Each address has a window of ten minutes in the table, with hashes of the users. The writes are
//! bounded: one for each address and batch, none for users that are known to be in the window, and none
//! once the window is full.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use shared::store::AddressWindow;
use shared::store::addresses::MAX_USERS;

/// Number of windows that a warm function remembers.
const MAX_REMEMBERED: usize = 1_000;
/// Bytes of a user's hash.
const HASH_BYTES: usize = 8;

/// The failed sign-ins of a batch by address.
#[derive(Debug, Default)]
pub struct FailuresByAddress(BTreeMap<AddressWindow, Failures>);

/// Failed sign-ins from one address in one window.
#[derive(Debug, Default)]
pub struct Failures {
    /// Hashes of the users.
    pub users: BTreeSet<String>,
    /// Indexes of the messages.
    pub messages: Vec<usize>,
}

impl FailuresByAddress {
    pub fn add(&mut self, address: IpAddr, sub: &str, at: Timestamp, message: usize) {
        let window = AddressWindow::new(network(address), at);
        let hash = hash(window.address(), sub);
        let failures = self.0.entry(window).or_default();
        failures.users.insert(hash);
        failures.messages.push(message);
    }
}

impl IntoIterator for FailuresByAddress {
    type Item = (AddressWindow, Failures);
    type IntoIter = std::collections::btree_map::IntoIter<AddressWindow, Failures>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An IPv4 address, or the first 64 bits of an IPv6 address: a host chooses the others itself.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The hash of a user in the windows of an address. It differs by address, so that it links no two
/// addresses.
fn hash(address: &str, sub: &str) -> String {
    let digest = Sha256::digest(format!("{address} {sub}"));
    digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The users that a warm function knows to be in a window.
#[derive(Debug, Default)]
pub struct RememberedWindows(Mutex<HashMap<AddressWindow, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    users: BTreeSet<String>,
    is_full: bool,
}

impl RememberedWindows {
    /// The users to add to a window: those who are not known to be in it, and at most as many as fill it.
    pub fn new_users(&self, window: &AddressWindow, users: &BTreeSet<String>) -> BTreeSet<String> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = windows.get(window);
        if known.is_some_and(|known| known.is_full) {
            return BTreeSet::new();
        }
        let is_new = |user: &&String| known.is_none_or(|known| !known.users.contains(*user));
        users.iter().filter(is_new).take(MAX_USERS).cloned().collect()
    }

    /// Remembers that `users` are in the window, or that it is full.
    pub fn remember(&self, window: AddressWindow, users: BTreeSet<String>, is_full: bool) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MAX_REMEMBERED && !windows.contains_key(&window) {
            // Forgotten windows cost a write each.
            windows.clear();
        }
        let remembered = windows.entry(window).or_default();
        remembered.users.extend(users);
        remembered.is_full |= is_full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_host_are_one_network() {
        for (address, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn hash_differs_by_user_and_by_address() {
        let hashes = [hash("a", "ana"), hash("a", "ben"), hash("b", "ana")];
        assert_eq!(hashes.iter().collect::<BTreeSet<_>>().len(), 3);
        assert!(hashes.iter().all(|hash| hash.len() == 2 * HASH_BYTES));
    }

    #[test]
    fn user_is_added_once_and_nobody_is_added_to_a_full_window() {
        let windows = RememberedWindows::default();
        let window = AddressWindow::new("a".to_owned(), Timestamp::UNIX_EPOCH);
        let users = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(windows.new_users(&window, &users(&["ana", "ben"])), users(&["ana", "ben"]));
        windows.remember(window.clone(), users(&["ana"]), false);
        assert_eq!(windows.new_users(&window, &users(&["ana", "ben"])), users(&["ben"]));
        windows.remember(window.clone(), users(&["ben"]), true);
        assert_eq!(windows.new_users(&window, &users(&["eve"])), users(&[]));
        let many: BTreeSet<String> = (0..1_000).map(|n| n.to_string()).collect();
        let other = AddressWindow::new("b".to_owned(), Timestamp::UNIX_EPOCH);
        assert_eq!(windows.new_users(&other, &many).len(), MAX_USERS);
    }
}
