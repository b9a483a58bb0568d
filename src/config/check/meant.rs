//! What was likely meant by a pattern, a subject or a network that is none.

use crate::{
    auth::{Network, Pattern, Subject},
    schema::nearest,
};

/// A pattern that was likely meant: a verb in capitals, a dot for a slash, stars where a prefix ends.
pub(super) fn pattern_meant(text: &str) -> Option<String> {
    let upper = || {
        let (verb, path) = text.split_once(' ')?;
        Some(format!("{} {}", verb.to_ascii_uppercase(), path.trim_start()))
    };
    let candidates = [
        upper(),
        Some(text.trim().trim_start_matches('/').to_owned()),
        text.strip_suffix("/*").map(|package| format!("{package}.*")),
        text.rsplit_once('#').map(|(service, method)| format!("{service}/{method}")),
        (text.matches('/').count() > 1).then(|| format!("/{text}")),
        text.strip_suffix("**").map(|prefix| format!("{prefix}*")),
    ];
    candidates.into_iter().flatten().find(|meant| meant != text && Pattern::parse(meant).is_ok())
}

/// The kinds of subjects.
const SUBJECTS: [&str; 6] = ["user", "role", "tier", "key", "issuer", "network"];

/// A subject that was likely meant.
pub(super) fn subject_meant(text: &str) -> Option<String> {
    let Some((kind, name)) = text.split_once([':', '=']) else {
        return match Network::parse(text) {
            Ok(_) => Some(format!("network:{text}")),
            Err(_) => nearest(text, ["loopback"]).map(str::to_owned),
        };
    };
    let name = name.trim();
    let near = nearest(kind.trim(), SUBJECTS)?;
    let name = if near == "network" {
        network_meant(name).unwrap_or_else(|| name.to_owned())
    } else {
        name.to_owned()
    };
    let meant = format!("{near}:{name}");
    (meant != text && Subject::parse(&meant).is_ok()).then_some(meant)
}

/// A network that was likely meant: with fewer bits, or zeros for what is missing of an address.
pub(super) fn network_meant(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/')?;
    let mut parts: Vec<&str> = address.split('.').filter(|part| !part.is_empty() && *part != "*").collect();
    let most = if address.contains(':') { 128 } else { 32 };
    if most == 32 {
        parts.resize(4, "0");
    }
    let address = if most == 32 { parts.join(".") } else { address.to_owned() };
    let bits = bits.parse::<u32>().ok().map_or(most, |bits| bits.min(most));
    let meant = format!("{address}/{bits}");
    Network::parse(&meant).is_ok().then_some(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_guessed() {
        let check = |meant: fn(&str) -> Option<String>, text: &str, want: Option<&str>| {
            assert_eq!(meant(text).as_deref(), want, "{text}");
        };
        check(pattern_meant, "get /v1/items", Some("GET /v1/items"));
        check(pattern_meant, "/shop.v1.Shop/Get#", None);
        check(pattern_meant, "shop.v1.Shop#Get", Some("shop.v1.Shop/Get"));
        check(pattern_meant, "shop.v1/*", Some("shop.v1.*"));
        check(pattern_meant, "v1/items/{id}", Some("/v1/items/{id}"));
        check(pattern_meant, "shop.v1.**", Some("shop.v1.*"));
        check(pattern_meant, "???", None);
        check(subject_meant, "rol:admin", Some("role:admin"));
        check(subject_meant, "role=admin", Some("role:admin"));
        check(subject_meant, "10.0.0.0/8", Some("network:10.0.0.0/8"));
        check(subject_meant, "network:10.0.0/8", Some("network:10.0.0.0/8"));
        check(subject_meant, "loopbak", Some("loopback"));
        check(subject_meant, "everybody", None);
        check(network_meant, "10.0.0.0/33", Some("10.0.0.0/32"));
        check(network_meant, "10/8", Some("10.0.0.0/8"));
        check(network_meant, "::1/129", Some("::1/128"));
        check(network_meant, "office/8", None);
    }
}
