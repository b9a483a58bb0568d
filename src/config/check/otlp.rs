//! `[otlp]` and `[traces]` checked: where a collector is, what it is told, and how much.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderName, Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

use super::{Check, has_credentials};
use crate::{
    config::{
        Address, Addresses, Collector, Pair, Resource, Secret, Traces,
        mistake::Mistake,
        otlp::TIMEOUT,
        settings::{self, Compression, OtlpProtocol, Propagator, TraceTrust},
    },
    otlp::Trust,
};

/// The ports that OTLP has.
const GRPC_PORT: u16 = 4317;
const HTTP_PORT: u16 = 4318;

/// `[otlp]`, for all that is sent.
pub(super) struct Otlp {
    endpoint: Option<(Address, String)>,
    protocol: Option<OtlpProtocol>,
    headers: Vec<(HeaderName, Secret)>,
    timeout: Duration,
    gzip: bool,
    ca: Option<PathBuf>,
    client: Option<Pair>,
    pub(super) resource: Resource,
}

/// What a section says of where its own is sent.
pub(super) struct Own<'a> {
    pub(super) section: &'a str,
    /// Where it goes below the path that all have.
    pub(super) suffix: &'a str,
    pub(super) endpoint: Option<String>,
    pub(super) protocol: Option<OtlpProtocol>,
    pub(super) headers: (BTreeMap<String, settings::Text>, Option<settings::Text>),
    pub(super) timeout: Option<settings::Time>,
}

impl Check<'_> {
    pub(super) fn otlp(&mut self, written: settings::Otlp) -> Otlp {
        let endpoint = written.endpoint.and_then(|text| self.found.take("otlp.endpoint", endpoint(&text)));
        let address = endpoint.as_ref().map(|(address, _)| Addresses::from(address.clone()));
        let default = Resource::default();
        Otlp {
            protocol: written.protocol,
            headers: self.otlp_headers("otlp", written.headers, written.headers_from),
            timeout: self.time("otlp.timeout", written.timeout, TIMEOUT),
            gzip: written.compression == Some(Compression::Gzip),
            ca: self.ca("otlp.ca", written.ca, address.as_ref()),
            client: self.client_pair(
                "otlp",
                written.client_certificate,
                written.client_key,
                address.as_ref(),
            ),
            resource: Resource {
                service: written.service.unwrap_or(default.service),
                attributes: written.resource.into_iter().collect(),
            },
            endpoint,
        }
    }

    pub(super) fn traces(&mut self, written: settings::Traces, otlp: &Otlp) -> Traces {
        let default = Traces::default();
        let wanted = written.enabled;
        let own = Own {
            section: "traces",
            suffix: "/v1/traces",
            endpoint: written.endpoint,
            protocol: written.protocol,
            headers: (written.headers, written.headers_from),
            timeout: written.timeout,
        };
        let collector = self.collector(own, otlp).filter(|_| wanted != Some(false));
        if wanted == Some(true)
            && collector.is_none()
            && !self.found.below("otlp")
            && !self.found.below("traces")
        {
            let message =
                "there is no endpoint to send them to: otlp.endpoint, or traces.endpoint, says where";
            self.found.add("traces.enabled", message);
        }
        let sample = written.sample.unwrap_or(default.sample);
        if !(0.0..=1.0).contains(&sample) {
            self.found.add("traces.sample", format!("{sample} is no share: it is from 0 to 1"));
        }
        let queue = written.queue.unwrap_or(default.queue);
        if let Some(batch) = written.batch.filter(|batch| *batch > queue) {
            let message = format!("{batch} at once are more than wait at all ({queue}, traces.queue)");
            self.found.add("traces.batch", message);
        }
        let has = |one| written.propagators.as_ref().is_none_or(|all| all.contains(&one));
        Traces {
            collector,
            resource: otlp.resource.clone(),
            sample,
            by_parent: written.by_parent.unwrap_or(default.by_parent),
            trust: written.trust.map_or(default.trust, |trust| match trust {
                TraceTrust::Everyone => Trust::Everyone,
                TraceTrust::Proxies => Trust::Proxies,
                TraceTrust::Nobody => Trust::Nobody,
            }),
            context: has(Propagator::TraceContext),
            baggage: has(Propagator::Baggage),
            user_ids: written.user_ids.unwrap_or(default.user_ids),
            queue,
            batch: written.batch.unwrap_or(default.batch.min(queue)),
            delay: self.time("traces.delay", written.delay, default.delay),
        }
    }

    /// Where what a section is about is sent.
    pub(super) fn collector(&mut self, own: Own<'_>, otlp: &Otlp) -> Option<Collector> {
        let key = |name: &str| format!("{}.{name}", own.section);
        let headers = self.otlp_headers(own.section, own.headers.0, own.headers.1);
        let timeout = self.time(&key("timeout"), own.timeout, otlp.timeout);
        let its_own = own.endpoint.is_some();
        let (address, path) = match own.endpoint {
            Some(text) => self.found.take(key("endpoint"), endpoint(&text))?,
            None => otlp.endpoint.clone()?,
        };
        let bare = path.trim_end_matches('/');
        let looks = if !bare.is_empty() || address.port == HTTP_PORT {
            OtlpProtocol::Http
        } else {
            OtlpProtocol::Grpc
        };
        let protocol = own.protocol.or(otlp.protocol).unwrap_or(looks);
        let at = if its_own { key("endpoint") } else { "otlp.endpoint".to_owned() };
        let path = match protocol {
            OtlpProtocol::Grpc if !bare.is_empty() => {
                self.found.add(at, "OTLP/gRPC has no path; the protocol of a path is http/protobuf");
                return None;
            }
            OtlpProtocol::Grpc => None,
            OtlpProtocol::Http if its_own => Some(path),
            OtlpProtocol::Http => Some(format!("{bare}{}", own.suffix)),
        };
        let (usual, other, speaks) = match protocol {
            OtlpProtocol::Grpc => (GRPC_PORT, HTTP_PORT, "OTLP/gRPC"),
            OtlpProtocol::Http => (HTTP_PORT, GRPC_PORT, "OTLP/HTTP"),
        };
        if address.port == other {
            let message = format!("{other} is the port of the other protocol; {speaks} mostly has {usual}");
            self.found.push(Mistake::new(at.clone(), message).warning());
        }
        let path = match path.map(PathAndQuery::try_from).transpose() {
            Ok(path) => path,
            Err(error) => {
                self.found.add(at, error.to_string());
                return None;
            }
        };
        let (ca, client) = (otlp.ca.clone(), otlp.client.clone());
        let headers = if headers.is_empty() { otlp.headers.clone() } else { headers };
        Some(Collector { address, path, headers, timeout, gzip: otlp.gzip, ca, client })
    }

    /// What is sent along: one by one, or all in one secret.
    fn otlp_headers(
        &mut self,
        section: &str,
        written: BTreeMap<String, settings::Text>,
        all: Option<settings::Text>,
    ) -> Vec<(HeaderName, Secret)> {
        let mut headers = self.metadata(&format!("{section}.headers"), written);
        let Some(all) = all else { return headers };
        let path = format!("{section}.headers_from");
        let literal = matches!(all, settings::Text::Literal(_));
        if !self.looks.secrets && !literal {
            return headers;
        }
        // Whatever is in it, it is to be where credentials are.
        let read = self.text_or_stand_in("headers_credentials", all).and_then(|all| parts(&all));
        headers.extend(self.found.take(path, read).unwrap_or_default());
        headers
    }
}

/// `NAME=VALUE` with commas between them, values percent-encoded, as `OTEL_EXPORTER_OTLP_HEADERS` has them. What a value is,
/// is not told.
fn parts(all: &Secret) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut headers = Vec::new();
    for (number, part) in (1..).zip(all.expose().split(',')).filter(|(_, part)| !part.trim().is_empty()) {
        let wrong = |why: &str| format!("entry {number} of the headers {why}");
        let (name, value) = part.split_once('=').ok_or_else(|| wrong("is not NAME=VALUE"))?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong("has no header's name"))?;
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong("is not UTF-8"))?;
        if http::HeaderValue::from_str(&value).is_err() {
            return Err(wrong("has a value that cannot be sent"));
        }
        headers.push((name, Secret::new(&value)));
    }
    Ok(headers)
}

/// A collector's address, with its path.
fn endpoint(text: &str) -> Result<(Address, String), String> {
    if has_credentials(text) {
        return Err("the address has a user or a password; credentials go into otlp.headers".to_owned());
    }
    let wrong = |why: &str| {
        format!("{text:?} is not a collector's address{why}; it is http://HOST:PORT or https://HOST[:PORT]")
    };
    let uri: Uri = text.parse().map_err(|error| wrong(&format!(" ({error})")))?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong("")),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong(" (no host)"))?;
    let port = uri.port_u16().or(tls.then_some(443)).filter(|port| *port > 0);
    let port = port.ok_or_else(|| wrong(" (no port: OTLP/gRPC mostly has 4317, OTLP/HTTP 4318)"))?;
    let path = uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    Ok((Address { tls, host: host.trim_matches(['[', ']']).to_owned(), port }, path))
}
