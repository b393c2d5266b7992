//! A test certificate authority, and the certificate of the stand-in for AWS. Both are created for one run.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

type BoxError = Box<dyn Error>;

/// Bundles of the authorities that a system trusts: on Debian, and on Amazon Linux (as in Lambda).
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
/// The roots that are compiled into the functions.
const AMAZON_ROOTS: &[u8] = include_bytes!("../../../shared/src/aws/amazon-roots.pem");

pub struct Authority {
    /// Accepts connections with a certificate that the authority has signed.
    pub acceptor: TlsAcceptor,
    pub trusted: Trusted,
}

/// PEM files for the functions to trust. Each contains the test authority, and about as many other certificates as the
/// SDK of that language loads in Lambda.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The test authority only, for Node.js. Its other authorities are compiled in.
    pub authority: PathBuf,
    /// Amazon's roots and the test authority, for the functions of this repository.
    pub with_amazon: PathBuf,
    /// The system's authorities and the test authority, for Python. The SDK for Python brings a bundle of a similar size.
    /// `None` if the system has no bundle.
    pub with_system: Option<PathBuf>,
}

impl Authority {
    /// Creates an authority and a certificate for 127.0.0.1, and writes the PEM files to `folder`. Errors name the file.
    pub fn create(folder: &Path) -> Result<Self, BoxError> {
        // The names differ: OpenSSL treats a certificate with the name of its issuer as self-signed.
        let mut parameters = CertificateParams::new([])?;
        parameters.distinguished_name.push(DnType::CommonName, "authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(["127.0.0.1".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "server");
        let server = server.signed_by(&key, &authority)?;

        let write = |name: &str, text: &[u8]| {
            fs::write(folder.join(name), text)
                .map_err(|error| format!("{}: {error}", folder.join(name).display()))
        };
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let authority = authority.pem().into_bytes();
        write("authority.pem", &authority)?;
        let system = SYSTEM_BUNDLES.iter().find_map(|path| fs::read(path).ok());
        if let Some(system) = &system {
            write("with-system.pem", &[system, &b"\n"[..], &authority].concat())?;
        }
        write("with-amazon.pem", &[AMAZON_ROOTS, b"\n", &authority].concat())?;
        Ok(Self {
            acceptor: acceptor(vec![server.der().clone()], key.into())?,
            trusted: Trusted {
                authority: folder.join("authority.pem"),
                with_amazon: folder.join("with-amazon.pem"),
                with_system: system.map(|_| folder.join("with-system.pem")),
            },
        })
    }
}

/// Accepts TLS connections with this certificate chain. `key` belongs to the first certificate.
pub fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, BoxError> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
