//! What the authorization server keeps, in SQL. Whatever begins tokens takes the account's row first, as everything does that
//! happens to sessions.

use std::time::Duration;

use tonic::async_trait;

use super::{
    Database, Row, Work,
    accounts::{enter, hold},
    args,
    refresh_tokens::{END, INSERT, INSERT_FAMILY, of_session},
    revocations::insert,
    row::words,
};
use crate::store::{
    Digest, Grant, Micros, NewGrant, Oauth, OauthClient, OauthLogin, OauthRequest, Redeemed, Redemption,
    StoreError,
};

/// How long a client is known that nobody uses.
const UNUSED: Duration = Duration::from_secs(90 * 24 * 60 * 60);

const KEEP: &str = "INSERT INTO oauth_requests
    (digest, code, account, browser, client, redirect, challenge, resource, scopes, state, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

#[async_trait]
impl Oauth for Database {
    async fn register(&self, client: &OauthClient, now: Micros) -> Result<(), StoreError> {
        let sql = "INSERT INTO oauth_clients (id, name, redirects, created_at) VALUES ($1, $2, $3, $4)";
        let args = args![&client.id, &client.name, words(&client.redirects), now];
        self.run(self.write(sql, args)).await.map(drop)
    }

    async fn client(&self, id: &str) -> Result<Option<OauthClient>, StoreError> {
        let sql = "SELECT id, name, redirects FROM oauth_clients WHERE id = $1";
        self.run(async {
            let row = self.row(sql, args![id]).await?;
            let client = |row: Row| {
                Ok(OauthClient {
                    id: row.text("id")?,
                    name: row.text("name")?,
                    redirects: row.json("redirects")?,
                })
            };
            row.map(client).transpose()
        })
        .await
    }

    async fn ask(&self, login: &OauthLogin, request: &OauthRequest, now: Micros) -> Result<bool, StoreError> {
        self.run(async {
            let mut work = self.begin().await?;
            if enter(&mut work, &login.account, &login.password, true, now).await?.is_none() {
                return Ok(false);
            }
            let kept = (&login.ticket, false, login.account.as_str(), login.browser.as_str());
            keep(&mut work, kept, request, login.expires_at).await?;
            work.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn answer(
        &self,
        ticket: &Digest,
        browser: &str,
        code: Option<(&Digest, Micros)>,
        now: Micros,
    ) -> Result<Option<(OauthRequest, String)>, StoreError> {
        let find = "SELECT account FROM oauth_requests WHERE digest = $1 AND NOT code";
        let take =
            "DELETE FROM oauth_requests WHERE digest = $1 AND NOT code AND browser = $2 AND expires_at > $3
                    RETURNING account, client, redirect, challenge, resource, scopes, state";
        self.run(async {
            let mut work = self.begin().await?;
            let Some(row) = work.row(find, args![ticket.hex()]).await? else { return Ok(None) };
            // Whoever ends the account's sessions comes before this, or ends what is made here.
            if !hold(&mut work, &row.text("account")?).await?.is_some_and(|account| account.active) {
                return Ok(None);
            }
            let Some(row) = work.row(take, args![ticket.hex(), browser, now]).await? else { return Ok(None) };
            let (request, account) = (request(&row)?, row.text("account")?);
            if let Some((code, expires_at)) = code {
                keep(&mut work, (code, true, account.as_str(), ""), &request, expires_at).await?;
            }
            work.commit().await?;
            Ok(Some((request, account)))
        })
        .await
    }

    async fn redeem(
        &self,
        shown: &Redemption<'_>,
        new: &NewGrant,
        until: Micros,
        now: Micros,
    ) -> Result<Redeemed, StoreError> {
        let find = "SELECT account, client, redirect, challenge, resource, scopes, state FROM oauth_requests
                    WHERE digest = $1 AND code";
        let use_up = "UPDATE oauth_requests SET used_at = $2
                      WHERE digest = $1 AND used_at IS NULL AND expires_at > $2 RETURNING digest";
        let code = shown.code.hex();
        self.run(async {
            let mut work = self.begin().await?;
            let Some(row) = work.row(find, args![code.as_str()]).await? else { return Ok(Redeemed::Unknown) };
            let account = hold(&mut work, &row.text("account")?).await?.filter(|account| account.active);
            if work.row(use_up, args![code.as_str(), now]).await?.is_none() {
                return used_before(work, &code, until, now).await;
            }
            let asked = request(&row)?;
            if let Some(what) = unlike(&asked, shown) {
                work.commit().await?;
                return Ok(Redeemed::Wrong(what));
            }
            let Some(account) = account else { return Ok(Redeemed::Unknown) };
            work.rows(INSERT_FAMILY, args![&new.family, &account.id, now, new.expires_at]).await?;
            work.rows(INSERT, args![new.digest.hex(), &new.family, new.expires_at]).await?;
            let sql = "INSERT INTO oauth_families (family, client, resource, scopes) VALUES ($1, $2, $3, $4)";
            work.rows(sql, args![&new.family, &asked.client, &asked.resource, words(&asked.scopes)]).await?;
            let sql = "UPDATE oauth_requests SET family = $2 WHERE digest = $1";
            work.rows(sql, args![code.as_str(), &new.family]).await?;
            work.rows("UPDATE oauth_clients SET used_at = $2 WHERE id = $1", args![&asked.client, now])
                .await?;
            work.commit().await?;
            let OauthRequest { client, resource, scopes, .. } = asked;
            let grant = Grant { family: new.family.clone(), client, resource, scopes };
            Ok(Redeemed::Granted(grant, Box::new(account)))
        })
        .await
    }

    async fn grant(&self, token: &Digest) -> Result<Option<Grant>, StoreError> {
        let sql = "SELECT g.family, g.client, g.resource, g.scopes FROM refresh_tokens t
                   JOIN oauth_families g ON g.family = t.family WHERE t.digest = $1";
        self.run(async {
            let row = self.row(sql, args![token.hex()]).await?;
            let grant = |row: Row| {
                Ok(Grant {
                    family: row.text("family")?,
                    client: row.text("client")?,
                    resource: row.text("resource")?,
                    scopes: row.json("scopes")?,
                })
            };
            row.map(grant).transpose()
        })
        .await
    }

    async fn forget(&self, before: Micros) -> Result<u64, StoreError> {
        let requests = "DELETE FROM oauth_requests WHERE expires_at < $1 RETURNING digest";
        let clients = "DELETE FROM oauth_clients WHERE created_at < $1 AND (used_at IS NULL OR used_at < $2)
                       AND NOT EXISTS (SELECT 1 FROM oauth_families g WHERE g.client = oauth_clients.id)
                       RETURNING id";
        self.run(async {
            let requests = self.write(requests, args![before]).await?.len();
            let clients = self.write(clients, args![before, before.before(UNUSED)]).await?.len();
            Ok((requests + clients) as u64)
        })
        .await
    }
}

/// What becomes of a code that cannot be used up.
async fn used_before(mut work: Work, code: &str, until: Micros, now: Micros) -> Result<Redeemed, StoreError> {
    let sql = "SELECT family FROM oauth_requests WHERE digest = $1 AND used_at IS NOT NULL";
    let Some(row) = work.row(sql, args![code]).await? else { return Ok(Redeemed::Unknown) };
    let Some(family) = row.maybe_text("family")? else { return Ok(Redeemed::Replayed(None)) };
    work.rows(END, args![&family, now]).await?;
    let revoked = of_session(&family, until, now);
    insert(&mut work, std::slice::from_ref(&revoked)).await?;
    work.commit().await?;
    Ok(Redeemed::Replayed(Some(revoked)))
}

/// What of a code's request is not as it is shown, in words for who shows it.
fn unlike(asked: &OauthRequest, shown: &Redemption<'_>) -> Option<&'static str> {
    if asked.client != shown.client {
        return Some("the code was given to another client");
    }
    if shown.redirect.is_some_and(|redirect| asked.redirect != redirect) {
        return Some("redirect_uri is another than the code was sent to");
    }
    if asked.challenge != shown.challenge {
        return Some("code_verifier does not fit the code_challenge");
    }
    if shown.resource.is_some_and(|resource| asked.resource != resource) {
        return Some("resource is another than was asked for");
    }
    None
}

async fn keep(
    work: &mut Work,
    (digest, code, account, browser): (&Digest, bool, &str, &str),
    request: &OauthRequest,
    expires_at: Micros,
) -> Result<(), StoreError> {
    let OauthRequest { client, redirect, challenge, resource, scopes, state } = request;
    let args = args![
        digest.hex(),
        code,
        account,
        browser,
        client,
        redirect,
        challenge,
        resource,
        words(scopes),
        state,
        expires_at,
    ];
    work.rows(KEEP, args).await.map(drop)
}

fn request(row: &Row) -> Result<OauthRequest, StoreError> {
    Ok(OauthRequest {
        client: row.text("client")?,
        redirect: row.text("redirect")?,
        challenge: row.text("challenge")?,
        resource: row.text("resource")?,
        scopes: row.json("scopes")?,
        state: row.text("state")?,
    })
}
