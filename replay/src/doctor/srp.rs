//! Cognito's variant of SRP (Secure Remote Password): the client proves that it knows the password without
//! sending it. Pure, except for the random number of [`Srp::new`].
//!
//! Source: AWS's own clients (amazon-cognito-identity-js, `AuthenticationHelper.js`, and Amplify for Android),
//! and RFC 5054 for the group. It is not constant-time: it is only for passwords of users that the run
//! creates and deletes.

use anyhow::{Context, Result, bail};
use aws_smithy_types::base64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use num_bigint::BigUint;
use sha2::{Digest, Sha256};

/// The 3072-bit group of RFC 5054, whose generator is [`G`]. Cognito uses this group.
pub const N: &str = "\
FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";
const G: u32 = 2;

/// Information of the key derivation (HKDF), with the number of its only block.
const KEY_INFO: &[u8] = b"Caldera Derived Key\x01";
/// Bytes of the key with which the proof is signed.
const KEY_BYTES: usize = 16;

/// The client's side of one sign-in.
pub struct Srp {
    modulus: BigUint,
    private: BigUint,
    public: BigUint,
}

/// The parameters of the challenge PASSWORD_VERIFIER.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    /// USER_ID_FOR_SRP.
    pub user: &'a str,
    /// SALT, in hexadecimal digits.
    pub salt: &'a str,
    /// SRP_B, in hexadecimal digits.
    pub public: &'a str,
    /// SECRET_BLOCK, in base64.
    pub secret_block: &'a str,
}

impl Srp {
    /// With a random private number of 256 bits.
    pub fn new() -> Result<Self> {
        let mut private = [0; 32];
        getrandom::fill(&mut private).context("random numbers")?;
        Self::with_private(&private)
    }

    fn with_private(private: &[u8]) -> Result<Self> {
        let modulus = hexadecimal(N)?;
        let private = BigUint::from_bytes_be(private);
        let public = BigUint::from(G).modpow(&private, &modulus);
        Ok(Self { modulus, private, public })
    }

    /// SRP_A of InitiateAuth, in hexadecimal digits.
    pub fn public(&self) -> String {
        self.public.to_str_radix(16)
    }

    /// PASSWORD_CLAIM_SIGNATURE, in base64. `pool_name` is the part of the user pool's id after `_`, and
    /// `timestamp` the value of TIMESTAMP.
    pub fn signature(
        &self,
        challenge: &Challenge<'_>,
        pool_name: &str,
        password: &str,
        timestamp: &str,
    ) -> Result<String> {
        let key = self.key(challenge, pool_name, password)?;
        let block = base64::decode(challenge.secret_block).context("SECRET_BLOCK is not base64")?;
        let parts = [pool_name.as_bytes(), challenge.user.as_bytes(), &block, timestamp.as_bytes()];
        Ok(base64::encode(hmac(&key, &parts)?))
    }

    fn key(&self, challenge: &Challenge<'_>, pool_name: &str, password: &str) -> Result<Vec<u8>> {
        let server = hexadecimal(challenge.public).context("SRP_B")?;
        if &server % &self.modulus == BigUint::ZERO {
            bail!("Cognito's answer is not secure: SRP_B is 0");
        }
        let generator = BigUint::from(G);
        let multiplier = hash(&[&padded(&self.modulus), &padded(&generator)]);
        let scrambling = hash(&[&padded(&self.public), &padded(&server)]);
        let identity = Sha256::digest(format!("{pool_name}{}:{password}", challenge.user));
        let secret = hash(&[&padded(&hexadecimal(challenge.salt).context("SALT")?), identity.as_slice()]);
        let verifier = generator.modpow(&secret, &self.modulus);
        // The difference is taken modulo N, and must not become negative.
        let subtracted = (multiplier * verifier) % &self.modulus;
        let base = (server % &self.modulus + &self.modulus - subtracted) % &self.modulus;
        let shared = base.modpow(&(&self.private + &scrambling * secret), &self.modulus);
        let extracted = hmac(&padded(&scrambling), &[&padded(&shared)])?;
        let mut key = hmac(&extracted, &[KEY_INFO])?;
        key.truncate(KEY_BYTES);
        Ok(key)
    }
}

/// SECRET_HASH of a client with a secret, in base64.
pub fn secret_hash(secret: &str, username: &str, client_id: &str) -> Result<String> {
    Ok(base64::encode(hmac(secret.as_bytes(), &[username.as_bytes(), client_id.as_bytes()])?))
}

/// TIMESTAMP as Cognito expects it: in English, and a day without a leading zero.
pub fn timestamp(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("%a %b %-d %H:%M:%S UTC %Y").to_string()
}

fn hexadecimal(digits: &str) -> Result<BigUint> {
    BigUint::parse_bytes(digits.as_bytes(), 16).context("not a hexadecimal number")
}

/// The bytes of a number. If the highest bit is set, a zero byte comes first, as in the byte array of Java's
/// BigInteger.
fn padded(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    match bytes.first() {
        Some(first) if *first >= 0x80 => [&[0], bytes.as_slice()].concat(),
        _ => bytes,
    }
}

fn hash(parts: &[&[u8]]) -> BigUint {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    BigUint::from_bytes_be(&hash.finalize())
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).context("key of an HMAC")?;
    parts.iter().for_each(|part| hmac.update(part));
    Ok(hmac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "7d8ca528-4931-4254-9273-ea5ee853f271";
    const SALT: &str = "9dbf2a4c77e10f5b8c3d6e1f0a2b4c5d";
    /// SRP_B for the password `Correct-Horse-7`, with SHA-256("b") as the private number of the server.
    const SERVER: &str = "\
6f1457851392b8a44f1d34ac48cb86cb690943cee9d397a4df522ee1937ce863133659900d140f4bf8927e7d6e1271d2\
835e69ef813abcb65a6e509c38938166711fef107491cbb6cf2f5cf721ebe30b3a62f03b0ce087e1480aaea5b1d13d4c\
a560f2675a79c77f55ddb75d859bd9e3ee80195b9eeeb093bc60499e3044a72a09eafda4f3cad5e1cacd2342bc966d0c\
391eff71678c04a62d5489c0058ac288446effe71afe9068ce8060161edac039ec57ccc655a02469e1a441da5751907a\
fb7459cd26af120d2c277c7c7b62a5f61d06ce3517a1158e366d5da40d9a139632104aa16152810ac360a0a95338a7d0\
e045b8803290da27d10501f0b2e725a8360377bbd1b00cc7bdbbb0e7c25825762a290fc721ef7bf6f2fb337ad1dc2e92\
8f07fdd828d7872b5ed2ca0fc7f93decaa4c3f71f62dab2211411ddc3386f608f8476efcdb834a65fedb8e938828b120\
d9553a837ad42d2d4c5eaa6898a9d9c23d8b122d0c33eabf49bce410150f554653a8b5810145159b7d143f7673b5f388";

    /// SHA-256("a") as the private number.
    fn srp() -> Srp {
        Srp::with_private(&Sha256::digest("a")).unwrap()
    }

    fn challenge(public: &str) -> Challenge<'_> {
        // `secret block`
        Challenge { user: USER, salt: SALT, public, secret_block: "c2VjcmV0IGJsb2Nr" }
    }

    /// The expected values are those of tests/e2e/srp.py, whose sign-ins MiniStack accepts.
    #[test]
    fn signature_is_that_of_another_implementation() {
        let srp = srp();
        assert!(srp.public().starts_with("99d85c9db5bc2fe41afbeeee50c481a9d26b8c26"));
        let time = timestamp("2026-03-02T09:05:07Z".parse().unwrap());
        assert_eq!(time, "Mon Mar 2 09:05:07 UTC 2026");
        let signature = srp.signature(&challenge(SERVER), "EXAMPLE12", "Correct-Horse-7", &time).unwrap();
        assert_eq!(signature, "Ps/TwfzT0zH/B3SE6gcNYCpmp4oZ3GPC6PlIkmwVBwI=");
        let other = srp.signature(&challenge(SERVER), "EXAMPLE12", "Correct-Horse-8", &time).unwrap();
        assert_ne!(other, signature);
    }

    #[test]
    fn insecure_or_unreadable_challenges_are_refused() {
        for public in ["0", N, "", "xyz"] {
            assert!(srp().signature(&challenge(public), "EXAMPLE12", "x", "y").is_err(), "{public}");
        }
    }

    #[test]
    fn two_sign_ins_have_different_numbers() {
        assert_ne!(Srp::new().unwrap().public(), Srp::new().unwrap().public());
    }

    /// Expected: `printf anaclient | openssl dgst -sha256 -hmac secret -binary | base64`.
    #[test]
    fn secret_hash_is_an_hmac_of_user_and_client() {
        assert_eq!(
            secret_hash("secret", "ana", "client").unwrap(),
            "gpYaeMoXSS9IvHXaT9s8abxoWL9KY/6BzvsnZsQ8xzs="
        );
    }
}
