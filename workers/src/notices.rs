//! Notices: the event `user.data_changed`, by which a worker reports to cache-invalidation that a
//! user's cached pages are stale.

use jiff::Timestamp;
use shared::events::{Data, DataChanged, Event, Subject};
use shared::queues::{Message, Queue};

use crate::batch::Batch;

/// Time before the deadline at which a worker stops sending notices.
const SENDING_MARGIN_SECONDS: i64 = 2;

/// The notice about the pages of the user `sub`. `source` is that of the worker.
pub fn data_changed(source: &str, sub: &str, data: DataChanged, now: Timestamp) -> Event {
    Event::new(source, Subject::User(sub.to_owned()), now, Data::DataChanged(data))
}

/// Publishes notices to `cache_invalidations`, each given with the messages that it belongs to.
///
/// Call it after the commit. If the invalidation came first, the old page could be cached again. If
/// SQS does not accept a notice, its messages fail and SQS redelivers them. Their events are
/// duplicates by then, and the worker sends the notice again.
pub async fn publish(
    cache_invalidations: &Queue,
    batch: &mut Batch<'_>,
    notices: Vec<(Vec<usize>, Box<Event>)>,
) {
    let messages = notices.iter().map(|(_, notice)| Message::from(&**notice)).collect();
    let timeout = batch.deadline().until(SENDING_MARGIN_SECONDS);
    let accepted = cache_invalidations.send_batch(messages, timeout).await;
    for ((messages, _), accepted) in notices.into_iter().zip(accepted) {
        if !accepted {
            batch.fail(messages);
        }
    }
}
