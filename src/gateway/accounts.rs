//! The gateway's accounts: the stores they are in, the keys that sign their tokens, and the tasks that keep both up to date.
//! They outlive every config.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use super::keyring::Keyring;
use crate::{
    auth::Https,
    config::{self, Config},
    services::{
        HealthBoard,
        accounts::{Directory, FirstAdmin, OperatorError, Passwords},
        oauth::Documents,
    },
    store::{StoreError, Stores},
};

/// How long the start waits for the stores; what is slower comes in when it can be reached.
const FIRST_CHANCE: Duration = Duration::from_secs(3);
/// How often readiness follows what is known of the stores.
const LOOK: Duration = Duration::from_millis(100);
/// How soon a database that is away is asked again for what the start needs.
const RETRY: Duration = Duration::from_secs(1);

/// The accounts of a config, for what the command line does to them. Nothing is opened until it is used; it must be called
/// in the runtime that uses it.
///
/// # Errors
/// The machine gives no randomness, or TLS to Redis cannot be set up; in words.
pub fn directory(config: &Config) -> Result<Arc<Directory>, String> {
    Accounts::new(config).map(|accounts| accounts.directory)
}

/// What is opened once for a process.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) stores: Arc<Stores>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) directory: Arc<Directory>,
    /// What is known of programs that are described elsewhere.
    pub(super) documents: Documents,
    /// False: nothing is kept, and no file is made.
    pub(super) in_use: bool,
    /// They end with the gateway.
    tasks: JoinSet<()>,
}

impl Accounts {
    /// Opens nothing yet.
    ///
    /// # Errors
    /// The machine gives no randomness, or TLS to Redis cannot be set up; in words.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let stores = Arc::new(Stores::new(&config.store).map_err(|error| error.to_string())?);
        let rules = config.accounts.rules.clone();
        let keyring = Arc::new(Keyring::new(rules.access_lifetime, config.callers.secret.as_ref())?);
        // As many as there are processors: more only wait for each other.
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let tokens = Arc::clone(&keyring) as _;
        let directory = Directory::new(Arc::clone(&stores), tokens, Passwords::new(at_once)?, rules);
        let in_use = config.built_ins.has_accounts();
        let directory = if in_use { directory } else { directory.unused() };
        let documents = Documents::new(Arc::new(Https::new(&[])?.of_strangers()));
        let directory = Arc::new(directory);
        Ok(Self { stores, keyring, directory, documents, in_use, tasks: JoinSet::new() })
    }

    /// Makes what a first start needs (the schema, a signing key, an admin) where the database can be reached, and else as
    /// soon as it can. The admin that was made now is in the answer; one that is made later is in the log.
    pub(super) async fn start(
        &mut self,
        config: &config::Accounts,
        board: &Arc<HealthBoard>,
    ) -> Option<FirstAdmin> {
        // Limits are counted there also where there are no accounts.
        let stores = Arc::clone(&self.stores);
        self.tasks.spawn(async move { stores.watch_redis().await });
        if self.stores.required {
            board.set_without_store(true);
            let (stores, board, in_use) = (Arc::clone(&self.stores), Arc::clone(board), self.in_use);
            self.tasks.spawn(async move { tell_readiness(&stores, &board, in_use).await });
        }
        if !self.in_use {
            return None;
        }
        let stores = Arc::clone(&self.stores);
        let (heard, hears) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move { stores.watch(heard).await });
        let (keyring, stores) = (Arc::clone(&self.keyring), Arc::clone(&self.stores));
        let (signs, signing) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move { keyring.keep(&stores, signs).await });
        let (directory, settings) = (Arc::clone(&self.directory), config.clone());
        let (tell, told) = tokio::sync::oneshot::channel();
        self.tasks.spawn(async move {
            let made = first_admin(&directory, &settings).await;
            // Nobody waits any more: it is told here.
            if let Err(Some(late)) = tell.send(made) {
                log(&late);
            }
        });
        let all = async { tokio::join!(told, signing, hears) };
        let Ok((admin, ..)) = timeout(FIRST_CHANCE, all).await else {
            warn!(
                "the stores cannot be reached yet; logins, accounts and API keys are unavailable until they can"
            );
            return None;
        };
        admin.ok().flatten()
    }
}

/// Says on the board whether the stores can be reached, without which no calls are taken. `database`: it is in use.
async fn tell_readiness(stores: &Stores, board: &HealthBoard, database: bool) {
    loop {
        let away = !stores.are_up(database);
        if board.set_without_store(away) {
            match away {
                true => warn!("no calls are taken until the stores can be reached again (store.ready)"),
                false => info!("the stores can be reached: calls are taken"),
            }
        }
        sleep(LOOK).await;
    }
}

/// Makes the first admin as soon as the database answers.
async fn first_admin(directory: &Directory, settings: &config::Accounts) -> Option<FirstAdmin> {
    let email = &settings.admin_email;
    let password = settings.admin_password.as_ref().map(config::callers::Private::expose);
    loop {
        match directory.first_admin(email, password).await {
            Ok(made) => return made,
            Err(OperatorError::Store(StoreError::Away { .. })) => sleep(RETRY).await,
            Err(other) => {
                error!("no admin was made: {other}");
                return None;
            }
        }
    }
}

/// Says of an admin what nobody else knows.
fn log(admin: &FirstAdmin) {
    match &admin.password {
        Some(password) => {
            warn!(email = admin.email, password, "an admin was made; its password is shown this once")
        }
        None => info!(email = admin.email, "an admin was made"),
    }
}
