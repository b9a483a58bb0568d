//! What a token claims, once its signature has been checked: when it is valid (RFC 7519, 4.1), for whom, and who its bearer
//! is, by paths that the config maps.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Means, Principal, Refused};

/// The last second of the year 9999: what is later is no time that anyone means.
const LAST: u64 = 253_402_300_799;
/// The most roles, permissions or scopes of one token.
const MOST: usize = 1000;

/// Where a token says who its bearer is. A path is a claim's name, or names with dots between them
/// (`realm_access.roles`); a claim whose own name has dots is found too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMap {
    pub id: String,
    pub email: Option<String>,
    pub roles: Vec<String>,
    pub permissions: Vec<String>,
    pub scopes: Vec<String>,
    pub tier: Option<String>,
}

impl Default for ClaimMap {
    /// The registered names alone: what makes somebody an administrator is mapped by the config, or not at all.
    fn default() -> Self {
        Self {
            id: "sub".to_owned(),
            email: Some("email".to_owned()),
            roles: Vec::new(),
            permissions: Vec::new(),
            scopes: vec!["scope".to_owned()],
            tier: None,
        }
    }
}

impl ClaimMap {
    /// As the gateway's own tokens have it.
    #[must_use]
    pub fn own() -> Self {
        Self {
            roles: vec!["roles".to_owned()],
            permissions: vec!["permissions".to_owned()],
            tier: Some("tier".to_owned()),
            ..Self::default()
        }
    }

    /// The caller that a token names.
    ///
    /// # Errors
    /// A claim is missing or of another type.
    pub fn principal(
        &self,
        claims: &Map<String, Value>,
        means: Means,
        times: Times,
    ) -> Result<Principal, Refused> {
        let id = match find(claims, &self.id) {
            Some(Value::String(id)) if !id.is_empty() => id.clone(),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            Some(_) => return Err(Refused::Claim(format!("{} is not a text", self.id))),
            None => return Err(Refused::Claim(format!("there is no {}", self.id))),
        };
        let text = |path: &Option<String>| match path.as_ref().map(|path| (path, find(claims, path))) {
            None | Some((_, None | Some(Value::Null))) => Ok(None),
            Some((_, Some(Value::String(text)))) => Ok(Some(Arc::from(text.as_str()))),
            Some((path, Some(_))) => Err(Refused::Claim(format!("{path} is not a text"))),
        };
        Ok(Principal {
            email: text(&self.email)?,
            roles: list(claims, &self.roles, false)?,
            permissions: list(claims, &self.permissions, false)?,
            scopes: list(claims, &self.scopes, true)?,
            tier: text(&self.tier)?,
            client: claims.get("client_id").and_then(Value::as_str).map(Arc::from),
            token_id: text(&Some("jti".to_owned()))?,
            session: text(&Some("sid".to_owned()))?,
            issued: times.issued,
            expires: Some(times.expires),
            ..Principal::new(id, means)
        }
        .told())
    }
}

/// A list: of texts, or one text, which is split at spaces where it is a scope (RFC 8693).
fn list(claims: &Map<String, Value>, paths: &[String], spaced: bool) -> Result<Vec<Arc<str>>, Refused> {
    let mut out: Vec<Arc<str>> = Vec::new();
    for path in paths {
        let wrong = || Refused::Claim(format!("{path} is not a list of texts"));
        match find(claims, path) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if spaced => out.extend(text.split_ascii_whitespace().map(Arc::from)),
            Some(Value::String(text)) => out.push(text.as_str().into()),
            Some(Value::Array(items)) => {
                for item in items {
                    out.push(item.as_str().ok_or_else(wrong)?.into());
                }
            }
            Some(_) => return Err(wrong()),
        }
        if out.len() > MOST {
            return Err(Refused::Claim(format!("{path} has more than {MOST} texts")));
        }
    }
    Ok(out)
}

/// The claim at a path: the longest name that fits goes first, so that `https://a.example/roles` is one name.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(at, _)| {
        let (name, rest) = path.split_at(at);
        find(claims.get(name)?.as_object()?, rest.get(1..)?)
    })
}

/// When a token is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub issued: Option<u64>,
    pub expires: u64,
}

impl Times {
    /// Reads `exp`, which must be there, `nbf` and `iat`, and compares them with the clock; `skew` seconds are forgiven. With a
    /// `lifetime` the token ends that many seconds after `iat`, which must be there then, if not before.
    ///
    /// # Errors
    /// It is not valid now, or one of them is not a time.
    pub fn read(
        claims: &Map<String, Value>,
        now: u64,
        skew: u64,
        lifetime: Option<u64>,
    ) -> Result<Self, Refused> {
        let missing = |name: &str| Refused::Claim(format!("there is no {name}"));
        let mut expires = seconds(claims, "exp")?.ok_or_else(|| missing("exp"))?;
        let issued = seconds(claims, "iat")?;
        if let Some(lifetime) = lifetime {
            expires = expires.min(issued.ok_or_else(|| missing("iat"))?.saturating_add(lifetime));
        }
        if now >= expires.saturating_add(skew) {
            return Err(Refused::Expired);
        }
        for begins in [seconds(claims, "nbf")?, issued].into_iter().flatten() {
            if begins > now.saturating_add(skew) {
                return Err(Refused::NotYet);
            }
        }
        Ok(Self { issued, expires })
    }
}

/// A NumericDate: a number of seconds, perhaps with a fraction, of a year that has four digits.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Refused> {
    let wrong = || Refused::Claim(format!("{name} is not a time in seconds"));
    let Some(value) = claims.get(name) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(wrong()) };
    let whole = match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was looked at"
        )]
        (None, Some(float)) if (0.0..=LAST as f64).contains(&float) => float as u64,
        _ => return Err(wrong()),
    };
    if whole > LAST { Err(wrong()) } else { Ok(Some(whole)) }
}

/// Those that `aud` names.
pub(super) fn audiences(claims: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let named = match claims.get("aud") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    named.iter().filter_map(Value::as_str)
}

/// Whether `aud` names one of those that are meant; a text or a list of texts (RFC 7519, 4.1.3).
pub(super) fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    self::audiences(claims).any(|text| audiences.iter().any(|own| own == text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_found_by_its_path() {
        let claims = json!({
            "role": "admin",
            "realm_access": { "roles": ["a", "b"], "x.y": "deep" },
            "https://a.example/roles": ["c"],
            "a.b": { "c": "dotted" },
        });
        let Value::Object(claims) = claims else { panic!("an object") };
        let check =
            |path: &str, want: Option<Value>| assert_eq!(find(&claims, path).cloned(), want, "{path}");
        check("role", Some(json!("admin")));
        check("realm_access.roles", Some(json!(["a", "b"])));
        check("https://a.example/roles", Some(json!(["c"])));
        check("realm_access.x.y", Some(json!("deep")));
        check("a.b.c", Some(json!("dotted")));
        check("role.x", None);
        check("", None);
        check(".", None);
        check("realm_access.", None);
    }

    #[test]
    fn times_are_times() {
        let check = |claims: Value, want: Result<u64, Refused>| {
            let Value::Object(map) = &claims else { panic!("an object") };
            assert_eq!(Times::read(map, 1000, 60, None).map(|times| times.expires), want, "{claims}");
        };
        let wrong = |name: &str| Err(Refused::Claim(format!("{name} is not a time in seconds")));
        check(json!({ "exp": 2000 }), Ok(2000));
        check(json!({ "exp": 2000.9, "nbf": 1060, "iat": 0 }), Ok(2000));
        check(json!({ "exp": 941 }), Ok(941));
        check(json!({ "exp": 940 }), Err(Refused::Expired));
        check(json!({ "exp": 2000, "nbf": 1061 }), Err(Refused::NotYet));
        check(json!({ "exp": 2000, "iat": 1061 }), Err(Refused::NotYet));
        check(json!({}), Err(Refused::Claim("there is no exp".into())));
        check(json!({ "exp": "2000" }), wrong("exp"));
        check(json!({ "exp": null }), wrong("exp"));
        check(json!({ "exp": -1 }), wrong("exp"));
        check(json!({ "exp": u64::MAX }), wrong("exp"));
        check(json!({ "exp": 1e300 }), wrong("exp"));
        check(json!({ "exp": 253_402_300_800_u64 }), wrong("exp"));
        check(json!({ "exp": 2000, "nbf": "0" }), wrong("nbf"));
    }

    #[test]
    fn a_lifetime_ends_what_its_own_exp_does_not() {
        let check = |claims: Value, want: Result<u64, Refused>| {
            let Value::Object(map) = &claims else { panic!("an object") };
            let read = Times::read(map, 1000, 60, Some(100)).map(|times| times.expires);
            assert_eq!(read, want, "{claims}");
        };
        check(json!({ "iat": 1000, "exp": 1050 }), Ok(1050));
        check(json!({ "iat": 1000, "exp": 4600 }), Ok(1100));
        check(json!({ "iat": 841, "exp": 4600 }), Ok(941));
        check(json!({ "iat": 840, "exp": 4600 }), Err(Refused::Expired));
        check(json!({ "exp": 1050 }), Err(Refused::Claim("there is no iat".into())));
    }
}
