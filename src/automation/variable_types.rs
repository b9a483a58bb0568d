//! `VariableTypeService`: what `/api/variable-types` is over REST.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    caller::Caller,
    problem::{Problems, is_id, line},
    types::{Builtin, MOST_TEXT, Pattern, Verdict},
    version::{expected, number, stale, tagged},
};
use crate::{
    proto::automation_v1::{
        CreateVariableTypeRequest, CreateVariableTypeResponse, DeleteVariableTypeRequest,
        DeleteVariableTypeResponse, ListCustomVariableTypesRequest, ListCustomVariableTypesResponse,
        ListVariableTypesRequest, ListVariableTypesResponse, UpdateVariableTypeRequest,
        UpdateVariableTypeResponse, ValidateValueRequest, ValidateValueResponse, VariableType,
        variable_type_service_server::VariableTypeService,
    },
    store::{self, Changing, Micros, VariableTypeChange},
};

/// The longest name, label and description, in characters.
const NAME: usize = 50;
const LABEL: usize = 100;
const DESCRIPTION: usize = 2000;

/// Answers for a store.
pub(super) struct VariableTypes {
    pub(super) store: Arc<dyn store::VariableTypes>,
}

#[tonic::async_trait]
impl VariableTypeService for VariableTypes {
    async fn list_variable_types(
        &self,
        request: Request<ListVariableTypesRequest>,
    ) -> Result<Response<ListVariableTypesResponse>, Status> {
        Caller::of(&request)?;
        let custom = self.store.list(true).await?;
        let types = Builtin::ALL.into_iter().map(built_in).chain(custom.into_iter().map(shown)).collect();
        Ok(Response::new(ListVariableTypesResponse { types }))
    }

    async fn validate_value(
        &self,
        request: Request<ValidateValueRequest>,
    ) -> Result<Response<ValidateValueResponse>, Status> {
        Caller::of(&request)?;
        let ValidateValueRequest { r#type, value } = request.into_inner();
        let mut problems = Problems::default();
        let short = match value.len() {
            ..=MOST_TEXT => Ok(value),
            long => Err(format!("it has {long} bytes; the most is {MOST_TEXT}")),
        };
        let value = problems.check("value", short);
        let value = problems.none(value)?;
        let verdict = match Builtin::of(&r#type) {
            Some(builtin) => aside(move || Ok(builtin.verdict(&value))).await?,
            None => {
                let unknown = || Status::not_found(format!("no active type is called {:?}", cut(&r#type)));
                // What no type can be called is not looked for.
                let name = name(&r#type).map_err(|_| unknown())?;
                let found = self.store.by_name(&name).await?.ok_or_else(unknown)?;
                aside(move || Pattern::parse(&found.pattern).map(|pattern| pattern.verdict(&value))).await?
            }
        };
        Ok(Response::new(ValidateValueResponse {
            valid: verdict.valid,
            message: verdict.message,
            parsed_value: verdict.parsed,
        }))
    }

    async fn list_custom_variable_types(
        &self,
        request: Request<ListCustomVariableTypesRequest>,
    ) -> Result<Response<ListCustomVariableTypesResponse>, Status> {
        Caller::admin(&request)?;
        let types = self.store.list(false).await?.into_iter().map(shown).collect();
        Ok(Response::new(ListCustomVariableTypesResponse { types }))
    }

    async fn create_variable_type(
        &self,
        request: Request<CreateVariableTypeRequest>,
    ) -> Result<Response<CreateVariableTypeResponse>, Status> {
        let caller = Caller::admin(&request)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let name = problems.check("name", name(&asked.name));
        let label = problems.check("label", line(&asked.label, LABEL));
        let description = problems.optional("description", asked.description, |text| description(&text));
        let pattern = problems.check("pattern", pattern(asked.pattern));
        let ((name, label), pattern) = problems.none(name.zip(label).zip(pattern))?;
        if is_built_in(&name) {
            return Err(taken(&name));
        }
        let now = Micros::now();
        let new = store::VariableType {
            id: uuid::Uuid::now_v7().to_string(),
            name,
            label,
            description: description.filter(|text| !text.is_empty()),
            pattern,
            active: asked.is_active.unwrap_or(true),
            created_by: caller.id,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        if !self.store.create(&new).await? {
            return Err(taken(&new.name));
        }
        Ok(tagged(CreateVariableTypeResponse { variable_type: Some(shown(new)) }, 1))
    }

    async fn update_variable_type(
        &self,
        request: Request<UpdateVariableTypeRequest>,
    ) -> Result<Response<UpdateVariableTypeResponse>, Status> {
        Caller::admin(&request)?;
        let expected = expected(request.metadata(), request.get_ref().version)?;
        let asked = request.into_inner();
        let mut problems = Problems::default();
        let change = VariableTypeChange {
            name: problems.optional("name", asked.name, |text| name(&text)),
            label: problems.optional("label", asked.label, |text| line(&text, LABEL)),
            description: problems.optional("description", asked.description, |text| description(&text)),
            pattern: problems.optional("pattern", asked.pattern, pattern),
            active: asked.is_active,
        };
        let change = problems.none(Some(change))?;
        let wanted = change.name.clone().unwrap_or_default();
        if is_built_in(&wanted) {
            return Err(taken(&wanted));
        }
        let id = known(asked.id)?;
        let changed = self.store.update(&id, &change, &expected, Micros::now()).await?;
        let changed = done(changed, &wanted)?;
        let version = changed.version;
        Ok(tagged(UpdateVariableTypeResponse { variable_type: Some(shown(changed)) }, version))
    }

    async fn delete_variable_type(
        &self,
        request: Request<DeleteVariableTypeRequest>,
    ) -> Result<Response<DeleteVariableTypeResponse>, Status> {
        Caller::admin(&request)?;
        let expected = expected(request.metadata(), request.get_ref().version)?;
        let id = known(request.into_inner().id)?;
        done(self.store.delete(&id, &expected).await?, "")?;
        Ok(Response::new(DeleteVariableTypeResponse { id }))
    }
}

/// Looks at a text where nobody waits for it but who asked: it may take some milliseconds.
async fn aside(look: impl FnOnce() -> Result<Verdict, String> + Send + 'static) -> Result<Verdict, Status> {
    let looked = tokio::task::spawn_blocking(look).await;
    let looked = looked.map_err(|_| Status::internal("the look at the value did not end"))?;
    // What is kept was checked; what an operator has written into the database was not.
    looked.map_err(|why| Status::failed_precondition(format!("the type's pattern cannot be used: {why}")))
}

fn missing() -> Status {
    Status::not_found("Variable type not found")
}

fn known(id: String) -> Result<String, Status> {
    if is_id(&id) { Ok(id) } else { Err(missing()) }
}

fn done<T>(changing: Changing<T>, name: &str) -> Result<T, Status> {
    match changing {
        Changing::Done(done) => Ok(done),
        Changing::Stale(now) => Err(stale("type", now)),
        Changing::Missing => Err(missing()),
        Changing::NameTaken => Err(taken(name)),
    }
}

fn taken(name: &str) -> Status {
    Status::already_exists(format!("there is a type {name:?} already"))
}

/// However it is written.
fn is_built_in(name: &str) -> bool {
    Builtin::of(&name.to_ascii_lowercase()).is_some()
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_alphanumeric() || "._-".contains(c);
    match text.chars().count() {
        0 => Err("it is needed".to_owned()),
        long if long > NAME => Err(format!("it has at most {NAME} characters")),
        _ if text.chars().all(fits) => Ok(text.to_owned()),
        _ => Err("it has letters, digits, dots, underscores and hyphens alone".to_owned()),
    }
}

fn description(text: &str) -> Result<String, String> {
    let text = text.trim();
    let unusual = |c: char| c.is_control() && !"\n\r\t".contains(c);
    match text.chars().count() {
        long if long > DESCRIPTION => Err(format!("it has at most {DESCRIPTION} characters")),
        _ if text.chars().any(unusual) => Err("it has no control characters but line ends".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn pattern(text: String) -> Result<String, String> {
    Pattern::parse(&text).map(|_| text)
}

/// As much of a caller's text as is said again.
fn cut(text: &str) -> String {
    text.chars().take(NAME).collect()
}

fn built_in(builtin: Builtin) -> VariableType {
    VariableType {
        id: builtin.name().to_owned(),
        name: builtin.name().to_owned(),
        label: builtin.label().to_owned(),
        description: Some(builtin.description().to_owned()),
        is_active: true,
        is_builtin: true,
        ..VariableType::default()
    }
}

fn shown(custom: store::VariableType) -> VariableType {
    VariableType {
        id: custom.id,
        name: custom.name,
        label: custom.label,
        description: custom.description,
        pattern: custom.pattern,
        is_active: custom.active,
        is_builtin: false,
        created_at: Some(custom.created_at.into()),
        updated_at: Some(custom.updated_at.into()),
        created_by: custom.created_by,
        version: number(custom.version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_descriptions_have_their_form() {
        for good in ["mail", "a.b_c-1", "été", &"x".repeat(50)] {
            assert_eq!(name(good), Ok(good.to_owned()));
        }
        for bad in ["", " a", "a b", "a\0", "a/b", &"x".repeat(51)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(description(" two\nlines "), Ok("two\nlines".to_owned()));
        assert!(description("\u{0}").is_err() && description(&"x".repeat(2001)).is_err());
        assert!(is_built_in("String") && !is_built_in("mail"));
    }
}
