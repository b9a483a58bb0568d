//! Where a call comes from: the address of the connection, or what a proxy says that is trusted. A proxy adds the address
//! that it saw at the right end of its list, so the list is read from there, past the proxies that are trusted; what is left
//! of the first address that is not is whatever somebody liked to write.

use std::{fmt, net::IpAddr};

use http::{HeaderMap, HeaderName, header};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The bits before the address in an IPv4 address that is written as one of IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: u8 = 96;
/// More hops than any call has.
const MOST_HOPS: usize = 32;

/// The place that calls of an address are counted for: itself, or of IPv6 the /64 that one customer has.
#[must_use]
pub fn place(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Where a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// From this machine, with nobody in between.
    pub local: bool,
    /// By the operator's listener.
    pub operator: bool,
}

impl Client {
    /// One from an address, of which nothing else is known.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self { address, local: false, operator: false }
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// The proxies that are believed, and how they say whom they speak for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies {
    pub networks: Vec<Network>,
    /// A proxy with a private address is believed too, for one hop.
    pub nearest_private: bool,
    /// Read `Forwarded` (RFC 7239) in place of `X-Forwarded-For`. Never both: a proxy that sets one passes on the other as
    /// the client wrote it.
    pub forwarded: bool,
}

impl Default for Proxies {
    /// Nobody is believed.
    fn default() -> Self {
        Self { networks: Vec::new(), nearest_private: false, forwarded: false }
    }
}

impl Network {
    /// Reads an address, or `ADDRESS/BITS`. IPv4 in IPv6's clothes (`::ffff:10.0.0.0/104`) is the IPv4 network that is meant.
    ///
    /// # Errors
    /// It is neither, or holds some of IPv4's addresses and others beside them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a network: it is an address, or ADDRESS/BITS such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        match (base, base.to_canonical()) {
            // Every address is compared as what it is, and none would be in it as it was written.
            (IpAddr::V6(_), IpAddr::V4(mapped)) => match bits.checked_sub(MAPPED) {
                Some(bits) => Ok(Self { base: mapped.into(), bits }),
                None if bits == 0 => Ok(Self { base, bits }),
                None => Err(format!(
                    "{text:?} is an IPv4 address in IPv6's clothes, of which the first {MAPPED} bits are the clothes: write the IPv4 \
                     network, such as {mapped}/24, or 0.0.0.0/0 for all of them"
                )),
            },
            _ => Ok(Self { base, bits }),
        }
    }

    /// True where the address is in it. An IPv4 address in IPv6's clothes is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        fn same(one: &[u8], other: &[u8], bits: usize) -> bool {
            let (whole, rest) = (bits / 8, bits % 8);
            let mask = !(0xff_u8.checked_shr(rest as u32).unwrap_or(0));
            one.get(..whole) == other.get(..whole)
                && (rest == 0
                    || one.get(whole).zip(other.get(whole)).is_some_and(|(a, b)| (a & mask) == (b & mask)))
        }
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                same(&base.octets(), &address.octets(), usize::from(self.bits))
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                same(&base.octets(), &address.octets(), usize::from(self.bits))
            }
            _ => false,
        }
    }

    /// True where it holds every address there is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl Proxies {
    /// Where a call comes from, whose connection comes from `peer`.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        // A proxy on this machine speaks for whoever called it; and what any proxy says is no reason to take a call from
        // elsewhere for one from here.
        let spoken_for = [&X_FORWARDED_FOR, &header::FORWARDED, &X_REAL_IP, &header::VIA];
        let local = peer.is_loopback() && !spoken_for.into_iter().any(|name| headers.contains_key(name));
        if !self.believes(peer) {
            return Client { local, ..Client::at(peer) };
        }
        let mut address = peer;
        let name = if self.forwarded { header::FORWARDED } else { X_FORWARDED_FOR };
        let values = headers.get_all(name).into_iter().rev();
        let hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(MOST_HOPS) {
            let said = std::str::from_utf8(hop).ok().map(str::trim);
            let Some(said) =
                said.and_then(|hop| if self.forwarded { forwarded_for(hop) } else { address_of(hop) })
            else {
                // Who is not told by an address is at least behind the last one that was.
                break;
            };
            // A machine's word for itself: it is the hop before that.
            if said.is_loopback() && !address.is_loopback() {
                break;
            }
            address = said;
            if !self.trusts(address) {
                break;
            }
        }
        Client { local, ..Client::at(address) }
    }

    /// True for a connection's other end that is believed when it says whom it speaks for.
    #[must_use]
    pub fn believes(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        (self.nearest_private && is_private(peer)) || self.trusts(peer)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// `for=` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    })?;
    address_of(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address, with or without a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match text.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            _ => text,
        },
    };
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_list_is_read_from_the_right() {
        let lan = Proxies { networks: vec![Network::parse("10.0.0.0/8").unwrap()], ..Proxies::default() };
        let nearest = Proxies { nearest_private: true, ..Proxies::default() };
        let check =
            |proxies: &Proxies, peer: &str, rows: &[(&'static str, &str)], want: &str, local: bool| {
                let got = proxies.client(peer.parse().unwrap(), &headers(rows));
                assert_eq!((got.address.to_string().as_str(), got.local), (want, local), "{peer} {rows:?}");
            };
        const XFF: &str = "x-forwarded-for";
        let nobody = Proxies::default();
        check(&nobody, "127.0.0.1", &[], "127.0.0.1", true);
        check(&nobody, "::1", &[], "::1", true);
        check(&nobody, "::ffff:127.0.0.1", &[], "127.0.0.1", true);
        check(&nobody, "127.0.0.1", &[(XFF, "1.2.3.4")], "127.0.0.1", false);
        check(&nobody, "127.0.0.1", &[("via", "1.1 nginx")], "127.0.0.1", false);
        check(&nobody, "203.0.113.1", &[(XFF, "1.2.3.4")], "203.0.113.1", false);
        check(&lan, "203.0.113.1", &[(XFF, "1.2.3.4")], "203.0.113.1", false);
        check(&lan, "10.0.0.1", &[], "10.0.0.1", false);
        check(&lan, "10.0.0.1", &[(XFF, "1.2.3.4")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "127.0.0.1, 1.2.3.4")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "9.9.9.9, 1.2.3.4, 10.1.1.1")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "9.9.9.9"), (XFF, "1.2.3.4")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3", false);
        check(&lan, "10.0.0.1", &[(XFF, "1.2.3.4:5678")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "[2001:db8::1]:80")], "2001:db8::1", false);
        check(&lan, "10.0.0.1", &[(XFF, "2001:db8::1")], "2001:db8::1", false);
        check(&lan, "10.0.0.1", &[(XFF, "::ffff:1.2.3.4")], "1.2.3.4", false);
        check(&lan, "10.0.0.1", &[(XFF, "1.2.3.4, unknown")], "10.0.0.1", false);
        check(&lan, "10.0.0.1", &[(XFF, "1.2.3.4, , ")], "10.0.0.1", false);
        check(&lan, "10.0.0.1", &[("forwarded", "for=1.2.3.4")], "10.0.0.1", false);
        check(&nearest, "10.0.0.1", &[(XFF, "9.9.9.9, 10.0.0.2")], "10.0.0.2", false);
        check(&nearest, "172.16.0.1", &[(XFF, "9.9.9.9, 1.2.3.4")], "1.2.3.4", false);
        check(&nearest, "203.0.113.1", &[(XFF, "1.2.3.4")], "203.0.113.1", false);
        // Nobody who is spoken for is on this machine, whoever says so.
        let here = Proxies { networks: vec![Network::parse("127.0.0.0/8").unwrap()], ..Proxies::default() };
        for proxies in [&here, &nearest] {
            check(proxies, "127.0.0.1", &[], "127.0.0.1", true);
            check(proxies, "127.0.0.1", &[(XFF, "127.0.0.1")], "127.0.0.1", false);
            check(proxies, "127.0.0.1", &[(XFF, "unknown")], "127.0.0.1", false);
            check(proxies, "127.0.0.1", &[("forwarded", "for=1.2.3.4")], "127.0.0.1", false);
        }
        for proxies in [&lan, &nearest] {
            check(proxies, "10.0.0.1", &[(XFF, "127.0.0.1")], "10.0.0.1", false);
            check(proxies, "10.0.0.1", &[(XFF, "::ffff:127.0.0.1")], "10.0.0.1", false);
            check(proxies, "10.0.0.1", &[(XFF, "::1")], "10.0.0.1", false);
        }
        let rfc = Proxies { forwarded: true, ..lan };
        check(&rfc, "10.0.0.1", &[("forwarded", "for=127.0.0.1")], "10.0.0.1", false);
        check(
            &rfc,
            "10.0.0.1",
            &[("forwarded", "for=9.9.9.9, For=\"[2001:db8::1]:80\";proto=https")],
            "2001:db8::1",
            false,
        );
        check(&rfc, "10.0.0.1", &[("forwarded", "proto=https;for=1.2.3.4;by=10.0.0.1")], "1.2.3.4", false);
        check(&rfc, "10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1", false);
        check(&rfc, "10.0.0.1", &[(XFF, "1.2.3.4")], "10.0.0.1", false);
    }

    #[test]
    fn a_network_holds_its_addresses() {
        let check = |network: &str, address: &str, want: bool| {
            let holds = Network::parse(network).unwrap().contains(address.parse().unwrap());
            assert_eq!(holds, want, "{network} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/9", "10.127.0.1", true);
        check("10.0.0.0/9", "10.128.0.1", false);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("0.0.0.0/0", "::1", false);
        check("1.2.3.4", "1.2.3.4", true);
        check("1.2.3.4", "1.2.3.5", false);
        check("1.2.3.4/31", "::ffff:1.2.3.5", true);
        check("::ffff:1.2.3.4", "1.2.3.4", true);
        check("::ffff:1.2.3.0/120", "1.2.3.4", true);
        check("::ffff:1.2.3.0/120", "::ffff:1.2.3.4", true);
        check("::ffff:1.2.3.0/120", "1.2.4.4", false);
        check("::ffff:10.0.0.0/104", "10.9.8.7", true);
        check("::ffff:0:0/96", "10.9.8.7", true);
        check("::ffff:0:0/0", "2001:db8::1", true);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a", "1.2.3.4/", "1.2.3.4/-1"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
        for half in ["::ffff:1.2.3.0/24", "::ffff:0:0/95", "::ffff:0:0/1"] {
            assert!(Network::parse(half).unwrap_err().contains("write the IPv4 network"), "{half}");
        }
        assert!(Network::parse("::ffff:0:0/96").unwrap().is_everything());
        assert_eq!(Network::parse("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
    }
}
