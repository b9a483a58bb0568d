//! Upstreams that speak TLS, and want to know who the gateway is: gRPC and plain HTTP alike.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use propylon::{auth::Certificate, status};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    certificates::{Authority, Pair},
    client::{Outcome, frames, grpc, request, rest},
    gateway::{TestGateway, World},
    library::{DESCRIPTORS, PATIENCE, framed},
};

/// An upstream that lets in who has a certificate of this authority, and answers whose that was: over HTTP/2 as the title of
/// a book, else as it is.
async fn upstream(pair: &Pair, clients: &Authority) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain =
        CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let shown = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                let name = Certificate::read(&shown).unwrap().common_name.unwrap().to_string();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let name = name.clone();
                    async move { Ok::<_, Infallible>(answer(&request, &name)) }
                });
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(tls), answer).await;
            });
        }
    });
    address
}

fn answer(
    request: &Request<Incoming>,
    name: &str,
) -> Response<http_body_util::Either<Full<Bytes>, axum_body::Trailed>> {
    if request.headers().get("content-type").is_some_and(|value| value == "application/grpc") {
        let title = crate::support::library::Book { title: name.to_owned(), ..Default::default() };
        let body =
            axum_body::Trailed::new(framed(&prost::Message::encode_to_vec(&title)), status::ok_trailers());
        let mut response = Response::new(http_body_util::Either::Right(body));
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        return response;
    }
    Response::new(http_body_util::Either::Left(Full::new(Bytes::from(format!("\"{name}\"")))))
}

/// One piece of data, then trailers.
mod axum_body {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use bytes::Bytes;
    use http::HeaderMap;
    use http_body::Frame;

    pub(super) struct Trailed(Option<Bytes>, Option<HeaderMap>);

    impl Trailed {
        pub(super) fn new(data: Bytes, trailers: HeaderMap) -> Self {
            Self(Some(data), Some(trailers))
        }
    }

    impl http_body::Body for Trailed {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let frame = self.0.take().map(Frame::data);
            let frame = frame.or_else(|| self.1.take().map(Frame::trailers));
            Poll::Ready(frame.map(Ok))
        }
    }
}

/// A gateway before it, with these keys for each of its two sides.
async fn start(address: SocketAddr, keys: &str, files: &[(&str, &str)]) -> TestGateway {
    let mut world = World::new().with_file("library.binpb", &DESCRIPTORS);
    for (name, text) in files {
        world = world.with_file(name, text.as_bytes());
    }
    world
        .with_config(&format!(
            "[[upstreams]]\nname = \"library\"\ngrpc = \"https://{address}\"\ndescriptors = \"library.binpb\"\n{keys}\
             [[upstreams]]\nname = \"plain\"\nhttp = \"https://{address}\"\n{keys}\
             [[routes]]\npath = \"/plain\"\nupstream = \"plain\"\n"
        ))
        .start()
}

async fn by_grpc(gateway: &TestGateway) -> Outcome {
    let book = frames("library.v1.GetBookRequest", &["{}"]);
    grpc(gateway.address, "/library.v1.Library/GetBook", &[], book, "library.v1.Book").await
}

async fn by_http(gateway: &TestGateway) -> Outcome {
    rest(gateway.address, request(&Method::GET, "/plain", &[], "")).await
}

const KEYS: &str = "ca = \"ca.pem\"\nserver_name = \"library.internal\"\nclient_certificate = \"gateway.crt\"\nclient_key = \"gateway.key\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_shows_its_certificate_and_takes_over_another() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let address = upstream(&servers.issue(&["library.internal"]), &clients).await;
    let first = clients.issue(&["cn:first"]);
    let files =
        [("ca.pem", servers.pem.as_str()), ("gateway.crt", &first.certificate), ("gateway.key", &first.key)];
    let gateway = start(address, KEYS, &files).await;
    assert_eq!(by_grpc(&gateway).await.messages[0]["title"], "first");
    assert_eq!(by_http(&gateway).await.messages[0], "first");
    let second = clients.issue(&["cn:second"]);
    gateway.put("gateway.crt", second.certificate.as_bytes());
    gateway.put("gateway.key", second.key.as_bytes());
    let begun = Instant::now();
    loop {
        let (grpc, http) = (by_grpc(&gateway).await, by_http(&gateway).await);
        if grpc.messages[0]["title"] == "second" && http.messages[0] == "second" {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{grpc:?} {http:?}\n{}", gateway.program.output());
        sleep(std::time::Duration::from_millis(50)).await;
    }
    // A key of another's changes nothing.
    gateway.put("gateway.key", first.key.as_bytes());
    let begun = Instant::now();
    while !gateway.program.output().contains("is not that of the certificate") {
        assert!(begun.elapsed() < PATIENCE, "{}", gateway.program.output());
        sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(by_grpc(&gateway).await.messages[0]["title"], "second");
    assert_eq!(by_http(&gateway).await.messages[0], "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_trust_the_gateway_or_is_another_is_unavailable() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let address = upstream(&servers.issue(&["library.internal"]), &clients).await;
    let stranger = Authority::new().issue(&["cn:stranger"]);
    let good = clients.issue(&["cn:gateway"]);
    let files = |pair: &Pair| {
        [
            ("ca.pem", servers.pem.clone()),
            ("gateway.crt", pair.certificate.clone()),
            ("gateway.key", pair.key.clone()),
        ]
    };
    for (keys, pair) in [
        (KEYS.to_owned(), &stranger),
        (KEYS.replace("library.internal", "other.internal"), &good),
        (KEYS.replace("client_certificate = \"gateway.crt\"\nclient_key = \"gateway.key\"\n", ""), &good),
    ] {
        let files = files(pair);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let gateway = start(address, &keys, &files).await;
        let (grpc, http) = (by_grpc(&gateway).await, by_http(&gateway).await);
        assert_eq!((grpc.code, http.http), (14, 503), "{grpc:?} {http:?}");
    }
}
