//! How the gateway says how it and what it stands on are: probes of services, and what readiness, `grpc.health.v1` and the
//! report say beside each other.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use propylon::proto::grpc_health_v1::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
};
use tonic::transport::Channel;

use crate::support::{
    client::http1,
    gateway::{TestGateway, World},
    library,
    servers::Server,
};

/// A service that counts how often it is asked.
struct Service {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    well: Arc<AtomicBool>,
}

impl Service {
    async fn start(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, well) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let (counted, is_well) = (Arc::clone(&asked), Arc::clone(&well));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (counted, is_well) = (Arc::clone(&counted), Arc::clone(&is_well));
                tokio::spawn(async move {
                    let read = stream.read(&mut [0; 4096]).await.unwrap_or_default();
                    if read == 0 {
                        return;
                    }
                    counted.fetch_add(1, SeqCst);
                    if !answers {
                        std::future::pending::<()>().await;
                    }
                    let status = if is_well.load(SeqCst) { "200 OK" } else { "500 Oh" };
                    let answer =
                        format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { address, asked, well }
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, SeqCst)
    }

    fn probe(&self, name: &str, more: &str) -> String {
        format!(
            "[[health.probes]]\nname = \"{name}\"\nkind = \"http\"\nurl = \"http://{}/\"\n{more}\n",
            self.address
        )
    }
}

/// Asks a path: the status, the body and how long it took.
async fn get(gateway: SocketAddr, path: &str) -> (u16, Value, Duration) {
    let begun = Instant::now();
    let request = http::Request::get(path).header("host", "localhost").body(bytes::Bytes::new()).unwrap();
    let (head, (body, _)) = http1(gateway, request).await.into_parts();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default(), begun.elapsed())
}

/// Waits until a thing is so.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_probes_of_which_two_hang_are_waited_for_once_and_then_kept() {
    let mut services = Vec::new();
    for number in 0..10 {
        services.push(Service::start(number >= 2).await);
    }
    let mut config = "[health]\ncache = \"5s\"\nchecks = [\"server\"]\n".to_owned();
    for (number, service) in services.iter().enumerate() {
        config.push_str(&service.probe(&format!("s{number}"), "timeout = \"1s\""));
    }
    let gateway = World::new().with_config(&config).start();
    // 200 who ask at once wait for one answer.
    let asking = (0..200).map(|_| get(gateway.address, "/health"));
    let answers = join_all(asking).await;
    let slowest = answers.iter().map(|(_, _, took)| *took).max().unwrap();
    assert!(slowest >= Duration::from_secs(1) && slowest < Duration::from_secs(8), "{slowest:?}");
    for (status, body, _) in &answers {
        assert_eq!((*status, &body["status"]), (200, &"degraded".into()), "{body}");
        let found = |name: &str| body["services"][name].clone();
        assert_eq!(found("s0")["message"], "did not answer within 1s");
        assert_eq!((&found("s1")["status"], &found("s1")["latency_ms"]), (&"down".into(), &Value::Null));
        assert!(found("s2")["status"] == "up" && found("s9")["latency_ms"].is_number(), "{body}");
        // With the database, which nobody has to ask.
        assert_eq!(body["services"].as_object().unwrap().len(), 11);
    }
    let asked: Vec<usize> = services.iter().map(Service::asked).collect();
    assert_eq!(asked, [1; 10], "one probe a window");
    // And then it is known.
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let (_, body, took) = get(gateway.address, "/health").await;
        assert_eq!((&body["cache_hit"], &body["timestamp"]), (&true.into(), &answers[0].1["timestamp"]));
        quickest = quickest.min(took);
    }
    // A connection and a build without optimization included; what is kept alone is far below.
    assert!(quickest < Duration::from_millis(10), "{quickest:?}");
    assert_eq!(services.iter().map(Service::asked).sum::<usize>(), 0);
    // The services alone, and the same of them.
    let (status, body, _) = get(gateway.address, "/health/services").await;
    assert_eq!((status, &body["status"], &body["cache_hit"]), (200, &"degraded".into(), &true.into()));
    for number in 0..10 {
        let name = format!("s{number}");
        assert_eq!(body["services"][&name], answers[0].1["services"][&name]);
    }
    assert!(body.get("checks").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critical_service_makes_it_unhealthy_and_nothing_unready() {
    let (one, other) = (Service::start(true).await, Service::start(true).await);
    let config = "[health]\ncache = \"0s\"\nchecks = [\"server\"]\n".to_owned()
        + &one.probe("one", "critical = true")
        + &other.probe("other", "");
    let gateway = World::new().with_config(&config).start();
    let check = async |path: &str, want: (u16, &str)| {
        let (status, body, _) = get(gateway.address, path).await;
        assert_eq!((status, body["status"].as_str().unwrap_or_default()), want, "{path}: {body}");
    };
    check("/health", (200, "healthy")).await;
    other.well.store(false, SeqCst);
    check("/health", (200, "degraded")).await;
    check("/health/services", (200, "degraded")).await;
    one.well.store(false, SeqCst);
    for path in ["/health", "/api/v1/health", "/health/services"] {
        check(path, (503, "unhealthy")).await;
    }
    for path in ["/livez", "/readyz", "/ping"] {
        assert_eq!(get(gateway.address, path).await.0, 200, "{path}");
    }
    one.well.store(true, SeqCst);
    check("/health", (200, "degraded")).await;
    for line in ["the service one is down: it answers with 500", "the service one is up again"] {
        until(line, async || gateway.program.output().contains(line).then_some(())).await;
    }
}

async fn channel(gateway: &TestGateway) -> HealthClient<Channel> {
    let channel =
        Channel::from_shared(format!("http://{}", gateway.address)).unwrap().connect().await.unwrap();
    HealthClient::new(channel)
}

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_dead_upstream_all_say_the_same_and_a_watch_is_told() {
    // Bound, so that nobody else has the port, and not listening.
    let upstream = TcpSocket::new_v4().unwrap();
    upstream.set_reuseaddr(true).unwrap();
    upstream.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = upstream.local_addr().unwrap();
    let gateway = World::with_library(address)
        .with_config("[health]\ncache = \"1s\"\nupstreams = true\nchecks = [\"server\"]")
        .start();
    let mut client = channel(&gateway).await;
    let mut watch = client.watch(of("library.v1.Library")).await.unwrap().into_inner();
    let mut next = async || watch.message().await.unwrap().unwrap().status();
    // Nobody has asked yet.
    assert_eq!(next().await, ServingStatus::Serving);
    let (status, body, _) = get(gateway.address, "/health").await;
    assert_eq!((status, &body["status"]), (200, &"degraded".into()));
    assert_eq!(body["services"]["library"]["message"], "refused the connection");
    assert_eq!(next().await, ServingStatus::NotServing);
    for (service, want) in [
        ("", ServingStatus::Serving),
        ("propylon.gateway.v1.HealthService", ServingStatus::Serving),
        ("library.v1.Library", ServingStatus::NotServing),
    ] {
        assert_eq!(client.check(of(service)).await.unwrap().into_inner().status(), want, "{service}");
    }
    assert_eq!(get(gateway.address, "/readyz").await.0, 200);
    assert_eq!(get(gateway.address, "/livez").await.0, 200);
    // It comes back, and nobody has to ask.
    let listener = upstream.listen(64).unwrap();
    tokio::spawn(async move {
        loop {
            let _ = listener.accept().await;
        }
    });
    assert_eq!(next().await, ServingStatus::Serving);
    until("the report says so", async || {
        let (_, body, _) = get(gateway.address, "/health").await;
        (body["services"]["library"]["status"] == "up").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_is_told_of_at_once() {
    let address = library::serve(async |_| {
        let response = http::Response::builder().header("content-type", "application/grpc");
        let response = response.header("grpc-status", "14").header("grpc-message", "away");
        Ok(response.body(propylon::call::Body::empty()).unwrap())
    })
    .await;
    let gateway = World::with_library(address)
        .with_config("[upstreams.breaker]\nopen = \"1h\"\n[health]\ncache = \"1h\"\nupstreams = true\n")
        .start();
    let up = get(gateway.address, "/health").await.1;
    assert_eq!(up["services"]["library"]["status"], "up", "{up}");
    for _ in 0..6 {
        get(gateway.address, "/v1/shelves/1/books/1").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is kept says otherwise.
    let (_, body, _) = get(gateway.address, "/health").await;
    assert_eq!(body["services"]["library"]["message"], "fails: its breaker is open", "{body}");
    let mut client = channel(&gateway).await;
    until("grpc.health.v1 says so", async || {
        let said = client.check(of("library.v1.Library")).await.unwrap().into_inner().status();
        (said == ServingStatus::NotServing).then_some(())
    })
    .await;
    assert_eq!(client.check(of("")).await.unwrap().into_inner().status(), ServingStatus::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_probes_found_and_nothing_of_themselves() {
    let Some(mut redis) = Server::redis() else { return };
    let service = Service::start(true).await;
    let config = format!("[store]\nredis = \"{}\"\n[health]\ncache = \"20s\"\n", redis.url("0"));
    let probes = service.probe("it", "");
    let (one, other) = (
        World::new().with_config(&(config.clone() + &probes)).start(),
        World::new().with_config(&(config.clone() + "memory_limit = 1\n" + &probes)).start(),
    );
    let (_, first, _) = get(one.address, "/health").await;
    let (status, second, _) = get(other.address, "/health").await;
    assert_eq!((&first["cache_hit"], &second["cache_hit"]), (&false.into(), &true.into()));
    assert_eq!(
        (&first["services"]["it"], &first["timestamp"]),
        (&second["services"]["it"], &second["timestamp"])
    );
    assert_eq!(service.asked(), 1);
    // Its own memory is bad, and nobody else's.
    assert_eq!((status, &second["status"]), (503, &"unhealthy".into()));
    assert_eq!(get(one.address, "/health").await.0, 200);
    // Who probes something else has an answer of its own.
    let third = World::new().with_config(&(config + &service.probe("another", ""))).start();
    assert_eq!(get(third.address, "/health").await.1["cache_hit"], false);
    get(one.address, "/health").await;
    service.asked();
    // Without Redis each knows what it found.
    redis.kill();
    let (_, body, _) = get(one.address, "/health").await;
    assert_eq!(
        (&body["cache_hit"], &body["services"]["it"]["status"]),
        (&true.into(), &"up".into()),
        "{body}"
    );
    assert_eq!(service.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_had_at_once_whatever_redis_does() {
    let Some(redis) = Server::redis() else { return };
    let service = Service::start(true).await;
    let config = format!("[store]\nredis = \"{}\"\n[health]\ncache = \"60s\"\n", redis.url("0"));
    let gateway = World::new().with_config(&(config + &service.probe("it", ""))).start();
    assert_eq!(get(gateway.address, "/health").await.1["cache_hit"], false);
    let quick = async |what: &str| {
        let mut times = Vec::new();
        for _ in 0..40 {
            let (_, body, took) = get(gateway.address, "/health").await;
            assert_eq!((&body["cache_hit"], &body["services"]["it"]["status"]), (&true.into(), &"up".into()));
            times.push(took);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times.sort();
        eprintln!("{what}: half within {:?}, all within {:?}", times[20], times[39]);
        // An operation of Redis may take half a second: nobody waited for one.
        assert!(times[39] < Duration::from_millis(400), "{what}: {times:?}");
    };
    quick("Redis is there").await;
    redis.freeze();
    quick("Redis hangs").await;
    redis.thaw();
    let answers = join_all((0..200).map(|_| get(gateway.address, "/health"))).await;
    assert!(answers.iter().all(|(_, body, _)| body["cache_hit"] == true));
    assert_eq!(service.asked(), 1, "one probe a window");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_services_an_upstream_that_is_down_alone_is_asked_again() {
    let upstream = TcpSocket::new_v4().unwrap();
    upstream.set_reuseaddr(true).unwrap();
    upstream.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let service = Service::start(true).await;
    let config = "[health]\ncache = \"1s\"\nupstreams = true\nchecks = [\"server\"]\n".to_owned();
    let gateway = World::with_library(upstream.local_addr().unwrap())
        .with_config(&(config + &service.probe("it", "")))
        .start();
    let (_, body, _) = get(gateway.address, "/health").await;
    assert_eq!(body["services"]["library"]["status"], "down", "{body}");
    // The database, the probe and the upstream, beside the one check.
    assert_eq!((&body["summary"]["total"], &body["summary"]["degraded"]), (&4.into(), &1.into()), "{body}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(service.asked(), 1, "nobody has asked");
    let listener = upstream.listen(64).unwrap();
    tokio::spawn(async move {
        loop {
            let _ = listener.accept().await;
        }
    });
    until("it is found back", async || {
        gateway.program.output().contains("the service library is up again").then_some(())
    })
    .await;
    assert_eq!(service.asked(), 0, "nobody has asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_has_figures_of_its_own() {
    let gateway = World::new().with_config("[health.degraded]\nlag = \"4s\"\n").start();
    until("all checks are there", async || {
        let (_, body, _) = get(gateway.address, "/health").await;
        let checks = body["checks"].as_array().unwrap();
        let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
        (names == ["server", "memory", "cpu", "disk", "descriptors", "lag"]).then_some(())
    })
    .await;
    let (_, body, _) = get(gateway.address, "/health").await;
    let of = |name: &str, figure: &str| {
        let check = body["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        check["details"][figure].as_f64().unwrap_or_else(|| panic!("{check}"))
    };
    assert!(of("memory", "rss_bytes") > 4e6 && of("memory", "limit_bytes") > of("memory", "rss_bytes"));
    assert!(of("disk", "total_bytes") > 1e6 && of("descriptors", "open") > 5.0);
    assert!(of("cpu", "user_seconds") > 0.0 && of("lag", "workers") >= 1.0);
    assert!(of("server", "uptime_seconds") > 0.0);
    let open = of("descriptors", "open");
    let held = join_all((0..50).map(|_| tokio::net::TcpStream::connect(gateway.address))).await;
    until("fifty more are open", async || {
        let (_, body, _) = get(gateway.address, "/health").await;
        let checks = body["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "descriptors").unwrap();
        // Some of those that asked before may have been open still.
        (check["details"]["open"].as_f64().unwrap() >= open + 40.0).then_some(())
    })
    .await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_brings_other_probes_and_forgets_nobody_who_was_seen() {
    let service = Service::start(true).await;
    let probes = |more: &str| {
        "[health]\ncache = \"0s\"\nchecks = [\"server\"]\n".to_owned()
            + &service.probe("it", &format!("may_be_absent = true\n{more}"))
    };
    let gateway = World::new().with_config(&probes("")).start();
    assert_eq!(get(gateway.address, "/health").await.1["services"]["it"]["status"], "up");
    let absent =
        "[[health.probes]]\nname = \"late\"\nkind = \"tcp\"\nurl = \"127.0.0.1:9\"\nmay_be_absent = true\n";
    gateway.rewrite(&(probes("timeout = \"3s\"") + absent));
    service.well.store(false, SeqCst);
    let body = until("the new probe is there", async || {
        let (_, body, _) = get(gateway.address, "/health").await;
        body["services"]["late"].is_object().then_some(body)
    })
    .await;
    assert_eq!(body["services"]["late"]["status"], "not_deployed");
    assert_eq!((&body["services"]["it"]["status"], &body["status"]), (&"down".into(), &"degraded".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_service_is_asked_in_its_own_way() {
    let Some((postgres, redis)) = Server::postgres().zip(Server::redis()) else { return };
    let own = World::new().with_config("[log]\nlevel = \"info\"").start();
    let config = format!(
        "[health]\ncache = \"0s\"\nchecks = [\"server\"]\n
        [[health.probes]]\nname = \"db\"\nkind = \"postgres\"\nurl = \"{}\"
        [[health.probes]]\nname = \"no-db\"\nkind = \"postgres\"\nurl = \"{}\"
        [[health.probes]]\nname = \"cache\"\nkind = \"redis\"\nurl = \"{}\"
        [[health.probes]]\nname = \"no-cache\"\nkind = \"redis\"\nurl = \"redis://127.0.0.1:9\"
        [[health.probes]]\nname = \"own-db\"\nkind = \"postgres\"
        [[health.probes]]\nname = \"grpc\"\nkind = \"grpc\"\nurl = \"http://{own}\"
        [[health.probes]]\nname = \"one\"\nkind = \"grpc\"\nurl = \"http://{own}\"\nservice = \"no.Such\"
        [[health.probes]]\nname = \"tcp\"\nkind = \"tcp\"\nurl = \"{own}\"
        [[health.probes]]\nname = \"http\"\nkind = \"http\"\nurl = \"http://{own}/livez\"",
        postgres.url("postgres"),
        postgres.url("nowhere"),
        redis.url("0"),
        own = own.address,
    );
    let gateway = World::new().with_config(&config).start();
    let body = until("its own database is there", async || {
        let (_, body, _) = get(gateway.address, "/health").await;
        (body["services"]["own-db"]["status"] == "up").then_some(body)
    })
    .await;
    let check = |name: &str, want: Option<&str>| {
        let found = &body["services"][name];
        assert_eq!(found["message"].as_str(), want, "{name}: {found}");
        assert_eq!(found["status"], if want.is_none() { "up" } else { "down" }, "{name}: {found}");
    };
    check("db", None);
    check("no-db", Some("has no such database"));
    check("cache", None);
    check("no-cache", Some("refused the connection"));
    check("grpc", None);
    check("one", Some("has no service \"no.Such\""));
    check("tcp", None);
    check("http", None);
    // It stands for the store that is told of without a probe.
    assert!(body["services"].get("database").is_none(), "{body}");
}
