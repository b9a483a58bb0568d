//! Names of variables, and what is not ours.

use super::*;

#[test]
fn service_links_are_not_ours() {
    let check = |key: &str, value: &str, want: bool| assert_eq!(is_service_link(key, value), want, "{key}");
    check("PORT", "tcp://10.0.0.1:80", true);
    check("SERVICE_HOST", "10.0.0.1", true);
    check("SERVICE_PORT_GRPC", "8080", true);
    check("ADMIN_SERVICE_HOST", "10.0.0.2", true);
    check("ADMIN_PORT_80_TCP_ADDR", "10.0.0.2", true);
    check("PORT_8080_TCP_ADDR", "10.0.0.1", true);
    check("ENV_PORT", "tcp://10.0.0.1:80", true);
    check("GATEWAY_LISTEN", "0.0.0.0:80", false);
    check("GATEWAY__LISTEN", "tcp://10.0.0.1:80", false);
}

#[test]
fn lists_and_booleans_are_read_from_text() {
    assert_eq!(list("a, b,,c ,"), serde_json::json!(["a", "b", "c"]));
    assert_eq!(list(""), serde_json::json!([]));
    assert_eq!(
        ["TRUE", "on", "0", "No", "maybe"].map(boolean),
        [Some(true), Some(true), Some(false), Some(false), None]
    );
}

#[test]
fn every_section_has_its_names() {
    let upstream = serde_json::json!({ "upstreams": [{ "name": "my-books" }] });
    let names = all_names(&Node::of(&upstream, &Origin::Default));
    for name in [
        "PROPYLON_GATEWAY__LISTEN",
        "PROPYLON_REST__ERRORS__FIELDS",
        "PROPYLON_CONNECTIONS__MAX_AGE",
        "PROPYLON_UPSTREAMS",
        "PROPYLON_BUILTIN__DOCS__ENABLED",
        "PROPYLON_UPSTREAMS__MY_BOOKS__JSON__PRETTY",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
}
