//! Faults that meet the SDK's requests, so that its retries and timeouts see what they would see on
//! AWS.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A fault of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service answers with this error code and does nothing.
    Error(&'static str),
    /// The same with an error message: the code and the message.
    ErrorWith(&'static str, &'static str),
    /// DynamoDB cancels the transaction, with these reasons for its items.
    Cancelled(&'static [&'static str]),
    /// No fault: the service performs the request, between two that meet a fault.
    Served,
    /// The connection is refused.
    Refused,
    /// The service never answers and does nothing.
    Hang,
    /// The service performs the request. The connection closes before the response.
    ReplyLost,
    /// The service performs the request. The connection closes halfway through the response.
    CutOff,
    /// DynamoDB reads no item of a BatchGetItem, and returns all keys as unprocessed. Other
    /// operations do not meet this fault.
    Unprocessed,
    /// Cognito ends a page of ListUsers before the first user: the page has a token and no user. Other
    /// operations do not meet this fault.
    EmptyPage,
}

/// Faults that are waiting for a request. Clones share them.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<PlannedFault>>>);

struct PlannedFault {
    operation: String,
    fault: Fault,
    remaining: usize,
}

impl Faults {
    /// The next `times` requests of `operation` meet this fault. `operation` is a name such as
    /// `SendMessage`, or `*` for all operations.
    pub fn inject(&self, operation: &str, fault: Fault, times: usize) {
        self.planned().push(PlannedFault { operation: operation.to_owned(), fault, remaining: times });
    }

    pub fn clear(&self) {
        self.planned().clear();
    }

    /// The fault that a request of `operation` meets, which uses it up.
    pub(super) fn next(&self, operation: &str) -> Option<Fault> {
        let mut planned = self.planned();
        let mut matching = planned.iter_mut().filter(|planned| planned.remaining > 0);
        let planned = matching.find(|planned| planned.operation == operation || planned.operation == "*")?;
        planned.remaining -= 1;
        Some(planned.fault.clone())
    }

    fn planned(&self) -> MutexGuard<'_, Vec<PlannedFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
