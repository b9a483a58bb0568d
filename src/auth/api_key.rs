//! API keys: what one looks like, so that a scanner can find a leaked one, and a mistyped one costs no look-up.
//!
//! ```text
//! key = "ppk_" id "_" secret checksum       id: 8, secret: 40, checksum: 6 of 0-9 A-Z a-z
//! ```
//! The checksum is CRC-32 of all before it. The secret has 238 bits; what is kept is the SHA-256 of the whole key.

use super::{Digest, digest};

const PREFIX: &str = "ppk_";
const ID: usize = 8;
const SECRET: usize = 40;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A new key. Its text is shown once.
#[derive(Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public part, by which it is listed and revoked.
    pub id: String,
    pub text: String,
    /// What is kept in its place.
    pub digest: Digest,
}

impl ApiKey {
    /// Makes a key.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn generate() -> Result<Self, String> {
        let mut digits = String::with_capacity(ID + SECRET);
        while digits.len() < ID + SECRET {
            let mut bytes = [0; 64];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the machine gives no randomness for a key")?;
            // 248 is the largest multiple of 62 below 256: every digit is as likely as another.
            let even = bytes.iter().filter(|byte| **byte < 248).map(|byte| DIGITS[usize::from(byte % 62)]);
            digits.extend(even.take(ID + SECRET - digits.len()).map(char::from));
        }
        let (id, secret) = digits.split_at(ID);
        let mut text = format!("{PREFIX}{id}_{secret}");
        text.push_str(&checksum(&text));
        Ok(Self { id: id.to_owned(), digest: digest(text.as_bytes()), text })
    }

    /// The id of a key that is well formed; whether it exists is another question.
    #[must_use]
    pub fn id(text: &str) -> Option<&str> {
        let rest = text.strip_prefix(PREFIX)?;
        let (id, behind) = rest.split_once('_')?;
        let fits = id.len() == ID
            && behind.len() == SECRET + CHECKSUM
            && id.bytes().chain(behind.bytes()).all(|byte| byte.is_ascii_alphanumeric());
        let (before, sum) = text.split_at_checked(text.len().checked_sub(CHECKSUM)?)?;
        (fits && checksum(before) == sum).then_some(id)
    }
}

fn checksum(text: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    let mut left = crc.sum();
    let mut out = [b'0'; CHECKSUM];
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_knows_its_form() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(ApiKey::id(&key.text), Some(&*key.id));
        assert_eq!(key.text.len(), 4 + ID + 1 + SECRET + CHECKSUM);
        assert_ne!(key.text, ApiKey::generate().unwrap().text);
        let mut mistyped = key.text.clone();
        let last = if mistyped.pop() == Some('a') { 'b' } else { 'a' };
        mistyped.push(last);
        for bad in ["", "ppk_", "ppk__", &mistyped, &key.text[1..], &format!("{}x", key.text), "ppk_ä"] {
            assert_eq!(ApiKey::id(bad), None, "{bad}");
        }
    }
}
