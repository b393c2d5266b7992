//! The live list: what happens, for the page `/sandbox`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

/// Entries that a new viewer sees, and that a viewer may lag behind.
const MAX_ENTRIES: usize = 200;

/// The topic of an entry. It decides color and icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A trigger answered.
    Trigger,
    /// A trigger, Cognito or the API said no.
    Refused,
    /// An email.
    Mail,
    /// A message reached a worker.
    Message,
    /// A transaction was committed.
    Commit,
    /// A call of CreateInvalidation.
    Invalidation,
    /// CloudFront answered from its cache.
    Hit,
    /// CloudFront asked the API.
    Miss,
    /// A sign-in, a refresh or a sign-out.
    Session,
    /// An operator did something.
    Operator,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub id: u64,
    pub at: Timestamp,
    pub kind: Kind,
    /// Who acted, such as `user-stats` or `CloudFront`.
    pub actor: String,
    /// What it did, in a few words.
    pub text: String,
    /// The path of an email.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// The latest entries, and those that follow.
pub struct Feed {
    entries: Mutex<VecDeque<Entry>>,
    sender: broadcast::Sender<Entry>,
}

impl Feed {
    pub fn new() -> Self {
        Self { entries: Mutex::default(), sender: broadcast::channel(MAX_ENTRIES).0 }
    }

    pub fn add(&self, at: Timestamp, kind: Kind, actor: &str, text: impl Into<String>) {
        self.add_link(at, kind, actor, text, None);
    }

    pub fn add_link(
        &self,
        at: Timestamp,
        kind: Kind,
        actor: &str,
        text: impl Into<String>,
        link: Option<String>,
    ) {
        let mut entries = self.entries();
        let id = entries.back().map_or(1, |last| last.id + 1);
        let entry = Entry { id, at, kind, actor: actor.to_owned(), text: text.into(), link };
        if entries.len() == MAX_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry.clone());
        // Under the lock, so that a new viewer gets every entry once. Without viewers, it fails.
        let _ = self.sender.send(entry);
    }

    /// The entries after `id`, and those that follow.
    pub fn after(&self, id: u64) -> (Vec<Entry>, broadcast::Receiver<Entry>) {
        let entries = self.entries();
        (entries.iter().filter(|entry| entry.id > id).cloned().collect(), self.sender.subscribe())
    }

    /// 0: there is no entry.
    pub fn latest_id(&self) -> u64 {
        self.entries().back().map_or(0, |last| last.id)
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewer_gets_each_entry_once() {
        let feed = Feed::new();
        let add = |text: &str| feed.add(Timestamp::UNIX_EPOCH, Kind::Hit, "CloudFront", text);
        add("one");
        add("two");
        let texts = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.text).collect::<Vec<_>>();
        let (seen, mut receiver) = feed.after(1);
        assert_eq!(texts(seen), ["two"]);
        add("three");
        assert_eq!(receiver.try_recv().unwrap().text, "three");
        assert!(receiver.try_recv().is_err());
        for number in 0..MAX_ENTRIES {
            add(&number.to_string());
        }
        assert_eq!(feed.after(0).0.len(), MAX_ENTRIES);
    }
}
