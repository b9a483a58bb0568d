//! `AuthService`: register, login, refresh, logout, me. `POST /api/v1/auth/{register,login,refresh,logout}` and
//! `GET /api/v1/auth/me` over REST. It reveals no account but to whoever registers.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::accounts::{Caller, Context, Directory, Violations, email, name, private};
use crate::{
    auth::email_key,
    proto::gateway_v1::{
        GetCurrentUserRequest, GetCurrentUserResponse, LoginRequest, LoginResponse, LogoutRequest,
        LogoutResponse, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse, User,
        auth_service_server::AuthService,
    },
    status::Fault,
    store::{Micros, NewAccount},
};

const BEARER: &str = "bearer";

/// Answers for a directory.
#[derive(Debug)]
pub struct Auth(pub Arc<Directory>);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let directory = &self.0;
        if !directory.rules.registration {
            let status = Status::permission_denied("accounts are made by the operator alone");
            return Err(Fault::client().on(status));
        }
        let context = Context::of(&request);
        let asked = request.into_inner();
        let mut wrong = Violations::default();
        let email = wrong.check("email", email(&asked.email));
        let username = wrong.check("username", name(&asked.username));
        let known = email.as_deref().unwrap_or_default();
        let password = wrong.check("password", super::accounts::new_password(&asked.password, known));
        wrong.none()?;
        let (Some(email), Some(username), Some(password)) = (email, username, password) else {
            return Err(Status::internal("what was checked is there"));
        };
        directory.may_register(&context).await?;
        let new = NewAccount {
            id: uuid::Uuid::now_v7().to_string(),
            email_key: email_key(&email),
            email,
            username,
            password: directory.passwords.hash(password).await?,
            roles: directory.rules.roles.clone(),
            permissions: Vec::new(),
            tier: directory.rules.tier.clone(),
        };
        let account = directory.stores.accounts.create(&new, Micros::now()).await?;
        let gone =
            || Fault::client().on(Status::aborted("the account was changed while it was made; log in"));
        let session = directory.begin(&account, &new.password, false).await?.ok_or_else(gone)?;
        directory.has_logged_in(&context, &new.email_key).await;
        Ok(private(RegisterResponse {
            user: Some(session.user),
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            token_type: BEARER.to_owned(),
            expires_in: session.expires_in,
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let directory = &self.0;
        let context = Context::of(&request);
        let asked = request.into_inner();
        // Whoever's password is changed while it is looked at is looked at again, once.
        for _ in 0..2 {
            let Some((account, hash)) = directory.recognise(&context, &asked.email, &asked.password).await?
            else {
                break;
            };
            let Some(session) = directory.begin(&account, &hash, true).await? else { continue };
            directory.changed(&account.id).await;
            directory.has_logged_in(&context, &email_key(&account.email)).await;
            return Ok(private(LoginResponse {
                user: Some(session.user),
                access_token: session.access_token,
                refresh_token: session.refresh_token,
                token_type: BEARER.to_owned(),
                expires_in: session.expires_in,
            }));
        }
        Err(Fault::client().on(Status::unauthenticated("Incorrect email or password")))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let directory = &self.0;
        directory.may_refresh(&Context::of(&request)).await?;
        let session = directory.go_on(&request.into_inner().refresh_token).await?;
        Ok(private(RefreshResponse {
            user: Some(session.user),
            access_token: session.access_token,
            refresh_token: session.refresh_token,
            token_type: BEARER.to_owned(),
            expires_in: session.expires_in,
        }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        let directory = &self.0;
        let (caller, context) = (Caller::of(&request), Context::of(&request));
        let asked = request.into_inner();
        if asked.all {
            directory.end_all(caller?.in_person()?).await?;
        } else if !asked.refresh_token.is_empty() {
            directory.may_refresh(&context).await?;
            directory.end_of(&asked.refresh_token).await?;
            // Whose own token comes along ends that too. What others' tokens call a session is none of this gateway's.
            if let Ok(caller) = caller
                && caller.account_id().is_some()
                && let Some(session) = &caller.0.session
            {
                directory.end(session).await?;
            }
        } else {
            let caller = caller?;
            let Some(session) = caller.0.session.as_ref().filter(|_| caller.account_id().is_some()) else {
                let status =
                    Status::not_found("the caller's credential is of no session that could be ended");
                return Err(Fault::client().on(status));
            };
            directory.end(session).await?;
        }
        Ok(private(LogoutResponse {}))
    }

    async fn get_current_user(
        &self,
        request: Request<GetCurrentUserRequest>,
    ) -> Result<Response<GetCurrentUserResponse>, Status> {
        let caller = Caller::of(&request)?;
        let known = match caller.account_id() {
            Some(id) => self.0.user(id).await?,
            None => None,
        };
        let user = known.unwrap_or_else(|| described(&caller));
        Ok(private(GetCurrentUserResponse { user: Some(user) }))
    }
}

/// A caller who has no account here, as its credential describes it.
fn described(caller: &Caller) -> User {
    let texts = |list: &[Arc<str>]| list.iter().map(|text| text.to_string()).collect();
    let principal = &caller.0;
    User {
        id: principal.id.to_string(),
        email: principal.email.as_deref().unwrap_or_default().to_owned(),
        roles: texts(&principal.roles),
        permissions: texts(&principal.permissions),
        tier: principal.tier.as_deref().unwrap_or_default().to_owned(),
        is_active: true,
        is_admin: principal.has_role(crate::store::ADMIN),
        ..User::default()
    }
}
