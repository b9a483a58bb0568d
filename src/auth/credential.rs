//! The credentials that a call brings: a bearer token (RFC 6750), an API key, or both. Other schemes of `Authorization` are
//! not the gateway's: they are passed on and say nothing here.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{Digest, Refused, digest, jose::MOST_BYTES};

/// The header of an API key.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a call brings to say who sends it; at least one of them is there.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    pub(super) bearer: Option<Credential<'a>>,
    pub(super) key: Option<Credential<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Credential<'a> {
    pub(super) text: &'a str,
    pub(super) digest: Digest,
}

impl<'a> Presented<'a> {
    /// Reads a call's credentials; `None` where it has none.
    ///
    /// # Errors
    /// A header that comes twice, or is not what it should be, or is longer than any credential.
    pub fn read(metadata: &'a HeaderMap) -> Result<Option<Self>, Refused> {
        let bearer =
            match one(metadata, &AUTHORIZATION, "there are two Authorization headers; one is wanted")? {
                Some(value) => bearer(value)?.map(credential).transpose()?,
                None => None,
            };
        let key = match one(metadata, &API_KEY, "there are two X-API-Key headers; one is wanted")? {
            Some(value) => Some(credential(text(value, "the X-API-Key header is not a key")?)?),
            None => None,
        };
        Ok((bearer.is_some() || key.is_some()).then_some(Self { bearer, key }))
    }
}

fn one<'a>(
    metadata: &'a HeaderMap,
    name: &HeaderName,
    twice: &'static str,
) -> Result<Option<&'a HeaderValue>, Refused> {
    let mut values = metadata.get_all(name).into_iter();
    let value = values.next();
    if values.next().is_some() { Err(Refused::Header(twice)) } else { Ok(value) }
}

fn bearer(value: &HeaderValue) -> Result<Option<&str>, Refused> {
    let bytes = value.as_bytes();
    let scheme = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Ok(None);
    }
    let written = value.to_str().map_err(|_| Refused::Header("the Authorization header is not text"))?;
    let token = written.get("bearer".len()..).unwrap_or_default().trim_matches(' ');
    match token {
        "" => Err(Refused::Header("the Authorization header has no token behind Bearer")),
        token if token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') => Ok(Some(token)),
        _ => Err(Refused::Header("the Authorization header has more than one token behind Bearer")),
    }
}

fn text<'a>(value: &'a HeaderValue, wrong: &'static str) -> Result<&'a str, Refused> {
    let text = value.to_str().map_err(|_| Refused::Header(wrong))?;
    if text.is_empty() { Err(Refused::Header(wrong)) } else { Ok(text) }
}

fn credential(text: &str) -> Result<Credential<'_>, Refused> {
    if text.len() > MOST_BYTES {
        return Err(Refused::TooLong { bytes: text.len(), most: MOST_BYTES });
    }
    Ok(Credential { text, digest: digest(text.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_or_refused() {
        type Found<'a> = Option<(Option<&'a str>, Option<&'a str>)>;
        let check = |rows: &[(&'static str, &[u8])], want: Result<Found<'_>, &str>| {
            let mut metadata = HeaderMap::new();
            for (name, value) in rows {
                metadata.append(*name, HeaderValue::from_bytes(value).unwrap());
            }
            let got = Presented::read(&metadata).map_err(|refused| refused.to_string());
            let got = got.map(|found| {
                found.map(|found| (found.bearer.map(|bearer| bearer.text), found.key.map(|key| key.text)))
            });
            assert_eq!(got, want.map_err(str::to_owned), "{rows:?}");
        };
        check(&[], Ok(None));
        check(&[("authorization", b"Basic dTpw")], Ok(None));
        check(&[("authorization", b"")], Ok(None));
        check(&[("authorization", b"Bearer a.b.c")], Ok(Some((Some("a.b.c"), None))));
        check(&[("authorization", b"bEARER   abc ")], Ok(Some((Some("abc"), None))));
        check(&[("authorization", b"Bearerabc")], Ok(None));
        check(&[("x-api-key", b"k")], Ok(Some((None, Some("k")))));
        check(&[("authorization", b"Bearer a"), ("x-api-key", b"k")], Ok(Some((Some("a"), Some("k")))));
        let none = "the Authorization header has no token behind Bearer";
        check(&[("authorization", b"Bearer")], Err(none));
        check(&[("authorization", b"Bearer  ")], Err(none));
        let more = "the Authorization header has more than one token behind Bearer";
        check(&[("authorization", b"Bearer a b")], Err(more));
        check(&[("authorization", b"Bearer a, Bearer b")], Err(more));
        check(&[("authorization", b"Bearer \xc3\xa4")], Err("the Authorization header is not text"));
        check(
            &[("authorization", b"Bearer a"), ("authorization", b"Bearer a")],
            Err("there are two Authorization headers; one is wanted"),
        );
        check(&[("x-api-key", b"")], Err("the X-API-Key header is not a key"));
        check(
            &[("x-api-key", b"a"), ("x-api-key", b"b")],
            Err("there are two X-API-Key headers; one is wanted"),
        );
        let long = [&b"Bearer "[..], &[b'a'; MOST_BYTES + 1]].concat();
        check(&[("authorization", &long)], Err("the credential is 8193 bytes long; the most is 8192"));
    }
}
