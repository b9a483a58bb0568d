//! Nobody's change is lost: versions and ETags, and many writers at once.

use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{CREATE, GET, Place, Surface, UPDATE, call};
use crate::support::client::{request, rest};

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_an_etag_over_rest() {
    for place in Place::both() {
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

/// 200 writers add each their own member to one content, by reading, changing and writing until nobody was faster: all are in
/// it at the end, and the version has counted each.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_writers_lose_no_acknowledged_change() {
    const WRITERS: usize = 200;
    for place in Place::both() {
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
                for turn in 0..10 * WRITERS {
                    let read = call(at, surface, &GET, &json!({"id": id}), &ann).await.good();
                    let mut content = read["content"].clone();
                    content[format!("writer {number}")] = json!(true);
                    let change = json!({"id": id, "content": content, "version": read["version"]});
                    let came = call(at, surface, &UPDATE, &change, &ann).await;
                    match came.code {
                        0 => return,
                        10 => {
                            let wait = (number * 37 + turn * 101) % 2000;
                            tokio::time::sleep(Duration::from_millis(wait as u64)).await;
                        }
                        _ => panic!("{came:?}"),
                    }
                }
                panic!("writer {number} never came first");
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        let last = call(at, Surface::Grpc, &GET, &json!({"id": id}), &ann).await.good();
        let there = last["content"].as_object().unwrap().len();
        assert_eq!((there, last["version"].as_u64()), (WRITERS, Some(WRITERS as u64 + 1)), "{}", place.name);
    }
}
