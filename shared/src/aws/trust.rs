//! Whom the functions trust when they connect to AWS: Amazon's own authorities first, those of the system where these do
//! not do.
//!
//! The services of AWS have certificates of Amazon Trust Services. Reading the system's bundle, some 145 certificates, was more
//! than two thirds of what a cold start computed (docs/performance.md). Amazon advises against relying on its roots
//! alone, so nothing is lost where another authority vouches for a service, or a proxy: the bundle is read then, once.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::connection::CaptureSmithyConnection;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
use rustls::Error::InvalidCertificate;

use crate::config::Environment;

/// The roots of Amazon Trust Services, in PEM. They are valid until 2037 and later.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The HTTP client of a function, or nothing where `SSL_CERT_FILE` or `SSL_CERT_DIR` says whom to trust: the SDK's own client goes by
/// them.
pub fn http_client(environment: &Environment) -> Option<SharedHttpClient> {
    let is_said = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| environment.optional(name).is_some());
    (is_said == [false, false]).then(|| {
        let system = client(TrustStore::default());
        SharedHttpClient::new(TrustFallback::new(trusting(AMAZON_ROOTS), system))
    })
}

/// A client that trusts these authorities alone, in PEM.
pub fn trusting(authorities: &[u8]) -> SharedHttpClient {
    client(TrustStore::empty().with_pem_certificate(authorities))
}

/// The SDK's default client, but for whom it trusts: its own builder of clients would leave out the proxies of the environment.
fn client(trust_store: TrustStore) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        #[expect(clippy::expect_used, reason = "never fails, and a wider trust would be worse")]
        let context =
            TlsContext::builder().with_trust_store(trust_store.clone()).build().expect("a TLS context");
        let mut connector = Connector::builder()
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    })
}

/// A client that connects by `first`, and from the first server on that this one does not trust, by `otherwise`.
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

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.first.connector_metadata()
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
        let (first, otherwise) = (self.first.clone(), self.otherwise.clone());
        let gave_way = self.gave_way.clone();
        // A body that cannot be cloned is a stream; none of our requests has one.
        let again = clone(&request);
        HttpConnectorFuture::new(async move {
            match (first.call(request).await, again) {
                // The request was not sent: there was no connection.
                (Err(error), Some(again)) if is_untrusted(&error) => {
                    if !gave_way.swap(true, Ordering::Relaxed) {
                        let uri = again.uri();
                        tracing::warn!(
                            uri,
                            "Amazon's authorities do not vouch for AWS here: trusting the system's from now on"
                        );
                    }
                    otherwise().call(again).await
                }
                (answer, _) => answer,
            }
        })
    }
}

/// The request with what the SDK needs to drop its connection when it turns out to be broken.
fn clone(request: &HttpRequest) -> Option<HttpRequest> {
    let mut clone = request.try_clone()?;
    if let Some(connection) = request.extension::<CaptureSmithyConnection>() {
        clone.add_extension(connection.clone());
    }
    Some(clone)
}

/// Whether a connection was refused because of the server's certificate, and others than those trusted could vouch for
/// it. What is wrong with a chain need not be its end: a certificate on the way to an unknown authority may have expired.
fn is_untrusted(error: &ConnectorError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return match error {
                // Looked at when the chain has been found to be good.
                InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => false,
                InvalidCertificate(_) => true,
                _ => false,
            };
        }
        // The source of an I/O error is that of the error inside it.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inside) => Some(inside),
            None => error.source(),
        };
    }
    false
}
