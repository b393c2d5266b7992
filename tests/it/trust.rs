//! The certificate authorities that the functions trust, over TLS on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use budgets::aws::Aws;
use budgets::certificates::{Authority, acceptor};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use shared::aws::trust::{AMAZON_ROOTS, TrustFallback, client_trusting};
use workers::cache_invalidation::distribution::Distribution;

/// An AWS whose certificate is from another authority than Amazon.
struct Service {
    aws: Aws,
    /// A client that trusts that authority.
    knowing: SharedHttpClient,
}

async fn service() -> Service {
    let folder = tempfile::tempdir().unwrap();
    let Authority { acceptor, trusted } = Authority::create(folder.path()).unwrap();
    let knowing = client_trusting(&std::fs::read(trusted.authority).unwrap());
    Service { aws: Aws::start(Some(acceptor)).await, knowing }
}

/// A client that counts its uses.
#[derive(Clone, Debug)]
struct Counted(SharedHttpClient, Arc<AtomicUsize>);

impl Counted {
    fn new(client: SharedHttpClient) -> Self {
        Self(client, Arc::default())
    }

    fn uses(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl HttpClient for Counted {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.http_connector(settings, components)
    }
}

/// Sends a message with the client `first`, then with the fallback, in two attempts.
struct Sender {
    first: Counted,
    fallback: Counted,
    client: Client,
}

impl Sender {
    fn new(url: &str, first: SharedHttpClient, fallback: SharedHttpClient) -> Self {
        let (first, fallback) = (Counted::new(first), Counted::new(fallback));
        let both =
            TrustFallback::new(SharedHttpClient::new(first.clone()), SharedHttpClient::new(fallback.clone()));
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(shared::aws::behavior_version())
            .credentials_provider(Credentials::for_tests())
            .endpoint_url(url)
            .http_client(both)
            .region(Region::from_static("eu-central-1"))
            .retry_config(
                RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1)),
            );
        Self { first, fallback, client: Client::from_conf(config.build()) }
    }

    async fn send(&self) -> Result<(), String> {
        let queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/queue";
        let sent = self.client.send_message().queue_url(queue).message_body("{}").send().await;
        sent.map(|_| ()).map_err(|error| shared::aws::cause(&error).to_string())
    }

    /// Uses of each client.
    fn uses(&self) -> (usize, usize) {
        (self.first.uses(), self.fallback.uses())
    }
}

#[tokio::test]
async fn unknown_authority_switches_to_the_systems_authorities() {
    let Service { aws, knowing } = service().await;
    let sender = Sender::new(&aws.url(), client_trusting(AMAZON_ROOTS), knowing);
    for _ in 0..3 {
        sender.send().await.unwrap();
    }
    assert_eq!(sender.uses(), (1, 3));
    assert_eq!(aws.take_calls().by_operation["SendMessage"], 3, "SQS accepted each message once");
}

#[tokio::test]
async fn known_authority_needs_no_fallback() {
    let Service { aws, knowing } = service().await;
    let sender = Sender::new(&aws.url(), knowing, client_trusting(AMAZON_ROOTS));
    for _ in 0..3 {
        sender.send().await.unwrap();
    }
    assert_eq!(sender.uses(), (3, 0));
}

#[tokio::test]
async fn untrusted_authority_is_refused_each_time() {
    let Service { aws, .. } = service().await;
    let sender = Sender::new(&aws.url(), client_trusting(AMAZON_ROOTS), client_trusting(AMAZON_ROOTS));
    for _ in 0..2 {
        let error = sender.send().await.unwrap_err();
        assert!(error.contains("UnknownIssuer"), "{error}");
    }
    assert_eq!(sender.uses(), (1, 3));
    assert_eq!(aws.take_calls().count(), 0, "no request was sent to it");
}

#[tokio::test]
async fn other_failures_do_not_use_the_fallback() {
    let Service { aws, knowing } = service().await;
    // The certificate is for 127.0.0.1.
    let wrong_name = aws.url().replace("127.0.0.1", "localhost");
    for (url, reason) in [(wrong_name.as_str(), "not valid for name"), ("https://127.0.0.1:1", "refused")] {
        let sender = Sender::new(url, knowing.clone(), client_trusting(AMAZON_ROOTS));
        let error = sender.send().await.unwrap_err();
        assert!(error.contains(reason), "{url}: {error}");
        assert_eq!(sender.uses(), (2, 0), "{url}");
    }
    assert_eq!(aws.take_calls().count(), 0);
}

/// CreateInvalidation has one attempt, so that no item is charged twice.
#[tokio::test]
async fn invalidation_with_an_unknown_authority_is_made_once() {
    let Service { aws, knowing } = service().await;
    let config = aws_sdk_cloudfront::Config::builder()
        .behavior_version(shared::aws::behavior_version())
        .credentials_provider(Credentials::for_tests())
        .endpoint_url(aws.url())
        .http_client(TrustFallback::new(client_trusting(AMAZON_ROOTS), knowing))
        .region(Region::from_static("us-east-1"));
    let client = aws_sdk_cloudfront::Client::from_conf(config.build());
    let distribution = Distribution::new(client, "E2EXAMPLE1ABCD".to_owned());
    distribution.invalidate(&["/*".to_owned()], "reference").await.unwrap();
    assert_eq!(aws.take_calls().by_operation["CreateInvalidation"], 1);
}

/// Another authority once cross-signed a root that the system trusts. The server still sends that
/// certificate, which has expired. A client that does not know the root sees only the expired one.
#[tokio::test]
async fn expired_cross_signature_above_a_trusted_root_is_accepted() {
    let authority = |name: &str| {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    };
    let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let older = CertifiedIssuer::self_signed(authority("older"), KeyPair::generate().unwrap()).unwrap();
    let mut expired = authority("root");
    (expired.not_before, expired.not_after) = (date_time_ymd(2010, 1, 1), date_time_ymd(2020, 1, 1));
    let expired = expired.signed_by(root.key(), &older).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
    let chain = vec![server.der().clone(), expired.der().clone()];
    let aws = Aws::start(Some(acceptor(chain, key.into()).unwrap())).await;

    let knowing = client_trusting(root.pem().as_bytes());
    let sender = Sender::new(&aws.url(), client_trusting(AMAZON_ROOTS), knowing);
    sender.send().await.unwrap();
    assert_eq!(sender.uses(), (1, 1));
}

/// Amazon Trust Services: <https://www.amazontrust.com/repository/>.
#[test]
fn roots_are_those_that_amazon_publishes() {
    let published = [
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e", // Amazon Root CA 1
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4", // Amazon Root CA 2
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4", // Amazon Root CA 3
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092", // Amazon Root CA 4
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5", // Starfield Services G2
    ];
    let certificates = CertificateDer::pem_slice_iter(AMAZON_ROOTS).map(Result::unwrap);
    let compiled_in: Vec<String> = certificates
        .map(|certificate| Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02x}")).collect())
        .collect();
    assert_eq!(compiled_in, published);
}
