//! The JSON of a page of orders. Pure.

use jiff::Timestamp;
use serde::Serialize;
use shared::store::lists::{OrderEntry, Page};

use crate::time;

#[derive(Debug, Serialize)]
pub struct OrdersView {
    orders: Vec<OrderView>,
    /// The value of `before` for the next page. Missing on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    #[serde(serialize_with = "time::required")]
    at: Timestamp,
    r#type: String,
    order_id: String,
    amount: String,
    currency: String,
}

impl From<Page<OrderEntry>> for OrdersView {
    fn from(page: Page<OrderEntry>) -> Self {
        let order = |entry: OrderEntry| {
            let OrderEntry { at, r#type, order_id, amount, currency } = entry;
            OrderView { at, r#type, order_id, amount, currency }
        };
        Self {
            orders: page.entries.into_iter().map(order).collect(),
            next: page.next.map(|position| position.to_string()),
        }
    }
}
