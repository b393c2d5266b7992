//! Times in the table: a number, milliseconds since 1970. For serde's `with`.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// Writes a time.
pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.as_millisecond())
}

/// Reads a time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    Timestamp::from_millisecond(i64::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// The same for a time that may be missing.
pub mod option {
    use super::*;

    /// Writes a time.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let millis = Option::<i64>::deserialize(deserializer)?;
        millis.map(Timestamp::from_millisecond).transpose().map_err(de::Error::custom)
    }
}
