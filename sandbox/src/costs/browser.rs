//! A user's browser: its page in the cache, and the writes that it waits for.

use std::collections::VecDeque;

use shared::freshness::RENDER_SECONDS;

/// A page in the cache.
pub(super) struct Page {
    /// 0, or the number of the write that `after` names.
    pub key: u32,
    /// Commits that the page shows.
    pub commits: usize,
    pub rendered_at: i64,
    pub expires_at: i64,
    /// Times of the writes of this browser that the page does not show.
    pub hides: Vec<i64>,
}

struct Write {
    number: u32,
    written_at: i64,
    is_committed: bool,
}

#[derive(Default)]
pub(super) struct Browser {
    pub page: Option<Page>,
    pub is_polling: bool,
    /// Writes that the client reads with `after`, the oldest first, until it has seen them.
    waiting: VecDeque<Write>,
    /// Writes of a client that does not know `after`.
    unaware: VecDeque<i64>,
    writes: u32,
    /// The latest write that the client has seen, and how long it goes on to use its key.
    confirmed: u32,
    confirmed_until: i64,
}

impl Browser {
    pub fn write(&mut self, at: i64) {
        self.writes += 1;
        self.waiting.push_back(Write { number: self.writes, written_at: at, is_committed: false });
    }

    pub fn write_unaware(&mut self, at: i64) {
        self.unaware.push_back(at);
    }

    /// True if the client has not yet seen one of its writes.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Commits the oldest write. Returns how long a client without `after` has waited, unless a page in the
    /// cache hides the write longer. `end` is the end of a page.
    pub fn commit(&mut self, at: i64, end: impl Fn(&Page) -> i64) -> Option<i64> {
        if let Some(write) = self.waiting.iter_mut().find(|write| !write.is_committed) {
            write.is_committed = true;
            return None;
        }
        let written_at = self.unaware.pop_front()?;
        match &mut self.page {
            Some(page) if at < end(page) => {
                page.hides.push(written_at);
                None
            }
            _ => Some(at - written_at),
        }
    }

    /// Asks for the oldest write. Returns how long the client has waited for it, or `None` if it is not
    /// committed.
    pub fn confirm(&mut self, at: i64, max_lifetime_seconds: u32) -> Option<i64> {
        let write = self.waiting.pop_front_if(|write| write.is_committed)?;
        self.confirmed = write.number;
        // Until then, a page from before the write can be cached under the old key.
        self.confirmed_until = at + (i64::from(max_lifetime_seconds) + RENDER_SECONDS) * 1_000;
        Some(at - write.written_at)
    }

    /// The part of the cache key that `after` decides.
    pub fn key(&self, at: i64) -> u32 {
        if at < self.confirmed_until { self.confirmed } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_asks_for_the_oldest_write_and_keeps_the_key_of_the_latest_confirmed_one() {
        let mut browser = Browser::default();
        browser.write(0);
        browser.write(500);
        assert_eq!((browser.confirm(900, 60), browser.key(900)), (None, 0));
        assert_eq!(browser.commit(1_000, |_| 0), None);
        assert_eq!(browser.confirm(1_100, 60), Some(1_100));
        assert_eq!((browser.key(1_100), browser.is_waiting()), (1, true));
        assert_eq!((browser.confirm(1_200, 60), browser.key(1_200)), (None, 1));
        browser.commit(1_500, |_| 0);
        assert_eq!(browser.confirm(2_000, 60), Some(1_500));
        assert!(!browser.is_waiting());
        assert_eq!((browser.key(66_999), browser.key(67_000)), (2, 0));
    }

    #[test]
    fn client_without_after_waits_for_the_end_of_its_page() {
        let page = || Page { key: 0, commits: 0, rendered_at: 0, expires_at: 9_000, hides: Vec::new() };
        for (page, expected, hides) in [
            (Some(page()), None, vec![200]),
            (None, Some(800), vec![]),
            (Some(Page { expires_at: 900, ..page() }), Some(800), vec![]),
        ] {
            let mut browser = Browser { page, ..Browser::default() };
            browser.write_unaware(200);
            assert_eq!(browser.commit(1_000, |page| page.expires_at), expected);
            assert_eq!(browser.page.map_or(vec![], |page| page.hides), hides);
        }
    }
}
