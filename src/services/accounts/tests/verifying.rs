//! What the verifier says of the credentials that come of accounts.

use super::*;

/// After a restart, while the database is away: neither is what was revoked taken, nor is what is good called bad.
#[tokio::test]
async fn nothing_is_said_of_a_token_before_the_stores_have_been_read() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let other = world.login("alice@x.example", PASSWORD).await.unwrap();
    world
        .auth
        .logout(world.ok(By::Token(&other.access_token), LogoutRequest::default()).await)
        .await
        .unwrap();
    let list = Arc::new(RevocationList::default());
    let restarted = Verifier::new(vec![Issuer::own(Arc::clone(&world.keys), LIFETIME)], Vec::new())
        .with_revocations(Arc::clone(&list) as _);
    for token in [&made.access_token, &other.access_token] {
        // What was verified is remembered by now: it is not taken for that.
        for _ in 0..2 {
            let failed = verified(&restarted, token).await.unwrap_err();
            assert!(matches!(failed, Failed::Away(_)), "{failed:?}");
        }
    }
    list.read(&*world.directory.stores.revocations, Micros::now()).await.unwrap();
    assert!(verified(&restarted, &made.access_token).await.is_ok());
    assert_eq!(verified(&restarted, &other.access_token).await.unwrap_err(), revoked());
    // The same of its own keys.
    let without_keys = Verifier::new(vec![Issuer::own(Arc::default(), LIFETIME)], Vec::new());
    let failed = verified(&without_keys, &made.access_token).await.unwrap_err();
    assert!(matches!(failed, Failed::Away(_)), "{failed:?}");
}

/// Whoever else signs for an account's id, under whatever name, has no account here.
#[tokio::test]
async fn an_issuer_that_is_called_as_the_gateway_is_not_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let keys = KeySource::Here(KeySet::clone(&world.keys.load()));
    let stranger = Verifier::new(vec![Issuer { keys, ..Issuer::own(Arc::default(), LIFETIME) }], Vec::new());
    let caller = verified(&stranger, &made.access_token).await.unwrap();
    let request = || {
        let mut request = Request::new(DeleteAccountRequest {});
        request.extensions_mut().insert(Arc::clone(&caller));
        request
    };
    assert_eq!(*caller.id, *made.user.unwrap().id);
    assert_eq!(caller.counted_by().realm, OWN);
    let status = world.users.delete_account(request()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert!(world.me(By::Token(&made.access_token)).await.is_ok());
}

/// What is taken from an account is taken from its keys: at once here, and elsewhere as soon as it is heard of.
#[tokio::test]
async fn a_key_follows_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (world(folder.path(), Rules::default()), world(folder.path(), Rules::default()));
    let admin = here.admin().await;
    let admin = By::Token(&admin);
    let id = here.register("alice@x.example").await.user.unwrap().id;
    let asked = CreateApiKeyRequest { name: "ci".into(), user_id: id.clone(), ..Default::default() };
    let key = here.admin.create_api_key(here.ok(admin, asked).await).await.unwrap().into_inner().key;
    let roles = async |world: &World| {
        let request = world.call(By::Key(&key), ()).await?;
        let caller = Arc::clone(request.extensions().get::<Arc<crate::auth::Principal>>().unwrap());
        Ok::<_, Failed>(caller.roles.iter().map(|role| role.to_string()).collect::<Vec<_>>())
    };
    let hear = async || {
        let stores = &there.directory.stores;
        stores.revoked.read(&*stores.revocations, Micros::now()).await.unwrap();
    };
    let set = async |user: User, field: &str| {
        let mask = Some(prost_types::FieldMask { paths: vec![field.to_owned()] });
        let user = Some(User { id: id.clone(), ..user });
        let asked = UpdateUserRequest { user, update_mask: mask };
        here.admin.update_user(here.ok(admin, asked).await).await.unwrap();
    };
    for world in [&here, &there] {
        assert_eq!(roles(world).await.unwrap(), ["user"]);
    }
    // It has no session that could end.
    set(User { roles: vec!["guest".into()], ..User::default() }, "roles").await;
    assert_eq!(roles(&here).await.unwrap(), ["guest"]);
    hear().await;
    assert_eq!(roles(&there).await.unwrap(), ["guest"]);
    set(User::default(), "is_active").await;
    assert_eq!(roles(&here).await.unwrap_err(), Failed::Refused(Refused::Unknown));
    hear().await;
    assert_eq!(roles(&there).await.unwrap_err(), Failed::Refused(Refused::Unknown));
    set(User { is_active: true, ..User::default() }, "is_active").await;
    hear().await;
    for world in [&here, &there] {
        assert_eq!(roles(world).await.unwrap(), ["guest"]);
    }
    here.admin.delete_user(here.ok(admin, DeleteUserRequest { id: id.clone() }).await).await.unwrap();
    hear().await;
    for world in [&here, &there] {
        assert_eq!(roles(world).await.unwrap_err(), revoked());
    }
}
