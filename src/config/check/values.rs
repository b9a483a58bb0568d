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

/// Parses an upstream's address: `HOST:PORT`, `http://HOST:PORT` (plain HTTP/2) or `https://HOST:PORT`.
///
/// # Errors
/// The text is not such an address.
pub fn upstream_address(text: &str) -> Result<Address, String> {
    if has_credentials(text) {
        return Err(
            "the address has a user or a password; credentials go into the upstream's metadata".to_owned()
        );
    }
    let wrong = |why: &str| {
        format!(
            "{text:?} is not a gRPC upstream's address ({why}); it is http://HOST:PORT or https://HOST:PORT"
        )
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
    let port = uri.port_u16().or(tls.then_some(443)).ok_or_else(|| wrong("no port"))?;
    if port == 0 {
        return Err(wrong("port 0"));
    }
    Ok(Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
}

/// Whether an address has a user or a password: it is not shown then.
pub(in crate::config) fn has_credentials(text: &str) -> bool {
    let behind = text.split_once("://").map_or(text, |(_, behind)| behind);
    behind.split('/').next().unwrap_or_default().contains('@')
}

/// Parses a time that is longer than none, such as `3s`.
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

/// An origin as a browser writes it; the mistake has no path yet.
pub(super) fn origin(text: &str) -> Result<(), Mistake> {
    let uri = text.parse::<http::Uri>().ok();
    let fits = uri.as_ref().is_some_and(|uri| {
        uri.scheme().is_some()
            && uri.host().is_some()
            && !text.ends_with('/')
            && uri.query().is_none()
            && uri.path() == "/"
    });
    if fits {
        return Ok(());
    }
    let message = match text {
        "*" | "loopback" => format!("{text:?} stands alone, without other origins"),
        _ => format!("{text:?} is not an origin; it is scheme://host[:port] without a path, or \"*\" alone"),
    };
    let whole = uri.as_ref().and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
    Err(Mistake::new("", message).meaning(whole.filter(|_| text != "*")))
}
