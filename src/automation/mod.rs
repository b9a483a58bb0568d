//! The automation services: playbooks, the types of their variables, favourites, the catalogue of Galaxy. Domain code that knows nothing of the
//! gateway: tonic services that read from the metadata who calls, so that they run in the gateway's process or as an upstream
//! of their own, unchanged.

mod caller;
mod content;
mod favorites;
mod galaxy;
mod galaxy_service;
mod playbooks;
mod problem;
mod types;
mod variable_types;
mod version;

use std::{fmt, sync::Arc};

use tokio::sync::Semaphore;
use tonic::codec::CompressionEncoding;

pub use self::galaxy::{Base as GalaxyBase, Galaxy, Phase, Progress, Settings as GalaxySettings};
use self::{
    favorites::Favorites, galaxy_service::Catalogue, playbooks::Playbooks, variable_types::VariableTypes,
};
use crate::{
    proto::automation_v1::{
        favorite_service_server::{FavoriteService, FavoriteServiceServer},
        galaxy_service_server::{GalaxyService, GalaxyServiceServer},
        playbook_service_server::{PlaybookService, PlaybookServiceServer},
        variable_type_service_server::{VariableTypeService, VariableTypeServiceServer},
    },
    route::Limits,
    store::Stores,
};

/// What the services share, once for a process.
pub struct Automation {
    stores: Arc<Stores>,
    galaxy: Arc<Galaxy>,
    /// Of those who write playbooks.
    turns: Arc<Semaphore>,
}

/// How many playbooks are written at the same time.
const WRITERS: usize = 4;

/// A generated server that reads and writes compressed messages, and knows the limits of one.
macro_rules! server {
    ($server:expr, $limits:expr) => {
        $server
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size($limits.request_bytes)
            .max_encoding_message_size($limits.response_bytes)
    };
}

impl Automation {
    #[must_use]
    pub fn new(stores: Arc<Stores>, galaxy: GalaxySettings) -> Self {
        let turns = Arc::new(Semaphore::new(WRITERS));
        Self { galaxy: Arc::new(Galaxy::new(&stores, galaxy)), stores, turns }
    }

    /// The catalogue, to be begun where it is to be read before anybody asks.
    #[must_use]
    pub fn galaxy(&self) -> &Arc<Galaxy> {
        &self.galaxy
    }

    /// `GalaxyService`
    #[must_use]
    pub fn catalogue(&self, limits: Limits) -> GalaxyServiceServer<impl GalaxyService + use<>> {
        server!(GalaxyServiceServer::new(Catalogue(Arc::clone(&self.galaxy))), limits)
    }

    /// `PlaybookService`
    #[must_use]
    pub fn playbooks(&self, limits: Limits) -> PlaybookServiceServer<impl PlaybookService + use<>> {
        let service = Playbooks { store: Arc::clone(&self.stores.playbooks), turns: Arc::clone(&self.turns) };
        server!(PlaybookServiceServer::new(service), limits)
    }

    /// `VariableTypeService`
    #[must_use]
    pub fn variable_types(
        &self,
        limits: Limits,
    ) -> VariableTypeServiceServer<impl VariableTypeService + use<>> {
        let service = VariableTypes { store: Arc::clone(&self.stores.variable_types) };
        server!(VariableTypeServiceServer::new(service), limits)
    }

    /// `FavoriteService`
    #[must_use]
    pub fn favorites(&self, limits: Limits) -> FavoriteServiceServer<impl FavoriteService + use<>> {
        let service = Favorites { store: Arc::clone(&self.stores.favorites) };
        server!(FavoriteServiceServer::new(service), limits)
    }
}

impl fmt::Debug for Automation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Automation")
    }
}
