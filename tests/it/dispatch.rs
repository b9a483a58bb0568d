//! Dispatch against upstreams that are made by hand over h2, so that each can misbehave in its own way: whatever one
//! does, the call ends with the right status, nothing is stuck, and the next call is fine.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use h2::{Reason, RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use propylon::{
    call::{Body, Call, Caller, Frames, Guards, HttpStatus, Message, Peer, Pending, Reply, Target},
    dispatch::{Dispatch, Local, Roots, Settings, Tls, Upstream, reflection},
    route::{Destination, Limits, Route},
    status::{Fault, Refusal, Whose, from_trailers, refuse},
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("stuck")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What the raw upstream has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    calls: AtomicUsize,
    resets: AtomicUsize,
    most_at_once: AtomicUsize,
    sent: AtomicUsize,
}

type Handler =
    Arc<dyn Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Serves HTTP/2; each call is handled by `raw` below, according to its path.
async fn serve<T>(io: T, builder: h2::server::Builder, seen: Arc<Seen>, handler: Handler)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let number = seen.connections.fetch_add(1, SeqCst);
    let at_once = Arc::new(AtomicUsize::new(0));
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.calls.fetch_add(1, SeqCst);
        let goodbye = request.uri().path() == "/t.T/Goodbye";
        let lost = request.uri().path() == "/t.T/Lost";
        let (seen, at_once) = (Arc::clone(&seen), Arc::clone(&at_once));
        let done = handler(number, request, respond);
        tokio::spawn(async move {
            seen.most_at_once.fetch_max(at_once.fetch_add(1, SeqCst) + 1, SeqCst);
            done.await;
            at_once.fetch_sub(1, SeqCst);
        });
        if goodbye {
            connection.graceful_shutdown();
        }
        if lost {
            return;
        }
    }
}

async fn listen(builder: h2::server::Builder, seen: &Arc<Seen>, handler: Handler) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::clone(seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, builder.clone(), Arc::clone(&seen), Arc::clone(&handler)));
        }
    });
    address
}

fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
    rows.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect()
}

fn head(status: u16, rows: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = headers(rows);
    response
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// An upstream with many manners.
fn raw(seen: &Arc<Seen>) -> Handler {
    let seen = Arc::clone(seen);
    Arc::new(move |connection, request, respond| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            // What h2 refuses to do means that the stream was reset, which `Hang` counts.
            let _ = behave(connection, request, respond, &seen).await;
        })
    })
}

async fn behave(
    connection: usize,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &Seen,
) -> Result<(), h2::Error> {
    let path = request.uri().path().to_owned();
    let told = request.headers().clone();
    let mut body = request.into_body();
    match path.trim_start_matches("/t.T/") {
        // Answers each piece as it comes; the head comes with the first.
        "Echo" => {
            let first = body.data().await.transpose()?;
            let mut response = head(200, &[GRPC, ("x-head", "h")]);
            if let Some(value) = told.get("grpc-timeout") {
                response.headers_mut().insert("x-timeout", value.clone());
            }
            response.headers_mut().insert("x-te", told["te"].clone());
            let mut send = respond.send_response(response, false)?;
            if let Some(data) = first {
                body.flow_control().release_capacity(data.len())?;
                send.send_data(data, false)?;
            }
            while let Some(data) = body.data().await.transpose()? {
                body.flow_control().release_capacity(data.len())?;
                send.send_data(data, false)?;
            }
            send.send_trailers(headers(&[("grpc-status", "0"), ("x-trailer", "t")]))?;
        }
        "Goodbye" | "Slow" => {
            sleep(Duration::from_millis(30)).await;
            respond.send_response(head(200, &[GRPC, ("grpc-status", "0")]), true)?;
        }
        "NoStatus" => {
            respond.send_response(head(200, &[GRPC]), false)?.send_data(Bytes::from_static(b"abc"), true)?;
        }
        "Malformed" => {
            let rows = [("grpc-status", "5"), ("grpc-message", "m"), ("grpc-status-details-bin", "!!")];
            respond.send_response(head(200, &[GRPC]), false)?.send_trailers(headers(&rows))?;
        }
        "MalformedHead" => {
            let rows = [GRPC, ("grpc-status", "5"), ("grpc-status-details-bin", "!!")];
            respond.send_response(head(200, &rows), true)?;
        }
        "ResetMid" => {
            let mut send = respond.send_response(head(200, &[GRPC]), false)?;
            send.send_data(Bytes::from_static(b"abc"), false)?;
            sleep(Duration::from_millis(50)).await;
            send.send_reset(Reason::INTERNAL_ERROR);
        }
        "Reset" => respond.send_reset(Reason::ENHANCE_YOUR_CALM),
        "RefuseOnce" if seen.calls.load(SeqCst) % 2 == 1 => respond.send_reset(Reason::REFUSED_STREAM),
        "RefuseOnce" | "OkOnly" => {
            respond.send_response(head(200, &[GRPC, ("grpc-status", "0"), ("x-a", "b")]), true)?;
        }
        "Http" => drop(respond.send_response(head(503, &[("content-type", "text/html")]), true)?),
        "Html" => drop(respond.send_response(head(200, &[("content-type", "text/html")]), true)?),
        "ErrorOnly" => {
            let rows = [GRPC, ("grpc-status", "9"), ("grpc-message", "not%20now"), ("x-a", "b")];
            respond.send_response(head(200, &rows), true)?;
        }
        "Lost" => sleep(Duration::from_millis(10)).await,
        "Flood" => {
            let mut send = respond.send_response(head(200, &[GRPC]), false)?;
            loop {
                send.reserve_capacity(16 << 10);
                let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else { break };
                send.send_data(vec![0; room].into(), false)?;
                seen.sent.fetch_add(room, SeqCst);
            }
            seen.resets.fetch_add(1, SeqCst);
        }
        "HangAfterHead" => {
            let mut send = respond.send_response(head(200, &[GRPC]), false)?;
            std::future::poll_fn(|cx| send.poll_reset(cx)).await?;
            seen.resets.fetch_add(1, SeqCst);
        }
        "Hang" => {
            let reason = std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            assert_eq!(reason, Reason::CANCEL);
            seen.resets.fetch_add(1, SeqCst);
        }
        other => panic!("connection {connection}: {other}?"),
    }
    Ok(())
}

struct World {
    dispatch: Arc<Dispatch>,
    seen: Arc<Seen>,
    address: SocketAddr,
}

impl World {
    async fn start() -> Self {
        Self::with(h2::server::Builder::new(), |_| {}).await
    }

    async fn with(builder: h2::server::Builder, change: impl FnOnce(&mut Settings)) -> Self {
        let seen = Arc::new(Seen::default());
        let address = listen(builder, &seen, raw(&seen)).await;
        Self { dispatch: dispatch(address, change), seen, address }
    }

    async fn call(&self, path: &'static str, message: impl Into<Frames>) -> Result<Reply, Status> {
        soon(self.dispatch.dispatch(call(path, message))).await
    }

    /// The next call is fine.
    async fn still_works(&self) {
        let (data, trailers) = read(self.call("/t.T/Echo", Whole("ok")).await.unwrap()).await;
        assert_eq!((data.as_ref(), &trailers["grpc-status"]), (&b"ok"[..], &HeaderValue::from_static("0")));
    }
}

fn settings(address: SocketAddr) -> Settings {
    Settings::new("books", "127.0.0.1", address.port())
}

fn dispatch(address: SocketAddr, change: impl FnOnce(&mut Settings)) -> Arc<Dispatch> {
    let mut settings = settings(address);
    change(&mut settings);
    let upstream = Arc::new(Upstream::new(settings, 2).unwrap());
    Arc::new(Dispatch::new(Local::default(), HashMap::from([("books".into(), upstream)]), HashMap::new()))
}

struct Whole(&'static str);

impl From<Whole> for Frames {
    fn from(whole: Whole) -> Self {
        Self::Whole(Bytes::from_static(whole.0.as_bytes()))
    }
}

fn call(path: &'static str, message: impl Into<Frames>) -> Call {
    let route = Route {
        name: path.into(),
        destination: Destination::Upstream("books".into()),
        timeout: None,
        retry: None,
        repeatable: false,
        limits: Limits::default(),
        cors: None,
        terms: Default::default(),
        when: None,
        headers: None,
        label: Default::default(),
    };
    Call {
        route: Arc::new(route),
        target: Target::Rpc { path: path.parse().unwrap(), method: None },
        metadata: HeaderMap::new(),
        message: Message::Frames(message.into()),
        peer: Peer::at(([127, 0, 0, 1], 1).into()),
        timeout: None,
        deadline: None,
        caller: Caller::default(),
        guards: Guards::default(),
        record: None,
    }
}

async fn read(reply: Reply) -> (Bytes, HeaderMap) {
    let collected = soon(reply.body.collect()).await.expect("a reply's body never fails");
    let trailers = collected.trailers().cloned().unwrap_or_default();
    (collected.to_bytes(), trailers)
}

/// How a reply ended.
async fn ended(reply: Reply) -> (Code, String) {
    let (_, trailers) = read(reply).await;
    match from_trailers(&trailers).expect("a grpc-status") {
        Ok(()) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

/// A client's stream that the test feeds.
fn stream() -> (mpsc::Sender<Result<Bytes, Status>>, Frames) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    (sender, Frames::Stream(Body::from_stream(pieces)))
}

async fn next(body: &mut Body) -> Bytes {
    soon(body.frame()).await.unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn all_four_shapes() {
    let world = World::start().await;
    let mut unary = call("/t.T/Echo", Whole("one"));
    unary.deadline = Some(Instant::now() + Duration::from_secs(60));
    let reply = soon(world.dispatch.dispatch(unary)).await.unwrap();
    assert_eq!(
        (&reply.metadata["x-head"], &reply.metadata["x-te"]),
        (&"h".parse().unwrap(), &"trailers".parse().unwrap())
    );
    assert!(reply.metadata["x-timeout"].to_str().unwrap().ends_with('m'));
    assert!(!reply.metadata.contains_key("content-type"));
    let (data, trailers) = read(reply).await;
    assert_eq!(
        (data.as_ref(), trailers),
        (&b"one"[..], headers(&[("grpc-status", "0"), ("x-trailer", "t")]))
    );

    // A bidirectional call: the head comes while the request goes on, and each answer before the next question.
    let (client, frames) = stream();
    client.send(Ok("a".into())).await.unwrap();
    let mut body = world.call("/t.T/Echo", frames).await.unwrap().body;
    for piece in ["b", "c", "d"] {
        let got = next(&mut body).await;
        assert_eq!(got.len(), 1);
        client.send(Ok(piece.into())).await.unwrap();
    }
    drop(client);
    let rest = soon(body.collect()).await.unwrap();
    assert_eq!(rest.trailers().unwrap()["x-trailer"], "t");
    assert_eq!(rest.to_bytes(), "d");

    // A client stream that has ended before the reply begins, and an empty one.
    let (client, frames) = stream();
    let feeding = async move {
        for piece in ["a", "b"] {
            client.send(Ok(piece.into())).await.unwrap();
        }
    };
    let (reply, ()) = tokio::join!(world.call("/t.T/Echo", frames), feeding);
    assert_eq!(read(reply.unwrap()).await.0, "ab");
    assert_eq!(read(world.call("/t.T/Echo", Whole("")).await.unwrap()).await.0, "");
    assert_eq!(world.seen.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn whatever_an_upstream_does_is_a_status() {
    let world = World::start().await;
    let label = format!("upstream \"books\" ({})", world.address);
    let check = async |path: &'static str, code: Code, message: &str| {
        let (got, said) = match world.call(path, Whole("x")).await {
            Err(status) => {
                assert_eq!(Fault::of(&status).unwrap().whose, Whose::Upstream);
                (status.code(), status.message().to_owned())
            }
            Ok(reply) => ended(reply).await,
        };
        assert_eq!((got, said.replace(&label, "U")), (code, message.to_owned()), "{path}");
        world.still_works().await;
    };
    check("/t.T/NoStatus", Code::Unknown, "U ended its reply without a grpc-status").await;
    let details = "the upstream answered NOT_FOUND with a malformed grpc-status-details-bin: ";
    check("/t.T/Malformed", Code::Internal, &format!("{details}m")).await;
    check("/t.T/MalformedHead", Code::Internal, details).await;
    check("/t.T/ResetMid", Code::Internal, "U reset the stream (INTERNAL_ERROR)").await;
    check("/t.T/Reset", Code::ResourceExhausted, "U reset the stream (ENHANCE_YOUR_CALM)").await;
    check("/t.T/Http", Code::Unavailable, "U answered with HTTP status 503, not with gRPC").await;
    check("/t.T/Html", Code::Unknown, "U answered with content-type \"text/html\", not application/grpc")
        .await;
    check("/t.T/ErrorOnly", Code::FailedPrecondition, "not now").await;
    let status = world.call("/t.T/Lost", Whole("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains(&label), "{status:?}");
    world.still_works().await;
}

#[tokio::test]
async fn trailers_only_replies_keep_their_metadata() {
    let world = World::start().await;
    let reply = world.call("/t.T/OkOnly", Whole("x")).await.unwrap();
    assert_eq!(reply.metadata, headers(&[("grpc-status", "0"), ("x-a", "b")]));
    assert_eq!(read(reply).await, (Bytes::new(), HeaderMap::new()));
    let status = world.call("/t.T/ErrorOnly", Whole("x")).await.unwrap_err();
    assert_eq!(status.metadata().clone().into_headers(), headers(&[("x-a", "b")]));
}

#[tokio::test]
async fn a_refused_connection_and_a_stalled_handshake_are_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let status = soon(dispatch(address, |_| {}).dispatch(call("/t.T/Echo", Whole("x")))).await.unwrap_err();
    let want = format!("upstream \"books\" ({address}) refused the connection");
    assert_eq!((status.code(), status.message()), (Code::Unavailable, want.as_str()));
    assert!(Fault::of(&status).unwrap().retry);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stalled = dispatch(address, |settings| settings.handshake_timeout = Duration::from_millis(300));
    let start = Instant::now();
    let calls = (0..5).map(|_| stalled.dispatch(call("/t.T/Echo", Whole("x"))));
    for outcome in soon(join_all(calls)).await {
        let want = format!(
            "upstream \"books\" ({address}) accepted the connection but did not finish its handshake within 300ms"
        );
        assert_eq!(outcome.unwrap_err().message(), want);
    }
    // One flight for all: not five timeouts after each other, whatever else this machine does.
    assert!(start.elapsed() < Duration::from_millis(1400), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_peer_that_is_not_http2_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            tokio::spawn(async move {
                sleep(PATIENCE).await;
                drop(tcp);
            });
        }
    });
    let status = soon(dispatch(address, |_| {}).dispatch(call("/t.T/Echo", Whole("x")))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("does not speak HTTP/2"), "{status:?}");
}

#[tokio::test]
async fn a_goodbye_means_another_connection() {
    let world = World::start().await;
    let reply = world.call("/t.T/Goodbye", Whole("x")).await.unwrap();
    assert_eq!(reply.metadata["grpc-status"], "0");
    drop(reply);
    sleep(Duration::from_millis(100)).await;
    world.still_works().await;
    assert_eq!(world.seen.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn what_was_refused_is_sent_once_more() {
    let world = World::start().await;
    let reply = world.call("/t.T/RefuseOnce", Whole("x")).await.unwrap();
    assert_eq!(reply.metadata["grpc-status"], "0");
    assert_eq!(world.seen.calls.load(SeqCst), 2);
    let (client, frames) = stream();
    client.send(Ok("a".into())).await.unwrap();
    // Of a stream all that has come is still here.
    let reply = world.call("/t.T/RefuseOnce", frames).await.unwrap();
    assert_eq!((&reply.metadata["grpc-status"], reply.attempts), (&HeaderValue::from_static("0"), 2));
}

#[tokio::test]
async fn more_connections_where_streams_run_out() {
    for (most, connections) in [(64, 2..=20), (2, 1..=2)] {
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(1);
        let world = World::with(builder, |settings| settings.max_connections = most).await;
        let calls = (0..20).map(|_| world.call("/t.T/Slow", Whole("x")));
        for reply in soon(join_all(calls)).await {
            assert_eq!(reply.unwrap().metadata["grpc-status"], "0");
        }
        assert_eq!(world.seen.most_at_once.load(SeqCst), 1);
        let seen = world.seen.connections.load(SeqCst);
        assert!(connections.contains(&seen), "{seen} connections of {most}");
    }
}

#[tokio::test]
async fn surplus_connections_close_when_idle() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let closed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Seen::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handler, counted, closing) = (raw(&seen), Arc::clone(&seen), Arc::clone(&closed));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let serving = serve(tcp, builder.clone(), Arc::clone(&counted), Arc::clone(&handler));
            let closing = Arc::clone(&closing);
            tokio::spawn(async move {
                serving.await;
                closing.fetch_add(1, SeqCst);
            });
        }
    });
    let dispatch = dispatch(address, |settings| settings.idle_timeout = Duration::from_millis(100));
    let calls = (0..5).map(|_| dispatch.dispatch(call("/t.T/Slow", Whole("x"))));
    assert!(soon(join_all(calls)).await.iter().all(Result::is_ok));
    let opened = seen.connections.load(SeqCst);
    assert!(opened > 1);
    until("all but one are closed", || closed.load(SeqCst) == opened - 1).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(closed.load(SeqCst), opened - 1);
}

#[tokio::test]
async fn two_thousand_cancelled_calls_break_nothing() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_reset_streams(10_000);
    let world = World::with(builder, |_| {}).await;
    for batch in 1..=40 {
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let dispatch = Arc::clone(&world.dispatch);
                tokio::spawn(async move { dispatch.dispatch(call("/t.T/Hang", Whole("x"))).await })
            })
            .collect();
        until("the calls have come", || world.seen.calls.load(SeqCst) == batch * 50).await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        until("the resets have come", || world.seen.resets.load(SeqCst) == batch * 50).await;
    }
    world.still_works().await;
    // Replaced in time, not lost.
    let connections = world.seen.connections.load(SeqCst);
    assert!((2..=4).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_deadline_holds_over_head_and_body() {
    let world = World::start().await;
    for (path, before) in [("/t.T/Hang", "a reply came"), ("/t.T/HangAfterHead", "the reply ended")] {
        let resets = world.seen.resets.load(SeqCst);
        let mut late = call(path, Whole("x"));
        late.deadline = Some(Instant::now() + Duration::from_millis(300));
        let (code, message) = match soon(world.dispatch.dispatch(late)).await {
            Err(status) => (status.code(), status.message().to_owned()),
            Ok(reply) => ended(reply).await,
        };
        let want =
            format!("the call's deadline passed before {before} (upstream \"books\" ({}))", world.address);
        assert_eq!((code, message), (Code::DeadlineExceeded, want));
        until("the upstream sees the reset", || world.seen.resets.load(SeqCst) == resets + 1).await;
    }
    // A body that is not read yet counts, too, and so does a deadline that has passed before anything is sent.
    let calls = world.seen.calls.load(SeqCst);
    let mut late = call("/t.T/Echo", Whole("x"));
    late.deadline = Some(Instant::now() + Duration::from_millis(50));
    late.message = Message::Pending(Pending::new(std::future::pending));
    assert_eq!(soon(world.dispatch.dispatch(late)).await.unwrap_err().code(), Code::DeadlineExceeded);
    let mut late = call("/t.T/Echo", Whole("x"));
    late.deadline = Some(Instant::now());
    assert_eq!(soon(world.dispatch.dispatch(late)).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(world.seen.calls.load(SeqCst), calls);
    world.still_works().await;
}

#[tokio::test]
async fn a_clients_mistake_is_the_calls_status() {
    let world = World::start().await;
    let (client, frames) = stream();
    let mistake = refuse(Refusal::TooLarge, "too long");
    client.send(Err(mistake.clone())).await.unwrap();
    let status = world.call("/t.T/Hang", frames).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too long"));
    assert_eq!(Fault::of(&status), Fault::of(&mistake));
    until("the upstream sees the reset", || world.seen.resets.load(SeqCst) == 1).await;

    let (client, frames) = stream();
    client.send(Ok("a".into())).await.unwrap();
    let reply = world.call("/t.T/HangAfterHead", frames).await.unwrap();
    client.send(Err(mistake)).await.unwrap();
    assert_eq!(ended(reply).await, (Code::ResourceExhausted, "too long".to_owned()));
    until("the upstream sees the reset", || world.seen.resets.load(SeqCst) == 2).await;
    world.still_works().await;
}

#[tokio::test]
async fn a_slow_reader_bounds_what_is_sent() {
    let world = World::start().await;
    let mut reply = world.call("/t.T/Flood", Whole("x")).await.unwrap();
    until("the first window is full", || world.seen.sent.load(SeqCst) >= 1 << 20).await;
    sleep(Duration::from_millis(200)).await;
    let sent = world.seen.sent.load(SeqCst);
    assert!(sent <= 2 << 20, "{sent}");
    // Others do not suffer, and reading makes room.
    world.still_works().await;
    let mut got = 0;
    while got < 2 << 20 {
        got += next(&mut reply.body).await.len();
    }
    until("more is sent", || world.seen.sent.load(SeqCst) > sent).await;
    drop(reply);
    until("the upstream sees the reset", || world.seen.resets.load(SeqCst) == 1).await;

    // The other way: an upstream that does not read stops the client.
    let (client, frames) = stream();
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&taken);
    let feeding = tokio::spawn(async move {
        while client.send(Ok(vec![0; 16 << 10].into())).await.is_ok() {
            counting.fetch_add(16 << 10, SeqCst);
        }
    });
    let reply = world.call("/t.T/HangAfterHead", frames).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    let stopped = taken.load(SeqCst);
    assert!(stopped <= 256 << 10, "{stopped}");
    drop(reply);
    soon(feeding).await.unwrap();
    world.still_works().await;
}

#[tokio::test]
async fn guards_live_until_the_reply_has_gone() {
    struct Guard(Arc<AtomicUsize>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let world = World::start().await;
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut guarded = call("/t.T/Echo", Whole("x"));
    guarded.guards.push(Guard(Arc::clone(&dropped)));
    let reply = soon(world.dispatch.dispatch(guarded)).await.unwrap();
    assert_eq!(dropped.load(SeqCst), 0);
    drop(reply);
    assert_eq!(dropped.load(SeqCst), 1);
}

#[tokio::test]
async fn tls_with_a_ca_and_without_it() {
    use tokio_rustls::rustls::{self, crypto::aws_lc_rs, pki_types};
    let made = rcgen::generate_simple_self_signed(["books.test".to_owned()]).unwrap();
    let key = pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let (handler, counted) = (raw(&seen), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let (counted, handler) = (Arc::clone(&counted), Arc::clone(&handler));
            tokio::spawn(serve(tls, h2::server::Builder::new(), counted, handler));
        }
    });
    let with = |pem: String| {
        dispatch(address, |settings| {
            settings.authority = Some("books.test".parse().unwrap());
            settings.tls =
                Some(Tls { roots: Roots::Pem(pem.into_bytes()), server_name: None, identity: None });
        })
    };
    let reply = soon(with(made.cert.pem()).dispatch(call("/t.T/Echo", Whole("x")))).await.unwrap();
    assert_eq!(read(reply).await.0, "x");
    let other = rcgen::generate_simple_self_signed(["books.test".to_owned()]).unwrap();
    let status = soon(with(other.cert.pem()).dispatch(call("/t.T/Echo", Whole("x")))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("failed its TLS handshake"), "{status:?}");
    let mut unusable = settings(address);
    unusable.tls = Some(Tls { roots: Roots::Pem(b"nothing".to_vec()), server_name: None, identity: None });
    let error = Upstream::new(unusable, 1).unwrap_err();
    assert!(error.ends_with("the CA's PEM holds no certificate"), "{error}");
}

/// A service of the gateway itself, as tonic generates them.
#[derive(Clone)]
struct Service;

impl tonic::server::NamedService for Service {
    const NAME: &'static str = "t.T";
}

impl<B> tower::Service<Request<B>> for Service
where
    B: http_body::Body<Data = Bytes, Error: Send> + Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() == "/t.T/Peer" {
                assert!(request.extensions().get::<Peer>().is_some());
            }
            if request.uri().path() == "/t.T/Fail" {
                return Ok(Status::not_found("no such book").into_http());
            }
            let Ok(data) = request.into_body().collect().await else {
                return Ok(Status::internal("what the service makes of it").into_http());
            };
            let body = http_body_util::Full::new(data.to_bytes())
                .with_trailers(async { Some(Ok(headers(&[("grpc-status", "0")]))) });
            let mut response = Response::new(tonic::body::Body::new(body));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            response.extensions_mut().insert(HttpStatus(StatusCode::CREATED));
            Ok(response)
        })
    }
}

#[tokio::test]
async fn local_services_take_the_same_road() {
    let dispatch = Dispatch::new(Local::default().with(Service), HashMap::new(), HashMap::new());
    let local = |path, frames: Frames| {
        let mut call = call(path, frames);
        let mut route = Route::clone(&call.route);
        route.destination = Destination::Local;
        call.route = Arc::new(route);
        soon(dispatch.dispatch(call))
    };
    let reply = local("/t.T/Peer", Whole("x").into()).await.unwrap();
    assert_eq!(reply.http_status, Some(HttpStatus(StatusCode::CREATED)));
    let (data, trailers) = read(reply).await;
    assert_eq!((data.as_ref(), trailers), (&b"x"[..], headers(&[("grpc-status", "0")])));
    let status = local("/t.T/Fail", Whole("x").into()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such book"));
    let status = local("/t.U/Echo", Whole("x").into()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unimplemented, "the gateway has no service for /t.U/Echo")
    );
    let (client, frames) = stream();
    client.send(Err(refuse(Refusal::TooLarge, "too long"))).await.unwrap();
    let status = local("/t.T/Echo", frames).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::ResourceExhausted, "too long"));
}

/// A tonic server on a runtime of its own, which can be killed with its connections.
fn tonic_server(listener: std::net::TcpListener) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move {
        listener.set_nonblocking(true).unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(TcpListener::from_std(listener).unwrap());
        tonic::transport::Server::builder().serve_with_incoming(Service, incoming).await
    });
    runtime
}

#[tokio::test]
async fn a_tonic_server_may_be_killed_and_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic_server(listener);
    let dispatch = dispatch(address, |_| {});
    let echo = || soon(dispatch.dispatch(call("/t.T/Echo", Whole("x"))));
    assert_eq!(read(echo().await.unwrap()).await.0, "x");
    let status = soon(dispatch.dispatch(call("/t.T/Fail", Whole("x")))).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no such book"));

    server.shutdown_background();
    until("the port is closed", || std::net::TcpStream::connect(address).is_err()).await;
    let want = format!("upstream \"books\" ({address}) refused the connection");
    let start = Instant::now();
    // The connection may end a moment after the listener.
    while echo().await.unwrap_err().message() != want {
        assert!(start.elapsed() < PATIENCE, "never refused");
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let server = tonic_server(socket.listen(16).unwrap().into_std().unwrap());
    assert_eq!(read(echo().await.unwrap()).await.0, "x");
    server.shutdown_background();
}

#[tokio::test]
async fn a_silent_upstream_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            // Sends its settings, then nothing any more.
            silent.push(h2::server::Builder::new().handshake::<_, Bytes>(tcp).await);
        }
    });
    let dispatch = dispatch(address, |settings| {
        settings.keep_alive_interval = Some(Duration::from_millis(100));
        settings.keep_alive_timeout = Duration::from_millis(100);
    });
    let status = soon(dispatch.dispatch(call("/t.T/Echo", Whole("x")))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let label = format!("the connection to upstream \"books\" ({address}) broke");
    assert!(status.message().starts_with(&label), "{status:?}");
}

#[tokio::test]
async fn each_worker_has_connections_of_its_own() {
    let world = World::start().await;
    for (worker, connections) in [(0, 1), (1, 2), (0, 2), (7, 3), (8, 3)] {
        propylon::dispatch::worker::set(worker);
        world.still_works().await;
        assert_eq!(world.seen.connections.load(SeqCst), connections, "worker {worker}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_share_a_pool() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(3);
    let world = Arc::new(World::with(builder, |settings| settings.max_connections = 4).await);
    let calls = (0..600u64).map(|number| {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            // Every third call is given up somewhere on its way: waiting, connecting, sent, answered.
            if number % 3 == 0 {
                let _ =
                    timeout(Duration::from_millis(number % 37), world.call("/t.T/Slow", Whole("x"))).await;
            } else {
                world.still_works().await;
            }
        })
    });
    for outcome in soon(join_all(calls)).await {
        outcome.unwrap();
    }
    world.still_works().await;
    assert!(world.seen.connections.load(SeqCst) <= 4);
}

/// One length-delimited protobuf field of less than 128 bytes.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

/// A reflection server that gives one file for each question, without its imports.
fn reflecting(version: &'static str) -> Handler {
    Arc::new(move |_, request, mut respond| {
        Box::pin(async move {
            if !request.uri().path().starts_with(version) {
                let _ = respond.send_response(head(200, &[GRPC, ("grpc-status", "12")]), true);
                return;
            }
            let mut body = request.into_body();
            let mut questions = Vec::new();
            while let Some(Ok(data)) = body.data().await {
                questions.extend_from_slice(&data);
            }
            let mut answers = Vec::new();
            let mut rest = questions.as_slice();
            while let [0, 0, 0, 0, length, tail @ ..] = rest {
                let (question, tail) = tail.split_at(usize::from(*length));
                rest = tail;
                let asked = &question[2..];
                // `name`, `dependency`, and an extension of the options that must survive.
                let file = |name: &str, import: &str| {
                    let head = [field(1, name.as_bytes()), field(3, import.as_bytes())].concat();
                    field(4, &field(1, &[head, field(8, b"\xf8\x01\x01")].concat()))
                };
                let answer = match (question[0] >> 3, asked) {
                    (7, b"*") => {
                        let names = [
                            "b.B",
                            "a.A",
                            "x.Lost",
                            "grpc.health.v1.Health",
                            "grpc.reflection.v1.ServerReflection",
                        ];
                        field(6, &names.map(|name| field(1, &field(1, name.as_bytes()))).concat())
                    }
                    (4, b"a.A") => file("a.proto", "base.proto"),
                    (4, b"b.B") => file("b.proto", "a.proto"),
                    (3, b"base.proto") => file("base.proto", "missing.proto"),
                    _ => field(7, &[&[8, 5][..], &field(2, b"not here")].concat()),
                };
                answers.extend_from_slice(&[0, 0, 0, 0, u8::try_from(answer.len()).unwrap()]);
                answers.extend_from_slice(&answer);
            }
            let mut send = respond.send_response(head(200, &[GRPC]), false).unwrap();
            send.send_data(answers.into(), false).unwrap();
            send.send_trailers(headers(&[("grpc-status", "0")])).unwrap();
        })
    })
}

#[tokio::test]
async fn an_upstream_describes_itself() {
    for version in ["/grpc.reflection.v1.", "/grpc.reflection.v1alpha."] {
        let seen = Arc::new(Seen::default());
        let address = listen(h2::server::Builder::new(), &seen, reflecting(version)).await;
        let upstream = Arc::new(Upstream::new(settings(address), 1).unwrap());
        let read = soon(reflection::read(&upstream, reflection::Limits::default())).await.unwrap();
        assert_eq!(read.services, ["a.A", "b.B", "x.Lost"]);
        assert!(read.health);
        let names: Vec<_> = read.files.iter().map(|file| &file[2..2 + usize::from(file[1])]).collect();
        assert_eq!(names, [&b"a.proto"[..], b"b.proto", b"base.proto"]);
        assert!(read.files.iter().all(|file| file.ends_with(b"\x42\x03\xf8\x01\x01")));
        let refused = |what| {
            format!(
                "the reflection of upstream \"books\" ({address}) refuses to describe {what}: NOT_FOUND not here"
            )
        };
        assert_eq!(read.problems, [refused("service x.Lost"), refused("file missing.proto")]);
        let little = reflection::Limits { bytes: 100, ..reflection::Limits::default() };
        let status = soon(reflection::read(&upstream, little)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
    let seen = Arc::new(Seen::default());
    let address = listen(h2::server::Builder::new(), &seen, reflecting("/none")).await;
    let upstream = Arc::new(Upstream::new(settings(address), 1).unwrap());
    let status = soon(reflection::read(&upstream, reflection::Limits::default())).await.unwrap_err();
    let want = format!("upstream \"books\" ({address}) does not serve reflection (UNIMPLEMENTED)");
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, want.as_str()));
}
