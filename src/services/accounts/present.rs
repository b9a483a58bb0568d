//! Accounts as messages, and answers about them.

use tonic::{Response, metadata::MetadataValue};

use crate::{proto::gateway_v1::User, store::Account};

/// An answer about an account, with its tokens or keys maybe: nothing between the gateway and its client may keep it (RFC
/// 6749, 5.1).
pub(in crate::services) fn private<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert("cache-control", MetadataValue::from_static("no-store"));
    response
}

/// An account as others may see it.
pub(in crate::services) fn user(account: &Account) -> User {
    User {
        id: account.id.clone(),
        email: account.email.clone(),
        username: account.username.clone(),
        roles: account.roles.clone(),
        permissions: account.permissions.clone(),
        tier: account.tier.clone(),
        is_active: account.active,
        is_admin: account.is_admin(),
        profile: account.profile.clone(),
        created_at: Some(account.created_at.into()),
        updated_at: Some(account.updated_at.into()),
        last_login_at: account.last_login_at.map(Into::into),
    }
}

/// A number as messages have it.
pub(in crate::services) fn count(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
