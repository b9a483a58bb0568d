//! Native gRPC ("gRPC over HTTP/2"): the head becomes a call, the frames pass as the client made them, never decoded.
//! What cannot be served is answered by a trailers-only response: HTTP 200 with the status in its head.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{ALLOW, CONTENT_TYPE},
    request::Parts,
    uri::{PathAndQuery, Uri},
};
use tonic::Status;

use super::{Answer, Protocol, Request, Response, Surface, metadata, peer, timeout};
use crate::{
    call::{Body, Call, Caller, Encoding, FrameGuard, Frames, Guards, Message, Record, Reply, Target},
    route::{Asked, Route, Rpc, RpcTable},
    status::{Fault, Refusal, refuse, to_trailers},
};

/// The native gRPC surface.
#[derive(Debug, Clone)]
pub struct Grpc {
    pub table: Arc<RpcTable>,
    /// Of what finds nothing in the table.
    pub nothing: Arc<Route>,
}

/// Answers a native gRPC client.
#[derive(Debug)]
pub struct GrpcAnswer {
    /// The client's own content type.
    content_type: HeaderValue,
    version: Version,
}

impl Surface for Grpc {
    type Answer = GrpcAnswer;

    async fn open(&self, request: Request) -> (GrpcAnswer, Call) {
        let (parts, body) = request.into_parts();
        let named = super::content_type(&parts.headers);
        let content_type = HeaderValue::from_static(match named {
            Some((_, codec)) if codec.eq_ignore_ascii_case(b"proto") => "application/grpc+proto",
            _ => "application/grpc",
        });
        let answer = GrpcAnswer { content_type, version: parts.version };
        let fits =
            check_version(parts.version).and_then(|()| check_method(&parts.method)).and_then(
                |()| match named {
                    Some((Protocol::Grpc, codec)) => check_codec(codec),
                    _ => Err(not_this_content_type(&parts.headers, "application/grpc")),
                },
            );
        (answer, open_call(&self.table, &self.nothing, parts, body, Protocol::Grpc, fits))
    }
}

impl Answer for GrpcAnswer {
    async fn close(self, outcome: Result<Reply, Status>) -> Response {
        match outcome {
            Ok(reply) => {
                let Reply { mut metadata, body, guards, .. } = reply;
                metadata::to_response(&mut metadata, Protocol::Grpc);
                metadata.insert(CONTENT_TYPE, self.content_type);
                let mut response = Response::new(guards.into_body(body));
                *response.headers_mut() = metadata;
                response
            }
            Err(status) => {
                let mut response = trailers_only(&status, self.content_type);
                if self.version < Version::HTTP_2 {
                    *response.status_mut() = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
                }
                response
            }
        }
    }
}

/// Opens a call of gRPC frames, whichever protocol brought them. `body` holds the frames; `fits` is what is wrong with the
/// request whatever it calls; `nothing` is the route of what has none.
///
/// What cannot be made is settled: UNIMPLEMENTED for a path without a route, INVALID_ARGUMENT for a bad timeout or a bad
/// `-bin` value.
pub(super) fn open_call(
    table: &RpcTable,
    nothing: &Arc<Route>,
    parts: Parts,
    body: Body,
    protocol: Protocol,
    fits: Result<(), Status>,
) -> Call {
    let found = match fits {
        Ok(()) => table
            .find(parts.uri.path(), &Asked::of(&parts.uri, &parts.headers))
            .map_err(|miss| Fault::client().on(Status::unimplemented(miss.to_string()))),
        Err(status) => Err(status),
    };
    let timeout = timeout::of_grpc(&parts.headers);
    let (peer, record) = (peer(&parts.extensions), Record::of(&parts.extensions));
    let encoding = Encoding::of(&parts.headers);
    let (metadata, clean) = metadata::of_request(parts.headers, protocol);
    let settled = |route: &Arc<Route>, metadata, status| {
        let path = PathAndQuery::try_from(parts.uri.path()).unwrap_or(PathAndQuery::from_static("/"));
        Call::settled(
            route,
            Target::Rpc { path, method: None },
            metadata,
            peer.clone(),
            record.clone(),
            Err(status),
        )
    };
    let Rpc { route, method } = match found {
        Ok(found) => found,
        Err(status) => {
            let route = table.known(parts.uri.path()).and_then(|(routes, _)| routes.first());
            let route = route.unwrap_or(nothing);
            return settled(route, metadata, status);
        }
    };
    let path = match &method {
        Some(method) => Ok(method.path.clone()),
        None => path_of(parts.uri.clone()),
    };
    let (timeout, path) = match timeout.and_then(|timeout| clean.and_then(|()| Ok((timeout, path?)))) {
        Ok(read) => read,
        Err(status) => return settled(&route, metadata, status),
    };
    let limits = &route.limits;
    let mut frames = FrameGuard::new(body, encoding, limits.request_bytes);
    if method.as_ref().is_some_and(|method| !method.client_streaming) {
        // A stream of messages may be quiet for as long as its client likes; one message has no reason to be.
        frames = frames.paced(limits.request_pause);
    }
    let frames = Body::new(frames);
    Call {
        route,
        target: Target::Rpc { path, method },
        metadata,
        message: Message::Frames(Frames::Stream(frames)),
        peer,
        timeout,
        deadline: None,
        caller: Caller::default(),
        guards: Guards::default(),
        record,
    }
}

/// A gRPC call's method is its path alone.
fn path_of(uri: Uri) -> Result<PathAndQuery, Status> {
    let whole = uri.into_parts().path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    match whole.query() {
        None => Ok(whole),
        Some(_) => PathAndQuery::try_from(whole.path())
            .map_err(|_| Fault::client().on(Status::unimplemented("a gRPC path is /package.Service/Method"))),
    }
}

fn check_version(version: Version) -> Result<(), Status> {
    if version >= Version::HTTP_2 {
        return Ok(());
    }
    let message = "gRPC needs HTTP/2; over HTTP/1.1 speak gRPC-Web (application/grpc-web)";
    Err(Fault::client().on(Status::unimplemented(message)))
}

/// gRPC knows POST alone.
pub(super) fn check_method(method: &Method) -> Result<(), Status> {
    if method == Method::POST {
        return Ok(());
    }
    let refusal = Refusal::MethodNotAllowed { allow: vec![Method::POST] };
    Err(refuse(refusal, format!("a gRPC call is a POST, not a {method}")))
}

/// Messages are protobuf, whatever the route: an upstream is told so.
pub(super) fn check_codec(codec: &[u8]) -> Result<(), Status> {
    if codec.is_empty() || codec.eq_ignore_ascii_case(b"proto") {
        return Ok(());
    }
    let codec = String::from_utf8_lossy(codec);
    let message = format!("gRPC messages in {codec:?} are not spoken here, only in \"proto\"");
    Err(refuse(Refusal::UnsupportedMediaType, message))
}

/// The refusal of a request that came to a surface with another's content type.
pub(super) fn not_this_content_type(headers: &HeaderMap, wanted: &str) -> Status {
    let shown = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let message = match shown {
        Some(shown) => format!("the content type {shown:?} is not {wanted}"),
        None => format!("there is no content type; {wanted} is wanted"),
    };
    refuse(Refusal::UnsupportedMediaType, message)
}

/// A response that is a status alone, in its head. Its HTTP status is 200, but for the refusals which the protocol
/// itself gives another (405, 415).
pub(super) fn trailers_only(status: &Status, content_type: HeaderValue) -> Response {
    let mut headers = HeaderMap::with_capacity(4);
    to_trailers(status, &mut headers);
    metadata::to_response(&mut headers, Protocol::Grpc);
    headers.insert(CONTENT_TYPE, content_type);
    let http = match Fault::of(status).and_then(|fault| fault.refusal.as_ref()) {
        Some(refusal @ Refusal::MethodNotAllowed { allow }) => {
            for method in allow {
                if let Ok(method) = HeaderValue::from_str(method.as_str()) {
                    headers.append(ALLOW, method);
                }
            }
            refusal.http()
        }
        Some(refusal @ Refusal::UnsupportedMediaType) => refusal.http(),
        _ => StatusCode::OK,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::surface::{
        serve,
        testing::{
            REQUEST_BYTES, Seen, TestRoad, framed, nothing, pieces, send, status_line, table, with_headers,
        },
    };

    const NATIVE: (&str, &str) = ("content-type", "application/grpc");

    fn surface() -> Grpc {
        Grpc { table: table(), nothing: nothing() }
    }

    fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request {
        with_headers(http::Request::post(path).version(Version::HTTP_2), headers).body(body).unwrap()
    }

    async fn call(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Seen {
        send(&surface(), request(path, headers, pieces(body, 3))).await
    }

    #[tokio::test]
    async fn frames_and_metadata_pass() {
        let frames = [framed(0, b"hello"), framed(1, b"packed")].concat();
        let headers = [
            ("content-type", "application/grpc+proto"),
            ("te", "trailers"),
            ("user-agent", "grpc-test"),
            ("grpc-timeout", "250m"),
            ("grpc-encoding", "snappy"),
            ("x-user-id", "root"),
            ("x-data-bin", "AAEC"),
            ("x-many", "1"),
            ("x-many", "2"),
        ];
        for path in ["/pkg.Library/Echo", "/bare.Service/Anything", "/bare.Service/Anything?query=1"] {
            let seen = call(path, &headers, &frames).await;
            assert_eq!((seen.http, &seen.body[..]), (200, &frames[..]), "{path}");
            assert_eq!(status_line(&seen.trailers), "0 -");
            assert_eq!(seen.trailers["x-trailer-bin"], "AAE");
            let mut names: Vec<_> =
                seen.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            names.sort_unstable();
            let want = [
                ("content-type", "application/grpc+proto"),
                ("grpc-encoding", "snappy"),
                ("user-agent", "grpc-test"),
                ("x-data-bin", "AAEC"),
                ("x-many", "1"),
                ("x-many", "2"),
                ("x-timeout", "250ms"),
            ];
            assert_eq!(names, want);
        }
    }

    #[tokio::test]
    async fn the_call_is_what_was_asked() {
        let surface = surface();
        for (path, want, known) in [
            ("/pkg.Library/Echo", "/pkg.Library/Echo", true),
            ("/bare.Service/Any?x=1", "/bare.Service/Any", false),
        ] {
            let (_, call) = surface.open(request(path, &[NATIVE], Body::empty())).await;
            let Target::Rpc { path, method } = &call.target else { panic!("an RPC") };
            assert_eq!((path.as_str(), method.is_some()), (want, known));
            assert_eq!((call.timeout, call.deadline), (None, None));
        }
    }

    #[tokio::test]
    async fn bad_input_has_its_status() {
        let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], want: &str| {
            let seen = call(path, headers, body).await;
            assert_eq!((seen.http, seen.head_status().as_str()), (200, want), "{path} {headers:?}");
            assert_eq!(seen.headers["content-type"], "application/grpc");
            assert!(seen.body.is_empty() && seen.trailers.is_empty());
        };
        let echo = "/pkg.Library/Echo";
        let unknown_service = "12 unknown service pkg.Librari (did you mean \"pkg.Library\"?)";
        check("/pkg.Librari/Echo", &[NATIVE], b"", unknown_service).await;
        check("/zzz/Echo", &[NATIVE], b"", "12 unknown service zzz").await;
        let unknown_method = "12 unknown method Ecko for service pkg.Library (did you mean \"Echo\"?)";
        check("/pkg.Library/Ecko", &[NATIVE], b"", unknown_method).await;
        for path in ["/", "/pkg.Library", "/pkg.Library/", "//Echo", "/a/b/c"] {
            check(path, &[NATIVE], b"", "12 a gRPC path is /package.Service/Method").await;
        }
        check(
            echo,
            &[NATIVE, ("grpc-timeout", "soon")],
            b"",
            "3 the value \"soon\" of header grpc-timeout is not a timeout: 1 to 8 digits and one of H M S m u n",
        )
        .await;
        check(echo, &[NATIVE, ("x-bin", "***")], b"", "3 the value of header x-bin is not base64").await;
        check(echo, &[NATIVE], &[0, 0, 0, 0, 9, 1], "13 the request ends within a frame").await;
        check(echo, &[NATIVE], &[0, 0, 0], "13 the request ends within a frame").await;
        check(
            echo,
            &[NATIVE],
            &framed(1, b"x"),
            "13 the request has a compressed message but no grpc-encoding",
        )
        .await;
        check(
            echo,
            &[NATIVE],
            &framed(7, b"x"),
            "13 the request has a frame that begins with byte 7, not 0 or 1",
        )
        .await;
        check(
            echo,
            &[NATIVE],
            &framed(0, &[0; REQUEST_BYTES + 1]),
            "8 a request message of 65 bytes is over the limit of 64 bytes",
        )
        .await;
        check(echo, &[NATIVE, ("x-refuse", "1")], b"", "16 who are you?").await;
    }

    #[tokio::test]
    async fn http_itself_refuses() {
        let check = async |request: Request, want_http: u16, want: &str| {
            let seen = send(&surface(), request).await;
            assert_eq!((seen.http, seen.head_status().as_str()), (want_http, want));
            assert_eq!(seen.headers["content-type"], "application/grpc");
            assert_eq!(seen.headers.get("allow").is_some_and(|allow| allow == "POST"), want_http == 405);
        };
        let echo = "/pkg.Library/Echo";
        let mut get = request(echo, &[NATIVE], Body::empty());
        *get.method_mut() = Method::GET;
        check(get, 405, "12 a gRPC call is a POST, not a GET").await;
        let text = request(echo, &[("content-type", "text/plain")], Body::empty());
        check(text, 415, "3 the content type \"text/plain\" is not application/grpc").await;
        let none = request(echo, &[], Body::empty());
        check(none, 415, "3 there is no content type; application/grpc is wanted").await;
        let json = request(echo, &[("content-type", "application/grpc+json")], Body::empty());
        check(json, 415, "3 gRPC messages in \"json\" are not spoken here, only in \"proto\"").await;
        let mut old = request(echo, &[NATIVE], Body::empty());
        *old.version_mut() = Version::HTTP_11;
        check(old, 505, "12 gRPC needs HTTP/2; over HTTP/1.1 speak gRPC-Web (application/grpc-web)").await;
    }

    #[tokio::test]
    async fn a_failure_is_a_head_alone() {
        let seen = call("/pkg.Library/Fail", &[NATIVE], b"").await;
        assert_eq!((seen.http, seen.head_status().as_str()), (200, "5 no 100%25 %C3%A4"));
        assert_eq!(seen.headers["grpc-status-details-bin"], "CAU");
        assert_eq!(seen.headers["x-why"], "because");
        let seen = call("/pkg.Library/FailLate", &[NATIVE], b"").await;
        assert_eq!((seen.head_status().as_str(), &seen.body[..]), ("- -", &framed(0, b"one")[..]));
        assert_eq!(status_line(&seen.trailers), "15 gone");
        let seen = call("/pkg.Library/Empty", &[NATIVE], b"").await;
        assert_eq!((seen.head_status().as_str(), seen.body.len()), ("0 -", 0));
    }

    #[tokio::test]
    async fn guards_live_until_the_body_ends() {
        let alive = Arc::new(());
        let mut guards = Guards::default();
        guards.push(Arc::clone(&alive));
        let answer = GrpcAnswer {
            content_type: HeaderValue::from_static("application/grpc"),
            version: Version::HTTP_2,
        };
        let reply = Reply {
            metadata: HeaderMap::new(),
            body: pieces(b"abc", 1),
            http_status: None,
            attempts: 0,
            guards,
        };
        let response = answer.close(Ok(reply)).await;
        let mut body = response.into_body();
        assert!(body.frame().await.is_some());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(body);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[tokio::test]
    async fn a_message_comes_before_the_stream_ends() {
        let request = request("/pkg.Library/Watch", &[NATIVE], Body::empty());
        let mut body = serve(&surface(), &TestRoad, request).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), framed(0, b"one"));
    }
}
