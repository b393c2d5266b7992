//! Proof of the rule for inactive users: two workers process a change and a late token event, in every
//! order in which their requests can be served.

use std::pin::Pin;
use std::task::Poll;

use jiff::Timestamp;
use serde_json::json;
use shared::time::{minus_seconds, plus_seconds};
use workers::user_stats;

use super::aws::{FaultyAws, HistoryEntry, Message, Time, USER_EVENTS, WORKERS};
use super::play::{CACHE_LIFETIME_SECONDS, START, TOKEN_VALIDITY_SECONDS, environment, function, sqs_event};
use super::schedule::{PlantedBug, Settings};

/// Maximum number of requests of a worker: read, failed commit, read, commit, send.
const REQUESTS: u32 = 5;

/// Every order of the requests of two workers, as the index of the worker that is served next.
fn orders() -> impl Iterator<Item = Vec<usize>> {
    let length = 2 * REQUESTS;
    (0..1_u32 << length)
        .filter(|word| word.count_ones() == REQUESTS)
        .map(move |word| (0..length).map(|bit| usize::from(word >> bit & 1 == 1)).collect())
}

#[test]
fn cached_page_is_evicted_in_every_order_of_a_change_and_a_late_token() {
    let _silence = tests::log::disable();
    assert_eq!(orders().count(), 252);
    // Ages of the token around the commit, and around the age from which on its pages have expired.
    let oldest = TOKEN_VALIDITY_SECONDS + CACHE_LIFETIME_SECONDS;
    let (mut sent, mut not_published) = (0, 0);
    for seconds_ago in [0, 1, 3_000, oldest - 60, oldest - 1, oldest + 10, oldest + 7_200] {
        for order in orders() {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            let Played { committed_at, notices } = runtime.unwrap().block_on(play(&order, seconds_ago));
            // A notice that is published or dated before the commit does not evict the page.
            let is_published = notices.iter().any(|changed_at| *changed_at >= committed_at);
            let issued_at = minus_seconds(START.parse().unwrap(), seconds_ago);
            let lives = plus_seconds(issued_at, oldest) >= committed_at;
            assert!(
                !lives || is_published,
                "a token of {seconds_ago} s ago, in the order {order:?}: {notices:?}"
            );
            sent += usize::from(is_published);
            not_published += usize::from(!is_published);
        }
    }
    assert!(sent >= 5 * 252 && not_published > 0, "{sent} sent, {not_published} not published");
}

struct Played {
    committed_at: Timestamp,
    /// `changed_at` of each notice after that.
    notices: Vec<Timestamp>,
}

async fn play(order: &[usize], seconds_ago: i64) -> Played {
    let time = Time::starting_at(START.parse().unwrap());
    let aws = FaultyAws::start(time, Vec::new(), 0, PlantedBug::None).await;
    let settings = Settings {
        skip_inactive: true,
        by_path: false,
        purge_all_threshold: 3_000,
        interval: 0,
        budget: None,
        purge_all_when_spent: false,
        clocks: [0; WORKERS],
        adaptive: None,
        reader_clock: 0,
    };
    let mut workers = Vec::new();
    for worker in 0..2 {
        let environment = environment(&settings);
        let function =
            function("user-stats", USER_EVENTS, &environment, &aws.for_worker(worker), time.clock(0)).await;
        workers.push(user_stats::Deps::new(&function).unwrap());
    }
    // The last known token is from the day before: without the late token, the user is inactive.
    let event = |id: &str, event_type: &str, seconds_ago: i64, data: serde_json::Value| {
        let at = minus_seconds(time.now(), seconds_ago);
        let body = json!({
            "specversion": "1.0", "id": id, "source": "/shop", "type": event_type, "subject": "ana",
            "time": at.to_string(), "data": data,
        });
        let message = Message {
            id: id.to_owned(),
            body: body.to_string(),
            error_type: None,
            receives: 1,
            receipt: String::new(),
            sent_at: time.now(),
            visible_at: time.now(),
        };
        sqs_event(&[message])
    };
    let deadline = plus_seconds(time.now(), 60);
    let yesterday = event("old", "user.token_refreshed", 86_400, json!({"client_id": "client"}));
    user_stats::handle(&workers[0], yesterday, deadline).await.unwrap();

    let change = event("change", "activity.recorded", 0, json!({"description": "x"}));
    let token = event("late", "user.token_refreshed", seconds_ago, json!({"client_id": "client"}));
    let mut running: [Option<Pin<Box<dyn Future<Output = _>>>>; 2] = [
        Some(Box::pin(user_stats::handle(&workers[0], change, deadline))),
        Some(Box::pin(user_stats::handle(&workers[1], token, deadline))),
    ];
    // One request of the worker whose turn it is. The remaining requests follow after all turns.
    let rest = [0, 1].into_iter().cycle().take(2 * REQUESTS as usize * 4);
    for worker in order.iter().copied().chain(rest) {
        let before = aws.state().served[worker];
        while let Some(handling) = &mut running[worker] {
            if aws.state().served[worker] > before {
                break;
            }
            match std::future::poll_fn(|context| Poll::Ready(handling.as_mut().poll(context))).await {
                Poll::Ready(response) => {
                    assert!(response.unwrap().batch_item_failures.is_empty());
                    running[worker] = None;
                }
                // Lets a backoff between attempts pass.
                Poll::Pending => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    }
    assert!(running.iter().all(Option::is_none), "both are done");

    let history = aws.state().history.clone();
    let is_change = |entry: &HistoryEntry| matches!(entry, HistoryEntry::Commit { events, .. } if events.iter().any(|key| key.contains("#change")));
    assert_eq!(history.iter().filter(|entry| is_change(entry)).count(), 1, "committed once");
    let mut since = history.into_iter().skip_while(|entry| !is_change(entry));
    let Some(HistoryEntry::Commit { at: committed_at, .. }) = since.next() else { unreachable!() };
    let notices = since.filter_map(|entry| match entry {
        HistoryEntry::Notice { changed_at, .. } => Some(changed_at),
        _ => None,
    });
    Played { committed_at, notices: notices.collect() }
}
