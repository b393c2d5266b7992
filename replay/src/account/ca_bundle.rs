//! The certificate authorities of `AWS_CA_BUNDLE`, or of `ca_bundle` in the profile. As in the AWS CLI, they
//! replace those of the system.

use anyhow::{Context, Result, bail};
use aws_config::profile::Profile;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared::config::Environment;

/// The certificate authorities for all calls, STS and sign-in included, in PEM. `None` without a bundle.
/// Errors name the variable or setting, and the file.
pub fn roots(environment: &Environment, profile: Option<&Profile>) -> Result<Option<String>> {
    let variable = environment.optional("AWS_CA_BUNDLE").map(|path| ("AWS_CA_BUNDLE", path));
    let setting = || Some(("ca_bundle in the AWS configuration", profile?.get("ca_bundle")?.trim()));
    let Some((place, path)) = variable.or_else(setting).filter(|(_, path)| !path.is_empty()) else {
        return Ok(None);
    };
    let roots = std::fs::read(path).map_err(anyhow::Error::from).and_then(|pem| readable_certificates(&pem));
    roots.map(Some).with_context(|| format!("{place}: {path}"))
}

/// The certificates that the TLS library can read, in PEM. A bundle of a company can contain older ones
/// that it cannot.
fn readable_certificates(pem: &[u8]) -> Result<String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let Ok(certificates) = certificates else { bail!("not a file of certificates in PEM") };
    let (mut store, mut roots) = (RootCertStore::empty(), String::new());
    for certificate in certificates {
        let base64 = aws_smithy_types::base64::encode(&certificate);
        if store.add(certificate).is_ok() {
            roots += &format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        }
    }
    if roots.is_empty() {
        bail!("the file has no certificate in PEM");
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use shared::aws::trust::AMAZON_ROOTS;

    use super::*;

    #[test]
    fn unreadable_certificates_are_left_out() {
        let unreadable = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let pem = [AMAZON_ROOTS, b"\n", unreadable.as_bytes()].concat();
        let roots = readable_certificates(&pem).unwrap();
        assert_eq!(roots.matches("BEGIN").count(), 5);
        assert_eq!(readable_certificates(roots.as_bytes()).unwrap(), roots);
        for (pem, problem) in [
            ("", "the file has no certificate in PEM"),
            ("text", "the file has no certificate in PEM"),
            (unreadable, "the file has no certificate in PEM"),
            (
                "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
                "not a file of certificates in PEM",
            ),
        ] {
            assert_eq!(readable_certificates(pem.as_bytes()).unwrap_err().to_string(), problem);
        }
    }
}
