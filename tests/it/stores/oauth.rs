//! What the authorization server keeps, over both databases.

use std::sync::Arc;

use propylon::store::{
    Ending, Micros, NewGrant, OauthClient, OauthLogin, OauthRequest, PasswordHash, Redeemed, Redemption,
    Revoked, Rotation,
};
use tokio::task::JoinSet;

use super::{Pair, digest, new_account, second};

fn request() -> OauthRequest {
    OauthRequest {
        client: "ppa_1".into(),
        redirect: "http://127.0.0.1/back".into(),
        challenge: "challenge".into(),
        resource: "https://gw/mcp/oauth".into(),
        scopes: vec!["books".into(), "mcp".into()],
        state: "s & t".into(),
    }
}

/// An account's ticket for a browser, good until second 50.
async fn ticket(pair: &Pair, account: &str, name: &str, password: &str) -> bool {
    let login = OauthLogin {
        account: account.to_owned(),
        password: PasswordHash(password.to_owned()),
        browser: "browser".into(),
        ticket: digest(name),
        expires_at: second(50),
    };
    pair.one.oauth.ask(&login, &request(), second(1)).await.unwrap()
}

async fn account(pair: &Pair, name: &str) -> String {
    let new = new_account(&format!("{name}@x.example"));
    pair.one.accounts.create(&new, second(1)).await.unwrap().id
}

/// A code of an account's, good until second 60.
async fn code(pair: &Pair, account: &str, name: &str) {
    assert!(ticket(pair, account, &format!("ticket {name}"), "$argon2id$1").await);
    let code = Some((&digest(name), second(60)));
    let answered =
        pair.other.oauth.answer(&digest(&format!("ticket {name}")), "browser", code, second(2)).await;
    assert_eq!(answered.unwrap(), Some((request(), account.to_owned())));
}

async fn redeem(pair: &Pair, name: &str, family: &str, at: Micros) -> Redeemed {
    let code = digest(name);
    let request = request();
    let shown = Redemption {
        code: &code,
        client: &request.client,
        redirect: Some(&request.redirect),
        challenge: &request.challenge,
        resource: None,
    };
    let new = NewGrant { family: family.to_owned(), digest: digest(family), expires_at: second(1000) };
    pair.other.oauth.redeem(&shown, &new, second(500), at).await.unwrap()
}

pub(super) async fn a_client_is_known_everywhere(pair: &Pair) {
    let client = OauthClient {
        id: "ppa_1".into(),
        name: "An editor".into(),
        redirects: vec!["http://127.0.0.1/back".into(), "https://a.example/".into()],
    };
    pair.one.oauth.register(&client, second(1)).await.unwrap();
    assert_eq!(pair.other.oauth.client("ppa_1").await.unwrap(), Some(client));
    assert_eq!(pair.other.oauth.client("ppa_2").await.unwrap(), None);
    // Nobody has let it do anything.
    assert_eq!(pair.one.oauth.forget(second(1)).await.unwrap(), 0);
    assert_eq!(pair.one.oauth.forget(second(2)).await.unwrap(), 1);
    assert_eq!(pair.other.oauth.client("ppa_1").await.unwrap(), None);
}

pub(super) async fn a_ticket_is_answered_once_in_its_browser_and_in_time(pair: &Pair) {
    let account = account(pair, "a").await;
    assert!(!ticket(pair, &account, "t", "another password").await);
    let answer = async |name: &str, browser: &str, at: Micros| {
        pair.other.oauth.answer(&digest(name), browser, None, at).await.unwrap()
    };
    assert_eq!(answer("t", "browser", second(2)).await, None);
    assert!(ticket(pair, &account, "t", "$argon2id$1").await);
    assert_eq!(pair.other.accounts.get(&account).await.unwrap().unwrap().logins, 1);
    assert_eq!(answer("t", "another", second(2)).await, None);
    assert_eq!(answer("t", "browser", second(50)).await, None);
    assert_eq!(answer("t", "browser", second(49)).await, Some((request(), account.clone())));
    assert_eq!(answer("t", "browser", second(2)).await, None);
    // Whoever ends their sessions has answered nothing.
    assert!(ticket(pair, &account, "u", "$argon2id$1").await);
    code(pair, &account, "c").await;
    let ending = Ending { but: "", until: second(500) };
    pair.one.refresh_tokens.end_all(&account, ending, second(3)).await.unwrap();
    assert_eq!(answer("u", "browser", second(4)).await, None);
    assert_eq!(redeem(pair, "c", "f", second(4)).await, Redeemed::Unknown);
}

pub(super) async fn a_code_gives_tokens_once_and_ends_them_when_it_comes_again(pair: &Pair) {
    let account = account(pair, "a").await;
    code(pair, &account, "c").await;
    let Redeemed::Granted(grant, found) = redeem(pair, "c", "f", second(3)).await else {
        panic!("it is good")
    };
    assert_eq!(
        (grant.family.as_str(), &grant.scopes, found.id.as_str()),
        ("f", &request().scopes, account.as_str())
    );
    assert_eq!(pair.one.oauth.grant(&digest("f")).await.unwrap(), Some(grant));
    let rotated = pair
        .one
        .refresh_tokens
        .rotate(&digest("f"), &digest("g"), second(1000), second(500), second(4))
        .await;
    assert!(matches!(rotated.unwrap(), Rotation::Rotated(..)));
    assert!(pair.one.oauth.grant(&digest("g")).await.unwrap().is_some(), "it is of the same grant");
    let Redeemed::Replayed(Some(revoked)) = redeem(pair, "c", "h", second(5)).await else {
        panic!("it is known")
    };
    assert_eq!((revoked.kind, revoked.id.as_str()), (Revoked::Session, "f"));
    let after = pair
        .one
        .refresh_tokens
        .rotate(&digest("g"), &digest("i"), second(1000), second(500), second(6))
        .await;
    assert!(matches!(after.unwrap(), Rotation::Ended(_)));
    code(pair, &account, "late").await;
    assert_eq!(redeem(pair, "late", "l", second(60)).await, Redeemed::Unknown);
    code(pair, &account, "wrong").await;
    let wrong = digest("wrong");
    let shown =
        Redemption { code: &wrong, client: "ppa_2", redirect: None, challenge: "challenge", resource: None };
    let new = NewGrant { family: "w".into(), digest: digest("w"), expires_at: second(1000) };
    let refused = pair.one.oauth.redeem(&shown, &new, second(500), second(3)).await.unwrap();
    assert_eq!(refused, Redeemed::Wrong("the code was given to another client"));
    assert_eq!(redeem(pair, "wrong", "x", second(3)).await, Redeemed::Replayed(None));
    assert!(pair.one.oauth.forget(second(61)).await.unwrap() >= 3);
}

pub(super) async fn a_code_is_used_once_however_many_try(pair: &Pair) {
    let account = account(pair, "a").await;
    for round in 0..5 {
        let name = format!("race {round}");
        code(pair, &account, &name).await;
        let mut tries = JoinSet::new();
        for number in 0..20 {
            let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
            let (oauth, name) = (Arc::clone(&replica.oauth), name.clone());
            tries.spawn(async move {
                let (code, family) = (digest(&name), format!("{name} {number}"));
                let shown = Redemption {
                    code: &code,
                    client: "ppa_1",
                    redirect: None,
                    challenge: "challenge",
                    resource: None,
                };
                let new = NewGrant { digest: digest(&family), family, expires_at: second(1000) };
                oauth.redeem(&shown, &new, second(500), second(3)).await.unwrap()
            });
        }
        let outcomes = tries.join_all().await;
        let granted = outcomes.iter().filter(|outcome| matches!(outcome, Redeemed::Granted(..))).count();
        let replayed =
            outcomes.iter().filter(|outcome| matches!(outcome, Redeemed::Replayed(Some(_)))).count();
        assert_eq!((granted, replayed), (1, 19), "round {round}");
    }
    assert_eq!(pair.one.refresh_tokens.count_live(second(4)).await.unwrap(), 0);
}
