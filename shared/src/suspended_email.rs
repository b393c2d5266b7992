//! The keyed hash under which the table keeps a suspended email address.
//!
//! The hash finds an address that signs up again, and does not give the address away: without the
//! key, no one can test whether the table has an address.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::{ConfigError, Environment};
use crate::email_domain::{Address, InvalidDomain};

/// The environment variable with the key.
pub const KEY_VARIABLE: &str = "SUSPENDED_EMAIL_KEY";
/// A shorter key could be guessed from the hash of a known address.
const MIN_KEY_CHARACTERS: usize = 32;
/// Domains of one provider that ignores dots in the local part. The first is its main domain.
const WITHOUT_DOTS: [&str; 2] = ["gmail.com", "googlemail.com"];

/// The key of the hash: SUSPENDED_EMAIL_KEY.
#[derive(Clone)]
pub struct SuspendedEmailKey(Hmac<Sha256>);

/// Does not show the key.
impl fmt::Debug for SuspendedEmailKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SuspendedEmailKey")
    }
}

impl SuspendedEmailKey {
    /// `None` if the variable is not set. The error does not quote the key.
    pub fn from_environment(environment: &Environment) -> Result<Option<Self>, ConfigError> {
        let Some(key) = environment.optional(KEY_VARIABLE) else { return Ok(None) };
        if key.chars().count() < MIN_KEY_CHARACTERS {
            let reason = format!(
                "the key has fewer than {MIN_KEY_CHARACTERS} characters. Use a random one, such as the \
                 output of `openssl rand -hex 32`"
            );
            return Err(ConfigError::new(KEY_VARIABLE, reason));
        }
        // HMAC takes keys of any length, so this does not fail.
        let hmac = Hmac::new_from_slice(key.as_bytes());
        hmac.map(|hmac| Some(Self(hmac)))
            .map_err(|_| ConfigError::new(KEY_VARIABLE, "is not usable as a key"))
    }
}

/// The hash of a suspended email address: HMAC-SHA-256 of the normalized address, as 64 lower-case
/// hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SuspendedEmailHash(String);

impl SuspendedEmailHash {
    /// All spellings that `docs/data-model.md` makes equal have the same hash.
    pub fn of(address: &str, key: &SuspendedEmailKey) -> Result<Self, InvalidDomain> {
        let address = normalize(address)?;
        let mut mac = key.0.clone();
        mac.update(address.as_bytes());
        let digits = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(digits))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form in which two spellings of a mailbox are compared:
///
/// 1. without white space around the address
/// 2. local part in lower case, domain as A-labels in lower case
/// 3. without the first `+` of the local part and what follows it. A local part that starts with
///    `+` stays complete, so that different mailboxes do not become equal.
/// 4. for gmail.com and googlemail.com: without dots in the local part, and with gmail.com
///
/// A few providers distinguish mailboxes by what follows a `+`. Their mailboxes are equal here.
fn normalize(address: &str) -> Result<String, InvalidDomain> {
    let address = Address::parse(address.trim())?;
    let (local_part, domain) = (address.local_part(), address.domain().as_str());
    let local_part = match local_part.split_once('+') {
        Some(("", _)) | None => local_part,
        Some((mailbox, _)) => mailbox,
    };
    if WITHOUT_DOTS.contains(&domain) {
        return Ok(format!("{}@{}", local_part.replace('.', ""), WITHOUT_DOTS[0]));
    }
    Ok(format!("{local_part}@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn key(value: &str) -> Result<Option<SuspendedEmailKey>, ConfigError> {
        SuspendedEmailKey::from_environment(&Environment::from_iter([(KEY_VARIABLE, value)]))
    }

    #[test]
    fn spellings_of_one_mailbox_are_normalized_to_the_same_address() {
        for (address, normalized) in [
            ("ana@example.com", Ok("ana@example.com")),
            (" Ana@Example.COM.\n", Ok("ana@example.com")),
            ("ANA+shop@example.com", Ok("ana@example.com")),
            ("ana+a+b@example.com", Ok("ana@example.com")),
            ("ana+@example.com", Ok("ana@example.com")),
            ("+ana@example.com", Ok("+ana@example.com")),
            ("+Ben+a@example.com", Ok("+ben+a@example.com")),
            ("a.n.a@example.com", Ok("a.n.a@example.com")),
            ("ana@bücher.example", Ok("ana@xn--bcher-kva.example")),
            ("a.n.a@gmail.com", Ok("ana@gmail.com")),
            ("A.na+x.y@GoogleMail.com", Ok("ana@gmail.com")),
            ("a.na@mail.gmail.com", Ok("a.na@mail.gmail.com")),
            ("ana", Err(InvalidDomain)),
            ("\"ana\"@example.com", Err(InvalidDomain)),
            ("an a@example.com", Err(InvalidDomain)),
            ("", Err(InvalidDomain)),
        ] {
            assert_eq!(normalize(address), normalized.map(str::to_owned), "{address:?}");
        }
    }

    /// Expected: `printf ana@example.com | openssl dgst -sha256 -hmac KEY`.
    #[test]
    fn hash_is_hmac_sha_256_of_the_normalized_address() {
        let hash = |address: &str, value: &str| {
            SuspendedEmailHash::of(address, &key(value).unwrap().unwrap()).unwrap().as_str().to_owned()
        };
        let expected = "0e9166fe256f8cdc412827b7c18d7aea62940e8e6e34abc49621bca671190ebe";
        for spelling in ["ana@example.com", "ANA+shop@example.com", "ana@Example.com."] {
            assert_eq!(hash(spelling, KEY), expected, "{spelling}");
        }
        assert_ne!(hash("ben@example.com", KEY), expected);
        assert_ne!(hash("ana@example.com", &KEY.replace('0', "1")), expected, "another key");
    }

    #[test]
    fn key_is_long_enough_and_never_shown() {
        assert!(key(" ").unwrap().is_none());
        let short = &KEY[1..];
        let error = key(short).unwrap_err().to_string();
        assert!(error.starts_with("SUSPENDED_EMAIL_KEY: the key has fewer than 32 characters. "), "{error}");
        assert!(!error.contains(short), "{error}");
        assert_eq!(format!("{:?}", key(KEY).unwrap().unwrap()), "SuspendedEmailKey");
    }
}
