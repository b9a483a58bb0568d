//! The account services over SQLite, with tokens that are issued and verified as in the gateway: what a caller is comes out
//! of its credentials alone.

use std::{path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use argon2::Params;
use http::HeaderMap;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use super::{Directory, FirstAdmin, Passwords, Rules, StoredKeys, Whose};
use crate::{
    auth::{
        Client, Failed, Issuer, KeySet, KeySource, Minter, OWN, Presented, Rate, Refused, SigningKey,
        Verifier,
    },
    proto::gateway_v1::{
        CreateApiKeyRequest, DeleteAccountRequest, DeleteUserRequest, GetAdminStatsRequest,
        GetCurrentUserRequest, GetProfileRequest, GetStatsRequest, ListApiKeysRequest, ListAuditLinesRequest,
        ListUsersRequest, LoginRequest, LoginResponse, LogoutRequest, RefreshRequest, RegisterRequest,
        RegisterResponse, ReloadRequest, RevokeApiKeyRequest, UpdateProfileRequest, UpdateUserRequest, User,
        admin_service_server::AdminService as _, auth_service_server::AuthService as _,
        user_service_server::UserService as _,
    },
    services::{
        admin::{Admin, tests::Nothing},
        auth::Auth,
        user::Users,
    },
    store::{AccountChange, DatabaseUrl, Micros, RevocationList, Settings, Stores},
};

const PASSWORD: &str = "Correct-Horse-7";

/// A directory over a new database in a folder.
pub(crate) fn directory(folder: &Path) -> Arc<Directory> {
    world(folder, Rules::default()).directory
}

struct World {
    directory: Arc<Directory>,
    auth: Auth,
    users: Users,
    admin: Admin,
    verifier: Verifier,
    keys: Arc<ArcSwap<KeySet>>,
}

fn world(folder: &Path, rules: Rules) -> World {
    let database = DatabaseUrl::parse(&format!("sqlite:{}", folder.join("p.db").display())).unwrap();
    let stores = Arc::new(Stores::new(&Settings { database, ..Settings::default() }).unwrap());
    let key = SigningKey::generate().unwrap();
    let minter = Arc::new(Minter::ed25519(rules.access_lifetime, key));
    let keys = Arc::new(ArcSwap::from_pointee(KeySet::new(vec![minter.verifies()])));
    let verifier = Verifier::new(vec![Issuer::own(Arc::clone(&keys))], Vec::new())
        .with_api_keys(Arc::new(StoredKeys(Arc::clone(&stores))))
        .with_revocations(Arc::clone(&stores.revoked) as _);
    // As cheap as it goes: what it costs is measured elsewhere.
    let passwords = Passwords::with(Params::new(8, 1, 1, None).unwrap(), 4).unwrap();
    let directory = Arc::new(Directory::new(stores, minter, passwords, rules));
    World {
        auth: Auth(Arc::clone(&directory)),
        users: Users(Arc::clone(&directory)),
        admin: Admin::new(Arc::new(Nothing), Arc::clone(&directory)),
        directory,
        verifier,
        keys,
    }
}

/// What a call brings along: a bearer token, an API key, or nothing.
#[derive(Clone, Copy)]
enum By<'a> {
    Nobody,
    Token(&'a str),
    Key(&'a str),
}

impl World {
    /// A request as it comes to a service: with the caller that the verifier finds, if it takes the credential.
    async fn call<T>(&self, by: By<'_>, message: T) -> Result<Request<T>, Failed> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Client::at("192.0.2.1".parse().unwrap()));
        request.metadata_mut().insert("x-request-id", "req-7".parse().unwrap());
        let mut headers = HeaderMap::new();
        match by {
            By::Nobody => return Ok(request),
            By::Token(token) => headers.insert("authorization", format!("Bearer {token}").parse().unwrap()),
            By::Key(key) => headers.insert("x-api-key", key.parse().unwrap()),
        };
        let presented = Presented::read(&headers).unwrap().unwrap();
        let stores = &self.directory.stores;
        if stores.revoked.complete_at().is_none() {
            stores.revoked.read(&*stores.revocations, Micros::now()).await.unwrap();
        }
        let now = crate::auth::now();
        let caller = match self.verifier.remembered(&presented, now) {
            Some(caller) => caller,
            None => self.verifier.verify(&presented, now).await?,
        };
        request.extensions_mut().insert(caller);
        Ok(request)
    }

    async fn ok<T>(&self, by: By<'_>, message: T) -> Request<T> {
        self.call(by, message).await.unwrap()
    }

    async fn register(&self, email: &str) -> RegisterResponse {
        let asked =
            RegisterRequest { email: email.into(), username: "somebody".into(), password: PASSWORD.into() };
        self.auth.register(self.ok(By::Nobody, asked).await).await.unwrap().into_inner()
    }

    async fn login(&self, email: &str, password: &str) -> Result<LoginResponse, Status> {
        let asked = LoginRequest { email: email.into(), password: password.into() };
        self.auth.login(self.ok(By::Nobody, asked).await).await.map(Response::into_inner)
    }

    async fn me(&self, by: By<'_>) -> Result<User, Failed> {
        let request = self.call(by, GetCurrentUserRequest {}).await?;
        Ok(self.auth.get_current_user(request).await.unwrap().into_inner().user.unwrap())
    }

    async fn refresh(&self, token: &str) -> Result<crate::proto::gateway_v1::RefreshResponse, Status> {
        let asked = RefreshRequest { refresh_token: token.into() };
        self.auth.refresh(self.ok(By::Nobody, asked).await).await.map(Response::into_inner)
    }

    /// An admin's token.
    async fn admin(&self) -> String {
        self.directory.first_admin("admin@x.example", Some(PASSWORD)).await.unwrap().unwrap();
        self.login("admin@x.example", PASSWORD).await.unwrap().access_token
    }
}

fn revoked() -> Failed {
    Failed::Refused(Refused::Revoked)
}

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

#[tokio::test]
async fn an_account_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let other = world.login("alice@x.example", PASSWORD).await.unwrap();
    let by = By::Token(&made.access_token);
    let update = async |change: UpdateProfileRequest| {
        world
            .users
            .update_profile(world.ok(by, change).await)
            .await
            .map(|user| user.into_inner().user.unwrap())
    };
    let change = UpdateProfileRequest {
        username: Some("Alice B.".into()),
        profile: [("city".to_owned(), "Paris".to_owned())].into(),
        ..UpdateProfileRequest::default()
    };
    let user = update(change).await.unwrap();
    assert_eq!(
        (user.username.as_str(), user.profile.get("city").map(String::as_str)),
        ("Alice B.", Some("Paris"))
    );
    // What was read before is not what is read now.
    let read =
        world.users.get_profile(world.ok(by, GetProfileRequest {}).await).await.unwrap().into_inner().user;
    assert_eq!(read, Some(user));
    // A new password wants the current one, and ends the other sessions.
    let new = |current: &str| UpdateProfileRequest {
        password: Some("Another-Horse-8".into()),
        current_password: current.into(),
        ..UpdateProfileRequest::default()
    };
    let status = update(new("wrong")).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "current_password");
    update(new(PASSWORD)).await.unwrap();
    assert_eq!(world.me(By::Token(&other.access_token)).await.unwrap_err(), revoked());
    assert!(world.me(by).await.is_ok());
    assert!(world.login("alice@x.example", PASSWORD).await.is_err());
    assert!(world.login("alice@x.example", "Another-Horse-8").await.is_ok());
    let stats = world.users.get_stats(world.ok(by, GetStatsRequest {}).await).await.unwrap().into_inner();
    assert_eq!((stats.logins, stats.api_keys, stats.tier.as_str()), (2, 0, "free"));
    assert!(stats.last_login_at.is_some() && stats.member_since.is_some());
    world.users.delete_account(world.ok(by, DeleteAccountRequest {}).await).await.unwrap();
    assert_eq!(world.me(by).await.unwrap_err(), revoked());
    assert!(world.login("alice@x.example", "Another-Horse-8").await.is_err());
    world.register("alice@x.example").await;
    let nobody = world.users.get_profile(world.ok(By::Nobody, GetProfileRequest {}).await).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}

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

/// What a verifier says of a token.
async fn verified(verifier: &Verifier, token: &str) -> Result<Arc<crate::auth::Principal>, Failed> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    verifier.verify(&Presented::read(&headers).unwrap().unwrap(), crate::auth::now()).await
}

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
    let restarted = Verifier::new(vec![Issuer::own(Arc::clone(&world.keys))], Vec::new())
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
    let without_keys = Verifier::new(vec![Issuer::own(Arc::default())], Vec::new());
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
    let stranger = Verifier::new(vec![Issuer { keys, ..Issuer::own(Arc::default()) }], Vec::new());
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
        accounts.update(&account.id, &change, None, Micros::now()).await.unwrap().unwrap()
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

/// A token of somebody else's may say of itself what it likes: it ends no session of this gateway's.
#[tokio::test]
async fn a_stranger_ends_no_session_at_its_logout() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(folder.path(), Rules::default());
    let made = world.register("alice@x.example").await;
    let keys = KeySource::Here(KeySet::clone(&world.keys.load()));
    let stranger = Verifier::new(vec![Issuer { keys, ..Issuer::own(Arc::default()) }], Vec::new());
    let caller = verified(&stranger, &made.access_token).await.unwrap();
    for refresh_token in ["", "ppr_unknown"] {
        let mut request = Request::new(LogoutRequest { refresh_token: refresh_token.into(), all: false });
        request.extensions_mut().insert(Arc::clone(&caller));
        let _ = world.auth.logout(request).await;
        assert!(world.me(By::Token(&made.access_token)).await.is_ok(), "{refresh_token:?}");
    }
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
