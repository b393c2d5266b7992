//! A certificate authority of our own, and the certificate of the AWS on loopback, made with `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where systems keep the authorities that they trust: Debian, and Amazon Linux (as in Lambda).
const SYSTEM_BUNDLES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
const EXTENSIONS: &str = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n";

/// An authority, and a server that it vouches for.
pub struct Authority {
    /// What accepts TLS.
    pub acceptor: TlsAcceptor,
    /// The authority's certificate, in PEM.
    pub certificate: PathBuf,
    /// The same behind those that the system trusts: a function in Lambda reads as many.
    pub bundle: PathBuf,
}

impl Authority {
    /// Makes one in this folder. Errors say what is missing.
    pub fn create(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let write = |name: &str, text: &[u8]| {
            fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))
        };
        openssl(
            folder,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=Benchmark \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign \
             -keyout authority.key -out authority.pem",
        )?;
        openssl(
            folder,
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost \
             -keyout server.key -out server.csr",
        )?;
        write("extensions", EXTENSIONS.as_bytes())?;
        openssl(
            folder,
            "x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
             -extfile extensions -out server.pem",
        )?;
        let read = |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        let mut bundle = system_bundle().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        bundle.push(b'\n');
        bundle.extend(read("authority.pem")?);
        write("bundle.pem", &bundle)?;
        Ok(Self {
            acceptor: acceptor(&read("server.pem")?, &read("server.key")?)?,
            certificate: folder.join("authority.pem"),
            bundle: folder.join("bundle.pem"),
        })
    }
}

/// The system's bundle. Lambda has one as well; where a distribution also keeps every authority in a file of its own, a
/// function that looks for itself would read some 150 files that Lambda does not have.
pub fn system_bundle() -> Option<PathBuf> {
    SYSTEM_BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file())
}

fn openssl(folder: &Path, arguments: &str) -> Result<(), String> {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.map_err(|error| format!("openssl: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

fn acceptor(certificate: &[u8], key: &[u8]) -> Result<TlsAcceptor, String> {
    let certificate = CertificateDer::from_pem_slice(certificate).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| error.to_string())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
