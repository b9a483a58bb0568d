//! JSON laid out for people: two spaces a level, a line for each member, as protobuf's own printers do.
//! Works on the compact text just printed, which it may trust to be JSON.

/// Lays out `out[start..]`.
pub(in crate::transcode) fn indent(out: &mut Vec<u8>, start: usize) {
    let compact = out.split_off(start);
    out.reserve(compact.len() * 2);
    let mut depth = 0;
    let mut rest = &compact[..];
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => {
                let length = string_length(after);
                out.push(b'"');
                out.extend_from_slice(&after[..length]);
                rest = &after[length..];
            }
            b'{' | b'[' => {
                out.push(*byte);
                if let [close @ (b'}' | b']'), after @ ..] = rest {
                    out.push(*close);
                    rest = after;
                } else {
                    depth += 1;
                    new_line(out, depth);
                }
            }
            b'}' | b']' => {
                depth -= 1;
                new_line(out, depth);
                out.push(*byte);
            }
            b',' => {
                out.push(b',');
                new_line(out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            other => out.push(*other),
        }
    }
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + depth * 2, b' ');
}

/// How many bytes of a string follow its opening quote, the closing one included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_serde_json() {
        for compact in ["{}", "[]", "null", r#"{"a":1,"b":[1,2,[]],"c":{"d":"x,{\"}\\"},"e":{}}"#, r#""\\""#]
        {
            let mut out = b"before".to_vec();
            out.extend_from_slice(compact.as_bytes());
            indent(&mut out, 6);
            let value: serde_json::Value = serde_json::from_str(compact).unwrap();
            assert_eq!(String::from_utf8(out).unwrap()[6..], serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
