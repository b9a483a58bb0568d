//! Request ids: the caller's own where it is a sensible one, else a version 7 UUID made without a system call. The request
//! carries it from here on, and so does every response.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A caller's own request id longer than this many bytes is replaced.
const REQUEST_ID_BYTES: usize = 128;

/// The caller's own request id if it is a sensible one, else a new one; the request carries it from here on.
pub(super) fn of(headers: &mut HeaderMap) -> HeaderValue {
    let sensible = |value: &&HeaderValue| {
        !value.is_empty()
            && value.len() <= REQUEST_ID_BYTES
            && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(own) = headers.get(REQUEST_ID).filter(sensible) {
        return own.clone();
    }
    let mut text = Uuid::encode_buffer();
    let text = new_id().hyphenated().encode_lower(&mut text);
    let mut id = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none"));
    // Never the same twice: to HPACK's table it would be one entry after the other, each compared with all before it.
    id.set_sensitive(true);
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// A version 7 UUID. Its random part is unique, not secret: it is drawn without a system call.
fn new_id() -> Uuid {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0));
    }
    // SplitMix64 (Steele, Lea, Flood 2014), seeded by the system once a thread.
    let draw = || {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let random = (u128::from(draw()) << 64 | u128::from(draw())).to_le_bytes();
    let random = random.first_chunk().unwrap_or(&[0; 10]);
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensible_request_id_is_kept() {
        let check = |sent: &str, kept: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(sent.as_bytes()).unwrap());
            let id = of(&mut headers);
            assert_eq!(id == sent, kept, "{sent}");
            assert_eq!(headers.get(REQUEST_ID), Some(&id));
            assert_eq!(headers.get_all(REQUEST_ID).iter().count(), 1);
        };
        check("abc-123", true);
        check("", false);
        check("two words", false);
        check("ä", false);
        check(&"x".repeat(129), false);
    }

    #[test]
    fn a_new_id_is_a_version_7_uuid_of_its_own() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
