//! What an admin does, and who is the first.

use super::*;

#[tokio::test]
async fn an_admin_administers_and_leaves_traces() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let admin = world.admin().await;
    let admin = By::Token(&admin);
    let alice = world.register("alice@x.example").await;
    let id = alice.user.as_ref().unwrap().id.clone();
    let update = async |by: By<'_>, user: User, paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let asked =
            UpdateUserRequest { user: Some(user), update_mask: Some(prost_types::FieldMask { paths }) };
        world.admin.update_user(world.ok(by, asked).await).await.map(|user| user.into_inner().user.unwrap())
    };
    let wanted =
        User { id: id.clone(), roles: vec!["editor".into()], tier: "premium".into(), ..User::default() };
    // Not everybody may.
    let status = update(By::Token(&alice.access_token), wanted.clone(), &["roles"]).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "this needs the role admin"));
    let user = update(admin, wanted.clone(), &["roles", "tier"]).await.unwrap();
    assert_eq!(
        (user.roles, user.tier.as_str(), user.username.as_str()),
        (vec!["editor".to_owned()], "premium", "somebody")
    );
    // What the token said is over: the next one says it anew.
    assert_eq!(world.me(By::Token(&alice.access_token)).await.unwrap_err(), revoked());
    let again = world.login("alice@x.example", PASSWORD).await.unwrap();
    assert_eq!(world.me(By::Token(&again.access_token)).await.unwrap().roles, ["editor"]);
    // What is cleared is as in a new account.
    let cleared =
        update(admin, User { id: id.clone(), ..User::default() }, &["tier", "username"]).await.unwrap();
    assert_eq!((cleared.tier.as_str(), cleared.username.as_str()), ("free", "alice"));
    for (paths, field) in [(&["email"][..], "update_mask"), (&[], "user"), (&["tier"], "user.tier")] {
        let bad = User {
            id: id.clone(),
            tier: if field == "user.tier" { "a b" } else { "" }.into(),
            ..User::default()
        };
        let status = update(admin, bad, paths).await.unwrap_err();
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field, "{paths:?}");
    }
    let nobody = update(admin, User { id: "nobody".into(), ..wanted.clone() }, &["tier"]).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    // The last admin stays one.
    let own = world.me(admin).await.unwrap();
    let status = update(admin, User { roles: vec![], ..own.clone() }, &["roles"]).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    // A key for the account: what both may.
    let asked = CreateApiKeyRequest {
        name: "ci".into(),
        user_id: id.clone(),
        roles: vec!["editor".into(), "admin".into()],
        scopes: vec!["all".into()],
        expires_in_days: Some(30),
        ..CreateApiKeyRequest::default()
    };
    let made = world.admin.create_api_key(world.ok(admin, asked).await).await.unwrap().into_inner();
    let key = made.api_key.unwrap();
    assert!(made.key.starts_with(&key.prefix) && made.id == key.id && key.expires_at.is_some());
    let caller = world.ok(By::Key(&made.key), ()).await;
    let principal = caller.extensions().get::<Arc<crate::auth::Principal>>().unwrap();
    assert_eq!((&*principal.id, principal.roles.len(), &*principal.roles[0]), (&*id, 1, "editor"));
    // It acts for the account, but does not take it over.
    assert_eq!(world.me(By::Key(&made.key)).await.unwrap().id, id);
    let status = world
        .users
        .delete_account(world.ok(By::Key(&made.key), DeleteAccountRequest {}).await)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let listed = world
        .admin
        .list_api_keys(world.ok(admin, ListApiKeysRequest::default()).await)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.api_keys, std::slice::from_ref(&key));
    // A second time it ends nothing, and says so to nobody.
    for _ in 0..2 {
        let asked = RevokeApiKeyRequest { id: key.id.clone() };
        world.admin.revoke_api_key(world.ok(admin, asked).await).await.unwrap();
    }
    let asked = RevokeApiKeyRequest { id: "nothing".into() };
    let status = world.admin.revoke_api_key(world.ok(admin, asked).await).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let last = world.admin.delete_user(world.ok(admin, DeleteUserRequest { id: own.id.clone() }).await).await;
    assert_eq!(last.unwrap_err().code(), Code::FailedPrecondition);
    let last = world.users.delete_account(world.ok(admin, DeleteAccountRequest {}).await).await;
    assert_eq!(last.unwrap_err().code(), Code::FailedPrecondition);
    world.admin.reload(world.ok(admin, ReloadRequest {}).await).await.unwrap();
    assert_eq!(world.me(By::Key(&made.key)).await.unwrap_err(), revoked());
    let stats = world
        .admin
        .get_admin_stats(world.ok(admin, GetAdminStatsRequest {}).await)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((stats.users, stats.admins, stats.api_keys), (2, 1, 0));
    assert_eq!(stats.stores[0].status, "up");
    let users = world
        .admin
        .list_users(world.ok(admin, ListUsersRequest { page_size: 1, ..ListUsersRequest::default() }).await);
    let users = users.await.unwrap().into_inner();
    assert_eq!(
        (users.users[0].email.as_str(), users.next_page_token.as_str()),
        ("admin@x.example", &*own.id)
    );
    world.admin.delete_user(world.ok(admin, DeleteUserRequest { id: id.clone() }).await).await.unwrap();
    assert_eq!(world.me(By::Token(&again.access_token)).await.unwrap_err(), revoked());
    let lines = world
        .admin
        .list_audit_lines(world.ok(admin, ListAuditLinesRequest::default()).await)
        .await
        .unwrap()
        .into_inner();
    // What was refused has left none.
    let said: Vec<_> =
        lines.lines.iter().map(|line| format!("{} {}: {}", line.action, line.target, line.details)).collect();
    let key_said = format!("name \"ci\", roles \"admin editor\", for {id}");
    let want = [
        format!("user.delete {id}: alice@x.example"),
        "gateway.reload : nothing has changed".to_owned(),
        format!("key.revoke {}: {key_said}", key.id),
        format!("key.create {}: {key_said}", key.id),
        format!(
            "user.update {id}: alice@x.example; username: \"somebody\" → \"alice\"; tier: premium → free"
        ),
        format!("user.update {id}: alice@x.example; roles: user → editor; tier: free → premium"),
        format!("user.first_admin {}: admin@x.example", own.id),
    ];
    assert_eq!(said, want);
    let [.., last, first] = lines.lines.as_slice() else { panic!() };
    assert_eq!((&*first.actor, &*first.address), ("gateway", ""));
    assert_eq!(
        (&*last.actor, &*last.target, &*last.request_id, &*last.address),
        (&*own.id, &*id, "req-7", "192.0.2.1")
    );
    assert!(lines.lines.iter().all(|line| !format!("{line:?}").contains(&made.key)));
}

#[tokio::test]
async fn two_replicas_that_start_make_one_admin() {
    let folder = tempfile::tempdir().unwrap();
    let worlds: Vec<_> = (0..4).map(|_| world(folder.path(), Rules::default())).collect();
    let starts = worlds.iter().map(|world| world.directory.first_admin("admin@localhost", None));
    let made: Vec<FirstAdmin> =
        futures_util::future::join_all(starts).await.into_iter().filter_map(Result::unwrap).collect();
    let [admin] = made.as_slice() else { panic!("{} were made", made.len()) };
    let password = admin.password.as_deref().unwrap();
    assert!(password.len() >= 20);
    assert!(worlds[0].login("admin@localhost", password).await.unwrap().user.unwrap().is_admin);
    let wrong = worlds[0].directory.first_admin("nope", Some("short")).await.unwrap_err().to_string();
    assert!(wrong.starts_with("ADMIN_EMAIL: ") && wrong.contains("; ADMIN_PASSWORD: "), "{wrong}");
}
