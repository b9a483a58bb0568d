//! Upstreams and descriptor files as the config names them; what has not changed is what it was, connections included.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use http::{HeaderName, HeaderValue};

use crate::{
    config::{self, Config, Pair, SchemaSource, read_file},
    dispatch::{HttpSettings, HttpUpstream, Identity, Roots, Settings, Tls, Upstream},
    federation::Server,
    schema::Schema,
    services::admin::Mistake,
    snapshot::Known,
};

/// An upstream with the settings it was made with.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    settings: Settings,
    pub(super) upstream: Arc<Upstream>,
}

/// What there is by the upstreams' names.
pub(super) type ByName<T> = HashMap<Arc<str>, T>;

/// A config's upstreams, and the schemas of those that have a descriptor file.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) reached: ByName<Reached>,
    pub(super) described: ByName<Arc<Known>>,
    /// Those that speak plain HTTP.
    pub(super) proxied: ByName<Arc<HttpUpstream>>,
    /// Federated MCP servers.
    pub(super) servers: ByName<Arc<Server>>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Makes the upstreams of a config and reads their files. What `before` and `known` have already is taken from there.
pub(super) fn prepare(
    config: &Config,
    before: &ByName<Reached>,
    proxied: &ByName<Arc<HttpUpstream>>,
    known: &ByName<Arc<Known>>,
    built_in: &Known,
) -> Prepared {
    let mut prepared = Prepared::default();
    for written in &config.upstreams {
        let name = &written.name;
        let made = settings(written).and_then(|settings| match before.get(name) {
            Some(reached) if reached.settings == settings => Ok(reached.clone()),
            _ => {
                let upstream = Upstream::new(settings.clone(), config.workers).map_err(|why| ("", why))?;
                let upstream = Arc::new(upstream);
                Ok(Reached { settings, upstream })
            }
        });
        match made {
            Ok(reached) => {
                prepared.reached.insert(Arc::clone(name), reached);
            }
            Err((key, why)) => {
                prepared.mistake(format!("upstreams.{name}{key}"), format!("upstream {name:?}: {why}"));
            }
        }
        let SchemaSource::Descriptors(file) = &written.schema else { continue };
        match descriptors(name, file) {
            Ok(schema) => {
                let same = known.get(name).filter(|known| known.schema.same_files(&schema));
                let schema = same.map_or_else(|| Arc::new(Known::new(schema, &built_in.schema)), Arc::clone);
                prepared.described.insert(Arc::clone(name), schema);
            }
            Err(why) => prepared.mistake(format!("upstreams.{name}.descriptors"), why),
        }
    }
    for written in &config.http_upstreams {
        let name = &written.name;
        let made = http_settings(written).and_then(|settings| match proxied.get(name) {
            Some(upstream) if *upstream.settings() == settings => Ok(Arc::clone(upstream)),
            _ => HttpUpstream::new(settings, config.workers).map(Arc::new).map_err(|why| ("", why)),
        });
        match made {
            Ok(upstream) => {
                prepared.proxied.insert(Arc::clone(name), upstream);
            }
            Err((key, why)) => {
                prepared.mistake(format!("upstreams.{name}{key}"), format!("upstream {name:?}: {why}"));
            }
        }
    }
    prepared
}

impl Prepared {
    pub(super) fn mistake(&mut self, subject: String, message: String) {
        self.mistakes.push(Mistake { subject, message });
    }
}

/// What is wrong, and with which key.
pub(super) type Wrong = (&'static str, String);

pub(super) fn roots(ca: Option<&Path>) -> Result<Roots, Wrong> {
    let Some(file) = ca else { return Ok(Roots::Native) };
    let why = |why| (".ca", format!("ca {}: {why}", file.display()));
    Ok(Roots::Pem(read_file(file).map_err(why)?))
}

/// The certificate that is shown to an upstream. Both files are of one moment, or they do not belong together.
pub(super) fn identity(pair: Option<&Pair>) -> Result<Option<Identity>, Wrong> {
    let Some(pair) = pair else { return Ok(None) };
    pair.read().map_err(|bad| match bad.file {
        "key" => (".client_key", bad.why),
        _ => (".client_certificate", bad.why),
    })?;
    let certificate = read_file(&pair.certificate).map_err(|why| (".client_certificate", why))?;
    let key = read_file(&pair.key).map_err(|why| (".client_key", why))?;
    Ok(Some(Identity { certificate, key }))
}

fn authority(written: Option<&str>) -> Result<Option<http::uri::Authority>, Wrong> {
    let Some(text) = written else { return Ok(None) };
    let why = |error| (".authority", format!("authority {text:?}: {error}"));
    Ok(Some(text.parse().map_err(why)?))
}

/// How dispatch reaches an upstream that speaks plain HTTP.
fn http_settings(written: &config::HttpUpstream) -> Result<HttpSettings, Wrong> {
    let roots = roots(written.ca.as_deref())?;
    let (server_name, identity) = (written.server_name.clone(), identity(written.client.as_ref())?);
    Ok(HttpSettings {
        name: Arc::clone(&written.name),
        hosts: written.addresses.hosts().collect(),
        http2: written.http2,
        resilience: written.resilience.clone(),
        tls: written.addresses.tls().then_some(Tls { roots, server_name, identity }),
        authority: authority(written.authority.as_deref())?,
        headers: written.headers.iter().filter_map(metadata).collect(),
        connect_timeout: written.connect_timeout,
        handshake_timeout: written.handshake_timeout,
    })
}

/// How dispatch reaches an upstream.
fn settings(written: &config::Upstream) -> Result<Settings, Wrong> {
    let roots = roots(written.ca.as_deref())?;
    let (server_name, identity) = (written.server_name.clone(), identity(written.client.as_ref())?);
    let authority = authority(written.authority.as_deref())?;
    Ok(Settings {
        hosts: written.addresses.hosts().collect(),
        resilience: written.resilience.clone(),
        tls: written.addresses.tls().then_some(Tls { roots, server_name, identity }),
        authority,
        metadata: written.metadata.iter().filter_map(metadata).collect(),
        connect_timeout: written.connect_timeout,
        handshake_timeout: written.handshake_timeout,
        keep_alive_interval: Some(written.keepalive_interval),
        keep_alive_timeout: written.keepalive_timeout,
        ..Settings::new(&written.name, "", 0)
    })
}

/// What can be sent was checked with the config; it is not shown.
pub(super) fn metadata((name, secret): &(HeaderName, config::Secret)) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::try_from(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some((name.clone(), value))
}

/// Reads a file with an encoded `google.protobuf.FileDescriptorSet`.
fn descriptors(upstream: &str, file: &Path) -> Result<Schema, String> {
    let wrong = |why: &dyn fmt::Display| {
        format!("upstream {upstream:?}: cannot use the descriptors {}: {why}", file.display())
    };
    let bytes = read_file(file).map_err(|why| wrong(&why))?;
    Schema::decode(&bytes).map_err(|error| wrong(&error))
}
