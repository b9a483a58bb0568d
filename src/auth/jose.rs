//! A signed token in compact form, taken apart and not yet believed (RFC 7515, 7519; RFC 8725 for what not to take).
//!
//! ```text
//! token     = header "." claims "." signature      each base64url without padding, canonical
//! header    = JSON object: alg, kid?, typ? ("JWT" or "at+jwt"); crit, b64, zip, cty are refused; jku, x5u, jwk are
//!             never looked at: a token does not choose its own key
//! ```

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::{Refused, json};

/// The longest token that is looked at.
pub const MOST_BYTES: usize = 8 << 10;
/// The longest `kid`.
const MOST_KID: usize = 256;

/// A token taken apart. Nothing in it is to be believed before its signature is checked.
#[derive(Debug)]
pub struct Token<'a> {
    /// Header and claims as they were signed.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
}

/// Takes a token apart.
///
/// # Errors
/// What is wrong with its form.
pub fn parse(text: &str) -> Result<Token<'_>, Refused> {
    // Before anything is decoded.
    if text.len() > MOST_BYTES {
        return Err(Refused::TooLong { bytes: text.len(), most: MOST_BYTES });
    }
    let parts = "it is three parts of base64url between two dots";
    let (signed, signature) = text.rsplit_once('.').ok_or(Refused::Malformed(parts))?;
    let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed(parts))?;
    if claims.contains('.') {
        return Err(Refused::Malformed("it has more than three parts; encrypted tokens are not taken"));
    }
    let header =
        object(header).ok_or(Refused::Malformed("its header is not a JSON object of distinct members"))?;
    let (algorithm, kid) = self::header(&header)?;
    if signature.is_empty() {
        return Err(Refused::Malformed("it has no signature"));
    }
    if URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(Refused::Malformed("its signature is not base64url"));
    }
    let claims =
        object(claims).ok_or(Refused::Malformed("its claims are not a JSON object of distinct members"))?;
    Ok(Token { signed, signature, algorithm, kid, claims })
}

fn object(part: &str) -> Option<Map<String, Value>> {
    json::object(&URL_SAFE_NO_PAD.decode(part).ok()?)
}

fn header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), Refused> {
    for (name, words) in [
        ("crit", "critical extensions (crit)"),
        ("b64", "an unencoded payload (b64)"),
        ("zip", "compression (zip)"),
        ("enc", "encryption (enc)"),
    ] {
        if header.contains_key(name) {
            return Err(Refused::Extension(words));
        }
    }
    match header.get("cty") {
        None => {}
        Some(Value::String(cty)) if cty.eq_ignore_ascii_case("json") => {}
        Some(_) => return Err(Refused::Extension("a token inside a token (cty)")),
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ))
            if ["jwt", "at+jwt", "application/at+jwt"].iter().any(|fine| typ.eq_ignore_ascii_case(fine)) => {}
        Some(_) => return Err(Refused::Malformed("its typ is not JWT")),
    }
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MOST_KID => Some(kid.clone()),
        Some(_) => return Err(Refused::Malformed("its kid is not a short text")),
    };
    let algorithm =
        header.get("alg").and_then(Value::as_str).and_then(algorithm).ok_or(Refused::Algorithm)?;
    Ok((algorithm, kid))
}

/// The algorithms there are. `none` is not one of them, in any spelling.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}
