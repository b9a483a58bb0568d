//! API keys, refresh tokens, signing keys, revocations and audit lines, over both databases.

use std::{sync::Arc, time::Duration};

use propylon::store::{
    AccountChange, ApiKey, Digest, Ending, Micros, NewFamily, Page, PasswordHash, Private, Revocation,
    Revoked, Rotation, Session, SigningKey,
};
use tokio::task::JoinSet;

use super::{Pair, accounts::line, digest, new_account, new_family, second};

const FIRST: Page = Page { after: String::new(), limit: 100 };

pub(super) fn new_key(id: &str, owner: Option<&str>) -> ApiKey {
    ApiKey {
        id: id.to_owned(),
        name: "ci".into(),
        prefix: "ppk_abcd".into(),
        owner: owner.map(str::to_owned),
        roles: vec!["user".into()],
        permissions: vec!["books:read".into()],
        scopes: vec!["all".into()],
        tier: "premium".into(),
        created_at: second(1),
        expires_at: Some(second(100)),
        revoked_at: None,
        last_used_at: None,
    }
}

pub(super) async fn api_keys_are_kept(pair: &Pair) {
    let owner = pair.one.accounts.create(&new_account("a@x.example"), second(1)).await.unwrap().id;
    let keys = &pair.one.api_keys;
    let (own, free) = (new_key("k1", Some(&owner)), ApiKey { expires_at: None, ..new_key("k2", None) });
    let line = line("key.create", "k1");
    keys.create(&own, &digest("one"), Some(&line)).await.unwrap();
    keys.create(&free, &digest("two"), None).await.unwrap();
    let other = &pair.other.api_keys;
    assert_eq!(other.by_digest(&digest("one")).await.unwrap(), Some(own.clone()));
    assert_eq!(other.by_digest(&digest("three")).await.unwrap(), None);
    assert_eq!(other.get("k2").await.unwrap(), Some(free.clone()));
    assert_eq!(other.list(None, &FIRST).await.unwrap(), [own.clone(), free.clone()]);
    assert_eq!(other.list(Some(&owner), &FIRST).await.unwrap(), std::slice::from_ref(&own));
    assert_eq!(
        other.list(None, &Page { after: "k1".into(), limit: 1 }).await.unwrap(),
        std::slice::from_ref(&free)
    );
    assert_eq!(
        (other.count_usable(second(99)).await.unwrap(), other.count_usable(second(100)).await.unwrap()),
        (2, 1)
    );
    // The latest use stays, whoever notes it last.
    keys.used(&[("k1".into(), second(9)), ("k2".into(), second(5)), ("gone".into(), second(5))])
        .await
        .unwrap();
    other.used(&[("k1".into(), second(7))]).await.unwrap();
    let own = ApiKey { last_used_at: Some(second(9)), ..own };
    assert_eq!(keys.get("k1").await.unwrap(), Some(own.clone()));
    // A key is revoked once; who holds what was known of it hears of each time.
    let of_key = |at| revocation(Revoked::Key, "k1", at, 60);
    let revoked = ApiKey { revoked_at: Some(second(10)), ..own };
    assert_eq!(
        keys.revoke("k1", second(60), None, second(10)).await.unwrap(),
        Some((revoked.clone(), of_key(10)))
    );
    assert_eq!(
        other.revoke("k1", second(60), None, second(11)).await.unwrap(),
        Some((revoked.clone(), of_key(11)))
    );
    assert!(!revoked.usable(second(10)));
    assert_eq!(other.revoke("gone", second(60), None, second(11)).await.unwrap(), None);
    assert_eq!(pair.one.revocations.since(0, second(11)).await.unwrap().0, [of_key(10), of_key(11)]);
    assert_eq!(pair.one.audit.list(Some("k1"), &FIRST).await.unwrap(), [line]);
}

async fn family(pair: &Pair, id: &str) -> (Session, Digest) {
    let account =
        pair.one.accounts.create(&new_account(&format!("{id}@x.example")), second(1)).await.unwrap().id;
    let new = new_family(id, &account, second(100));
    let token = new.digest;
    pair.one.refresh_tokens.begin(&new, second(1)).await.unwrap().unwrap();
    (Session { family: id.to_owned(), account }, token)
}

pub(super) async fn refresh_tokens_rotate(pair: &Pair) {
    let (one, other) = (&pair.one.refresh_tokens, &pair.other.refresh_tokens);
    let (session, first) = family(pair, "f").await;
    let (second_one, third, fourth) = (digest("2"), digest("3"), digest("4"));
    assert_eq!(other.session(&first).await.unwrap(), Some(session.clone()));
    let account = pair.one.accounts.get(&session.account).await.unwrap().unwrap();
    let rotated = one.rotate(&first, &second_one, second(200), second(500), second(2)).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated(session.clone(), Box::new(account.clone())));
    // It has a longer life than the first one had.
    let rotated = other.rotate(&second_one, &third, second(200), second(500), second(150)).await.unwrap();
    assert_eq!(rotated, Rotation::Rotated(session.clone(), Box::new(account.clone())));
    assert_eq!(one.count_live(second(150)).await.unwrap(), 1);
    // An old one ends the family; the newest is good no longer.
    let reused = one.rotate(&second_one, &fourth, second(300), second(500), second(151)).await.unwrap();
    let ended = revocation(Revoked::Session, "f", 151, 500);
    assert_eq!(reused, Rotation::Reused(session.clone(), ended.clone()));
    assert_eq!(pair.other.revocations.since(0, second(151)).await.unwrap().0, [ended]);
    for token in [&third, &first, &second_one] {
        assert_eq!(
            one.rotate(token, &fourth, second(300), second(500), second(152)).await.unwrap(),
            Rotation::Ended(session.clone())
        );
    }
    assert_eq!(
        one.rotate(&fourth, &digest("5"), second(300), second(500), second(152)).await.unwrap(),
        Rotation::Unknown
    );
    assert_eq!(one.count_live(second(152)).await.unwrap(), 0);
}

/// A login that was looked at before a change begins nothing after it, or with what the account has since.
pub(super) async fn a_family_begins_with_the_account_as_it_is(pair: &Pair) {
    let (accounts, tokens) = (&pair.one.accounts, &pair.other.refresh_tokens);
    let id = accounts.create(&new_account("a@b.example"), second(1)).await.unwrap().id;
    let begin =
        async |family: &str| tokens.begin(&new_family(family, &id, second(100)), second(2)).await.unwrap();
    let set = async |change: AccountChange| {
        accounts.update(&id, &change, None, None, second(3)).await.unwrap().unwrap()
    };
    assert_eq!(begin("first").await.unwrap().roles, ["user"]);
    set(AccountChange { roles: Some(vec![]), ..AccountChange::default() }).await;
    assert_eq!(begin("second").await.unwrap().roles, [""; 0]);
    let Rotation::Rotated(_, account) =
        tokens.rotate(&digest("first"), &digest("n"), second(100), second(500), second(4)).await.unwrap()
    else {
        panic!("it is good")
    };
    assert_eq!(account.roles, [""; 0]);
    set(AccountChange { active: Some(false), ..AccountChange::default() }).await;
    assert_eq!(begin("third").await, None);
    let ended =
        tokens.rotate(&digest("second"), &digest("m"), second(100), second(500), second(4)).await.unwrap();
    assert!(matches!(ended, Rotation::Ended(_)), "{ended:?}");
    let password = Some(PasswordHash("another".into()));
    set(AccountChange { active: Some(true), password, ..AccountChange::default() }).await;
    assert_eq!(begin("fourth").await, None);
    let known =
        NewFamily { password: PasswordHash("another".into()), ..new_family("fifth", &id, second(100)) };
    assert!(tokens.begin(&known, second(5)).await.unwrap().is_some());
    assert_eq!(
        tokens.begin(&NewFamily { account: "nobody".into(), ..known }, second(5)).await.unwrap(),
        None
    );
}

pub(super) async fn a_refresh_token_is_used_once_however_many_try(pair: &Pair) {
    for round in 0..5 {
        let (_, token) = family(pair, &format!("race{round}")).await;
        let mut tries = JoinSet::new();
        for number in 0..20 {
            let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
            let tokens = Arc::clone(&replica.refresh_tokens);
            let new = digest(&format!("{round} {number}"));
            tries.spawn(async move {
                tokens.rotate(&token, &new, second(100), second(500), second(2)).await.unwrap()
            });
        }
        let (mut rotated, mut reused, mut ended) = (0, 0, 0);
        for outcome in tries.join_all().await {
            match outcome {
                Rotation::Rotated(..) => rotated += 1,
                Rotation::Reused(..) => reused += 1,
                Rotation::Ended(_) => ended += 1,
                Rotation::Unknown => panic!("it is known"),
            }
        }
        assert_eq!((rotated, reused, ended), (1, 1, 18), "round {round}");
    }
    // None of the winners' tokens is good: their families have ended.
    assert_eq!(pair.one.refresh_tokens.count_live(second(2)).await.unwrap(), 0);
}

pub(super) async fn families_end(pair: &Pair) {
    let tokens = &pair.one.refresh_tokens;
    let (session, token) = family(pair, "f").await;
    // At its last moment it is over.
    assert_eq!(
        tokens.rotate(&token, &digest("x"), second(300), second(500), second(100)).await.unwrap(),
        Rotation::Ended(session.clone())
    );
    let ended = |id: &str, at: i64| revocation(Revoked::Session, id, at, 60);
    assert_eq!(tokens.end("f", second(60), second(2)).await.unwrap(), ended("f", 2));
    assert_eq!(tokens.count_live(second(2)).await.unwrap(), 0);
    assert_eq!(pair.other.refresh_tokens.end("f", second(60), second(3)).await.unwrap(), ended("f", 3));
    // Of one that is gone there may still be tokens.
    assert_eq!(tokens.end("gone", second(60), second(3)).await.unwrap(), ended("gone", 3));
    assert_eq!(
        tokens.rotate(&token, &digest("x"), second(300), second(500), second(4)).await.unwrap(),
        Rotation::Ended(session.clone())
    );
    for id in ["g", "h"] {
        let new = new_family(id, &session.account, second(50));
        tokens.begin(&new, second(5)).await.unwrap().unwrap();
    }
    let revoked =
        tokens.end_all(&session.account, Ending { but: "g", until: second(60) }, second(6)).await.unwrap();
    let ids: Vec<_> = revoked.iter().map(|one| (one.kind, one.id.as_str())).collect();
    assert_eq!(ids, [(Revoked::Keys, session.account.as_str()), (Revoked::Session, "h")]);
    let (told, _) = pair.other.revocations.since(0, second(6)).await.unwrap();
    assert!(told.ends_with(&revoked), "{told:?}");
    let revoked =
        tokens.end_all(&session.account, Ending { but: "", until: second(60) }, second(6)).await.unwrap();
    let ids: Vec<_> = revoked.iter().map(|one| (one.kind, one.id.as_str())).collect();
    assert_eq!(ids, [(Revoked::Keys, session.account.as_str()), (Revoked::Session, "g")]);
    let (told, _) = pair.other.revocations.since(0, second(6)).await.unwrap();
    assert!(told.ends_with(&revoked), "{told:?}");
    assert_eq!(tokens.forget(second(51)).await.unwrap(), 2);
    assert_eq!(tokens.session(&digest("g")).await.unwrap(), None);
    assert_eq!(tokens.session(&token).await.unwrap(), Some(session));
}

fn key(kid: &str, from: i64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".into(),
        private: Private(vec![0, 1, 254, 255]),
        created_at: second(from),
        signs_from: second(from),
        verifies_until: None,
    }
}

pub(super) async fn there_is_one_signing_key_however_many_start(pair: &Pair) {
    let mut starts = JoinSet::new();
    for number in 0..20 {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let keys = Arc::clone(&replica.signing_keys);
        let candidate = key(&format!("k{number}"), 1);
        starts.spawn(async move { keys.first(&candidate, second(1)).await.unwrap() });
    }
    let seen = starts.join_all().await;
    let first = seen.first().unwrap();
    assert_eq!((first.len(), &first.first().unwrap().private), (1, &Private(vec![0, 1, 254, 255])));
    assert!(seen.iter().all(|keys| keys == first));
}

pub(super) async fn signing_keys_rotate_once(pair: &Pair) {
    let old = pair.one.signing_keys.first(&key("old", 1), second(1)).await.unwrap().remove(0);
    let mut tries = JoinSet::new();
    for number in 0..10 {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let (keys, next) = (Arc::clone(&replica.signing_keys), key(&format!("new{number}"), 20));
        tries.spawn(async move { keys.rotate("old", &next, second(50), second(10)).await.unwrap() });
    }
    let seen = tries.join_all().await;
    let keys = seen.first().unwrap();
    assert!(seen.iter().all(|other| other == keys));
    let [next, before] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!(before, &SigningKey { verifies_until: Some(second(50)), ..old });
    assert_eq!((next.signs_from, next.verifies_until), (second(20), None));
    // The old one is gone when its time is over; `first` adds none beside the new one.
    assert_eq!(pair.other.signing_keys.all(second(49)).await.unwrap().len(), 2);
    let first = pair.other.signing_keys.first(&key("again", 1), second(51)).await.unwrap();
    assert_eq!(first.as_slice(), std::slice::from_ref(next));
}

fn revocation(kind: Revoked, id: &str, at: i64, expires: i64) -> Revocation {
    Revocation { kind, id: id.to_owned(), at: second(at), expires_at: second(expires) }
}

pub(super) async fn revocations_are_seen_in_order(pair: &Pair) {
    let (one, other) = (&pair.one.revocations, &pair.other.revocations);
    let session = |id: &str, expires: i64| revocation(Revoked::Session, id, 5, expires);
    let first = pair.one.refresh_tokens.end("a", second(100), second(5)).await.unwrap();
    assert_eq!(first, session("a", 100));
    let (seen, cursor) = other.since(0, second(2)).await.unwrap();
    assert_eq!(seen, [first]);
    assert_eq!(other.since(cursor, second(2)).await.unwrap(), (vec![], cursor));
    pair.other.refresh_tokens.end("b", second(200), second(5)).await.unwrap();
    assert_eq!(one.since(cursor, second(2)).await.unwrap().0, [session("b", 200)]);
    // What is over is not told to whoever starts later.
    assert_eq!(one.since(0, second(101)).await.unwrap().0, [session("b", 200)]);
    assert_eq!(one.forget(second(101)).await.unwrap(), 1);
    // Who reads while many write misses none.
    let mut writers = JoinSet::new();
    for number in 0..40 {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let (store, id) = (Arc::clone(&replica.refresh_tokens), number.to_string());
        writers.spawn(async move { store.end(&id, second(300), second(5)).await.unwrap() });
    }
    let (mut cursor, mut seen) = (cursor + 1, Vec::new());
    loop {
        let written = writers.try_join_next().is_none() && writers.is_empty();
        let (new, next) = other.since(cursor, second(2)).await.unwrap();
        seen.extend(new.into_iter().map(|revocation| revocation.id));
        cursor = next;
        if written {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 40, "{seen:?}");
}

pub(super) async fn a_revocation_is_seen_by_the_other_replica_within_seconds(pair: &Pair) {
    let now = Micros::now();
    let begun = tokio::time::Instant::now();
    let waiting = async {
        while !pair.other.revoked.is_revoked(Revoked::Session, "a") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = pair.other.watch(tokio::sync::oneshot::channel().0) => {}
        () = async {
            pair.one.refresh_tokens.end("a", now.after(Duration::from_secs(600)), now).await.unwrap();
            waiting.await;
        } => {}
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(pair.other.revoked.complete_at().is_some());
}

pub(super) async fn audit_lines_stay(pair: &Pair) {
    let lines: Vec<_> = ["a", "b", "a"].iter().map(|target| line("account.update", target)).collect();
    for line in &lines {
        pair.one.audit.add(line).await.unwrap();
    }
    let newest: Vec<_> = lines.iter().rev().cloned().collect();
    assert_eq!(pair.other.audit.list(None, &FIRST).await.unwrap(), newest);
    let about_a =
        pair.other.audit.list(Some("a"), &Page { after: newest[0].id.clone(), limit: 5 }).await.unwrap();
    assert_eq!(about_a, [lines[0].clone()]);
}

pub(super) async fn who_starts_at_once_finds_one_schema(pair: &Pair) {
    // Nothing has been opened yet: both make the schema, and many times at once.
    let (one, other) = (&pair.one, &pair.other);
    let all = tokio::join!(one.ping(), other.ping(), one.ping(), other.ping(), other.accounts.counts());
    assert_eq!((all.0, all.1, all.2, all.3), (Ok(()), Ok(()), Ok(()), Ok(())));
    assert_eq!(all.4.unwrap().total, 0);
}
