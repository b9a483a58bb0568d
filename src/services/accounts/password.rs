//! Passwords: which will do, and their Argon2id hashes, made and verified away from the threads that serve calls, a few
//! at once.

use std::{sync::Arc, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use tokio::{sync::Semaphore, time::timeout};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use unicode_normalization::UnicodeNormalization as _;

use crate::store::PasswordHash;

pub(super) const LEAST: usize = 8;
pub(super) const MOST: usize = 128;
/// No character has more bytes than four, and none composes from more than this.
const MOST_BYTES: usize = MOST * 4 * 4;
/// How long a password waits for its turn.
const WAIT: Duration = Duration::from_secs(5);

/// The passwords that are tried first, as far as they are long enough to get here (the most common of several published
/// lists).
const COMMON: &str = "
    12345678 123456789 1234567890 password password1 password123 passw0rd p@ssw0rd qwertyuiop qwerty123 qwerty12 1q2w3e4r
    1q2w3e4r5t 1qaz2wsx 1qazxsw2 q1w2e3r4 zaq12wsx abcd1234 abc12345 abcdefgh a1b2c3d4 iloveyou iloveyou1 princess sunshine
    football baseball superman batman123 trustno1 welcome1 welcome123 letmein1 letmein123 dragon123 monkey123 master123
    admin123 admin1234 administrator adminadmin rootroot changeme changeme1 changeme123 default1 secret123 whatever
    computer internet starwars michelle jennifer jessica1 charlie1 michael1 jordan23 mustang1 corvette maverick midnight
    11111111 00000000 22222222 55555555 66666666 77777777 88888888 99999999 12121212 11223344 87654321 987654321 0987654321
    123123123 112233445566 147258369 123456789a 12345678a a12345678 a123456789 aa123456 aaaaaaaa asdfghjk asdfghjkl
    asdf1234 asdfasdf zxcvbnm1 zxcvbnm123 qazwsxedc qwer1234 qwertyui 1234qwer q1w2e3r4t5 test1234 testtest guest123
    passwort kennwort hallo123 motdepasse azertyuiop contraseña senha123 parola123 wachtwoord";

/// Hashes and verifies.
#[derive(Debug, Clone)]
pub struct Passwords {
    hasher: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// The hash of a password that nobody has: what is verified where there is no account, so that it takes as long.
    nobody: PasswordHash,
}

impl Passwords {
    /// Argon2id as OWASP recommends it: 19 MiB, two passes; `at_once` of them at the same time.
    ///
    /// # Errors
    /// The machine gives no randomness.
    pub fn new(at_once: usize) -> Result<Self, String> {
        Self::with(Params::default(), at_once)
    }

    pub(super) fn with(params: Params, at_once: usize) -> Result<Self, String> {
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&hasher, &super::session::random_text(32)?)?;
        Ok(Self { hasher, turns: Arc::new(Semaphore::new(at_once.max(1))), nobody })
    }

    /// The hash of a password that [`check`] has taken.
    ///
    /// # Errors
    /// UNAVAILABLE where too many wait.
    pub(in crate::services) async fn hash(&self, password: String) -> Result<PasswordHash, Status> {
        let hasher = self.hasher.clone();
        self.in_turn(move || hash(&hasher, &password)).await
    }

    /// True where the password has this hash. Without one it takes as long, and is false.
    ///
    /// # Errors
    /// UNAVAILABLE where too many wait.
    pub(in crate::services) async fn verify(
        &self,
        password: &str,
        known: Option<&PasswordHash>,
    ) -> Result<bool, Status> {
        let (hasher, exists) = (self.hasher.clone(), known.is_some());
        let hash = known.unwrap_or(&self.nobody).clone();
        // What is too long is nobody's; cut, it takes as long as another.
        let fits = password.len() <= MOST_BYTES;
        let password = composed(if fits { password } else { "" });
        let same = self
            .in_turn(move || {
                let hash =
                    phc::PasswordHash::new(&hash.0).map_err(|error| format!("a password's hash: {error}"))?;
                Ok(hasher.verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(same && exists && fits)
    }

    /// True for a hash that was made with other parameters than today's.
    pub(in crate::services) fn outdated(&self, hash: &PasswordHash) -> bool {
        let Ok(hash) = phc::PasswordHash::new(&hash.0) else { return true };
        Params::try_from(&hash).is_ok_and(|params| {
            let now = self.hasher.params();
            (params.m_cost(), params.t_cost(), params.p_cost()) != (now.m_cost(), now.t_cost(), now.p_cost())
        })
    }

    /// Runs one hash on a thread for such work, when it is its turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, Status> {
        let Ok(Ok(turn)) = timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await else {
            let details = ErrorDetails::with_retry_info(Some(WAIT));
            let message = "too many passwords are being checked just now; try again";
            return Err(Status::with_error_details(Code::Unavailable, message, details));
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            // Held by the work itself: who gives up waiting does not make room that is not there.
            drop(turn);
            done
        });
        match done.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(why)) => {
                tracing::error!("{why}");
                Err(Status::internal("a password could not be checked"))
            }
            Err(_) => Err(Status::unavailable("the gateway is stopping")),
        }
    }
}

fn hash(hasher: &Argon2<'_>, password: &str) -> Result<PasswordHash, String> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| "the machine gives no randomness for a salt")?;
    let hash: phc::PasswordHash = hasher
        .hash_password_with_salt(composed(password).as_bytes(), &salt)
        .map_err(|error| format!("a password could not be hashed: {error}"))?;
    Ok(PasswordHash(hash.to_string()))
}

/// As it is hashed: the same however a keyboard composes it.
fn composed(password: &str) -> String {
    password.nfc().collect()
}

/// A password that will do for this e-mail's account.
///
/// # Errors
/// What is wrong with it.
pub(in crate::services) fn check(password: &str, email: &str) -> Result<String, String> {
    if password.len() > MOST_BYTES {
        return Err(format!("it has at most {MOST} characters"));
    }
    let password = composed(password);
    let length = password.chars().count();
    if length < LEAST {
        return Err(format!("it has {length} characters; at least {LEAST} are needed"));
    }
    if length > MOST {
        return Err(format!("it has {length} characters; at most {MOST} are taken"));
    }
    if password.contains('\0') {
        return Err("it has no NUL".to_owned());
    }
    let lower = password.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    if COMMON.split_ascii_whitespace().any(|common| common == lower) || characters.all(|c| Some(c) == first) {
        return Err("it is one of the most common ones; take another".to_owned());
    }
    let local = email.split('@').next().unwrap_or_default();
    if !email.is_empty() && (lower == email.to_lowercase() || lower == local.to_lowercase()) {
        return Err("it is the e-mail address; take another".to_owned());
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_will_do() {
        for good in [
            "Correct-Horse-7",
            "tr0ub4dor&3",
            "пароль-длинный",
            "🦀🦀🦀🦀🦀🦀🦀x",
            "        x",
            &"xy".repeat(64),
        ] {
            assert!(check(good, "a@b.example").is_ok(), "{good}");
        }
        // Eight code points once composed, whatever they were before.
        assert!(check("e\u{301}e\u{301}e\u{301}abcd", "").is_err());
        assert_eq!(check("e\u{301}abcdefg", "").unwrap(), "éabcdefg");
        for (bad, why) in [
            ("", "it has 0 characters; at least 8"),
            ("short12", "it has 7 characters; at least 8"),
            (&*"x1".repeat(65), "it has 130 characters; at most 128"),
            (&*"x".repeat(1 << 20), "it has at most 128"),
            ("Password1", "it is one of the most common"),
            ("CHANGEME", "it is one of the most common"),
            ("zzzzzzzzzzzz", "it is one of the most common"),
            ("abc\0defgh", "it has no NUL"),
            ("Alice@b.example", "it is the e-mail"),
            ("alice.and.bob", "it is the e-mail"),
        ] {
            let email = if bad == "alice.and.bob" { "Alice.and.Bob@b.example" } else { "alice@b.example" };
            let got = check(bad, email).unwrap_err();
            assert!(got.starts_with(why), "{bad:?}: {got}");
        }
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_alone() {
        let cheap = Params::new(64, 1, 1, None).unwrap();
        let passwords = Passwords::with(cheap, 2).unwrap();
        let hash = passwords.hash("Jose\u{301}-Horse-7".to_owned()).await.unwrap();
        assert!(hash.0.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{}", hash.0);
        for (password, want) in [("José-Horse-7", true), ("jose-Horse-7", false), ("", false)] {
            assert_eq!(passwords.verify(password, Some(&hash)).await.unwrap(), want, "{password}");
            assert!(!passwords.verify(password, None).await.unwrap());
        }
        assert!(!passwords.verify(&"x".repeat(1 << 20), Some(&hash)).await.unwrap());
        assert!(!passwords.outdated(&hash));
        let other = Passwords::with(Params::new(128, 1, 1, None).unwrap(), 2).unwrap();
        assert!(other.outdated(&hash) && other.verify("José-Horse-7", Some(&hash)).await.unwrap());
        assert_ne!(hash, passwords.hash("José-Horse-7".to_owned()).await.unwrap(), "each has its own salt");
        let broken = passwords.verify("x", Some(&PasswordHash("nonsense".into()))).await.unwrap_err();
        assert_eq!((broken.code(), broken.message()), (Code::Internal, "a password could not be checked"));
    }
}
