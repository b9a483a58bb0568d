//! Where schemas come from and what becomes of them: reflection that appears late, changes, or is read on demand;
//! services without a schema; mistakes of a config, each told in a sentence; rules from the config; what the gateway's
//! own reflection and health say of all of it.

use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use propylon::proto::{
    grpc_health_v1::{
        HealthCheckRequest, HealthCheckResponse, HealthListResponse, health_check_response::ServingStatus,
    },
    grpc_reflection_v1::{
        ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
    },
};
use prost::Message;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    client::{Outcome, frames, grpc, grpc_web, http2, request, rest},
    gateway::World,
    library::{self, DESCRIPTORS, PATIENCE, framed},
    process::Program,
    reflecting::{FIRST, Reflecting, SECOND},
    streams::GrpcStream,
};

/// A port where nothing listens.
async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn shop(address: SocketAddr, interval: &str) -> World {
    World::new().with_config(&format!(
        "[[upstreams]]\nname = \"shop\"\ngrpc = \"http://{address}\"\nreflection_interval = \"{interval}\""
    ))
}

async fn get(gateway: SocketAddr, path: &str) -> Outcome {
    rest(gateway, request(&Method::GET, path, &[], "")).await
}

/// Asks until the answer has this HTTP status.
async fn until(gateway: SocketAddr, path: &str, status: u16) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = get(gateway, path).await;
        if outcome.http == status {
            return outcome;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} stays {outcome:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Calls a gRPC method with one message and answers the messages of the reply.
pub(crate) async fn call<M: Message + Default>(
    gateway: SocketAddr,
    path: &str,
    message: &impl Message,
) -> Vec<M> {
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let body = framed(&message.encode_to_vec());
    let (head, (body, trailers)) =
        http2(gateway, request(&Method::POST, path, &headers, body)).await.into_parts();
    let status = trailers.get("grpc-status").or_else(|| head.headers.get("grpc-status"));
    assert_eq!(status.map(|status| status.as_bytes()), Some(&b"0"[..]), "{path}: {head:?} {trailers:?}");
    messages(&body)
}

fn messages<M: Message + Default>(mut body: &[u8]) -> Vec<M> {
    let mut found = Vec::new();
    while let Some((header, rest)) = body.split_at_checked(5) {
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        found.push(M::decode(&rest[..length]).unwrap());
        body = &rest[length..];
    }
    found
}

fn health_of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn an_upstream_that_is_away_at_start_comes_in_when_it_appears() {
    let address = free().await;
    let mut gateway = shop(address, "30s").start();
    assert_eq!(get(gateway.address, "/readyz").await.http, 200);
    assert_eq!(get(gateway.address, "/v1/items/pen").await.http, 404);
    gateway.program.wait_for("its schema cannot be read", PATIENCE).unwrap();
    let mut watch =
        GrpcStream::start(gateway.address, "/grpc.health.v1.Health/Watch", &health_of("shop.v1.Shop")).await;
    assert_eq!(watch.next::<HealthCheckResponse>().await.status(), ServingStatus::ServiceUnknown);
    let _upstream = Reflecting::start(address, FIRST).await;
    let outcome = until(gateway.address, "/v1/items/pen", 200).await;
    assert_eq!(outcome.messages, [serde_json::json!({ "name": "pen" })]);
    let said = gateway.program.wait_for("its schema is new: ", PATIENCE).unwrap();
    assert!(said.starts_with("added shop.v1.Shop.Get, shop.v1.Shop.Watch"), "{said}");
    assert_eq!(watch.next::<HealthCheckResponse>().await.status(), ServingStatus::Serving);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Item {
    #[prost(string, tag = "1")]
    name: String,
}

#[tokio::test]
async fn a_changed_schema_is_taken_up_while_a_stream_lives_on() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let gateway = shop(upstream.address, "200ms").start();
    until(gateway.address, "/v1/items/pen", 200).await;
    assert_eq!(get(gateway.address, "/v1/find?name=x").await.http, 404);
    // The stream's head comes at once over gRPC, with its first message over REST.
    let nothing = Item::default();
    let watching = GrpcStream::start(gateway.address, "/shop.v1.Shop/Watch", &nothing);
    let lines = async {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let headers = [("accept", "application/x-ndjson"), ("host", "test")];
        let request = request(&Method::GET, "/v1/watch", &headers, "").map(Full::new);
        timeout(PATIENCE, sender.send_request(request)).await.expect("a head in time").unwrap()
    };
    let first = async {
        upstream.watched_by(2).await;
        upstream.tick();
    };
    let (mut watching, mut lines, ()) = tokio::join!(watching, lines, first);
    assert_eq!(watching.next::<Item>().await.name, "tick");
    let line = |frame: Option<Result<http_body::Frame<Bytes>, hyper::Error>>| {
        frame.unwrap().unwrap().into_data().unwrap()
    };
    assert_eq!(line(timeout(PATIENCE, lines.frame()).await.unwrap()), "{\"name\":\"tick\"}\n");
    upstream.change(SECOND);
    let found = until(gateway.address, "/v1/find?name=x", 200).await;
    assert_eq!(found.messages, [serde_json::json!({ "name": "x" })]);
    // What began before goes on by the schema it began with.
    upstream.tick();
    assert_eq!(watching.next::<Item>().await.name, "tick");
    assert_eq!(line(timeout(PATIENCE, lines.frame()).await.unwrap()), "{\"name\":\"tick\"}\n");
    // And what is gone is gone.
    upstream.change(FIRST);
    until(gateway.address, "/v1/find?name=x", 404).await;
}

#[tokio::test]
async fn sighup_reads_the_schemas_now() {
    let upstream = Reflecting::start(([127, 0, 0, 1], 0).into(), FIRST).await;
    let mut gateway = shop(upstream.address, "1h").start();
    until(gateway.address, "/v1/items/pen", 200).await;
    gateway.program.signal("HUP");
    wait_for(&mut gateway.program, "its schema has not changed").await;
    upstream.change(SECOND);
    assert_eq!(get(gateway.address, "/v1/find?name=x").await.http, 404);
    gateway.program.signal("HUP");
    wait_for(&mut gateway.program, "its schema is new: added shop.v1.Shop.Find").await;
    assert_eq!(get(gateway.address, "/v1/find?name=x").await.http, 200);
    upstream.change(
        "rpc Broken(Item) returns (Item) { option (google.api.http) = { get: \"/v1/items/{other}\" }; }",
    );
    gateway.program.signal("HUP");
    wait_for(&mut gateway.program, "removed shop.v1.Shop.Find").await;
    wait_for(&mut gateway.program, "other").await;
    assert_eq!(get(gateway.address, "/v1/items/pen").await.http, 200, "one bad binding harms no other");
}

/// [`Program::wait_for`], while the upstream in this runtime goes on.
async fn wait_for(program: &mut Program, words: &str) {
    let begun = Instant::now();
    while !program.output().contains(words) {
        assert!(begun.elapsed() < PATIENCE, "no «{words}» in\n{}", program.output());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_service_without_a_schema_passes_as_it_is() {
    let upstream = library::start().await;
    let unknown =
        format!("[[upstreams]]\nname = \"books\"\ngrpc = \"http://{upstream}\"\nreflection = false\n");
    for (more, service) in [
        ("services = [\"library.v1.Library\"]", "library.v1.Library"),
        ("services = [\"library.*\"]", "library.v1.Library"),
        ("[[routes]]\nservice = \"library.*\"\nupstream = \"books\"", "library.v1.Library"),
    ] {
        let gateway = World::new().with_config(&format!("{unknown}{more}")).start();
        let path = "/library.v1.Library/GetBook";
        let body = frames("library.v1.GetBookRequest", &[r#"{"name": "x"}"#]);
        let book = "library.v1.Book";
        for (surface, outcome) in [
            ("gRPC", grpc(gateway.address, path, &[], body.clone(), book).await),
            ("gRPC-Web", grpc_web(gateway.address, false, path, &[], body.clone(), book).await),
            ("gRPC-Web text", grpc_web(gateway.address, true, path, &[], body, book).await),
        ] {
            assert_eq!(
                outcome.messages.first().map(|book| &book["name"]),
                Some(&"x".into()),
                "{surface} {outcome:?}"
            );
        }
        let json = [("content-type", "application/json")];
        let outcome = rest(gateway.address, request(&Method::POST, path, &json, "{}")).await;
        let want = format!(
            "there is no POST {path} over REST: the schema of {service} is not known here, so it is served as gRPC and gRPC-Web only"
        );
        assert_eq!((outcome.http, outcome.code, outcome.message), (404, 5, want), "{more}");
    }
}

/// Checks that a gateway does not start: exit code, what it says, and that it says nothing else.
fn fails(what: &str, world: World, code: i32, said: &[&str]) {
    let (exit, printed) = world.fails();
    one_sentence(what, exit, &printed, code, said);
}

fn one_sentence(what: &str, exit: i32, printed: &str, code: i32, said: &[&str]) {
    assert_eq!(exit, code, "{what}: {printed}");
    assert!(printed.starts_with("propylon: "), "{what}: {printed}");
    for words in said {
        assert!(printed.contains(words), "{what}: no «{words}» in {printed}");
    }
    for noise in ["panicked", "backtrace", "Error {", "{\"timestamp\""] {
        assert!(!printed.contains(noise), "{what}: {printed}");
    }
}

#[tokio::test]
async fn a_mistake_is_told_in_a_sentence() {
    let upstream = |name: &str, file: &str| {
        format!("[[upstreams]]\nname = \"{name}\"\ngrpc = \"http://127.0.0.1:9\"\ndescriptors = \"{file}\"\n")
    };
    let world =
        |config: &str| World::new().with_file("library.binpb", DESCRIPTORS.as_slice()).with_config(config);
    let twice = upstream("one", "library.binpb") + &upstream("two", "library.binpb");
    let both = ["library.v1.Library is served by upstream \"one\" and by upstream \"two\"", "[[routes]]"];
    fails("one service of two upstreams", world(&twice), 78, &both);
    let missing = ["upstreams.one.descriptors", "missing.binpb", "No such file"];
    fails("a missing descriptor file", world(&upstream("one", "missing.binpb")), 78, &missing);
    let garbage = world(&upstream("one", "garbage.binpb")).with_file("garbage.binpb", b"not descriptors");
    fails("a bad descriptor file", garbage, 78, &["upstreams.one.descriptors", "garbage.binpb"]);
    let toml = world("[gateway\nlisten = 1");
    fails("no TOML", toml, 78, &["propylon.toml:1:"]);
    fails(
        "an unknown key",
        world("[gateway]\nlissten = \"x\""),
        78,
        &["propylon.toml:2:1: gateway.lissten", "did you mean \"listen\"?"],
    );
    fails(
        "a value of the wrong type",
        world("[limits]\nrequest_bytes = \"1k\""),
        78,
        &["propylon.toml:2:17: limits.request_bytes"],
    );
    fails(
        "a time that is none",
        world("[gateway]\ndrain = \"soon\""),
        78,
        &["gateway.drain: \"soon\" is not a time"],
    );
    let rule = |selector: &str, get: &str| {
        format!(
            "{}[[http_rules]]\nselector = \"{selector}\"\nget = \"{get}\"\n",
            upstream("one", "library.binpb")
        )
    };
    let plain = "library.v1.Library.Plain";
    let same = ["library.v1.Library.GetBook", plain, "/v1/books:get"];
    fails("identical bindings", world(&rule(plain, "/v1/books:get")), 78, &same);
    let near = ["http_rules", "library.v1.Library.Plane", "library.v1.Library.Plain"];
    fails("a rule for nothing", world(&rule("library.v1.Library.Plane", "/v1/x")), 78, &near);
    fails(
        "a template that is none",
        world(&rule(plain, "/v1/{name")),
        78,
        &["http_rules[0].get", "/v1/{name"],
    );
    fails("a variable that is no field", world(&rule(plain, "/v1/{nam}")), 78, &[plain, "nam"]);
}

#[tokio::test]
async fn a_mistake_of_the_command_line_is_told_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let other = std::net::TcpListener::bind(taken).unwrap();
    let taken = taken.to_string();
    let check = |arguments: &[&str], code: i32, said: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_propylon"));
        let mut program = Program::start("propylon", command.args(arguments)).unwrap();
        let exit = program.exit_code(PATIENCE).unwrap();
        one_sentence(&arguments.join(" "), exit, &program.output(), code, said);
    };
    check(&["serve", "--listen", &taken], 1, &["cannot listen on", &taken, "in use"]);
    check(&["--listen", &taken], 1, &["cannot listen on", &taken, "in use"]);
    check(&["serve", "--listen", "8080"], 78, &["\"8080\" is not an address to listen on", "127.0.0.1:8080"]);
    check(&["serve", "--config", "/no/such.toml"], 78, &["/no/such.toml: the config cannot be read"]);
    check(&["up", "--grpc", "localhost"], 78, &["--grpc", "\"localhost\"", "no port"]);
    check(&["up", "--grpc", "a:1", "--grpc", "a:1"], 78, &["a:1 is given twice"]);
    drop(other);
}

#[tokio::test]
async fn rules_of_the_config_give_rest_to_a_method_without_annotation() {
    let upstream = library::start().await;
    let gateway = World::with_library(upstream)
        .with_config(
            "[[http_rules]]\nselector = \"library.v1.Library.Plain\"\nget = \"/v2/plain/{name=books/*}\"
            additional_bindings = [{ post = \"/v2/plain\", body = \"*\" }]",
        )
        .start();
    let by_path = get(gateway.address, "/v2/plain/books/7?edition=3").await;
    assert_eq!(
        (&by_path.messages[0]["name"], &by_path.messages[0]["pages"]),
        (&"books/7".into(), &"3".into())
    );
    let by_body = rest(gateway.address, request(&Method::POST, "/v2/plain", &[], "{\"name\": \"x\"}")).await;
    assert_eq!(by_body.messages[0]["name"], "x");
    assert_eq!(get(gateway.address, "/v1/books:get?name=y").await.http, 200, "the others stay");
}

const BUILT_IN: [&str; 13] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "propylon.automation.v1.FavoriteService",
    "propylon.automation.v1.GalaxyService",
    "propylon.automation.v1.PlaybookService",
    "propylon.automation.v1.VariableTypeService",
    "propylon.gateway.v1.AdminService",
    "propylon.gateway.v1.AuthService",
    "propylon.gateway.v1.HealthService",
    "propylon.gateway.v1.McpService",
    "propylon.gateway.v1.RoutingService",
    "propylon.gateway.v1.UserService",
];

#[tokio::test]
async fn reflection_and_health_know_built_in_and_upstream_services() {
    let gateway = World::with_library(library::start().await).start();
    let mut names: Vec<String> =
        BUILT_IN.iter().chain(&["library.v1.Library"]).map(|name| (*name).to_owned()).collect();
    names.sort();
    // Both versions are the same on the wire.
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let ask = async |asked: MessageRequest| {
            let request = ServerReflectionRequest { message_request: Some(asked), ..Default::default() };
            let mut answers = call::<ServerReflectionResponse>(gateway.address, &path, &request).await;
            answers.pop().unwrap().message_response.unwrap()
        };
        let MessageResponse::ListServicesResponse(list) =
            ask(MessageRequest::ListServices(String::new())).await
        else {
            panic!("no list")
        };
        let mut listed: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        listed.sort();
        assert_eq!(listed, names, "{version}");
        for symbol in ["library.v1.Library", "library.v1.Book", "propylon.gateway.v1.HealthService.Ping"] {
            let answer = ask(MessageRequest::FileContainingSymbol(symbol.into())).await;
            assert!(matches!(answer, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {answer:?}");
        }
        let MessageResponse::ErrorResponse(error) =
            ask(MessageRequest::FileContainingSymbol("no.such.Thing".into())).await
        else {
            panic!("no error")
        };
        assert_eq!(error.error_code, 5);
        assert!(error.error_message.contains("no.such.Thing"), "{}", error.error_message);
    }
    let check = "/grpc.health.v1.Health/Check";
    for service in names.iter().map(String::as_str).chain([""]) {
        let answer = call::<HealthCheckResponse>(gateway.address, check, &health_of(service)).await;
        assert_eq!(answer[0].status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = framed(&health_of("no.such.Service").encode_to_vec());
    let outcome = grpc(gateway.address, check, &[], unknown, "library.v1.Book").await;
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(outcome.message.contains("no.such.Service"), "{outcome:?}");
    let list =
        call::<HealthListResponse>(gateway.address, "/grpc.health.v1.Health/List", &health_of("")).await;
    let mut listed: Vec<_> = list[0].statuses.keys().filter(|name| !name.is_empty()).cloned().collect();
    listed.sort();
    assert_eq!(listed, names);
    for (service, want) in [
        ("", ServingStatus::Serving),
        ("library.v1.Library", ServingStatus::Serving),
        ("no.such.Service", ServingStatus::ServiceUnknown),
    ] {
        let mut watch =
            GrpcStream::start(gateway.address, "/grpc.health.v1.Health/Watch", &health_of(service)).await;
        assert_eq!(watch.next::<HealthCheckResponse>().await.status(), want, "{service:?}");
    }
}
