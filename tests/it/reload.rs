//! The config read again while the gateway runs: by SIGHUP, by a change of its files, by `POST /admin/reload`; whole or not
//! at all; who may ask for it; and that nothing in flight notices.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::symlink,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use propylon::proto::gateway_v1::ReloadResponse;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::support::{
    client::{Outcome, http1, http2, request, rest},
    gateway::{TestGateway, World, open},
    library::{PATIENCE, framed},
    process::Program,
    reflecting::{FIRST, Reflecting, SECOND, descriptors},
    streams::{Events, GrpcStream, Socket},
};

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(string, tag = "1")]
    name: String,
}

/// A config before the shop, whose own file is not watched unless `watch`.
fn shop(upstream: SocketAddr, watch: bool, more: &str) -> String {
    format!(
        "[gateway]\nworkers = 1\nwatch_config = {watch}\n[[upstreams]]\nname = \"shop\"\n\
         grpc = \"http://{upstream}\"\nreflection_interval = \"1h\"\n{more}"
    )
}

/// One more binding.
fn rule(path: &str) -> String {
    format!("[[http_rules]]\nselector = \"shop.v1.Shop.Get\"\nget = \"{path}\"\n")
}

async fn get(gateway: &TestGateway, path: &str) -> Outcome {
    rest(gateway.address, request(&Method::GET, path, &[], "")).await
}

/// `POST /admin/reload` without a body.
async fn ask(gateway: &TestGateway) -> Outcome {
    rest(gateway.address, request(&Method::POST, "/admin/reload", &[], "")).await
}

/// Asks, and expects that it goes well.
async fn reloaded(gateway: &TestGateway) -> Value {
    let outcome = ask(gateway).await;
    assert_eq!(outcome.http, 200, "{outcome:?}");
    outcome.messages[0].clone()
}

async fn generation(gateway: &TestGateway) -> i64 {
    get(gateway, "/gateway/info").await.messages[0]["generation"].as_i64().unwrap()
}

/// Waits until something is so, while this runtime goes on.
async fn until(what: &str, program: &Program, is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", program.output());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the log has these words so often.
async fn said(gateway: &TestGateway, words: &str, times: usize) {
    let program = &gateway.program;
    until(words, program, async || program.output().matches(words).count() >= times).await;
}

fn changes(answer: &Value) -> Vec<&str> {
    answer["changes"].as_array().unwrap().iter().map(|change| change.as_str().unwrap()).collect()
}

#[derive(Debug, Clone, Copy)]
enum Trigger {
    Signal,
    File,
    Call,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_trigger_takes_a_good_config_and_refuses_a_bad_one() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    for trigger in [Trigger::Signal, Trigger::File, Trigger::Call] {
        let watch = matches!(trigger, Trigger::File);
        let config = |more: &str| shop(upstream.address, watch, more);
        let gateway = World::new().with_config(&config("")).start();
        let pull = async |config: &str, words: &str| {
            let before = gateway.program.output().matches(words).count();
            gateway.rewrite(config);
            match trigger {
                Trigger::Signal => gateway.program.signal("HUP"),
                Trigger::File => {}
                Trigger::Call => drop(ask(&gateway).await),
            }
            said(&gateway, words, before + 1).await;
        };
        assert_eq!(get(&gateway, "/v2/pen").await.http, 404);
        pull(&config(&rule("/v2/{name}")), "added GET /v2/{name} (shop.v1.Shop/Get)").await;
        assert_eq!(get(&gateway, "/v2/pen").await.messages, [json!({ "name": "pen" })], "{trigger:?}");
        assert_eq!(generation(&gateway).await, 2);
        // A key that is not known; a name that is taken; a file that is not there; nothing at all.
        for (bad, words) in [
            (
                config("").replace("[gateway]", "[gatewey]"),
                "there is no such key (did you mean \\\"gateway\\\"?)",
            ),
            (
                config(&(rule("/v2/{name}") + "[[upstreams]]\nname = \"shop\"\ngrpc = \"http://h:1\"\n")),
                "two upstreams",
            ),
            (
                config("descriptors = \"missing.binpb\"\n").replace("reflection_interval = \"1h\"\n", ""),
                "missing.binpb",
            ),
            // As it is for a moment while it is written anew.
            (String::new(), "is empty: it may be about to be written"),
        ] {
            pull(&bad, "not reloaded (").await;
            assert!(gateway.program.output().contains(words), "{words}\n{}", gateway.program.output());
            assert_eq!(get(&gateway, "/v2/pen").await.http, 200, "{trigger:?} {bad}");
            assert_eq!(generation(&gateway).await, 2, "{trigger:?} {bad}");
        }
        pull(&config(&rule("/v3/{name}")), "removed GET /v2/{name} (shop.v1.Shop/Get)").await;
        assert_eq!((get(&gateway, "/v2/pen").await.http, get(&gateway, "/v3/pen").await.http), (404, 200));
        assert_eq!(generation(&gateway).await, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_names_every_mistake_over_every_surface() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    // Of a descriptor file each binding must be right.
    let shop = |more: &str| {
        let known = shop(upstream.address, false, "descriptors = \"shop.binpb\"\n");
        known.replace("reflection_interval = \"1h\"\n", "") + more
    };
    let world = World::new().with_file("shop.binpb", &descriptors(FIRST));
    let gateway = world.with_config(&shop("")).start();
    let one = |name: &str| {
        format!(
            "[[upstreams]]\nname = \"{name}\"\ngrpc = \"http://127.0.0.1:9\"\ndescriptors = \"{name}.binpb\"\n"
        )
    };
    gateway.rewrite(&shop(&(one("one") + &one("two") + &rule("/v1/{nmae}"))));
    let outcome = ask(&gateway).await;
    assert_eq!((outcome.http, outcome.code), (409, 9), "{outcome:?}");
    assert_eq!(outcome.details[0]["@type"], "type.googleapis.com/google.rpc.PreconditionFailure");
    let violations = outcome.details[0]["violations"].as_array().unwrap();
    let find = |words: &str| {
        violations.iter().find(|violation| violation["description"].as_str().unwrap().contains(words))
    };
    for (subject, words) in [
        ("upstreams.one.descriptors", "one.binpb"),
        ("upstreams.two.descriptors", "two.binpb"),
        ("http_rules[0].get", "nmae"),
    ] {
        let violation = find(words).unwrap_or_else(|| panic!("{words}: {violations:?}"));
        assert_eq!(violation["subject"].as_str().unwrap_or_default(), subject, "{violation}");
        assert!(outcome.message.contains(words), "{}", outcome.message);
    }
    let path = "/propylon.gateway.v1.AdminService/Reload";
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let (head, (_, trailers)) =
        http2(gateway.address, request(&Method::POST, path, &grpc, framed(b""))).await.into_parts();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
    assert_eq!(status.unwrap(), "9");
    let web = [("content-type", "application/grpc-web")];
    let (head, (body, _)) =
        http1(gateway.address, request(&Method::POST, path, &web, framed(b""))).await.into_parts();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.contains("grpc-status: 9") || head.headers["grpc-status"] == "9", "{body}");
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 200);
    // And over gRPC what goes well.
    gateway.rewrite(&shop(&rule("/v2/{name}")));
    let (_, (body, trailers)) =
        http2(gateway.address, request(&Method::POST, path, &grpc, framed(b""))).await.into_parts();
    assert_eq!(trailers["grpc-status"], "0");
    let answer = ReloadResponse::decode(&body[5..]).unwrap();
    assert_eq!((answer.reloaded, answer.generation), (true, 2), "{answer:?}");
    assert!(answer.config_file.ends_with("propylon.toml"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_a_schema_that_reflection_gave_is_refused_too() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let gateway = World::new().with_config(&shop(upstream.address, false, "")).start();
    let selector = |name: &str| format!("[[http_rules]]\nselector = \"shop.v1.Shop.{name}\"\nget = \"/x\"\n");
    let path =
        "[[routes]]\npath = \"/v1/items/{name}\"\nmethods = [\"GET\"]\nrespond = { body = \"mine\" }\n";
    for (more, words) in [
        (rule("/v2/{nmae}"), "nmae"),
        (selector("Gte"), "did you mean \"shop.v1.Shop.Get\""),
        (path.to_owned(), "/v1/items/{name}"),
    ] {
        gateway.rewrite(&shop(upstream.address, false, &more));
        let outcome = ask(&gateway).await;
        assert_eq!((outcome.http, outcome.code), (409, 9), "{outcome:?}");
        assert!(outcome.message.contains(words), "{words}: {}", outcome.message);
        let outcome = get(&gateway, "/v1/items/pen").await;
        assert_eq!(outcome.messages, [json!({ "name": "pen" })], "what was served is served: {outcome:?}");
    }
    gateway.rewrite(&shop(upstream.address, false, &rule("/v2/{name}")));
    reloaded(&gateway).await;
    assert_eq!(get(&gateway, "/v2/pen").await.http, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_is_said_and_what_needs_a_restart_too() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let other = Reflecting::start(([127, 0, 0, 1], 0).into(), SECOND).await;
    let gateway = World::new().with_config(&shop(upstream.address, false, "")).start();
    let nothing = reloaded(&gateway).await;
    assert_eq!((&nothing["reloaded"], &nothing["generation"]), (&json!(false), &json!(1)), "{nothing}");
    assert_eq!(nothing["changes"], json!([]));
    let more = "[limits]\ntimeout = \"30s\"\n[connections]\nmax = 77\n";
    gateway.rewrite(&shop(upstream.address, false, more).replace("workers = 1", "workers = 3"));
    let answer = reloaded(&gateway).await;
    assert_eq!(changes(&answer), ["limits.timeout: 30s, was 60s"]);
    let restart = answer["needs_restart"].as_array().unwrap();
    assert!(restart.contains(&"gateway.workers needs a restart; still 1".into()), "{answer}");
    said(&gateway, "gateway.workers needs a restart; still 1", 1).await;
    // The same upstream somewhere else, where it has a method more.
    gateway.rewrite(&shop(other.address, false, ""));
    let answer = reloaded(&gateway).await;
    let said = changes(&answer).join("\n");
    let moved = format!("upstreams.shop.grpc: http://{}, was http://{}", other.address, upstream.address);
    for words in [moved.as_str(), "limits.timeout: 60s, was 30s", "added shop.v1.Shop/Find (GET /v1/find)"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert_eq!(get(&gateway, "/v1/find?name=x").await.messages, [json!({ "name": "x" })]);
    gateway.rewrite("[gateway]\nworkers = 1\n");
    let answer = reloaded(&gateway).await;
    let said = changes(&answer).join("\n");
    for words in ["upstream shop is gone", "removed service shop.v1.Shop (upstream shop)"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_not_there_comes_in_when_it_appears() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gateway = World::new().with_config("[gateway]\nwatch_config = false\n").start();
    gateway.rewrite(&shop(address, false, ""));
    let answer = reloaded(&gateway).await;
    let words = changes(&answer).join("\n");
    assert!(words.contains("upstream shop is new"), "{words}");
    assert!(words.contains("upstream shop does not answer yet: ") && words.contains("refused"), "{words}");
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 404);
    let _upstream = Reflecting::start(address, FIRST).await;
    until("its methods", &gateway.program, async || get(&gateway, "/v1/items/pen").await.http == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_has_not_changed_keeps_its_connection() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let gateway = World::new().with_config(&shop(upstream.address, false, "")).start();
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 200);
    let before = upstream.accepted();
    for round in 0..5 {
        gateway.rewrite(&shop(upstream.address, false, &rule(&format!("/v{}/{{name}}", round + 2))));
        assert_eq!(reloaded(&gateway).await["reloaded"], true);
        assert_eq!(get(&gateway, "/v1/items/pen").await.http, 404, "the rule is in place of its own");
        assert_eq!(get(&gateway, &format!("/v{}/pen", round + 2)).await.http, 200);
    }
    assert_eq!(upstream.accepted(), before);
    // Other settings are other connections.
    gateway.rewrite(&shop(upstream.address, false, "connect_timeout = \"1s\"\n"));
    assert_eq!(reloaded(&gateway).await["reloaded"], true);
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 200);
    assert!(upstream.accepted() > before);
    until("the old connections close", &gateway.program, async || {
        upstream.open() <= upstream.accepted() - before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_live_on_when_their_upstream_is_gone_from_the_config() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let gateway = World::new().with_config(&shop(upstream.address, false, "")).start();
    let item = Item::default();
    let (mut grpc, mut events, mut socket, ()) = tokio::join!(
        GrpcStream::start(gateway.address, "/shop.v1.Shop/Watch", &item),
        Events::start(gateway.address, "/v1/watch"),
        Socket::start(gateway.address, "/v1/watch"),
        async {
            upstream.watched_by(3).await;
            upstream.tick();
        }
    );
    let mut each_gets_one = async || {
        assert_eq!(grpc.next::<Item>().await.name, "tick");
        assert_eq!(events.next().await, "{\"name\":\"tick\"}");
        assert_eq!(socket.next().await, "{\"name\":\"tick\"}");
    };
    each_gets_one().await;
    for config in [shop(upstream.address, false, &rule("/v2/{name}")), "[gateway]\nworkers = 1".to_owned()] {
        gateway.rewrite(&config);
        assert_eq!(reloaded(&gateway).await["reloaded"], true);
        upstream.tick();
        each_gets_one().await;
    }
    assert_eq!(get(&gateway, "/v1/items/pen").await.http, 404);
    assert!(upstream.open() > 0);
    // With the last call goes the connection.
    drop((grpc, events, socket));
    until("its connections close", &gateway.program, async || upstream.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_at_once_are_answered_together() {
    let gateway = Arc::new(World::new().with_config("[gateway]\nwatch_config = false\n").start());
    // It takes connections and says nothing, so that its reflection takes its whole first chance.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gateway.rewrite(&shop(silent.local_addr().unwrap(), false, ""));
    let one = || {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move { reloaded(&gateway).await })
    };
    let first = one();
    sleep(Duration::from_millis(500)).await;
    let others: Vec<_> = (0..20).map(|_| one()).collect();
    assert_eq!(first.await.unwrap()["reloaded"], true);
    for other in others {
        let answer = other.await.unwrap();
        assert_eq!((&answer["reloaded"], &answer["generation"]), (&json!(false), &json!(2)));
    }
    let output = gateway.program.output();
    assert_eq!(output.matches("reloaded (").count(), 2, "{output}");
    assert!(
        output.contains("reloaded (a call from 127.0.0.1 and 19 more): what has changed needs a restart"),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_watched_and_their_contents_compared() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let config = |more: &str| {
        shop(upstream.address, true, &format!("descriptors = \"shop.binpb\"\n{more}"))
            .replace("reflection_interval = \"1h\"\n", "")
    };
    let world = World::new().with_file("shop.binpb", &descriptors(FIRST));
    let gateway = world.with_config(&config("")).start();
    let file = gateway.folder().join("propylon.toml");
    // Touched, and written anew with the same bytes: nothing.
    fs::write(&file, fs::read(&file).unwrap()).unwrap();
    gateway.put("shop.binpb", &descriptors(FIRST));
    fs::write(gateway.folder().join("other.txt"), "not of the config").unwrap();
    sleep(Duration::from_millis(800)).await;
    assert_eq!(gateway.program.output().matches("reloaded (").count(), 0, "{}", gateway.program.output());
    // A descriptor file that the config names, replaced.
    gateway.put("shop.binpb", &descriptors(SECOND));
    said(
        &gateway,
        "shop.binpb has changed): upstream shop: its schema has changed; added shop.v1.Shop/Find",
        1,
    )
    .await;
    assert_eq!(get(&gateway, "/v1/find?name=x").await.http, 200);
    // The config written in place, and a file that comes after it.
    fs::write(&file, open(&config(&rule("/v2/{name}")).replace("shop.binpb", "new.binpb"))).unwrap();
    said(&gateway, "not reloaded (", 1).await;
    assert_eq!(get(&gateway, "/v2/pen").await.http, 404);
    gateway.put("new.binpb", &descriptors(FIRST));
    said(&gateway, "new.binpb has changed): ", 1).await;
    assert_eq!(
        (get(&gateway, "/v2/pen").await.http, get(&gateway, "/v1/find?name=x").await.http),
        (200, 404)
    );
    // A folder that is replaced as a whole is no reason to go blind.
    let folder = gateway.folder().to_owned();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("shop.binpb"), descriptors(SECOND)).unwrap();
    fs::write(&file, open(&config(""))).unwrap();
    fs::remove_dir_all(aside).unwrap();
    until("the new folder's config", &gateway.program, async || {
        get(&gateway, "/v1/find?name=x").await.http == 200
    })
    .await;
    // Switched off by the file itself.
    gateway.rewrite(&config("").replace("watch_config = true", "watch_config = false"));
    said(&gateway, "gateway.watch_config: false, was true", 1).await;
    gateway.rewrite(&config(&rule("/v4/{name}")));
    sleep(Duration::from_millis(800)).await;
    assert_eq!(get(&gateway, "/v4/pen").await.http, 404);
    assert_eq!(changes(&reloaded(&gateway).await)[0], "gateway.watch_config: true, was false");
    assert_eq!(get(&gateway, "/v4/pen").await.http, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_changes_by_the_swap_of_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path();
    let version = |name: &str, environment: &str| {
        fs::create_dir(mount.join(name)).unwrap();
        let config = format!("[gateway]\nenvironment = \"{environment}\"\n");
        fs::write(mount.join(name).join("propylon.toml"), config).unwrap();
    };
    let swap = |name: &str| {
        symlink(name, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    version("..1", "first");
    swap("..1");
    symlink("..data/propylon.toml", mount.join("propylon.toml")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
    command.args(["--listen", "127.0.0.1:0", "--config"]).arg(mount.join("propylon.toml"));
    let mut program = Program::start("propylon", &mut command).unwrap();
    let address: SocketAddr = crate::support::gateway::listening(&mut program);
    let environment = async || {
        let info = rest(address, request(&Method::GET, "/gateway/info", &[], "")).await;
        info.messages[0]["environment"].as_str().unwrap().to_owned()
    };
    assert_eq!(environment().await, "first");
    for (name, is) in [("..2", "second"), ("..3", "third")] {
        version(name, is);
        swap(name);
        until(is, &program, async || environment().await == is).await;
    }
    // The old ones are taken away, as the kubelet does.
    fs::remove_dir_all(mount.join("..1")).unwrap();
    fs::remove_dir_all(mount.join("..2")).unwrap();
    version("..4", "fourth");
    swap("..4");
    until("fourth", &program, async || environment().await == "fourth").await;
    assert_eq!(program.output().matches("not reloaded").count(), 0, "{}", program.output());
}

/// An address of this machine that is not loopback; connecting a UDP socket sends nothing.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_from_elsewhere_are_refused_over_every_surface() {
    let Some(address) = own_address() else {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: callers_from_elsewhere_are_refused_over_every_surface: needs an address beside loopback"
        );
        return;
    };
    let gateway = World::new().listening_on("0.0.0.0:0").start();
    let there = SocketAddr::new(address, gateway.address.port());
    // The role admin is asked for, and nobody is known: it is UNAUTHENTICATED.
    let words = "/propylon.gateway.v1.AdminService/Reload is for authenticated callers; the request has no credentials";
    let outcome = rest(there, request(&Method::POST, "/admin/reload", &[], "")).await;
    assert_eq!((outcome.http, outcome.code, outcome.message.as_str()), (401, 16, words));
    let path = "/propylon.gateway.v1.AdminService/Reload";
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let (head, (_, trailers)) =
        http2(there, request(&Method::POST, path, &grpc, framed(b""))).await.into_parts();
    assert_eq!(trailers.get("grpc-status").or(head.headers.get("grpc-status")).unwrap(), "16");
    let web = [("content-type", "application/grpc-web")];
    let (head, (body, _)) = http1(there, request(&Method::POST, path, &web, framed(b""))).await.into_parts();
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(
        body.contains("grpc-status: 16") || head.headers.get("grpc-status").is_some_and(|code| code == "16"),
        "{body}"
    );
    assert!(!gateway.program.output().contains("reloaded ("), "{}", gateway.program.output());
    let here = SocketAddr::new([127, 0, 0, 1].into(), gateway.address.port());
    assert_eq!(rest(here, request(&Method::POST, "/admin/reload", &[], "")).await.http, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_another_origin_can_ask() {
    // Even where pages may call.
    for cors in ["", "[cors]\norigins = [\"*\"]\n", "[cors]\norigins = [\"loopback\"]\n"] {
        let gateway = World::new().with_config(cors).start();
        let own = format!("http://{}", gateway.address);
        let host = gateway.address.to_string();
        let check = async |headers: &[(&str, &str)], body: &str, want: &[u16]| {
            let headers = [headers, &[("host", host.as_str())]].concat();
            let request = request(&Method::POST, "/admin/reload", &headers, body.to_owned());
            let outcome = rest(gateway.address, request).await;
            assert!(want.contains(&outcome.http), "{headers:?} {body:?}: {outcome:?}");
        };
        let cross = ("sec-fetch-site", "cross-site");
        for origin in ["https://evil.example", "http://localhost:3000", "null"] {
            let page = ("origin", origin);
            // What a browser sends without asking first: no type, a form's, text.
            check(&[page, cross], "", &[403]).await;
            check(&[page], "", &[403]).await;
            check(&[page, cross], "{}", &[415]).await;
            for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
                check(&[page, cross, ("content-type", form)], "", &[403]).await;
                check(&[page, cross, ("content-type", form)], "{}", &[415]).await;
            }
            // And after it has asked, where it was let.
            check(&[page, cross, ("content-type", "application/json")], "{}", &[403]).await;
        }
        assert!(!gateway.program.output().contains("reloaded ("), "{}", gateway.program.output());
        // The gateway's own page, as a browser sends it.
        let page = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
        check(&[page[0], page[1], ("content-type", "application/json")], "{}", &[200]).await;
        check(&page, "", &[200]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_has_no_fields() {
    let gateway = World::new().start();
    let json = [("content-type", "application/json")];
    let outcome =
        rest(gateway.address, request(&Method::POST, "/admin/reload", &json, "{\"force\": 1}")).await;
    assert_eq!(outcome.http, 400, "{outcome:?}");
    assert!(outcome.message.contains("force"), "{outcome:?}");
    let outcome = rest(gateway.address, request(&Method::GET, "/admin/reload", &[], "")).await;
    assert_eq!(outcome.http, 405, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_drain_is_as_the_config_is_then() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let config = shop(upstream.address, false, "");
    let mut gateway = World::new().with_config(&config).start();
    let _open = GrpcStream::start(gateway.address, "/shop.v1.Shop/Watch", &Item::default()).await;
    gateway.rewrite(&config.replace("[gateway]", "[gateway]\ndrain = \"1s\""));
    assert_eq!(changes(&reloaded(&gateway).await), ["gateway.drain: 1s, was 30s"]);
    let begun = Instant::now();
    gateway.program.signal("TERM");
    assert_eq!(gateway.program.exit_code(PATIENCE).unwrap(), 0);
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_only_a_restart_changes_is_told_by_its_key() {
    let config = "[gateway]\nwatch_config = false\n";
    let gateway = World::new().with_config(config).start();
    gateway.rewrite(&format!("{config}[accounts]\naccess_lifetime = \"5m\"\n"));
    let answer = reloaded(&gateway).await;
    assert_eq!(changes(&answer), Vec::<String>::new());
    assert_eq!(
        answer["needs_restart"][0], "accounts.access_lifetime needs a restart; still 900s",
        "{answer}"
    );
    let output = gateway.program.output();
    assert!(output.contains("what has changed needs a restart"), "{output}");
    assert!(!output.contains("nothing has changed"), "{output}");
}
