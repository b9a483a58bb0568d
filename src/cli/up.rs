//! `propylon up`: upstreams by their reflection, with no config at all.

use super::{Failure, Up, say, serve, table, warn};
use crate::{
    auth::Rule,
    config::{BuiltIn, Config, Glob, Own, Source as Written, Sources, Upstream, upstream_address},
    gateway::Source,
    route::Origins,
};

pub(super) fn run(arguments: &Up) -> Result<(), Failure> {
    let (config, written) = config(&arguments.grpc, arguments.listen.as_deref())?;
    if !config.listen.ip().is_loopback() {
        warn(&format!("every method of the upstream is open to whoever reaches {}", config.listen));
    }
    // What it runs on are the command line and the environment: reading them again gives the same.
    serve::serve(&written, Source::fixed(config), |words, paint| {
        let title = format!("propylon {}", env!("CARGO_PKG_VERSION"));
        say(&format!(
            "{}  {}\n",
            paint.bold(&title),
            paint.dim("gRPC, gRPC-Web, REST and MCP on the one port")
        ));
        say(table::table(words, paint).trim_end());
        say("");
        say(&paint.dim("Over REST each method is at POST /package.Service/Method too."));
        let pages = words.pages();
        if !pages.is_empty() {
            say(&format!("{}  {}", paint.dim("pages"), pages.join("  ")));
        }
        if let Some(mcp) = words.mcp() {
            say(&format!("{}    {mcp}", paint.dim("MCP")));
        }
        say("");
        let calls = words.calls();
        for call in &calls {
            say(&format!("  {}", paint.green(call)));
        }
        if !calls.is_empty() {
            say("");
        }
        say(&paint.bold(&format!("listening on {}://{}", words.scheme(), words.address)));
    })
}

/// The config of a gateway before these upstreams, and where its keys were written.
pub(super) fn config(upstreams: &[String], listen: Option<&str>) -> Result<(Config, Written), Failure> {
    let sources = Sources::of_process(None).with_flag("--listen", "gateway.listen", listen);
    let (mut config, written) = serve::load(&sources)?;
    config.rest.method_paths = true;
    config.mcp.expose = vec![Glob::all()];
    // Nothing is kept for it: no file is made where it is started.
    for own in [Own::Auth, Own::Users] {
        let off = BuiltIn { enabled: false, ..config.built_ins.get(own) };
        config.built_ins.set(own, off);
    }
    // Whoever starts this wants to call what is there.
    config.callers.rules.default = std::sync::Arc::new(Rule::public("propylon up"));
    if config.cors.origins == Origins::None {
        config.cors.origins = Origins::Loopback;
    }
    add(&mut config, upstreams)?;
    Ok((config, written))
}

/// Adds upstreams by their addresses alone.
pub(super) fn add(config: &mut Config, addresses: &[String]) -> Result<(), Failure> {
    for grpc in addresses {
        let address = upstream_address(grpc).map_err(|error| Failure::config(format!("--grpc: {error}")))?;
        let name = format!("{}:{}", address.host, address.port);
        if config.upstreams.iter().any(|upstream| *upstream.name == *name) {
            return Err(Failure::config(format!("--grpc: {name} is given twice")));
        }
        config.upstreams.push(Upstream::at(&name, address));
    }
    Ok(())
}
