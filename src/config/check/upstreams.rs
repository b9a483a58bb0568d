//! `[[upstreams]]` checked: addresses, where schemas come from, and the metadata that is sent along.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use http::{HeaderName, HeaderValue};
use rustls::pki_types::ServerName;

use super::{
    Check, files,
    values::{service_pattern, upstream_address},
};
use crate::{
    config::{
        Addresses, HttpUpstream, SchemaSource, Upstream,
        document::path::child,
        mistake::{Mistake, UPSTREAM_HOW},
        secret::{Reference, Secret},
        settings,
        tls::{Pair, certificates},
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
    pub(super) fn upstreams(
        &mut self,
        written: Vec<settings::Upstream>,
    ) -> (Vec<Upstream>, Vec<HttpUpstream>) {
        let mut names = HashSet::new();
        let (mut upstreams, mut http) = (Vec::with_capacity(written.len()), Vec::new());
        for (index, upstream) in written.into_iter().enumerate() {
            let path = format!("upstreams[{index}]");
            let name = &upstream.name;
            // An empty name was missing, or wrong already.
            if !name.is_empty() && !names.insert(name.clone()) {
                self.found.add(format!("{path}.name"), format!("two upstreams are named {name:?}"));
            }
            self.upstream_name(&path, name);
            match (&upstream.grpc, &upstream.http) {
                (Some(_), Some(_)) => {
                    self.found.add(path, "it has both `grpc` and `http`; what it speaks is one of them");
                }
                (None, None) => {
                    if !self.found.below(&path) {
                        self.found
                            .add(path, "it has neither `grpc` nor `http`; one of them says where it is");
                    }
                }
                (Some(_), None) => {
                    let upstream = self.upstream(&path, upstream);
                    upstreams.extend(upstream.filter(|_| !self.found.leaves_open(&path, &UPSTREAM_HOW)));
                }
                (None, Some(_)) => {
                    let upstream = self.http_upstream(&path, upstream);
                    http.extend(upstream.filter(|_| !self.found.leaves_open(&path, &UPSTREAM_HOW)));
                }
            }
        }
        (upstreams, http)
    }

    fn upstream_name(&mut self, path: &str, name: &str) {
        if name == "built-in" || name.contains(char::is_whitespace) {
            self.found.add(format!("{path}.name"), format!("{name:?} is no name for an upstream"));
        }
    }

    fn upstream(&mut self, path: &str, mut written: settings::Upstream) -> Option<Upstream> {
        let key = |name: &str| format!("{path}.{name}");
        let resilience = self.resilience(path, &mut written, true);
        let name = written.name.as_str();
        let addresses = self.addresses(&key("grpc"), written.grpc.as_ref(), upstream_address);
        if written.http2 == Some(true) {
            let message = "http2 is for an upstream with `http`; gRPC is always HTTP/2";
            self.found.push(Mistake::new(key("http2"), message).of_key());
        }
        if written.reflection_interval.is_some()
            && (written.descriptors.is_some() || written.reflection == Some(false))
        {
            let message = "it does nothing: the schema does not come by reflection";
            self.found.push(Mistake::new(key("reflection_interval"), message).of_key());
        }
        let interval =
            self.time(&key("reflection_interval"), written.reflection_interval, Duration::from_secs(30));
        let descriptors = written.descriptors.map(|file| self.looks.folder.join(file));
        if let Some(file) = descriptors.as_ref().filter(|_| self.looks.files) {
            self.found.take(key("descriptors"), files::schema(file));
        }
        let schema = match (descriptors, written.reflection) {
            (Some(_), Some(true)) => {
                let message = "the schema comes from descriptors or from reflection, not from both";
                self.found.add(key("reflection"), message);
                SchemaSource::Unknown
            }
            (Some(file), _) => SchemaSource::Descriptors(file),
            (None, Some(false)) => SchemaSource::Unknown,
            (None, _) => SchemaSource::Reflection { interval },
        };
        let services = written.services.unwrap_or_default();
        for (index, text) in services.iter().enumerate() {
            self.found.take(format!("{}[{index}]", key("services")), service_pattern(text.clone()));
        }
        let authority = self.authority(&key("authority"), written.authority);
        let ca = self.ca(&key("ca"), written.ca, addresses.as_ref());
        let server_name = self.server_name(&key("server_name"), written.server_name, addresses.as_ref());
        let client =
            self.client_pair(path, written.client_certificate, written.client_key, addresses.as_ref());
        let metadata = self.metadata(&key("metadata"), written.metadata);
        let default = Upstream::at(name, addresses?);
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
            authority,
            ca,
            server_name,
            client,
            metadata,
            resilience,
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

    pub(super) fn authority(&mut self, path: &str, written: Option<String>) -> Option<String> {
        let authority = written?;
        if authority.parse::<http::uri::Authority>().is_err() {
            self.found.add(path, format!("{authority:?} is not an authority; it is HOST or HOST:PORT"));
            return None;
        }
        Some(authority)
    }

    pub(super) fn ca(
        &mut self,
        path: &str,
        written: Option<PathBuf>,
        addresses: Option<&Addresses>,
    ) -> Option<PathBuf> {
        let file = self.looks.folder.join(written?);
        if addresses.is_some_and(|addresses| !addresses.tls()) {
            let message = "the address is not https, so no certificate is ever checked against it";
            self.found.push(Mistake::new(path, message).warning());
        }
        if self.looks.files {
            self.found.take(path, certificates(&file))?;
        }
        Some(file)
    }

    pub(super) fn server_name(
        &mut self,
        path: &str,
        written: Option<String>,
        address: Option<&Addresses>,
    ) -> Option<String> {
        let name = written?;
        self.only_over_tls(path, address);
        if ServerName::try_from(name.as_str()).is_err() {
            self.found.add(path, format!("{name:?} is no name that a certificate can have: it is a host's"));
            return None;
        }
        Some(name)
    }

    /// The certificate that is shown to an upstream, and its key; `path` is the upstream's.
    pub(super) fn client_pair(
        &mut self,
        path: &str,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        address: Option<&Addresses>,
    ) -> Option<Pair> {
        let keys = (format!("{path}.client_certificate"), format!("{path}.client_key"));
        let pair = match (certificate, key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => settings::Pair { certificate, key },
            (Some(_), None) => {
                self.found.add(keys.0, "it has no key: `client_key` says where it is");
                return None;
            }
            (None, Some(_)) => {
                self.found
                    .add(keys.1, "it is the key of no certificate: `client_certificate` says where that is");
                return None;
            }
        };
        self.only_over_tls(&keys.0, address);
        self.pair_of((&keys.0, &keys.1), pair)
    }

    fn only_over_tls(&mut self, path: &str, address: Option<&Addresses>) {
        if address.is_some_and(|address| !address.tls()) {
            let message = "it does nothing: the address is not https";
            self.found.push(Mistake::new(path, message).warning());
        }
    }

    pub(super) fn metadata(
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

    /// The same as [`Self::text`], however short: what it is for says how long it is to be. What is not there and not needed
    /// has something in its place that nobody knows.
    pub(super) fn text_or_stand_in(&mut self, name: &str, written: settings::Text) -> Result<Secret, String> {
        let literal = matches!(written, settings::Text::Literal(_));
        let read = self.read_text(name, written, Secret::placeholder);
        if self.looks.secrets || literal { read } else { Ok(read.unwrap_or_else(|_| Secret::stand_in())) }
    }

    /// A text as it is written, unless it is a credential; or what its reference holds.
    pub(super) fn text(&mut self, name: &str, written: settings::Text) -> Result<Secret, String> {
        self.read_text(name, written, Secret::weakness)
    }

    fn read_text(
        &mut self,
        name: &str,
        written: settings::Text,
        weakness: fn(&Secret) -> Option<String>,
    ) -> Result<Secret, String> {
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
        match weakness(&secret) {
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
