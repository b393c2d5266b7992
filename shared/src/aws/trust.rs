//! Which certificate authorities (CAs) the functions trust when they connect to AWS: Amazon's own
//! roots, and the system's CAs as a fallback.
//!
//! AWS services have certificates from Amazon Trust Services, whose five roots are compiled in. So a
//! cold start does not load the system's bundle: pre-sign-up needs 3.8 million instructions to its
//! first answer, and needed 13.7 million with the bundle (docs/performance.md).
//!
//! Amazon Trust Services does not recommend pinning, which includes trusting only its own roots
//! (<https://www.amazontrust.com/repository/>). If a server's certificate is not valid with these
//! roots, for example behind a proxy that inspects TLS, the client loads the system's bundle once
//! and uses it until the process ends.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use futures_util::TryFutureExt;
use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
use rustls::Error::InvalidCertificate;

use crate::config::Environment;

/// The roots of Amazon Trust Services: five certificates in PEM. The earliest expiry is in December
/// 2037.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The HTTP client of a function. It trusts Amazon's roots first and the system's CAs as a
/// fallback, unless `SSL_CERT_FILE` or `SSL_CERT_DIR` is set: then only those.
pub fn http_client(environment: &Environment) -> SharedHttpClient {
    // `TrustStore::default` itself reads SSL_CERT_FILE and SSL_CERT_DIR.
    let system = client(TrustStore::default());
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| environment.optional(name).is_some()) {
        return system;
    }
    SharedHttpClient::new(TrustFallback::new(client_trusting(AMAZON_ROOTS), system))
}

/// An HTTP client that trusts only the CAs in `roots`, in PEM.
pub fn client_trusting(roots: &[u8]) -> SharedHttpClient {
    client(TrustStore::empty().with_pem_certificate(roots))
}

/// The SDK's default HTTP client with another trust store. `Builder::build_https` would ignore the
/// proxy variables of the environment, so this builds the connector by hand.
fn client(trust_store: TrustStore) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        #[expect(
            clippy::expect_used,
            reason = "building cannot fail with valid roots; falling back to the default trust store would trust more CAs"
        )]
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

/// An HTTP client that connects with `preferred` until it finds a server that `preferred` does not
/// trust. From then on, it connects with `fallback`.
///
/// The request that finds the untrusted server fails before any part of the request is sent. The SDK
/// repeats it if the retry configuration allows another attempt.
#[derive(Debug)]
pub struct TrustFallback {
    preferred: SharedHttpClient,
    /// Loads its CAs when it is first used.
    fallback: SharedHttpClient,
    use_fallback: Arc<AtomicBool>,
}

impl TrustFallback {
    pub fn new(preferred: SharedHttpClient, fallback: SharedHttpClient) -> Self {
        Self { preferred, fallback, use_fallback: Arc::default() }
    }
}

impl HttpClient for TrustFallback {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        if self.use_fallback.load(Ordering::Relaxed) {
            return self.fallback.http_connector(settings, components);
        }
        let connector = self.preferred.http_connector(settings, components);
        SharedHttpConnector::new(PreferredConnector { connector, use_fallback: self.use_fallback.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.preferred.connector_metadata()
    }
}

/// Connects with the preferred client, and sets `use_fallback` if a server is not trusted.
#[derive(Debug)]
struct PreferredConnector {
    connector: SharedHttpConnector,
    use_fallback: Arc<AtomicBool>,
}

impl HttpConnector for PreferredConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri().to_owned();
        let response = self.connector.call(request);
        let use_fallback = self.use_fallback.clone();
        HttpConnectorFuture::new(response.inspect_err(move |error| {
            if is_untrusted(error) && !use_fallback.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    error_type = "untrusted_certificate",
                    uri,
                    "the server's certificate is not valid with Amazon's roots: the function trusts the system's \
                     certificate authorities until its process ends"
                );
            }
        }))
    }
}

/// Whether a connection failed because of the server's certificate, and a client with other CAs
/// could accept it.
///
/// An unknown CA is not always reported as such. A chain can contain a certificate that the old CA
/// cross-signed and that has expired. A client that trusts the newer root stops before it. A client
/// that does not goes on and reports "expired". So every certificate error counts, except a wrong
/// name, which is checked only after the chain is valid.
pub fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return match error {
                InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => false,
                InvalidCertificate(_) => true,
                _ => false,
            };
        }
        // `io::Error::source` returns the source of the inner error, not the inner error. So take the
        // inner error with `get_ref`.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
