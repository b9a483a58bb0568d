//! Path templates: any text parses to a template that means the same when parsed again, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::schema::Template;

fuzz_target!(|text: &str| {
    match Template::parse(text) {
        Ok(template) => {
            assert_eq!(Template::parse(template.as_str()).as_ref(), Ok(&template));
            for variable in template.variables() {
                assert!(variable.start < variable.end && variable.end <= template.segments().len());
            }
        }
        Err(error) => assert!(error.column <= text.chars().count() + 1, "{error}"),
    }
});
