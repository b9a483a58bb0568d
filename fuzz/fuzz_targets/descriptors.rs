//! Descriptors as an upstream's reflection may yield them: any bytes are a schema or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::schema::{Schema, bindings};

fuzz_target!(|bytes: &[u8]| {
    for schema in [Schema::decode(bytes), Schema::from_files([bytes])].into_iter().flatten() {
        for method in schema.methods() {
            let _ = bindings(method, &[], true);
        }
    }
});
