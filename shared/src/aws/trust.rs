//! Whom the functions trust when they connect to AWS: Amazon's own authorities first, those of the system where these do
//! not do.
//!
//! The services of AWS have certificates of Amazon Trust Services. Reading the system's bundle, some 145 certificates, was more
//! than two thirds of what a cold start computed (docs/performance.md). Amazon advises against relying on its roots
//! alone, so the bundle is read, once, where another authority vouches for a service, or a proxy.

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

/// The roots of Amazon Trust Services, in PEM. They are valid until 2037 and later.
pub const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");

/// The HTTP client of a function. Where `SSL_CERT_FILE` or `SSL_CERT_DIR` says whom to trust, they are taken for the system's.
pub fn http_client(environment: &Environment) -> SharedHttpClient {
    let system = client(TrustStore::default());
    let is_said = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| environment.optional(name).is_some());
    if is_said {
        return system;
    }
    SharedHttpClient::new(TrustFallback::new(trusting(AMAZON_ROOTS), system))
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

/// A client that connects by `first` until a server turns up that this one does not trust, and by `otherwise` from then on.
/// The call that found out fails, as one that could not connect: the SDK tries again, where it has attempts left.
#[derive(Debug)]
pub struct TrustFallback {
    first: SharedHttpClient,
    // Whom it trusts is read when it is first used.
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
        if self.gave_way.load(Ordering::Relaxed) {
            return self.otherwise.http_connector(settings, components);
        }
        let first = self.first.http_connector(settings, components);
        SharedHttpConnector::new(GivingWay { first, gave_way: self.gave_way.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.first.connector_metadata()
    }
}

#[derive(Debug)]
struct GivingWay {
    first: SharedHttpConnector,
    gave_way: Arc<AtomicBool>,
}

impl HttpConnector for GivingWay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri = request.uri().to_owned();
        let answer = self.first.call(request);
        let gave_way = self.gave_way.clone();
        HttpConnectorFuture::new(answer.inspect_err(move |error| {
            if is_untrusted(error) && !gave_way.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    uri,
                    "Amazon's authorities do not vouch for AWS here: trusting the system's from now on"
                );
            }
        }))
    }
}

/// Whether a connection was refused because of the server's certificate, and others than those trusted could vouch for
/// it. What is wrong with a chain need not be its end: a certificate on the way to an unknown authority may have expired.
pub fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
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
