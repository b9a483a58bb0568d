//! Numbers, booleans, enums and bytes as ProtoJSON: 64-bit integers as strings, floats in the shortest form that reads
//! back as the same float, bytes in padded standard base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

#[inline]
pub(in crate::transcode) fn put_u64(out: &mut Vec<u8>, value: u64) {
    if let digit @ 0..=9 = value {
        return out.push(b'0' + digit as u8);
    }
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(in crate::transcode) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

#[inline]
pub(in crate::transcode) fn put_i32(out: &mut Vec<u8>, value: i32) {
    if let digit @ 0..=9 = value {
        return out.push(b'0' + digit as u8);
    }
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(in crate::transcode) fn put_quoted_u64(out: &mut Vec<u8>, value: u64) {
    out.push(b'"');
    put_u64(out, value);
    out.push(b'"');
}

pub(in crate::transcode) fn put_quoted_i64(out: &mut Vec<u8>, value: i64) {
    out.push(b'"');
    put_i64(out, value);
    out.push(b'"');
}

pub(in crate::transcode) fn put_f64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        put_digits(out, zmij::Buffer::new().format_finite(value));
    } else {
        put_special(out, value);
    }
}

pub(in crate::transcode) fn put_f32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        put_digits(out, zmij::Buffer::new().format_finite(value));
    } else {
        put_special(out, f64::from(value));
    }
}

fn put_digits(out: &mut Vec<u8>, digits: &str) {
    out.extend_from_slice(digits.strip_suffix(".0").unwrap_or(digits).as_bytes());
}

fn put_special(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        value if value.is_nan() => b"\"NaN\"",
        value if value > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    });
}

pub(in crate::transcode) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The slice has exactly the encoded length, the one thing the encoder asks for.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_short_as_they_can_be() {
        let double = |value: f64| {
            let mut out = Vec::new();
            put_f64(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        let float = |value: f32| {
            let mut out = Vec::new();
            put_f32(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!([0.0, -0.0, 1.0, -1.5, 0.1].map(double), ["0", "-0", "1", "-1.5", "0.1"]);
        assert_eq!(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(double),
            ["\"NaN\"", "\"Infinity\"", "\"-Infinity\""]
        );
        assert_eq!([0.1, 16_777_216.0, 1.0].map(float), ["0.1", "16777216", "1"]);
        for value in [f64::MAX, f64::MIN_POSITIVE, 1e20, 1e-7, 5e-324, 123_456.789] {
            assert_eq!(serde_json::from_str::<f64>(&double(value)).unwrap(), value);
        }
        for value in [f32::MAX, f32::MIN_POSITIVE, 1e20, 1e-45] {
            assert_eq!(float(value).parse::<f32>().unwrap(), value);
        }
    }

    #[test]
    fn bytes_are_padded_standard_base64() {
        for (bytes, want) in
            [(&b""[..], "\"\""), (b"f", "\"Zg==\""), (b"fo", "\"Zm8=\""), (b"\xfb\xff\xfe", "\"+//+\"")]
        {
            let mut out = Vec::new();
            put_base64(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
