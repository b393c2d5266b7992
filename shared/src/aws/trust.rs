//! Which certificate authorities (CAs) the functions trust when they connect to AWS: Amazon's own
//! roots, and the system's CAs as a fallback.
//!
//! AWS services have certificates from Amazon Trust Services. Loading the system's bundle of about
//! 145 CAs took more than two thirds of the CPU time of a cold start (docs/performance.md), so the
//! five roots of Amazon are compiled in.
//!
//! Amazon advises against trusting only its own roots. If a server's certificate does not chain to
//! one of them, for example behind a proxy, the client loads the system's bundle once and uses it
//! from then on.

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

/// The roots of Amazon Trust Services in PEM. The first one expires in 2037.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The HTTP client of a function. It trusts Amazon's roots first, and the system's CAs as a
/// fallback.
///
/// If `SSL_CERT_FILE` or `SSL_CERT_DIR` is set, it trusts only the CAs in that file or directory.
pub fn http_client(environment: &Environment) -> SharedHttpClient {
    // The default trust store reads the two variables itself.
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
/// proxy variables of the environment.
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

/// An HTTP client that connects with `preferred` until it finds a server that `preferred` does not
/// trust. From then on, it connects with `fallback`.
///
/// The request that finds the untrusted server fails before anything is sent. The SDK repeats it if
/// the retry configuration allows another attempt.
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
                    uri,
                    "the certificate does not chain to Amazon's roots: the function trusts the system's certificate \
                     authorities from now on"
                );
            }
        }))
    }
}

/// Whether a connection failed because of the server's certificate, and a client with other CAs
/// could accept it.
///
/// An unknown CA is not the only such error. If the chain continues to an old CA through an expired
/// certificate, a client that does not know the root below it reports that the certificate has
/// expired. A client that knows the root does not look further. So every certificate error counts,
/// except a wrong name: the name is checked after the chain was found valid.
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
        // `source()` of an I/O error skips the error inside it.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
