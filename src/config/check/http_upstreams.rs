//! `[[upstreams]]` with `http` checked.

use super::{Check, values::http_address};
use crate::config::{HttpUpstream, Upstream, mistake::Mistake, settings};

impl Check<'_> {
    /// `None` where it is not known where the upstream is.
    pub(super) fn http_upstream(
        &mut self,
        path: &str,
        mut written: settings::Upstream,
    ) -> Option<HttpUpstream> {
        let key = |name: &str| format!("{path}.{name}");
        let resilience = self.resilience(path, &mut written, false);
        let of_grpc = [
            ("descriptors", written.descriptors.is_some()),
            ("reflection", written.reflection.is_some()),
            ("reflection_interval", written.reflection_interval.is_some()),
            ("services", written.services.is_some()),
            ("keepalive_interval", written.keepalive_interval.is_some()),
            ("keepalive_timeout", written.keepalive_timeout.is_some()),
        ];
        for (name, _) in of_grpc.iter().filter(|(_, there)| *there) {
            let message = format!("{name} is for an upstream with `grpc`; this one has `http`");
            self.found.push(Mistake::new(key(name), message).of_key());
        }
        let addresses = self.addresses(&key("http"), written.http.as_ref(), http_address);
        let authority = self.authority(&key("authority"), written.authority);
        let ca = self.ca(&key("ca"), written.ca, addresses.as_ref());
        let server_name = self.server_name(&key("server_name"), written.server_name, addresses.as_ref());
        let client =
            self.client_pair(path, written.client_certificate, written.client_key, addresses.as_ref());
        let headers = self.metadata(&key("metadata"), written.metadata);
        let default = Upstream::at(&written.name, addresses?);
        Some(HttpUpstream {
            name: default.name,
            addresses: default.addresses,
            http2: written.http2.unwrap_or(false),
            resilience,
            authority,
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
            timeout: self.some_time(&key("timeout"), written.timeout),
            ca,
            server_name,
            client,
            headers,
            forward_credentials: written.forward_credentials.unwrap_or(false),
        })
    }
}
