//! `PlaybookService`: what `/api/playbooks` is over REST.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{
    caller::Caller,
    content,
    problem::{Problems, at_least_none, is_id, limit, line},
    version::{expected, number, stale, tagged},
};
use crate::{
    proto::{
        Raw,
        automation_v1::{
            CreatePlaybookRequest, CreatePlaybookResponse, DeletePlaybookRequest, DeletePlaybookResponse,
            GetPlaybookRequest, GetPlaybookResponse, ListPlaybooksRequest, ListPlaybooksResponse, Playbook,
            UpdatePlaybookRequest, UpdatePlaybookResponse, playbook_service_server::PlaybookService,
        },
    },
    store::{self, Changing, Micros, PlaybookChange},
};

/// The longest name, in characters.
const NAME: usize = 255;
/// The most that one account has.
const MOST: i64 = 10_000;
/// The most bytes of the contents of one list.
const MOST_LISTED_BYTES: i64 = 16 << 20;

/// Answers for a store.
pub(super) struct Playbooks {
    pub(super) store: Arc<dyn store::Playbooks>,
    /// Those who write wait for their turn here, and not in the store, whose time is short: many writers of one playbook are
    /// no database that is away.
    pub(super) turns: Arc<Semaphore>,
}

#[tonic::async_trait]
impl PlaybookService for Playbooks {
    async fn list_playbooks(
        &self,
        request: Request<ListPlaybooksRequest>,
    ) -> Result<Response<ListPlaybooksResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let skip = problems.check("skip", at_least_none(asked.skip));
        let limit = problems.check("limit", limit(asked.limit));
        let (skip, limit) = problems.none(skip.zip(limit))?;
        let listed = self.store.list(&caller.id, skip.into(), limit.into(), MOST_LISTED_BYTES).await?;
        let Some(listed) = listed else {
            return Err(Status::out_of_range(format!(
                "these {limit} playbooks have more than {MOST_LISTED_BYTES} bytes together; ask for fewer by limit"
            )));
        };
        Ok(Response::new(ListPlaybooksResponse { playbooks: listed.into_iter().map(shown).collect() }))
    }

    async fn get_playbook(
        &self,
        request: Request<GetPlaybookRequest>,
    ) -> Result<Response<GetPlaybookResponse>, Status> {
        let caller = Caller::of(&request)?;
        let id = known(request.into_inner().id)?;
        let found = self.store.get(&caller.id, &id).await?.ok_or_else(missing)?;
        let version = found.version;
        Ok(tagged(GetPlaybookResponse { playbook: Some(shown(found)) }, version))
    }

    async fn create_playbook(
        &self,
        request: Request<CreatePlaybookRequest>,
    ) -> Result<Response<CreatePlaybookResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let name = problems.check("name", line(&asked.name, NAME));
        let content = asked.content.ok_or_else(|| "it is needed: a JSON object".to_owned());
        let content = problems.check("content", content.and_then(checked));
        let (name, content) = problems.none(name.zip(content))?;
        let now = Micros::now();
        let new = store::Playbook {
            id: uuid::Uuid::now_v7().to_string(),
            owner: caller.id,
            name,
            content,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let _turn = self.turns.acquire().await;
        if !self.store.create(&new, MOST).await? {
            return Err(Status::failed_precondition(format!(
                "an account has at most {MOST} playbooks; delete one that is not needed"
            )));
        }
        Ok(tagged(CreatePlaybookResponse { playbook: Some(shown(new)) }, 1))
    }

    async fn update_playbook(
        &self,
        request: Request<UpdatePlaybookRequest>,
    ) -> Result<Response<UpdatePlaybookResponse>, Status> {
        let caller = Caller::of(&request)?;
        let expected = expected(request.metadata(), request.get_ref().version)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let change = PlaybookChange {
            name: problems.optional("name", asked.name, |name| line(&name, NAME)),
            content: problems.optional("content", asked.content, checked),
        };
        let change = problems.none(Some(change))?;
        let id = known(asked.id)?;
        let _turn = self.turns.acquire().await;
        let changed = self.store.update(&caller.id, &id, &change, &expected, Micros::now()).await?;
        let changed = done(changed)?;
        let version = changed.version;
        Ok(tagged(UpdatePlaybookResponse { playbook: Some(shown(changed)) }, version))
    }

    async fn delete_playbook(
        &self,
        request: Request<DeletePlaybookRequest>,
    ) -> Result<Response<DeletePlaybookResponse>, Status> {
        let caller = Caller::of(&request)?;
        let expected = expected(request.metadata(), request.get_ref().version)?;
        let id = known(request.into_inner().id)?;
        let _turn = self.turns.acquire().await;
        done(self.store.delete(&caller.id, &id, &expected).await?)?;
        Ok(Response::new(DeletePlaybookResponse { id }))
    }
}

/// The same for what there is not and for what is another's: nobody is told which it is.
fn missing() -> Status {
    Status::not_found("Playbook not found")
}

fn known(id: String) -> Result<String, Status> {
    if is_id(&id) { Ok(id) } else { Err(missing()) }
}

fn done<T>(changing: Changing<T>) -> Result<T, Status> {
    match changing {
        Changing::Done(done) => Ok(done),
        Changing::Stale(now) => Err(stale("playbook", now)),
        // Names need not be unique.
        Changing::Missing | Changing::NameTaken => Err(missing()),
    }
}

fn checked(content: Raw) -> Result<Bytes, String> {
    content::check(content.as_bytes()).map(|()| content.into())
}

fn shown(playbook: store::Playbook) -> Playbook {
    Playbook {
        id: playbook.id,
        name: playbook.name,
        content: Some(playbook.content.into()),
        user_id: playbook.owner,
        created_at: Some(playbook.created_at.into()),
        updated_at: Some(playbook.updated_at.into()),
        version: number(playbook.version),
    }
}
