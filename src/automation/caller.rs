//! Who calls, in the words by which gateways tell it: `x-user-id`, and `x-user-role` with commas between roles. Whoever
//! stands before these services takes such words of a client's away.

use tonic::{Request, Status};

use crate::store::ADMIN;

/// A caller who is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// Never empty.
    pub(super) id: String,
    admin: bool,
}

impl Caller {
    /// # Errors
    /// UNAUTHENTICATED: nobody says who calls.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let word = |name: &str| {
            request.metadata().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let id = word("x-user-id").to_owned();
        if id.is_empty() {
            return Err(Status::unauthenticated("this needs a caller who has logged in"));
        }
        let admin = word("x-user-role").split(',').any(|role| role.trim() == ADMIN);
        Ok(Self { id, admin })
    }

    /// A caller with the role admin.
    ///
    /// # Errors
    /// UNAUTHENTICATED, or PERMISSION_DENIED for anybody else.
    pub(super) fn admin<T>(request: &Request<T>) -> Result<Self, Status> {
        let caller = Self::of(request)?;
        if caller.admin {
            return Ok(caller);
        }
        Err(Status::permission_denied("User does not have admin privileges"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_calls_is_read_from_metadata() {
        let request = |words: &[(&'static str, &'static str)]| {
            let mut request = Request::new(());
            for (name, value) in words {
                request.metadata_mut().insert(*name, value.parse().unwrap());
            }
            request
        };
        assert_eq!(Caller::of(&request(&[])).unwrap_err().code(), tonic::Code::Unauthenticated);
        assert_eq!(
            Caller::of(&request(&[("x-user-id", "")])).unwrap_err().code(),
            tonic::Code::Unauthenticated
        );
        let ann = request(&[("x-user-id", "ann"), ("x-user-role", "user,administrator")]);
        assert_eq!(Caller::of(&ann).unwrap().id, "ann");
        assert_eq!(Caller::admin(&ann).unwrap_err().code(), tonic::Code::PermissionDenied);
        let root = request(&[("x-user-id", "root"), ("x-user-role", "user,admin")]);
        assert!(Caller::admin(&root).is_ok());
    }
}
