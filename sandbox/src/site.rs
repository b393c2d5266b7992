//! The read side as a viewer sees it: the distribution in front of the HTTP API and the page.

pub mod page;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response};
use shared::config::Environment;

use self::page::Page;
use crate::aws::SandboxAccount;
use crate::edge::distribution::{Distribution, Origin};
use crate::edge::{Decision, Edge, OriginRequest, X_CACHE};
use crate::http_api::HttpApi;
use crate::tokens::random_text;

/// The distribution with its origins.
pub struct Site {
    edge: Mutex<Edge>,
    pub api: HttpApi,
    /// Environment variables of read-api.
    variables: BTreeMap<String, String>,
    page: Page,
}

impl Site {
    /// `variables` are read-api's own environment variables. `adapt` changes the distribution of the
    /// template.
    pub fn new(
        api: HttpApi,
        variables: BTreeMap<String, String>,
        page: Page,
        adapt: impl FnOnce(&mut Distribution),
    ) -> Result<Self> {
        let secret = random_text()?;
        let environment: Environment = variables.iter().collect();
        let lifetime = environment.max_cache_lifetime_seconds()?;
        let mut distribution =
            Distribution::of_template(i64::from(lifetime), Some(HeaderValue::from_str(&secret)?));
        adapt(&mut distribution);
        let mut variables = variables;
        variables.insert("ORIGIN_SECRETS".to_owned(), secret);
        Ok(Self { edge: Mutex::new(Edge::new(distribution)), api, variables, page })
    }

    /// Answers a request of a viewer.
    pub async fn request(
        &self,
        account: &SandboxAccount,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>> {
        let decision = self.edge().receive(request, account.time.now());
        match decision {
            Decision::Answer(response) => Ok(response),
            Decision::Ask(ask) => self.ask(account, *ask).await,
            Decision::AnswerAndAsk(response, ask) => {
                self.ask(account, *ask).await?;
                Ok(response)
            }
        }
    }

    /// Removes the answers that an invalidation names from the cache.
    pub fn invalidate(&self, items: &[String]) -> Vec<String> {
        self.edge().invalidate(items)
    }

    async fn ask(&self, account: &SandboxAccount, ask: OriginRequest) -> Result<Response<Bytes>> {
        let answer = match ask.origin {
            Origin::Api => self.api.handle(account, &self.variables, &ask.request).await?,
            Origin::Page => self.page.answer(&ask.request),
        };
        Ok(self.edge().answer(ask, answer, account.time.now()))
    }

    fn edge(&self) -> MutexGuard<'_, Edge> {
        self.edge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the edge answered: `Hit`, `Miss`, `RefreshHit` or `Error`.
pub fn cache_result(response: &Response<Bytes>) -> &str {
    let text = response.headers().get(X_CACHE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(' ').next().unwrap_or_default()
}
