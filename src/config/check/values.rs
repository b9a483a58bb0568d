//! Texts that stand for something: addresses, times, origins, services. Each is read by a function of the text alone, whose
//! error says what is wrong with it and what it should look like.

use std::{net::SocketAddr, time::Duration};

use jiff::SignedDuration;

use crate::config::{Address, mistake::Mistake};

/// Parses a listen address: `HOST:PORT` with an IP address, or `localhost:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits(port) && port.parse::<u16>().is_err() {
            format!(" (the port {port} is not within 0 to 65535)")
        } else if digits(port) && host.is_empty() {
            " (0.0.0.0 is every IPv4 address of the machine, [::] every address)".to_owned()
        } else if digits(text) {
            " (no IP address)".to_owned()
        } else if digits(port) {
            format!(" ({host:?} is not an IP address)")
        } else {
            " (no port)".to_owned()
        };
        format!("{text:?} is not an address to listen on{why}; it is IP:PORT, such as 127.0.0.1:8080")
    })
}

/// Parses an upstream's address: `http://HOST:PORT` (plain HTTP/2; `grpc://`, `h2c://` and no scheme are the same) or
/// `https://HOST:PORT` (`grpcs://` is the same).
///
/// # Errors
/// The text is not such an address.
pub fn upstream_address(text: &str) -> Result<Address, String> {
    address_of(text, "a gRPC upstream's")
}

/// The same of an upstream that speaks plain HTTP.
///
/// # Errors
/// The text is not such an address.
pub(super) fn http_address(text: &str) -> Result<Address, String> {
    address_of(text, "an HTTP upstream's")
}

fn address_of(text: &str, whose: &str) -> Result<Address, String> {
    if has_credentials(text) {
        return Err(
            "the address has a user or a password; credentials go into the upstream's metadata".to_owned()
        );
    }
    let wrong = |why: &str| {
        format!("{text:?} is not {whose} address ({why}); it is http://HOST:PORT or https://HOST:PORT")
    };
    let uri: http::Uri = match text.contains("://") {
        true => text.parse(),
        false => format!("http://{text}").parse(),
    }
    .map_err(|error| wrong(&format!("{error}")))?;
    let tls = match uri.scheme_str() {
        Some("http" | "grpc" | "h2c") => false,
        Some("https" | "grpcs") => true,
        other => return Err(wrong(&format!("scheme {}", other.unwrap_or("missing")))),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it has a path"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(
            "the address has a user or a password; credentials go into the upstream's metadata".to_owned()
        );
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
    if let Some(port) = port_beyond(&uri) {
        return Err(wrong(&format!("the port {port} is not within 1 to 65535")));
    }
    let port = uri.port_u16().or(tls.then_some(443)).ok_or_else(|| wrong("no port"))?;
    if port == 0 {
        return Err(wrong("port 0"));
    }
    Ok(Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
}

/// A port that is none: a number that no port has.
fn port_beyond(uri: &http::Uri) -> Option<&str> {
    let (_, port) = uri.authority()?.as_str().rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (digits && port.parse::<u16>().is_err()).then_some(port)
}

/// Whether an address has a user or a password: it is not shown then.
pub(in crate::config) fn has_credentials(text: &str) -> bool {
    let behind = text.split_once("://").map_or(text, |(_, behind)| behind);
    behind.split('/').next().unwrap_or_default().contains('@')
}

/// What a clock of the gateway can tell from nothing, and what it can add to now without coming to its end.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Parses a time from a millisecond to ten years, such as `3s`.
///
/// # Errors
/// The text is not such a time.
pub fn time(text: &str) -> Result<Duration, String> {
    let wrong =
        |why: &str| format!("{text:?} is not a time{why}; it is a number with a unit, such as 500ms, 3s, 2m");
    let time = text.parse::<SignedDuration>().map_err(|_| {
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        wrong(if bare { " (it has no unit)" } else { "" })
    })?;
    match Duration::try_from(time) {
        Ok(time) if time.is_zero() => Err(format!("{text:?} is no time at all; it is longer than 0s")),
        Ok(time) if time < SHORTEST => Err(format!("{text:?} is too short; the shortest time is 1ms")),
        Ok(time) if time > LONGEST => {
            Err(format!("{text:?} is too long; the longest time is 87600h, ten years"))
        }
        Ok(time) => Ok(time),
        Err(_) => Err(wrong(" (it is negative)")),
    }
}

/// A service's full name, or a prefix that ends in `*`.
pub(super) fn service_pattern(text: String) -> Result<String, String> {
    let name = text.strip_suffix(".*").or_else(|| text.strip_suffix('*')).unwrap_or(&text);
    let fits = name.split('.').all(|part| {
        part.chars()
            .enumerate()
            .all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()))
    });
    if fits && !text.is_empty() {
        return Ok(text);
    }
    Err(format!("{text:?} is not a service: it is package.Service, or a prefix such as package.*"))
}

/// An origin as a browser writes it, in lower case and without the port that its scheme has anyway. The mistake has no path
/// yet.
pub(super) fn origin(text: &str) -> Result<String, Mistake> {
    let uri = text.parse::<http::Uri>().ok();
    let whole = uri.as_ref().and_then(|uri| {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let port = uri.port_u16().filter(|port| Some(*port) != usual);
        Some(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
    });
    let lower = text.to_ascii_lowercase();
    let wrong = |why: &str| {
        let message = format!("{text:?} is not an origin{why}; it is scheme://host[:port], or \"*\" alone");
        Mistake::new("", message).meaning(whole.clone())
    };
    match (&whole, &uri) {
        _ if matches!(text, "*" | "loopback") => {
            Err(Mistake::new("", format!("{text:?} stands alone, without other origins")))
        }
        _ if text.contains('*') => {
            let message = format!(
                "{text:?} is never an origin: it is one host, and \"*\" stands alone, for any origin"
            );
            Err(Mistake::new("", message))
        }
        (Some(whole), _) if *whole == lower => Ok(lower),
        _ if !text.contains("://") && !text.is_empty() => {
            let named = lower.contains('.') || lower.starts_with("localhost");
            let meant = origin(&format!("https://{lower}")).or_else(|mistake| mistake.suggestion.ok_or(()));
            Err(wrong(" (it has no scheme)").meaning(meant.ok().filter(|_| named)))
        }
        (_, Some(uri)) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            Err(wrong(" (it has a user)"))
        }
        (Some(_), Some(uri)) if uri.query().is_some() || uri.path() != "/" => Err(wrong(" (it has a path)")),
        (Some(_), _) if text.ends_with('/') => Err(wrong(" (it has a slash at its end)")),
        (Some(_), Some(uri)) if uri.port().is_some() => {
            Err(wrong(" as browsers write it (they leave out the port that the scheme has anyway)"))
        }
        _ => Err(wrong("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_write() {
        let check = |text: &str, want: Result<&str, (&str, Option<&str>)>| match (origin(text), want) {
            (Ok(origin), Ok(want)) => assert_eq!(origin, want),
            (Err(mistake), Err((why, meant))) => {
                assert!(mistake.message.contains(why), "{text}: {}", mistake.message);
                assert_eq!(mistake.suggestion.as_deref(), meant, "{text}");
            }
            (other, _) => panic!("{text}: {other:?}"),
        };
        check("https://a.example", Ok("https://a.example"));
        check("HTTPS://A.Example:8443", Ok("https://a.example:8443"));
        check("http://[::1]:3000", Ok("http://[::1]:3000"));
        check("app://main", Ok("app://main"));
        check("https://a.example/", Err(("a slash at its end", Some("https://a.example"))));
        check("https://a.example/x", Err(("it has a path", Some("https://a.example"))));
        check("https://a.example?x", Err(("it has a path", Some("https://a.example"))));
        check("https://a.example:443", Err(("leave out the port", Some("https://a.example"))));
        check("a.example", Err(("it has no scheme", Some("https://a.example"))));
        check("https://*.a.example", Err(("it is one host", None)));
        check("*", Err(("stands alone", None)));
        check("https://u@a.example", Err(("it has a user", Some("https://a.example"))));
        check("", Err(("is not an origin", None)));
        check("null", Err(("it has no scheme", None)));
        check("app.example/login", Err(("it has no scheme", Some("https://app.example"))));
        check("localhost:3000", Err(("it has no scheme", Some("https://localhost:3000"))));
    }

    #[test]
    fn times_are_what_a_clock_can_tell() {
        let check = |text: &str, want: Result<u64, &str>| match (time(text), want) {
            (Ok(time), Ok(want)) => assert_eq!(time.as_millis(), u128::from(want), "{text}"),
            (Err(why), Err(want)) => assert!(why.contains(want), "{text}: {why}"),
            (other, _) => panic!("{text}: {other:?}"),
        };
        check("1ms", Ok(1));
        check("1m 30s", Ok(90_000));
        check("1ns", Err("the shortest time is 1ms"));
        check("999us", Err("the shortest time is 1ms"));
        check("0s", Err("no time at all"));
        check("-3s", Err("it is negative"));
        check("30", Err("it has no unit"));
        check("90000h", Err("the longest time is 87600h"));
        check("9999999999999999h", Err(""));
    }
}
