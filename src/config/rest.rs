//! `[rest]` and `[builtin]` checked: the REST face of the deployment, and what of the gateway's own it has.

use std::{collections::BTreeMap, sync::Arc};

use http::StatusCode;
use tonic::Code;

use super::{BuiltIns, ConfigError, Own, Rest, routes, settings};
use crate::{
    route::router::{Settings as Paths, TrailingSlash},
    schema::did_you_mean,
    status,
    surface::rest::{ErrorField, ErrorValue, Profile},
    transcode::JsonInput,
};

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

/// The members of the health body.
pub(super) const HEALTH_FIELDS: [&str; 9] =
    ["status", "timestamp", "version", "environment", "uptime", "services", "checks", "summary", "cache_hit"];

pub(super) fn check(written: settings::Rest) -> Result<Rest, ConfigError> {
    let default = Rest::default();
    Ok(Rest {
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
        index: written.index,
        profile: profile(written.errors)?,
        health_fields: health_fields(written.health)?,
    })
}

fn profile(written: settings::Errors) -> Result<Profile, ConfigError> {
    let mut profile = Profile::default();
    if let Some(fields) = written.fields {
        profile.error_fields = fields.iter().map(|text| error_field(text)).collect::<Result<_, _>>()?;
    }
    for (key, text) in written.reasons {
        profile.reasons.insert(http_status("reasons", &key)?, text.into());
    }
    for (key, text) in written.messages {
        let text = routes::text(&text, None)
            .map_err(|why| ConfigError(format!("rest.errors.messages.{key}: {why}")))?;
        profile.messages.insert(http_status("messages", &key)?, text);
    }
    for (name, http) in written.statuses {
        let codes = || (1..=16).map(Code::from_i32);
        let code = codes().find(|code| status::name(*code) == name).ok_or_else(|| {
            ConfigError(format!(
                "rest.errors.statuses: {name:?} is not the name of a code{}",
                did_you_mean(&name, codes().map(status::name))
            ))
        })?;
        let http = StatusCode::from_u16(http)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .ok_or_else(|| {
                ConfigError(format!("rest.errors.statuses.{name}: {http} is not the HTTP status of an error"))
            })?;
        profile.statuses.insert(code as i32, http);
    }
    Ok(profile)
}

/// `name`, of the value that has this name or its own, or `name=value`.
fn error_field(text: &str) -> Result<ErrorField, ConfigError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        // The usual names of two values are not their own.
        None if text == "error" => (text, "reason"),
        None => (text, text),
    };
    let value = ERROR_VALUES.iter().find(|(known, _)| *known == value).map(|(_, value)| *value).ok_or_else(|| {
        ConfigError(format!(
            "rest.errors.fields: {value:?} is nothing that an error body holds{}; NAME=VALUE names one otherwise",
            did_you_mean(value, ERROR_VALUES.iter().map(|(known, _)| *known))
        ))
    })?;
    Ok(ErrorField { name: name.into(), value })
}

fn http_status(key: &str, text: &str) -> Result<u16, ConfigError> {
    text.parse().ok().filter(|status| (400..600).contains(status)).ok_or_else(|| {
        ConfigError(format!("rest.errors.{key}: {text:?} is not the HTTP status of an error (400 to 599)"))
    })
}

fn health_fields(written: settings::HealthBody) -> Result<Option<Vec<String>>, ConfigError> {
    let Some(fields) = written.fields else { return Ok(None) };
    match fields.iter().find(|field| !HEALTH_FIELDS.contains(&field.as_str())) {
        None => Ok(Some(fields)),
        Some(unknown) => Err(ConfigError(format!(
            "rest.health.fields: the health body has no {unknown:?}{}",
            did_you_mean(unknown, HEALTH_FIELDS)
        ))),
    }
}

pub(super) fn built_ins(written: BTreeMap<String, settings::BuiltIn>) -> Result<BuiltIns, ConfigError> {
    let mut all = BuiltIns::default();
    for (name, written) in written {
        let own = Own::ALL.into_iter().find(|own| own.name() == name).ok_or_else(|| {
            ConfigError(format!(
                "builtin: the gateway has no {name:?} of its own{}",
                did_you_mean(&name, Own::ALL.map(Own::name))
            ))
        })?;
        let mut one = all.get(own);
        one.enabled = written.enabled.unwrap_or(one.enabled);
        one.proto_names = written.proto_names.unwrap_or(one.proto_names);
        if let Some(prefix) = written.prefix {
            one.prefix = self::prefix(&name, &prefix)?;
        }
        all.set(own, one);
    }
    Ok(all)
}

fn prefix(name: &str, text: &str) -> Result<Arc<str>, ConfigError> {
    let trimmed = text.trim_end_matches('/');
    let fits = trimmed.is_empty()
        || (trimmed.starts_with('/')
            && !trimmed.contains("//")
            && trimmed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte)));
    if fits {
        return Ok(trimmed.into());
    }
    Err(ConfigError(format!(
        "builtin.{name}.prefix: {text:?} is not the beginning of a path; it is /segments of letters, digits, - . _ ~"
    )))
}
