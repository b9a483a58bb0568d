//! `AdminService`'s part about accounts and API keys: what an admin does to those of others. Each change leaves an audit
//! line, in the same transaction.

use std::collections::BTreeMap;

use tonic::{Request, Status};

use super::accounts::{
    Caller, Context, Directory, EMAIL_PART, MOST_DAYS, MOST_OF_A_PAGE, Violations, count, name, user,
    what_changed, words,
};
use crate::{
    auth::ApiKey as NewKey,
    proto::gateway_v1::{
        ApiKey, AuditLine, CreateApiKeyRequest, CreateApiKeyResponse, DeleteUserRequest, DeleteUserResponse,
        GetAdminStatsRequest, GetAdminStatsResponse, ListApiKeysRequest, ListApiKeysResponse,
        ListAuditLinesRequest, ListAuditLinesResponse, ListUsersRequest, ListUsersResponse,
        RevokeApiKeyRequest, RevokeApiKeyResponse, StoreStatus, UpdateUserRequest, UpdateUserResponse, User,
    },
    status::Fault,
    store::{self, Account, AccountChange, AccountFilter, Digest, Micros, Page, State, StoreHealth},
};

/// What `update_mask` may name.
const FIELDS: [&str; 5] = ["username", "roles", "permissions", "tier", "is_active"];
/// How many characters of a key are kept to know it again by.
const SHOWN: usize = 12;

impl Directory {
    pub(super) async fn admin_stats(
        &self,
        request: &Request<GetAdminStatsRequest>,
    ) -> Result<GetAdminStatsResponse, Status> {
        Caller::admin(request)?;
        let now = Micros::now();
        let (accounts, sessions, keys) = tokio::try_join!(
            self.stores.accounts.counts(),
            self.stores.refresh_tokens.count_live(now),
            self.stores.api_keys.count_usable(now),
        )?;
        let by_tier: BTreeMap<_, _> =
            accounts.by_tier.into_iter().map(|(tier, number)| (tier, count(number))).collect();
        Ok(GetAdminStatsResponse {
            users: count(accounts.total),
            active_users: count(accounts.active),
            admins: count(accounts.admins),
            users_by_tier: by_tier,
            sessions: count(sessions),
            api_keys: count(keys),
            stores: self.stores.health().into_iter().map(status).collect(),
            traffic: None,
            galaxy: None,
        })
    }

    pub(super) async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<ListApiKeysResponse, Status> {
        Caller::admin(&request)?;
        let asked = request.into_inner();
        let page = page(asked.page_size, asked.page_token)?;
        let owner = Some(asked.user_id.as_str()).filter(|id| !id.is_empty());
        let keys = self.stores.api_keys.list(owner, &page).await?;
        let next_page_token = next(&page, keys.len(), keys.last().map(|key| &key.id));
        Ok(ListApiKeysResponse { api_keys: keys.iter().map(shown).collect(), next_page_token })
    }

    pub(super) async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<CreateApiKeyResponse, Status> {
        let caller = Caller::admin(&request)?;
        let context = Context::of(&request);
        let asked = request.into_inner();
        let mut wrong = Violations::default();
        let name = wrong.check("name", name(&asked.name)).unwrap_or_default();
        let roles = wrong.check("roles", words(&asked.roles)).unwrap_or_default();
        let permissions = wrong.check("permissions", words(&asked.permissions)).unwrap_or_default();
        let scopes = wrong.check("scopes", words(&asked.scopes)).unwrap_or_default();
        let tier = wrong.check("tier", tier(&asked.tier)).unwrap_or_default();
        let expires_at = wrong.check("expires_in_days", expiry(asked.expires_in_days)).flatten();
        wrong.none()?;
        let owner = match asked.user_id {
            nobody if nobody.is_empty() => None,
            id => {
                let id = known_id(id, "account")?;
                if self.stores.accounts.get(&id).await?.is_none() {
                    return Err(missing("account", &id));
                }
                Some(id)
            }
        };
        let made = NewKey::generate().map_err(Status::internal)?;
        let key = store::ApiKey {
            id: uuid::Uuid::now_v7().to_string(),
            name,
            prefix: made.text.chars().take(SHOWN).collect(),
            tier: if tier.is_empty() && owner.is_none() { self.rules.tier.clone() } else { tier },
            owner,
            roles,
            permissions,
            scopes,
            created_at: Micros::now(),
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let line = context.line(&caller, "key.create", &key.id, described(&key));
        self.stores.api_keys.create(&key, &Digest(made.digest), Some(&line)).await?;
        Ok(CreateApiKeyResponse { id: key.id.clone(), key: made.text, api_key: Some(shown(&key)) })
    }

    pub(super) async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<RevokeApiKeyResponse, Status> {
        let caller = Caller::admin(&request)?;
        let context = Context::of(&request);
        let id = known_id(request.into_inner().id, "API key")?;
        let known = self.stores.api_keys.get(&id).await?.ok_or_else(|| missing("API key", &id))?;
        let line = context.line(&caller, "key.revoke", &id, described(&known));
        let now = Micros::now();
        let ended = self.stores.api_keys.revoke(&id, self.until(now), Some(&line), now).await?;
        let (key, revoked) = ended.ok_or_else(|| missing("API key", &id))?;
        self.stores.revoked.insert(&revoked);
        Ok(RevokeApiKeyResponse { api_key: Some(shown(&key)) })
    }

    pub(super) async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<ListUsersResponse, Status> {
        Caller::admin(&request)?;
        let asked = request.into_inner();
        let page = page(asked.page_size, asked.page_token)?;
        let email = Some(asked.email).filter(|part| !part.is_empty());
        let mut wrong = Violations::default();
        if email.as_ref().is_some_and(|part| part.chars().count() > EMAIL_PART || part.contains('\0')) {
            wrong.check::<()>("email", Err("no e-mail address contains this".to_owned()));
        }
        wrong.none()?;
        let filter = AccountFilter { email, active: asked.is_active };
        let accounts = self.stores.accounts.list(&filter, &page).await?;
        let next_page_token = next(&page, accounts.len(), accounts.last().map(|account| &account.id));
        Ok(ListUsersResponse { users: accounts.iter().map(user).collect(), next_page_token })
    }

    pub(super) async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<UpdateUserResponse, Status> {
        let caller = Caller::admin(&request)?;
        let context = Context::of(&request);
        let asked = request.into_inner();
        let wanted = asked.user.unwrap_or_default();
        let id = known_id(wanted.id.clone(), "account")?;
        let mut change = change(&wanted, asked.update_mask.map(|mask| mask.paths))?;
        // What is named and empty is cleared: it is again as in an account that somebody has just made.
        if change.tier.as_ref().is_some_and(String::is_empty) {
            change.tier = Some(self.rules.tier.clone());
        }
        if change.username.as_ref().is_some_and(String::is_empty) {
            let account = self.stores.accounts.get(&id).await?.ok_or_else(|| missing("account", &id))?;
            change.username = account.email.split('@').next().map(str::to_owned);
        }
        let note = |before: &Account| {
            context.line(&caller, "user.update", &before.id, what_changed(before, &change))
        };
        let AccountChange { roles, permissions, tier, .. } = &change;
        // What its tokens say of it is true no more.
        let ends = change.active == Some(false) || roles.is_some() || permissions.is_some() || tier.is_some();
        let changed = self.change(&id, &change, ends.then_some(""), Some(&note)).await?;
        let changed = changed.ok_or_else(|| missing("account", &id))?;
        Ok(UpdateUserResponse { user: Some(user(&changed.account)) })
    }

    pub(super) async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<DeleteUserResponse, Status> {
        let caller = Caller::admin(&request)?;
        let context = Context::of(&request);
        let id = known_id(request.into_inner().id, "account")?;
        let note = |gone: &Account| context.line(&caller, "user.delete", &gone.id, gone.email.clone());
        if !self.delete(&id, &note).await? {
            return Err(missing("account", &id));
        }
        Ok(DeleteUserResponse {})
    }

    pub(super) async fn list_audit_lines(
        &self,
        request: Request<ListAuditLinesRequest>,
    ) -> Result<ListAuditLinesResponse, Status> {
        Caller::admin(&request)?;
        let asked = request.into_inner();
        let page = page(asked.page_size, asked.page_token)?;
        let target = Some(asked.target).filter(|target| !target.is_empty());
        if target.as_ref().is_some_and(|target| target.contains('\0')) {
            return Err(missing("target", "\\0"));
        }
        let lines = self.stores.audit.list(target.as_deref(), &page).await?;
        let next_page_token = next(&page, lines.len(), lines.last().map(|line| &line.id));
        let lines = lines.into_iter().map(|line| AuditLine {
            id: line.id,
            at: Some(line.at.into()),
            actor: line.actor,
            action: line.action,
            target: line.target,
            request_id: line.request_id,
            address: line.address,
            details: line.details,
        });
        Ok(ListAuditLinesResponse { lines: lines.collect(), next_page_token })
    }
}

/// What a mask takes of a user; without one, what the user has.
fn change(wanted: &User, mask: Option<Vec<String>>) -> Result<AccountChange, Status> {
    let mut wrong = Violations::default();
    let mask = mask.filter(|paths| !paths.is_empty());
    let named = match &mask {
        Some(paths) if paths.iter().any(|path| path == "*") => FIELDS.to_vec(),
        Some(paths) => paths.iter().map(String::as_str).collect(),
        None => {
            let has = [
                !wanted.username.is_empty(),
                !wanted.roles.is_empty(),
                !wanted.permissions.is_empty(),
                !wanted.tier.is_empty(),
                wanted.is_active,
            ];
            FIELDS.into_iter().zip(has).filter(|(_, has)| *has).map(|(field, _)| field).collect()
        }
    };
    let mut change = AccountChange::default();
    for field in &named {
        match *field {
            "username" if wanted.username.is_empty() => change.username = Some(String::new()),
            "username" => change.username = wrong.check("user.username", name(&wanted.username)),
            "roles" => change.roles = wrong.check("user.roles", words(&wanted.roles)),
            "permissions" => change.permissions = wrong.check("user.permissions", words(&wanted.permissions)),
            "tier" => change.tier = wrong.check("user.tier", tier(&wanted.tier)),
            "is_active" => change.active = Some(wanted.is_active),
            // It says which account is meant.
            "id" => {}
            other => {
                let why = format!("{other:?} cannot be changed; {} can", FIELDS.join(", "));
                wrong.check::<()>("update_mask", Err(why));
            }
        }
    }
    if named.iter().all(|field| *field == "id") {
        let why = format!("nothing is to be changed; {} can be", FIELDS.join(", "));
        wrong.check::<()>("user", Err(why));
    }
    wrong.none()?;
    Ok(change)
}

/// A key in words, without the key.
fn described(key: &store::ApiKey) -> String {
    let owner = key.owner.as_deref().unwrap_or("nobody");
    format!("name {:?}, roles {:?}, for {owner}", key.name, key.roles.join(" "))
}

/// A tier's name, or nothing.
fn tier(text: &str) -> Result<String, String> {
    if !text.is_empty() {
        words(&[text.to_owned()])?;
    }
    Ok(text.to_owned())
}

fn expiry(days: Option<i32>) -> Result<Option<Micros>, String> {
    match days {
        None => Ok(None),
        Some(days) if (1..=MOST_DAYS).contains(&days) => {
            let seconds = u64::from(days.unsigned_abs()) * 24 * 60 * 60;
            Ok(Some(Micros::now().after(std::time::Duration::from_secs(seconds))))
        }
        Some(days) => Err(format!("{days} is not 1 to {MOST_DAYS}")),
    }
}

/// An id that can be one; what cannot is of nothing.
fn known_id(id: String, what: &str) -> Result<String, Status> {
    let fits = !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(id) } else { Err(missing(what, &id.chars().take(64).collect::<String>())) }
}

fn missing(what: &str, id: &str) -> Status {
    Fault::client().on(Status::not_found(format!("there is no {what} {id:?}")))
}

fn page(size: i32, token: String) -> Result<Page, Status> {
    let mut wrong = Violations::default();
    let limit = match size {
        0 => Ok(100),
        1..=MOST_OF_A_PAGE => Ok(size.unsigned_abs()),
        other => Err(format!("{other} is not 1 to {MOST_OF_A_PAGE}")),
    };
    let limit = wrong.check("page_size", limit).unwrap_or_default();
    if token.len() > 64 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        wrong.check::<()>("page_token", Err("it is of no answer of this gateway".to_owned()));
    }
    wrong.none()?;
    Ok(Page { after: token, limit })
}

/// The token for the page after one; nothing where it was not full.
fn next(page: &Page, found: usize, last: Option<&String>) -> String {
    let full = u32::try_from(found).is_ok_and(|found| found >= page.limit);
    last.filter(|_| full).cloned().unwrap_or_default()
}

fn shown(key: &store::ApiKey) -> ApiKey {
    ApiKey {
        id: key.id.clone(),
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        user_id: key.owner.clone().unwrap_or_default(),
        roles: key.roles.clone(),
        permissions: key.permissions.clone(),
        scopes: key.scopes.clone(),
        tier: key.tier.clone(),
        created_at: Some(key.created_at.into()),
        expires_at: key.expires_at.map(Into::into),
        revoked_at: key.revoked_at.map(Into::into),
        last_used_at: key.last_used_at.map(Into::into),
    }
}

fn status(health: StoreHealth) -> StoreStatus {
    let (status, since, error) = match health.state {
        State::Unknown => ("unknown", None, String::new()),
        State::Up { since } => ("up", Some(since.into()), String::new()),
        State::Down { since, error } => ("down", Some(since.into()), error),
    };
    StoreStatus {
        name: health.store.to_owned(),
        address: health.address,
        status: status.to_owned(),
        since,
        error,
    }
}
