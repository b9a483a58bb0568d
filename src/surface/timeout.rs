//! How long a client is ready to wait, as its protocol says it.
//!
//! ```text
//! grpc-timeout        ("gRPC over HTTP/2", Timeout)    1*8DIGIT ( "H" / "M" / "S" / "m" / "u" / "n" )
//! x-request-timeout                                    1*8DIGIT [ "." 1*6DIGIT ] [ "ms" / "s" / "m" ]    ; seconds if bare
//! connect-timeout-ms  (Connect, Timeout)               1*10DIGIT
//! ```

use std::{fmt::Display, time::Duration};

use http::{HeaderMap, HeaderName};
use tonic::Status;

use crate::status::Fault;

static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
static X_REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
static CONNECT_TIMEOUT_MS: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// The `grpc-timeout` of a native gRPC or gRPC-Web request.
///
/// # Errors
/// INVALID_ARGUMENT naming a value that is not one.
pub fn of_grpc(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let form = "1 to 8 digits and one of H M S m u n";
    header(headers, &GRPC_TIMEOUT, grpc, form)
}

/// The timeout of a REST request: `X-Request-Timeout` or `Connect-Timeout-Ms`, the shorter where both are there.
///
/// # Errors
/// INVALID_ARGUMENT naming a value that is not one.
pub fn of_rest(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let seconds =
        header(headers, &X_REQUEST_TIMEOUT, request, "seconds (2, 0.5) or a number with ms, s or m")?;
    let connect = header(headers, &CONNECT_TIMEOUT_MS, milliseconds, "1 to 10 digits")?;
    Ok(match (seconds, connect) {
        (Some(seconds), Some(connect)) => Some(seconds.min(connect)),
        (one, other) => one.or(other),
    })
}

fn header(
    headers: &HeaderMap,
    name: &HeaderName,
    parse: fn(&[u8]) -> Option<Duration>,
    form: impl Display,
) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    if let Some(timeout) = parse(value.as_bytes()) {
        return Ok(Some(timeout));
    }
    let shown = String::from_utf8_lossy(value.as_bytes());
    let message = format!("the value {shown:?} of header {name} is not a timeout: {form}");
    Err(Fault::client().on(Status::invalid_argument(message)))
}

/// Parses a `grpc-timeout`; zero is a deadline that has passed.
#[must_use]
pub fn grpc(value: &[u8]) -> Option<Duration> {
    let (unit, value) = value.split_last()?;
    let value = number(value, 8)?;
    // At most 8 digits: times 3,600 is below 10^12.
    Some(match unit {
        b'H' => Duration::from_secs(value * 3600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Parses an `X-Request-Timeout`.
#[must_use]
pub fn request(value: &[u8]) -> Option<Duration> {
    let end = value.iter().position(u8::is_ascii_alphabetic).unwrap_or(value.len());
    let (value, unit) = value.split_at_checked(end)?;
    let unit_micros: u64 = match unit {
        b"" | b"s" => 1_000_000,
        b"ms" => 1_000,
        b"m" => 60_000_000,
        _ => return None,
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let whole = number(parts.next()?, 8)?;
    let millionths = match parts.next() {
        None => 0,
        Some(digits) => number(digits, 6)? * 10_u64.pow(6 - u32::try_from(digits.len()).ok()?),
    };
    // Whole is below 10^8, its unit at most 6 × 10^7; millionths are below 10^6: nothing comes near 2^64.
    Some(Duration::from_micros(whole * unit_micros + millionths * unit_micros / 1_000_000))
}

/// Parses a `Connect-Timeout-Ms`.
#[must_use]
pub fn milliseconds(value: &[u8]) -> Option<Duration> {
    number(value, 10).map(Duration::from_millis)
}

/// A number of 1 to `most` digits, `most` being at most 19, so that it fits.
fn number(digits: &[u8], most: usize) -> Option<u64> {
    if digits.is_empty() || digits.len() > most.min(19) {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    #[test]
    fn tables() {
        type Parse = fn(&[u8]) -> Option<Duration>;
        let check = |parse: Parse, value: &str, want_micros: u64| {
            assert_eq!(parse(value.as_bytes()), Some(Duration::from_micros(want_micros)), "{value:?}");
        };
        check(grpc, "1S", 1_000_000);
        check(grpc, "2M", 120_000_000);
        check(grpc, "0n", 0);
        check(grpc, "00000005m", 5_000);
        check(grpc, "99999999u", 99_999_999);
        check(grpc, "99999999H", 359_999_996_400_000_000);
        assert_eq!(grpc(b"7n"), Some(Duration::from_nanos(7)));
        check(request, "2", 2_000_000);
        check(request, "0.25", 250_000);
        check(request, "1.000001", 1_000_001);
        check(request, "250ms", 250_000);
        check(request, "1.5ms", 1_500);
        check(request, "2s", 2_000_000);
        check(request, "1m", 60_000_000);
        check(request, "99999999.999999m", 5_999_999_999_999_940);
        check(milliseconds, "1500", 1_500_000);
        check(milliseconds, "9999999999", 9_999_999_999_000);
        let bad: [(Parse, &[&str]); 3] = [
            (grpc, &["", "S", "1", "1s", "123456789S", "-1S", "+1S", "1.5S", "1 S", " 1S", "1SS", "é"]),
            (
                request,
                &["", "s", "1.", ".5", "1.1234567", "123456789", "1h", "1 s", "-1", "1e3", "1.5.5", "1µs"],
            ),
            (milliseconds, &["", "1.5", "12345678901", "-1", "1ms"]),
        ];
        for (parse, values) in bad {
            for value in values {
                assert_eq!(parse(value.as_bytes()), None, "{value:?}");
            }
        }
    }

    #[test]
    fn a_bad_value_is_named() {
        let check = |of: fn(&HeaderMap) -> Result<Option<Duration>, Status>, name, value, want: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            let status = of(&headers).unwrap_err();
            assert_eq!((status.code(), status.message()), (Code::InvalidArgument, want));
        };
        check(
            of_grpc,
            "grpc-timeout",
            "5s",
            "the value \"5s\" of header grpc-timeout is not a timeout: 1 to 8 digits and one of H M S m u n",
        );
        check(
            of_rest,
            "x-request-timeout",
            "soon",
            "the value \"soon\" of header x-request-timeout is not a timeout: \
             seconds (2, 0.5) or a number with ms, s or m",
        );
        check(
            of_rest,
            "connect-timeout-ms",
            "1.5",
            "the value \"1.5\" of header connect-timeout-ms is not a timeout: 1 to 10 digits",
        );
    }

    #[test]
    fn the_shorter_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(of_rest(&headers).unwrap(), None);
        headers.insert("x-request-timeout", HeaderValue::from_static("2"));
        assert_eq!(of_rest(&headers).unwrap(), Some(Duration::from_secs(2)));
        headers.insert("connect-timeout-ms", HeaderValue::from_static("10"));
        assert_eq!(of_rest(&headers).unwrap(), Some(Duration::from_millis(10)));
    }

    proptest! {
        #[test]
        fn nothing_panics(value in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'9'), Just(b'.')], 0..24)) {
            let _ = (grpc(&value), request(&value), milliseconds(&value));
        }

        #[test]
        fn nines_fit(unit in "(H|M|S|m|u|n|ms|s|)", digits in 1..12_usize) {
            let value = "9".repeat(digits) + &unit;
            let _ = (grpc(value.as_bytes()), request(value.as_bytes()), milliseconds(value.as_bytes()));
        }
    }
}
