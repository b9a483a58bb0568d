//! Accounts in SQL.

use tonic::async_trait;

use super::{
    Database, Row, Work, args,
    audit::add,
    refresh_tokens::end_all,
    revocations::insert as revoke,
    row::{text, words},
};
use crate::store::{
    ADMIN, Account, AccountChange, AccountCounts, AccountFilter, Accounts, Changed, Conflict, Ending, Micros,
    NewAccount, Note, Page, PasswordHash, Revocation, Revoked, StoreError,
};

macro_rules! columns {
    () => {
        "id, email, username, roles, permissions, tier, active, profile, created_at, updated_at, last_login_at, \
         logins, password"
    };
}

#[async_trait]
impl Accounts for Database {
    async fn create(&self, new: &NewAccount, now: Micros) -> Result<Account, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            let account = insert(&mut work, new, now).await?;
            work.commit().await?;
            account.ok_or(StoreError::Conflict(Conflict::EmailTaken))
        })
        .await
    }

    async fn create_first_admin(
        &self,
        new: &NewAccount,
        ending: Ending<'_>,
        audit: Note<'_>,
        now: Micros,
    ) -> Result<Option<Changed>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            work.lock("admins").await?;
            if work.row("SELECT id FROM accounts WHERE admin LIMIT 1", args![]).await?.is_some() {
                return Ok(None);
            }
            let (account, ended) = match insert(&mut work, new, now).await? {
                Some(made) => (made, Vec::new()),
                None => {
                    let account = promote(&mut work, new, now).await?;
                    let ended = end_all(&mut work, &account.id, ending, now).await?;
                    (account, ended)
                }
            };
            let line = audit(&account);
            add(&mut work, &line).await?;
            revoke(&mut work, &ended).await?;
            work.commit().await?;
            line.log();
            Ok(Some(Changed { account, revoked: ended }))
        })
        .await
    }

    async fn get(&self, id: &str) -> Result<Option<Account>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1");
        self.run(async { self.row(sql, args![id]).await?.as_ref().map(account).transpose() }).await
    }

    async fn by_email(&self, key: &str) -> Result<Option<(Account, PasswordHash)>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM accounts WHERE email_key = $1");
        self.run(async {
            let row = self.row(sql, args![key]).await?;
            row.map(|row| Ok((account(&row)?, PasswordHash(row.text("password")?)))).transpose()
        })
        .await
    }

    async fn password(&self, id: &str) -> Result<Option<PasswordHash>, StoreError> {
        self.run(async {
            let row = self.row("SELECT password FROM accounts WHERE id = $1", args![id]).await?;
            row.map(|row| row.text("password").map(PasswordHash)).transpose()
        })
        .await
    }

    async fn update(
        &self,
        id: &str,
        change: &AccountChange,
        ending: Option<Ending<'_>>,
        audit: Option<Note<'_>>,
        now: Micros,
    ) -> Result<Option<Changed>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            // Whoever may take away an admin must not do so at the same time as another, and what is noted as having been
            // must not change in between.
            let guarded = change.roles.is_some() || change.active.is_some() || audit.is_some();
            let was_admin = guarded && lock_admin(&mut work, id).await?;
            let line = match audit {
                Some(note) => found(&mut work, id).await?.map(|before| note(&before)),
                None => None,
            };
            let Some(account) = update(&mut work, id, change, now).await? else { return Ok(None) };
            if was_admin {
                keep_an_admin(&mut work).await?;
            }
            if let Some(line) = &line {
                add(&mut work, line).await?;
            }
            let revoked = match ending {
                Some(ending) => end_all(&mut work, id, ending, now).await?,
                None => Vec::new(),
            };
            revoke(&mut work, &revoked).await?;
            work.commit().await?;
            line.inspect(|line| line.log());
            Ok(Some(Changed { account, revoked }))
        })
        .await
    }

    async fn rehash(&self, id: &str, old: &PasswordHash, new: &PasswordHash) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET password = $3 WHERE id = $1 AND password = $2";
        self.run(self.write(sql, args![id, &old.0, &new.0])).await.map(drop)
    }

    async fn delete(
        &self,
        id: &str,
        until: Micros,
        audit: Option<Note<'_>>,
        now: Micros,
    ) -> Result<Option<Revocation>, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            let was_admin = lock_admin(&mut work, id).await?;
            // Its API keys and refresh tokens go with it: the schema says so.
            let sql = concat!("DELETE FROM accounts WHERE id = $1 RETURNING ", columns!());
            let Some(row) = work.row(sql, args![id]).await? else { return Ok(None) };
            if was_admin {
                keep_an_admin(&mut work).await?;
            }
            let line = audit.map(|note| account(&row).map(|account| note(&account))).transpose()?;
            if let Some(line) = &line {
                add(&mut work, line).await?;
            }
            let revoked =
                Revocation { kind: Revoked::Account, id: id.to_owned(), at: now, expires_at: until };
            revoke(&mut work, std::slice::from_ref(&revoked)).await?;
            work.commit().await?;
            line.inspect(|line| line.log());
            Ok(Some(revoked))
        })
        .await
    }

    async fn list(&self, filter: &AccountFilter, page: &Page) -> Result<Vec<Account>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM accounts WHERE id > $1 AND email_key LIKE $2 ESCAPE '!'
              AND active = COALESCE($3, active) ORDER BY id LIMIT $4"
        );
        let email = filter.email.as_deref().map(crate::auth::email_key).unwrap_or_default();
        let escaped = email.replace('!', "!!").replace('%', "!%").replace('_', "!_");
        let args = args![&page.after, format!("%{escaped}%"), filter.active, i64::from(page.limit)];
        self.run(async { self.rows(sql, args).await?.iter().map(account).collect() }).await
    }

    async fn counts(&self) -> Result<AccountCounts, StoreError> {
        let sql = "SELECT tier, COUNT(*) AS total, COUNT(CASE WHEN active THEN 1 END) AS active,
                   COUNT(CASE WHEN admin THEN 1 END) AS admins FROM accounts GROUP BY tier";
        self.run(async {
            let mut counts = AccountCounts::default();
            for row in self.rows(sql, args![]).await? {
                let total = row.int("total")?;
                counts.total += total;
                counts.active += row.int("active")?;
                counts.admins += row.int("admins")?;
                counts.by_tier.insert(row.text("tier")?, total);
            }
            Ok(counts)
        })
        .await
    }
}

/// An account as a transaction finds it.
async fn found(work: &mut Work, id: &str) -> Result<Option<Account>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1");
    work.row(sql, args![id]).await?.as_ref().map(account).transpose()
}

/// The account that somebody enters, if it is active and has the password that was shown, with the login noted.
/// Nobody else changes it until the transaction ends.
pub(super) async fn enter(
    work: &mut Work,
    id: &str,
    password: &PasswordHash,
    login: bool,
    now: Micros,
) -> Result<Option<Account>, StoreError> {
    let sql = concat!(
        "UPDATE accounts SET logins = logins + $3, last_login_at = COALESCE($4, last_login_at)
         WHERE id = $1 AND password = $2 AND active RETURNING ",
        columns!()
    );
    let args = args![id, &password.0, i64::from(login), login.then_some(now)];
    work.row(sql, args).await?.as_ref().map(account).transpose()
}

/// An account that nobody changes until the transaction ends.
pub(super) async fn hold(work: &mut Work, id: &str) -> Result<Option<Account>, StoreError> {
    let sql = match work {
        // It has one writer.
        Work::Sqlite(_) => concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1"),
        Work::Postgres(_) => concat!("SELECT ", columns!(), " FROM accounts WHERE id = $1 FOR SHARE"),
    };
    work.row(sql, args![id]).await?.as_ref().map(account).transpose()
}

/// Makes an account, unless its e-mail is taken.
async fn insert(work: &mut Work, new: &NewAccount, now: Micros) -> Result<Option<Account>, StoreError> {
    let sql = concat!(
        "INSERT INTO accounts (id, email, email_key, username, password, roles, permissions, admin, tier, active,
          profile, created_at, updated_at, logins)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, TRUE, '{}', $10, $10, 0)
         ON CONFLICT (email_key) DO NOTHING RETURNING ",
        columns!()
    );
    let args = args![
        &new.id,
        &new.email,
        &new.email_key,
        &new.username,
        &new.password.0,
        words(&new.roles),
        words(&new.permissions),
        is_admin(&new.roles),
        &new.tier,
        now,
    ];
    work.row(sql, args).await?.as_ref().map(account).transpose()
}

/// Makes the account that has the new one's e-mail an active admin with its password.
async fn promote(work: &mut Work, new: &NewAccount, now: Micros) -> Result<Account, StoreError> {
    let gone = || StoreError::Broken("the account of the first admin came and went".to_owned());
    let row = work.row("SELECT id, roles FROM accounts WHERE email_key = $1", args![&new.email_key]).await?;
    let row = row.ok_or_else(gone)?;
    let mut roles: Vec<String> = row.json("roles")?;
    roles.extend(new.roles.iter().cloned());
    let change = AccountChange {
        roles: Some(roles),
        active: Some(true),
        password: Some(new.password.clone()),
        ..AccountChange::default()
    };
    update(work, &row.text("id")?, &change, now).await?.ok_or_else(gone)
}

async fn update(
    work: &mut Work,
    id: &str,
    change: &AccountChange,
    now: Micros,
) -> Result<Option<Account>, StoreError> {
    let sql = concat!(
        "UPDATE accounts SET username = COALESCE($2, username), roles = COALESCE($3, roles),
          admin = COALESCE($4, admin), permissions = COALESCE($5, permissions), tier = COALESCE($6, tier),
          active = COALESCE($7, active), profile = COALESCE($8, profile), password = COALESCE($9, password),
          updated_at = $10 WHERE id = $1 RETURNING ",
        columns!()
    );
    let args = args![
        id,
        change.username.clone(),
        change.roles.as_deref().map(words),
        change.roles.as_deref().map(is_admin),
        change.permissions.as_deref().map(words),
        change.tier.clone(),
        change.active,
        change.profile.as_ref().map(text),
        change.password.as_ref().map(|hash| hash.0.clone()),
        now,
    ];
    work.row(sql, args).await?.as_ref().map(account).transpose()
}

/// Keeps others from taking away an admin until the transaction ends; true where `id` is an active one.
async fn lock_admin(work: &mut Work, id: &str) -> Result<bool, StoreError> {
    work.lock("admins").await?;
    let sql = "SELECT id FROM accounts WHERE id = $1 AND admin AND active";
    Ok(work.row(sql, args![id]).await?.is_some())
}

/// Fails where no active admin is left.
async fn keep_an_admin(work: &mut Work) -> Result<(), StoreError> {
    match work.row("SELECT id FROM accounts WHERE admin AND active LIMIT 1", args![]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::Conflict(Conflict::LastAdmin)),
    }
}

fn is_admin(roles: &[String]) -> bool {
    roles.iter().any(|role| role == ADMIN)
}

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: row.text("id")?,
        email: row.text("email")?,
        username: row.text("username")?,
        roles: row.json("roles")?,
        permissions: row.json("permissions")?,
        tier: row.text("tier")?,
        active: row.bool("active")?,
        profile: row.json("profile")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        last_login_at: row.maybe_time("last_login_at")?,
        logins: row.int("logins")?,
    })
}
