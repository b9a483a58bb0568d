//! What a caller was told went wrong, as the log may have it. What a request holds is its sender's, and what an upstream says may
//! have anything in it: what is in quotes, and what addresses and credentials hide, is left out.

use std::borrow::Cow;

use tonic::Code;

use crate::call::Ended;

/// What stands before a credential.
const SCHEMES: [&str; 4] = ["bearer", "basic", "token", "apikey"];
/// Names whose values are nobody's business.
const SECRET: [&str; 9] =
    ["token", "key", "secret", "password", "passwd", "pwd", "signature", "authorization", "credential"];
const LEFT_OUT: &str = "\u{2026}";

/// What its caller was told. What is wrong with a request is said by the words of its query or body, in quotes, and these are
/// for nobody else to read.
pub(super) fn told<'a>(call: &Ended<'a>) -> Option<Cow<'a, str>> {
    let message = call.message?;
    if call.code != Some(Code::InvalidArgument) || !message.contains(['"', '`']) {
        return Some(without_secrets(message));
    }
    Some(without_secrets(&unquoted(message)).into_owned().into())
}

/// Without what is in quotes or between backticks, which is what a request said.
fn unquoted(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let (mut open, mut escaped) = (None, false);
    for c in message.chars() {
        match open {
            None => {
                out.push(c);
                open = Some(c).filter(|c| matches!(c, '"' | '`'));
            }
            // Nothing is escaped between backticks.
            Some(quote) if c == quote && (quote == '`' || !escaped) => {
                out.push_str(LEFT_OUT);
                out.push(c);
                open = None;
            }
            Some(_) => {}
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

/// Without the users, passwords and queries of addresses, and without what follows a name that says it is a credential.
fn without_secrets(text: &str) -> Cow<'_, str> {
    if !text.contains(['?', '=', '@']) && !SCHEMES.iter().any(|scheme| has(text, scheme)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut hides = false;
    for word in text.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let space = word.get(bare.len()..).unwrap_or_default();
        if hides && bare.len() >= LEAST_CREDENTIAL {
            out.push_str(LEFT_OUT);
        } else {
            masked(bare, &mut out);
        }
        out.push_str(space);
        hides = SCHEMES.iter().any(|scheme| bare.eq_ignore_ascii_case(scheme));
    }
    out.into()
}

/// What is shorter is a word.
const LEAST_CREDENTIAL: usize = 8;

fn has(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// One word without what it hides.
fn masked(word: &str, out: &mut String) {
    let mut rest = word;
    if let Some((scheme, after)) = word.split_once("://") {
        out.push_str(scheme);
        out.push_str("://");
        let host = after.split(['/', '?', '#']).next().unwrap_or_default();
        rest = match host.rsplit_once('@') {
            Some((user, _)) => {
                out.push_str(LEFT_OUT);
                after.get(user.len()..).unwrap_or_default()
            }
            None => after,
        };
    }
    // The query of an address or of a path.
    if let Some((before, _)) =
        rest.split_once('?').filter(|(before, _)| before.contains('/') || rest.len() < word.len())
    {
        out.push_str(before);
        out.push('?');
        out.push_str(LEFT_OUT);
        return;
    }
    let named = rest
        .split_once(['=', ':'])
        .filter(|(name, value)| value.len() > 1 && SECRET.iter().any(|secret| has(name, secret)));
    match named {
        Some((name, _)) => {
            out.push_str(rest.get(..=name.len()).unwrap_or_default());
            out.push_str(LEFT_OUT);
        }
        None => out.push_str(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_said_is_left_out() {
        let check = |text: &str, want: &str| assert_eq!(unquoted(text), want, "{text}");
        check("code: `S3CRET` is not an int32 (line 1)", "code: `\u{2026}` is not an int32 (line 1)");
        check("has no field `a\"b` but \"c\\\"`d\"", "has no field `\u{2026}` but \"\u{2026}\"");
        check("ends in `nothing", "ends in `");
        check("nothing is said", "nothing is said");
    }

    #[test]
    fn what_addresses_and_credentials_hide_is_left_out() {
        let check = |text: &str, want: &str| assert_eq!(without_secrets(text), want, "{text}");
        check("there is no book 7", "there is no book 7");
        check("is it? a = b, me@example.com", "is it? a = b, me@example.com");
        check(
            "cannot reach https://me:pw@h:1/a/b?token=x now",
            "cannot reach https://\u{2026}@h:1/a/b?\u{2026} now",
        );
        check("cannot reach https://h/a", "cannot reach https://h/a");
        check("GET /a/b?x=y\nfailed", "GET /a/b?\u{2026}\nfailed");
        check("api_key=abc and password:abc", "api_key=\u{2026} and password:\u{2026}");
        check("sent Bearer eyJhbGciOiJI.x.y again", "sent Bearer \u{2026} again");
        check("a bearer of news", "a bearer of news");
        check("key: value", "key: value");
    }
}
