//! The JSON Schema of the file against what the config takes: its defaults, and what it demands.

use super::*;

/// A config with one table of each kind, as little as is right in it.
fn least(definition: &str, key: &str) -> (serde_json::Value, &'static str) {
    let upstream = json!({ "name": "books", "grpc": "http://h:1" });
    let (issuer, with) = match key {
        "algorithm" => ("secret", json!({ "env": "SECRET" })),
        _ => ("jwks", json!("https://a.example/keys")),
    };
    let issuer = json!({ "name": "a", "issuer": "https://a.example", "audience": ["a"], issuer: with });
    let path = |what: &str, is: serde_json::Value| json!({ "routes": [{ "path": "/a", what: is }] });
    match definition {
        "Upstream" => (json!({ "upstreams": [upstream] }), "/upstreams/0"),
        "McpServer" => {
            let server = json!({ "name": "a", "url": "http://h:1/mcp" });
            (json!({ "mcp": { "servers": [server] } }), "/mcp/servers/0")
        }
        "Json" => (json!({ "upstreams": [upstream] }), "/upstreams/0/json"),
        "Breaker" => (json!({ "upstreams": [upstream] }), "/upstreams/0/breaker"),
        "Ejection" => (json!({ "upstreams": [upstream] }), "/upstreams/0/ejection"),
        "Retry" => (json!({ "upstreams": [upstream] }), "/upstreams/0/retry"),
        "Load" => {
            let upstream = json!({ "name": "books", "grpc": "http://h:1", "limits": {} });
            (json!({ "upstreams": [upstream] }), "/upstreams/0/limits")
        }
        "Health" => {
            let upstream = json!({ "name": "users", "http": "http://h:1", "health": {} });
            (json!({ "upstreams": [upstream] }), "/upstreams/0/health")
        }
        "Issuer" if key == "audience" || key == "check_audience" => {
            let audience = if key == "audience" { json!([]) } else { json!(["a"]) };
            let mut issuer = issuer;
            issuer["audience"] = audience;
            issuer["check_audience"] = (key != "audience").into();
            (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0")
        }
        "Issuer" => (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0"),
        "Claims" => (json!({ "auth": { "issuers": [issuer] } }), "/auth/issuers/0/claims"),
        "Token" => (
            json!({ "auth": { "tokens": [{ "name": "a", "token": { "env": "SECRET" } }] } }),
            "/auth/tokens/0",
        ),
        "AccessRule" => (json!({ "access": { "rules": [{ "match": ["*"] }] } }), "/access/rules/0"),
        "LimitRule" => {
            let rule = json!({ "match": ["*"], "calls": 1 });
            (json!({ "rate_limits": { "rules": [rule] } }), "/rate_limits/rules/0")
        }
        "Route" if ["strip_segments", "keep_host", "escaped_slashes"].contains(&key) => {
            let upstream = json!({ "name": "users", "http": "http://h:1" });
            let route = json!({ "path": "/a", "upstream": "users" });
            (json!({ "upstreams": [upstream], "routes": [route] }), "/routes/0")
        }
        "Share" => {
            let route = json!({ "service": "a.B", "upstreams": [{ "name": "books" }] });
            (json!({ "upstreams": [upstream], "routes": [route] }), "/routes/0/upstreams/0")
        }
        "Route" => (path("respond", json!({})), "/routes/0"),
        "Respond" => (path("respond", json!({})), "/routes/0/respond"),
        "Redirect" => (path("redirect", json!({ "to": "/b" })), "/routes/0/redirect"),
        "BuiltIn" => (json!({}), "/builtin/index"),
        "Errors" => (json!({}), "/rest/errors"),
        "McpOauth" => (json!({}), "/mcp/oauth"),
        "HealthBody" => (json!({}), "/rest/health"),
        "GatewayHealth" => (json!({}), "/health"),
        "Degraded" => (json!({}), "/health/degraded"),
        "Unhealthy" => (json!({}), "/health/unhealthy"),
        "Probe" => {
            let probe = json!({ "name": "a", "kind": "tcp", "url": "h:1" });
            (json!({ "health": { "probes": [probe] } }), "/health/probes/0")
        }
        "RateLimits" => (json!({}), "/rate_limits"),
        section => (json!({}), Box::leak(format!("/{}", section.to_ascii_lowercase()).into_boxed_str())),
    }
}

fn with(mut config: serde_json::Value, at: &str, key: &str, value: &serde_json::Value) -> serde_json::Value {
    let mut node = &mut config;
    for step in at.split('/').skip(1) {
        node = match step.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[step],
        };
    }
    node[key] = value.clone();
    config
}

#[test]
fn the_defaults_of_the_schema_are_those_that_hold() {
    let environment: Environment = [("SECRET", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")].into_iter().collect();
    let sources = Sources { environment, ..Sources::default() };
    let meant = |config: &serde_json::Value| {
        let loaded = sources.check(Some(Path::new("c.json")), &config.to_string(), false);
        loaded.accept().map(|(config, _)| format!("{config:?}"))
    };
    let mut tried = 0;
    for (definition, schema) in json_schema()["$defs"].as_object().unwrap() {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let default = &property["default"];
            if default.is_null() {
                continue;
            }
            let (config, at) = least(definition, key);
            let written = meant(&with(config.clone(), at, key, default));
            let written = written.unwrap_or_else(|error| panic!("{definition}.{key} = {default}: {error}"));
            let left_out = meant(&config).unwrap_or_else(|error| panic!("{definition}: {error}"));
            assert_eq!(written, left_out, "{definition}.{key} is not {default} by default");
            tried += 1;
        }
    }
    assert!(tried > 90, "{tried} defaults");
}

#[test]
fn the_schema_has_each_default_that_a_comment_names() {
    // What has no value of its own to be written.
    const WORDS: [&str; 20] = [
        "none",
        "nobody",
        "no ",
        "nothing",
        "the ",
        "its ",
        "who ",
        "what ",
        "all ",
        "any ",
        "of any",
        "one ",
        "those ",
        "limits.",
        "rate_limits.",
        "as the ",
        "[cors]",
        "text/plain; charset=utf-8 for",
        "admin@",
        "true, unless",
    ];
    let mut differ = Vec::new();
    for (definition, schema) in json_schema()["$defs"].as_object().unwrap() {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let comment = property["description"].as_str().unwrap_or_default();
            let Some((_, said)) =
                comment.rsplit_once("Default: ").filter(|(_, said)| !said.contains("without a secret"))
            else {
                continue;
            };
            if WORDS.iter().any(|word| said.starts_with(word)) {
                continue;
            }
            let first = said.split([',', ' ']).next().unwrap_or_default().trim_end_matches('.');
            let same = match &property["default"] {
                serde_json::Value::String(text) => {
                    text == first
                        || matches!((crate::config::time(text), crate::config::time(first)), (Ok(a), Ok(b)) if a == b)
                        || said.trim_end_matches('.') == text
                }
                serde_json::Value::Array(values) => values.first().is_none_or(|value| value == first),
                serde_json::Value::Object(members) => members.contains_key(first),
                serde_json::Value::Null => false,
                value => format!("{value}") == first,
            };
            if !same {
                differ.push(format!(
                    "{definition}.{key}: the comment says {first}, the schema {}",
                    property["default"]
                ));
            }
        }
    }
    assert_eq!(differ, Vec::<String>::new());
}

#[test]
fn what_the_schema_demands_is_demanded() {
    let environment: Environment = [("SECRET", "q9Zr2Lx8Vw4Tn6Yb1Kd3Mf5Hg7Jp0Scv")].into_iter().collect();
    let sources = Sources { environment, ..Sources::default() };
    let validator = jsonschema::draft202012::new(json_schema()).unwrap();
    let upstream = json!({ "name": "books", "grpc": "http://h:1" });
    let issuer = json!({ "name": "a", "issuer": "i", "audience": ["a"], "jwks": "https://a.example/keys" });
    let rule = json!({ "selector": "a.B.C", "get": "/a" });
    let entries = [
        ("/upstreams", upstream),
        ("/auth/issuers", issuer),
        ("/auth/tokens", json!({ "name": "a", "token": { "env": "SECRET" } })),
        ("/access/rules", json!({ "match": ["*"] })),
        ("/rate_limits/rules", json!({ "match": ["*"], "calls": 1 })),
        ("/routes", json!({ "path": "/a", "respond": {} })),
        ("/routes", json!({ "path": "/a", "redirect": { "to": "/b" } })),
        ("/routes", json!({ "service": "a.B" })),
        ("/http_rules", rule),
        ("/health/probes", json!({ "name": "a", "kind": "redis" })),
        ("/http_rules", json!({ "selector": "a.B.C", "custom": { "kind": "HEAD", "path": "/a" } })),
    ];
    for (list, entry) in entries {
        let (at, list) = list.rsplit_once('/').unwrap();
        let whole = |entry: &serde_json::Value| match at {
            "" => json!({ list: [entry] }),
            at => json!({ at.trim_start_matches('/'): { list: [entry] } }),
        };
        let check = |entry: &serde_json::Value, more: &str| {
            let config = whole(entry);
            let loaded = sources.check(Some(Path::new("c.json")), &config.to_string(), false);
            // Two keys that no schema demands: which of them are, depends on others.
            let (ours, theirs) = (!loaded.is_wrong(), validator.is_valid(&config));
            assert_eq!(ours, theirs, "{config} {more}: {}", loaded.report());
            ours
        };
        assert!(check(&entry, ""), "{entry}");
        for key in
            entry.as_object().unwrap().keys().filter(|key| !matches!(key.as_str(), "issuer" | "audience"))
        {
            let mut without = entry.clone();
            without.as_object_mut().unwrap().remove(key);
            assert!(!check(&without, key), "{without}");
        }
    }
}
