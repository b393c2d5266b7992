//! Times on the command line, read alike by every option: a time, a date, or a duration.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use shared::time::plus;

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    /// Before or after the current time. The option decides which.
    Duration(SignedDuration),
}

impl When {
    /// The time, for an option about the past.
    pub fn ago(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Duration(duration) => plus(now, -duration),
        }
    }

    /// The time, for an option about the future.
    pub fn from_now(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Duration(duration) => plus(now, duration),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "expected a duration such as 90m, 2d or 1w, a date such as 2026-04-01 (from 00:00 UTC), or a time such as 2026-04-01T12:00:00Z"
)]
pub struct InvalidWhen;

/// Parses a time with an offset, a date, which means 00:00 UTC, or a duration such as `2h 30m`. A day has
/// 24 hours, and a week 7 days.
pub fn parse_when(text: &str) -> Result<When, InvalidWhen> {
    // Without this check, jiff would parse the date of "2026-04-01T12:00" and ignore the time.
    let is_date = text.len() == "2026-04-01".len();
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let date = || midnight().filter(|_| is_date).map(|time| time.timestamp());
    if let Some(time) = text.parse().ok().or_else(date) {
        return Ok(When::At(time));
    }
    let span = text.parse::<Span>().ok();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = duration.filter(|duration| !duration.is_negative());
    duration.map(When::Duration).ok_or(InvalidWhen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_dates_and_times_are_read() {
        let hours = |text| match parse_when(text) {
            Ok(When::Duration(duration)) => Some(duration.as_hours()),
            _ => None,
        };
        assert_eq!(
            (hours("2d"), hours("1d 2h"), hours("90m"), hours("1w")),
            (Some(48), Some(26), Some(1), Some(168))
        );
        let now: Timestamp = "2026-04-02T00:00:00Z".parse().unwrap();
        for (text, ago, from_now) in [
            ("2026-04-01", "2026-04-01T00:00:00Z", "2026-04-01T00:00:00Z"),
            ("2026-04-01T12:00:00+02:00", "2026-04-01T10:00:00Z", "2026-04-01T10:00:00Z"),
            ("2d", "2026-03-31T00:00:00Z", "2026-04-04T00:00:00Z"),
        ] {
            let when = parse_when(text).unwrap();
            assert_eq!(
                (when.ago(now).to_string(), when.from_now(now).to_string()),
                (ago.into(), from_now.into())
            );
        }
        for wrong in ["", "soon", "-2d", "5", "2026-04-01T12:00", "1month"] {
            assert!(parse_when(wrong).is_err(), "{wrong}");
        }
    }
}
