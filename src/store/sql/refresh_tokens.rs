//! Refresh tokens in SQL. Whatever happens to a family takes the account's row and then the family's first, so that it
//! happens one after another, also with what happens to the account.

use tonic::async_trait;

use super::{
    Database, Work,
    accounts::{enter, hold},
    args,
    revocations::insert,
};
use crate::store::{
    Account, Digest, Ending, Micros, NewFamily, RefreshTokens, Revocation, Revoked, Rotation, Session,
    StoreError,
};

pub(super) const INSERT: &str = "INSERT INTO refresh_tokens (digest, family, expires_at) VALUES ($1, $2, $3)";
/// A family of an account's, from then on until a time.
pub(super) const INSERT_FAMILY: &str =
    "INSERT INTO refresh_families (id, account, created_at, used_at, expires_at)
    VALUES ($1, $2, $3, $3, $4)";
const SESSION: &str =
    "SELECT f.id, f.account FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family
                       WHERE t.digest = $1";
pub(super) const END: &str =
    "UPDATE refresh_families SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING id";

#[async_trait]
impl RefreshTokens for Database {
    async fn begin(&self, new: &NewFamily, now: Micros) -> Result<Option<Account>, StoreError> {
        self.run(async {
            let mut work = Self::begin(self).await?;
            // Whoever changes the password or the roles comes before this, or ends what begins here.
            let Some(account) = enter(&mut work, &new.account, &new.password, new.login, now).await? else {
                return Ok(None);
            };
            work.rows(INSERT_FAMILY, args![&new.id, &new.account, now, new.expires_at]).await?;
            work.rows(INSERT, args![new.digest.hex(), &new.id, new.expires_at]).await?;
            work.commit().await?;
            Ok(Some(account))
        })
        .await
    }

    async fn rotate(
        &self,
        old: &Digest,
        new: &Digest,
        expires_at: Micros,
        until: Micros,
        now: Micros,
    ) -> Result<Rotation, StoreError> {
        let take_family = "UPDATE refresh_families SET used_at = $2
                           WHERE id = $1 AND ended_at IS NULL AND expires_at > $2 RETURNING id";
        let use_up = "UPDATE refresh_tokens SET used_at = $2
                      WHERE digest = $1 AND used_at IS NULL AND expires_at > $2 RETURNING digest";
        let extend = "UPDATE refresh_families SET expires_at = $2 WHERE id = $1";
        self.run(async {
            let mut work = Self::begin(self).await?;
            let Some(row) = work.row(SESSION, args![old.hex()]).await? else { return Ok(Rotation::Unknown) };
            let session = Session { family: row.text("id")?, account: row.text("account")? };
            let account = hold(&mut work, &session.account).await?;
            if work.row(take_family, args![&session.family, now]).await?.is_none() {
                return Ok(Rotation::Ended(session));
            }
            let Some(account) = account.filter(|account| account.active) else {
                work.rows(END, args![&session.family, now]).await?;
                work.commit().await?;
                return Ok(Rotation::Ended(session));
            };
            if work.row(use_up, args![old.hex(), now]).await?.is_some() {
                work.rows(INSERT, args![new.hex(), &session.family, expires_at]).await?;
                work.rows(extend, args![&session.family, expires_at]).await?;
                work.commit().await?;
                return Ok(Rotation::Rotated(session, Box::new(account)));
            }
            let used = "SELECT digest FROM refresh_tokens WHERE digest = $1 AND used_at IS NOT NULL";
            if work.row(used, args![old.hex()]).await?.is_none() {
                return Ok(Rotation::Ended(session));
            }
            work.rows(END, args![&session.family, now]).await?;
            let revoked = of_session(&session.family, until, now);
            insert(&mut work, std::slice::from_ref(&revoked)).await?;
            work.commit().await?;
            Ok(Rotation::Reused(session, revoked))
        })
        .await
    }

    async fn session(&self, token: &Digest) -> Result<Option<Session>, StoreError> {
        self.run(async {
            let row = self.row(SESSION, args![token.hex()]).await?;
            row.map(|row| Ok(Session { family: row.text("id")?, account: row.text("account")? })).transpose()
        })
        .await
    }

    async fn end(&self, family: &str, until: Micros, now: Micros) -> Result<Revocation, StoreError> {
        self.run(async {
            let mut work = Self::begin(self).await?;
            work.rows(END, args![family, now]).await?;
            let revoked = of_session(family, until, now);
            insert(&mut work, std::slice::from_ref(&revoked)).await?;
            work.commit().await?;
            Ok(revoked)
        })
        .await
    }

    async fn end_all(
        &self,
        account: &str,
        ending: Ending<'_>,
        now: Micros,
    ) -> Result<Vec<Revocation>, StoreError> {
        self.run(async {
            let mut work = Self::begin(self).await?;
            let revoked = end_all(&mut work, account, ending, now).await?;
            insert(&mut work, &revoked).await?;
            work.commit().await?;
            Ok(revoked)
        })
        .await
    }

    async fn count_live(&self, now: Micros) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) AS n FROM refresh_families WHERE ended_at IS NULL AND expires_at > $1";
        self.run(async { self.row(sql, args![now]).await?.map_or(Ok(0), |row| row.int("n")) }).await
    }

    async fn forget(&self, before: Micros) -> Result<u64, StoreError> {
        let sql = "DELETE FROM refresh_families WHERE expires_at < $1 RETURNING id";
        self.run(async { Ok(self.write(sql, args![before]).await?.len() as u64) }).await
    }
}

/// Ends an account's families within a transaction: what is to be revoked, as its last act.
pub(super) async fn end_all(
    work: &mut Work,
    account: &str,
    ending: Ending<'_>,
    now: Micros,
) -> Result<Vec<Revocation>, StoreError> {
    // What was about to begin does not.
    work.rows("DELETE FROM oauth_requests WHERE account = $1", args![account]).await?;
    let sql = "UPDATE refresh_families SET ended_at = $2
               WHERE account = $1 AND ended_at IS NULL AND id <> $3 RETURNING id";
    let keys = Revocation { kind: Revoked::Keys, id: account.to_owned(), at: now, expires_at: ending.until };
    let mut revoked = vec![keys];
    for row in work.rows(sql, args![account, now, ending.but]).await? {
        revoked.push(of_session(&row.text("id")?, ending.until, now));
    }
    Ok(revoked)
}

pub(super) fn of_session(family: &str, until: Micros, now: Micros) -> Revocation {
    Revocation { kind: Revoked::Session, id: family.to_owned(), at: now, expires_at: until }
}
