//! Whom the functions trust when they connect to AWS: Amazon's own authorities first, those of the system where these do
//! not do.
//!
//! The services of AWS have certificates of Amazon Trust Services. Reading the system's bundle, some 145 certificates, is more
//! than two thirds of what a cold start computes (docs/performance.md). Amazon advises against relying on its roots
//! alone, so nothing is lost where another authority vouches for a service: the bundle is read then, once.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::config::Environment;

/// The roots of Amazon Trust Services, in PEM. They are valid until 2037 and later.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The HTTP client of a function. Where `SSL_CERT_FILE` or `SSL_CERT_DIR` says whom to trust, it trusts them and nobody else.
pub fn http_client(environment: &Environment) -> SharedHttpClient {
    let is_said = |name| environment.optional(name).is_some();
    let system = client(TrustStore::default());
    if is_said("SSL_CERT_FILE") || is_said("SSL_CERT_DIR") {
        return system;
    }
    SharedHttpClient::new(TrustFallback::new(trusting(AMAZON_ROOTS), system))
}

/// A client that trusts these authorities alone, in PEM.
pub fn trusting(authorities: &[u8]) -> SharedHttpClient {
    client(TrustStore::empty().with_pem_certificate(authorities))
}

fn client(trust_store: TrustStore) -> SharedHttpClient {
    // Building never fails; the default trusts the system.
    let context = TlsContext::builder().with_trust_store(trust_store).build().unwrap_or_default();
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https()
}

/// A client that connects by `first`, and where that one does not know a server's authority, by `otherwise`, then and
/// from then on.
#[derive(Debug)]
pub struct TrustFallback {
    first: SharedHttpClient,
    otherwise: SharedHttpClient,
    gave_way: Arc<AtomicBool>,
}

impl TrustFallback {
    /// A client of two.
    pub fn new(first: SharedHttpClient, otherwise: SharedHttpClient) -> Self {
        Self { first, otherwise, gave_way: Arc::default() }
    }
}

impl HttpClient for TrustFallback {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let otherwise = self.otherwise.clone();
        if self.gave_way.load(Ordering::Relaxed) {
            return otherwise.http_connector(settings, components);
        }
        let first = self.first.http_connector(settings, components);
        let (settings, components) = (settings.clone(), components.clone());
        SharedHttpConnector::new(FallbackConnector {
            first,
            // What it trusts is read when it is built.
            otherwise: Arc::new(move || otherwise.http_connector(&settings, &components)),
            gave_way: self.gave_way.clone(),
        })
    }
}

struct FallbackConnector {
    first: SharedHttpConnector,
    otherwise: Arc<dyn Fn() -> SharedHttpConnector + Send + Sync>,
    gave_way: Arc<AtomicBool>,
}

impl fmt::Debug for FallbackConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackConnector").field("first", &self.first).finish_non_exhaustive()
    }
}

impl HttpConnector for FallbackConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // A body that cannot be cloned is a stream; none of our requests has one.
        let again = request.try_clone();
        let (first, otherwise) = (self.first.clone(), self.otherwise.clone());
        let gave_way = self.gave_way.clone();
        HttpConnectorFuture::new(async move {
            match (first.call(request).await, again) {
                // Nothing was sent: there was no connection.
                (Err(error), Some(again)) if is_unknown_issuer(&error) => {
                    let answer = otherwise().call(again).await?;
                    if !gave_way.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "AWS has a certificate of another authority than Amazon: trusting those of the system"
                        );
                    }
                    Ok(answer)
                }
                (answer, _) => answer,
            }
        })
    }
}

/// Whether a connection was refused because nobody that we trust vouches for the server.
fn is_unknown_issuer(error: &ConnectorError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return matches!(
                error,
                rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)
            );
        }
        // The source of an I/O error is that of the error inside it.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    false
}
