//! GET requests to the page, over the HTTP client that the SDK has.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use crate::origin::response::Response;

/// Limit for one request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Limit for the body of an answer: more than a page has, and little memory.
const MAX_BODY_BYTES: usize = 8 << 20;

/// An HTTP client that follows no redirects.
#[derive(Debug)]
pub struct Http(Connector);

/// An answer, and the time until it was complete.
#[derive(Clone, Debug)]
pub struct Answer {
    pub response: Response,
    pub duration: Duration,
}

impl Http {
    /// Trusts the certificate authorities of the system, or those in `roots` (PEM).
    pub fn new(roots: Option<&str>) -> Result<Self> {
        let store = match roots {
            Some(roots) => TrustStore::empty().with_pem_certificate(roots.as_bytes()),
            None => TrustStore::default(),
        };
        let context = TlsContext::builder().with_trust_store(store).build();
        let context = context.map_err(|_| anyhow::anyhow!("the certificate authorities cannot be read"))?;
        let connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        let connector = connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context);
        Ok(Self(connector.build()))
    }

    /// Requests `url`, with an access token if there is one. The error names the URL.
    pub async fn get(&self, url: &str, access_token: Option<&str>) -> Result<Answer> {
        let started = Instant::now();
        let answer = tokio::time::timeout(TIMEOUT, self.send(url, access_token)).await;
        let response = match answer {
            Ok(response) => response.with_context(|| without_query(url).to_owned())?,
            Err(_) => bail!("{}: no answer within {} seconds", without_query(url), TIMEOUT.as_secs()),
        };
        Ok(Answer { response, duration: started.elapsed() })
    }

    async fn send(&self, url: &str, access_token: Option<&str>) -> Result<Response> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method("GET").context("method")?;
        request.set_uri(url).context("not a URL")?;
        request.headers_mut().insert("accept", "*/*");
        request.headers_mut().insert("user-agent", concat!("replay/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = access_token {
            request.headers_mut().insert("authorization", format!("Bearer {token}"));
        }
        let response = self.0.call(request).await.context("no answer")?;
        let status = response.status().as_u16();
        let headers: Vec<(String, String)> =
            response.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (mut stream, mut body) = (ByteStream::new(response.into_body()), Vec::new());
        while let Some(bytes) = stream.try_next().await.context("the answer breaks off")? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_BODY_BYTES {
                bail!("the answer has more than {MAX_BODY_BYTES} bytes");
            }
        }
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Response::new(status, headers, &body))
    }
}

/// The URL as the report shows it: a query can have a key or an email address.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_not_shown() {
        for (url, expected) in [
            ("https://www.example.com/me?key=k&email=ana@example.com", "https://www.example.com/me"),
            ("https://www.example.com/me", "https://www.example.com/me"),
        ] {
            assert_eq!(without_query(url), expected);
        }
    }
}
