//! What the cases of a contract run in: the preset's gateway with its variables, and stores of its own.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    client::{Client, request},
    contract::{Contract, Names},
};
use crate::support::{
    dance::Dance,
    gateway::listening,
    library::DESCRIPTORS,
    process::Program,
    tokens::{self, hs256, token},
    tools::package,
};

/// What every token is signed with.
pub(super) const SECRET: &str = "Kz7w-4fVtq-Xb93m-LpR2d-Yc8hN-Ge5sA-Tu6jQ-Mv1oZ";
const ADMIN_PASSWORD: &str = "a-long-Password-of-9-words";

/// Variables of a process; `None` takes one away.
pub(super) type Variables = BTreeMap<String, Option<String>>;

/// Who keeps the accounts of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accounts {
    /// Nobody: tokens are made by the test, as the system's own service would make them.
    MadeUp,
    /// A second gateway stands behind the service's address.
    Behind,
    /// The gateway's own services, in place of the routes to the service.
    Own,
    /// The gateway's own services, as the preset has them.
    Kept,
}

/// A running gateway of the preset's.
pub(super) struct World {
    pub(super) address: SocketAddr,
    pub(super) program: Program,
    command: Command,
    /// The second gateway that keeps the accounts.
    pub(super) behind: Option<(SocketAddr, Program)>,
    accounts: Accounts,
    tokens: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts the preset's gateway; `Err` is its exit code and what it printed, where it does not run.
    pub(super) fn start(
        contract: &Contract,
        accounts: Accounts,
        variables: &Variables,
        names: &Names,
    ) -> Result<Self, (i32, String)> {
        let folder = tempfile::tempdir().unwrap();
        let preset = preset(contract, accounts, &folder, names);
        let mut command = gateway(&preset, &folder);
        let mut listens = false;
        for (name, value) in variables {
            listens |= name == "GATEWAY_PORT";
            match value {
                Some(value) => command.env(name, names.fill(value)),
                None => command.env_remove(name),
            };
        }
        if matches!(accounts, Accounts::Own | Accounts::Kept) {
            command.envs(admin());
        }
        if !listens {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut program = Program::start("propylon", &mut command).unwrap();
        if let Err(failure) = program.wait_for("listening on http://", Duration::from_secs(60)) {
            let code = program.exit_code(Duration::from_secs(5)).unwrap_or_else(|_| panic!("{failure:?}"));
            return Err((code, program.output()));
        }
        let address = listening(&mut program);
        let behind = (accounts == Accounts::Behind).then(|| behind(&folder));
        Ok(Self { address, program, command, behind, accounts, tokens: BTreeMap::new(), folder })
    }

    /// Ends the gateway and starts another one with the same variables and stores.
    pub(super) fn restart(&mut self) {
        self.program = Program::start("propylon", &mut self.command).unwrap();
        self.address = listening(&mut self.program);
        assert!(self.folder.path().is_dir());
    }

    /// What the gateway holds in memory, in bytes.
    pub(super) fn rss(&self) -> u64 {
        let file = format!("/proc/{}/status", self.program.id());
        let status = std::fs::read_to_string(&file).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// Tells it to stop, and waits for its end.
    pub(super) fn stop(&mut self) -> (i32, String) {
        self.program.signal("TERM");
        self.stopped()
    }

    /// Waits for its end: its exit code, and what it printed.
    pub(super) fn stopped(&mut self) -> (i32, String) {
        let code = self.program.exit_code(Duration::from_secs(30)).unwrap();
        (code, self.program.output())
    }

    /// A token that a case needs, by its name.
    pub(super) async fn token(&mut self, name: &str) -> String {
        if let Some(token) = self.tokens.get(name) {
            return token.clone();
        }
        let own = matches!(name, "free" | "premium" | "elite" | "to_delete");
        let token = if self.accounts == Accounts::Kept {
            let login = json!({ "email": "root@example.com", "password": ADMIN_PASSWORD });
            let mut client = Client::new(self.address, None);
            // A program's: for what the cases' client asks for by its name, or for what has another.
            let made = match name {
                "admin" => call(&mut client, "POST", "/api/v1/auth/login", None, &login).await,
                "mcp" => self.dance("localhost").await,
                "foreign" => self.dance("elsewhere.example").await,
                other => panic!("a token for {other}"),
            };
            made["access_token"].as_str().unwrap().to_owned()
        } else if own && self.accounts != Accounts::MadeUp {
            self.registered(name).await
        } else {
            made_up(name)
        };
        self.tokens.insert(name.to_owned(), token.clone());
        token
    }

    /// The tokens that a program gets for the admin, which finds the gateway under a name.
    async fn dance(&self, host: &str) -> Value {
        Dance::under(self.address, host).whole(("root@example.com", ADMIN_PASSWORD), "mcp").await
    }

    /// A token of somebody who has an account, with this tier.
    async fn registered(&self, tier: &str) -> String {
        let keeper = self.behind.as_ref().map_or(self.address, |(address, _)| *address);
        let mut client = Client::new(keeper, None);
        let email =
            if tier == "free" { "john@example.com".to_owned() } else { format!("{tier}@example.com") };
        let user = json!({ "username": format!("{tier}_user"), "email": email, "password": "SecurePass123" });
        let made = call(&mut client, "POST", "/api/v1/auth/register", None, &user).await;
        if matches!(tier, "premium" | "elite") {
            let login = json!({ "email": "root@example.com", "password": ADMIN_PASSWORD });
            let admin = call(&mut client, "POST", "/api/v1/auth/login", None, &login).await;
            let admin = admin["access_token"].as_str().unwrap().to_owned();
            let users = call(&mut client, "GET", "/admin/users", Some(&admin), &Value::Null).await;
            let users = users.as_array().or_else(|| users["users"].as_array()).unwrap();
            let id =
                users.iter().find(|user| user["email"] == email.as_str()).unwrap()["id"].as_str().unwrap();
            let path = format!("/admin/users/{id}");
            call(&mut client, "PATCH", &path, Some(&admin), &json!({ "tier": tier })).await;
        }
        let token = if matches!(tier, "premium" | "elite") {
            let login = json!({ "email": email, "password": "SecurePass123" });
            call(&mut client, "POST", "/api/v1/auth/login", None, &login).await
        } else {
            made
        };
        token["access_token"].as_str().unwrap_or_else(|| panic!("no token: {token}")).to_owned()
    }
}

async fn call(client: &mut Client, method: &str, path: &str, token: Option<&str>, body: &Value) -> Value {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    headers.extend(token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))));
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let answer = client.send(request(method, path, headers, body)).await.unwrap();
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status.is_success(), "{method} {path}: {} {said}", answer.status);
    serde_json::from_str(&said).unwrap_or(Value::Null)
}

/// A token as the system's own service makes them: HS256, without issuer and audience.
pub(super) fn made_up(name: &str) -> String {
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let mut claims = json!({
        "sub": format!("u-{name}"), "email": "user@example.com", "role": name, "exp": tokens::now() + 3600,
    });
    match name {
        "admin" => claims["permissions"] = json!(["read", "write", "admin"]),
        "teacher" | "student" | "parent" => claims["permissions"] = json!(["read"]),
        _ => claims["role"] = "user".into(),
    }
    let sign = |secret: &'static str| move |message: &[u8]| hs256(secret.as_bytes(), message);
    match name {
        "expired" => claims["exp"] = (tokens::now() - 120).into(),
        "foreign" => {
            let other = "another secret than the gateway has, of a good length";
            return token(header, claims.to_string().as_bytes(), sign(other));
        }
        "alg_none" => {
            let none = r#"{"alg":"none","typ":"JWT"}"#;
            return token(none, claims.to_string().as_bytes(), |_| Vec::new());
        }
        _ => {}
    }
    token(header, claims.to_string().as_bytes(), sign(SECRET))
}

/// The preset's file; where the gateway keeps the accounts itself, without the routes to the service that would.
fn preset(contract: &Contract, accounts: Accounts, folder: &tempfile::TempDir, names: &Names) -> PathBuf {
    let file = package().join(&contract.preset);
    if accounts == Accounts::Kept {
        // What a case asks of it that is none of the system's own: a service that is slow, and one that fails.
        let text = std::fs::read_to_string(&file).unwrap() + &names.fill(BESIDE);
        std::fs::write(folder.path().join("library.binpb"), DESCRIPTORS.as_slice()).unwrap();
        let copy = folder.path().join("preset.toml");
        std::fs::write(&copy, text).unwrap();
        return copy;
    }
    if accounts != Accounts::Own {
        return file;
    }
    let text = std::fs::read_to_string(&file).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    let routes = config["routes"].as_array_mut().unwrap();
    let before = routes.len();
    let replaced = |route: &toml::Value| {
        let prefix =
            route.get("prefix").or(route.get("path")).and_then(toml::Value::as_str).unwrap_or_default();
        prefix.starts_with("/api/v1/auth") || prefix.starts_with("/api/v1/users")
    };
    routes.retain(|route| !replaced(route));
    assert!(routes.len() < before, "the preset leads accounts to a service");
    let builtin = config["builtin"].as_table_mut().unwrap();
    for own in ["auth", "users", "admin"] {
        builtin.remove(own);
    }
    let copy = folder.path().join("preset.toml");
    std::fs::write(&copy, config.to_string()).unwrap();
    copy
}

const BESIDE: &str = r#"
[[upstreams]]
name = "slow"
http = "${slow}"

[[routes]]
path = "/slow"
upstream = "slow"
access = { public = true }

[[upstreams]]
name = "library"
grpc = "${library}"
descriptors = "library.binpb"

[[http_rules]]
selector = "library.v1.Library.Fail"
get = "/__fault/panic"

[[access.rules]]
match = ["library.v1.Library/Fail"]
public = true
"#;

fn gateway(config: &std::path::Path, folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(["serve", "--config"]).arg(config).current_dir(folder.path());
    command
}

fn admin() -> [(&'static str, &'static str); 2] {
    [("ADMIN_EMAIL", "root@example.com"), ("ADMIN_PASSWORD", ADMIN_PASSWORD)]
}

/// A gateway that keeps accounts, as the system's own service would: it knows fields that the gateway's has not.
fn behind(folder: &tempfile::TempDir) -> (SocketAddr, Program) {
    let config = folder.path().join("accounts.toml");
    std::fs::write(
        &config,
        "[store]\ndatabase = \"sqlite:accounts.db\"\n[rest]\nignore_unknown_fields = true\n",
    )
    .unwrap();
    let mut command = gateway(&config, folder);
    command.args(["--listen", "127.0.0.1:0"]).env("JWT_SECRET_KEY", SECRET).envs(admin());
    let mut program = Program::start("the accounts", &mut command).unwrap();
    (listening(&mut program), program)
}
