//! Nobody's change is lost: versions and ETags, and many writers at once.

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{CREATE, GET, Home, Place, Surface, UPDATE, call};
use crate::support::client::{request, rest};

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_an_etag_over_rest() {
    for place in Place::both(Home::Gateway).await {
        let ann = place.user("ann").await;
        let at = place.address();
        let made = json!({"name": "one", "content": {}});
        let made = call(at, Surface::Rest, &CREATE, &made, &ann).await.good();
        let path = format!("/api/playbooks/{}", made["id"].as_str().unwrap());
        let ask = async |method: Method, tag: &str, body: &str| {
            let mut headers = vec![("authorization", &*ann), ("content-type", "application/json")];
            if !tag.is_empty() {
                headers.push(("if-match", tag));
            }
            rest(at, request(&method, &path, &headers, body.to_owned())).await
        };
        let first = ask(Method::GET, "", "").await;
        assert_eq!(first.headers["etag"], "\"1\"");
        let second = ask(Method::PUT, "\"1\"", r#"{"name": "two"}"#).await;
        assert_eq!((second.http, &second.headers["etag"]), (200, &"\"2\"".parse().unwrap()));
        for tag in ["\"1\"", "W/\"2\"", "\"x\""] {
            let late = ask(Method::PUT, tag, r#"{"name": "three"}"#).await;
            assert_eq!((late.http, late.code), (412, 10), "{tag}: {late:?}");
            assert!(late.message.contains("version 2"), "{late:?}");
            let late = ask(Method::DELETE, tag, "").await;
            assert_eq!((late.http, late.code), (412, 10), "{tag}");
        }
        let both = ask(Method::PATCH, "\"2\"", r#"{"name": "three", "version": 1}"#).await;
        assert_eq!(both.http, 400, "{both:?}");
        let stale = ask(Method::PATCH, "", r#"{"name": "three", "version": 1}"#).await;
        assert_eq!((stale.http, stale.code), (409, 10), "{stale:?}");
        assert_eq!(ask(Method::PATCH, "\"1\", \"2\"", r#"{"name": "three"}"#).await.http, 200);
        assert_eq!(ask(Method::PUT, "*", r#"{"name": "four"}"#).await.http, 200);
        assert_eq!(ask(Method::DELETE, "\"4\"", "").await.http, 200);
        assert_eq!(ask(Method::GET, "", "").await.http, 404);
    }
}

/// 200 writers read, add a member of their own and write, some times each; whoever was told that it went well finds its member
/// at the end, and the version has counted each of them. Then 200 write whatever version there is: each is counted.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writers_lose_no_acknowledged_change() {
    const WRITERS: usize = 200;
    for place in Place::both(Home::Gateway).await {
        let ann = place.user("ann").await;
        let at = place.address();
        let made = json!({"name": "shared", "content": {}});
        let made = call(at, Surface::Grpc, &CREATE, &made, &ann).await.good();
        let id = made["id"].as_str().unwrap().to_owned();
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let (ann, id) = (ann.clone(), id.clone());
            writers.spawn(async move {
                // Over both, so that versions and tags meet.
                let surface = if number % 2 == 0 { Surface::Grpc } else { Surface::Rest };
                for _ in 0..3 {
                    let read = call(at, surface, &GET, &json!({"id": id}), &ann).await.good();
                    let mut content = read["content"].clone();
                    content[format!("writer {number}")] = json!(true);
                    let change = json!({"id": id, "content": content, "version": read["version"]});
                    let came = call(at, surface, &UPDATE, &change, &ann).await;
                    match came.code {
                        0 => return Some(number),
                        10 => {}
                        _ => panic!("{came:?}"),
                    }
                }
                None
            });
        }
        let acknowledged: Vec<usize> = writers.join_all().await.into_iter().flatten().collect();
        let last = call(at, Surface::Grpc, &GET, &json!({"id": id}), &ann).await.good();
        let there = last["content"].as_object().unwrap();
        for number in &acknowledged {
            assert!(there.contains_key(&format!("writer {number}")), "{number} is lost on {}", place.name);
        }
        assert_eq!(there.len(), acknowledged.len(), "{}", place.name);
        assert_eq!(last["version"].as_u64(), Some(acknowledged.len() as u64 + 1), "{}", place.name);
        assert!(acknowledged.len() > 3, "{} came first", acknowledged.len());
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let (ann, change) = (ann.clone(), json!({"id": id, "name": format!("by {number}")}));
            writers.spawn(async move { call(at, Surface::Grpc, &UPDATE, &change, &ann).await.good() });
        }
        let mut versions: Vec<u64> =
            writers.join_all().await.iter().map(|one| one["version"].as_u64().unwrap()).collect();
        versions.sort_unstable();
        let first = acknowledged.len() as u64 + 2;
        assert_eq!(versions, (first..first + WRITERS as u64).collect::<Vec<_>>(), "{}", place.name);
    }
}
