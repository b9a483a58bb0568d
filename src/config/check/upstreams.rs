//! `[[upstreams]]` checked: addresses, where schemas come from, and the metadata that is sent along.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use http::{HeaderName, HeaderValue};

use super::{
    Check, files,
    values::{service_pattern, upstream_address},
};
use crate::{
    config::{
        SchemaSource, Upstream,
        document::path::child,
        mistake::{Mistake, UPSTREAM_HOW},
        secret::{Reference, Secret},
        settings,
    },
    transcode::JsonStyle,
};

/// What gRPC itself or a connection says under these names.
const RESERVED: [&str; 10] = [
    "content-type",
    "content-length",
    "te",
    "host",
    "connection",
    "keep-alive",
    "upgrade",
    "trailer",
    "transfer-encoding",
    "user-agent",
];

impl Check<'_> {
    /// Each upstream but those of which it is not known what they serve, or where.
    pub(super) fn upstreams(&mut self, written: Vec<settings::Upstream>) -> Vec<Upstream> {
        let mut names = HashSet::new();
        let mut upstreams = Vec::with_capacity(written.len());
        for (index, upstream) in written.into_iter().enumerate() {
            let path = format!("upstreams[{index}]");
            let name = &upstream.name;
            // An empty name was missing, or wrong already.
            if !name.is_empty() && !names.insert(name.clone()) {
                self.found.add(format!("{path}.name"), format!("two upstreams are named {name:?}"));
            }
            let upstream = self.upstream(&path, upstream);
            upstreams.extend(upstream.filter(|_| !self.found.leaves_open(&path, &UPSTREAM_HOW)));
        }
        upstreams
    }

    fn upstream(&mut self, path: &str, written: settings::Upstream) -> Option<Upstream> {
        let key = |name: &str| format!("{path}.{name}");
        let name = written.name.as_str();
        if name == "built-in" || name.contains(char::is_whitespace) {
            self.found.add(key("name"), format!("{name:?} is no name for an upstream"));
        }
        let address = match written.grpc.as_str() {
            "" => None,
            text => self.found.take(key("grpc"), upstream_address(text)),
        };
        if written.reflection_interval.is_some()
            && (written.descriptors.is_some() || written.reflection == Some(false))
        {
            let message = "it does nothing: the schema does not come by reflection";
            self.found.push(Mistake::new(key("reflection_interval"), message).of_key());
        }
        let interval =
            self.time(&key("reflection_interval"), written.reflection_interval, Duration::from_secs(30));
        let schema = match (written.descriptors, written.reflection) {
            (Some(_), Some(true)) => {
                let message = "the schema comes from descriptors or from reflection, not from both";
                self.found.add(key("reflection"), message);
                SchemaSource::Unknown
            }
            (Some(file), _) => {
                let file = self.looks.folder.join(file);
                if self.looks.files {
                    self.found.take(key("descriptors"), files::schema(&file));
                }
                SchemaSource::Descriptors(file)
            }
            (None, Some(false)) => SchemaSource::Unknown,
            (None, _) => SchemaSource::Reflection { interval },
        };
        let services = written.services.unwrap_or_default();
        for (index, text) in services.iter().enumerate() {
            self.found.take(format!("{}[{index}]", key("services")), service_pattern(text.clone()));
        }
        if let Some(authority) = &written.authority
            && authority.parse::<http::uri::Authority>().is_err()
        {
            self.found
                .add(key("authority"), format!("{authority:?} is not an authority; it is HOST or HOST:PORT"));
        }
        let mut ca: Option<PathBuf> = written.ca.map(|file| self.looks.folder.join(file));
        if let Some(file) = &ca {
            if address.as_ref().is_some_and(|address| !address.tls) {
                let message = "the address is not https, so no certificate is ever checked against it";
                self.found.push(Mistake::new(key("ca"), message).warning());
            }
            if self.looks.files && self.found.take(key("ca"), files::certificates(file)).is_none() {
                ca = None;
            }
        }
        let metadata = self.metadata(&key("metadata"), written.metadata);
        let default = Upstream::at(name, address?);
        Some(Upstream {
            schema,
            services,
            connect_timeout: self.time(
                &key("connect_timeout"),
                written.connect_timeout,
                default.connect_timeout,
            ),
            handshake_timeout: self.time(
                &key("handshake_timeout"),
                written.handshake_timeout,
                default.handshake_timeout,
            ),
            keepalive_interval: self.time(
                &key("keepalive_interval"),
                written.keepalive_interval,
                default.keepalive_interval,
            ),
            keepalive_timeout: self.time(
                &key("keepalive_timeout"),
                written.keepalive_timeout,
                default.keepalive_timeout,
            ),
            timeout: self.some_time(&key("timeout"), written.timeout),
            authority: written.authority.filter(|_| !self.found.below(&key("authority"))),
            ca,
            metadata,
            forward_credentials: written.forward_credentials.unwrap_or(false),
            style: JsonStyle {
                proto_names: written.json.proto_names,
                defaults: written.json.defaults,
                enum_numbers: written.json.enum_numbers,
                pretty: written.json.pretty,
            },
            ..default
        })
    }

    fn metadata(
        &mut self,
        path: &str,
        written: BTreeMap<String, settings::Text>,
    ) -> Vec<(HeaderName, Secret)> {
        let mut metadata = Vec::with_capacity(written.len());
        for (name, text) in written {
            let path = child(path, &name);
            let literal = matches!(text, settings::Text::Literal(_));
            let header = match metadata_name(&name) {
                Ok(header) => header,
                Err(why) => {
                    self.found.push(Mistake::new(path, why).of_key());
                    continue;
                }
            };
            let secret = match self.text(&name, text) {
                Ok(secret) => secret,
                // The upstream is called without it.
                Err(_) if !self.looks.secrets && !literal => continue,
                Err(why) => {
                    self.found.add(path, why);
                    continue;
                }
            };
            match sendable(&header, &secret) {
                Ok(()) => metadata.push((header, secret)),
                Err(why) => self.found.add(path, why),
            }
        }
        metadata
    }

    /// The same as [`Self::text`]; what is not there and not needed has something in its place that nobody knows.
    pub(super) fn text_or_stand_in(&mut self, name: &str, written: settings::Text) -> Result<Secret, String> {
        let literal = matches!(written, settings::Text::Literal(_));
        let read = self.text(name, written);
        if self.looks.secrets || literal { read } else { Ok(read.unwrap_or_else(|_| Secret::stand_in())) }
    }

    /// A text as it is written, unless it is a credential; or what its reference holds.
    pub(super) fn text(&mut self, name: &str, written: settings::Text) -> Result<Secret, String> {
        let secret = match written {
            settings::Text::Literal(_) if carries_credentials(name) => {
                let message = "a credential is not written into the config; say where it is: { env = \"NAME\" } or { file = \"PATH\" }";
                return Err(message.to_owned());
            }
            settings::Text::Literal(text) => return Ok(Secret::new(&text)),
            settings::Text::Reference { env: Some(name), file: None } => {
                Secret::read(Reference::Variable(&name), self.looks.environment)?
            }
            settings::Text::Reference { env: None, file: Some(file) } => {
                Secret::read(Reference::File(&self.looks.folder.join(file)), self.looks.environment)?
            }
            settings::Text::Reference { .. } => {
                return Err("it has either env or file, the one place where it is".to_owned());
            }
        };
        match secret.weakness() {
            Some(why) if carries_credentials(name) => Err(format!("the value is refused: {why}")),
            _ => Ok(secret),
        }
    }
}

fn metadata_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::try_from(name).map_err(|_| format!("{name:?} is no name of metadata"))?;
    if RESERVED.contains(&header.as_str()) || header.as_str().starts_with("grpc-") {
        return Err(format!("{name:?} is gRPC's own, and cannot be set"));
    }
    Ok(header)
}

/// Whether metadata can be sent: a header's value, and where gRPC takes it for bytes, base64 of them.
fn sendable(name: &HeaderName, value: &Secret) -> Result<(), String> {
    if HeaderValue::try_from(value.expose()).is_err() {
        return Err("its value cannot be sent: it has a line's end or another control character".to_owned());
    }
    let base64 = |text: &str| STANDARD.decode(text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(text)).is_ok();
    // Several values under one name have commas between them.
    if name.as_str().ends_with("-bin") && !value.expose().split(',').all(|one| base64(one.trim())) {
        return Err("the value of a name with -bin at its end is base64, and this is not".to_owned());
    }
    Ok(())
}

/// Whether metadata of this name says who the gateway is.
fn carries_credentials(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let ends = ["token", "key", "secret", "password", "credential", "credentials"];
    matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie")
        || ends.iter().any(|end| name.ends_with(end))
}
