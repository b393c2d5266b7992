//! The server's side of Cognito's variant of SRP.

use aws_smithy_types::base64;
use hmac::{Hmac, KeyInit, Mac};
use num_bigint::BigUint;
use replay::doctor::srp::N;
use sha2::{Digest, Sha256};

/// A sign-in that waits for the proof of the client.
#[derive(Clone, Debug)]
pub struct Challenge {
    client: BigUint,
    verifier: BigUint,
    private: BigUint,
    public: BigUint,
}

/// The salt of every user, in hexadecimal digits.
pub const SALT: &str = "5d4c3b2a1f0e6d3c8b5f0e1c77a4dbf2";

impl Challenge {
    /// The challenge for SRP_A of a client. `identity` is the pool's name and the user.
    pub fn new(client: &str, identity: &str, password: &str) -> Self {
        let (modulus, generator) = (number(N), BigUint::from(2_u32));
        let inner = Sha256::digest(format!("{identity}:{password}"));
        let secret = hash(&[&padded(&number(SALT)), inner.as_slice()]);
        let verifier = generator.modpow(&secret, &modulus);
        let private = hash(&[client.as_bytes()]);
        let multiplier = hash(&[&padded(&modulus), &padded(&generator)]);
        let public = (multiplier * &verifier + generator.modpow(&private, &modulus)) % &modulus;
        Self { client: number(client), verifier, private, public }
    }

    /// SRP_B.
    pub fn public(&self) -> String {
        self.public.to_str_radix(16)
    }

    /// The only signature that proves the password. `message` is what the client signs.
    pub fn signature(&self, message: &[u8]) -> String {
        let modulus = number(N);
        let scrambling = hash(&[&padded(&self.client), &padded(&self.public)]);
        let base = &self.client * self.verifier.modpow(&scrambling, &modulus);
        let shared = base.modpow(&self.private, &modulus);
        let extracted = hmac(&padded(&scrambling), &padded(&shared));
        let key = hmac(&extracted, b"Caldera Derived Key\x01");
        base64::encode(hmac(&key[..16], message))
    }
}

fn number(digits: &str) -> BigUint {
    BigUint::parse_bytes(digits.as_bytes(), 16).unwrap()
}

/// With a zero byte in front if the highest bit is set.
fn padded(number: &BigUint) -> Vec<u8> {
    let bytes = number.to_bytes_be();
    if bytes[0] >= 0x80 { [&[0], bytes.as_slice()].concat() } else { bytes }
}

fn hash(parts: &[&[u8]]) -> BigUint {
    BigUint::from_bytes_be(&Sha256::digest(parts.concat()))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hmac.chain_update(message).finalize().into_bytes().to_vec()
}
