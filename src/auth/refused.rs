//! Why a credential is not good, in words for the one who sent it.

use std::fmt;

/// A credential that is refused. The words say what is wrong with it and never what is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The header that carries it is not what it should be.
    Header(&'static str),
    /// Longer than any token that is read.
    TooLong {
        bytes: usize,
        most: usize,
    },
    /// Not a token: `what` is wrong with its form.
    Malformed(&'static str),
    /// Its `alg` is none that its key takes.
    Algorithm,
    /// It wants an extension to be understood (`crit`, `b64`, `zip`, `cty`).
    Extension(&'static str),
    /// Nobody who is trusted here issued it.
    Issuer,
    /// No key of its issuer has signed it.
    Signature,
    /// It is for somebody else.
    Audience,
    Expired,
    NotYet,
    /// A claim that is missing, or is not of its type.
    Claim(String),
    /// An API key or a static token that is not known.
    Unknown,
    Revoked,
    /// What is wrong with the client certificate.
    Certificate(&'static str),
    /// Two credentials that name different callers.
    Disagree,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(what) => f.write_str(what),
            Self::TooLong { bytes, most } => {
                write!(f, "the credential is {bytes} bytes long; the most is {most}")
            }
            Self::Malformed(what) => write!(f, "the token is malformed: {what}"),
            Self::Algorithm => f.write_str("the token's algorithm is not taken here"),
            Self::Extension(what) => write!(f, "the token wants {what}, which is not taken here"),
            Self::Issuer => f.write_str("the token's issuer is not trusted here"),
            Self::Signature => f.write_str("the token's signature does not fit"),
            Self::Audience => f.write_str("the token is for another audience"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYet => f.write_str("the token is not valid yet"),
            Self::Claim(what) => write!(f, "the token's claims are wrong: {what}"),
            Self::Unknown => f.write_str("the credential is not known here"),
            Self::Revoked => f.write_str("the credential has been revoked"),
            Self::Certificate(what) => write!(f, "the client certificate {what}"),
            Self::Disagree => f.write_str("the request has two credentials, which name different callers"),
        }
    }
}

/// What keeps a credential from being verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// It is not good.
    Refused(Refused),
    /// It cannot be told: what must be asked is away.
    Away(String),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
