//! `propylon openapi`: the OpenAPI document of what a gateway with this config would serve.

use http::Uri;

use super::{Failure, Openapi, say, serve, up};
use crate::{
    config::{SchemaSource, Sources},
    gateway::{Gateway, log},
};

/// An address of `--server`, without the slash at its end: the paths behind it begin with one.
pub(super) fn server(text: &str) -> Result<String, String> {
    let wanted = "it is http://HOST, https://HOST or a path, such as https://api.example.com/v2";
    let uri: Uri = text.parse().map_err(|error| format!("{error}; {wanted}"))?;
    let whole =
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if !(whole || text.starts_with('/')) || uri.query().is_some() || text.contains('#') {
        return Err(wanted.to_owned());
    }
    let bare = text.trim_end_matches('/');
    Ok(if bare.is_empty() { "/".to_owned() } else { bare.to_owned() })
}

pub(super) fn run(arguments: &Openapi) -> Result<(), Failure> {
    let (mut config, written) =
        serve::load(&Sources::of_process(arguments.config.as_deref()).without_secrets())?;
    if !arguments.grpc.is_empty() {
        up::add(&mut config, &arguments.grpc)?;
        // As `up` serves them.
        config.rest.method_paths = true;
    }
    log::start(config.log);
    let asked: Vec<_> = config
        .upstreams
        .iter()
        .filter(|upstream| matches!(upstream.schema, SchemaSource::Reflection { .. }))
        .map(|upstream| (upstream.name.clone(), upstream.addresses.to_string()))
        .collect();
    let runtime = serve::runtime()?;
    let gateway = runtime
        .block_on(Gateway::only_to_ask(config))
        .map_err(|error| serve::wrong(written.report(&error.mistakes())))?;
    let catalog = gateway.catalog();
    let silent = asked.iter().find(|(name, _)| {
        !catalog.sources().iter().any(|source| source.name() == &**name && source.files.is_some())
    });
    if let Some((name, address)) = silent {
        // A document that lacks a part in silence would be taken for whole.
        return Err(Failure::system(format!(
            "upstream {name:?} ({address}) does not answer reflection, so the document would lack its methods"
        )));
    }
    say(&gateway.openapi(&arguments.server));
    runtime.shutdown_background();
    Ok(())
}
