//! What audit lines say: what was done to whom, with what was there before; never a secret. The stores write them in the
//! transaction of the act itself, or not at all.

use super::{Caller, Context, Directory};
use crate::store::{Account, AccountChange, AuditLine};

/// A change of an account in words, its e-mail first: what was there, and what is there now.
pub(in crate::services) fn changed(before: &Account, change: &AccountChange) -> String {
    let list = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(" ") };
    let mut said = Vec::new();
    let mut from_to = |what: &str, was: String, is: Option<String>| {
        if let Some(is) = is {
            said.push(if was == is {
                format!("{what}: {is} as before")
            } else {
                format!("{what}: {was} → {is}")
            });
        }
    };
    let AccountChange { username, roles, permissions, tier, active, profile: _, password: _ } = change;
    let quoted = |name: &String| format!("{name:?}");
    from_to("username", quoted(&before.username), username.as_ref().map(quoted));
    from_to("roles", list(&before.roles), roles.as_deref().map(list));
    from_to("permissions", list(&before.permissions), permissions.as_deref().map(list));
    from_to("tier", before.tier.clone(), tier.clone());
    from_to("active", before.active.to_string(), active.map(|active| active.to_string()));
    if said.is_empty() { before.email.clone() } else { format!("{}; {}", before.email, said.join("; ")) }
}

impl Directory {
    /// Notes that the config was loaded again for somebody; in the log alone where no accounts are kept.
    pub(in crate::services) async fn reloaded(
        &self,
        context: &Context,
        caller: Option<&Caller>,
        what: String,
    ) {
        let line = context.line(caller, "gateway.reload", "", what);
        if !self.keeps {
            return line.log();
        }
        // It has happened, whether the line can be kept or not.
        if let Err(error) = self.stores.audit.add(&line).await {
            line.log();
            tracing::error!(id = line.id, "an audit line is in the log alone: {error}");
        }
    }
}

/// A line of nobody's call: of the command line, or of the gateway itself.
pub(super) fn without_a_call(actor: &str, action: &str, target: &str, details: String) -> AuditLine {
    AuditLine {
        id: uuid::Uuid::now_v7().to_string(),
        at: crate::store::Micros::now(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        target: target.to_owned(),
        request_id: String::new(),
        address: String::new(),
        details,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Micros;

    #[test]
    fn a_change_says_what_was_there_before() {
        let words = |list: &[&str]| -> Vec<String> { list.iter().map(|word| (*word).to_owned()).collect() };
        let before = Account {
            id: "7".into(),
            email: "ann@x.example".into(),
            username: "Ann".into(),
            roles: words(&["admin", "user"]),
            permissions: Vec::new(),
            tier: "free".into(),
            active: true,
            profile: [].into(),
            created_at: Micros(1),
            updated_at: Micros(1),
            last_login_at: None,
            logins: 0,
        };
        let nothing = AccountChange::default;
        let check = |change: AccountChange, want: &str| assert_eq!(changed(&before, &change), want);
        check(nothing(), "ann@x.example");
        check(
            AccountChange { roles: Some(words(&["user"])), active: Some(false), ..nothing() },
            "ann@x.example; roles: admin user → user; active: true → false",
        );
        check(
            AccountChange { permissions: Some(words(&["a", "b"])), tier: Some("free".into()), ..nothing() },
            "ann@x.example; permissions: none → a b; tier: free as before",
        );
        check(
            AccountChange { username: Some("A\"n".into()), ..nothing() },
            r#"ann@x.example; username: "Ann" → "A\"n""#,
        );
    }
}
