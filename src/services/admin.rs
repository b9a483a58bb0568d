//! `AdminService`: what an operator does to a running gateway. `POST /admin/reload` over REST. It is for administrators,
//! which the policies see to. A reload is open to who calls from this machine too, as SIGHUP is: [`admit`] decides who that
//! is, on every surface.

use std::{fmt, net::IpAddr, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use http::Uri;
use tonic::{Request, Response, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt as _};

use super::{
    Loaded, Numbers,
    accounts::{Caller, Context, Directory, private},
};
use crate::{
    auth::Principal,
    call::Peer,
    proto::gateway_v1::{
        CreateApiKeyRequest, CreateApiKeyResponse, DeleteUserRequest, DeleteUserResponse,
        GetAdminStatsRequest, GetAdminStatsResponse, ListApiKeysRequest, ListApiKeysResponse,
        ListAuditLinesRequest, ListAuditLinesResponse, ListUsersRequest, ListUsersResponse, ReloadRequest,
        ReloadResponse, RevokeApiKeyRequest, RevokeApiKeyResponse, UpdateUserRequest, UpdateUserResponse,
        admin_service_server::AdminService,
    },
    status::{Fault, Refusal},
    store::ADMIN,
};

/// What can load the config again; the gateway ties it, as what it stands on cannot look up to it.
pub trait Reload: fmt::Debug + Send + Sync {
    /// Loads the config again, for `who` asks.
    fn reload(&self, who: String) -> BoxFuture<'static, Outcome>;
}

/// What came of a reload.
pub type Outcome = Result<Reloaded, Refused>;

/// A reload that went well.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What is served now.
    pub loaded: Loaded,
    /// A sentence each; none where nothing had changed, and the generation is the one before.
    pub changes: Vec<String>,
    /// Settings that differ and only a restart changes, a sentence each.
    pub needs_restart: Vec<String>,
    /// The file that the config comes from.
    pub file: Option<PathBuf>,
}

/// A config that is not taken: what was served before is served still. There is at least one mistake.
#[derive(Debug, Clone)]
pub struct Refused {
    pub mistakes: Vec<Mistake>,
    pub file: Option<PathBuf>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key that is meant, such as `limits.timeout`, or what else says where; may be empty.
    pub subject: String,
    /// A whole sentence, which names the subject itself.
    pub message: String,
}

/// Answers for what can reload.
#[derive(Debug)]
pub struct Admin {
    reload: Arc<dyn Reload>,
    directory: Arc<Directory>,
    numbers: Numbers,
}

impl Admin {
    #[must_use]
    pub fn new(reload: Arc<dyn Reload>, directory: Arc<Directory>, numbers: Numbers) -> Self {
        Self { reload, directory, numbers }
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn reload(&self, request: Request<ReloadRequest>) -> Result<Response<ReloadResponse>, Status> {
        let (context, caller) = (Context::of(&request), Caller::of(&request).ok());
        let peer = request.extensions().get::<Peer>();
        let who = match request.extensions().get::<Arc<Principal>>() {
            Some(caller) if caller.has_role(ADMIN) => format!("user {}", caller.id),
            // Whatever a rule says of others, as with the rest of this service.
            _ => admit(peer, request.metadata())?,
        };
        let loaded = self.reload.reload(who).await.map_err(|refused| refused.status())?;
        let what = match loaded.changes.as_slice() {
            [] if loaded.needs_restart.is_empty() => "nothing has changed".to_owned(),
            [] => "what has changed needs a restart".to_owned(),
            changes => format!("generation {}: {}", loaded.loaded.generation, changes.join("; ")),
        };
        self.directory.reloaded(&context, caller.as_ref(), what).await;
        Ok(Response::new(ReloadResponse {
            reloaded: !loaded.changes.is_empty(),
            changes: loaded.changes,
            needs_restart: loaded.needs_restart,
            generation: loaded.loaded.generation,
            loaded_at: Some(loaded.loaded.at.into()),
            config_file: loaded.file.map(|file| file.display().to_string()).unwrap_or_default(),
        }))
    }

    async fn get_admin_stats(
        &self,
        request: Request<GetAdminStatsRequest>,
    ) -> Result<Response<GetAdminStatsResponse>, Status> {
        let stats = self.directory.admin_stats(&request).await?;
        Ok(private(GetAdminStatsResponse {
            traffic: self.numbers.traffic(),
            galaxy: self.numbers.galaxy.as_ref().map(|galaxy| galaxy()),
            ..stats
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        self.directory.list_api_keys(request).await.map(private)
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        self.directory.create_api_key(request).await.map(private)
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        self.directory.revoke_api_key(request).await.map(private)
    }

    async fn list_users(
        &self,
        request: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        self.directory.list_users(request).await.map(private)
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        self.directory.update_user(request).await.map(private)
    }

    async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        self.directory.delete_user(request).await.map(private)
    }

    async fn list_audit_lines(
        &self,
        request: Request<ListAuditLinesRequest>,
    ) -> Result<Response<ListAuditLinesResponse>, Status> {
        self.directory.list_audit_lines(request).await.map(private)
    }
}

impl Refused {
    /// The mistakes as one message and, one by one, as details.
    fn status(&self) -> Status {
        let violation =
            |mistake: &Mistake| PreconditionViolation::new("CONFIG", &mistake.subject, &mistake.message);
        let violations: Vec<_> = self.mistakes.iter().map(violation).collect();
        let details = ErrorDetails::with_precondition_failure(violations);
        let code = Refusal::Conflict.code();
        let status = Status::with_error_details(code, self.to_string(), details);
        Fault { refusal: Some(Refusal::Conflict), ..Fault::client() }.on(status)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the config is not taken, what was served before is served still: ")?;
        for (at, mistake) in self.mistakes.iter().enumerate() {
            let between = if at == 0 { "" } else { "; " };
            write!(f, "{between}{}", mistake.message)?;
        }
        Ok(())
    }
}

/// Lets callers on this machine pass, and says who it is. What a proxy or a browser's page sends only looks as if it came
/// from here.
fn admit(peer: Option<&Peer>, metadata: &MetadataMap) -> Result<String, Status> {
    let refused = |why: String| {
        let message = format!(
            "administration is open to the role {ADMIN} and to callers on the gateway's own machine alone; {why}"
        );
        Err(Fault::client().on(Status::permission_denied(message)))
    };
    if peer.is_some_and(|peer| peer.foreign_name) {
        return refused("a page asks under a name that is not this machine's".to_owned());
    }
    if peer.is_some_and(|peer| peer.relayed) {
        return refused("a balancer has not said for whom it calls".to_owned());
    }
    let Some(address) = peer.map(|peer| peer.address.ip().to_canonical()) else {
        return refused("where this call comes from is not known".to_owned());
    };
    if !address.is_loopback() {
        return refused(format!("this call comes from {address}"));
    }
    if let Some(name) = ["forwarded", "x-forwarded-for"].into_iter().find(|name| metadata.contains_key(*name))
    {
        return refused(format!("this call was sent on by a proxy (it has {name})"));
    }
    // A page of anywhere can send a POST here through its reader's browser. The browser says so: whose page in `origin`,
    // and in a field that no page can set whether it was one of this gateway.
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    let origin = metadata.get("origin").map(|value| value.to_str().unwrap_or_default());
    let site = text("sec-fetch-site");
    let own = match (origin, site) {
        (None, site) => matches!(site, None | Some("none" | "same-origin")),
        (Some(origin), site) => of_this_machine(origin) && site == Some("same-origin"),
    };
    if !own {
        return refused(format!("a page of {} asks", origin.unwrap_or("another site")));
    }
    Ok(format!("a call from {address}"))
}

/// True for the origin of a page served from this machine. (Else a name that its owner lets resolve to 127.0.0.1 would
/// make a page of theirs one of this gateway.)
fn of_this_machine(origin: &str) -> bool {
    let Some(host) = origin.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)) else {
        return false;
    };
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Whose config never changes.
    #[derive(Debug)]
    pub(crate) struct Nothing;

    impl Reload for Nothing {
        fn reload(&self, _: String) -> BoxFuture<'static, Outcome> {
            let loaded = Loaded::first();
            let nothing = Reloaded { loaded, changes: Vec::new(), needs_restart: Vec::new(), file: None };
            Box::pin(async { Ok(nothing) })
        }
    }

    #[test]
    fn only_this_machine_is_admitted() {
        let check = |address: &str, metadata: &[(&'static str, &str)], want: Option<&str>| {
            let mut map = MetadataMap::new();
            for (name, value) in metadata {
                map.insert(*name, value.parse().unwrap());
            }
            let peer = Peer::at(address.parse().unwrap());
            let said = admit(Some(&peer), &map);
            match want {
                None => assert!(said.is_ok(), "{address} {metadata:?}: {said:?}"),
                Some(words) => {
                    let status = said.unwrap_err();
                    assert_eq!(status.code(), tonic::Code::PermissionDenied, "{address} {metadata:?}");
                    assert!(status.message().contains(words), "{status:?}");
                }
            }
        };
        check("127.0.0.1:1", &[], None);
        check("127.8.0.1:1", &[], None);
        check("[::1]:1", &[], None);
        check("[::ffff:127.0.0.1]:1", &[], None);
        check("10.0.0.1:1", &[], Some("this call comes from 10.0.0.1"));
        check("[::ffff:10.0.0.1]:1", &[], Some("this call comes from 10.0.0.1"));
        check("0.0.0.0:0", &[], Some("this call comes from 0.0.0.0"));
        let local = "127.0.0.1:1";
        check(local, &[("x-forwarded-for", "127.0.0.1")], Some("it has x-forwarded-for"));
        check(local, &[("forwarded", "for=127.0.0.1")], Some("it has forwarded"));
        check(local, &[("origin", "https://evil.example")], Some("a page of https://evil.example asks"));
        check(local, &[("origin", "null")], Some("a page of null asks"));
        check(local, &[("sec-fetch-site", "cross-site")], Some("a page of another site asks"));
        check(local, &[("sec-fetch-site", "same-site")], Some("a page of another site asks"));
        check(local, &[("sec-fetch-site", "none")], None);
        let page = |origin, site| [("origin", origin), ("sec-fetch-site", site)];
        check(local, &page("http://localhost:3000", "same-site"), Some("a page of http://localhost:3000"));
        check(local, &page("http://rebound.example:8080", "same-origin"), Some("rebound.example"));
        check(local, &page("http://localhost:8080", "same-origin"), None);
        check(local, &page("http://[::1]:8080", "same-origin"), None);
        check(local, &[("origin", "http://localhost:8080")], Some("a page of http://localhost:8080"));
        assert!(admit(None, &MetadataMap::new()).is_err());
    }

    #[tokio::test]
    async fn a_caller_from_elsewhere_reloads_as_an_administrator_alone() {
        let folder = tempfile::tempdir().unwrap();
        let directory = crate::services::accounts::tests::directory(folder.path());
        let admin = Admin::new(Arc::new(Nothing), directory, Numbers::default());
        for (role, address, admitted) in [
            ("student", "10.0.0.1:1", false),
            ("admin", "10.0.0.1:1", true),
            ("student", "127.0.0.1:1", true),
        ] {
            let means = crate::auth::Means::Token { issuer: "main".into() };
            let caller = Principal { roles: vec![role.into()], ..Principal::new("u", means) };
            let mut request = Request::new(ReloadRequest::default());
            request.extensions_mut().insert(Arc::new(caller));
            request.extensions_mut().insert(Peer::at(address.parse().unwrap()));
            let answered = admin.reload(request).await;
            assert_eq!(answered.is_ok(), admitted, "{role} from {address}: {answered:?}");
        }
    }

    #[test]
    fn every_mistake_is_told_in_the_message_and_in_the_details() {
        let mistake =
            |subject: &str, message: &str| Mistake { subject: subject.into(), message: message.into() };
        let mistakes = vec![mistake("limits.timeout", "limits.timeout: soon"), mistake("", "line 3: what")];
        let status = Refused { mistakes, file: None }.status();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        let message = "the config is not taken, what was served before is served still: limits.timeout: soon; line 3: what";
        assert_eq!(status.message(), message);
        let details = status.get_details_precondition_failure().unwrap().violations;
        let said: Vec<_> = details.iter().map(|v| (v.subject.as_str(), v.description.as_str())).collect();
        assert_eq!(said, [("limits.timeout", "limits.timeout: soon"), ("", "line 3: what")]);
    }
}
