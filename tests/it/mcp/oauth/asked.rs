//! What people are asked: the pages, what is refused before them, and that no page of somebody else's can answer.

use http::Method;

use super::{WHO, gateway};
use crate::support::dance::{Answer, BACK, Dance};

/// A page, and nothing that leads away from it.
fn is_page(answer: &Answer, http: u16, words: &str) {
    assert_eq!((answer.http, answer.header("location")), (http, ""), "{answer:?}");
    assert!(answer.text.contains(words), "{words:?} in {answer:?}");
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-frame-options"), "DENY");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!answer.text.contains("<script"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_and_says_yes_or_no() {
    let gateway = gateway("", "").await;
    let mut dance = Dance::new(gateway.address);
    let client = dance.register("An <editor> & more", &[BACK]).await;
    let page = dance.get(&Dance::asking(&client, &[("scope", "mcp books:write nonsense")])).await;
    is_page(&page, 200, "An &lt;editor&gt; &amp; more");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:33418;"), "{policy}");
    let wrong = dance.log_in(&page, WHO.0, "wrong <password>").await;
    is_page(&wrong, 401, "is not right");
    assert!(
        wrong.text.contains(&format!("value=\"{}\"", WHO.0)) && !wrong.text.contains("&lt;password"),
        "{wrong:?}"
    );
    let consent = dance.log_in(&wrong, WHO.0, WHO.1).await;
    is_page(&consent, 200, "books:write");
    assert!(consent.text.contains(WHO.0) && consent.text.contains("http://127.0.0.1:33418"), "{consent:?}");
    assert!(!consent.text.contains("nonsense") && !consent.text.contains(WHO.1), "{consent:?}");
    let answer = dance.say(&consent, "allow").await;
    assert_eq!(answer.http, 303);
    assert!(answer.header("location").starts_with(&format!("{BACK}?code=ppc_")), "{answer:?}");
    assert_eq!(answer.sent("state").as_deref(), Some("a state & more"));
    assert_eq!(answer.sent("iss"), Some(format!("http://{}", gateway.address)));
    // Once answered it is over.
    is_page(&dance.say(&consent, "allow").await, 400, "have answered before");
    let page = dance.get(&Dance::asking(&client, &[])).await;
    let consent = dance.log_in(&page, WHO.0, WHO.1).await;
    let answer = dance.say(&consent, "deny").await;
    assert_eq!((answer.http, answer.sent("error").as_deref()), (303, Some("access_denied")));
    assert_eq!((answer.sent("code"), answer.sent("state").as_deref()), (None, Some("a state & more")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_known_to_be_one_sends_nobody_anywhere() {
    let gateway = gateway("", "").await;
    let mut dance = Dance::new(gateway.address);
    let client = dance.register("A test", &[BACK, "https://a.example/cb"]).await;
    for (other, words) in [
        (&[("client_id", "ppa_nobody")][..], "no such client"),
        (&[("client_id", "")], "client_id is missing"),
        (&[("redirect_uri", "https://evil.example/cb")], "none of those"),
        (&[("redirect_uri", "https://a.example/cb/")], "none of those"),
        (&[("redirect_uri", "http://127.0.0.1:33418/back/../x")], "none of those"),
        (&[("redirect_uri", "")], "redirect_uri is missing"),
        // Where a stranger says that it is described, nobody within is asked.
        (&[("client_id", "https://127.0.0.1/client.json")], "cannot be read"),
        (&[("client_id", "https://localhost/client.json")], "cannot be read"),
        (&[("client_id", "https://169.254.169.254/latest/meta-data")], "cannot be read"),
    ] {
        is_page(&dance.get(&Dance::asking(&client, other)).await, 400, words);
    }
    let twice = format!("{}&client_id=x", Dance::asking(&client, &[]));
    is_page(&dance.get(&twice).await, 400, "given twice");
    // What is wrong otherwise is told to the program, with whose answer it is.
    for (other, want) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "")], "invalid_request"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("scope", "nonsense")], "invalid_scope"),
        (&[("resource", "https://evil.example/mcp")], "invalid_target"),
    ] {
        let answer = dance.get(&Dance::asking(&client, other)).await;
        assert_eq!((answer.http, answer.sent("error").as_deref()), (303, Some(want)), "{other:?} {answer:?}");
        assert!(answer.header("location").starts_with(&format!("{BACK}?")), "{answer:?}");
        assert!(answer.sent("iss").is_some() && answer.sent("state").is_some(), "{answer:?}");
    }
    // Of its own machine the port may be another.
    let port = dance.get(&Dance::asking(&client, &[("redirect_uri", "http://127.0.0.1:5/back")])).await;
    is_page(&port, 200, "wants to use tools");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_taken_from_the_browser_that_it_was_shown_in() {
    let gateway = gateway("", "").await;
    let mut dance = Dance::new(gateway.address);
    let client = dance.register("A test", &[BACK]).await;
    let page = dance.get(&Dance::asking(&client, &[])).await;
    let refused = "was not shown in this browser";
    let mut other = Dance::new(gateway.address);
    is_page(&other.log_in(&page, WHO.0, WHO.1).await, 403, refused);
    // Its cookie is another by now.
    is_page(&other.log_in(&page, WHO.0, WHO.1).await, 403, refused);
    let consent = dance.log_in(&page, WHO.0, WHO.1).await;
    is_page(&consent, 200, "Let A test in?");
    is_page(&other.say(&consent, "allow").await, 403, refused);
    // A form of the other browser's own, with a ticket that is not its.
    let own = other.get(&Dance::asking(&client, &[])).await;
    let form = own.hidden().into_iter().find(|(name, _)| name == "form").unwrap().1;
    let ticket = consent.hidden().into_iter().find(|(name, _)| name == "ticket").unwrap().1;
    let stolen = [("form", form.as_str()), ("ticket", &ticket), ("answer", "allow")];
    is_page(&other.form("/oauth/authorize", &stolen).await, 400, "have answered before");
    // A page of elsewhere may send a form, and its browser says so.
    let hidden = consent.hidden();
    let mut fields: Vec<(&str, &str)> =
        hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.push(("answer", "allow"));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "cross-site")];
    let body = crate::support::dance::query(&fields);
    is_page(&dance.send(&Method::POST, "/oauth/authorize", &headers, body).await, 403, refused);
    assert_eq!(dance.say(&consent, "allow").await.http, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_limited_as_everywhere() {
    let gateway = gateway("", "").await;
    let mut dance = Dance::new(gateway.address);
    let client = dance.register("A test", &[BACK]).await;
    let page = dance.get(&Dance::asking(&client, &[])).await;
    let mut answers = Vec::new();
    for _ in 0..11 {
        answers.push(dance.log_in(&page, WHO.0, "wrong").await.http);
    }
    assert_eq!((answers[9], answers[10]), (401, 429), "{answers:?}");
}
