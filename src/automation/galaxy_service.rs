//! `GalaxyService`: what `/api/galaxy` is over REST.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use serde::de::DeserializeOwned;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    caller::Caller,
    galaxy::{self, Failure, Found, Galaxy, Key, Progress, is_name, is_version},
    problem::{Problems, at_least_none, limit},
    types,
};
use crate::proto::automation_v1::{
    Collection, CollectionVersion, GetModuleRequest, GetModuleResponse, GetNamespaceRequest,
    GetNamespaceResponse, ListCollectionVersionsRequest, ListCollectionVersionsResponse,
    ListCollectionsRequest, ListCollectionsResponse, ListModulesRequest, ListModulesResponse,
    ListNamespacesRequest, ListNamespacesResponse, Module, ModuleOption, Namespace, WatchProgressRequest,
    WatchProgressResponse, galaxy_service_server::GalaxyService,
};

/// How soon a caller may ask again while Galaxy cannot be reached.
const AGAIN: Duration = Duration::from_secs(5);
/// How long steps of the progress are put together.
const STEP: Duration = Duration::from_millis(200);

/// Answers for a catalogue.
pub(super) struct Catalogue(pub(super) Arc<Galaxy>);

#[tonic::async_trait]
impl GalaxyService for Catalogue {
    type WatchProgressStream = Pin<Box<dyn Stream<Item = Result<WatchProgressResponse, Status>> + Send>>;

    async fn list_namespaces(
        &self,
        request: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        Caller::of(&request)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let skip = problems.check("skip", at_least_none(asked.skip));
        let limit = problems.check("limit", limit(asked.limit));
        let (skip, limit) = problems.none(skip.zip(limit))?;
        let known = self.0.namespaces(skip.into(), limit.into()).await?;
        let namespaces = known
            .into_iter()
            .map(|(known, is_stale)| Namespace { collections: Vec::new(), ..namespace(known, is_stale) });
        Ok(Response::new(ListNamespacesResponse { namespaces: namespaces.collect() }))
    }

    async fn get_namespace(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        Caller::of(&request)?;
        let (known, is_stale) = self.namespace(request.into_inner().namespace).await?;
        Ok(Response::new(GetNamespaceResponse { namespace: Some(namespace(known, is_stale)) }))
    }

    async fn list_collections(
        &self,
        request: Request<ListCollectionsRequest>,
    ) -> Result<Response<ListCollectionsResponse>, Status> {
        Caller::of(&request)?;
        let (known, is_stale) = self.namespace(request.into_inner().namespace).await?;
        Ok(Response::new(ListCollectionsResponse { collections: namespace(known, is_stale).collections }))
    }

    async fn list_collection_versions(
        &self,
        request: Request<ListCollectionVersionsRequest>,
    ) -> Result<Response<ListCollectionVersionsResponse>, Status> {
        Caller::of(&request)?;
        let ListCollectionVersionsRequest { namespace, collection } = request.into_inner();
        let (namespace, collection) = named(namespace, collection)?;
        let what = format!("{namespace}.{collection}");
        let found = self.find(&Key::Versions(namespace, collection), &what).await?;
        let versions: Vec<galaxy::Version> = read(&found)?;
        let version = |one: galaxy::Version| CollectionVersion {
            version: one.version,
            created_at: one.created_at,
            requires_ansible: one.requires_ansible,
        };
        Ok(Response::new(ListCollectionVersionsResponse {
            versions: versions.into_iter().map(version).collect(),
        }))
    }

    async fn list_modules(
        &self,
        request: Request<ListModulesRequest>,
    ) -> Result<Response<ListModulesResponse>, Status> {
        Caller::of(&request)?;
        let ListModulesRequest { namespace, collection, version } = request.into_inner();
        let (collection, version, modules) = self.modules(namespace, collection, version).await?;
        let brief = |known: galaxy::Module| Module {
            full_name: format!("{collection}.{}", known.name),
            name: known.name,
            short_description: known.short_description,
            collection_version: version.clone(),
            ..Module::default()
        };
        Ok(Response::new(ListModulesResponse { modules: modules.into_iter().map(brief).collect() }))
    }

    async fn get_module(
        &self,
        request: Request<GetModuleRequest>,
    ) -> Result<Response<GetModuleResponse>, Status> {
        Caller::of(&request)?;
        let GetModuleRequest { namespace, collection, module, version } = request.into_inner();
        let (collection, version, modules) = self.modules(namespace, collection, version).await?;
        let known = modules.into_iter().find(|known| known.name == module);
        let known = known
            .ok_or_else(|| Status::not_found(format!("{collection} {version} has no module of that name")))?;
        Ok(Response::new(GetModuleResponse { module: Some(whole(known, &collection, version)) }))
    }

    async fn watch_progress(
        &self,
        request: Request<WatchProgressRequest>,
    ) -> Result<Response<Self::WatchProgressStream>, Status> {
        Caller::of(&request)?;
        let mut watched = self.0.watch();
        watched.mark_changed();
        let steps = stream::unfold((watched, false), |(mut watched, ended)| async move {
            if ended {
                return None;
            }
            // The sender lives as long as the service.
            watched.changed().await.ok()?;
            let now = *watched.borrow_and_update();
            if !now.phase.is_last() {
                tokio::time::sleep(STEP).await;
            }
            Some((Ok(step(now)), (watched, now.phase.is_last())))
        });
        Ok(Response::new(Box::pin(steps)))
    }
}

impl Catalogue {
    async fn find(&self, key: &Key, what: &str) -> Result<Found, Status> {
        self.0.catalogue.get(key).await.map_err(|failure| status(&failure, what))
    }

    async fn namespace(&self, name: String) -> Result<(galaxy::Namespace, bool), Status> {
        let name = checked("namespace", name)?;
        let found = self.find(&Key::Namespace(name.clone()), &name).await?;
        Ok((read(&found)?, found.stale))
    }

    /// `namespace.collection`, the version that is meant, and its modules.
    async fn modules(
        &self,
        namespace: String,
        collection: String,
        version: String,
    ) -> Result<(String, String, Vec<galaxy::Module>), Status> {
        let (namespace, collection) = named(namespace, collection)?;
        let what = format!("{namespace}.{collection}");
        let version = if version.is_empty() {
            let (known, _) = self.namespace(namespace.clone()).await?;
            let one = known.collections.into_iter().find(|known| known.name == collection);
            let one = one.filter(|one| is_version(&one.version));
            one.ok_or_else(|| status(&Failure::Missing, &what))?.version
        } else {
            let mut problems = Problems::default();
            let wrong = || "it is a version, such as 8.5.0".to_owned();
            let version =
                problems.check("version", if is_version(&version) { Ok(version) } else { Err(wrong()) });
            problems.none(version)?
        };
        let key = Key::Modules(namespace, collection, version.clone());
        let found = self.find(&key, &format!("{what} {version}")).await?;
        // Megabytes, which nobody else should wait for.
        let modules = tokio::task::spawn_blocking(move || read(&found)).await;
        let modules = modules.map_err(|_| Status::internal("the documentation could not be read"))??;
        Ok((what, version, modules))
    }
}

fn read<T: DeserializeOwned>(found: &Found) -> Result<T, Status> {
    serde_json::from_slice(&found.data)
        .map_err(|error| Status::internal(format!("what is kept of Galaxy makes no sense: {error}")))
}

/// NOT_FOUND, or UNAVAILABLE with when to come back. What went wrong in particular is in the log.
fn status(failure: &Failure, what: &str) -> Status {
    let away = |words: String, time: Duration| {
        Status::with_error_details(Code::Unavailable, words, ErrorDetails::with_retry_info(Some(time)))
    };
    match failure {
        Failure::Missing => Status::not_found(format!("Galaxy has no {what}")),
        Failure::Paused(time) => away("Galaxy wants to be asked later; try again then".to_owned(), *time),
        Failure::Away(_) => {
            away(format!("Galaxy cannot be asked for {what} just now, and nobody has before"), AGAIN)
        }
    }
}

fn checked(field: &str, name: String) -> Result<String, Status> {
    let mut problems = Problems::default();
    let wrong = || "it is a name of 1 to 64 letters, digits and underscores, such as community".to_owned();
    let name = problems.check(field, if is_name(&name) { Ok(name) } else { Err(wrong()) });
    problems.none(name)
}

fn named(namespace: String, collection: String) -> Result<(String, String), Status> {
    Ok((checked("namespace", namespace)?, checked("collection", collection)?))
}

fn namespace(known: galaxy::Namespace, is_stale: bool) -> Namespace {
    let galaxy::Namespace { name, company, description, avatar_url, collections } = known;
    let collection = |one: galaxy::Collection| Collection {
        namespace: name.clone(),
        name: one.name,
        latest_version: one.version,
        is_deprecated: one.deprecated,
        created_at: one.created_at,
        updated_at: one.updated_at,
    };
    let collections: Vec<Collection> = collections.into_iter().map(collection).collect();
    let collection_count = count(collections.len());
    Namespace { name, company, description, avatar_url, collection_count, collections, is_stale }
}

fn whole(known: galaxy::Module, collection: &str, collection_version: String) -> Module {
    Module {
        full_name: format!("{collection}.{}", known.name),
        name: known.name,
        short_description: known.short_description,
        description: known.description,
        options: known.options.into_iter().map(option).collect(),
        examples: known.examples,
        return_values: types::value_of(known.returns),
        collection_version,
    }
}

fn option(known: galaxy::ModuleOption) -> ModuleOption {
    ModuleOption {
        name: known.name,
        r#type: known.kind,
        is_required: known.required,
        description: known.description,
        default_value: types::value_of(known.default),
        choices: known.choices,
    }
}

fn step(progress: Progress) -> WatchProgressResponse {
    WatchProgressResponse {
        phase: progress.phase.name().to_owned(),
        total: count(progress.total),
        done: count(progress.done),
        failed: count(progress.failed),
        started_at: progress.started_at.map(Into::into),
        finished_at: progress.finished_at.map(Into::into),
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
