//! Descriptors as an upstream's reflection may yield them: any bytes are a schema or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::schema::{Schema, bindings};

fuzz_target!(init: tolerate_what_is_caught(), |bytes: &[u8]| {
    for schema in [Schema::decode(bytes), Schema::from_files([bytes])].into_iter().flatten() {
        for method in schema.methods() {
            let _ = bindings(method, &[], true);
        }
    }
});

/// libFuzzer's hook ends the process at any panic, also at those of prost-reflect, which the schema catches and reports
/// as damaged descriptors. Those pass here; one that is not caught still ends the run when it reaches the fuzzer.
fn tolerate_what_is_caught() {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| place.file().contains("prost-reflect")) {
            end(panic);
        }
    }));
}
