//! The timeouts of gRPC, REST and Connect: never a panic, and nothing but digits, a point and a unit is one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::surface::timeout;

fuzz_target!(|value: &[u8]| {
    if timeout::grpc(value).is_some() {
        assert!(value.len() <= 9 && value.first().is_some_and(u8::is_ascii_digit));
    }
    if timeout::request(value).is_some() {
        assert!(value.len() <= 17 && value.first().is_some_and(u8::is_ascii_digit));
    }
    if timeout::milliseconds(value).is_some() {
        assert!(value.len() <= 10 && value.iter().all(u8::is_ascii_digit));
    }
});
