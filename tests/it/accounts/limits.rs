//! What guesses meet: limits by account and by address, told in each surface's own way; and answers that say nothing of who
//! has an account, neither in words nor in time.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{LOGIN, PASSWORD, Place, REGISTER, Surface, ask, call, login, register};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_one_account_are_limited_whether_it_exists_or_not() {
    for place in Place::both() {
        let (gateway, replica) = (place.gateway(), place.gateway());
        let at = gateway.address;
        for surface in [Surface::Rest, Surface::Grpc] {
            register(at, &format!("ann-{surface:?}@x.example")).await;
        }
        for (surface, email) in [
            (Surface::Rest, "ann-Rest@x.example"),
            (Surface::Grpc, "ann-Grpc@x.example"),
            (Surface::GrpcWeb, "nobody@x.example"),
        ] {
            let name = format!("{email} over {surface:?} on {}", place.name);
            for number in 0..10 {
                let wrong = json!({ "email": email, "password": "Wrong-Horse-7" });
                let tried = call(surface, at, &LOGIN, &wrong, &[]).await;
                assert_eq!(tried.code, 16, "{name} {number}: {tried:?}");
            }
            // However it is spelt, and with the right one.
            let spelt = email.to_uppercase();
            let refused =
                call(surface, at, &LOGIN, &json!({ "email": spelt, "password": PASSWORD }), &[]).await;
            assert_eq!(refused.code, 8, "{name}: {refused:?}");
            assert!(refused.message.starts_with("too many attempts; try again in "), "{name}: {refused:?}");
            if surface == Surface::Rest {
                let after: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
                assert!(refused.http == 429 && (1..=300).contains(&after), "{name}: {refused:?}");
            }
            // What replicas count together is refused by each of them.
            let elsewhere = login(replica.address, email, "Wrong-Horse-7").await;
            let shared = !place.servers.is_empty();
            assert_eq!(elsewhere.http, if shared { 429 } else { 401 }, "{name}: {elsewhere:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_limited_over_all_accounts() {
    for place in Place::both() {
        let gateway = place.gateway();
        let mut refused = None;
        for number in 0..90 {
            let tried = login(gateway.address, &format!("u{number}@x.example"), "Wrong-Horse-7").await;
            match tried.http {
                401 => {}
                429 => {
                    refused = Some((number, tried));
                    break;
                }
                _ => panic!("{tried:?}"),
            }
        }
        let (number, refused) = refused.expect("thirty in a window and thirty at once are the most");
        // The window slides: what is forgiven meanwhile comes on top.
        assert!(number >= 60, "{number} on {}", place.name);
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_from_one_address_are_limited() {
    let gateway = Place::sqlite().gateway();
    for number in 0..31 {
        let asked = json!({ "email": format!("u{number}@x.example"), "username": "u", "password": PASSWORD });
        let answer = ask(gateway.address, &REGISTER, asked, &[]).await;
        assert_eq!(answer.http, if number < 30 { 200 } else { 429 }, "{number}: {answer:?}");
        assert_eq!(answer.headers.contains_key("retry-after"), number == 30, "{answer:?}");
    }
}

/// The median time of a login that fails, for accounts that are there and for some that are not, by turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_login_says_nothing_of_the_account() {
    let gateway = Place::sqlite().gateway();
    let at = gateway.address;
    for number in 0..11 {
        register(at, &format!("known{number}@x.example")).await;
    }
    let mut times: [Vec<Duration>; 2] = Default::default();
    for number in 0..11 {
        for (times, who) in times.iter_mut().zip(["known", "unknown"]) {
            let begun = Instant::now();
            let refused = login(at, &format!("{who}{number}@x.example"), "Wrong-Horse-7").await;
            times.push(begun.elapsed());
            assert_eq!((refused.http, refused.message.as_str()), (401, "Incorrect email or password"));
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    });
    let ratio = known / unknown;
    assert!((0.4..2.5).contains(&ratio), "{known} s for a known one, {unknown} s for an unknown one");
}
