//! `[store]` and `[accounts]` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Text, Time};

/// `[store]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Store {
    /// sqlite:PATH (from the folder where the gateway was started; made where it is missing) or
    /// postgres://USER@HOST:PORT/NAME; by reference where a password is in it. Default: sqlite:data/propylon.db.
    pub(in crate::config) database: Option<Text>,
    /// redis://HOST:PORT/NUMBER, rediss:// (TLS) or unix:PATH, for limits and cache that replicas share; by reference where a
    /// password is in it. Default: none, they are in this process.
    pub(in crate::config) redis: Option<Text>,
    /// The longest an operation of the database may take, the wait for a connection within it. Default: 5s.
    pub(in crate::config) timeout: Option<Time>,
    /// The longest the wait for a connection may take. Default: 3s.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// The most connections: PostgreSQL's, or SQLite's readers. Default: 10.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) connections: Option<u32>,
    /// The longest an operation of Redis may take. Default: 500ms.
    pub(in crate::config) redis_timeout: Option<Time>,
    /// What the limits' keys in Redis begin with. Default: propylon:.
    pub(in crate::config) redis_prefix: Option<String>,
    /// Whether calls are taken, as /readyz and grpc.health.v1 say, only while the stores can be reached. Default: false, what
    /// needs no store is answered without.
    pub(in crate::config) ready: Option<bool>,
}

/// `[accounts]`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct Accounts {
    /// Whether anybody may make one. Default: true.
    pub(in crate::config) registration: Option<bool>,
    /// The roles of a new one. Default: user.
    pub(in crate::config) roles: Option<Vec<String>>,
    /// The tier of a new one. Default: free.
    pub(in crate::config) tier: Option<String>,
    /// How long an access token is good for, a week at most; shortened, it ends those too that were issued before. All
    /// replicas have the same. Default: 15m.
    pub(in crate::config) access_lifetime: Option<Time>,
    /// How long a refresh token is good for, which is another after each use. Default: 720h.
    pub(in crate::config) refresh_lifetime: Option<Time>,
    /// The e-mail address of the admin that is made where there is none. Default: admin@localhost.
    pub(in crate::config) admin_email: Option<String>,
    /// Its password, by reference. Default: one that is made up and shown once.
    pub(in crate::config) admin_password: Option<Text>,
}
