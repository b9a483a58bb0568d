//! What of the gateway's own is there to be asked: its stores, and its upstreams, of which calls know more than any probe.

use std::{collections::HashMap, sync::Arc};

use crate::{
    dispatch::{Condition, HttpUpstream, Upstream},
    store::Stores,
};

/// What probes of the gateway's own things reach.
#[derive(Debug, Clone)]
pub struct Reaches {
    pub stores: Arc<Stores>,
    pub upstreams: HashMap<Arc<str>, Reached>,
}

/// An upstream, whatever it speaks.
#[derive(Debug, Clone)]
pub enum Reached {
    Grpc(Arc<Upstream>),
    Http(Arc<HttpUpstream>),
}

impl Reached {
    pub(super) fn condition(&self) -> Condition {
        match self {
            Self::Grpc(upstream) => upstream.condition(),
            Self::Http(upstream) => upstream.condition(),
        }
    }

    /// What calls have told of it; where they have told nothing, whether it can be connected to.
    pub(super) async fn ask(&self) -> Result<(), String> {
        match self.condition() {
            Condition::Down(why) => return Err(why.to_owned()),
            Condition::Up => return Ok(()),
            Condition::Unknown => {}
        }
        match self {
            Self::Grpc(upstream) => upstream.reach().await,
            Self::Http(upstream) => upstream.reach().await,
        }
    }
}
