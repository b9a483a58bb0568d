//! The keys of upstreams with their values.

use std::{path::PathBuf, time::Duration};

use super::Keys;
use crate::{
    config::{HttpUpstream, Pair, SchemaSource, Upstream},
    dispatch::Resilience,
};

impl Keys {
    pub(super) fn upstream(&mut self, upstream: &Upstream) {
        let Upstream {
            name,
            addresses,
            schema,
            services,
            connect_timeout,
            handshake_timeout,
            keepalive_interval,
            keepalive_timeout,
            timeout,
            authority,
            ca,
            server_name,
            client,
            metadata,
            style,
            forward_credentials,
            resilience,
        } = upstream;
        self.thing(&format!("upstream {name}"));
        let key = |key: &str| format!("upstreams.{name}.{key}");
        self.text(&key("grpc"), &addresses.to_string());
        self.resilience(name, resilience);
        let (source, interval) = match schema {
            SchemaSource::Descriptors(file) => (file.display().to_string(), None),
            SchemaSource::Reflection { interval } => ("reflection".to_owned(), Some(*interval)),
            SchemaSource::Unknown => ("none".to_owned(), None),
        };
        self.text(&key("schema"), &source);
        if let Some(interval) = interval {
            self.add(&key("reflection_interval"), &interval);
        }
        self.add(&key("services"), services);
        self.add(&key("connect_timeout"), connect_timeout);
        self.add(&key("handshake_timeout"), handshake_timeout);
        self.add(&key("keepalive_interval"), keepalive_interval);
        self.add(&key("keepalive_timeout"), keepalive_timeout);
        self.text(&key("timeout"), &timeout.map_or("none".to_owned(), |timeout| format!("{timeout:?}")));
        self.text(&key("authority"), authority.as_deref().unwrap_or("none"));
        self.text(&key("ca"), &ca.as_ref().map_or("none".to_owned(), |file| file.display().to_string()));
        self.text(&key("server_name"), server_name.as_deref().unwrap_or("none"));
        self.client(&key, client.as_ref());
        // That a secret is another one is seen, and what it is is not.
        let metadata: Vec<_> = metadata.iter().map(|(name, secret)| (name, secret.fingerprint())).collect();
        self.long(&key("metadata"), &metadata);
        self.long(&key("json"), style);
        self.add(&key("forward_credentials"), forward_credentials);
    }

    pub(super) fn http_upstream(&mut self, upstream: &HttpUpstream) {
        let HttpUpstream {
            name,
            addresses,
            http2,
            resilience,
            authority,
            connect_timeout,
            handshake_timeout,
            timeout,
            ca,
            server_name,
            client,
            headers,
            forward_credentials,
        } = upstream;
        self.thing(&format!("upstream {name}"));
        let key = |key: &str| format!("upstreams.{name}.{key}");
        self.text(&key("http"), &addresses.to_string());
        self.add(&key("http2"), http2);
        self.resilience(name, resilience);
        self.text(&key("authority"), authority.as_deref().unwrap_or("none"));
        self.add(&key("connect_timeout"), connect_timeout);
        self.add(&key("handshake_timeout"), handshake_timeout);
        self.text(&key("timeout"), &timeout.map_or("none".to_owned(), |timeout| format!("{timeout:?}")));
        self.text(&key("ca"), &ca.as_ref().map_or("none".to_owned(), |file| file.display().to_string()));
        self.text(&key("server_name"), server_name.as_deref().unwrap_or("none"));
        self.client(&key, client.as_ref());
        let headers: Vec<_> = headers.iter().map(|(name, secret)| (name, secret.fingerprint())).collect();
        self.long(&key("metadata"), &headers);
        self.add(&key("forward_credentials"), forward_credentials);
    }

    fn resilience(&mut self, upstream: &str, rules: &Resilience) {
        let Resilience {
            balance,
            resolve_interval,
            first_byte_timeout,
            idle_timeout,
            tunnel_idle_timeout,
            retry,
            breaker,
            ejection,
            health,
            limits,
        } = rules;
        let key = |key: &str| format!("upstreams.{upstream}.{key}");
        let time = |time: &Option<Duration>| time.map_or("none".to_owned(), |time| format!("{time:?}"));
        self.add(&key("balance"), balance);
        self.add(&key("resolve_interval"), resolve_interval);
        self.text(&key("first_byte_timeout"), &time(first_byte_timeout));
        self.text(&key("idle_timeout"), &time(idle_timeout));
        self.text(&key("tunnel_idle_timeout"), &time(tunnel_idle_timeout));
        self.long(&key("retry"), retry);
        self.long(&key("breaker"), breaker);
        self.long(&key("ejection"), ejection);
        self.long(&key("health"), health);
        self.long(&key("limits"), limits);
    }

    fn client(&mut self, key: &impl Fn(&str) -> String, client: Option<&Pair>) {
        let file = |file: Option<&PathBuf>| file.map_or("none".to_owned(), |file| file.display().to_string());
        self.text(&key("client_certificate"), &file(client.map(|pair| &pair.certificate)));
        self.text(&key("client_key"), &file(client.map(|pair| &pair.key)));
    }
}
