//! `google.api.HttpRule`: which HTTP verb and path template reach a method, as the proto's annotation or the config
//! states it. Rules are read from the option's bytes, so a descriptor set without `google/api/http.proto` has them too.
//!
//! Specification: google/api/http.proto (extension 72295728 of `google.protobuf.MethodOptions`).

use std::{fmt, sync::Arc};

use prost::Message;

/// One verb and path template of a method, not yet checked against the method (see [`Binding`](super::Binding)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    /// The methods it is for: `pkg.Service.Method`, or with a last component `*`; several are separated by commas.
    pub selector: String,
    /// The HTTP method.
    pub verb: Verb,
    /// The path template's text, such as `/v1/{name=shelves/*}`.
    pub template: String,
    /// `""` (no body), `"*"` (the whole request) or the name of a top-level request field.
    pub body: String,
    /// `""` (the whole response) or the name of a top-level response field.
    pub response_body: String,
    /// Where the config says it, such as `http_rules[2].get`; none for an annotation.
    pub entry: Option<Arc<str>>,
}

/// An HTTP method as a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// `get:`
    Get,
    /// `put:`
    Put,
    /// `post:`
    Post,
    /// `delete:`
    Delete,
    /// `patch:`
    Patch,
    /// `custom { kind: "HEAD" … }`: any other method, compared exactly.
    Custom(String),
    /// `custom { kind: "*" … }`: whatever method no other rule of the template names.
    Any,
}

impl HttpRule {
    /// A rule for the methods of `selector`, without body fields.
    pub fn new(selector: impl Into<String>, verb: Verb, template: impl Into<String>) -> Self {
        Self {
            selector: selector.into(),
            verb,
            template: template.into(),
            body: String::new(),
            response_body: String::new(),
            entry: None,
        }
    }

    /// The same rule as one that the config says under this key.
    #[must_use]
    pub fn of_entry(mut self, key: impl Into<Arc<str>>) -> Self {
        self.entry = Some(key.into());
        self
    }

    /// The same rule with a body: `"*"` or a field's name.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// The same rule with a response field as the response's body.
    #[must_use]
    pub fn with_response_body(mut self, field: impl Into<String>) -> Self {
        self.response_body = field.into();
        self
    }

    /// Whether the selector names `method` (`pkg.Service.Method`). A `*` stands for one or more whole components at
    /// the end, or alone for everything (google/api/documentation.proto, `DocumentationRule.selector`).
    pub fn selects(&self, method: &str) -> bool {
        self.selector.split(',').map(str::trim).any(|pattern| match pattern.strip_suffix('*') {
            Some("") => true,
            Some(prefix) => prefix.ends_with('.') && method.starts_with(prefix),
            None => pattern == method,
        })
    }

    /// The rules for `method` among `configured`: those that share the selector of the last rule that selects it
    /// ("last one wins"); rules with an equal selector are each other's additional bindings. Empty when none does.
    pub fn configured_for<'a>(configured: &'a [HttpRule], method: &str) -> Vec<&'a HttpRule> {
        let Some(last) = configured.iter().rev().find(|rule| rule.selects(method)) else { return Vec::new() };
        configured.iter().filter(|rule| rule.selector == last.selector).collect()
    }

    /// Reads the rules of one `google.api.http` option, `additional_bindings` flattened behind the first. The error is
    /// the reason, without the method's name.
    pub fn decode_annotation(option: &[u8], method: &str) -> Result<Vec<HttpRule>, String> {
        let wire = WireRule::decode(option)
            .map_err(|error| format!("google.api.http is not an HttpRule: {error}"))?;
        let mut rules = Vec::with_capacity(1 + wire.additional_bindings.len());
        let additional = wire.additional_bindings.clone();
        rules.push(wire.into_rule(method)?);
        for binding in additional {
            if !binding.additional_bindings.is_empty() {
                return Err(
                    "additional_bindings inside additional_bindings: only one level is allowed".to_owned()
                );
            }
            rules.push(binding.into_rule(method)?);
        }
        Ok(rules)
    }
}

impl Verb {
    /// The verb of an HTTP method's name; `*` is [`Verb::Any`].
    pub fn parse(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "PUT" => Self::Put,
            "POST" => Self::Post,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "*" => Self::Any,
            other => Self::Custom(other.to_owned()),
        }
    }

    /// The HTTP method's name, `*` for any.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Custom(name) => name,
            Self::Any => "*",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for HttpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.template)
    }
}

/// `google.api.HttpRule` on the wire.
#[derive(Clone, PartialEq, Message)]
struct WireRule {
    #[prost(string, tag = "1")]
    selector: String,
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<WireRule>,
    #[prost(string, tag = "12")]
    response_body: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Pattern {
    #[prost(string, tag = "2")]
    Get(String),
    #[prost(string, tag = "3")]
    Put(String),
    #[prost(string, tag = "4")]
    Post(String),
    #[prost(string, tag = "5")]
    Delete(String),
    #[prost(string, tag = "6")]
    Patch(String),
    #[prost(message, tag = "8")]
    Custom(CustomHttpPattern),
}

#[derive(Clone, PartialEq, Message)]
struct CustomHttpPattern {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

impl WireRule {
    fn into_rule(self, method: &str) -> Result<HttpRule, String> {
        let (verb, template) =
            match self.pattern {
                Some(Pattern::Get(path)) => (Verb::Get, path),
                Some(Pattern::Put(path)) => (Verb::Put, path),
                Some(Pattern::Post(path)) => (Verb::Post, path),
                Some(Pattern::Delete(path)) => (Verb::Delete, path),
                Some(Pattern::Patch(path)) => (Verb::Patch, path),
                Some(Pattern::Custom(custom)) => (Verb::parse(&custom.kind), custom.path),
                None => return Err(
                    "google.api.http names no path: one of get, put, post, delete, patch, custom is needed"
                        .to_owned(),
                ),
            };
        // The selector of an annotation is its method, whatever it says (google/api/http.proto uses it in service configs only).
        Ok(HttpRule {
            selector: method.to_owned(),
            verb,
            template,
            body: self.body,
            response_body: self.response_body,
            entry: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        fn check(selector: &str, method: &str, want: bool) {
            assert_eq!(
                HttpRule::new(selector, Verb::Get, "/").selects(method),
                want,
                "{selector} on {method}"
            );
        }
        check("a.B.C", "a.B.C", true);
        check("a.B.C", "a.B.D", false);
        check("a.B.C", "a.B.CD", false);
        check("a.B.*", "a.B.C", true);
        check("a.*", "a.B.C", true);
        check("a.*", "ab.B.C", false);
        check("a.B*", "a.B.C", false);
        check("*", "a.B.C", true);
        check("a.B.D, a.B.C", "a.B.C", true);
        check("", "a.B.C", false);
    }

    #[test]
    fn the_last_selector_wins_and_equal_selectors_add_up() {
        let rules = [
            HttpRule::new("a.B.C", Verb::Get, "/1"),
            HttpRule::new("a.*", Verb::Get, "/2"),
            HttpRule::new("a.B.C", Verb::Get, "/3"),
            HttpRule::new("x.*", Verb::Get, "/4"),
        ];
        let templates = |method| {
            HttpRule::configured_for(&rules, method).iter().map(|rule| &*rule.template).collect::<Vec<_>>()
        };
        assert_eq!(templates("a.B.C"), ["/1", "/3"]);
        assert_eq!(templates("a.B.D"), ["/2"]);
        assert!(templates("b.B.D").is_empty());
    }

    fn get(path: &str) -> WireRule {
        WireRule { pattern: Some(Pattern::Get(path.to_owned())), ..WireRule::default() }
    }

    #[test]
    fn annotations_are_flattened() {
        let wire = WireRule {
            body: "*".to_owned(),
            pattern: Some(Pattern::Custom(CustomHttpPattern {
                kind: "PROPFIND".to_owned(),
                path: "/a".to_owned(),
            })),
            additional_bindings: vec![get("/b")],
            ..WireRule::default()
        };
        let rules = HttpRule::decode_annotation(&wire.encode_to_vec(), "p.S.M").unwrap();
        assert_eq!(rules.iter().map(ToString::to_string).collect::<Vec<_>>(), ["PROPFIND /a", "GET /b"]);
        assert_eq!(rules[0].body, "*");
        assert_eq!(rules[1].selector, "p.S.M");
    }

    #[test]
    fn bad_annotations_say_why() {
        fn check(wire: &WireRule, want: &str) {
            let error = HttpRule::decode_annotation(&wire.encode_to_vec(), "p.S.M").unwrap_err();
            assert!(error.contains(want), "{error}");
        }
        check(&WireRule::default(), "names no path");
        let nested = WireRule { additional_bindings: vec![get("/c")], ..get("/b") };
        check(&WireRule { additional_bindings: vec![nested], ..get("/a") }, "only one level");
        assert!(HttpRule::decode_annotation(&[0x12, 0x20], "p.S.M").unwrap_err().contains("not an HttpRule"));
    }
}
