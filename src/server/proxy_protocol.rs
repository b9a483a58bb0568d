//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a balancer says before a connection's own
//! first byte, of whose connection it is.
//!
//! ```text
//! v1  "PROXY " ("TCP4" | "TCP6") SP source SP destination SP port SP port CRLF   at most 107 bytes
//!     "PROXY UNKNOWN" … CRLF
//! v2  signature(12)  version|command(1)  family|protocol(1)  length(2)  addresses, TLVs (length)
//! ```

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{io::AsyncReadExt as _, net::TcpStream};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LINE: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const MOST_LINE: usize = 107;
/// The most bytes behind a header of version 2 that are read: addresses, and TLVs, which are passed over.
const MOST_REST: usize = 4096;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It is this one's.
    Of(SocketAddr),
    /// The balancer has opened it for itself, as for a check of its own.
    Itself,
    /// Nothing.
    Unknown,
}

/// Why it is no header.
#[derive(Debug)]
pub(super) enum Malformed {
    What(&'static str),
    Read(io::Error),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::What(what) => f.write_str(what),
            Self::Read(error) => write!(f, "it could not be read: {error}"),
        }
    }
}

impl From<io::Error> for Malformed {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Reads the header, and nothing behind it.
///
/// # Errors
/// There is none, or none that is right.
pub(super) async fn read(stream: &mut TcpStream) -> Result<Said, Malformed> {
    // The shortest header of either version is longer.
    let mut first = [0; SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    if first == SIGNATURE {
        return version_2(stream).await;
    }
    if !first.starts_with(LINE) {
        return Err(Malformed::What("there is none"));
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\n") {
        let mut peeked = [0; MOST_LINE];
        let room = peeked.get_mut(..MOST_LINE - line.len()).filter(|room| !room.is_empty());
        let room = room.ok_or(Malformed::What("its line is too long"))?;
        let come = stream.peek(room).await?;
        if come == 0 {
            return Err(Malformed::What("the connection ended within its line"));
        }
        let come = room.get(..come).unwrap_or_default();
        let own = memchr::memchr(b'\n', come).map_or(come.len(), |end| end + 1);
        let from = line.len();
        line.resize(from + own, 0);
        stream.read_exact(line.get_mut(from..).unwrap_or_default()).await?;
    }
    version_1(&line)
}

fn version_1(line: &[u8]) -> Result<Said, Malformed> {
    const WRONG: Malformed = Malformed::What("its line is not one of version 1");
    let line = line.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(LINE)).ok_or(WRONG)?;
    let line = std::str::from_utf8(line).map_err(|_| WRONG)?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // Whatever follows.
        return Ok(Said::Unknown);
    }
    let mut address = || words.next().and_then(|word| word.parse::<IpAddr>().ok()).ok_or(WRONG);
    let (source, destination) = (address()?, address()?);
    let port = |word: Option<&str>| {
        let digits = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        digits.and_then(|word| word.parse::<u16>().ok()).ok_or(WRONG)
    };
    let (from, _) = (port(words.next())?, port(words.next())?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && destination.is_ipv4(),
        "TCP6" => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    if !fits || words.next().is_some() {
        return Err(WRONG);
    }
    Ok(Said::Of(SocketAddr::new(source, from)))
}

async fn version_2(stream: &mut TcpStream) -> Result<Said, Malformed> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [command, family, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_REST {
        return Err(Malformed::What("it is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    addresses(command, family, &rest)
}

fn addresses(command: u8, family: u8, rest: &[u8]) -> Result<Said, Malformed> {
    match command {
        0x20 => return Ok(Said::Itself),
        0x21 => {}
        _ => return Err(Malformed::What("its version or its command is not known")),
    }
    let short = || Malformed::What("its addresses are not whole");
    let port = |at: usize| rest.get(at..at + 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
    match family {
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let whole = rest.get(..12).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(short)?;
            let address = Ipv4Addr::from(*whole);
            Ok(Said::Of(SocketAddr::new(address.into(), port(8).ok_or_else(short)?)))
        }
        0x21 => {
            let whole = rest.get(..36).and_then(|rest| rest.first_chunk::<16>()).ok_or_else(short)?;
            let address = Ipv6Addr::from(*whole);
            Ok(Said::Of(SocketAddr::new(address.into(), port(32).ok_or_else(short)?)))
        }
        // Unspecified, datagrams, sockets of a file system.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Ok(Said::Unknown),
        _ => Err(Malformed::What("its family is not known")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    /// What is said by these bytes, which come in pieces, and what is left of them.
    async fn said(pieces: &[&[u8]]) -> (Result<Said, String>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            client.shutdown().await.unwrap();
        };
        let (said, ()) = tokio::join!(read(&mut server), send);
        let mut rest = Vec::new();
        let _ = server.read_to_end(&mut rest).await;
        (said.map_err(|error| error.to_string()), rest)
    }

    fn of(text: &str) -> Said {
        Said::Of(text.parse().unwrap())
    }

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[tokio::test]
    async fn lines_of_version_1() {
        let check = async |line: &str, want: Result<Said, &str>| {
            let sent = format!("{line}GET / HTTP/1.1\r\n");
            let (got, rest) = said(&[sent.as_bytes()]).await;
            match (got, want) {
                (Ok(got), Ok(want)) => {
                    assert_eq!(got, want, "{line}");
                    assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{line}");
                }
                (Err(got), Err(want)) => assert!(got.contains(want), "{line}: {got}"),
                other => panic!("{line}: {other:?}"),
            }
        };
        check("PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n", Ok(of("192.0.2.1:5000"))).await;
        check("PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n", Ok(of("[2001:db8::1]:5000"))).await;
        check("PROXY UNKNOWN\r\n", Ok(Said::Unknown)).await;
        check("PROXY UNKNOWN ffff:: whatever 1 2\r\n", Ok(Said::Unknown)).await;
        for wrong in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443 1\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 70000 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 5000 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY TCP4 a.example b.example 5000 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\n",
        ] {
            check(wrong, Err("not one of version 1")).await;
        }
        check(&format!("PROXY TCP4 {}", "1".repeat(200)), Err("too long")).await;
        check("", Err("there is none")).await;
        check("proxy TCP4 192.0.2.1 198.51.100.1 5000 443\r\n", Err("there is none")).await;
    }

    #[tokio::test]
    async fn headers_of_version_2() {
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb];
        let six =
            [&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets()[..], &[1; 16], &[0x13, 0x88, 1, 0xbb]]
                .concat();
        let with_tlvs = [&four[..], &[0x01, 0, 2, b'h', b'2'], &[0xff; 40]].concat();
        let check = async |sent: Vec<u8>, want: Result<Said, &str>| {
            let whole = [&sent[..], b"next"].concat();
            let (got, rest) = said(&[&whole]).await;
            match (got, want) {
                (Ok(got), Ok(want)) => assert_eq!((got, &rest[..]), (want, &b"next"[..])),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                other => panic!("{sent:?}: {other:?}"),
            }
        };
        check(header(0x21, 0x11, &four), Ok(of("192.0.2.1:5000"))).await;
        check(header(0x21, 0x11, &with_tlvs), Ok(of("192.0.2.1:5000"))).await;
        check(header(0x21, 0x21, &six), Ok(of("[2001:db8::1]:5000"))).await;
        check(header(0x20, 0x00, &[]), Ok(Said::Itself)).await;
        check(header(0x20, 0x11, &four), Ok(Said::Itself)).await;
        check(header(0x21, 0x00, &[1, 2, 3]), Ok(Said::Unknown)).await;
        check(header(0x21, 0x31, &[0; 216]), Ok(Said::Unknown)).await;
        check(header(0x21, 0x11, &four[..11]), Err("not whole")).await;
        check(header(0x21, 0x21, &six[..35]), Err("not whole")).await;
        check(header(0x22, 0x11, &four), Err("command is not known")).await;
        check(header(0x11, 0x11, &four), Err("command is not known")).await;
        check(header(0x21, 0x44, &four), Err("family is not known")).await;
        check(header(0x21, 0x11, &[0; MOST_REST + 1]), Err("too long")).await;
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte_and_may_end_half() {
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\nrest";
        let bytes: Vec<&[u8]> = line.chunks(1).collect();
        let (got, rest) = said(&bytes).await;
        assert_eq!((got, &rest[..]), (Ok(of("192.0.2.1:5000")), &b"rest"[..]));
        let (got, rest) = said(&[&line[..20], &line[20..]]).await;
        assert_eq!((got, &rest[..]), (Ok(of("192.0.2.1:5000")), &b"rest"[..]));
        for end in [0, 5, 12, 20] {
            assert!(said(&[&line[..end]]).await.0.is_err(), "{end}");
        }
        let whole = header(0x21, 0x11, &[1; 12]);
        for end in [11, 12, 15, 16, 27] {
            assert!(said(&[&whole[..end]]).await.0.is_err(), "{end}");
        }
    }
}
