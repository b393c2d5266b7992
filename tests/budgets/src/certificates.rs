//! A certificate authority of our own, and the certificate of the AWS on loopback, made for a run.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

type Failure = Box<dyn Error>;

/// Where systems keep the authorities that they trust: Debian, and Amazon Linux (as in Lambda).
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
/// What our functions have compiled in.
const AMAZON_ROOTS: &[u8] = include_bytes!("../../../shared/src/aws/amazon-roots.pem");

/// An authority, and a server that it vouches for.
pub struct Authority {
    /// What accepts TLS.
    pub acceptor: TlsAcceptor,
    /// What to trust.
    pub trusted: Trusted,
}

/// Files of certificates, in PEM: as many as each SDK reads in Lambda, and the authority's.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The authority's alone. Node.js has those that it trusts compiled in, and adds this one.
    pub authority: PathBuf,
    /// Behind Amazon's roots, which our functions have compiled in and trust first.
    pub with_amazon: PathBuf,
    /// Behind those that the system trusts, where it has a bundle of them: the SDK for Python comes with as many.
    pub with_system: Option<PathBuf>,
}

impl Authority {
    /// Makes one, and a certificate for 127.0.0.1; the files go into this folder. Errors name the file.
    pub fn create(folder: &Path) -> Result<Self, Failure> {
        // Two names: OpenSSL takes a certificate that is its issuer's namesake for one that signs itself.
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

/// Accepts TLS with this chain of certificates, and the key of the first.
pub fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, Failure> {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
