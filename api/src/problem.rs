//! The errors, as problem details (RFC 9457). No text says anything about the inside.

use serde::Serialize;

use crate::query::InvalidQuery;
use crate::response::Response;

/// Why a request gets no answer. The function counts some of them: see [`reason`](Problem::reason).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The request did not come through CloudFront.
    WrongOrigin,
    /// There is no such path, or the caller may not see what is there.
    NotFound,
    MethodNotAllowed(&'static [&'static str]),
    /// No access token of this user pool.
    Unauthorized,
    InvalidQuery(InvalidQuery),
    InvalidBody,
    /// An operator suspended the caller.
    Suspended,
    /// The table has a suspension of the caller that cannot be read. The caller sees
    /// [`Suspended`](Self::Suspended).
    UnreadableSuspension,
    /// The table or the queue does not answer.
    Unavailable,
    /// The function panicked.
    Internal,
}

/// The namespace of `type`.
const TYPE: &str = "urn:cognito-user-events:problem";

impl Problem {
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidQuery(_) | Self::InvalidBody => 400,
            Self::Unauthorized => 401,
            Self::WrongOrigin | Self::Suspended | Self::UnreadableSuspension => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed(_) => 405,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// Stable code, the last part of `type`.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongOrigin => "wrong-origin",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed(_) => "method-not-allowed",
            Self::Unauthorized => "unauthorized",
            Self::InvalidQuery(_) => "invalid-query",
            Self::InvalidBody => "invalid-body",
            Self::Suspended | Self::UnreadableSuspension => "suspended",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The dimension `reason` of the metric RequestsRefused. `None` for a request that is not counted:
    /// anyone can mistype a path, and other metrics count failures.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::WrongOrigin => Some("wrong_origin"),
            Self::Unauthorized => Some("unauthorized"),
            Self::Suspended => Some("suspended"),
            Self::UnreadableSuspension => Some("unreadable_suspension"),
            Self::NotFound
            | Self::MethodNotAllowed(_)
            | Self::InvalidQuery(_)
            | Self::InvalidBody
            | Self::Unavailable
            | Self::Internal => None,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::WrongOrigin => "Forbidden",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed(_) => "Method not allowed",
            Self::Unauthorized => "Sign in first",
            Self::InvalidQuery(_) => "Invalid query",
            Self::InvalidBody => "Invalid body",
            Self::Suspended | Self::UnreadableSuspension => "Access is not possible",
            Self::Unavailable => "Not available at the moment",
            Self::Internal => "Something went wrong",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::WrongOrigin => "Use the address of the distribution.",
            Self::NotFound => "There is nothing at this path.",
            Self::MethodNotAllowed(_) => "The header Allow lists the methods of this path.",
            Self::Unauthorized => "Send an access token of this application in the header Authorization.",
            Self::InvalidQuery(InvalidQuery(sentence)) => sentence,
            Self::InvalidBody => "Send no body, or the body {}.",
            Self::Suspended | Self::UnreadableSuspension => "Please contact support.",
            Self::Unavailable => "Try again in a moment.",
            Self::Internal => "Please try again.",
        }
    }
}

impl From<InvalidQuery> for Problem {
    fn from(invalid: InvalidQuery) -> Self {
        Self::InvalidQuery(invalid)
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Self {
        #[derive(Serialize)]
        struct Details {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'static str,
        }
        let details = Details {
            r#type: format!("{TYPE}:{}", problem.code()),
            title: problem.title(),
            status: problem.status(),
            detail: problem.detail(),
        };
        let mut response = Self::not_stored(problem.status(), "application/problem+json", &details);
        let (name, value) = match problem {
            Problem::MethodNotAllowed(methods) => ("Allow", methods.join(", ")),
            Problem::Unauthorized => ("WWW-Authenticate", "Bearer".to_owned()),
            Problem::Unavailable => ("Retry-After", "1".to_owned()),
            _ => return response,
        };
        response.headers.insert(name, value);
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn problem_has_its_status_code_and_headers() {
        for (problem, status, code, header) in [
            (Problem::WrongOrigin, 403, "wrong-origin", None),
            (Problem::NotFound, 404, "not-found", None),
            (
                Problem::MethodNotAllowed(&["GET", "HEAD"]),
                405,
                "method-not-allowed",
                Some(("Allow", "GET, HEAD")),
            ),
            (Problem::Unauthorized, 401, "unauthorized", Some(("WWW-Authenticate", "Bearer"))),
            (Problem::InvalidQuery(InvalidQuery("It is wrong.")), 400, "invalid-query", None),
            (Problem::InvalidBody, 400, "invalid-body", None),
            (Problem::Suspended, 403, "suspended", None),
            (Problem::UnreadableSuspension, 403, "suspended", None),
            (Problem::Unavailable, 503, "unavailable", Some(("Retry-After", "1"))),
            (Problem::Internal, 500, "internal", None),
        ] {
            let response = Response::from(problem);
            let body: Value = serde_json::from_str(&response.body).unwrap();
            assert_eq!((response.status_code, &body["status"]), (status, &json!(status)), "{problem:?}");
            assert_eq!(body["type"], format!("urn:cognito-user-events:problem:{code}"));
            let mut expected = vec![
                ("Cache-Control", "no-store"),
                ("Content-Type", "application/problem+json"),
                ("X-Content-Type-Options", "nosniff"),
            ];
            expected.extend(header);
            expected.sort_unstable();
            let headers: Vec<_> =
                response.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(headers, expected, "{problem:?}");
        }
    }

    #[test]
    fn suspended_caller_does_not_learn_more_than_that() {
        let body = |problem| Response::from(problem).body;
        assert_eq!(body(Problem::Suspended), body(Problem::UnreadableSuspension));
        assert_eq!(
            body(Problem::Suspended),
            r#"{"type":"urn:cognito-user-events:problem:suspended","title":"Access is not possible","status":403,"detail":"Please contact support."}"#
        );
    }
}
