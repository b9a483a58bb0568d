//! `[rest]` and `[builtin]` checked: the REST face of the deployment, and what of the gateway's own it has.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use http::{HeaderName, HeaderValue, StatusCode};
use tonic::Code;

use super::{Check, answers::CONNECTION, places::Places};
use crate::{
    config::{BuiltIn, BuiltIns, Own, Rest, document::path::child, mistake::Mistake, settings},
    route::router::{Settings as Paths, TrailingSlash},
    schema::nearest,
    status,
    surface::rest::{ErrorField, ErrorValue, Profile},
    transcode::JsonInput,
};

/// The environment of those who mend what is wrong.
const DEVELOPMENT: &str = "development";

/// What a member of an error body may hold, by its name in the config.
const ERROR_VALUES: [(&str, ErrorValue); 10] = [
    ("reason", ErrorValue::Reason),
    ("code", ErrorValue::Code),
    ("status", ErrorValue::Status),
    ("http_status", ErrorValue::HttpStatus),
    ("message", ErrorValue::Message),
    ("details", ErrorValue::Details),
    ("timestamp", ErrorValue::Timestamp),
    ("request_id", ErrorValue::RequestId),
    ("retry_after", ErrorValue::RetryAfter),
    ("path", ErrorValue::Path),
];

impl Check<'_> {
    /// `proto_names`: the health bodies have the names of the proto file.
    pub(super) fn rest(&mut self, written: settings::Rest, environment: &str, proto_names: bool) -> Rest {
        let default = Rest::default();
        Rest {
            title: written.title.map_or(default.title, Into::into),
            description: written.description.map_or(default.description, Into::into),
            version: written.version.map(Into::into),
            method_paths: written.method_paths.unwrap_or(default.method_paths),
            paths: Paths {
                trailing_slash: match written.trailing_slash {
                    None | Some(settings::TrailingSlash::Strict) => TrailingSlash::Strict,
                    Some(settings::TrailingSlash::Ignore) => TrailingSlash::Ignore,
                    Some(settings::TrailingSlash::Redirect) => TrailingSlash::Redirect,
                },
                fully_decode_reserved_expansion: written.fully_decode_reserved_expansion.unwrap_or_default(),
            },
            ignore_unknown_parameters: written.ignore_unknown_parameters.unwrap_or_default(),
            input: JsonInput { ignore_unknown: written.ignore_unknown_fields.unwrap_or_default() },
            security_headers: written.security_headers.unwrap_or(default.security_headers),
            headers: self.response_headers(written.headers),
            index: written.index,
            profile: self.profile(written.errors, environment),
            health: self.health_body(written.health, proto_names),
        }
    }

    /// What every response has. How a message goes over its connection is the gateway's alone.
    fn response_headers(&mut self, written: BTreeMap<String, String>) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::with_capacity(written.len());
        for (name, value) in written {
            let path = child("rest.headers", &name);
            let Ok(header) = HeaderName::try_from(&name) else {
                self.found.push(Mistake::new(path, format!("{name:?} is no header's name")).of_key());
                continue;
            };
            if CONNECTION.contains(&header.as_str()) || header == http::header::CONTENT_TYPE {
                let message =
                    format!("{name:?} is each message's own: the gateway writes it where it belongs");
                self.found.push(Mistake::new(path, message).of_key());
                continue;
            }
            let value = HeaderValue::try_from(&value).map_err(|_| format!("{value:?} is no header's value"));
            headers.extend(self.found.take(path, value).map(|value| (header, value)));
        }
        headers
    }

    fn profile(&mut self, written: settings::Errors, environment: &str) -> Profile {
        let mut profile = Profile::default();
        if let Some(fields) = written.fields {
            let mut names = HashSet::new();
            let fields = fields.iter().enumerate().filter_map(|(index, text)| {
                let mistake = match error_field(text) {
                    Ok(field) if names.insert(field.name.clone()) => return Some(field),
                    Ok(field) => Mistake::new("", format!("a member {:?} is there already", field.name)),
                    Err(mistake) => mistake,
                };
                self.found.push(Mistake { path: format!("rest.errors.fields[{index}]"), ..mistake });
                None
            });
            profile.error_fields = fields.collect();
        }
        for (key, text) in written.reasons {
            let path = child("rest.errors.reasons", &key);
            if let Some(status) = self.found.take(path, http_status(&key)) {
                profile.reasons.insert(status, text.into());
            }
        }
        let outside = environment != DEVELOPMENT;
        // Both are checked, wherever this is.
        let messages = written.messages.into_iter().map(|pair| ("rest.errors.messages", true, pair));
        let others = written.outside_development.into_iter();
        let others = others.map(|pair| ("rest.errors.outside_development", outside, pair));
        for (table, holds, (key, text)) in messages.chain(others) {
            let path = child(table, &key);
            let text = self.text_with_places(&path, &text, Places::Failure);
            if is_reason(&key) {
                profile.by_reason.extend(text.filter(|_| holds).map(|text| (key.into(), text)));
                continue;
            }
            let status = self.found.take(path, http_status(&key));
            if let (Some(status), Some(text)) = (status, text.filter(|_| holds)) {
                profile.messages.insert(status, text);
            }
        }
        for (name, http) in written.statuses {
            let path = child("rest.errors.statuses", &name);
            let codes = || (1..=16).map(Code::from_i32);
            let code = codes().find(|code| status::name(*code) == name);
            let http = StatusCode::from_u16(http)
                .ok()
                .filter(|status| status.is_client_error() || status.is_server_error())
                .ok_or_else(|| format!("{http} is not the HTTP status of an error (400 to 599)"));
            let http = self.found.take(path.clone(), http);
            match (code, http) {
                (Some(code), Some(http)) => {
                    profile.statuses.insert(code as i32, http);
                }
                (Some(_), None) => {}
                (None, _) => {
                    let message = format!("{name:?} is not the name of a code");
                    let mistake = Mistake::new(path, message).near(&name, codes().map(status::name));
                    self.found.push(mistake.of_key());
                }
            }
        }
        profile
    }

    pub(super) fn built_ins(&mut self, written: BTreeMap<String, settings::BuiltIn>) -> BuiltIns {
        let mut all = BuiltIns::default();
        for (name, written) in written {
            let path = child("builtin", &name);
            let Some(own) = Own::ALL.into_iter().find(|own| own.name() == name) else {
                let names = Own::ALL.map(Own::name);
                let near = nearest(&name, names);
                let message = match near {
                    Some(_) => format!("the gateway has no {name:?} of its own"),
                    None => format!("the gateway has no {name:?} of its own; it has {}", names.join(", ")),
                };
                self.found.push(Mistake::new(path, message).meaning(near).of_key());
                // Whatever was meant for it is not known, so nothing is said of what it hides.
                if let Some(near) = near.and_then(|near| Own::ALL.into_iter().find(|own| own.name() == near))
                {
                    all.set(near, BuiltIn { enabled: false, ..all.get(near) });
                }
                continue;
            };
            self.settings_without_effect(&path, own, &written);
            let mut one = all.get(own);
            one.enabled = written.enabled.unwrap_or(one.enabled);
            one.proto_names = written.proto_names.unwrap_or(one.proto_names);
            if let Some(prefix) = written.prefix
                && let Some(prefix) = self.found.take(format!("{path}.prefix"), self::prefix(&prefix))
            {
                one.prefix = prefix;
            }
            one.enabled &= !self.found.below(&path);
            all.set(own, one);
        }
        all
    }

    /// What a built-in has no use for: gRPC's own protocols have no path but their own, pages no message as JSON.
    fn settings_without_effect(&mut self, path: &str, own: Own, written: &settings::BuiltIn) {
        let (no_path, no_json) = match own {
            Own::GrpcHealth | Own::Reflection => (true, true),
            Own::Probes | Own::Metrics | Own::Openapi | Own::Docs | Own::Redoc | Own::Jwks | Own::Oauth => {
                (false, true)
            }
            Own::Index
            | Own::Health
            | Own::Routing
            | Own::Auth
            | Own::Users
            | Own::Admin
            | Own::Playbooks
            | Own::VariableTypes
            | Own::Favorites
            | Own::Galaxy
            | Own::Mcp => (false, false),
        };
        let nothing = [
            (
                "prefix",
                no_path && written.prefix.is_some(),
                "it is called by gRPC alone, and has no path to move",
            ),
            (
                "proto_names",
                no_json && written.proto_names.is_some(),
                "none of its messages is written as JSON",
            ),
        ];
        for (key, _, why) in nothing.into_iter().filter(|(_, there, _)| *there) {
            let mistake = Mistake::new(format!("{path}.{key}"), format!("it does nothing: {why}"));
            self.found.push(mistake.of_key());
        }
    }
}

/// `name`, of the value that has this name or its own, or `name=value`. The mistake has no path yet.
fn error_field(text: &str) -> Result<ErrorField, Mistake> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        // The usual names of two values are not their own.
        None if text == "error" => (text, "reason"),
        None => (text, text),
    };
    let names = || ERROR_VALUES.iter().map(|(known, _)| *known);
    match ERROR_VALUES.iter().find(|(known, _)| *known == value) {
        Some((_, value)) => Ok(ErrorField { name: name.into(), value: *value }),
        None => {
            let message =
                format!("{value:?} is nothing that an error body holds; NAME=VALUE names one otherwise");
            Err(Mistake::new("", message).near(value, names()))
        }
    }
}

/// A reason of google.rpc.ErrorInfo's, such as CREDENTIALS_REVOKED.
fn is_reason(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(letters)
}

fn http_status(text: &str) -> Result<u16, String> {
    let status = text.parse().ok().filter(|status| (400..600).contains(status));
    status.ok_or_else(|| format!("{text:?} is not the HTTP status of an error (400 to 599)"))
}

pub(super) fn prefix(text: &str) -> Result<Arc<str>, String> {
    let trimmed = text.trim_end_matches('/');
    let fits = trimmed.is_empty()
        || (trimmed.starts_with('/')
            && !trimmed.contains("//")
            && trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte)));
    if fits {
        return Ok(trimmed.into());
    }
    Err(format!("{text:?} is not the beginning of a path; it is /segments of letters, digits, - . _ ~"))
}
