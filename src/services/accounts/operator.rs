//! What an operator may do to accounts without an account: the first admin at the first start, and a new password for
//! somebody who has lost theirs.

use std::fmt;

use super::{
    Directory, Violations,
    audit::{changed, without_a_call},
    caller::OPERATOR,
    check, password,
    session::random_text,
};
use crate::{
    auth::email_key,
    schema::did_you_mean,
    store::{
        ADMIN, Account, AccountChange, AccountFilter, AuditLine, Changed, Conflict, Ending, Micros,
        NewAccount, Page, Revoked, StoreError,
    },
};

/// How many random bytes a password has that is made up.
const RANDOM: usize = 18;
/// Of how many accounts the names are looked at, for one that is mistyped.
const MOST_LOOKED_AT: u32 = 10_000;
/// How many admins are named where several could be meant.
const MOST_NAMED: usize = 5;

/// An admin that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstAdmin {
    pub email: String,
    /// The password that was made up: it is shown once, and kept nowhere.
    pub password: Option<String>,
}

/// Whose password is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Of the account with this e-mail address.
    Email(&'a str),
    /// Of the one active admin that there is.
    TheAdmin,
}

/// What came of a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// As it is now.
    pub account: Account,
    /// The password that was made up: it is shown once, and kept nowhere.
    pub password: Option<String>,
    /// How many sessions it ended.
    pub sessions: usize,
}

/// Why nothing was done for an operator.
#[derive(Debug)]
pub enum OperatorError {
    /// What the operator gave will not do, or nobody is meant by it; in words.
    Invalid(String),
    Store(StoreError),
    Broken(String),
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(words) | Self::Broken(words) => f.write_str(words),
            Self::Store(StoreError::Away { store, why, .. }) => {
                write!(f, "the {store} cannot be reached: {why}")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OperatorError {}

impl From<StoreError> for OperatorError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is wrong with the e-mail address and the password of an admin that is to be made, each in words.
#[must_use]
pub fn check_admin(email: &str, password: Option<&str>) -> (Option<String>, Option<String>) {
    let known = check::email(email);
    let for_email = known.as_deref().unwrap_or_default();
    let password = password.and_then(|password| password::check(password, for_email).err());
    (known.err(), password)
}

impl Directory {
    /// Makes an admin where there is none, of any number of replicas that start at once by one of them. Without a password
    /// one is made up; the answer is what to show, once.
    ///
    /// # Errors
    /// The e-mail or the password will not do (in words), or the database is away.
    pub async fn first_admin(
        &self,
        email: &str,
        password: Option<&str>,
    ) -> Result<Option<FirstAdmin>, OperatorError> {
        let mut wrong = Violations::default();
        let email = wrong.check("ADMIN_EMAIL", check::email(email)).unwrap_or_default();
        let given = password.is_some();
        let password = match password {
            Some(password) => {
                wrong.check("ADMIN_PASSWORD", password::check(password, &email)).unwrap_or_default()
            }
            None => random_text(RANDOM).map_err(OperatorError::Broken)?,
        };
        if let Some(words) = wrong.words() {
            return Err(OperatorError::Invalid(words));
        }
        // Hashing costs, and there is an admin nearly always.
        if self.stores.accounts.counts().await?.admins > 0 {
            return Ok(None);
        }
        let new = NewAccount {
            id: uuid::Uuid::now_v7().to_string(),
            email_key: email_key(&email),
            email: email.clone(),
            username: "admin".to_owned(),
            password: self.hash(password.clone()).await?,
            roles: vec![ADMIN.to_owned()],
            permissions: Vec::new(),
            tier: self.rules.tier.clone(),
        };
        let note = |made: &Account| {
            let there =
                if made.id == new.id { "" } else { "; the account was there before, with another password" };
            without_a_call(AuditLine::GATEWAY, "user.first_admin", &made.id, format!("{}{there}", made.email))
        };
        let now = Micros::now();
        // Whoever had an account with this e-mail before is not the admin.
        let ending = Ending { but: "", until: self.until(now) };
        let Some(made) = self.stores.accounts.create_first_admin(&new, ending, &note, now).await? else {
            return Ok(None);
        };
        self.stores.revoked.insert_all(&made.revoked);
        Ok(Some(FirstAdmin { email, password: (!given).then_some(password) }))
    }

    /// Sets another password for an account, made up where none is given, and ends all its sessions. `make_admin`: it is an
    /// active admin from now on.
    ///
    /// # Errors
    /// Nobody is meant, or several could be; the password will not do; the database is away. Nothing has changed then.
    pub async fn reset_password(
        &self,
        whose: Whose<'_>,
        password: Option<&str>,
        make_admin: bool,
    ) -> Result<Reset, OperatorError> {
        let account = match whose {
            Whose::Email(email) => self.by_email(email).await?,
            Whose::TheAdmin => self.the_admin().await?,
        };
        let given = password.is_some();
        let password = match password {
            Some(password) => password::check(password, &account.email)
                .map_err(|why| OperatorError::Invalid(format!("the password will not do: {why}")))?,
            None => random_text(RANDOM).map_err(OperatorError::Broken)?,
        };
        let mut roles = account.roles.clone();
        roles.push(ADMIN.to_owned());
        let change = AccountChange {
            password: Some(self.hash(password.clone()).await?),
            roles: make_admin.then_some(roles),
            active: make_admin.then_some(true),
            ..AccountChange::default()
        };
        let note = |before: &Account| {
            let details = format!("{}; the password is reset", changed(before, &change));
            without_a_call(OPERATOR, "user.password", &before.id, details)
        };
        let gone = || OperatorError::Invalid("the account is gone".to_owned());
        let changed = self.change(&account.id, &change, Some(""), Some(&note)).await?;
        let Changed { account, revoked } = changed.ok_or_else(gone)?;
        let sessions = revoked.iter().filter(|revocation| revocation.kind == Revoked::Session).count();
        Ok(Reset { account, password: (!given).then_some(password), sessions })
    }

    async fn hash(&self, password: String) -> Result<crate::store::PasswordHash, OperatorError> {
        let hashed = self.passwords.hash(password).await;
        hashed.map_err(|status| OperatorError::Broken(status.message().to_owned()))
    }

    async fn by_email(&self, email: &str) -> Result<Account, OperatorError> {
        let key = email_key(email);
        // What no database would take for text has no account.
        let found = if key.contains('\0') { None } else { self.stores.accounts.by_email(&key).await? };
        if let Some((account, _)) = found {
            return Ok(account);
        }
        let page = Page { after: String::new(), limit: MOST_LOOKED_AT };
        let accounts = self.stores.accounts.list(&AccountFilter::default(), &page).await?;
        let near = did_you_mean(&key, accounts.iter().map(|account| account.email.as_str()));
        Err(OperatorError::Invalid(format!("there is no account with the e-mail address {email:?}{near}")))
    }

    async fn the_admin(&self) -> Result<Account, OperatorError> {
        let page = Page { after: String::new(), limit: MOST_LOOKED_AT };
        let filter = AccountFilter { active: Some(true), ..AccountFilter::default() };
        let mut admins = self.stores.accounts.list(&filter, &page).await?;
        admins.retain(Account::is_admin);
        if admins.len() > 1 {
            let mut named: Vec<_> =
                admins.iter().take(MOST_NAMED).map(|admin| admin.email.as_str()).collect();
            if admins.len() > MOST_NAMED {
                named.push("…");
            }
            let named = named.join(", ");
            return Err(OperatorError::Invalid(format!("there are several admins: {named}; say which one")));
        }
        admins.pop().ok_or_else(|| {
            OperatorError::Invalid("there is no active admin; say whose account it is".to_owned())
        })
    }
}

impl OperatorError {
    /// True where what the operator gave is wrong, and not the machine.
    #[must_use]
    pub fn is_of_the_operator(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_) | Self::Store(StoreError::Conflict(Conflict::EmailTaken | Conflict::LastAdmin))
        )
    }
}
