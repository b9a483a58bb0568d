//! Runs the cases of a contract: each in the world it needs, with the stand-ins as sick as it wants them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use propylon::call::Body;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{
    client::{Answer, Client, request},
    contract::{Case, Contract, Names},
    expect::{Came, holds},
    stand_in::{Seen, StandIn, State},
    world::{Accounts, SECRET, Variables, World},
};
use crate::support::{library, servers::Server};

/// How long a case of load lasts: its figures are a release build's on a machine of its own, and `scripts/bench` has those.
const LOAD: Duration = Duration::from_secs(3);
/// How soon a line of the log is there.
const LINE: Duration = Duration::from_secs(3);
/// Requests a second that a debug build on a shared machine is asked for.
const RATE: u32 = 100;

struct Replay {
    contract: Contract,
    accounts: Accounts,
    stand_ins: BTreeMap<String, StandIn>,
    postgres: Server,
    redis: Server,
    /// By number; the first is everybody's.
    worlds: BTreeMap<usize, World>,
    /// Which world a case ran in.
    ran_in: BTreeMap<String, usize>,
    names: Names,
    databases: usize,
}

/// Replays a contract; `left_out` are cases that are not replayed.
pub(super) async fn replay(name: &str, accounts: Accounts, left_out: &[&str]) {
    let Some((postgres, redis)) = Server::postgres().zip(Server::redis()) else { return };
    let contract = Contract::read(name);
    assert_eq!(contract.system, name);
    let mut replay = Replay {
        contract,
        accounts,
        stand_ins: BTreeMap::new(),
        postgres,
        redis,
        worlds: BTreeMap::new(),
        ran_in: BTreeMap::new(),
        names: Names::default(),
        databases: 0,
    };
    replay.prepare().await;
    let mut failures = Vec::new();
    let cases = replay.contract.cases.clone();
    let mut replayed = 0;
    for (number, case) in cases.iter().enumerate().filter(|(_, case)| !left_out.contains(&&*case.id)) {
        replayed += 1;
        if let Err(why) = replay.case(case).await {
            failures.push(format!("{} ({} {}): {why}", case.id, case.method, case.path));
        }
        replay.end(&cases[number + 1..]);
    }
    assert!(failures.is_empty(), "{} of {replayed} cases:\n{}", failures.len(), failures.join("\n\n"));
}

impl Replay {
    async fn prepare(&mut self) {
        let places = self.contract.environment.values();
        let services: Vec<String> = places
            .filter_map(|value| value.split_once("${")?.1.split_once('}').map(|(name, _)| name.to_owned()))
            .filter(|name| !matches!(name.as_str(), "secret48" | "postgres" | "redis" | "port"))
            .collect();
        for service in services {
            self.stand_in(&service, &format!("{service}-service")).await;
        }
        self.stand_in("replacement", "replacement").await;
        if self.accounts == Accounts::Kept {
            self.stand_in("slow", "slow").await;
            self.stand_in("mcp", "mcp").await;
            self.names.set("library", format!("http://{}", library::serve(broken).await));
        }
        self.names.set("secret48", SECRET);
        self.names.set("port", "0");
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        self.names.set("other_port", free.to_string());
        // The one token of a system that has one.
        if let Some(token) = self.contract.environment.get("API_TOKEN") {
            self.names.set("token.owner", token.clone());
        }
        self.names.set("redis", self.redis.url("0"));
    }

    async fn stand_in(&mut self, name: &str, service: &str) {
        let stand_in = StandIn::start(service).await;
        self.names.set(name, format!("http://{}", stand_in.address));
        self.stand_ins.insert(name.to_owned(), stand_in);
    }

    /// A database of its own for each world that wants fresh stores.
    async fn fresh_database(&mut self) {
        self.databases += 1;
        let name = format!("world_{}", self.databases);
        let admin = sqlx::PgPool::connect(&self.postgres.url("postgres")).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await.unwrap();
        self.names.set("postgres", self.postgres.url(&name));
    }

    /// Which variables a case's gateway is started with.
    async fn variables(&mut self, case: Option<&Case>) -> Variables {
        let mut variables: Variables = self
            .contract
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        if self.contract.system == "presencepro" {
            variables.insert("RATE_LIMIT_REQUESTS_PER_MINUTE".to_owned(), Some("100000".to_owned()));
        }
        if self.accounts == Accounts::Kept {
            // How full this machine's disk is, is no case's matter.
            for level in ["DEGRADED", "UNHEALTHY"] {
                variables.insert(format!("PROPYLON_HEALTH__{level}__DISK"), Some("100".to_owned()));
            }
        }
        let Some(case) = case else { return variables };
        let hangs = case.need("service").is_some_and(|services| services.to_string().contains("hang"));
        if case.kind.as_deref() == Some("raw") {
            variables.insert("PROPYLON_LIMITS__TIMEOUT".to_owned(), Some("3s".to_owned()));
        }
        if hangs && !case.path.contains("health") {
            variables.insert("PROPYLON_LIMITS__TIMEOUT".to_owned(), Some("300ms".to_owned()));
        }
        if let Some(Value::Object(changes)) = case.need("env") {
            for (name, value) in changes {
                variables.insert(name.clone(), value.as_str().map(str::to_owned));
            }
        }
        if case.need("service").and_then(|services| services["course"].as_str()) == Some("two replicas") {
            self.stand_in("course#2", "course-service").await;
            let both = self.names.fill("${course},${course#2}");
            variables.insert("COURSE_SERVICE_URL".to_owned(), Some(both));
        }
        variables
    }

    /// The world that a case runs in; `Err` where its gateway does not run.
    async fn world(&mut self, case: &Case) -> Result<usize, (i32, String)> {
        if let Some(after) = case.need("after").and_then(Value::as_str) {
            let Some(world) = self.ran_in.get(after).copied() else {
                return Err((0, format!("{after} did not run before")));
            };
            if case.need("restart").is_some() {
                self.at(world).restart();
            }
            return Ok(world);
        }
        // What limits have counted is not this case's.
        let client = redis::Client::open(self.redis.url("0")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
        // A gateway that has lost Redis answers from its own memory, which no case can empty: `empty_cache` is one that begins.
        let raw = case.kind.as_deref() == Some("raw");
        let needs = ["fresh", "env", "service", "memory_percent", "port_taken", "empty_cache"];
        let own = raw
            || needs.iter().any(|need| case.need(need).is_some())
            || case.kind.as_deref() == Some("signal");
        if !own && !self.worlds.is_empty() {
            return Ok(0);
        }
        if own && self.worlds.is_empty() {
            // Everybody's world is there before any other.
            self.begin(None).await?;
        }
        self.begin(Some(case)).await
    }

    fn at(&mut self, world: usize) -> &mut World {
        self.worlds.get_mut(&world).expect("a world that a case runs in")
    }

    /// Ends the worlds that no case behind this one needs.
    fn end(&mut self, behind: &[Case]) {
        let needed: Vec<usize> = behind
            .iter()
            .filter_map(|case| self.ran_in.get(case.need("after")?.as_str()?).copied())
            .collect();
        // What runs after a case of this world runs in it too.
        self.worlds.retain(|number, _| *number == 0 || needed.contains(number));
    }

    /// Starts a world with a database of its own; for a case, or for all that need nothing.
    async fn begin(&mut self, case: Option<&Case>) -> Result<usize, (i32, String)> {
        self.fresh_database().await;
        let mut variables = self.variables(case).await;
        let taken =
            case.and_then(|case| case.need("port_taken")).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        if let Some(taken) = &taken {
            let port = taken.local_addr().unwrap().port().to_string();
            variables.insert("GATEWAY_PORT".to_owned(), Some(port.clone()));
            self.names.set("taken_port", port);
        }
        let mut world = World::start(&self.contract, self.accounts, &variables, &self.names)?;
        if let Some(percent) = case.and_then(|case| case.need("memory_percent")).and_then(Value::as_f64) {
            // What one holds that has begun, the next one holds too, give or take some.
            for _ in 0..10 {
                let limit = world.rss() as f64 * 100.0 / percent;
                variables.insert("PROPYLON_HEALTH__MEMORY_LIMIT".to_owned(), Some(format!("{limit:.0}")));
                world = World::start(&self.contract, self.accounts, &variables, &self.names)?;
                if (world.rss() as f64 * 100.0 / limit - percent).abs() < 3.0 {
                    break;
                }
            }
        }
        let number = self.databases - 1;
        self.worlds.insert(number, world);
        Ok(number)
    }

    async fn case(&mut self, case: &Case) -> Result<(), String> {
        let world = match self.world(case).await {
            Ok(world) => world,
            Err(ended) => {
                let seen = BTreeMap::new();
                let came = Came { ended: Some(&ended), ..Came::of(&[], &seen) };
                return holds(&self.expected(case), &came);
            }
        };
        if case.kind.as_deref() == Some("startup") && case.expect.contains_key("exit") {
            return Err("the gateway runs".to_owned());
        }
        self.ran_in.insert(case.id.clone(), world);
        if let Some(wait) = case.need("wait_ms").and_then(Value::as_u64) {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        let filled: Vec<String> = case.headers.values().cloned().collect();
        for name in filled
            .iter()
            .filter_map(|text| text.split_once("${token.")?.1.split_once('}'))
            .map(|(name, _)| name)
            .filter(|name| *name != "owner")
        {
            let token = self.at(world).token(name).await;
            self.names.set(format!("token.{name}"), token);
        }
        self.sicken(case, world).await;
        let reads = case.expect.contains_key("store_reads_of_user");
        let before = if reads { self.reads().await } else { 0 };
        let began = self.worlds[&world].program.output().len();
        let signalled = case.need("signal").is_some();
        let (answers, stopped, refuses) = match signalled {
            true => self.send_and_stop(case, world).await,
            false => {
                let answers = self.send(case, world).await;
                let ends = case.kind.as_deref() == Some("signal");
                (answers, ends.then(|| self.at(world).stop()), false)
            }
        };
        let kept = match case.expect.get("redis") {
            Some(expected) => self.kept(expected["key"].as_str().unwrap()).await,
            None => None,
        };
        let rss_mb =
            case.expect.contains_key("rss_mb_max").then(|| self.worlds[&world].rss() as f64 / 1_048_576.0);
        let reads = if reads { Some(self.reads().await - before) } else { None };
        let seen: BTreeMap<String, (Vec<Seen>, usize)> = self
            .stand_ins
            .iter()
            .map(|(name, stand_in)| (name.clone(), (stand_in.seen(), stand_in.connections())))
            .collect();
        self.heal(case).await;
        let answers = answers?;
        let at = Some(self.worlds[&world].address);
        let mut came = Came { reads, kept, rss_mb, at, stopped, refuses, ..Came::of(&answers, &seen) };
        let expected = self.expected(case);
        // A line of the log comes a moment after the answer.
        let patience = Instant::now() + LINE;
        let held = loop {
            let output = self.worlds[&world].program.output();
            came.printed = output.get(began..).unwrap_or_default().to_owned();
            let held = holds(&expected, &came);
            let waits = expected.keys().any(|key| key.contains("log"));
            if held.is_ok() || !waits || Instant::now() > patience {
                break held;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        held.map_err(|why| format!("{why}\n{}", tail(&self.worlds[&world].program.output())))?;
        self.keep(case, answers.last())
    }

    /// Makes the services as sick as the case wants them, and lets all forget.
    async fn sicken(&mut self, case: &Case, world: usize) {
        let behind = self.worlds[&world].behind.as_ref().map(|(address, _)| *address);
        for (name, stand_in) in &mut self.stand_ins {
            stand_in.become_(State::Up).await;
            stand_in.stand_before(behind.filter(|_| name == "auth"));
        }
        for (name, state) in case.need("service").and_then(Value::as_object).into_iter().flatten() {
            let state = state.as_str().unwrap();
            match name.as_str() {
                "redis" | "postgresql" | "database" => {
                    assert_eq!(state, "refused");
                    if name == "redis" { self.redis.kill() } else { self.postgres.kill() }
                }
                _ if state == "two replicas" => {}
                _ => {
                    let stand_in = self.stand_ins.get_mut(name).unwrap_or_else(|| panic!("no {name}"));
                    stand_in.become_(State::parse(state)).await;
                }
            }
        }
    }

    async fn heal(&mut self, case: &Case) {
        let sick = |name: &str| case.need("service").is_some_and(|services| services.get(name).is_some());
        if sick("redis") {
            self.redis.start();
        }
        if sick("postgresql") || sick("database") {
            self.postgres.start();
        }
        for stand_in in self.stand_ins.values_mut() {
            stand_in.become_(State::Up).await;
        }
    }

    async fn send(&mut self, case: &Case, world: usize) -> Result<Vec<Answer>, String> {
        let to = self.worlds[&world].address;
        let from: Option<IpAddr> =
            case.need("peer").and_then(Value::as_str).map(|peer| peer.parse().unwrap());
        let headers = |number: usize| -> Vec<(String, String)> {
            let fill = |value: &String| self.names.fill(&value.replace("${i}", &(number + 1).to_string()));
            case.headers.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
        };
        let body = match (&case.body, &case.body_text) {
            _ if case.body_bytes.is_some() => filler(case.body_bytes.unwrap_or_default()),
            (Some(body), _) => self.names.fill_value(body).to_string().into(),
            (None, Some(text)) => text.clone().into(),
            (None, None) => Bytes::new(),
        };
        let path = self.names.fill(&case.path);
        let one = || request(&case.method, &path, headers(0), body.clone());
        if case.concurrent {
            return at_once(case.repeat, || (Client::new(to, from), one())).await;
        }
        if case.kind.as_deref() == Some("raw") {
            return slowly(to, &one()).await.map(|answer| vec![answer]);
        }
        if case.kind.as_deref() == Some("load") {
            assert!(case.rate.is_some() && case.duration_s.is_some(), "{}", case.id);
            return steadily(|| (Client::new(to, from), one())).await;
        }
        let mut client = Client::new(to, from);
        let mut answers = Vec::with_capacity(case.repeat);
        let pause = case.need("pause_between_ms").and_then(Value::as_u64).unwrap_or_default();
        for number in 0..case.repeat {
            answers.push(client.send(request(&case.method, &path, headers(number), body.clone())).await?);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Ok(answers)
    }

    /// Sends, and tells the gateway to stop while the request is on its way.
    async fn send_and_stop(
        &mut self,
        case: &Case,
        world: usize,
    ) -> (Result<Vec<Answer>, String>, Option<(i32, String)>, bool) {
        let address = self.worlds[&world].address;
        let id = self.worlds[&world].program.id();
        let stopping = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let sent = std::process::Command::new("kill").args(["-TERM", &id.to_string()]).status();
            assert!(sent.unwrap().success());
            tokio::time::sleep(Duration::from_millis(400)).await;
            tokio::net::TcpStream::connect(address).await.is_err()
        });
        let answers = self.send(case, world).await;
        let refuses = stopping.await.unwrap();
        let stopped = self.at(world).stopped();
        (answers, Some(stopped), refuses)
    }

    /// What is expected, with the names that cases before have kept.
    fn expected(&self, case: &Case) -> serde_json::Map<String, Value> {
        let mut names = self.names.clone();
        if let Some(taken) = case.need("port_taken").and(self.names.0.get("taken_port")) {
            names.set("port", taken.clone());
        }
        let fill = |value: &Value| names.same(&names.fill_value(value));
        case.expect.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
    }

    /// What Redis keeps under a key, and for how long.
    async fn kept(&self, key: &str) -> Option<(i64, Value)> {
        let client = redis::Client::open(self.redis.url("0")).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let ttl: i64 = redis::cmd("TTL").arg(key).query_async(&mut connection).await.unwrap();
        let text: Option<String> = redis::cmd("GET").arg(key).query_async(&mut connection).await.unwrap();
        Some((ttl, serde_json::from_str(&text?).unwrap()))
    }

    /// How often accounts were read from the database.
    async fn reads(&self) -> i64 {
        let pool = sqlx::PgPool::connect(&self.names.fill("${postgres}")).await.unwrap();
        // What a backend has counted it tells within a second.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let query = "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'accounts'";
        sqlx::query_scalar(query).fetch_optional(&pool).await.unwrap().unwrap_or_default()
    }

    fn keep(&mut self, case: &Case, answer: Option<&Answer>) -> Result<(), String> {
        for (name, path) in &case.save {
            let answer = answer.ok_or("there is no answer")?;
            let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            let value = path.split('.').fold(&body, |value, name| &value[name]);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.names.set(name, text);
        }
        Ok(())
    }
}

/// So many bytes of a JSON text.
fn filler(bytes: usize) -> Bytes {
    format!("\"{}\"", "x".repeat(bytes)).into()
}

/// Sends the head of a request, and then a byte now and then; within a tenth of the document's time, and at its pace.
async fn slowly(to: SocketAddr, request: &http::Request<Bytes>) -> Result<Answer, String> {
    const PACE: Duration = Duration::from_millis(100);
    let failed = |error: std::io::Error| error.to_string();
    let mut head = format!("{} {} HTTP/1.1\r\ncontent-length: 1000\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap_or_default()));
    }
    let began = Instant::now();
    let stream = tokio::net::TcpStream::connect(to).await.map_err(failed)?;
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(format!("{head}\r\n").as_bytes()).await.map_err(failed)?;
    let dripping = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(PACE).await;
        }
    });
    let mut said = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(30), reader.read(&mut said)).await;
    dripping.abort();
    let took = began.elapsed();
    let read = read.map_err(|_| "no answer".to_owned())?.map_err(failed)?;
    let said = String::from_utf8_lossy(said.get(..read).unwrap_or_default()).into_owned();
    let status =
        said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(StatusCode::REQUEST_TIMEOUT);
    Ok(Answer { status, headers: HeaderMap::new(), body: said.into(), took })
}

/// A service of gRPC that fails by itself.
async fn broken(_: http::Request<hyper::body::Incoming>) -> Result<http::Response<Body>, Infallible> {
    let response = http::Response::builder().header("content-type", "application/grpc");
    let response = response.header("grpc-status", "13").header("grpc-message", "the shelves fell over");
    Ok(response.body(Body::empty()).unwrap())
}

/// The last lines of what a gateway printed.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(3)..].join("\n")
}

/// Clients that all ask at once, each several times.
async fn at_once(
    number: usize,
    make: impl Fn() -> (Client, http::Request<Bytes>),
) -> Result<Vec<Answer>, String> {
    let clients = (0..number).map(|_| make()).map(|(mut client, request)| async move {
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(client.send(request.clone()).await?);
        }
        Ok::<_, String>(answers)
    });
    let answers: Vec<_> = stream::iter(clients).buffer_unordered(number).collect().await;
    Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Clients that ask at a rate, whether the answers before came or not.
async fn steadily(make: impl Fn() -> (Client, http::Request<Bytes>)) -> Result<Vec<Answer>, String> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let began = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    while began.elapsed() < LOAD {
        ticks.tick().await;
        let (mut client, request) = make();
        asked.spawn(async move { client.send(request).await });
    }
    asked.join_all().await.into_iter().collect()
}
