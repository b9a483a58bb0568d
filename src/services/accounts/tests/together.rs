//! What is done to an account, what ends with it and the line about it are one act: where the last cannot be written,
//! nothing has happened.

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::*;

/// Runs SQL beside the gateway's own stores.
async fn beside(folder: &Path, sql: &str) {
    let mut connection =
        SqliteConnection::connect(&format!("sqlite:{}", folder.join("p.db").display())).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

/// Without the counter that they are numbered by, no revocation can be written.
async fn break_revocations(folder: &Path) {
    beside(folder, "DELETE FROM locks WHERE name = 'revocations'").await;
}

async fn mend_revocations(folder: &Path) {
    beside(folder, "INSERT INTO locks (name, value) VALUES ('revocations', 1000)").await;
}

#[tokio::test]
async fn what_cannot_be_revoked_leaves_the_account_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let admin_token = world.admin().await;
    let admin = By::Token(&admin_token);
    let alice = world.register("alice@x.example").await;
    let id = alice.user.as_ref().unwrap().id.clone();
    let by = By::Token(&alice.access_token);
    let asked = CreateApiKeyRequest { name: "ci".into(), user_id: id.clone(), ..Default::default() };
    let key = world.admin.create_api_key(world.ok(admin, asked).await).await.unwrap().into_inner();
    let spare = world.login("alice@x.example", PASSWORD).await.unwrap();
    let shown = world.refresh(&spare.refresh_token).await.unwrap();
    let state = async || {
        let lines = ListAuditLinesRequest::default();
        let lines = world.admin.list_audit_lines(world.ok(admin, lines).await).await.unwrap();
        let keys = ListApiKeysRequest::default();
        let keys = world.admin.list_api_keys(world.ok(admin, keys).await).await.unwrap();
        let stores = &world.directory.stores;
        let account = stores.accounts.get(&id).await.unwrap();
        let (hash, sessions) = (
            stores.accounts.password(&id).await.unwrap(),
            stores.refresh_tokens.count_live(Micros::now()).await.unwrap(),
        );
        let revoked = stores.revocations.since(0, Micros::now()).await.unwrap();
        (account, hash, sessions, revoked, keys.into_inner(), lines.into_inner())
    };
    let before = state().await;
    let set = async |user: User, field: &str| {
        let mask = Some(prost_types::FieldMask { paths: vec![field.to_owned()] });
        let user = Some(User { id: id.clone(), ..user });
        let asked = UpdateUserRequest { user, update_mask: mask };
        world.admin.update_user(world.ok(admin, asked).await).await.map(drop)
    };
    let password = || UpdateProfileRequest {
        password: Some("Another-Horse-8".into()),
        current_password: PASSWORD.into(),
        ..UpdateProfileRequest::default()
    };
    let acts = async || {
        let roles = User { roles: vec!["editor".into()], ..User::default() };
        let (revoke, delete) =
            (RevokeApiKeyRequest { id: key.id.clone() }, DeleteUserRequest { id: id.clone() });
        let logout = |all| LogoutRequest { all, ..LogoutRequest::default() };
        [
            set(roles, "roles").await,
            set(User::default(), "is_active").await,
            world.admin.revoke_api_key(world.ok(admin, revoke).await).await.map(drop),
            world.admin.delete_user(world.ok(admin, delete).await).await.map(drop),
            world.users.update_profile(world.ok(by, password()).await).await.map(drop),
            world.users.delete_account(world.ok(by, DeleteAccountRequest {}).await).await.map(drop),
            world.auth.logout(world.ok(by, logout(false)).await).await.map(drop),
            world.auth.logout(world.ok(by, logout(true)).await).await.map(drop),
            // It was used before: its session would end.
            world.refresh(&spare.refresh_token).await.map(drop),
            world
                .directory
                .reset_password(Whose::Email("alice@x.example"), None, true)
                .await
                .map(drop)
                .map_err(|error| Status::internal(error.to_string())),
        ]
    };
    break_revocations(folder.path()).await;
    for (number, done) in acts().await.into_iter().enumerate() {
        assert_eq!(done.unwrap_err().code(), Code::Internal, "act {number}");
        assert_eq!(state().await, before, "act {number}");
    }
    // Nor does this process know of an end that there was not.
    assert_eq!(world.me(by).await.unwrap().roles, ["user"]);
    assert_eq!(world.me(By::Key(&key.key)).await.unwrap().id, id);
    assert!(world.me(By::Token(&shown.access_token)).await.is_ok());
    assert!(world.login("alice@x.example", "Another-Horse-8").await.is_err());
    mend_revocations(folder.path()).await;
    assert!(world.login("alice@x.example", PASSWORD).await.is_ok());
    // The first of them now does what it says.
    set(User { roles: vec!["editor".into()], ..User::default() }, "roles").await.unwrap();
    assert_eq!(world.me(by).await.unwrap_err(), revoked());
}

#[tokio::test]
async fn an_account_becomes_the_first_admin_with_the_end_of_its_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let squatter = world.register("admin@x.example").await;
    break_revocations(folder.path()).await;
    let failed = world.directory.first_admin("admin@x.example", Some("Another-Horse-8")).await;
    assert!(failed.is_err());
    assert!(!world.me(By::Token(&squatter.access_token)).await.unwrap().is_admin);
    assert!(world.login("admin@x.example", "Another-Horse-8").await.is_err());
    mend_revocations(folder.path()).await;
    world.directory.first_admin("admin@x.example", Some("Another-Horse-8")).await.unwrap().unwrap();
    assert_eq!(world.me(By::Token(&squatter.access_token)).await.unwrap_err(), revoked());
    assert!(world.login("admin@x.example", "Another-Horse-8").await.unwrap().user.unwrap().is_admin);
}
