//! What an X.509 certificate (RFC 5280, in DER) says of whose it is and how long it is good: its alternative names, its
//! common name, its validity. Whether it may be believed is for TLS to find out, before anything here is asked.

use std::sync::Arc;

use jiff::{civil, tz::TimeZone};

use super::{Digest, digest};

/// `id-ce-subjectAltName` and `id-at-commonName`, as their bytes.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;

/// What is read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of the whole certificate: what is remembered of it is kept under this.
    pub digest: Digest,
    /// In the order in which they stand there.
    pub uris: Vec<Arc<str>>,
    pub dns: Vec<Arc<str>>,
    pub emails: Vec<Arc<str>>,
    pub common_name: Option<Arc<str>>,
    /// In seconds since 1970, both included.
    pub not_before: u64,
    pub not_after: u64,
}

/// Which of a certificate's names says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Uri,
    Dns,
    Email,
    CommonName,
}

impl NameKind {
    /// The one that goes before the others, first.
    pub const ALL: [Self; 4] = [Self::Uri, Self::Dns, Self::Email, Self::CommonName];

    /// As the config writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::CommonName => "cn",
        }
    }
}

impl Certificate {
    /// Reads a certificate; `None` where it is none. A name that is not printable text is passed over.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut tbs = Der(Der(Der(der).tagged(SEQUENCE)?).tagged(SEQUENCE)?);
        if tbs.0.first() == Some(&0xa0) {
            tbs.next()?;
        }
        // Serial number, signature algorithm, issuer.
        for _ in 0..3 {
            tbs.next()?;
        }
        let mut validity = Der(tbs.tagged(SEQUENCE)?);
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        let common_name = common_name(tbs.tagged(SEQUENCE)?);
        let mut read = Self {
            digest: digest(der),
            uris: Vec::new(),
            dns: Vec::new(),
            emails: Vec::new(),
            common_name,
            not_before,
            not_after,
        };
        // The key; then what may be missing, of which the extensions are the last.
        tbs.next()?;
        while !tbs.0.is_empty() {
            if let (0xa3, extensions) = tbs.next()? {
                read.extensions(Der(extensions).tagged(SEQUENCE)?)?;
            }
        }
        Some(read)
    }

    fn extensions(&mut self, all: &[u8]) -> Option<()> {
        let mut all = Der(all);
        while !all.0.is_empty() {
            let mut one = Der(all.tagged(SEQUENCE)?);
            let id = one.tagged(OID)?;
            if one.0.first() == Some(&BOOLEAN) {
                one.next()?;
            }
            let value = one.tagged(OCTETS)?;
            if id == ALTERNATIVE_NAMES {
                let mut names = Der(Der(value).tagged(SEQUENCE)?);
                while !names.0.is_empty() {
                    let (tag, name) = names.next()?;
                    let list = match tag {
                        0x81 => &mut self.emails,
                        0x82 => &mut self.dns,
                        0x86 => &mut self.uris,
                        _ => continue,
                    };
                    list.extend(ascii(name));
                }
            }
        }
        Some(())
    }

    /// Its first name of a kind.
    #[must_use]
    pub fn name(&self, kind: NameKind) -> Option<&Arc<str>> {
        match kind {
            NameKind::Uri => self.uris.first(),
            NameKind::Dns => self.dns.first(),
            NameKind::Email => self.emails.first(),
            NameKind::CommonName => self.common_name.as_ref(),
        }
    }

    /// True where it is for this DNS name: it has it, or `*` in the place of its first label (RFC 6125).
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let rest = host.split_once('.').map(|(_, rest)| rest);
        self.dns.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

/// What is left of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag, which is of one byte in certificates, and its content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // Certificates are shorter than what three bytes say.
            let bytes = usize::from(first & 0x7f);
            if !(1..=3).contains(&bytes) {
                return None;
            }
            let (length, rest) = rest.split_at_checked(bytes)?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().and_then(|(found, content)| (found == tag).then_some(content))
    }
}

/// The last common name of a distinguished name, which is the most exact.
fn common_name(name: &[u8]) -> Option<Arc<str>> {
    let (mut sets, mut found) = (Der(name), None);
    while let Some(set) = sets.tagged(SET) {
        let mut pairs = Der(set);
        while let Some(pair) = pairs.tagged(SEQUENCE) {
            let mut pair = Der(pair);
            if pair.tagged(OID) == Some(COMMON_NAME) {
                // UTF8String, PrintableString, IA5String.
                found = match pair.next() {
                    Some((0x0c | 0x13 | 0x16, text)) => printable(text),
                    _ => None,
                };
            }
        }
    }
    found
}

fn ascii(name: &[u8]) -> Option<Arc<str>> {
    if name.is_ascii() { printable(name) } else { None }
}

/// Text in which nothing is hidden: a name with a NUL in it is one name to some and another to others.
fn printable(text: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.into())
}

/// UTCTime (`YYMMDDHHMMSSZ`, of 1950 to 2049) or GeneralizedTime (`YYYYMMDDHHMMSSZ`).
fn time((tag, text): (u8, &[u8])) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (0x17, 12) => {
            let year: i16 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        (0x18, 14) => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let at = civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    // What ended before 1970 has ended.
    Some(u64::try_from(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate(names: Vec<SanType>, common_name: Option<&str>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::OrganizationName, "Shop");
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 2, 29);
        params.not_after = date_time_ymd(2060, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_times_are_read() {
        let names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::DnsName("*.b.example".try_into().unwrap()),
            SanType::URI("spiffe://shop/orders".try_into().unwrap()),
            SanType::Rfc822Name("ops@a.example".try_into().unwrap()),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let read = Certificate::read(&certificate(names, Some("Bestellungen ä"))).unwrap();
        assert_eq!((read.not_before, read.not_after), (1_582_934_400, 2_840_140_800));
        let named = NameKind::ALL.map(|kind| &**read.name(kind).unwrap());
        assert_eq!(named, ["spiffe://shop/orders", "a.example", "ops@a.example", "Bestellungen ä"]);
        for (host, want) in [
            ("a.example", true),
            ("A.Example", true),
            ("b.example", false),
            ("x.B.example", true),
            ("y.x.b.example", false),
            ("other", false),
        ] {
            assert_eq!(read.is_for(host), want, "{host}");
        }
    }

    #[test]
    fn a_certificate_without_names_has_none() {
        let read = Certificate::read(&certificate(vec![], None)).unwrap();
        assert!(NameKind::ALL.iter().all(|kind| read.name(*kind).is_none()));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_name() {
        let names = vec![SanType::URI("spiffe://shop/\0x".try_into().unwrap())];
        let read = Certificate::read(&certificate(names, Some("admin\0.example"))).unwrap();
        assert!(NameKind::ALL.iter().all(|kind| read.name(*kind).is_none()));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        let whole = certificate(vec![SanType::DnsName("a.example".try_into().unwrap())], Some("a"));
        for end in 0..whole.len() {
            assert_eq!(Certificate::read(&whole[..end]), None, "{end} bytes");
        }
        // Whatever stands in it, it is read or not, and nothing breaks.
        for at in 0..whole.len() {
            for byte in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = Certificate::read(&broken);
            }
        }
    }
}
