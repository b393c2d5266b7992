//! Proof of the rules for lifetimes and invalidations: how long a page in the cache can hide a change,
//! for each device and each policy.
//!
//! The proof plays every history of up to three changes of a user, with gaps around every boundary of
//! the rules, and every variant: clocks that are off, notices that a crash delays, late tokens, the
//! interval between two invalidations. For each of them it puts every page into the cache that the
//! origin can have rendered, with and without `after`, and checks when the page is gone. The rules are
//! the real functions: `CacheLifetime`, `record_change`, `after_commit` and `planner::plan`. Times are in
//! milliseconds, and those of commits and pages are true times.

use jiff::Timestamp;
use serde_json::json;
use shared::events::{Event, UrgentReason};
use shared::freshness::{
    CLOCK_SKEW_SECONDS, CacheLifetime, FRESHNESS_TARGET_SECONDS, OriginLifetime, RENDER_SECONDS,
};
use shared::store::{CacheMark, StatsMetadata};
use workers::cache_invalidation::items::Target;
use workers::cache_invalidation::planner::{self, CacheMarks, Limits};
use workers::invalidation_policy::InvalidationPolicy;
use workers::user_stats::inactive::InactiveUserRule;
use workers::user_stats::notice::{
    CommitSummary, Decision, Notice, NoticeRules, SkipReason, after_commit, record_change,
};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const RENDER: i64 = RENDER_SECONDS * SECOND;
const TARGET: i64 = FRESHNESS_TARGET_SECONDS * SECOND;
/// Maximum difference of a clock from the true time.
const SKEW: i64 = CLOCK_SKEW_SECONDS * SECOND;
/// Maximum difference between the clocks of two workers.
const PLANNER_SKEW: i64 = planner::CLOCK_SKEW_SECONDS * SECOND;
/// Time from a commit to its notice, if nothing fails.
const PUBLISHING: i64 = 20;
/// True time of the first change.
const FIRST: i64 = 10_000_000 * SECOND;

/// Time since the change before the first one.
const AGES: [i64; 5] = [1, 49_000, 105_000, 599_000, 3_600_000];
/// Time between two changes: around FRESHNESS_TARGET_SECONDS, and around the age from which on pages
/// live too long to wait for their end.
const GAPS: [i64; 12] =
    [1, 1_000, 5_000, 14_999, 15_001, 16_000, 51_000, 97_999, 105_999, 106_001, 165_000, 600_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Of a client that reads its own write.
    ClientAware,
    /// With the rule `budget`.
    Ordinary,
    /// With the rule `never`.
    Never,
    /// With the rule `always`.
    Always,
    /// A suspension.
    Security,
}

const KINDS: [Kind; 5] = [Kind::ClientAware, Kind::Ordinary, Kind::Never, Kind::Always, Kind::Security];
const POLICY: &str = "order.placed=budget, activity.recorded=never, profile.updated=always";

/// What happens to the notice of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    None,
    /// The worker crashes after the commit of this change. SQS redelivers the message after this time.
    Redelivered(usize, i64),
    /// The same, and the message arrives in the batch of the next change.
    WithNext(usize),
}

/// Clocks, as offsets from the true time. The workers' clocks differ by at most a second.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    origin: i64,
    /// Of the workers that commit the even and the odd changes.
    user_stats: [i64; 2],
    cache_invalidation: i64,
}

/// Everything that is not the history.
#[derive(Clone, Copy, Debug)]
struct Variant {
    origin: OriginLifetime,
    max_seconds: u32,
    /// True if INVALIDATION_POLICY names only the type with the rule `always`.
    has_default_policy: bool,
    interval_seconds: u32,
    clocks: Clocks,
    crash: Crash,
    /// Time from the notice to its handling. At least the delivery delay.
    handling: i64,
    /// True if user-stats learns of the user's token after all changes, and takes the user to be
    /// inactive until then.
    is_token_late: bool,
}

/// A bug of the rules, to prove that the proof can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// `pages_expire_at` forgets pages from before an earlier change.
    NotCarriedOver,
    /// `pages_expire_at` assumes that all clocks agree.
    NoClockSkew,
    /// `pages_expire_at` assumes that a page reaches the cache at once.
    NoRender,
    /// A client-aware change also covers the changes before it, whose notice is not published yet.
    WindowBeforeTheChange,
    /// The commit of a client-aware change forgets that an earlier one owes a notice.
    OwedNoticeForgotten,
    /// Follow-ups of a client-aware change never need a notice, and neither does anything later.
    WindowWithoutEnd,
    /// An invalidation covers a change although a page from before it can still be on its way.
    MarkIgnoresRenders,
    /// cache-invalidation believes the time of the notice to the millisecond.
    ExpiryWithoutMargin,
    /// The cache keeps a pending answer.
    PendingAnswerStored,
    /// A late token causes no notice.
    LateTokenIgnored,
    /// The rule `always` waits for the interval.
    AlwaysWaits,
}

const MUTANTS: [Mutant; 11] = [
    Mutant::NotCarriedOver,
    Mutant::NoClockSkew,
    Mutant::NoRender,
    Mutant::WindowBeforeTheChange,
    Mutant::OwedNoticeForgotten,
    Mutant::WindowWithoutEnd,
    Mutant::MarkIgnoresRenders,
    Mutant::ExpiryWithoutMargin,
    Mutant::PendingAnswerStored,
    Mutant::LateTokenIgnored,
    Mutant::AlwaysWaits,
];

/// The events of the changes, and the late token.
struct Events {
    of_kinds: [Event; 5],
    token: Event,
}

impl Events {
    fn new() -> Self {
        let event = |event_type: &str, time: i64, data: serde_json::Value| {
            let body = json!({
                "specversion": "1.0", "id": "1", "source": "/test", "subject": "ana", "type": event_type,
                "time": at(time), "data": data,
            });
            Event::parse(&body.to_string()).unwrap()
        };
        let order =
            event("order.placed", FIRST, json!({"order_id": "1", "amount": "1.00", "currency": "EUR"}));
        let of_kinds = [
            Event { client_aware: true, ..order.clone() },
            order,
            event("activity.recorded", FIRST, json!({"description": "a"})),
            event("profile.updated", FIRST, json!({"changed": ["name"]})),
            event("user.suspended", FIRST, json!({})),
        ];
        // Issued half an hour before the first change.
        let token = event("user.token_refreshed", FIRST - 30 * MINUTE, json!({"client_id": "client"}));
        Self { of_kinds, token }
    }

    fn of(&self, kind: Kind) -> &Event {
        &self.of_kinds[kind as usize]
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

/// A committed change.
#[derive(Clone, Debug)]
struct Change {
    kind: Kind,
    committed: i64,
    decision: Decision,
    /// STATS after it.
    metadata: StatsMetadata,
    /// `pages_expire_at` on a correct clock.
    pages_expire: i64,
}

/// A history, with its variant.
struct World<'a> {
    events: &'a Events,
    variant: Variant,
    mutant: Mutant,
    rules: NoticeRules,
    limits: Limits,
    /// STATS before the first change.
    before: StatsMetadata,
    changes: Vec<Change>,
    /// Number of checked pages.
    checked: u64,
}

/// A notice on the queue.
struct Sent {
    at: i64,
    change: planner::Change,
    is_of: Vec<usize>,
}

/// A page in the cache.
#[derive(Clone, Copy, Debug)]
struct Page {
    /// Number of the changes that it shows.
    shown: usize,
    /// Time from reading the table to the arrival at the cache.
    render: i64,
    /// When it expires or is evicted.
    gone: i64,
    /// The change that its reader waited for.
    after: Option<usize>,
}

/// What cache-invalidation did.
#[derive(Default)]
struct Handled {
    /// Times of the invalidations.
    invalidations: Vec<i64>,
    /// When the notice of each change was handled at last, and if a mark covered the change.
    /// `usize::MAX` is the late token.
    at: Vec<(usize, i64, bool)>,
}

impl World<'_> {
    fn new(events: &Events, variant: Variant, mutant: Mutant) -> World<'_> {
        let lifetime = CacheLifetime {
            origin: variant.origin,
            divisor: 10,
            min_seconds: 5,
            max_seconds: variant.max_seconds,
        };
        let policy = if variant.has_default_policy { "profile.updated=always" } else { POLICY };
        let policy = [("INVALIDATION_POLICY", policy)].into_iter().collect();
        let max_cache_lifetime_seconds = variant.max_seconds;
        let rule = InactiveUserRule { token_validity_minutes: 60, max_cache_lifetime_seconds };
        World {
            events,
            variant,
            mutant,
            rules: NoticeRules {
                policy: InvalidationPolicy::from_environment(&policy, &lifetime).unwrap(),
                lifetime,
                inactive_user: Some(rule),
            },
            limits: Limits {
                target: Target::Tag,
                purge_all_threshold: 3_000,
                purge_all_threshold_halving_seconds: 300,
                invalidation_interval_seconds: variant.interval_seconds,
                max_cache_lifetime_seconds,
            },
            before: StatsMetadata::default(),
            changes: Vec::new(),
            checked: 0,
        }
    }

    /// Plays all histories that begin with the changes so far.
    fn play(&mut self, first_kinds: &[Kind], changes_left: usize) -> Result<(), String> {
        let gaps: &[i64] = if self.changes.is_empty() { &[0] } else { &GAPS };
        let last = self.changes.last().map_or(FIRST, |change| change.committed);
        for (kind, gap) in first_kinds.iter().flat_map(|kind| gaps.iter().map(move |gap| (*kind, *gap))) {
            self.commit(kind, last + gap);
            self.check()?;
            if changes_left > 1 {
                self.play(&KINDS, changes_left - 1)?;
            }
            self.changes.pop();
        }
        Ok(())
    }

    fn metadata(&self) -> &StatsMetadata {
        self.changes.last().map_or(&self.before, |change| &change.metadata)
    }

    fn commit(&mut self, kind: Kind, committed: i64) {
        let offset = self.variant.clocks.user_stats[self.changes.len() % 2];
        let mut before = self.metadata().clone();
        match self.mutant {
            Mutant::NotCarriedOver => before.pages_expire_at = None,
            Mutant::OwedNoticeForgotten if kind == Kind::ClientAware => before.last_notice_at = None,
            Mutant::WindowWithoutEnd if before.last_client_aware_at.is_some() => {
                before.last_client_aware_at = Some(at(committed + offset));
            }
            _ => {}
        }
        let known_token = if self.variant.is_token_late { FIRST - 180 * MINUTE } else { FIRST - MINUTE };
        let events = [self.events.of(kind)];
        let now = at(committed + offset);
        let (mut metadata, decision) =
            record_change(&before, &events, Some(at(known_token)), &self.rules, now);
        metadata.version += 1;
        let recorded = metadata.last_changed_at.unwrap();
        let too_early = match self.mutant {
            Mutant::NoRender => Some(RENDER),
            Mutant::NoClockSkew => Some(0),
            _ => None,
        };
        if let Some(too_early) = too_early {
            let lifetime = self.rules.lifetime.seconds(before.last_changed_at, recorded);
            let expire = recorded.as_millisecond() + RENDER + i64::from(lifetime) * SECOND - too_early;
            metadata.pages_expire_at = before.pages_expire_at.max(Some(at(expire)));
        }
        // On the clock of this worker, or of one before.
        let expire = metadata.pages_expire_at.unwrap().as_millisecond() - offset;
        let pages_expire = self.changes.last().map_or(expire, |change| change.pages_expire.max(expire));
        self.changes.push(Change { kind, committed, decision, metadata, pages_expire });
    }

    /// The notices in the order of their handling.
    fn sent(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for (index, change) in self.changes.iter().enumerate() {
            let is_last = index + 1 == self.changes.len();
            let crash = match self.variant.crash {
                Crash::WithNext(crashed) if crashed == index && !is_last => continue,
                Crash::WithNext(crashed) if crashed == index => Crash::Redelivered(index, 180 * SECOND),
                crash => crash,
            };
            let committed_at = change.committed + PUBLISHING;
            let offset = self.variant.clocks.user_stats[index % 2];
            let (published, of, summary) = match crash {
                Crash::Redelivered(crashed, after) if crashed == index => {
                    let published = change.committed + after;
                    let is_before = |change: &&Change| change.committed <= published;
                    let metadata = self.changes.iter().rfind(is_before).unwrap().metadata.clone();
                    let summary =
                        CommitSummary { metadata, has_duplicates: true, ..CommitSummary::default() };
                    (published, vec![index], summary)
                }
                _ => {
                    let has_duplicates = index > 0 && crash == Crash::WithNext(index - 1);
                    let of = if has_duplicates { vec![index - 1, index] } else { vec![index] };
                    let summary = CommitSummary {
                        metadata: change.metadata.clone(),
                        committed_no_later_than: Some(at(committed_at + offset)),
                        decision: change.decision,
                        has_duplicates,
                    };
                    (committed_at, of, summary)
                }
            };
            let is_covered_by_the_next = |change: &Change| {
                let next = self.changes.get(index + 1);
                change.kind == Kind::Ordinary
                    && next.is_some_and(|next| {
                        next.kind == Kind::ClientAware && next.committed - change.committed <= TARGET
                    })
            };
            if self.mutant == Mutant::WindowBeforeTheChange && is_covered_by_the_next(change) {
                continue;
            }
            let events: Vec<&Event> =
                of.iter().map(|index| self.events.of(self.changes[*index].kind)).collect();
            let notice = after_commit(&events, &summary, &self.rules, at(published + offset));
            sent.extend(self.message(notice, published, of));
        }
        if self.variant.is_token_late && self.mutant != Mutant::LateTokenIgnored {
            let last = self.changes.last().unwrap();
            let published = last.committed + 10 * SECOND;
            let summary = CommitSummary {
                metadata: last.metadata.clone(),
                committed_no_later_than: Some(at(published)),
                ..CommitSummary::default()
            };
            let notice = after_commit(&[&self.events.token], &summary, &self.rules, at(published));
            sent.extend(self.message(notice, published, vec![usize::MAX]));
        }
        sent.sort_by_key(|sent| sent.at);
        sent
    }

    /// The notice as cache-invalidation reads it.
    fn message(&self, notice: Notice, published: i64, is_of: Vec<usize>) -> Option<Sent> {
        let Notice::Needed { views, changed_at, reason, mut pages_expire_at } = notice else { return None };
        if self.mutant == Mutant::ExpiryWithoutMargin {
            let margin = PLANNER_SKEW + SECOND;
            pages_expire_at = pages_expire_at.map(|expire| at(expire.as_millisecond() - margin));
        }
        let is_security = matches!(reason, Some(UrgentReason::Suspended));
        let change = planner::Change {
            message: 0,
            sub: "ana".to_owned(),
            views,
            changed_at: changed_at.min(at(published + SECOND)),
            sent_at: at(published),
            pages_expire_at,
            is_always: reason == Some(UrgentReason::Policy) && self.mutant != Mutant::AlwaysWaits,
            claims_security: is_security,
            security_change_at: is_security.then(|| at(published)),
        };
        Some(Sent { at: published, change, is_of })
    }

    /// Handles the notices one by one.
    fn handle(&self, mut queue: Vec<Sent>) -> Handled {
        let mut handled = Handled::default();
        let mut marks = CacheMarks::default();
        queue.iter_mut().for_each(|sent| sent.at += self.variant.handling);
        while !queue.is_empty() {
            queue.sort_by_key(|sent| sent.at);
            let mut next = queue.remove(0);
            let now = next.at + self.variant.clocks.cache_invalidation;
            let plan = planner::plan(std::slice::from_ref(&next.change), &marks, &self.limits, at(now));
            let is_covered =
                plan.skipped.iter().any(|(_, reason)| *reason == planner::SkipReason::AlreadyInvalidated);
            handled.at.extend(next.is_of.iter().map(|index| (*index, next.at, is_covered)));
            if let Some(waiting) = plan.waiting.first() {
                next.at += waiting.until.as_millisecond() - now + 2 * SECOND;
                queue.push(next);
            } else if !plan.calls.is_empty() {
                handled.invalidations.push(next.at);
                let margin = if self.mutant == Mutant::MarkIgnoresRenders { 4 * SECOND } else { 0 };
                let covered_until = at(now - PLANNER_SKEW + margin);
                let mark = CacheMark { last_invalidated_at: Some(covered_until), ..CacheMark::default() };
                marks.users.insert("ana".to_owned(), mark);
            }
        }
        handled
    }

    /// Checks every page that misses a change of this history.
    fn check(&mut self) -> Result<(), String> {
        let handled = self.handle(self.sent());
        for shown in 0..self.changes.len() {
            let next = self.changes[shown].committed;
            let (metadata, since) = match shown.checked_sub(1) {
                Some(last) => (&self.changes[last].metadata, self.changes[last].committed),
                None => (&self.before, next - RENDER),
            };
            for read in [since, since + (next - since) / 2, next] {
                let now = at(read + self.variant.clocks.origin);
                let lifetime = i64::from(self.rules.lifetime.seconds(metadata.last_changed_at, now)) * SECOND;
                for cached in [0, RENDER - PLANNER_SKEW, RENDER].map(|render| read + render) {
                    let mut evicted = handled.invalidations.iter().copied().filter(|at| *at >= cached);
                    let gone = evicted.next().map_or(cached + lifetime, |at| at.min(cached + lifetime));
                    self.checked += 1;
                    let page = Page { shown, render: cached - read, gone, after: None };
                    self.check_page(page, &handled)?;
                    let acted = self.client_aware().into_iter().map(|(index, _)| index).collect::<Vec<_>>();
                    for acted in acted {
                        let is_pending = acted >= shown;
                        if !is_pending || self.mutant == Mutant::PendingAnswerStored {
                            self.checked += 1;
                            self.check_page(Page { after: Some(acted), ..page }, &handled)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn client_aware(&self) -> Vec<(usize, &Change)> {
        let changes = self.changes.iter().enumerate();
        changes.filter(|(_, change)| change.kind == Kind::ClientAware).collect()
    }

    fn check_page(&self, page: Page, handled: &Handled) -> Result<(), String> {
        let Page { shown, gone, .. } = page;
        let (mut rule, mut limit_of) = ("", 0);
        let is_within = self.changes.iter().enumerate().skip(shown).all(|(index, change)| {
            self.limits_of(index, change, page, handled).into_iter().all(|(name, limit)| {
                (rule, limit_of) = (name, index);
                gone <= limit
            })
        });
        if is_within {
            return Ok(());
        }
        let change = &self.changes[limit_of];
        let history: Vec<(Kind, i64, Decision)> = self
            .changes
            .iter()
            .map(|change| (change.kind, change.committed - FIRST, change.decision))
            .collect();
        Err(format!(
            "{rule}: {page:?} hides change {limit_of} for {} ms. {history:?} {:?}, invalidated at {:?}",
            gone - change.committed,
            self.variant,
            handled.invalidations.iter().map(|at| at - FIRST).collect::<Vec<_>>()
        ))
    }

    /// The times at which every page that misses a change must be gone.
    fn limits_of(
        &self,
        index: usize,
        change: &Change,
        Page { after, render, .. }: Page,
        handled: &Handled,
    ) -> Vec<(&'static str, i64)> {
        let max = i64::from(self.variant.max_seconds) * SECOND;
        let mut limits = vec![("longest lifetime", change.committed + RENDER + max)];
        let is_off_by_more = {
            let Clocks { origin, user_stats, cache_invalidation } = self.variant.clocks;
            [origin, user_stats[0], user_stats[1], cache_invalidation].iter().any(|clock| clock.abs() > SKEW)
        };
        let is_adaptive = self.variant.origin == OriginLifetime::Adaptive;
        let of_notice = |index: usize| {
            let of = handled.at.iter().filter(|(of, ..)| *of == index);
            of.max_by_key(|(_, at, _)| *at)
                .map_or((i64::MIN, false), |(_, at, is_covered)| (*at, *is_covered))
        };
        if let Some(acted) = after {
            let acted_at = self.changes[acted].committed;
            if acted == index {
                limits.push(("own write", change.committed));
            } else if is_adaptive && (0..=TARGET).contains(&(change.committed - acted_at)) {
                // A clock that is off by a minute makes a lifetime wrong by a tenth of that.
                let wrong = if is_off_by_more { 12 * SECOND } else { 0 };
                limits.push(("follow-up", change.committed + RENDER + 5 * SECOND + wrong));
            }
        }
        if is_off_by_more {
            return limits;
        }
        limits.push(("pages_expire_at", change.pages_expire));
        match change.decision {
            Decision::Needed => {
                let (at, is_covered) = of_notice(index);
                let is_urgent = matches!(change.kind, Kind::Always | Kind::Security);
                // The invalidation of an earlier change misses a page that is rendered meanwhile.
                let longest_render = match (is_covered, is_urgent) {
                    (false, _) => RENDER,
                    (true, true) => RENDER - PLANNER_SKEW,
                    (true, false) => 0,
                };
                if render > longest_render {
                    return limits;
                }
                limits.push(("notice", at));
                if is_urgent && !self.is_delayed(index) {
                    let limit = change.committed + PUBLISHING + self.variant.handling;
                    limits.push(("urgent notice", limit));
                }
            }
            Decision::Skipped(SkipReason::ExpiresSoon) => {
                // Another worker may have written the time of the pages before, on its own clock.
                limits.push(("expires soon", change.committed + TARGET + PLANNER_SKEW));
            }
            Decision::Skipped(SkipReason::Inactive) => limits.push(("late token", of_notice(usize::MAX).0)),
            Decision::Skipped(SkipReason::ClientAware) => {
                let has_window = |of: &(usize, &Change)| {
                    of.0 <= index && change.committed - of.1.committed <= TARGET + PLANNER_SKEW
                };
                if !is_adaptive || !self.client_aware().iter().any(has_window) {
                    limits.push(("skipped outside the window", i64::MIN));
                }
            }
            Decision::Skipped(SkipReason::Never) => {
                let is_default =
                    self.variant.has_default_policy && is_adaptive && self.variant.max_seconds <= 60;
                if change.kind != Kind::Never && !is_default {
                    limits.push(("skipped without a rule", i64::MIN));
                }
            }
            Decision::Unneeded => limits.push(("no decision", i64::MIN)),
        }
        limits
    }

    /// True if a crash delays the notice of a change.
    fn is_delayed(&self, index: usize) -> bool {
        match self.variant.crash {
            Crash::None => false,
            Crash::Redelivered(crashed, _) | Crash::WithNext(crashed) => crashed == index,
        }
    }
}

const IN_TIME: Clocks = Clocks { origin: 0, user_stats: [0; 2], cache_invalidation: 0 };
const ADAPTIVE: Variant = Variant {
    origin: OriginLifetime::Adaptive,
    max_seconds: 60,
    has_default_policy: false,
    interval_seconds: 0,
    clocks: IN_TIME,
    crash: Crash::None,
    handling: RENDER,
    is_token_late: false,
};

/// The origin and the workers are off by -`off`, 0 or `off`, and the workers differ by `between`.
fn clocks(off: i64, between: i64) -> Vec<Clocks> {
    let mut clocks = Vec::new();
    for (origin, workers) in [-1, 0, 1].iter().flat_map(|origin| [-1, 0, 1].map(|workers| (origin, workers)))
    {
        // All three the same, or each of them ahead or behind.
        for word in 0..7 {
            let ahead = |worker: u32| off * workers + if word >> worker & 1 == 1 { between } else { 0 };
            let toward_zero = if workers > 0 { -between } else { 0 };
            clocks.push(Clocks {
                origin: off * origin,
                user_stats: [ahead(0) + toward_zero, ahead(1) + toward_zero],
                cache_invalidation: ahead(2) + toward_zero,
            });
        }
    }
    clocks
}

fn crashes() -> impl Iterator<Item = Crash> {
    let of = |index| {
        [
            Crash::Redelivered(index, 3 * SECOND),
            Crash::Redelivered(index, 180 * SECOND),
            Crash::WithNext(index),
        ]
    };
    (0..2).flat_map(of)
}

/// The variants, and the number of changes that are played for each.
fn variants() -> Vec<(Variant, usize)> {
    let settings = [
        ADAPTIVE,
        Variant { has_default_policy: true, interval_seconds: 60, ..ADAPTIVE },
        Variant { interval_seconds: 60, handling: TARGET, ..ADAPTIVE },
        Variant { origin: OriginLifetime::Fixed, ..ADAPTIVE },
        // Pages that live longer, and notices that are handled around the end of some of them.
        Variant { max_seconds: 300, handling: 20_500, ..ADAPTIVE },
    ];
    let clocks = clocks(SKEW, PLANNER_SKEW);
    let far_apart = [IN_TIME, clocks[6], clocks[clocks.len() - 1]];
    let mut variants = Vec::new();
    for clocks in far_apart {
        variants.push(Variant { clocks, is_token_late: true, ..ADAPTIVE });
        for settings in settings {
            let crashes = [Crash::None].into_iter().chain(crashes());
            variants.extend(crashes.map(|crash| Variant { clocks, crash, ..settings }));
        }
    }
    for settings in [settings[0], settings[settings.len() - 1]] {
        variants.extend(clocks.iter().map(|clocks| Variant { clocks: *clocks, ..settings }));
    }
    let three = [ADAPTIVE, Variant { crash: Crash::WithNext(0), interval_seconds: 60, ..ADAPTIVE }];
    let three = three.into_iter().map(|variant| (variant, 3));
    variants.into_iter().map(|variant| (variant, 2)).chain(three).collect()
}

/// Plays the variants on all processors. Returns the number of checked pages.
fn prove(variants: &[(Variant, usize)], mutant: Mutant) -> Result<u64, String> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let events = Events::new();
    let (failure, next) = (std::sync::Mutex::new(None), std::sync::atomic::AtomicUsize::new(0));
    let checked = std::sync::atomic::AtomicU64::new(0);
    let work = || {
        use std::sync::atomic::Ordering::Relaxed;
        while let Some((variant, changes)) = variants.get(next.fetch_add(1, Relaxed)) {
            let mut world = World::new(&events, *variant, mutant);
            let result = AGES.iter().map(Some).chain([None]).try_for_each(|age| {
                let last_changed_at = age.map(|age| at(FIRST - age));
                world.before = StatsMetadata { version: 1, last_changed_at, ..StatsMetadata::default() };
                world.play(&KINDS, *changes)
            });
            checked.fetch_add(world.checked, Relaxed);
            if let Err(reason) = result {
                failure.lock().unwrap().get_or_insert(reason);
                next.store(variants.len(), Relaxed);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    match failure.into_inner().unwrap() {
        Some(reason) => Err(reason),
        None => Ok(checked.into_inner()),
    }
}

#[test]
fn no_page_hides_a_change_for_longer_than_the_policy_promises() {
    let variants = variants();
    let checked = prove(&variants, Mutant::None).unwrap_or_else(|reason| panic!("{reason}"));
    eprintln!("{checked} pages in the histories of {} variants", variants.len());
}

/// Proves that the proof can fail.
#[test]
fn each_bug_of_the_rules_hides_a_change_for_too_long() {
    for mutant in MUTANTS {
        match prove(&variants(), mutant) {
            Err(reason) => eprintln!("{mutant:?}: {reason:.160}"),
            Ok(checked) => panic!("{mutant:?} was not found with {checked} pages"),
        }
    }
}

#[test]
fn clocks_that_are_off_by_a_minute_hide_a_change_for_no_longer_than_a_page_lives() {
    let variants: Vec<(Variant, usize)> =
        clocks(MINUTE, MINUTE).into_iter().map(|clocks| (Variant { clocks, ..ADAPTIVE }, 2)).collect();
    let checked = prove(&variants, Mutant::None).unwrap_or_else(|reason| panic!("{reason}"));
    eprintln!("{checked} pages");
}
