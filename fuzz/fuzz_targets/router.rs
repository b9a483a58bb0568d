//! The router: templates and paths of any text; what is found has a value for every variable of its template, and what is
//! found for no method is allowed for none. The input is lines: templates, an empty line, paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::route::router::{Router, Settings, TrailingSlash};
use propylon::schema::{Template, Verb};

fuzz_target!(|text: &str| {
    let (templates, paths) = text.split_once("\n\n").unwrap_or((text, text));
    for trailing_slash in [TrailingSlash::Strict, TrailingSlash::Ignore, TrailingSlash::Redirect] {
        let mut router = Router::new(Settings { trailing_slash, ..Settings::default() });
        for (line, verb) in templates.lines().zip([Verb::Get, Verb::Post, Verb::Any].into_iter().cycle()) {
            if let Ok(template) = Template::parse(line) {
                let variables = template.variables().len();
                let _ = router.insert(&verb, &template, line, variables);
            }
        }
        for path in paths.lines() {
            for method in [http::Method::GET, http::Method::HEAD, http::Method::POST, http::Method::OPTIONS] {
                if let Ok(found) = router.find(&method, path) {
                    assert_eq!(found.captures.len(), *found.value);
                    assert!(!router.allow(path).is_empty());
                }
            }
        }
    }
});
