//! What all handlers share: the fields of a form, and the answer to a failure of the server.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// An error of the server itself, which is a bug. The log has its cause.
pub struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(
            error_type = "sandbox",
            cause = shared::telemetry::chain(self.0.as_ref()),
            "a request failed"
        );
        (StatusCode::INTERNAL_SERVER_ERROR, "The sandbox failed. Start it with --log to see why.\n")
            .into_response()
    }
}

/// The fields of a form or a query.
pub fn form_fields(text: &[u8]) -> BTreeMap<String, String> {
    let pairs = form_urlencoded::parse(text);
    pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}
