//! Callers who are known by the certificate of their connection: whether they are let in, who they are to the rules, the limits
//! and the upstreams, and what a token beside it says.

use std::process::Command;

use http::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{TLS, get_book, seen, start, world};
use crate::support::{
    certificates::{Authority, Client, Pair},
    client::{frames, request},
    gateway::TestGateway,
    library::{self, PATIENCE},
    process::Program,
    tools::needs,
};

const ORDERS: &str = "spiffe://shop/orders";
const OPERATOR: &str = "an-operator's-token--which-is-long";

const RULES: &str = r#"
client_ca = "clients.pem"
client_certificates = "optional"
[[auth.tokens]]
name = "operator"
token = { file = "operator" }
user = "operator"
roles = ["admin"]
tier = "elite"
[[auth.certificates]]
match = "spiffe://shop/orders"
roles = ["orders"]
permissions = ["books:read"]
tier = "elite"
[[auth.certificates]]
match = "spiffe://shop/*"
roles = ["shop"]
tier = "tiny"
[rate_limits]
tiers = { free = 60, elite = 0, tiny = 3 }
[access]
[[access.rules]]
match = ["library.v1.Library/PutBook"]
roles = ["orders", "admin"]
[[access.rules]]
match = ["library.v1.Library/ListPages"]
roles = ["nobody"]
allow = ["user:certificate/spiffe://shop/stock"]
[[access.rules]]
match = ["library.v1.Library/Fail"]
roles = ["nobody"]
allow = ["issuer:certificate"]
deny = ["user:certificate/spiffe://shop/orders"]
"#;

/// A gateway that asks for certificates of the second authority.
async fn asking(rules: &str) -> (TestGateway, Client, Authority) {
    let (authority, clients) = (Authority::new(), Authority::new());
    let world = world(library::start().await, &authority)
        .with_file("clients.pem", clients.pem.as_bytes())
        .with_file("operator", OPERATOR.as_bytes());
    let gateway = world.with_config(&format!("{TLS}{rules}")).start();
    (gateway, Client::trusting(&authority), clients)
}

fn post(method: &str, message: &str) -> http::Request<bytes::Bytes> {
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    request(&Method::POST, &format!("/library.v1.Library/{method}"), &headers, frames(message, &["{}"]))
}

/// A method of the library with its request's type, and where it is over REST.
type OverBoth = (&'static str, &'static str, &'static str, &'static str);
const GET_BOOK: OverBoth = ("GetBook", "GetBookRequest", "GET /v1/books:get", "");
const PUT_BOOK: OverBoth = ("PutBook", "Book", "PUT /v1/shelves/1/books/2", "{}");
const LIST_PAGES: OverBoth = ("ListPages", "FailRequest", "POST /v1/pages", "{}");
const FAIL: OverBoth = ("Fail", "FailRequest", "POST /v1/fail", "{\"code\": 0}");

/// The gRPC code of a call by each of these, which is the same over gRPC-Web and REST: 0 reached, 7 PERMISSION_DENIED, 16 UNAUTHENTICATED.
async fn codes(gateway: &TestGateway, clients: &[&Client], method: OverBoth) -> Vec<i32> {
    let (method, message, rest, body) = method;
    let (verb, path) = rest.split_once(' ').unwrap();
    let mut codes = Vec::new();
    for client in clients {
        let call = post(method, &format!("library.v1.{message}"));
        let (head, (_, trailers)) = client.http2(gateway.address, call).await.unwrap().into_parts();
        let code = trailers.get("grpc-status").or(head.headers.get("grpc-status")).unwrap();
        let code: i32 = code.to_str().unwrap().parse().unwrap();
        let headers = [("content-type", "application/json")];
        let asked = request(&verb.parse().unwrap(), path, &headers, body);
        let status = client.http1(gateway.address, asked).await.unwrap().status().as_u16();
        let over_rest = match status {
            401 => 16,
            403 => 7,
            _ => 0,
        };
        assert_eq!(code, over_rest, "{method}: {status} over REST");
        let headers = [("content-type", "application/grpc-web")];
        let asked = request(
            &Method::POST,
            &format!("/library.v1.Library/{method}"),
            &headers,
            frames(&format!("library.v1.{message}"), &["{}"]),
        );
        let (head, (body, _)) = client.http1(gateway.address, asked).await.unwrap().into_parts();
        let said = String::from_utf8_lossy(&body);
        let of_body = said.split_once("grpc-status:").and_then(|(_, rest)| rest.split("\r\n").next());
        let over_web = head.headers.get("grpc-status").map_or(of_body, |value| value.to_str().ok());
        let over_web: i32 = over_web.unwrap().trim().parse().unwrap();
        assert_eq!(code, over_web, "{method} over gRPC-Web");
        codes.push(code);
    }
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_roles_and_upstreams_know_the_bearer() {
    let (gateway, nobody, authority) = asking(&RULES.replace("tiny = 3", "tiny = 0")).await;
    let orders = nobody.showing(&authority.issue(&[ORDERS, "orders.internal", "orders@shop.example"]));
    let stock = nobody.showing(&authority.issue(&["spiffe://shop/stock"]));
    // Its name is an id of ours, and it is nobody of ours.
    let sly = nobody.showing(&authority.issue(&["cn:operator"]));
    let all = [&nobody, &orders, &stock, &sly];
    assert_eq!(codes(&gateway, &all, GET_BOOK).await, [16, 0, 0, 0]);
    assert_eq!(codes(&gateway, &all, PUT_BOOK).await, [16, 0, 7, 7]);
    assert_eq!(codes(&gateway, &all, LIST_PAGES).await, [16, 7, 0, 7]);
    assert_eq!(codes(&gateway, &all, FAIL).await, [16, 7, 0, 0]);
    let admin = request(&Method::GET, "/admin/users", &[], "");
    for (client, want) in [(&nobody, 401), (&orders, 403), (&sly, 403)] {
        assert_eq!(client.http1(gateway.address, admin.clone()).await.unwrap().status(), want);
    }
    let forged = [
        ("x-forwarded-client-cert", "By=spiffe://me;URI=spiffe://shop/boss"),
        ("X-Forwarded-Client_Cert", "Hash=1"),
        ("x-user-id", "boss"),
    ];
    let of_orders = [
        "x-user-email=orders@shop.example",
        "x-user-id=spiffe://shop/orders",
        "x-user-permissions=books:read",
        "x-user-role=orders",
    ];
    for (client, want) in [(&orders, &of_orders[..]), (&sly, &["x-user-id=operator"])] {
        let answer = client.http1(gateway.address, get_book(&forged)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut seen = seen(&answer.body().0);
        seen.sort_unstable();
        let told: Vec<&str> =
            seen.iter().map(String::as_str).filter(|line| line.starts_with("x-user-")).collect();
        assert_eq!(told, want);
        assert!(!seen.iter().any(|line| line.contains("client") && line.contains("cert")), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_beside_a_certificate_says_who_calls() {
    let (gateway, nobody, authority) = asking(RULES).await;
    let orders = nobody.showing(&authority.issue(&[ORDERS]));
    let who = async |headers: &[(&str, &str)]| {
        let answer = orders.http1(gateway.address, get_book(headers)).await.unwrap();
        let (head, (body, _)) = answer.into_parts();
        let seen = if head.status == StatusCode::OK { seen(&body) } else { Vec::new() };
        (head.status.as_u16(), seen.into_iter().find(|line| line.starts_with("x-user-id=")))
    };
    let bearer = format!("Bearer {OPERATOR}");
    assert_eq!(who(&[]).await, (200, Some("x-user-id=spiffe://shop/orders".to_owned())));
    assert_eq!(who(&[("authorization", &bearer)]).await, (200, Some("x-user-id=operator".to_owned())));
    assert_eq!(who(&[("x-api-key", OPERATOR)]).await, (200, Some("x-user-id=operator".to_owned())));
    // A bad one is not made good by the certificate.
    assert_eq!(who(&[("authorization", "Bearer nothing-of-ours")]).await, (401, None));
    // What is not the gateway's says nothing here.
    let basic = who(&[("authorization", "Basic dTpw")]).await;
    assert_eq!(basic, (200, Some("x-user-id=spiffe://shop/orders".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_elsewhere_does_not_call_by_its_reader_s_certificate() {
    let cors = "[cors]\norigins = [\"https://app.example\"]\ncredentials = true\n";
    let (gateway, nobody, authority) = asking(&format!("{RULES}{cors}")).await;
    let orders = nobody.showing(&authority.issue(&[ORDERS]));
    let of = |origin| vec![("origin", origin)];
    let site = |site, mode| vec![("sec-fetch-site", site), ("sec-fetch-mode", mode)];
    for (headers, want) in [
        (vec![], 200),
        (of("https://localhost"), 200),
        (of("https://app.example"), 200),
        (of("https://evil.example"), 401),
        (of("null"), 401),
        (site("cross-site", "no-cors"), 401),
        (site("same-site", "cors"), 401),
        (site("cross-site", "navigate"), 200),
        (site("same-origin", "cors"), 200),
        (site("none", "navigate"), 200),
    ] {
        let answer = orders.http1(gateway.address, get_book(&headers)).await.unwrap();
        assert_eq!(answer.status(), want, "{headers:?}");
        let with_token = [&headers[..], &[("x-api-key", OPERATOR)]].concat();
        let answer = orders.http1(gateway.address, get_book(&with_token)).await.unwrap();
        assert_eq!(answer.status(), 200, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_is_counted_by_its_name_whatever_its_connections() {
    let (gateway, nobody, authority) = asking(RULES).await;
    let stock = nobody.showing(&authority.issue(&["spiffe://shop/stock"]));
    // Another certificate of the same name, and another name.
    let again = nobody.showing(&authority.issue(&["spiffe://shop/stock"]));
    let other = nobody.showing(&authority.issue(&["spiffe://shop/other"]));
    let status = async |client: &Client| {
        let answer = client.http1(gateway.address, get_book(&[])).await.unwrap();
        (answer.status().as_u16(), answer.headers().get("x-ratelimit-limit").cloned())
    };
    for client in [&stock, &again, &stock] {
        let (status, limit) = status(client).await;
        assert_eq!((status, limit.unwrap().to_str().unwrap()), (200, "3"));
    }
    assert_eq!(status(&again).await.0, 429);
    assert_eq!(status(&other).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_must_show_a_certificate_is_not_let_in_without_a_good_one() {
    let required = "client_ca = \"clients.pem\"\nclient_certificates = \"required\"\nclient_identity = [\"dns\", \"cn\"]\n[access]\n";
    let (gateway, nobody, authority) = asking(required).await;
    let good = authority.issue(&["orders.internal", ORDERS]);
    let expired = authority.issue_with(&["orders.internal"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let of_others = Authority::new().issue(&["orders.internal"]);
    for bad in [None, Some(&expired), Some(&of_others)] {
        let client = bad.map_or_else(|| nobody.clone(), |pair| nobody.showing(pair));
        let refused = client.http1(gateway.address, get_book(&[])).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let answer = nobody.showing(&good).http2(gateway.address, get_book(&[])).await.unwrap();
    assert!(seen(&answer.body().0).contains(&"x-user-id=orders.internal".to_owned()));
    // One without such a name is let in, and is nobody.
    let nameless = nobody.showing(&authority.issue(&[ORDERS]));
    let answer = nameless.http1(gateway.address, get_book(&[])).await.unwrap();
    let (head, (body, _)) = answer.into_parts();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(head.status, 401, "{body}");
    assert_eq!(body["message"], "the client certificate has no name by which callers are known here");
    assert_eq!(
        nameless.http1(gateway.address, request(&Method::GET, "/ping", &[], "")).await.unwrap().status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_names_nobody_is_counted_once() {
    let limit = "[rate_limits]\naddress = 2\nburst = 0\nexempt = []\n[access]\n";
    let asked =
        "client_ca = \"clients.pem\"\nclient_certificates = \"required\"\nclient_identity = [\"dns\"]\n";
    let (gateway, nobody, authority) = asking(&format!("{asked}{limit}")).await;
    let nameless = nobody.showing(&authority.issue(&[ORDERS]));
    for (want, left) in [(401, "1"), (401, "0"), (429, "0")] {
        let answer = nameless.http1(gateway.address, get_book(&[])).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-ratelimit-remaining"]),
            (want, &left.parse().unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_resumed_is_still_its_bearers() {
    let (gateway, nobody, authority) = asking(RULES).await;
    let orders = nobody.showing(&authority.issue(&[ORDERS]));
    let mut config = orders.config();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    for want in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let tcp = TcpStream::connect(gateway.address).await.unwrap();
        let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        tls.write_all(b"GET /v1/books:get HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut said = String::new();
        tls.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("x-user-id=spiffe://shop/orders"), "{said}");
        assert_eq!(tls.get_ref().1.handshake_kind(), Some(want));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_calls_with_a_certificate() {
    let Some(grpcurl) = needs("grpcurl") else { return };
    let (gateway, _, authority) = asking(&RULES.replace("optional", "required")).await;
    let Pair { certificate, key } = authority.issue(&[ORDERS]);
    gateway.put("orders.crt", certificate.as_bytes());
    gateway.put("orders.key", key.as_bytes());
    let file = |name: &str| gateway.folder().join(name);
    let address = format!("localhost:{}", gateway.address.port());
    let call = |more: &[&str]| {
        let mut command = Command::new(&grpcurl);
        command.arg("-cacert").arg(file("ca.pem"));
        if more.is_empty() {
            command.arg("-cert").arg(file("orders.crt")).arg("-key").arg(file("orders.key"));
        }
        command.args(["-max-time", "10", "-d", "{\"name\": \"a\"}", &address, "library.v1.Library/PutBook"]);
        Program::start("grpcurl", &mut command).unwrap().finish(PATIENCE * 2)
    };
    assert!(call(&[]).unwrap().contains("\"name\": \"a\""));
    assert!(call(&["without"]).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_changes_whose_certificates_are_taken_and_what_their_bearers_have() {
    let (gateway, nobody, first) = asking(RULES).await;
    let orders = nobody.showing(&first.issue(&[ORDERS]));
    assert_eq!(codes(&gateway, &[&orders], PUT_BOOK).await, [0]);
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    gateway.rewrite(&text.replace("roles = [\"orders\"]\npermissions", "roles = [\"other\"]\npermissions"));
    let reload = request(&Method::POST, "/admin/reload", &[], "");
    assert_eq!(nobody.http1(gateway.address, reload.clone()).await.unwrap().status(), 200);
    assert_eq!(codes(&gateway, &[&orders], PUT_BOOK).await, [7]);
    let second = Authority::new();
    gateway.put("clients.pem", second.pem.as_bytes());
    assert_eq!(nobody.http1(gateway.address, reload).await.unwrap().status(), 200);
    assert!(orders.http1(gateway.address, get_book(&[])).await.is_err());
    let new = nobody.showing(&second.issue(&[ORDERS]));
    assert_eq!(new.http1(gateway.address, get_book(&[])).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_for_a_certificate_unless_the_config_says_so() {
    let (gateway, authority, client) = start("[access]\n").await;
    let showing = client.showing(&authority.issue(&[ORDERS]));
    assert_eq!(showing.http1(gateway.address, get_book(&[])).await.unwrap().status(), 401);
}
