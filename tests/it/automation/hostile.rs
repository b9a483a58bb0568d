//! What is sent to do harm is refused with a sentence, and soon.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::{CREATE, Came, Home, NEW_TYPE, Place, Surface, VALIDATE, call};
use crate::support::client::{http2, request, rest};

/// A debug build beside others; what is not bounded takes minutes, or all memory.
const SOON: Duration = Duration::from_secs(10);

async fn soon(place: &Place, surface: Surface, rpc: &super::Rpc, message: &Value, token: &str) -> Came {
    let began = Instant::now();
    let came = call(place.address(), surface, rpc, message, token).await;
    assert!(began.elapsed() < SOON, "{:?}: {came:?}", began.elapsed());
    came
}

fn deep(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_bounded_in_depth_and_size_over_every_surface() {
    let place = Place::small(Home::Gateway).await;
    let ann = place.user("ann").await;
    for surface in Surface::ALL {
        let made = |content: Value| json!({"name": "x", "content": content});
        let good = soon(&place, surface, &CREATE, &made(deep(30)), &ann).await.good();
        assert_eq!(good["content"], deep(30), "{surface:?}");
        let came = soon(&place, surface, &CREATE, &made(deep(31)), &ann).await;
        assert_eq!(came.code, 3, "{surface:?} {came:?}");
        assert!(came.message.contains("content: it is nested too deeply"), "{surface:?} {came:?}");
        let big = made(json!({"a": "x".repeat(2 << 20)}));
        let came = soon(&place, surface, &CREATE, &big, &ann).await;
        assert_eq!(came.code, 3, "{surface:?} {:?}", came.message);
        assert!(came.message.contains("the most is 1048576"), "{surface:?} {:?}", came.message);
    }
    // What is beyond the longest message of all is refused before it is read.
    let body = json!({"name": "x", "content": {"a": "x".repeat(10 << 20)}}).to_string();
    let headers = [("authorization", &*ann), ("content-type", "application/json")];
    let began = Instant::now();
    // Over HTTP/2, where an answer may come before all was sent.
    let came = http2(place.address(), request(&Method::POST, "/api/playbooks", &headers, body)).await;
    assert_eq!(came.status(), 413, "{:?}", came.body());
    assert!(began.elapsed() < SOON);
    // Depth that no parser should follow.
    for levels in [200, 100_000] {
        let nested = "[".repeat(levels) + &"]".repeat(levels);
        let body = format!("{{\"name\": \"x\", \"content\": {{\"a\": {nested}}}}}");
        let came = rest(place.address(), request(&Method::POST, "/api/playbooks", &headers, body)).await;
        assert_eq!((came.http, came.code), (400, 3), "{:?}", came.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_and_bombs_end_soon() {
    let place = Place::small(Home::Gateway).await;
    let admin = place.admin().await;
    let surface = Surface::Grpc;
    // Other engines take longer than the universe for the first three.
    for (number, pattern) in ["(a+)+b", "(a|aa)+b", "(.*)*b", "(\\w+\\s?)*\\d"].iter().enumerate() {
        let kind = json!({"name": format!("evil{number}"), "label": "E", "pattern": pattern});
        soon(&place, surface, &NEW_TYPE, &kind, &admin).await.good();
        let value = json!({"type": format!("evil{number}"), "value": "a".repeat(60_000) + "!"});
        assert_eq!(soon(&place, surface, &VALIDATE, &value, &admin).await.good()["valid"], false);
    }
    for pattern in ["((((\\w{9}){9}){9}){9}){9}", "(a{1000}){1000}", &"(".repeat(400)] {
        let kind = json!({"name": "huge", "label": "E", "pattern": pattern});
        let came = soon(&place, surface, &NEW_TYPE, &kind, &admin).await;
        assert!(came.code == 3 && came.message.contains("Regexp invalide"), "{came:?}");
    }
    let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        laughs += &format!("a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
    }
    for (kind, text, why) in [
        ("yaml", laughs, "it stands for too much"),
        ("yaml", "[".repeat(60_000), ""),
        ("json", "[".repeat(60_000), ""),
        ("dict", "{\"a\":".repeat(10_000), ""),
    ] {
        let came =
            soon(&place, surface, &VALIDATE, &json!({"type": kind, "value": text}), &admin).await.good();
        assert_eq!(came["valid"], false, "{kind}");
        let said = came["message"].as_str().unwrap();
        assert!(said.starts_with("Erreur de validation: ") && said.contains(why), "{kind}: {said}");
    }
    let long = json!({"type": "string", "value": "x".repeat(70_000)});
    let came = soon(&place, surface, &VALIDATE, &long, &admin).await;
    assert!(came.code == 3 && came.message.contains("the most is 65536"), "{came:?}");
}

/// What a client says of who it is, is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_who_its_headers_say() {
    let place = Place::small(Home::Gateway).await;
    let ann = place.user("ann").await;
    let headers = |token| {
        vec![
            ("x-user-id", "root"),
            ("X-User-Role", "admin"),
            ("x_user_role", "admin"),
            ("authorization", token),
        ]
    };
    let path = "/api/variable-types/admin";
    let came = rest(place.address(), request(&Method::GET, path, &headers(&*ann), "")).await;
    assert_eq!((came.http, came.code), (403, 7), "{came:?}");
    let nobody: Vec<_> = headers("").into_iter().filter(|(name, _)| *name != "authorization").collect();
    let came = rest(place.address(), request(&Method::GET, path, &nobody, "")).await;
    assert_eq!((came.http, came.code), (401, 16), "{came:?}");
}
