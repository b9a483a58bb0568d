//! What each part of a request's path and query fills, and what is wrong with it: every one by itself, where a request in
//! earnest ends at the first mistake.

use std::borrow::Cow;

use super::{BodyPlan, RequestPlan};
use crate::transcode::{
    codec::{FieldCodec, JsonInput},
    error::TranscodeError,
    query::{decode, put_query, refuse_query, split_key},
    target::Target,
    weave::{Source, Weave},
};

/// A path variable or query parameter, and the field that it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// As the template or the query names it.
    pub name: String,
    /// Decoded.
    pub value: String,
    /// The field's path by proto names; empty where there is none.
    pub field: String,
    /// Such as `int32`, `repeated string` or a message's full name; empty where there is no field.
    pub type_name: String,
    /// What is wrong with it.
    pub problem: Option<String>,
}

impl RequestPlan {
    /// The template's variables with what they captured.
    #[must_use]
    pub fn explain_path(&self, captures: &[Cow<'_, str>], input: &JsonInput) -> Vec<Parameter> {
        let explain = |(target, text): (&Target, &Cow<'_, str>)| {
            let mut out = Vec::new();
            let put = Weave::new(&mut out, 0, input).put(target, None, text, Source::Path);
            Parameter {
                name: target.name(),
                value: text.to_string(),
                field: target.name(),
                type_name: target.leaf().map(type_name).unwrap_or_default(),
                problem: put.err().map(|error| error.to_string()),
            }
        };
        self.variables.iter().zip(captures).map(explain).collect()
    }

    /// The parameters of a query (without its `?`), in their order.
    #[must_use]
    pub fn explain_query(&self, query: &str, input: &JsonInput) -> Vec<Parameter> {
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        parameters.map(|parameter| self.parameter(parameter, input)).collect()
    }

    fn parameter(&self, parameter: &str, input: &JsonInput) -> Parameter {
        let (name, text) = parameter.split_once('=').unwrap_or((parameter, ""));
        let shown = |text: &str| decode(text).map_or_else(|_| text.to_owned(), Cow::into_owned);
        let (name, value) = (shown(name), shown(text));
        let whole = matches!(self.body, BodyPlan::Whole);
        let target = if whole { None } else { Target::resolve(&self.codec, split_key(&name).0).ok() };
        let put = || -> Result<(), TranscodeError> {
            if whole {
                return if input.ignore_unknown { Ok(()) } else { refuse_query(parameter) };
            }
            let mut out = Vec::new();
            put_query(&mut Weave::new(&mut out, 0, input), &self.codec, parameter, input, true)
        };
        // It stands beside its name already.
        let bare = |error: TranscodeError| {
            let message = error.to_string();
            let named = format!("the query parameter {name:?}: ");
            message.strip_prefix(&named).map(str::to_owned).unwrap_or(message)
        };
        Parameter {
            problem: put().err().map(bare),
            field: target.as_ref().map(Target::name).unwrap_or_default(),
            type_name: target.as_ref().and_then(Target::leaf).map(type_name).unwrap_or_default(),
            name,
            value,
        }
    }
}

fn type_name(field: &FieldCodec) -> String {
    let one = match (field.enum_type(), field.message()) {
        (Some(name), _) => name.to_owned(),
        (None, Some(message)) => message.name().to_owned(),
        (None, None) => format!("{:?}", field.kind()).to_lowercase(),
    };
    if field.is_map() {
        "map".to_owned()
    } else if field.is_repeated() {
        format!("repeated {one}")
    } else {
        one
    }
}
