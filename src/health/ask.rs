//! One probe: whom it asks, over a connection of its own, and what speaks against the service, in words that follow its name
//! and tell no address, user or password: everybody may read them.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Code;

use super::{
    known::Known,
    reaches::Reaches,
    results::{Service, Status},
    rules::{Get, Probe, Target},
};
use crate::{
    dispatch::{self, Connector, Host, Resilience, Roots, Speaks, Tls, Upstream},
    proto::grpc_health_v1::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus},
    status::{Fault, name},
    store,
};

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// As much of an answer is read as ends its connection in order.
const MOST_BYTES: usize = 64 << 10;

/// A probe made ready.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) probe: Probe,
    /// What it asks, in words that are the same on all replicas.
    pub(super) target: String,
    tls: Option<Result<Arc<Connector>, String>>,
}

impl Asker {
    pub(super) fn new(probe: Probe) -> Self {
        let tls = match &probe.target {
            Target::Http(get) if get.tls => {
                Some(Connector::new(&trusting(), &get.host.host, Speaks::Http1).map(Arc::new))
            }
            _ => None,
        };
        Self { target: probe.target.words(), probe, tls }
    }

    /// Asks once, within its time.
    pub(super) async fn ask(&self, reaches: &Reaches, known: &Known) -> Service {
        let Probe { timeout: limit, may_be_absent, .. } = &self.probe;
        let begun = Instant::now();
        let asking = timeout(*limit, self.answer(reaches));
        // Whether anything is there at all matters as long as nobody has seen it.
        let unseen = *may_be_absent && !known.has(&self.target);
        let (answer, there) = tokio::join!(asking, async { unseen && self.is_there(*limit).await });
        let answer = answer.unwrap_or_else(|_| Err(format!("did not answer within {limit:?}")));
        match answer {
            Ok(()) => {
                let took = begun.elapsed();
                if *may_be_absent {
                    known.add(&self.target);
                }
                Service::up(took)
            }
            Err(why) if unseen && !there => Service::not_up(Status::NotDeployed, why),
            Err(why) => {
                if unseen {
                    known.add(&self.target);
                }
                Service::not_up(Status::Down, why)
            }
        }
    }

    async fn answer(&self, reaches: &Reaches) -> Result<(), String> {
        match &self.probe.target {
            Target::Http(of) => get(of, self.tls.as_ref()).await,
            Target::Tcp(host) => connect(host).await.map(drop),
            Target::Grpc { tls, host, service } => self.check(*tls, host, service).await,
            Target::Postgres(url) => store::ask_postgres(url).await,
            Target::Redis(url) => store::ask_redis(url).await,
            Target::OwnDatabase => reaches.stores.ask_database().await.map_err(|_| AWAY.to_owned()),
            Target::OwnRedis => reaches.stores.ask_redis().await.map_err(|_| AWAY.to_owned()),
            Target::Upstream(name) => match reaches.upstreams.get(name) {
                Some(upstream) => upstream.ask().await,
                None => Err("is no upstream".to_owned()),
            },
        }
    }

    async fn check(&self, tls: bool, host: &Host, service: &str) -> Result<(), String> {
        let settings = dispatch::Settings {
            tls: tls.then(trusting),
            connect_timeout: self.probe.timeout,
            handshake_timeout: self.probe.timeout,
            resilience: Resilience { breaker: None, ejection: None, ..Resilience::default() },
            ..dispatch::Settings::new(&self.probe.name, &host.host, host.port)
        };
        let upstream = Arc::new(Upstream::new(settings, 1)?);
        let question = HealthCheckRequest { service: service.to_owned() };
        let answer: Result<HealthCheckResponse, _> =
            dispatch::ask(&upstream, CHECK, &question, self.probe.timeout).await;
        match answer {
            Ok(answer) if answer.status() == ServingStatus::Serving => Ok(()),
            Ok(answer) => Err(format!("says that it is {}", answer.status().as_str_name())),
            Err(status) => Err(match status.code() {
                Code::Unavailable if Fault::of(&status).is_some_and(|fault| fault.retry) => AWAY.to_owned(),
                Code::DeadlineExceeded => format!("did not answer within {:?}", self.probe.timeout),
                Code::NotFound => format!("has no service {service:?}"),
                Code::Unimplemented => "does not serve grpc.health.v1".to_owned(),
                code => format!("answers {}", name(code)),
            }),
        }
    }

    /// True where something accepts connections at its address.
    async fn is_there(&self, limit: Duration) -> bool {
        let host = match &self.probe.target {
            Target::Http(get) => get.host.clone(),
            Target::Tcp(host) | Target::Grpc { host, .. } => host.clone(),
            Target::Postgres(url) => match url.server() {
                Some((host, port)) => Host { host, port },
                None => return false,
            },
            Target::Redis(url) => match url.server() {
                Some((host, port)) => Host { host, port },
                None => return false,
            },
            // Whether there is one, the config says.
            Target::OwnDatabase | Target::OwnRedis => return true,
            Target::Upstream(_) => return false,
        };
        matches!(timeout(limit, connect(&host)).await, Ok(Ok(_)))
    }
}

const AWAY: &str = "cannot be reached";

/// The machine's authorities.
fn trusting() -> Tls {
    Tls { roots: Roots::Native, server_name: None, identity: None }
}

/// Connects, wherever its name leads now.
async fn connect(Host { host, port }: &Host) -> Result<TcpStream, String> {
    let addresses = tokio::net::lookup_host((host.as_str(), *port)).await;
    let addresses: Vec<_> =
        addresses.map_err(|_| "has a name that could not be looked up".to_owned())?.collect();
    TcpStream::connect(&*addresses).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
        _ => "cannot be connected to".to_owned(),
    })
}

async fn get(of: &Get, tls: Option<&Result<Arc<Connector>, String>>) -> Result<(), String> {
    let tcp = connect(&of.host).await?;
    match tls {
        None => exchange(of, tcp).await,
        Some(Ok(connector)) => exchange(of, connector.connect(tcp).await?).await,
        Some(Err(why)) => Err(format!("cannot be asked: {why}")),
    }
}

async fn exchange(of: &Get, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), String> {
    let words = |error: hyper::Error| {
        let why = if error.is_parse() { "does not answer in HTTP/1.1" } else { "closed the connection" };
        why.to_owned()
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = of.path.clone().into();
    let headers = request.headers_mut();
    let usual = of.host.port == if of.tls { 443 } else { 80 };
    let host = of.host.to_string();
    let host = if usual { host.rsplit_once(':').map_or(&*host, |(name, _)| name) } else { &host };
    headers.insert(header::HOST, HeaderValue::try_from(host).map_err(|_| "has no name".to_owned())?);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("propylon health probe"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in &of.headers.0 {
        headers.insert(name, value.clone());
    }
    let answering = async {
        let (head, mut body) = sender.send_request(request).await.map_err(words)?.into_parts();
        let mut left = MOST_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = less;
        }
        if head.status.is_success() { Ok(()) } else { Err(format!("answers with {}", head.status.as_u16())) }
    };
    tokio::pin!(answering, connection);
    tokio::select! {
        biased;
        answer = &mut answering => answer,
        // It has an answer by then, or never will.
        _ = &mut connection => answering.await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::{
        health::{Headers, results::tests::probe},
        store::Stores,
    };

    fn reaches() -> Reaches {
        let settings = store::Settings::default();
        Reaches { stores: Arc::new(Stores::new(&settings).unwrap()), upstreams: HashMap::new() }
    }

    fn http(port: u16) -> Target {
        let host = Host { host: "127.0.0.1".into(), port };
        let headers = Headers(vec![("x-probe".parse().unwrap(), "yes".parse().unwrap())]);
        Target::Http(Box::new(Get { tls: false, host, path: "/health?deep=1".parse().unwrap(), headers }))
    }

    async fn ask(probe: Probe, known: &Known) -> Service {
        Asker::new(probe).ask(&reaches(), known).await
    }

    /// A server that says this to everybody, and what it was last asked.
    async fn server(says: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            stream.write_all(says.as_bytes()).await.unwrap();
            if says.is_empty() {
                std::future::pending::<()>().await;
            }
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (port, serving)
    }

    /// A port that nobody listens on.
    async fn nobody() -> u16 {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn a_get_is_answered_with_2xx() {
        let check = async |says: &'static str, want: Result<(), &str>| {
            let (port, _serving) = server(says).await;
            let found = ask(probe("it", http(port)), &Known::default()).await;
            match want {
                Ok(()) => {
                    assert_eq!((found.status, &found.message), (Status::Up, &None), "{says}");
                    assert!(found.latency_ms.is_some());
                }
                Err(why) => {
                    let want = (Status::Down, Some(why), None);
                    assert_eq!((found.status, found.message.as_deref(), found.latency_ms), want, "{says}");
                }
            }
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok(())).await;
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok(())).await;
        check("HTTP/1.0 200 OK\r\n\r\nuntil the end", Ok(())).await;
        check("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", Err("answers with 302")).await;
        check("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", Err("answers with 500")).await;
        check("SSH-2.0-OpenSSH_9.7\r\n\r\n", Err("does not answer in HTTP/1.1")).await;
        check("", Err("did not answer within 500ms")).await;
    }

    #[tokio::test]
    async fn what_is_asked_is_what_the_config_says() {
        let (port, serving) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(ask(probe("it", http(port)), &Known::default()).await.status, Status::Up);
        let asked = serving.await.unwrap();
        assert!(asked.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{asked}");
        for line in [&format!("host: 127.0.0.1:{port}"), "x-probe: yes", "connection: close"] {
            assert!(asked.contains(line), "{asked}");
        }
    }

    #[tokio::test]
    async fn who_may_be_absent_is_down_once_it_was_seen() {
        let known = Known::default();
        let port = nobody().await;
        let of = |target| Probe { may_be_absent: true, ..probe("it", target) };
        let down = ask(probe("it", http(port)), &known).await;
        assert_eq!((down.status, down.message.as_deref()), (Status::Down, Some("refused the connection")));
        assert_eq!(ask(of(http(port)), &known).await.status, Status::NotDeployed);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        // It is there, and does not answer.
        assert_eq!(ask(of(http(port)), &known).await.status, Status::Down);
        drop(listener);
        assert_eq!(ask(of(http(port)), &known).await.status, Status::Down);
        let nowhere = Host { host: "no.such.name.invalid".into(), port: 1 };
        let absent = ask(of(Target::Tcp(nowhere)), &known).await;
        assert_eq!(absent.status, Status::NotDeployed, "{absent:?}");
    }

    #[tokio::test]
    async fn a_connection_is_enough_for_tcp_and_nobody_for_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = |port| Host { host: "localhost".into(), port };
        let at = listener.local_addr().unwrap().port();
        let found = ask(probe("it", Target::Tcp(host(at))), &Known::default()).await;
        assert_eq!(found.status, Status::Up, "{found:?}");
        let grpc = |port| Target::Grpc { tls: false, host: host(port), service: String::new() };
        let found = ask(probe("it", grpc(nobody().await)), &Known::default()).await;
        assert_eq!(found.message.as_deref(), Some(AWAY));
    }
}
