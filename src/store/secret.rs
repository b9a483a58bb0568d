//! What must not be shown: digests of credentials, password hashes and private keys, which logs never print.

use std::fmt;

use aws_lc_rs::digest;

/// The SHA-256 digest of a credential (an API key, a refresh token): all that is kept of it. Such credentials are
/// long and random, so that a digest cannot be guessed back; passwords are not, and have [`PasswordHash`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of a credential as its bearer shows it.
    #[must_use]
    pub fn of(credential: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, credential).as_ref());
        Self(bytes)
    }

    /// As it is kept: 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        crate::auth::hex(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// A password's Argon2id hash, as a PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Bytes of a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Private(pub Vec<u8>);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_digested_and_not_shown() {
        // FIPS 180-2, B.1
        let digest = Digest::of(b"abc");
        assert_eq!(digest.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let shown =
            format!("{digest:?} {:?} {:?}", PasswordHash("$argon2id$x".into()), Private(vec![107, 107, 107]));
        assert_eq!(shown, "Digest(…) PasswordHash(…) Private(…)");
    }
}
