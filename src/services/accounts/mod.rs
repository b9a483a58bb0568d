//! What the account services share: the stores, the tokens, the passwords, and the rules between them. `auth`, `user` and
//! `admin_accounts` speak for it; nothing here knows a message but the user's.

mod attempts;
mod audit;
mod caller;
mod check;
mod forms;
mod keys;
mod operator;
mod password;
mod present;
mod session;
#[cfg(test)]
pub(crate) mod tests;

use std::{fmt, sync::Arc, time::Duration};

use prost::Message as _;
use tonic::Status;

pub(super) use self::{
    audit::changed as what_changed,
    caller::{Caller, Context},
    check::{
        EMAIL_PART, ENTRIES, ENTRY_NAME, ENTRY_VALUE, MOST_DAYS, MOST_OF_A_PAGE, Violations, email, name,
        words,
    },
    password::check as new_password,
    present::{count, private, user},
    session::{principal, random_text},
};
pub use self::{
    forms::form,
    keys::StoredKeys,
    operator::{FirstAdmin, OperatorError, Reset, Whose, check_admin},
    password::Passwords,
    session::{AccessToken, Tokens},
};
use crate::{
    auth::Rate,
    proto::gateway_v1::User,
    store::{Account, AccountChange, Changed, Ending, Micros, Note, StoreError, Stores},
};

/// How long what is known of an account is kept beside the database: as long as others may go on seeing what a replica
/// without a shared cache has changed.
const CACHED: Duration = Duration::from_secs(2);

/// The rules for accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// False: accounts are made by nobody but the operator.
    pub registration: bool,
    /// What a new account has.
    pub roles: Vec<String>,
    pub tier: String,
    /// How long an access token is good for; what is revoked is remembered as long.
    pub access_lifetime: Duration,
    /// How long a refresh token is good for.
    pub refresh_lifetime: Duration,
    /// Attempts to log in: at one account from one address, since it last logged in from there; at one account from all
    /// addresses that it has not logged in from; and from one address at all accounts.
    pub logins_by_account_and_address: Rate,
    pub logins_by_account: Rate,
    pub logins_by_address: Rate,
    /// Accounts made from one address.
    pub registrations: Rate,
    /// Refresh tokens shown from one address.
    pub refreshes: Rate,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            registration: true,
            roles: vec!["user".to_owned()],
            tier: "free".to_owned(),
            access_lifetime: Duration::from_secs(15 * 60),
            refresh_lifetime: Duration::from_secs(30 * 24 * 60 * 60),
            logins_by_account_and_address: Rate::of_seconds(10, 300, 0),
            logins_by_account: Rate::of_seconds(100, 300, 0),
            logins_by_address: Rate::of_seconds(30, 60, 30),
            registrations: Rate::of_seconds(20, 3600, 10),
            refreshes: Rate::of_seconds(120, 60, 60),
        }
    }
}

/// The accounts of this gateway.
pub struct Directory {
    pub(super) stores: Arc<Stores>,
    pub(super) tokens: Arc<dyn Tokens>,
    pub(super) passwords: Passwords,
    pub(super) rules: Rules,
    /// False: nothing is kept, and no file is made for it.
    keeps: bool,
}

impl Directory {
    #[must_use]
    pub fn new(stores: Arc<Stores>, tokens: Arc<dyn Tokens>, passwords: Passwords, rules: Rules) -> Self {
        Self { stores, tokens, passwords, rules, keeps: true }
    }

    /// The same where no accounts are kept: its audit lines are in the log alone.
    #[must_use]
    pub fn unused(self) -> Self {
        Self { keeps: false, ..self }
    }

    /// An account, as it was known a moment ago at the most.
    pub(super) async fn user(&self, id: &str) -> Result<Option<User>, Status> {
        let key = cache_key(id);
        // A cache that is away costs a look-up.
        if let Ok(Some(bytes)) = self.stores.cache.get(&key).await
            && let Ok(known) = User::decode(bytes)
        {
            return Ok(Some(known));
        }
        let Some(account) = self.stores.accounts.get(id).await? else { return Ok(None) };
        let user = user(&account);
        let _ = self.stores.cache.set(&key, user.encode_to_vec().into(), CACHED).await;
        Ok(Some(user))
    }

    /// Forgets what was known of an account that has changed.
    pub(super) async fn changed(&self, id: &str) {
        // Where the cache is away, what it has is over soon.
        let _ = self.stores.cache.delete(&cache_key(id)).await;
    }

    /// Until when what is revoked now is remembered.
    pub(super) fn until(&self, now: Micros) -> Micros {
        // No token is good for longer, whatever lifetime it was issued with. A replica's clock may be a little behind, and a
        // token be good for a little longer than it says.
        now.after(self.rules.access_lifetime).after(Duration::from_secs(300))
    }

    /// Changes an account, and whatever ends with it in the same step; the sessions but one (none is called "") where `ends`.
    /// It is so here at once, and elsewhere within seconds. `None` where there is no such account.
    ///
    /// # Errors
    /// The store's own: nothing has changed then.
    pub(super) async fn change(
        &self,
        id: &str,
        change: &AccountChange,
        ends: Option<&str>,
        audit: Option<Note<'_>>,
    ) -> Result<Option<Changed>, StoreError> {
        let now = Micros::now();
        let ending = ends.map(|but| Ending { but, until: self.until(now) });
        let changed = self.stores.accounts.update(id, change, ending, audit, now).await?;
        self.changed(id).await;
        if let Some(changed) = &changed {
            self.stores.revoked.insert_all(&changed.revoked);
        }
        Ok(changed)
    }

    /// Deletes an account with all that is of it; false where there is none.
    ///
    /// # Errors
    /// The store's own: it is still there then.
    pub(super) async fn delete(&self, id: &str, audit: Note<'_>) -> Result<bool, StoreError> {
        let now = Micros::now();
        let revoked = self.stores.accounts.delete(id, self.until(now), Some(audit), now).await?;
        let Some(revoked) = revoked else { return Ok(false) };
        self.changed(id).await;
        self.stores.revoked.insert(&revoked);
        Ok(true)
    }

    /// The account of a caller who has one here.
    pub(super) async fn own_account(&self, caller: &Caller) -> Result<Account, Status> {
        let gone = || Status::not_found("the account is gone");
        self.stores.accounts.get(caller.account()?).await?.ok_or_else(gone)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn cache_key(id: &str) -> String {
    format!("propylon:user:{id}")
}
