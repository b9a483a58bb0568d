//! The automation services as their callers meet them: each method over REST, gRPC, gRPC-Web and MCP with one outcome, on both
//! databases, in the gateway's process and apart; the catalogue before a stand-in for Galaxy; and what is sent to do harm.

mod apart;
mod galaxy;
mod hostile;
mod surfaces;
mod versions;

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    client::{frames, grpc, grpc_web, http1, request, rest},
    galaxy::StandIn,
    gateway::{TestGateway, World},
    process::Program,
    servers::Server,
};

const PASSWORD: &str = "Correct-Horse-7";
const ADMIN: &str = "op@x.example";
const ADMIN_PASSWORD: &str = "Battery-Staple-9";
const PACKAGE: &str = "propylon.automation.v1";

/// A gateway with all methods as tools, whose accounts and playbooks are in one database.
struct Place {
    name: &'static str,
    gateway: TestGateway,
    /// Gone with the gateway.
    _servers: Vec<Server>,
    _galaxy: StandIn,
    /// The services, where they are not in the gateway's process.
    services: Option<Program>,
}

/// Where the services are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    Gateway,
    /// `propylon automation`, before which the gateway stands.
    Apart,
}

impl Place {
    async fn on(name: &'static str, store: &str, servers: Vec<Server>, home: Home) -> Self {
        let galaxy = StandIn::start().await;
        let kept = format!("{store}[galaxy]\nurl = \"{}\"\n", galaxy.url());
        // Tests log in often, and from one address.
        let mut world = World::new()
            .with_config("[rate_limits]\nenabled = false\n[mcp]\nexpose = [\"propylon.automation.v1.*\"]\n")
            .with_variable("ADMIN_EMAIL", ADMIN)
            .with_variable("ADMIN_PASSWORD", ADMIN_PASSWORD);
        let mut apart = None;
        world = match home {
            Home::Gateway => world.with_config(&kept),
            Home::Apart => {
                let (program, lines) = apart::start(&kept);
                apart = Some(program);
                world.with_config(store).with_config(&lines)
            }
        };
        Self { name, gateway: world.start(), _servers: servers, _galaxy: galaxy, services: apart }
    }

    /// SQLite with memory, and PostgreSQL with Redis where the machine has them.
    async fn both(home: Home) -> Vec<Self> {
        let mut places = vec![Self::small(home).await];
        if let (Some(postgres), Some(redis)) = (Server::postgres(), Server::redis()) {
            let store = format!(
                "[store]\ndatabase = \"{}\"\nredis = \"{}\"\n",
                postgres.url("postgres"),
                redis.url("0")
            );
            places.push(Self::on("PostgreSQL", &store, vec![postgres, redis], home).await);
        }
        places
    }

    /// SQLite with memory.
    async fn small(home: Home) -> Self {
        Self::on("SQLite", "[store]\ndatabase = \"sqlite:automation.db\"\n", Vec::new(), home).await
    }

    fn apart(&self) -> bool {
        self.services.is_some()
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// A new user's token, as the value of `Authorization`.
    async fn user(&self, name: &str) -> String {
        let body = json!({"email": format!("{name}@x.example"), "username": name, "password": PASSWORD});
        self.token("/api/v1/auth/register", &body).await
    }

    async fn admin(&self) -> String {
        self.token("/api/v1/auth/login", &json!({"email": ADMIN, "password": ADMIN_PASSWORD})).await
    }

    async fn token(&self, path: &str, body: &Value) -> String {
        token(self.address(), path, body).await
    }
}

async fn token(at: SocketAddr, path: &str, body: &Value) -> String {
    let headers = [("content-type", "application/json")];
    let came = rest(at, request(&Method::POST, path, &headers, body.to_string())).await;
    assert_eq!(came.code, 0, "{came:?}");
    format!("Bearer {}", came.messages[0]["access_token"].as_str().unwrap())
}

/// How a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    Rest,
    Grpc,
    GrpcWeb,
    GrpcWebText,
    Mcp,
}

impl Surface {
    const ALL: [Self; 5] = [Self::Rest, Self::Grpc, Self::GrpcWeb, Self::GrpcWebText, Self::Mcp];
}

/// A method: service, name, verb and path, and which field of its answer is REST's whole body.
struct Rpc(&'static str, &'static str, Method, &'static str, &'static str);

/// What came of a call, whatever the surface: the code, the message of a failure, the answer as REST has it.
#[derive(Debug, Clone, PartialEq)]
struct Came {
    code: i32,
    message: String,
    body: Value,
}

impl Came {
    fn good(self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.body
    }
}

/// Calls a method. `token`: `Authorization`, empty for nobody.
async fn call(at: SocketAddr, surface: Surface, rpc: &Rpc, message: &Value, token: &str) -> Came {
    let Rpc(service, name, verb, path, field) = rpc;
    let mut headers = if token.is_empty() { vec![] } else { vec![("authorization", token)] };
    let part = |whole: Value| if field.is_empty() { whole } else { whole[*field].clone() };
    if surface == Surface::Rest {
        headers.push(("content-type", "application/json"));
        let (path, body) = written(verb, path, message);
        let came = rest(at, request(verb, &path, &headers, body)).await;
        let body = came.messages.first().cloned().unwrap_or_default();
        return Came { code: came.code, message: came.message, body };
    }
    if surface == Surface::Mcp {
        headers.push(("content-type", "application/json"));
        let tool = format!("{PACKAGE}.{service}_{name}").replace('.', "_");
        let params = json!({"name": tool_name(&tool, service, name), "arguments": message});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let answer = http1(at, request(&Method::POST, "/mcp", &headers, body.to_string())).await;
        let said = String::from_utf8_lossy(&answer.body().0).into_owned();
        let json: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        // Who nobody knows is told so in JSON-RPC's own words.
        if json["error"]["code"] == -32001 {
            let message = json["error"]["data"].as_str().unwrap_or_default().to_owned();
            return Came { code: 16, message, body: Value::Null };
        }
        let result = &json["result"];
        if result["isError"] == false {
            return Came { code: 0, message: String::new(), body: part(result["structuredContent"].clone()) };
        }
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{said}"));
        let (word, message) = text.split_once(": ").unwrap_or((text, ""));
        let code = (1..=16).find(|code| propylon::status::name((*code).into()) == word);
        let code = code.unwrap_or_else(|| panic!("{said}"));
        return Came { code, message: message.to_owned(), body: Value::Null };
    }
    let body = frames(&format!("{PACKAGE}.{name}Request"), &[&message.to_string()]);
    let (path, reply) = (format!("/{PACKAGE}.{service}/{name}"), format!("{PACKAGE}.{name}Response"));
    let came = match surface {
        Surface::Grpc => grpc(at, &path, &headers, body, &reply).await,
        _ => grpc_web(at, surface == Surface::GrpcWebText, &path, &headers, body, &reply).await,
    };
    let body = came.messages.first().cloned().map(part).unwrap_or_default();
    Came { code: came.code, message: came.message, body }
}

/// A tool's name as the gateway makes it, which is cut where it is long.
fn tool_name(full: &str, service: &str, name: &str) -> String {
    if full.len() <= 64 {
        return full.to_owned();
    }
    propylon::surface::mcp::name(&format!("{PACKAGE}.{service}/{name}"), propylon::surface::mcp::Naming::Full)
}

/// Path and body of a message: what the path names is taken out of it, and what has no body goes into the query.
fn written(verb: &Method, path: &str, message: &Value) -> (String, String) {
    let mut message = message.as_object().cloned().unwrap_or_default();
    let mut filled = path.to_owned();
    for (name, value) in message.clone() {
        let place = format!("{{{name}}}");
        if filled.contains(&place) {
            filled = filled.replace(&place, value.as_str().unwrap());
            message.remove(&name);
        }
    }
    if [Method::GET, Method::DELETE].contains(verb) {
        let query: Vec<String> = message.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        return (format!("{filled}{mark}{}", query.join("&")), String::new());
    }
    (filled, Value::Object(message).to_string())
}

const PLAYBOOKS: &str = "PlaybookService";
const TYPES: &str = "VariableTypeService";
const FAVORITES: &str = "FavoriteService";

const LIST: Rpc = Rpc(PLAYBOOKS, "ListPlaybooks", Method::GET, "/api/playbooks", "playbooks");
const GET: Rpc = Rpc(PLAYBOOKS, "GetPlaybook", Method::GET, "/api/playbooks/{id}", "playbook");
const CREATE: Rpc = Rpc(PLAYBOOKS, "CreatePlaybook", Method::POST, "/api/playbooks", "playbook");
const UPDATE: Rpc = Rpc(PLAYBOOKS, "UpdatePlaybook", Method::PUT, "/api/playbooks/{id}", "playbook");
const DELETE: Rpc = Rpc(PLAYBOOKS, "DeletePlaybook", Method::DELETE, "/api/playbooks/{id}", "");
const VALIDATE: Rpc = Rpc(TYPES, "ValidateValue", Method::POST, "/api/variable-types/validate", "");
const NEW_TYPE: Rpc =
    Rpc(TYPES, "CreateVariableType", Method::POST, "/api/variable-types/admin", "variable_type");
