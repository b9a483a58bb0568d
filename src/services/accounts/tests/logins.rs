//! Who tries to log in or to register: what is said, and how often.

use super::*;

#[tokio::test]
async fn a_login_says_nothing_of_who_has_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { logins_by_address: Rate::of_seconds(1000, 60, 0), ..Rules::default() };
    let world = world(folder.path(), rules);
    world.register("alice@x.example").await;
    let mut off = world.register("off@x.example").await.user.unwrap();
    let admin = world.admin().await;
    off.is_active = false;
    let mask = Some(prost_types::FieldMask { paths: vec!["is_active".into()] });
    let change = UpdateUserRequest { user: Some(off), update_mask: mask };
    world.admin.update_user(world.ok(By::Token(&admin), change).await).await.unwrap();
    let long = "x".repeat(1 << 20);
    for (email, password) in [
        ("alice@x.example", "wrong-password"),
        ("nobody@x.example", "wrong-password"),
        ("nobody@x.example", PASSWORD),
        ("off@x.example", PASSWORD),
        ("off@x.example", "wrong"),
        ("not an e-mail", PASSWORD),
        ("", ""),
        ("alice@x.example\0", PASSWORD),
        ("alice@x.example", &long),
        (&long, PASSWORD),
        ("' OR 1=1 --", "' OR 1=1 --"),
    ] {
        let status = world.login(email, password).await.unwrap_err();
        let said = (status.code(), status.message());
        assert_eq!(said, (Code::Unauthenticated, "Incorrect email or password"), "{:.40}", email);
        assert!(status.details().is_empty() && status.metadata().is_empty());
    }
    // The limit of an account is the same for one that is not there.
    for email in ["alice@x.example", "ghost@x.example"] {
        let mut refused = None;
        for _ in 0..12 {
            refused = world
                .login(email, "wrong-password")
                .await
                .err()
                .filter(|s| s.code() == Code::ResourceExhausted);
        }
        let status = refused.unwrap();
        assert!(status.message().starts_with("too many attempts; try again in "), "{}", status.message());
        assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    }
    // Refresh tokens: unknown, malformed, huge.
    let mut said = Vec::new();
    for token in ["", "ppr_nothing", "x", &long] {
        let status = world.refresh(token).await.unwrap_err();
        said.push((status.code(), status.message().to_owned()));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn logins_are_limited_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { logins_by_address: Rate::of_seconds(3, 60, 0), ..Rules::default() };
    let world = world(folder.path(), rules);
    let mut codes = Vec::new();
    for number in 0..5 {
        codes.push(world.login(&format!("user{number}@x.example"), "wrong").await.unwrap_err().code());
    }
    use Code::{ResourceExhausted, Unauthenticated};
    assert_eq!(
        codes,
        [Unauthenticated, Unauthenticated, Unauthenticated, ResourceExhausted, ResourceExhausted]
    );
}

#[tokio::test]
async fn strangers_do_not_keep_out_the_owner() {
    let folder = tempfile::tempdir().unwrap();
    let rules = Rules { logins_by_address: Rate::of_seconds(1000, 60, 0), ..Rules::default() };
    let world = world(folder.path(), rules);
    world.register("alice@x.example").await;
    let from = async |address: String, password: &str| {
        let mut request =
            Request::new(LoginRequest { email: "alice@x.example".into(), password: password.into() });
        request.extensions_mut().insert(Client::at(address.parse().unwrap()));
        world.auth.login(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    let (home, abroad) = (|| "192.0.2.1".to_owned(), || "192.0.2.2".to_owned());
    assert_eq!(from(home(), PASSWORD).await, Code::Ok);
    // Ten from one address, and no more; from others it goes on, until they are too many in all.
    let mut refused = 0;
    for number in 0..120 {
        let code = from(format!("198.51.100.{}", number / 11), "wrong").await;
        let last = number % 11 == 10;
        refused += i32::from(code == Code::ResourceExhausted);
        if number < 99 {
            assert_eq!(code, if last { Code::ResourceExhausted } else { Code::Unauthenticated }, "{number}");
        }
    }
    assert!(refused > 15, "{refused}");
    assert_eq!(from(abroad(), PASSWORD).await, Code::ResourceExhausted);
    // Where she has logged in from before only her own mistakes count, and only those since then.
    for round in 0..3 {
        for _ in 0..9 {
            assert_eq!(from(home(), "wrong").await, Code::Unauthenticated, "{round}");
        }
        assert_eq!(from(home(), PASSWORD).await, Code::Ok, "{round}");
    }
    for _ in 0..10 {
        from(home(), "wrong").await;
    }
    assert_eq!(from(home(), PASSWORD).await, Code::ResourceExhausted);
    // An operator's reset lets her in from everywhere.
    let whose = Whose::Email("alice@x.example");
    world.directory.reset_password(whose, Some("Another-Horse-8"), false).await.unwrap();
    for address in [home(), abroad()] {
        assert_eq!(from(address, "Another-Horse-8").await, Code::Ok);
    }
}

#[tokio::test]
async fn registering_says_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let fields = async |email: &str, username: &str, password: &str| -> Vec<String> {
        let asked =
            RegisterRequest { email: email.into(), username: username.into(), password: password.into() };
        let status = world.auth.register(world.ok(By::Nobody, asked).await).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status
            .get_details_bad_request()
            .unwrap()
            .field_violations
            .into_iter()
            .map(|wrong| wrong.field)
            .collect()
    };
    let long = "x".repeat(1 << 20);
    assert_eq!(fields("nope", "", "short").await, ["email", "username", "password"]);
    assert_eq!(fields("a@x.example", "alice", "password123").await, ["password"]);
    assert_eq!(fields(&long, &long, &long).await, ["email", "username", "password"]);
    assert_eq!(fields("a\0@x.example", "a\0", "abcdefg\0h").await, ["email", "username", "password"]);
    world.register("alice@x.example").await;
    for spelling in ["ALICE@x.example", " alice@X.EXAMPLE ", "ａlice@x.example"] {
        let asked =
            RegisterRequest { email: spelling.into(), username: "b".into(), password: PASSWORD.into() };
        let status = world.auth.register(world.ok(By::Nobody, asked).await).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists, "{spelling}: {status:?}");
    }
    let closed = self::world(folder.path(), Rules { registration: false, ..Rules::default() });
    let asked =
        RegisterRequest { email: "b@x.example".into(), username: "b".into(), password: PASSWORD.into() };
    let status = closed.auth.register(closed.ok(By::Nobody, asked).await).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}
