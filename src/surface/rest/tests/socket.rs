//! WebSockets over real connections, HTTP/1.1 and HTTP/2.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        protocol::Role,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{REQUEST_BYTES, TestRoad, rest};

async fn serve() -> SocketAddr {
    let (rest, road) = (Arc::new(rest()), Arc::new(TestRoad));
    let app = Router::new().fallback(move |request: axum::extract::Request| {
        let (rest, road) = (Arc::clone(&rest), Arc::clone(&road));
        async move { rest.serve(&road, request).await }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends messages, then reads to the end: the texts, and the close code with its reason.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: WebSocketStream<S>,
    send: Vec<Message>,
) -> (Vec<String>, u16, String) {
    for message in send {
        socket.send(message).await.unwrap();
    }
    let mut texts = Vec::new();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Close(frame) => {
                let frame = frame.unwrap();
                return (texts, frame.code.into(), frame.reason.to_string());
            }
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(bytes) => texts.push(format!("binary {}", String::from_utf8_lossy(&bytes))),
            other => texts.push(other.into_text().unwrap().to_string()),
        }
    }
}

async fn check(uri: &str, send: &[&str], texts: &[&str], code: u16, reason: &str) {
    let address = serve().await;
    let (socket, _) = connect_async(format!("ws://{address}{uri}")).await.unwrap();
    let got = talk(socket, send.iter().map(|text| Message::text(*text)).collect()).await;
    assert_eq!(
        (got.0, got.1, got.2.as_str()),
        (texts.iter().map(ToString::to_string).collect(), code, reason),
        "{uri}"
    );
}

#[tokio::test]
async fn messages_both_ways() {
    let (a, b) = (r#"{"text":"a","number":1,"tag":"t"}"#, r#"{"text":"b","number":1,"tag":"t"}"#);
    check("/v1/chat/t", &[r#"{"text":"a"}"#, r#"{"text":"b"}"#, ""], &[a, b], 1000, "").await;
    // A binding without a body: its messages are whole requests, its query belongs to each.
    check(
        "/v1/talk/t?number=4",
        &[r#"{"text":"a"}"#, ""],
        &[r#"{"text":"a","number":5,"tag":"t"}"#],
        1000,
        "",
    )
    .await;
    check("/v1/watch?number=2", &[], &[r#"{"number":1}"#, r#"{"number":2}"#], 1000, "").await;
    check(
        "/v1/collect",
        &[r#"{"text":"a"}"#, r#"{"text":"b"}"#, ""],
        &[r#"{"text":"ab","number":2}"#],
        1000,
        "",
    )
    .await;
    check("/v1/files/b", &[], &["binary a,", "binary b"], 1000, "").await;
}

#[tokio::test]
async fn failures() {
    let torn = r#"{"error":{"code":15,"status":"DATA_LOSS","message":"torn","details":[]}}"#;
    check("/v1/watch?number=1&text=torn", &[], &[r#"{"number":1}"#, torn], 4015, "torn").await;
    let address = serve().await;
    let connect = async |uri: &str| connect_async(format!("ws://{address}{uri}")).await;

    let (socket, _) = connect("/v1/chat/t").await.unwrap();
    let (texts, code, _) = talk(socket, vec![Message::text("{\"text\":1}")]).await;
    assert_eq!((code, texts.len()), (4003, 1));
    assert!(
        texts[0].starts_with(r#"{"error":{"code":3,"status":"INVALID_ARGUMENT","message":"text: "#),
        "{texts:?}"
    );

    let (socket, _) = connect("/v1/chat/t").await.unwrap();
    let (_, code, reason) =
        talk(socket, vec![Message::text(format!("\"{}\"", "x".repeat(REQUEST_BYTES)))]).await;
    assert_eq!((code, reason.as_str()), (1009, "a message of the WebSocket is over the limit of 4096 bytes"));

    let (socket, _) = connect("/v1/chat/t").await.unwrap();
    let text = Frame::message(&b"\"\xff\""[..], OpCode::Data(Data::Text), true);
    let (_, code, reason) = talk(socket, vec![Message::Frame(text)]).await;
    assert_eq!((code, reason.as_str()), (1007, "a text message of the WebSocket is not UTF-8"));

    let (socket, _) = connect("/v1/chat/t").await.unwrap();
    let (_, code, reason) = talk(socket, vec![Message::binary("{}")]).await;
    assert_eq!((code, reason.as_str()), (1003, "a binary message: this method takes JSON in text messages"));

    // Before the upgrade, everything is plain HTTP.
    let refused = |result: Result<_, Error>| match result {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{:?}", other.map(|_: (WebSocketStream<_>, _)| ())),
    };
    assert_eq!(refused(connect("/v1/nowhere").await), 404);
    assert_eq!(refused(connect("/v1/chat/%zz").await), 400);
    let mut request = format!("ws://{address}/v1/chat/t").into_client_request().unwrap();
    request.headers_mut().insert("x-refuse", "1".parse().unwrap());
    assert_eq!(refused(connect_async(request).await), 401);
    // An upgrade may be ignored (RFC 9110, section 7.8): a unary method answers as ever.
    assert_eq!(refused(connect("/v1/notes/a").await), 200);
}

#[tokio::test]
async fn a_client_that_closes_cancels() {
    let address = serve().await;
    let (mut socket, _) = connect_async(format!("ws://{address}/v1/chat/t")).await.unwrap();
    socket.close(None).await.unwrap();
    // Its close is answered, or a browser would call the end unclean.
    assert!(socket.next().await.is_some_and(|answer| answer.is_ok_and(|message| message.is_close())));
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn over_http2() {
    let address = serve().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // The server's settings, which allow extended CONNECT, come with its first answer at the latest.
    client.ready().await.unwrap();
    let warm_up =
        http::Request::get(format!("http://{address}/v1/notes/a")).body(axum::body::Body::empty()).unwrap();
    assert_eq!(client.send_request(warm_up).await.unwrap().status(), 200);
    let request = http::Request::connect(format!("http://{address}/v1/chat/t"))
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let upgraded = hyper::upgrade::on(response).await.unwrap();
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
    let (texts, code, _) = talk(socket, vec![Message::text(r#"{"text":"a"}"#), Message::text("")]).await;
    assert_eq!((texts, code), (vec![r#"{"text":"a","number":1,"tag":"t"}"#.to_owned()], 1000));
}
