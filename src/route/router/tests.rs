//! Tables and properties of the router: precedence, captures, misses, and agreement with a matcher that tries all.

use http::Method;
use proptest::prelude::*;

use super::*;

fn router(settings: Settings, bindings: &[&str]) -> Router<String> {
    let mut router = Router::new(settings);
    for binding in bindings {
        let (verb, template) = binding.split_once(' ').unwrap();
        let template = Template::parse(template).unwrap();
        router.insert(&Verb::parse(verb), &template, format!("m.{verb}"), (*binding).to_owned()).unwrap();
    }
    router
}

/// `binding | capture | capture`, or why not.
fn found(router: &Router<String>, request: &str) -> String {
    let (method, path) = request.split_once(' ').unwrap();
    match router.find(&Method::from_bytes(method.as_bytes()).unwrap(), path) {
        Ok(Found { value, captures }) => std::iter::once(value.clone())
            .chain(captures.iter().map(ToString::to_string))
            .collect::<Vec<_>>()
            .join(" | "),
        Err(Miss::NotFound) => String::new(),
        Err(Miss::WrongVerb { allow }) => format!("405 {}", allow.join(", ")),
        Err(Miss::BadEscape { segment }) => format!("400 {segment}"),
        Err(Miss::Redirect(path)) => format!("301 {path}"),
    }
}

const LIBRARY: &[&str] = &[
    "GET /docs/{parent=**}/list",
    "GET /docs/{parent=a/**}/items/{id}",
    "GET /",
    "GET /v1/messages/{message_id}",
    "GET /v1/{name=messages/*/parts/*}",
    "GET /v1/users/{user_id}/messages/{message_id}",
    "GET /v1/shelves",
    "POST /v1/shelves",
    "GET /v1/shelves/featured",
    "GET /v1/shelves/{shelf}",
    "DELETE /v1/shelves/{shelf}",
    "POST /v1/shelves/{shelf}:archive",
    "POST /v1/shelves:merge",
    "GET /v1/shelves/{shelf}/books/{book.id}:read",
    "GET /v2/{name=shelves/*/books/*}",
    "GET /v2/{name=shelves/**}",
    "GET /files/{path=**}",
    "PUT /files/{path=**}:sign",
    "GET /fix/{kind=a%2Fb}/*",
    "PROPFIND /dav/{path=**}",
    "* /any/{id}",
    "GET /any/{id}",
    "HEAD /own/{id}",
    "GET /own/{id}",
    "POST /pkg.Service/Method",
    "GET /sp%20ace/%C3%A9",
];

#[test]
fn paths() {
    let router = router(Settings::default(), LIBRARY);
    // A blank answer: no template matches.
    let check = |request: &str, want: &str| assert_eq!(found(&router, request), want, "{request}");
    check("GET /", "GET /");
    check("GET /v1/messages/123456", "GET /v1/messages/{message_id} | 123456");
    check("GET /v1/messages/1/parts/2", "GET /v1/{name=messages/*/parts/*} | messages/1/parts/2");
    check("GET /v1/users/me/messages/7", "GET /v1/users/{user_id}/messages/{message_id} | me | 7");
    check("GET /v1/messages", "");
    check("GET /v1/messages/", "");
    check("GET /v1//messages/1", "");
    check("GET //", "");
    check("GET /v1/messages/1/2", "");
    check("GET /V1/messages/1", "");
    check("GET v1/messages/1", "");
    check("OPTIONS *", "");
    // Literal before variable, whatever the order.
    check("GET /v1/shelves/featured", "GET /v1/shelves/featured");
    check("GET /v1/shelves/7", "GET /v1/shelves/{shelf} | 7");
    // … and back to the variable for a method that only it has.
    check("DELETE /v1/shelves/featured", "DELETE /v1/shelves/{shelf} | featured");
    // Verbs.
    check("POST /v1/shelves/7:archive", "POST /v1/shelves/{shelf}:archive | 7");
    check("POST /v1/shelves/a:b:archive", "POST /v1/shelves/{shelf}:archive | a:b");
    check("POST /v1/shelves:merge", "POST /v1/shelves:merge");
    check("GET /v1/shelves/7:archive", "GET /v1/shelves/{shelf} | 7:archive");
    check("PUT /v1/shelves/7:archive", "405 POST");
    check("GET /v1/shelves/7:unknown", "GET /v1/shelves/{shelf} | 7:unknown");
    check("GET /v1/shelves/7:", "GET /v1/shelves/{shelf} | 7:");
    // An empty segment is no variable: the verb is then the segment's text.
    check("POST /v1/shelves/:archive", "405 DELETE, GET, HEAD");
    check("POST /v1/shelves/7%3Aarchive", "405 DELETE, GET, HEAD");
    check("GET /v1/shelves/1/books/2:read", "GET /v1/shelves/{shelf}/books/{book.id}:read | 1 | 2");
    check("GET /v1/shelves/1/books/2", "");
    check("PUT /files/a/b:sign", "PUT /files/{path=**}:sign | a/b");
    check("GET /files/a/b:sign", "GET /files/{path=**} | a/b:sign");
    // `*` before `**`; `**` is also nothing.
    check("GET /v2/shelves/1/books/2", "GET /v2/{name=shelves/*/books/*} | shelves/1/books/2");
    check("GET /v2/shelves/1/books/2/3", "GET /v2/{name=shelves/**} | shelves/1/books/2/3");
    check("GET /v2/shelves/1", "GET /v2/{name=shelves/**} | shelves/1");
    check("GET /v2/shelves", "GET /v2/{name=shelves/**} | shelves");
    check("GET /v2", "");
    check("GET /files", "GET /files/{path=**} | ");
    check("GET /files/", "GET /files/{path=**} | ");
    check("GET /files/a//b/", "GET /files/{path=**} | a//b/");
    // `**` before other segments, which match the end of the path.
    check("GET /docs/a/b/c/list", "GET /docs/{parent=**}/list | a/b/c");
    check("GET /docs/list", "GET /docs/{parent=**}/list | ");
    check("GET /docs/a/b/items/c", "GET /docs/{parent=a/**}/items/{id} | a/b | c");
    check("GET /docs/a/items/c", "GET /docs/{parent=a/**}/items/{id} | a | c");
    check("GET /docs/items/c", "");
    // Escapes.
    check("GET /v1/shelves/a%2Fb%20c", "GET /v1/shelves/{shelf} | a/b c");
    check(
        "GET /v2/shelves/a%2Fb%20c/books/d%2fe%25",
        "GET /v2/{name=shelves/*/books/*} | shelves/a%2Fb c/books/d%2fe%",
    );
    check("GET /files/a%2Fb/%C3%A9", "GET /files/{path=**} | a%2Fb/é");
    check("GET /files/a%252Fb", "GET /files/{path=**} | a%2Fb");
    check("GET /v1/%73helves/7", "GET /v1/shelves/{shelf} | 7");
    check("GET /v1/shelves/+", "GET /v1/shelves/{shelf} | +");
    check("GET /sp%20ace/é", "GET /sp%20ace/%C3%A9");
    check("GET /fix/a%2fb/c", "GET /fix/{kind=a%2Fb}/* | a/b");
    check("GET /fix/a/b/c", "");
    check("GET /v1/shelves/%", "400 %");
    check("GET /v1/shelves/%2", "400 %2");
    check("GET /v1/shelves/%zz", "400 %zz");
    check("GET /v1/shelves/%FF", "400 %FF");
    check("GET /nowhere/%C3", "400 %C3");
    // HTTP methods.
    check("HEAD /v1/shelves/7", "GET /v1/shelves/{shelf} | 7");
    check("HEAD /own/7", "HEAD /own/{id} | 7");
    check("PROPFIND /dav/a", "PROPFIND /dav/{path=**} | a");
    check("GET /dav/a", "405 PROPFIND");
    check("propfind /dav/a", "405 PROPFIND");
    check("GET /any/7", "GET /any/{id} | 7");
    check("HEAD /any/7", "GET /any/{id} | 7");
    check("MKCOL /any/7", "* /any/{id} | 7");
    check("PATCH /v1/shelves/featured", "405 DELETE, GET, HEAD");
    check("DELETE /v1/shelves", "405 GET, HEAD, POST");
    check("POST /pkg.Service/Method", "POST /pkg.Service/Method");
    check("GET /pkg.Service/Method", "405 POST");
    assert_eq!(router.allow("/v1/shelves/featured"), ["DELETE", "GET", "HEAD"]);
    assert!(router.allow("/nowhere").is_empty());
    assert_eq!(router.len(), LIBRARY.len());
}

#[test]
fn trailing_slashes() {
    let bindings = ["GET /a/{b}", "GET /f/{path=**}", "GET /"];
    let check = |trailing_slash, request: &str, want: &str| {
        let router = router(Settings { trailing_slash, ..Settings::default() }, &bindings);
        assert_eq!(found(&router, request), want, "{trailing_slash:?} {request}");
    };
    check(TrailingSlash::Strict, "GET /a/b/", "");
    check(TrailingSlash::Ignore, "GET /a/b/", "GET /a/{b} | b");
    check(TrailingSlash::Ignore, "GET /a/b//", "");
    check(TrailingSlash::Ignore, "POST /a/b/", "405 GET, HEAD");
    check(TrailingSlash::Ignore, "GET /f/b/", "GET /f/{path=**} | b/");
    check(TrailingSlash::Ignore, "GET /", "GET /");
    check(TrailingSlash::Redirect, "GET /a/b/", "301 /a/b");
    check(TrailingSlash::Redirect, "GET /x/b/", "");
    check(TrailingSlash::Redirect, "GET /f/b/", "GET /f/{path=**} | b/");
}

#[test]
fn fully_decoded_expansion() {
    let settings = Settings { fully_decode_reserved_expansion: true, ..Settings::default() };
    let router = router(settings, &["GET /f/{path=**}", "GET /v/{name=a/*}"]);
    assert_eq!(found(&router, "GET /f/a%2Fb/c"), "GET /f/{path=**} | a/b/c");
    assert_eq!(found(&router, "GET /v/a/b%2fc"), "GET /v/{name=a/*} | a/b/c");
}

#[test]
fn get_is_find_without_captures() {
    let settings = Settings { trailing_slash: TrailingSlash::Redirect, ..Settings::default() };
    let router = router(settings, &["GET /v1/{name}", "* /v1/{name}", "POST /v1/{name}:send", "GET /"]);
    let check = |request: &str, want: Option<&str>| {
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(router.get(&method, path, &Asked::default()).map(String::as_str), want, "{request}");
    };
    check("GET /v1/a", Some("GET /v1/{name}"));
    check("HEAD /v1/a", Some("GET /v1/{name}"));
    check("PUT /v1/a", Some("* /v1/{name}"));
    check("POST /v1/a:send", Some("POST /v1/{name}:send"));
    // Where it would be sent.
    check("GET /v1/a/", Some("GET /v1/{name}"));
    check("GET /v1/a//", None);
    check("GET /", Some("GET /"));
    check("PUT /", None);
    check("GET /v2/a", None);
    check("GET /v1/%zz", Some("GET /v1/{name}"));
}

#[test]
fn what_has_a_template_is_listed() {
    let router =
        router(Settings::default(), &["GET /v1/{name}", "* /v1/{name}", "POST /v1/{name}:send", "GET /"]);
    let check = |template: &str, want: &[&str]| {
        let template = Template::parse(template).unwrap();
        let found: Vec<_> = router.at(&template).map(|(verb, label, _)| format!("{verb} {label}")).collect();
        assert_eq!(found, want, "{template}");
    };
    check("/v1/{other}", &["GET m.GET", "* m.*"]);
    check("/v1/*:send", &["POST m.POST"]);
    check("/", &["GET m.GET"]);
    check("/v1", &[]);
    check("/v1/name", &[]);
    check("/v1/{name=**}", &[]);
}

#[test]
fn identical_bindings_are_refused_and_both_named() {
    let mut router = Router::<u8>::default();
    let mut check = |verb: &str, template: &str, label: &str, want: Option<&str>| {
        let result = router.insert(&Verb::parse(verb), &Template::parse(template).unwrap(), label, 0);
        assert_eq!(result.err().map(|conflict| conflict.to_string()).as_deref(), want, "{verb} {template}");
    };
    check("GET", "/v1/{name=shelves/*}", "a.S.A", None);
    check("POST", "/v1/{name=shelves/*}", "a.S.B", None);
    check("*", "/v1/shelves/*", "a.S.C", None);
    check("GET", "/v1/{name=shelves/*}:read", "a.S.D", None);
    check("GET", "/v1/{name=shelves/**}", "a.S.E", None);
    check(
        "GET",
        "/v1/shelves/{id}",
        "b.S.A",
        Some(
            "two bindings match the same requests: GET /v1/{name=shelves/*} of a.S.A and GET /v1/shelves/{id} of b.S.A",
        ),
    );
    check("HEAD", "/v1/shelves/{id}", "b.S.B", None);
}

#[test]
fn the_order_of_insertion_does_not_matter() {
    let (mut forward, mut backward) = (LIBRARY.to_vec(), LIBRARY.to_vec());
    forward.sort_unstable();
    backward.sort_unstable_by(|a, b| b.cmp(a));
    let (forward, backward) = (router(Settings::default(), &forward), router(Settings::default(), &backward));
    for request in [
        "GET /v1/shelves/featured",
        "GET /v2/shelves/1/books/2",
        "GET /files/a",
        "HEAD /any/1",
        "PUT /files/a:sign",
    ] {
        assert_eq!(found(&forward, request), found(&backward, request), "{request}");
    }
}

#[test]
fn the_nearest_is_the_first_of_all_that_are_near() {
    let router = router(Settings::default(), LIBRARY);
    let check = |request: &str, want: Option<&str>| {
        let (method, path) = request.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(router.find(&method, path), Err(Miss::NotFound), "{request}");
        let named = |most| {
            let near = router.near(&method, path, most).into_iter().next();
            near.map(|near| format!("{} {}", near.verb, near.template))
        };
        assert_eq!((named(1).as_deref(), named(5).as_deref()), (want, want), "{request}");
    };
    check("GET /v1/shelvs/7", Some("GET /v1/shelves/{shelf}"));
    check("POST /v1/shelvs", Some("POST /v1/shelves"));
    check("GET /v1/shelves/1/book/2:read", Some("GET /v1/shelves/{shelf}/books/{book.id}:read"));
    check("POST /pkg.Service/Methode", Some("POST /pkg.Service/Method"));
    check("GET /v1/messages", Some("GET /v1/messages/{message_id}"));
    check("GET /shelves", Some("GET /v1/shelves"));
    check("GET /nothing/alike", None);
    check("OPTIONS *", None);
    let long = format!("GET /v1/{}", "shelves".repeat(1000));
    assert!(found(&router, &long).is_empty());
}

/// Matches one template without a trie: segments against segments.
fn naive(template: &Template, path: &str, with_verb: bool) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let path = match (with_verb, template.verb()) {
        (false, None) => path,
        (true, Some(verb)) => match path.rsplit_once(':') {
            Some((path, suffix))
                if decode_segment(suffix).as_deref() == Ok(verb) && !suffix.contains('/') =>
            {
                path
            }
            _ => return false,
        },
        _ => return false,
    };
    let mut segments: Vec<&str> =
        if path.is_empty() && !with_verb { Vec::new() } else { path.split('/').collect() };
    let wanted = template.segments();
    if let Some(rest) = wanted.iter().position(|segment| *segment == Segment::Rest) {
        let around = wanted.len() - 1;
        if segments.len() < around {
            return false;
        }
        segments.drain(rest..segments.len() - (around - rest));
    }
    segments.reverse();
    for wanted in wanted.iter().filter(|segment| **segment != Segment::Rest) {
        match (wanted, segments.pop()) {
            (_, None | Some("")) => return false,
            (Segment::One | Segment::Rest, Some(_)) => {}
            (Segment::Literal(text), Some(segment)) => {
                if decode_segment(segment).as_deref() != Ok(text) {
                    return false;
                }
            }
        }
    }
    segments.is_empty()
}

proptest! {
    #[test]
    fn agrees_with_a_matcher_that_tries_all(
        templates in proptest::collection::vec("((/(a|b|\\*|\\{x\\}|\\{y=a/\\*\\})){1,4}(/\\*\\*)?|(/(a|b|\\*)){0,2}/\\{z=\\*\\*\\}(/(a|b|\\{w\\})){1,2})(:v)?", 1..12),
        paths in proptest::collection::vec("(/(a|b|c|a%62|:v|)){1,5}(:v|:w)?", 1..24),
    ) {
        let mut router = Router::<usize>::default();
        let mut inserted = Vec::new();
        for text in &templates {
            let Ok(template) = Template::parse(text) else { continue };
            if router.insert(&Verb::Get, &template, "", inserted.len()).is_ok() {
                inserted.push(template);
            }
        }
        for path in &paths {
            let rank = |template: &Template| -> Vec<u8> {
                let segments = template.segments();
                // Behind `**` a literal comes first, then nothing, then `*`; of those alike, the longer.
                segments.iter().enumerate().flat_map(|(index, segment)| match segment {
                    Segment::Literal(_) => vec![0],
                    Segment::One => vec![2],
                    Segment::Rest => {
                        let next = match segments.get(index + 1) {
                            Some(Segment::Literal(_)) => 0,
                            None => 1,
                            Some(_) => 2,
                        };
                        vec![3, next, u8::MAX - (segments.len() - index) as u8]
                    }
                }).chain([1]).collect()
            };
            let best = |with_verb| inserted.iter().enumerate()
                .filter(|(_, template)| naive(template, path, with_verb)).min_by_key(|(_, template)| rank(template));
            let want = best(true).or_else(|| best(false)).map(|(index, _)| index);
            let got = router.find(&Method::GET, path).ok();
            prop_assert_eq!(got.as_ref().map(|found| *found.value), want, "{} in {:?}", path, &templates);
            if let Some(found) = got {
                prop_assert_eq!(found.captures.len(), inserted[*found.value].variables().len());
            }
        }
    }

    #[test]
    fn never_panics(templates: Vec<String>, path: String, slashes in "[/a:%2f*{}]{0,12}") {
        let mut router = Router::<()>::default();
        for text in templates.iter().map(String::as_str).chain(LIBRARY.iter().filter_map(|it| it.split(' ').nth(1))) {
            if let Ok(template) = Template::parse(text) {
                let _ = router.insert(&Verb::Get, &template, "", ());
            }
        }
        for path in [&path, &slashes, &format!("/{path}"), &format!("/files/{slashes}")] {
            let _ = router.find(&Method::GET, path);
            let _ = router.near(&Method::GET, path, 3);
        }
    }
}
