//! The account services over SQLite, with tokens that are issued and verified as in the gateway: what a caller is comes out
//! of its credentials alone.

mod admin;
mod logins;
mod owner;
mod sessions;
mod together;
mod verifying;

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
/// How long the tokens of [`Rules::default`] are good for.
const LIFETIME: Duration = Duration::from_secs(900);

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
    let own = Issuer::own(Arc::clone(&keys), rules.access_lifetime);
    let verifier = Verifier::new(vec![own], Vec::new())
        .with_api_keys(Arc::new(StoredKeys(Arc::clone(&stores))))
        .with_revocations(Arc::clone(&stores.revoked) as _);
    // As cheap as it goes: what it costs is measured elsewhere.
    let passwords = Passwords::with(Params::new(8, 1, 1, None).unwrap(), 4).unwrap();
    let directory = Arc::new(Directory::new(stores, minter, passwords, rules));
    World {
        auth: Auth(Arc::clone(&directory)),
        users: Users(Arc::clone(&directory)),
        admin: Admin::new(Arc::new(Nothing), Arc::clone(&directory), crate::services::Numbers::default()),
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

/// What a verifier says of a token.
async fn verified(verifier: &Verifier, token: &str) -> Result<Arc<crate::auth::Principal>, Failed> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    verifier.verify(&Presented::read(&headers).unwrap().unwrap(), crate::auth::now()).await
}
