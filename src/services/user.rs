//! `UserService`: a caller's own account. `GET` and `PUT /api/v1/users/profile`, `GET /api/v1/users/stats` and
//! `DELETE /api/v1/users/account` over REST.

use std::{collections::BTreeMap, sync::Arc};

use tonic::{Request, Response, Status};

use super::accounts::{
    Caller, Context, Directory, ENTRIES, ENTRY_NAME, ENTRY_VALUE, Violations, count, name, new_password,
    private, user,
};
use crate::{
    proto::gateway_v1::{
        DeleteAccountRequest, DeleteAccountResponse, GetProfileRequest, GetProfileResponse, GetStatsRequest,
        GetStatsResponse, UpdateProfileRequest, UpdateProfileResponse, user_service_server::UserService,
    },
    store::{Account, AccountChange, Micros, Note, Page},
};

/// Answers for a directory.
#[derive(Debug)]
pub struct Users(pub Arc<Directory>);

#[tonic::async_trait]
impl UserService for Users {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<GetProfileResponse>, Status> {
        let caller = Caller::of(&request)?;
        let user = self.0.user(caller.account()?).await?;
        let user = user.ok_or_else(|| Status::not_found("the account is gone"))?;
        Ok(private(GetProfileResponse { user: Some(user) }))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        let (directory, caller) = (&self.0, Caller::of(&request)?);
        let context = Context::of(&request);
        let asked = request.into_inner();
        if asked.password.is_some() {
            caller.in_person()?;
        }
        let account = directory.own_account(&caller).await?;
        let mut wrong = Violations::default();
        let username = asked.username.as_deref().and_then(|text| wrong.check("username", name(text)));
        let profile = wrong.check("profile", merged(&account.profile, &asked.profile));
        let password = asked.password.as_deref();
        let password = password.and_then(|text| wrong.check("password", new_password(text, &account.email)));
        wrong.none()?;
        let password = match password {
            None => None,
            Some(new) => {
                let hash = directory.stores.accounts.password(&account.id).await?;
                let key = crate::auth::email_key(&account.email);
                directory.may_log_in(&context, &key, hash.as_ref()).await?;
                if !directory.passwords.verify(&asked.current_password, hash.as_ref()).await? {
                    let mut wrong = Violations::default();
                    let why = "it is not the current password".to_owned();
                    wrong.check::<()>("current_password", Err(why));
                    wrong.none()?;
                }
                Some(directory.passwords.hash(new).await?)
            }
        };
        let new_password = password.is_some();
        let change = AccountChange {
            username,
            profile: profile.filter(|_| !asked.profile.is_empty()),
            password,
            ..AccountChange::default()
        };
        let note = |before: &Account| {
            context.line(&caller, "user.password", &before.id, format!("{}, its own", before.email))
        };
        let audit = new_password.then_some(&note as Note<'_>);
        // Another password ends the other sessions.
        let ends = new_password.then(|| caller.0.session.as_deref().unwrap_or_default());
        let changed = directory.change(&account.id, &change, ends, audit).await?;
        let changed = changed.ok_or_else(|| Status::not_found("the account is gone"))?;
        Ok(private(UpdateProfileResponse { user: Some(user(&changed.account)) }))
    }

    async fn get_stats(
        &self,
        request: Request<GetStatsRequest>,
    ) -> Result<Response<GetStatsResponse>, Status> {
        let directory = &self.0;
        let account = directory.own_account(&Caller::of(&request)?).await?;
        let page = Page { after: String::new(), limit: 1000 };
        let keys = directory.stores.api_keys.list(Some(&account.id), &page).await?;
        let now = Micros::now();
        let usable = keys.iter().filter(|key| key.usable(now)).count();
        Ok(private(GetStatsResponse {
            logins: count(account.logins),
            last_login_at: account.last_login_at.map(Into::into),
            member_since: Some(account.created_at.into()),
            api_keys: i32::try_from(usable).unwrap_or(i32::MAX),
            tier: account.tier,
        }))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        let (directory, caller) = (&self.0, Caller::of(&request)?);
        let id = caller.in_person()?;
        let context = Context::of(&request);
        let note = |gone: &Account| {
            context.line(&caller, "user.delete", &gone.id, format!("{}, its own account", gone.email))
        };
        if !directory.delete(id, &note).await? {
            return Err(Status::not_found("the account is gone"));
        }
        Ok(private(DeleteAccountResponse {}))
    }
}

/// A profile with some entries set; one that is set to nothing is removed.
fn merged(
    old: &BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut new = old.clone();
    for (name, value) in set {
        if name.is_empty() || name.chars().count() > ENTRY_NAME || name.chars().any(char::is_control) {
            let shown: String = name.chars().take(ENTRY_NAME).collect();
            return Err(format!("{shown:?} is not 1 to {ENTRY_NAME} characters without control characters"));
        }
        if value.chars().count() > ENTRY_VALUE || value.contains('\0') {
            return Err(format!("the value of {name:?} has more than {ENTRY_VALUE} characters, or a NUL"));
        }
        if value.is_empty() {
            new.remove(name);
        } else {
            new.insert(name.clone(), value.clone());
        }
    }
    if new.len() > ENTRIES {
        return Err(format!("it would have {} entries; at most {ENTRIES} are kept", new.len()));
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_changed_entry_by_entry() {
        let map = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let old = map(&[("a", "1"), ("b", "2")]);
        assert_eq!(merged(&old, &map(&[("b", ""), ("c", "3")])), Ok(map(&[("a", "1"), ("c", "3")])));
        for bad in [("", "x"), ("a\0", "x"), (&*"n".repeat(65), "x"), ("a", "\0"), ("a", &*"v".repeat(1025))]
        {
            assert!(merged(&old, &map(&[bad])).is_err(), "{bad:?}");
        }
        let many: BTreeMap<_, _> = (0..51).map(|n| (n.to_string(), "x".to_owned())).collect();
        assert!(merged(&old, &many).unwrap_err().contains("53 entries"));
    }
}
