//! A connection that has switched to another protocol: bytes go both ways until both sides have ended.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::call::{Guards, Upgrade};

/// Joins the client's connection and the upstream's, once both have switched. Guards live until the tunnel ends.
pub(super) fn open(client: Upgrade, upstream: OnUpgrade, guards: Guards) {
    tokio::spawn(async move {
        let Upgrade { on, lasting, .. } = client;
        let (client, upstream) = match tokio::try_join!(on, upstream) {
            Ok(both) => both,
            Err(error) => return tracing::debug!("a tunnel was not opened: {error}"),
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
            tracing::debug!("a tunnel broke: {error}");
        }
        drop((lasting, guards));
    });
}
