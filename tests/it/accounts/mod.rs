//! Accounts as their owners meet them: registration, login, refresh and logout over each surface, on SQLite with counters in
//! memory and on PostgreSQL with Redis, before one gateway and before replicas, through restarts and kills.

mod admin;
mod attacks;
mod balanced;
mod flow;
mod inputs;
mod limits;
mod operator;
mod outages;
mod replicas;
mod restart;
mod secrets;

use std::{net::SocketAddr, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, request, rest},
    gateway::{TestGateway, World},
    servers::Server,
};

/// A password that will do.
const PASSWORD: &str = "Correct-Horse-7";
/// The admin of each test's gateway.
const ADMIN: &str = "op@x.example";
const ADMIN_PASSWORD: &str = "Battery-Staple-9";

/// Where a test's accounts are, for any number of gateways.
struct Place {
    name: &'static str,
    config: String,
    database: String,
    /// PostgreSQL and Redis, where it is they.
    servers: Vec<Server>,
    _folder: tempfile::TempDir,
}

impl Place {
    /// A file, with counters and cache in each process.
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("accounts.db").display());
        let config = format!("[store]\ndatabase = \"{database}\"\n");
        Self { name: "SQLite", config, database, servers: Vec::new(), _folder: folder }
    }

    /// Servers that replicas share; `None` where the machine has none.
    fn shared() -> Option<Self> {
        let (postgres, redis) = (Server::postgres()?, Server::redis()?);
        let database = postgres.url("postgres");
        let config = format!("[store]\ndatabase = \"{database}\"\nredis = \"{}\"\n", redis.url("0"));
        let folder = tempfile::tempdir().unwrap();
        Some(Self { name: "PostgreSQL", config, database, servers: vec![postgres, redis], _folder: folder })
    }

    /// Both kinds.
    fn both() -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::shared()).collect()
    }

    /// A gateway in this place, its admin known; `more` are lines of its config, of `[store]` first.
    fn world(&self, more: &str) -> World {
        World::new()
            .with_config(&self.config)
            .with_config(more)
            .with_variable("ADMIN_EMAIL", ADMIN)
            .with_variable("ADMIN_PASSWORD", ADMIN_PASSWORD)
    }

    fn gateway(&self) -> TestGateway {
        self.world("").start()
    }
}

/// How a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    Rest,
    Grpc,
    GrpcWeb,
    GrpcWebText,
}

impl Surface {
    const ALL: [Self; 4] = [Self::Rest, Self::Grpc, Self::GrpcWeb, Self::GrpcWebText];
}

/// A method: service, name, and its HTTP method and path.
type Rpc = (&'static str, &'static str, Method, &'static str);

const REGISTER: Rpc = ("AuthService", "Register", Method::POST, "/api/v1/auth/register");
const LOGIN: Rpc = ("AuthService", "Login", Method::POST, "/api/v1/auth/login");
const REFRESH: Rpc = ("AuthService", "Refresh", Method::POST, "/api/v1/auth/refresh");
const LOGOUT: Rpc = ("AuthService", "Logout", Method::POST, "/api/v1/auth/logout");
const ME: Rpc = ("AuthService", "GetCurrentUser", Method::GET, "/api/v1/auth/me");
const PROFILE: Rpc = ("UserService", "UpdateProfile", Method::PUT, "/api/v1/users/profile");
const NEW_KEY: Rpc = ("AdminService", "CreateApiKey", Method::POST, "/admin/keys");
const USERS: Rpc = ("AdminService", "ListUsers", Method::GET, "/admin/users");

/// Calls a method over a surface. A failure has its code, whatever the surface.
async fn call(
    surface: Surface,
    at: SocketAddr,
    rpc: &Rpc,
    message: &Value,
    headers: &[(&str, &str)],
) -> Outcome {
    let (service, name, verb, path) = rpc;
    if surface == Surface::Rest {
        let body = if *verb == Method::GET { String::new() } else { message.to_string() };
        let headers = [headers, &[("content-type", "application/json")]].concat();
        return rest(at, request(verb, path, &headers, body)).await;
    }
    let body = frames(&format!("propylon.gateway.v1.{name}Request"), &[&message.to_string()]);
    let (path, reply) =
        (format!("/propylon.gateway.v1.{service}/{name}"), format!("propylon.gateway.v1.{name}Response"));
    match surface {
        Surface::Grpc => grpc(at, &path, headers, body, &reply).await,
        _ => grpc_web(at, surface == Surface::GrpcWebText, &path, headers, body, &reply).await,
    }
}

/// The same over REST.
async fn ask(at: SocketAddr, rpc: &Rpc, message: Value, headers: &[(&str, &str)]) -> Outcome {
    call(Surface::Rest, at, rpc, &message, headers).await
}

/// The answer of a call that must go well.
fn good(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.messages.first().cloned().unwrap_or_default()
}

/// A member that is a text.
fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Registers over REST; what is answered has both tokens.
async fn register(at: SocketAddr, email: &str) -> Value {
    let asked = json!({ "email": email, "username": "somebody", "password": PASSWORD });
    good(&ask(at, &REGISTER, asked, &[]).await)
}

async fn login(at: SocketAddr, email: &str, password: &str) -> Outcome {
    ask(at, &LOGIN, json!({ "email": email, "password": password }), &[]).await
}

/// An access token of the admin's.
async fn admin(at: SocketAddr) -> String {
    text(&good(&login(at, ADMIN, ADMIN_PASSWORD).await), "access_token").to_owned()
}

/// Whom a credential is of.
async fn me(at: SocketAddr, headers: &[(&str, &str)]) -> Outcome {
    ask(at, &ME, json!({}), headers).await
}

/// Waits until something holds; a machine under load is slow.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} never came true");
}
