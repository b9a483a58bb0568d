//! The health of what the gateway stands on, as the gateway puts it together: the probes of a config with what they reach, and
//! what `grpc.health.v1` says of services whose upstream is down.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::{Gateway, upstreams::ByName};
use crate::{
    config::Config,
    dispatch::{Condition, HttpUpstream, Upstream},
    health::{Figures, Monitor, Reached, Reaches},
    store::{DatabaseUrl, Stores},
};

/// How often it is looked at which upstreams are down.
const LOOK: Duration = Duration::from_millis(250);

/// The figures of a process that keeps its data where this config says.
pub(super) fn figures(config: &Config) -> Arc<Figures> {
    let folder = match &config.store.database {
        DatabaseUrl::Sqlite(file) => file.parent().map(Path::to_owned).unwrap_or_default(),
        DatabaseUrl::Postgres(_) => PathBuf::new(),
    };
    Arc::new(Figures::new(folder))
}

/// The probes of a config, with what they reach; those `before` say whom they have seen.
pub(super) fn monitor(
    config: &Config,
    stores: &Arc<Stores>,
    (upstreams, proxied): (&ByName<Arc<Upstream>>, &ByName<Arc<HttpUpstream>>),
    figures: &Arc<Figures>,
    before: Option<&Monitor>,
) -> Arc<Monitor> {
    let grpc = upstreams.iter().map(|(name, upstream)| (name, Reached::Grpc(Arc::clone(upstream))));
    let http = proxied.iter().map(|(name, upstream)| (name, Reached::Http(Arc::clone(upstream))));
    let upstreams = grpc.chain(http).map(|(name, reached)| (Arc::clone(name), reached)).collect();
    let reaches = Reaches { stores: Arc::clone(stores), upstreams };
    Arc::new(Monitor::new(&config.health, reaches, Arc::clone(figures), before))
}

/// Says on the board which upstreams are down, until the gateway is gone: what serves their services does not serve.
pub(super) async fn tell(gateway: Weak<Gateway>) {
    while let Some(gateway) = gateway.upgrade() {
        let (upstreams, monitor) = {
            let current = gateway.current();
            (current.parts.upstreams.clone(), Arc::clone(&current.parts.monitor))
        };
        let down = upstreams.iter().filter(|(name, upstream)| match upstream.condition() {
            Condition::Down(_) => true,
            Condition::Up => false,
            Condition::Unknown => monitor.misses(name),
        });
        let down: BTreeSet<Arc<str>> = down.map(|(name, _)| Arc::clone(name)).collect();
        gateway.board.set_down(down);
        drop(gateway);
        sleep(LOOK).await;
    }
}
