//! Sessions, from their beginning to their end, however it comes.

use super::*;

#[tokio::test]
async fn a_session_from_its_begin_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("Alice@Example.com").await;
    let user = made.user.unwrap();
    assert_eq!(
        (user.email.as_str(), user.roles.as_slice(), user.tier.as_str()),
        ("Alice@Example.com", &["user".to_owned()][..], "free")
    );
    assert!(user.is_active && !user.is_admin && uuid::Uuid::parse_str(&user.id).is_ok());
    assert_eq!((made.token_type.as_str(), made.expires_in), ("bearer", 900));
    assert_eq!(world.me(By::Token(&made.access_token)).await.unwrap(), user);
    // Another login is a session of its own.
    let other = world.login("ALICE@example.com", PASSWORD).await.unwrap();
    let first = world.login("alice@example.com", PASSWORD).await.unwrap();
    let second = world.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(world.me(By::Token(&second.access_token)).await.unwrap().id, user.id);
    // The old one again: the family ends, with every token that came of it, and no other.
    assert_eq!(world.refresh(&first.refresh_token).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.refresh(&second.refresh_token).await.unwrap_err().code(), Code::Unauthenticated);
    for token in [&first.access_token, &second.access_token] {
        assert_eq!(world.me(By::Token(token)).await.unwrap_err(), revoked());
    }
    assert_eq!(world.me(By::Token(&other.access_token)).await.unwrap().id, user.id);
    // Logout ends the session of the token, and its refresh token.
    let request = world.ok(By::Token(&other.access_token), LogoutRequest::default()).await;
    world.auth.logout(request).await.unwrap();
    assert_eq!(world.me(By::Token(&other.access_token)).await.unwrap_err(), revoked());
    assert_eq!(world.refresh(&other.refresh_token).await.unwrap_err().code(), Code::Unauthenticated);
    // By a refresh token alone; and all that are left.
    let (one, two) = (
        world.login("alice@example.com", PASSWORD).await.unwrap(),
        world.login("alice@example.com", PASSWORD).await.unwrap(),
    );
    let by_refresh = LogoutRequest { refresh_token: one.refresh_token, all: false };
    world.auth.logout(world.ok(By::Nobody, by_refresh).await).await.unwrap();
    assert_eq!(world.me(By::Token(&one.access_token)).await.unwrap_err(), revoked());
    let all = LogoutRequest { all: true, ..LogoutRequest::default() };
    world.auth.logout(world.ok(By::Token(&two.access_token), all).await).await.unwrap();
    for token in [&two.access_token, &made.access_token] {
        assert_eq!(world.me(By::Token(token)).await.unwrap_err(), revoked());
    }
    // And at once a new one is good.
    let again = world.login("alice@example.com", PASSWORD).await.unwrap();
    assert_eq!(world.me(By::Token(&again.access_token)).await.unwrap().id, user.id);
    assert_eq!(
        world.auth.logout(world.ok(By::Nobody, LogoutRequest::default()).await).await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

/// Logins with the old password while it is changed: none of their tokens is good afterwards.
#[tokio::test]
async fn no_login_outlives_the_change_of_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let plenty = || Rate::of_seconds(1000, 60, 0);
    let rules =
        Rules { logins_by_address: plenty(), logins_by_account_and_address: plenty(), ..Rules::default() };
    let world = world(folder.path(), rules);
    let alice = world.register("alice@x.example").await;
    let change = UpdateProfileRequest {
        password: Some("Another-Horse-8".into()),
        current_password: PASSWORD.into(),
        ..UpdateProfileRequest::default()
    };
    let request = world.ok(By::Token(&alice.access_token), change).await;
    let logins = (0..12).map(|_| world.login("alice@x.example", PASSWORD));
    let (logins, changed) =
        tokio::join!(futures_util::future::join_all(logins), world.users.update_profile(request));
    changed.unwrap();
    for login in logins.into_iter().flatten() {
        assert_eq!(world.me(By::Token(&login.access_token)).await.unwrap_err(), revoked());
        assert!(world.refresh(&login.refresh_token).await.is_err());
    }
    // One that has looked at the password before the change, and goes on after it.
    let accounts = &world.directory.stores.accounts;
    let (account, hash) = accounts.by_email("alice@x.example").await.unwrap().unwrap();
    let set = async |change: AccountChange| {
        accounts.update(&account.id, &change, None, None, Micros::now()).await.unwrap().unwrap()
    };
    set(AccountChange { roles: Some(Vec::new()), ..AccountChange::default() }).await;
    let session = world.directory.begin(&account, &hash, true).await.unwrap().unwrap();
    let caller = verified(&world.verifier, &session.access_token).await.unwrap();
    assert!(caller.roles.is_empty() && session.user.roles.is_empty(), "{caller:?}");
    set(AccountChange { active: Some(false), ..AccountChange::default() }).await;
    assert!(world.directory.begin(&account, &hash, true).await.unwrap().is_none());
    assert!(world.refresh(&session.refresh_token).await.is_err());
}

/// A replica whose clock is ahead issues tokens that seem to be younger than their revocation.
#[tokio::test]
async fn no_clock_has_a_say_in_what_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    world.me(By::Token(&made.access_token)).await.unwrap();
    let ahead = async |token: &str| {
        let caller = verified(&world.verifier, token).await.unwrap();
        world.directory.tokens.issue(&caller, Micros::now().after(Duration::from_secs(50))).unwrap().text
    };
    let other = world.login("alice@x.example", PASSWORD).await.unwrap();
    let (young, others) = (ahead(&made.access_token).await, ahead(&other.access_token).await);
    assert!(world.me(By::Token(&young)).await.is_ok());
    world.auth.logout(world.ok(By::Token(&young), LogoutRequest::default()).await).await.unwrap();
    for token in [&young, &made.access_token] {
        assert_eq!(world.me(By::Token(token)).await.unwrap_err(), revoked());
    }
    assert!(world.me(By::Token(&others)).await.is_ok());
    world.users.delete_account(world.ok(By::Token(&others), DeleteAccountRequest {}).await).await.unwrap();
    assert_eq!(world.me(By::Token(&others)).await.unwrap_err(), revoked());
}

/// A token of somebody else's may say of itself what it likes: it ends no session of this gateway's.
#[tokio::test]
async fn a_stranger_ends_no_session_at_its_logout() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let keys = KeySource::Here(KeySet::clone(&world.keys.load()));
    let stranger = Verifier::new(vec![Issuer { keys, ..Issuer::own(Arc::default(), LIFETIME) }], Vec::new());
    let caller = verified(&stranger, &made.access_token).await.unwrap();
    for refresh_token in ["", "ppr_unknown"] {
        let mut request = Request::new(LogoutRequest { refresh_token: refresh_token.into(), all: false });
        request.extensions_mut().insert(Arc::clone(&caller));
        let _ = world.auth.logout(request).await;
        assert!(world.me(By::Token(&made.access_token)).await.is_ok(), "{refresh_token:?}");
    }
}
