//! All stores of one gateway, as the config names them: what opens them, asks how they are, and keeps what this process
//! knows of them up to date.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{debug, info, warn};

use super::{
    Accounts, ApiKeys, Audit, Cache, Counting, DatabaseUrl, Micros, Oauth, RedisUrl, RefreshTokens,
    RevocationList, Revocations, SigningKeys, State, StoreError,
    memory::MemoryCache,
    redis::Redis,
    sql::{self, Database},
};

/// How often what others have revoked is read, and the stores are asked whether they are there.
const WATCH: Duration = Duration::from_secs(1);
/// How often it is written down when API keys were used last.
const NOTE_USES: Duration = Duration::from_secs(30);
/// How often what is over is forgotten, and how long after it was over.
const TIDY: Duration = Duration::from_secs(600);
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the stores are, and how long they are waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub database: DatabaseUrl,
    /// Where the cache and the counters are; in this process without.
    pub redis: Option<RedisUrl>,
    /// The longest an operation of the database may take, the wait for a connection included.
    pub timeout: Duration,
    /// The longest the wait for a connection may take.
    pub connect_timeout: Duration,
    /// The most connections: PostgreSQL's, or SQLite's readers.
    pub connections: u32,
    /// The longest an operation of Redis may take.
    pub redis_timeout: Duration,
    /// What the counters' keys in Redis begin with.
    pub redis_prefix: String,
    /// The gateway takes calls only while the stores can be reached.
    pub ready: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            database: DatabaseUrl::Sqlite("data/propylon.db".into()),
            redis: None,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            connections: 10,
            redis_timeout: Duration::from_millis(500),
            redis_prefix: "propylon:".to_owned(),
            ready: false,
        }
    }
}

impl Settings {
    /// What of [`Stores::refused`] is seen without making or opening anything.
    #[must_use]
    pub fn unlikely(&self) -> Option<String> {
        sql::unlikely(&self.database)
    }
}

/// The stores. Nothing is opened until it is used.
pub struct Stores {
    pub accounts: Arc<dyn Accounts>,
    pub api_keys: Arc<dyn ApiKeys>,
    pub refresh_tokens: Arc<dyn RefreshTokens>,
    pub oauth: Arc<dyn Oauth>,
    pub signing_keys: Arc<dyn SigningKeys>,
    pub revocations: Arc<dyn Revocations>,
    pub audit: Arc<dyn Audit>,
    pub cache: Arc<dyn Cache>,
    /// What is revoked, as this process knows it; kept up to date by [`Stores::watch`].
    pub revoked: Arc<RevocationList>,
    /// Where calls are counted.
    pub counting: Counting,
    /// The gateway takes calls only while they can be reached.
    pub required: bool,
    database: Arc<Database>,
    redis: Option<Arc<Redis>>,
    /// When API keys were used last, until it is written down.
    uses: Mutex<HashMap<String, Micros>>,
}

/// How one store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// `database` or `redis`
    pub store: &'static str,
    /// Without a password.
    pub address: String,
    pub state: State,
    /// How long its last answer took; `None` while it is away, or nobody has asked it.
    pub latency: Option<Duration>,
    /// Operations that it answered, and that it did not, since the start.
    pub answered: u64,
    pub failed: u64,
    /// How often it was found to be away.
    pub outages: u64,
}

impl Stores {
    /// Must be called in the runtime that outlives the others.
    ///
    /// # Errors
    /// TLS to Redis cannot be set up.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        let database = Arc::new(Database::new(&sql::Settings {
            url: settings.database.clone(),
            timeout: settings.timeout,
            connect_timeout: settings.connect_timeout,
            connections: settings.connections,
        }));
        let redis = settings.redis.as_ref();
        let redis = redis.map(|url| Redis::new(url, settings.redis_timeout, &settings.redis_prefix));
        let redis = redis.transpose()?.map(Arc::new);
        Ok(Self {
            accounts: Arc::clone(&database) as _,
            api_keys: Arc::clone(&database) as _,
            refresh_tokens: Arc::clone(&database) as _,
            oauth: Arc::clone(&database) as _,
            signing_keys: Arc::clone(&database) as _,
            revocations: Arc::clone(&database) as _,
            audit: Arc::clone(&database) as _,
            cache: match &redis {
                Some(redis) => Arc::clone(redis) as _,
                None => Arc::new(MemoryCache::default()),
            },
            revoked: Arc::default(),
            counting: Counting { local: Arc::default(), shared: redis.clone().map(|redis| redis as _) },
            required: settings.ready,
            database,
            redis,
            uses: Mutex::default(),
        })
    }

    /// Notes that an API key was used; written down with others a little later.
    pub fn key_used(&self, id: &str, now: Micros) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        match uses.get_mut(id) {
            Some(at) => *at = now.max(*at),
            None => drop(uses.insert(id.to_owned(), now)),
        }
    }

    /// How the stores are doing, as far as is known.
    #[must_use]
    pub fn health(&self) -> Vec<StoreHealth> {
        let mut stores = vec![self.database.health()];
        stores.extend(self.redis.as_ref().map(|redis| redis.health()));
        stores
    }

    /// True while every store can be reached, as far as is known; without `database` that one does not matter.
    #[must_use]
    pub fn are_up(&self, database: bool) -> bool {
        let up = |health: StoreHealth| matches!(health.state, State::Up { .. });
        (!database || up(self.database.health()))
            && self.redis.as_ref().is_none_or(|redis| up(redis.health()))
    }

    /// Why nothing can be kept, where waiting does not help: SQLite's file, which is made where it is missing, cannot be had.
    /// A server that is away comes back.
    pub async fn refused(&self) -> Option<String> {
        self.database.refused().await
    }

    /// Asks each store whether it is there, and waits for the answers. The database's schema is then up to date.
    ///
    /// # Errors
    /// The first that is not there; the database's comes first.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let redis = async {
            match &self.redis {
                Some(redis) => redis.ping().await,
                None => Ok(()),
            }
        };
        let (database, redis) = tokio::join!(self.database.ping(), redis);
        database.and(redis)
    }

    /// Asks whether the database answers; nothing is made in it.
    ///
    /// # Errors
    /// It does not.
    pub async fn ask_database(&self) -> Result<(), StoreError> {
        self.database.answers().await
    }

    /// Asks whether Redis answers, where there is one.
    ///
    /// # Errors
    /// It does not.
    pub async fn ask_redis(&self) -> Result<(), StoreError> {
        match &self.redis {
            Some(redis) => redis.ping().await,
            None => Ok(()),
        }
    }

    /// Other processes may have put into the cache what is in it.
    #[must_use]
    pub fn share_cache(&self) -> bool {
        self.redis.is_some()
    }

    /// Finds out when a Redis that was away is back. Runs until it is dropped.
    pub async fn watch_redis(&self) {
        let Some(redis) = &self.redis else { return };
        let mut tick = interval(WATCH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // What goes wrong is logged by the gate, once.
            let _ = redis.ping().await;
        }
    }

    /// Reads what others have revoked, notes the use of keys, forgets what is over, and finds out when the database that was
    /// away is back. `heard` is told once it is known what has been revoked. Runs until it is dropped.
    pub async fn watch(&self, heard: oneshot::Sender<()>) {
        let (mut heard, mut silent) = (Some(heard), false);
        let mut tick = interval(WATCH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut noted, mut tidied) = (Instant::now(), Instant::now());
        loop {
            tick.tick().await;
            let now = Micros::now();
            let read = self.revoked.read(&*self.revocations, now).await;
            if read.is_ok() {
                // Nobody may wait any more.
                let _ = heard.take().map(|heard| heard.send(()));
            }
            // What goes wrong is logged by the gate, once; here what it means.
            if heard.is_none() && silent != read.is_err() {
                silent = read.is_err();
                match silent {
                    true => warn!(
                        "what other gateways revoke is not heard of until the database is back; what is known to be \
                         revoked stays so"
                    ),
                    false => info!("what other gateways have revoked is known again"),
                }
            }
            if noted.elapsed() >= NOTE_USES {
                noted = Instant::now();
                self.note_uses().await;
            }
            if tidied.elapsed() >= TIDY {
                tidied = Instant::now();
                self.tidy(now).await;
            }
        }
    }

    /// Writes down when API keys were used last. For the end of the process too.
    pub async fn note_uses(&self) {
        let uses = std::mem::take(&mut *self.uses.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return;
        }
        let uses: Vec<_> = uses.into_iter().collect();
        if self.api_keys.used(&uses).await.is_err() {
            for (id, at) in &uses {
                self.key_used(id, *at);
            }
        }
    }

    async fn tidy(&self, now: Micros) {
        self.revoked.forget(now);
        let before = now.before(KEEP);
        let forgotten = tokio::try_join!(
            self.revocations.forget(before),
            self.refresh_tokens.forget(before),
            self.oauth.forget(before)
        );
        match forgotten {
            Ok((revocations, sessions, programs)) => {
                debug!(revocations, sessions, programs, "forgot what is over");
            }
            Err(StoreError::Away { .. }) => {}
            Err(error) => warn!("cannot forget what is over: {error}"),
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("health", &self.health()).finish_non_exhaustive()
    }
}
