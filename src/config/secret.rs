//! Secrets: read once, when the config is loaded, from where the config says they are; never shown.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    sync::{Arc, LazyLock},
};

use super::{environment::Environment, nearby::read_up_to};

/// A shorter one can be guessed, whatever it is for.
const LEAST_BYTES: usize = 8;
/// A longer file is something else.
const MOST_BYTES: u64 = 64 << 10;

/// What examples and templates have in the place of a secret: how it begins.
const PLACEHOLDERS: [&str; 14] = [
    "changeme",
    "changethis",
    "changeit",
    "replaceme",
    "placeholder",
    "yoursecret",
    "yourtoken",
    "yourapikey",
    "yourpassword",
    "yoursuper",
    "yourjwt",
    "supersecret",
    "insertyour",
    "todo",
];

/// And what it has anywhere.
const ADMONITIONS: [&str; 6] =
    ["changeme", "changethis", "changeinprod", "changebeforeprod", "notforproduction", "secretkeyhere"];

/// A text that is not shown: neither by `Debug` nor in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Arc<str>,
    file: Option<Arc<Path>>,
}

/// Where a secret is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reference<'a> {
    Variable(&'a str),
    File(&'a Path),
}

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.into(), file: None }
    }

    /// What stands for a secret that is not there, where nobody is called with it: nobody can know it.
    pub(super) fn stand_in() -> Self {
        let part = || RandomState::new().hash_one(());
        Self::new(&format!("{:016x}{:016x}{:016x}{:016x}", part(), part(), part(), part()))
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read; what it holds is not in the message.
    pub(super) fn read(reference: Reference<'_>, environment: &Environment) -> Result<Self, String> {
        let text = match reference {
            Reference::Variable(name) => environment
                .get(name)
                .ok_or_else(|| format!("the environment variable {name} is not set"))?
                .to_owned(),
            Reference::File(file) => {
                let wrong = |why: &dyn fmt::Display| {
                    format!("the secret's file {} cannot be used: {why}", file.display())
                };
                let bytes = read_up_to(file, MOST_BYTES).map_err(|why| wrong(&why))?;
                let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not UTF-8 text"))?;
                // Editors of some systems put a mark of the byte order before a text.
                text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
            }
        };
        let text = text.trim_end_matches(['\n', '\r']);
        if text.is_empty() {
            return Err(match reference {
                Reference::Variable(name) => format!("the environment variable {name} is empty"),
                Reference::File(file) => format!("the secret's file {} is empty", file.display()),
            });
        }
        let file = match reference {
            Reference::Variable(_) => None,
            Reference::File(file) => Some(file.into()),
        };
        Ok(Self { text: text.into(), file })
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The file that it was read from, if it was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The same for the same text within one process; it does not tell the text.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        KEYS.hash_one(&self.text)
    }

    /// Why this is no secret: a placeholder of an example, or too short for any use.
    pub(super) fn weakness(&self) -> Option<String> {
        let bytes = self.bare().len();
        self.placeholder().or_else(|| {
            (bytes < LEAST_BYTES)
                .then(|| format!("it has {bytes} bytes; a secret has at least {LEAST_BYTES}"))
        })
    }

    /// `Bearer TOKEN` and `Basic …` are as strong as what stands behind the scheme.
    fn bare(&self) -> &str {
        let scheme = ["Bearer ", "Basic ", "Token "].iter().find(|scheme| self.text.starts_with(**scheme));
        self.text.get(scheme.map_or(0, |scheme| scheme.len())..).unwrap_or_default().trim()
    }

    /// Why this is no secret however long one has to be: for what says itself how long that is.
    pub(super) fn placeholder(&self) -> Option<String> {
        let text = self.bare();
        let plain: String =
            text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        let marked =
            text.starts_with('<') && text.ends_with('>') || text.starts_with("${") && text.ends_with('}');
        let known = PLACEHOLDERS.iter().any(|known| plain.starts_with(known))
            || ADMONITIONS.iter().any(|known| plain.contains(known));
        (marked || known || repeats(plain.as_bytes())).then(|| "it is a placeholder, not a secret".to_owned())
    }
}

/// `xxxx`, `secretsecret`: a word of at most eight letters again and again.
fn repeats(text: &[u8]) -> bool {
    (1..=8).any(|period| {
        let again = text.get(period..).unwrap_or_default();
        text.len() >= 2 * period && again.iter().zip(text).all(|(byte, before)| byte == before)
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(a secret)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn placeholders_and_short_ones_are_weak() {
        let check = |text: &str, want: Option<&str>| {
            let weakness = Secret::new(text).weakness();
            assert_eq!(weakness.is_some(), want.is_some(), "{text}: {weakness:?}");
            assert!(weakness.unwrap_or_default().contains(want.unwrap_or_default()), "{text}");
        };
        check("changeme", Some("placeholder"));
        check("Bearer change-me-in-production", Some("placeholder"));
        check("your-secret-key-here", Some("placeholder"));
        check("YOUR_API_KEY", Some("placeholder"));
        check("<token>", Some("placeholder"));
        check("${API_TOKEN}", Some("placeholder"));
        check("xxxxxxxxxxxxxxxx", Some("placeholder"));
        check("your-super-secret-jwt-key-which-is-long", Some("placeholder"));
        check("dev-secret-key-change-in-production-please", Some("placeholder"));
        check("secretsecretsecretsecretsecretsecret", Some("placeholder"));
        check("hunter2", Some("7 bytes"));
        check("Bearer abc", Some("3 bytes"));
        check("Bearer 5f2b8c1e9d", None);
        check("correct horse battery staple", None);
    }

    #[test]
    fn it_is_read_from_where_it_is_and_never_shown() {
        let environment: Environment = [("TOKEN", "5f2b8c1e9d"), ("EMPTY", "")].into_iter().collect();
        let of = |name| Secret::read(Reference::Variable(name), &environment);
        let token = of("TOKEN").unwrap();
        assert_eq!(token.expose(), "5f2b8c1e9d");
        assert_eq!(format!("{token:?} {environment:?}"), "(a secret) {\"EMPTY\", \"TOKEN\"}");
        assert_eq!(of("EMPTY").unwrap_err(), "the environment variable EMPTY is empty");
        assert_eq!(of("TOKENS").unwrap_err(), "the environment variable TOKENS is not set");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "5f2b8c1e9d\r\n").unwrap();
        let read = Secret::read(Reference::File(&file), &environment).unwrap();
        assert_eq!((read.expose(), read.file()), (token.expose(), Some(file.as_path())));
        let missing = Secret::read(Reference::File(&folder.path().join("tok")), &environment).unwrap_err();
        assert!(missing.contains("cannot be used: No such file"), "{missing}");
        fs::write(&file, "\u{feff}5f2b8c1e9d\n").unwrap();
        assert_eq!(Secret::read(Reference::File(&file), &environment).unwrap().expose(), token.expose());
        for (bytes, want) in [
            (&b"\xff\xfe5\0f\0"[..], "it is not UTF-8 text"),
            (&[b'a'; 65537], "it has more than 65536 bytes"),
            (b"\n", "is empty"),
        ] {
            fs::write(&file, bytes).unwrap();
            let refused = Secret::read(Reference::File(&file), &environment).unwrap_err();
            assert!(refused.contains(want), "{refused}");
        }
        let endless = Secret::read(Reference::File(Path::new("/dev/zero")), &environment).unwrap_err();
        assert!(endless.ends_with("it is a device or a pipe, not a file"), "{endless}");
    }
}
