//! A page behind a CloudFront in memory: files, and a dashboard for each access token.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::result::ConnectorError;
use sandbox::aws::{Answer, AwsBackend};
use winterbaume_core::{MockRequest, MockResponse};

/// Clones are the same server.
#[derive(Clone, Debug)]
pub struct PageServer(Arc<Mutex<Answers>>);

/// What the server answers, by path.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Status and type of `/`.
    pub files: (u16, &'static str),
    /// Status of the dashboard without a token.
    pub without_token: u16,
}

impl PageServer {
    /// A server that answers as the read API does.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Answers { files: (200, "text/html; charset=utf-8"), without_token: 401 })))
    }

    pub fn change(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl AwsBackend for PageServer {
    async fn answer(&self, request: MockRequest) -> Result<Answer, ConnectorError> {
        let answers = self.0.lock().unwrap().clone();
        let headers = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (status, fields) = match request.uri.ends_with("/api/dashboard") {
            false => (answers.files.0, headers(&[("content-type", answers.files.1)])),
            true => {
                let fields = [("cache-control", "no-store"), ("x-cache", "Error from cloudfront")];
                (answers.without_token, headers(&fields))
            }
        };
        let mut response = MockResponse::json(status, "{}");
        response.headers.clear();
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            response.headers.insert(name, value.parse().unwrap());
        }
        Ok(Answer { response, is_cut_off: false })
    }
}
