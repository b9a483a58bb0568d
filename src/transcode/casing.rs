//! Field mask paths between `snake_case` (protobuf) and `lowerCamelCase` (JSON), refusing what would not come back the same.
//! Source: `google/protobuf/field_mask.proto`, "JSON Encoding of Field Masks".

/// Appends a path in lowerCamelCase; false when it would not round-trip.
pub(super) fn put_camel(out: &mut Vec<u8>, path: &[u8]) -> bool {
    let mut upper = false;
    for byte in path {
        match byte {
            b'A'..=b'Z' => return false,
            b'_' if upper => return false,
            b'_' => upper = true,
            b'a'..=b'z' if upper => {
                out.push(byte.to_ascii_uppercase());
                upper = false;
            }
            _ if upper => return false,
            _ => out.push(*byte),
        }
    }
    !upper
}

/// Appends a path in snake_case; false when it is not in lowerCamelCase.
pub(super) fn put_snake(out: &mut Vec<u8>, path: &[u8]) -> bool {
    for byte in path {
        match byte {
            b'_' => return false,
            b'A'..=b'Z' => out.extend_from_slice(&[b'_', byte.to_ascii_lowercase()]),
            _ => out.push(*byte),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_change_case_only_when_they_come_back() {
        for (snake, camel) in [
            ("foo", Some("foo")),
            ("foo_bar.baz_q", Some("fooBar.bazQ")),
            ("fooBar", None),
            ("foo_3", None),
            ("foo__b", None),
            ("foo_", None),
        ] {
            let mut out = Vec::new();
            let printed = put_camel(&mut out, snake.as_bytes()).then(|| String::from_utf8(out).unwrap());
            assert_eq!(printed.as_deref(), camel, "{snake}");
            if let Some(camel) = camel {
                let mut out = Vec::new();
                assert!(put_snake(&mut out, camel.as_bytes()));
                assert_eq!(out, snake.as_bytes());
            }
        }
        assert!(!put_snake(&mut Vec::new(), b"foo_bar"));
    }
}
