//! Data of the events that other services, operators and workers publish.

use std::collections::BTreeSet;

use jiff::Timestamp;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::from_cloudtrail::ChangedBy;

use crate::events::json::{identifier, optional_time, time};
#[cfg(feature = "schema")]
use crate::events::limits::MAX_ID_CHARS;
use crate::events::money::{Amount, Currency};
#[cfg(feature = "schema")]
use crate::events::permission::{MAX_ACTOR_CHARS, MAX_PERMISSIONS};
use crate::events::permission::{Permission, Resource, actor, permissions};

/// Data of `user.suspended` and `user.reinstated`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct SuspensionNotice {
    /// For administrators. The user never sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// End of the suspension. Without it, the suspension has no end.
    #[serde(default, deserialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub until: Option<Timestamp>,
}

/// Data of `profile.updated`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ProfileUpdated {
    /// The names of the fields that changed, without their values.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Who changed it, if it is known. A change by an administrator is no activity of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<ChangedBy>,
}

/// Data of `order.placed` and `order.cancelled`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Order {
    /// ID of the order in your system, 1 to 128 characters.
    #[serde(deserialize_with = "identifier")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = MAX_ID_CHARS)))]
    pub order_id: String,
    /// The price of the order: a positive decimal number as a string, with at most 4 decimal places
    /// and below 10^15. It is a string because JSON numbers may lose precision.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = r"^[0-9]{1,15}(\.[0-9]{1,4})?$")))]
    pub amount: Amount,
    /// ISO 4217 code of the currency.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = "^[A-Z]{3}$")))]
    pub currency: Currency,
}

/// Data of `activity.recorded`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Activity {
    /// A short text that the dashboard shows. Cut to 256 bytes.
    pub description: String,
}

/// Data of `notification.created`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct NewNotification {
    /// ID of the notification in your system, 1 to 128 characters. Unique among the notifications of
    /// the user.
    #[serde(deserialize_with = "identifier")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = MAX_ID_CHARS)))]
    pub notification_id: String,
    /// A short text that the dashboard shows while the notification is unread. Cut to 256 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Data of `notification.read`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Notification {
    /// ID of the notification in your system, as in `notification.created`.
    #[serde(deserialize_with = "identifier")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = MAX_ID_CHARS)))]
    pub notification_id: String,
}

/// Data of `permission.granted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct PermissionGranted {
    /// The resource of the permissions: a kind, a slash, and the sub of the owner. For example
    /// `orders/7d8ca528-4931-4254-9273-ea5ee853f271` for all orders of a user.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = Resource::pattern())))]
    pub resource: Resource,
    /// Everything that the user may do with the resource. The read API knows `read`.
    #[serde(deserialize_with = "permissions")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", extend("minItems" = 1, "maxItems" = MAX_PERMISSIONS, "items" = Permission::schema())))]
    pub permissions: BTreeSet<Permission>,
    /// The person or service that granted the permissions. For administrators. No page shows it.
    #[serde(deserialize_with = "actor")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = MAX_ACTOR_CHARS)))]
    pub granted_by: String,
    /// End of the permissions. Later than the time of the event. Without it, they have no end.
    #[serde(default, deserialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub expires_at: Option<Timestamp>,
}

/// Data of `permission.revoked`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct PermissionRevoked {
    /// The resource, as in `permission.granted`.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("pattern" = Resource::pattern())))]
    pub resource: Resource,
    /// The person or service that revoked the permissions. For administrators. No page shows it.
    #[serde(deserialize_with = "actor")]
    #[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = MAX_ACTOR_CHARS)))]
    pub revoked_by: String,
}

/// A page with a user's own data, which CloudFront caches for that user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Statistics and the latest activities.
    Dashboard,
    /// The user's orders.
    Orders,
    /// The user's profile.
    Profile,
}

impl View {
    pub const ALL: [Self; 3] = [Self::Dashboard, Self::Orders, Self::Profile];

    /// The name in events and in paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Orders => "orders",
            Self::Profile => "profile",
        }
    }
}

/// Data of `user.data_changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct DataChanged {
    /// The views that the change makes stale.
    pub views: BTreeSet<View>,
    /// Time of the commit.
    #[serde(deserialize_with = "time")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub changed_at: Timestamp,
    /// Why the change is urgent. cache-invalidation believes `suspended`, `reinstated` and `erased`
    /// only if the table confirms them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<UrgentReason>,
    /// Time at which the last page from before the change has expired. Without it, the change may be
    /// hidden for the longest lifetime of a page.
    #[serde(default, deserialize_with = "optional_time", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub pages_expire_at: Option<Timestamp>,
}

/// Why a user's cached pages must be invalidated whatever the budget and the interval are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UrgentReason {
    /// An operator suspended the user.
    Suspended,
    /// An operator reinstated the user.
    Reinstated,
    /// The user was erased, or the account was deleted in the user pool.
    Erased,
    /// The user lost permissions for a resource of another user.
    PermissionRevoked,
    /// INVALIDATION_POLICY has the rule `always` for the type of the event.
    Policy,
}
