//! Limits of an event.

/// A message body must be smaller. CloudEvents calls this size safe, and SQS bills it as one
/// request.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
pub const MAX_ID_CHARS: usize = 128;
pub const MAX_SOURCE_CHARS: usize = 128;
/// An event is accepted until 30 days after its time.
///
/// That is longer than a message can stay in `user-events` (4 days) and then in its dead-letter
/// queue (14 days) without a redrive, and shorter than the stored event stays in the table (32 days
/// or more).
pub const MAX_AGE_SECONDS: i64 = 30 * 24 * 3600;
/// The time of an event may be this far ahead of the worker's clock.
pub const MAX_AHEAD_SECONDS: i64 = 15 * 60;
