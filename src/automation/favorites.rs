//! `FavoriteService`: what `/api/user/favorites` is over REST. The three kinds differ by the form of their names alone.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{caller::Caller, problem::Problems};
use crate::{
    proto::automation_v1::{
        AddFavoriteCollectionRequest, AddFavoriteCollectionResponse, AddFavoriteModuleRequest,
        AddFavoriteModuleResponse, AddFavoriteNamespaceRequest, AddFavoriteNamespaceResponse,
        ListFavoriteCollectionsRequest, ListFavoriteCollectionsResponse, ListFavoriteModulesRequest,
        ListFavoriteModulesResponse, ListFavoriteNamespacesRequest, ListFavoriteNamespacesResponse,
        RemoveFavoriteCollectionRequest, RemoveFavoriteCollectionResponse, RemoveFavoriteModuleRequest,
        RemoveFavoriteModuleResponse, RemoveFavoriteNamespaceRequest, RemoveFavoriteNamespaceResponse,
        favorite_service_server::FavoriteService,
    },
    store::{self, FavoriteKind, Micros},
};

/// The most of one kind that one account has.
const MOST: i64 = 1000;
/// The longest part of a name, in characters.
const PART: usize = 64;

/// Answers for a store.
pub(super) struct Favorites {
    pub(super) store: Arc<dyn store::Favorites>,
}

impl Favorites {
    async fn list<T>(&self, request: &Request<T>, kind: FavoriteKind) -> Result<Vec<String>, Status> {
        let caller = Caller::of(request)?;
        Ok(self.store.list(&caller.id, kind).await?)
    }

    async fn add(&self, caller: Caller, kind: FavoriteKind, name: String) -> Result<String, Status> {
        let name = checked(kind, name)?;
        if self.store.add(&caller.id, kind, &name, MOST, Micros::now()).await? {
            return Ok(name);
        }
        Err(Status::failed_precondition(format!("at most {MOST} favourites of a kind are kept; remove one")))
    }

    async fn remove(&self, caller: Caller, kind: FavoriteKind, name: String) -> Result<String, Status> {
        let name = checked(kind, name)?;
        self.store.remove(&caller.id, kind, &name).await?;
        Ok(name)
    }
}

/// A name of Galaxy's: parts of letters, digits and underscores, with dots between them.
fn checked(kind: FavoriteKind, name: String) -> Result<String, Status> {
    let (parts, like) = match kind {
        FavoriteKind::Namespace => (1, "community"),
        FavoriteKind::Collection => (2, "community.general"),
        FavoriteKind::Module => (3, "community.general.ufw"),
    };
    let part = |part: &str| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !part.is_empty() && part.len() <= PART && part.chars().all(letters)
    };
    let fits = name.split('.').count() == parts && name.split('.').all(part);
    let why = || format!("it is {}, such as {like}", ["a name", "two names", "three names"][parts - 1]);
    let mut problems = Problems::default();
    let name = problems.check(kind.name(), if fits { Ok(name) } else { Err(why()) });
    problems.none(name)
}

/// The three methods of each kind.
macro_rules! kinds {
    ($($kind:ident: $list:ident $ListRequest:ident $ListResponse:ident $names:ident,
        $add:ident $AddRequest:ident $AddResponse:ident,
        $remove:ident $RemoveRequest:ident $RemoveResponse:ident $name:ident;)*) => {
        #[tonic::async_trait]
        impl FavoriteService for Favorites {$(
            async fn $list(
                &self,
                request: Request<$ListRequest>,
            ) -> Result<Response<$ListResponse>, Status> {
                Ok(Response::new($ListResponse { $names: self.list(&request, FavoriteKind::$kind).await? }))
            }

            async fn $add(&self, request: Request<$AddRequest>) -> Result<Response<$AddResponse>, Status> {
                let (caller, name) = (Caller::of(&request)?, request.into_inner().$name);
                Ok(Response::new($AddResponse { $name: self.add(caller, FavoriteKind::$kind, name).await? }))
            }

            async fn $remove(
                &self,
                request: Request<$RemoveRequest>,
            ) -> Result<Response<$RemoveResponse>, Status> {
                let (caller, name) = (Caller::of(&request)?, request.into_inner().$name);
                let $name = self.remove(caller, FavoriteKind::$kind, name).await?;
                Ok(Response::new($RemoveResponse { $name }))
            }
        )*}
    };
}

kinds! {
    Namespace: list_favorite_namespaces ListFavoriteNamespacesRequest ListFavoriteNamespacesResponse namespaces,
        add_favorite_namespace AddFavoriteNamespaceRequest AddFavoriteNamespaceResponse,
        remove_favorite_namespace RemoveFavoriteNamespaceRequest RemoveFavoriteNamespaceResponse namespace;
    Collection: list_favorite_collections ListFavoriteCollectionsRequest ListFavoriteCollectionsResponse collections,
        add_favorite_collection AddFavoriteCollectionRequest AddFavoriteCollectionResponse,
        remove_favorite_collection RemoveFavoriteCollectionRequest RemoveFavoriteCollectionResponse collection;
    Module: list_favorite_modules ListFavoriteModulesRequest ListFavoriteModulesResponse modules,
        add_favorite_module AddFavoriteModuleRequest AddFavoriteModuleResponse,
        remove_favorite_module RemoveFavoriteModuleRequest RemoveFavoriteModuleResponse module;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_parts() {
        let check =
            |kind, name: &str, fits| assert_eq!(checked(kind, name.to_owned()).is_ok(), fits, "{name}");
        check(FavoriteKind::Namespace, "community", true);
        check(FavoriteKind::Namespace, "community.general", false);
        check(FavoriteKind::Namespace, "", false);
        check(FavoriteKind::Namespace, &"x".repeat(65), false);
        check(FavoriteKind::Collection, "community.general", true);
        check(FavoriteKind::Collection, "community.", false);
        check(FavoriteKind::Collection, "../etc", false);
        check(FavoriteKind::Module, "community.general.ufw", true);
        check(FavoriteKind::Module, "community.general.é", false);
    }
}
