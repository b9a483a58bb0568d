//! Accounts, over both databases.

use std::{collections::BTreeMap, sync::Arc};

use propylon::store::{
    Account, AccountChange, AccountFilter, AuditLine, Changed, Conflict, Ending, Micros, NewFamily, Page,
    PasswordHash, Revoked, StoreError,
};
use tokio::task::JoinSet;

use super::{Pair, callers, digest, new_account, new_family, second};

/// Of an account that has no sessions.
const NONE: Ending<'_> = Ending { but: "", until: Micros(0) };

pub(super) async fn are_kept(pair: &Pair) {
    let new = new_account("Alice@Example.com");
    let made = pair.one.accounts.create(&new, second(1)).await.unwrap();
    let want = Account {
        id: new.id.clone(),
        email: "Alice@Example.com".into(),
        username: "somebody".into(),
        roles: vec!["user".into()],
        permissions: vec![],
        tier: "free".into(),
        active: true,
        profile: BTreeMap::new(),
        created_at: second(1),
        updated_at: second(1),
        last_login_at: None,
        logins: 0,
    };
    assert_eq!(made, want);
    let accounts = &pair.other.accounts;
    assert_eq!(accounts.get(&new.id).await.unwrap(), Some(want.clone()));
    assert_eq!(accounts.by_email("alice@example.com").await.unwrap(), Some((want, new.password.clone())));
    assert_eq!(accounts.password(&new.id).await.unwrap(), Some(new.password.clone()));
    assert_eq!(accounts.get("nobody").await.unwrap(), None);
    assert_eq!(
        accounts.by_email("Alice@Example.com").await.unwrap(),
        None,
        "it is the key that is looked for"
    );
    assert_eq!(accounts.password("nobody").await.unwrap(), None);
    for at in [2, 3] {
        let family = NewFamily { login: true, ..new_family(&at.to_string(), &new.id, second(100)) };
        pair.one.refresh_tokens.begin(&family, second(at)).await.unwrap().unwrap();
    }
    let account = accounts.get(&new.id).await.unwrap().unwrap();
    assert_eq!((account.logins, account.last_login_at), (2, Some(second(3))));
    // A hash is replaced by a newer one only as long as it is the one that was verified.
    let hash = |text: &str| PasswordHash(text.to_owned());
    accounts.rehash(&new.id, &hash("another"), &hash("$argon2id$2")).await.unwrap();
    assert_eq!(accounts.password(&new.id).await.unwrap(), Some(new.password.clone()));
    accounts.rehash(&new.id, &new.password, &hash("$argon2id$2")).await.unwrap();
    assert_eq!(accounts.password(&new.id).await.unwrap(), Some(hash("$argon2id$2")));
}

pub(super) async fn change(pair: &Pair) {
    let accounts = &pair.one.accounts;
    let made = accounts.create(&new_account("a@b.example"), second(1)).await.unwrap();
    let change = AccountChange {
        roles: Some(vec!["user".into(), "editor".into(), "user".into()]),
        permissions: Some(vec!["books:write".into()]),
        tier: Some("premium".into()),
        profile: Some([("city".to_owned(), "Ätna \"\\ ☃".to_owned())].into()),
        ..AccountChange::default()
    };
    let line = line("account.update", &made.id);
    // What the line is made of is what was there before.
    let note = |before: &Account| AuditLine { details: before.tier.clone(), ..line.clone() };
    let changed = accounts.update(&made.id, &change, None, Some(&note), second(2)).await.unwrap().unwrap();
    let want = Account {
        roles: vec!["editor".into(), "user".into()],
        permissions: vec!["books:write".into()],
        tier: "premium".into(),
        profile: change.profile.clone().unwrap(),
        updated_at: second(2),
        ..made.clone()
    };
    assert_eq!(changed, Changed { account: want.clone(), revoked: Vec::new() });
    assert_eq!(pair.other.accounts.get(&want.id).await.unwrap(), Some(want.clone()));
    // Nothing changes what is not said.
    let same =
        accounts.update(&want.id, &AccountChange::default(), None, None, second(3)).await.unwrap().unwrap();
    assert_eq!(same.account, Account { updated_at: second(3), ..want });
    let none = accounts.update("nobody", &change, None, Some(&noted), second(3)).await.unwrap();
    assert_eq!(none, None);
    // The line is written with the change, and with nothing that did not happen.
    let page = Page { after: String::new(), limit: 10 };
    let want = AuditLine { details: made.tier, ..line };
    assert_eq!(pair.one.audit.list(None, &page).await.unwrap(), [want]);
}

pub(super) async fn go_with_what_they_own(pair: &Pair) {
    let accounts = &pair.one.accounts;
    let made = accounts.create(&new_account("a@b.example"), second(1)).await.unwrap();
    let key = callers::new_key("k1", Some(&made.id));
    pair.one.api_keys.create(&key, &digest("k1"), None).await.unwrap();
    let family = new_family("f1", &made.id, second(100));
    pair.one.refresh_tokens.begin(&family, second(1)).await.unwrap();
    let line = line("account.delete", &made.id);
    let note = |gone: &Account| AuditLine { details: gone.email.clone(), ..line.clone() };
    let gone = accounts.delete(&made.id, second(60), Some(&note), second(2)).await.unwrap().unwrap();
    assert_eq!((gone.kind, gone.id.as_str(), gone.expires_at), (Revoked::Account, &*made.id, second(60)));
    assert_eq!(pair.other.revocations.since(0, second(2)).await.unwrap().0, [gone]);
    assert_eq!(accounts.delete(&made.id, second(60), Some(&noted), second(3)).await.unwrap(), None);
    assert_eq!(pair.other.api_keys.by_digest(&digest("k1")).await.unwrap(), None);
    assert_eq!(pair.other.refresh_tokens.session(&digest("f1")).await.unwrap(), None);
    let page = Page { after: String::new(), limit: 10 };
    let want = AuditLine { details: made.email, ..line };
    assert_eq!(pair.one.audit.list(Some(&made.id), &page).await.unwrap(), [want]);
    // Its e-mail is free again.
    accounts.create(&new_account("A@b.example"), second(4)).await.unwrap();
}

pub(super) async fn one_email_is_one_account_however_many_try(pair: &Pair) {
    let mut tries = JoinSet::new();
    for number in 0..50 {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let accounts = Arc::clone(&replica.accounts);
        let spelling = if number % 3 == 0 { "BOB@example.com" } else { "bob@EXAMPLE.com" };
        tries.spawn(async move { accounts.create(&new_account(spelling), Micros::now()).await });
    }
    let (mut made, mut taken) = (0, 0);
    while let Some(result) = tries.join_next().await {
        match result.unwrap() {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error, StoreError::Conflict(Conflict::EmailTaken));
                taken += 1;
            }
        }
    }
    assert_eq!((made, taken), (1, 49));
    assert_eq!(pair.one.accounts.counts().await.unwrap().total, 1);
}

pub(super) async fn there_is_one_first_admin_however_many_try(pair: &Pair) {
    let mut tries = JoinSet::new();
    for number in 0..20 {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let accounts = Arc::clone(&replica.accounts);
        let mut new = new_account(&format!("admin{number}@example.com"));
        new.roles = vec!["admin".into()];
        tries.spawn(
            async move { accounts.create_first_admin(&new, NONE, &noted, Micros::now()).await.unwrap() },
        );
    }
    let made: Vec<_> = tries.join_all().await.into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    let page = Page { after: String::new(), limit: 100 };
    assert_eq!(
        pair.one.audit.list(None, &page).await.unwrap().len(),
        1,
        "one line for the one that was made"
    );
    let counts = pair.other.accounts.counts().await.unwrap();
    assert_eq!((counts.total, counts.admins), (1, 1));
    // Where there are accounts and no admin, the one with the e-mail becomes one.
    let id = &made.first().unwrap().account.id;
    let other = pair.one.accounts.create(&new_account("op@example.com"), second(1)).await.unwrap();
    let mut again = new_account("OP@example.com");
    again.roles = vec!["admin".into()];
    again.password = PasswordHash("$argon2id$new".into());
    assert_eq!(pair.one.accounts.create_first_admin(&again, NONE, &noted, second(2)).await.unwrap(), None);
    let demoted = AccountChange { roles: Some(vec![]), ..AccountChange::default() };
    let error = pair.one.accounts.update(id, &demoted, None, Some(&noted), second(3)).await.unwrap_err();
    assert_eq!(error, StoreError::Conflict(Conflict::LastAdmin));
    let error = pair.one.accounts.delete(id, second(60), Some(&noted), second(3)).await.unwrap_err();
    assert_eq!(error, StoreError::Conflict(Conflict::LastAdmin));
    assert_eq!(pair.one.audit.list(None, &page).await.unwrap().len(), 1, "none for what was refused");
    let promoted = AccountChange { roles: Some(vec!["admin".into()]), ..AccountChange::default() };
    pair.one.accounts.update(&other.id, &promoted, None, None, second(4)).await.unwrap();
    pair.one.accounts.update(id, &demoted, None, None, second(5)).await.unwrap();
    pair.one.accounts.delete(id, second(60), None, second(6)).await.unwrap();
}

pub(super) async fn the_last_admin_stays(pair: &Pair) {
    let mut admins = Vec::new();
    for name in ["a@x.example", "b@x.example"] {
        let mut new = new_account(name);
        new.roles = vec!["admin".into(), "user".into()];
        admins.push(pair.one.accounts.create(&new, second(1)).await.unwrap().id);
    }
    // Both at once, from two replicas, in each of the three ways: one stays.
    let mut tries = JoinSet::new();
    for (number, id) in admins.iter().cycle().take(12).cloned().enumerate() {
        let replica = if number % 2 == 0 { &pair.one } else { &pair.other };
        let accounts = Arc::clone(&replica.accounts);
        tries.spawn(async move {
            let done = match number % 3 {
                0 => accounts.delete(&id, second(60), None, second(2)).await.map(drop),
                1 => {
                    let change = AccountChange { active: Some(false), ..AccountChange::default() };
                    accounts.update(&id, &change, None, None, second(2)).await.map(drop)
                }
                _ => {
                    let change =
                        AccountChange { roles: Some(vec!["user".into()]), ..AccountChange::default() };
                    accounts.update(&id, &change, None, None, second(2)).await.map(drop)
                }
            };
            done.is_err_and(|error| error == StoreError::Conflict(Conflict::LastAdmin))
        });
    }
    assert!(tries.join_all().await.contains(&true), "somebody was refused");
    let page = Page { after: String::new(), limit: 10 };
    let left = pair.one.accounts.list(&AccountFilter::default(), &page).await.unwrap();
    assert_eq!(left.iter().filter(|account| account.active && account.is_admin()).count(), 1, "{left:?}");
}

pub(super) async fn are_listed_and_counted(pair: &Pair) {
    let accounts = &pair.one.accounts;
    let mut ids = Vec::new();
    for number in 0..7 {
        let mut new = new_account(&format!("user_{number}%@example.com"));
        new.tier = if number < 2 { "premium".into() } else { "free".into() };
        ids.push(accounts.create(&new, second(number)).await.unwrap().id);
    }
    let off = AccountChange { active: Some(false), ..AccountChange::default() };
    accounts.update(ids.last().unwrap(), &off, None, None, second(9)).await.unwrap();
    let list = async |email: Option<&str>, active: Option<bool>, after: &str, limit: u32| -> Vec<usize> {
        let filter = AccountFilter { email: email.map(str::to_owned), active };
        let page = Page { after: after.to_owned(), limit };
        let found = pair.other.accounts.list(&filter, &page).await.unwrap();
        found.iter().map(|account| ids.iter().position(|id| *id == account.id).unwrap()).collect()
    };
    assert_eq!(list(None, None, "", 3).await, [0, 1, 2]);
    assert_eq!(list(None, None, &ids[2], 3).await, [3, 4, 5]);
    assert_eq!(list(None, None, &ids[5], 3).await, [6]);
    assert_eq!(list(None, Some(false), "", 100).await, [6]);
    assert_eq!(list(Some("USER_4"), None, "", 100).await, [4]);
    // What SQL would take for wildcards are characters.
    assert_eq!(list(Some("_"), None, "", 100).await.len(), 7);
    assert_eq!(list(Some("4%"), None, "", 100).await, [4]);
    assert_eq!(list(Some("user%4"), None, "", 100).await, [] as [usize; 0]);
    assert_eq!(list(Some("!"), None, "", 100).await, [] as [usize; 0]);
    let counts = accounts.counts().await.unwrap();
    assert_eq!((counts.total, counts.active, counts.admins), (7, 6, 0));
    assert_eq!(counts.by_tier, [("free".to_owned(), 5), ("premium".to_owned(), 2)].into());
}

pub(super) async fn may_be_called_anything(pair: &Pair) {
    for (number, name) in ["'; DROP TABLE accounts; --", "$1", "\\", "\"", "%s", "🦀\u{200d}", "{}", "a\nb"]
        .into_iter()
        .enumerate()
    {
        let mut new = new_account(&format!("{number}{name}@x.example"));
        new.username = name.to_owned();
        new.roles = vec![name.to_owned()];
        pair.one.accounts.create(&new, second(1)).await.unwrap();
        let (account, _) = pair.other.accounts.by_email(&new.email_key).await.unwrap().unwrap();
        assert_eq!((account.email, account.username, account.roles), (new.email, new.username, new.roles));
    }
    // PostgreSQL has no NUL in a text. It is no outage: whoever comes next is served.
    let mut new = new_account("nul@x.example");
    new.username = "\0".to_owned();
    let refused = pair.one.accounts.create(&new, second(1)).await;
    assert!(matches!(refused, Ok(_) | Err(StoreError::Broken(_))), "{refused:?}");
    assert!(pair.one.accounts.get(&new.id).await.is_ok());
}

/// A line about an account.
fn noted(account: &Account) -> AuditLine {
    line("x", &account.id)
}

pub(super) fn line(action: &str, target: &str) -> AuditLine {
    AuditLine {
        id: uuid::Uuid::now_v7().to_string(),
        at: second(1),
        actor: "admin".into(),
        action: action.to_owned(),
        target: target.to_owned(),
        request_id: "req-1".into(),
        address: "192.0.2.1".into(),
        details: "roles: user → editor".into(),
    }
}
