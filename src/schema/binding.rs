//! A rule resolved against its method: the fields behind the template's variables, the body and the response's body.
//! What a rule names and the messages do not have is an error here, at load, never at a request.
//!
//! Specification: google/api/http.proto, "Rules for HTTP mapping".

use std::fmt;
use std::sync::Arc;

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::{HttpRule, Method, Template, Verb, did_you_mean, nearest};

/// One way to reach a method by HTTP.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The method it reaches.
    pub method: Arc<Method>,
    /// The HTTP method.
    pub verb: Verb,
    /// The paths it matches.
    pub template: Arc<Template>,
    /// What the request's body holds.
    pub body: Body,
    /// The response field that is the response's body; the whole response without.
    pub response_body: Option<FieldDescriptor>,
    /// The fields of the template's variables, in their order.
    pub variables: Vec<BoundVariable>,
    /// Whether it stands for a method without annotation: `POST /package.Service/Method`.
    pub implicit: bool,
    /// Where the config says its rule, as in [`HttpRule::entry`].
    pub entry: Option<Arc<str>>,
}

/// What the request's body holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// No body: all fields come by path and query.
    None,
    /// `"*"`: every field that the path does not bind; there are no query fields.
    All,
    /// One top-level field, of any type.
    Field(FieldDescriptor),
}

/// The field of a path variable.
#[derive(Clone, Debug)]
pub struct BoundVariable {
    /// From the request's top-level field down; the last is singular and has a text form.
    pub fields: Vec<FieldDescriptor>,
    /// Whether `%2F` is kept in what it captures (it spans other than one segment).
    pub multi: bool,
}

/// A rule that does not fit its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingError {
    /// `pkg.Service.Method`, or the selector of a rule that selects none.
    pub method: String,
    /// The rule, as `GET /v1/{name}`.
    pub rule: String,
    /// What is wrong, and what is near.
    pub reason: String,
    /// Where the config says the rule, as in [`HttpRule::entry`].
    pub entry: Option<Arc<str>>,
}

/// All bindings of `method`: of the `configured` rules that select it, else of its annotation; and what is wrong with those
/// that cannot be used. With `implicit` there is one more, at the method's own path.
pub fn bindings(
    method: &Arc<Method>,
    configured: &[HttpRule],
    implicit: bool,
) -> (Vec<Binding>, Vec<BindingError>) {
    let rules = HttpRule::configured_for(configured, &method.full_name);
    let rules = if rules.is_empty() { method.rules.iter().collect() } else { rules };
    let mut made = Vec::with_capacity(rules.len());
    let mut errors = Vec::new();
    for binding in rules.into_iter().map(|rule| Binding::resolve(method, rule)) {
        match binding {
            Ok(binding) => made.push(binding),
            Err(error) => errors.push(error),
        }
    }
    if implicit {
        match Binding::implicit(method) {
            Ok(binding) => made.push(binding),
            Err(error) => errors.push(error),
        }
    }
    (made, errors)
}

impl Binding {
    /// Checks `rule` against the messages of `method`.
    pub fn resolve(method: &Arc<Method>, rule: &HttpRule) -> Result<Self, BindingError> {
        let fail = |reason: String| BindingError {
            method: method.full_name.to_string(),
            rule: rule.to_string(),
            reason,
            entry: rule.entry.clone(),
        };
        let verb = match &rule.verb {
            Verb::Custom(name) if http::Method::from_bytes(name.as_bytes()).is_err() => {
                return Err(fail(format!("\"{name}\" is not an HTTP method")));
            }
            verb => verb.clone(),
        };
        let template = Template::parse(&rule.template).map_err(|problem| fail(problem.to_string()))?;
        let request = method.descriptor.input();
        let mut variables = Vec::<BoundVariable>::new();
        for variable in template.variables() {
            let fields = variable_fields(&request, &variable.field_path).map_err(fail)?;
            for other in &variables {
                clash(&fields, &other.fields).map_or(Ok(()), |reason| Err(fail(reason)))?;
            }
            variables.push(BoundVariable { fields, multi: variable.multi });
        }
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::All,
            name => Body::Field(top_level(&request, name, "body").map_err(fail)?),
        };
        if let Body::Field(field) = &body
            && variables
                .iter()
                .any(|variable| variable.fields.len() == 1 && variable.fields.first() == Some(field))
        {
            return Err(fail(format!("\"{}\" is a path variable and the body", field.name())));
        }
        let response_body = match rule.response_body.as_str() {
            "" => None,
            name => Some(top_level(&method.descriptor.output(), name, "response_body").map_err(fail)?),
        };
        let template = Arc::new(template);
        Ok(Self {
            method: Arc::clone(method),
            verb,
            template,
            body,
            response_body,
            variables,
            implicit: false,
            entry: rule.entry.clone(),
        })
    }

    /// `POST /package.Service/Method` with the whole request as body.
    pub fn implicit(method: &Arc<Method>) -> Result<Self, BindingError> {
        let rule = HttpRule::new(&*method.full_name, Verb::Post, method.path.as_str()).with_body("*");
        Ok(Self { implicit: true, ..Self::resolve(method, &rule)? })
    }
}

impl BoundVariable {
    /// The path by proto names, such as `book.name`.
    pub fn field_path(&self) -> String {
        join(&self.fields)
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.verb, self.template, self.method.full_name)
    }
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.method, self.rule, self.reason)
    }
}

impl std::error::Error for BindingError {}

/// Resolves a variable's field path: singular messages, then a singular field that has a text form.
fn variable_fields(request: &MessageDescriptor, path: &str) -> Result<Vec<FieldDescriptor>, String> {
    let mut message = request.clone();
    let mut fields: Vec<FieldDescriptor> = Vec::new();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(field) = message.get_field_by_name(name) else {
            let known: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
            let near = did_you_mean(name, known.iter().map(String::as_str));
            return Err(format!(
                "the variable \"{path}\": {} has no field \"{name}\"{near}",
                message.full_name()
            ));
        };
        if field.cardinality() == Cardinality::Repeated {
            let what = if field.is_map() { "a map" } else { "repeated" };
            return Err(format!(
                "the variable \"{path}\": the field \"{name}\" is {what}; a path holds one value"
            ));
        }
        let kind = field.kind();
        fields.push(field);
        let nested = kind.as_message().cloned();
        match (names.peek(), nested) {
            (None, Some(nested)) if !has_text_form(&nested) => {
                return Err(format!(
                    "the variable \"{path}\": the field \"{name}\" is the message {}, which has no text form",
                    nested.full_name()
                ));
            }
            (None, _) => {}
            (Some(_), Some(nested)) => message = nested,
            (Some(next), None) => {
                let type_name = kind_name(&kind);
                return Err(format!(
                    "the variable \"{path}\": \"{name}\" is a {type_name} and has no field \"{next}\""
                ));
            }
        }
    }
    Ok(fields)
}

/// Why two variables cannot be bound together: one within the other, or two members of one oneof.
fn clash(one: &[FieldDescriptor], other: &[FieldDescriptor]) -> Option<String> {
    let shared = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (Some(a), Some(b)) = (one.get(shared), other.get(shared)) else {
        return Some(format!("the variables \"{}\" and \"{}\" bind the same field", join(other), join(one)));
    };
    let oneof = a.containing_oneof().filter(|oneof| b.containing_oneof().as_ref() == Some(oneof))?;
    let oneof = oneof.name();
    Some(format!("the variables \"{}\" and \"{}\" are both in the oneof \"{oneof}\"", join(other), join(one)))
}

/// Whether a message is written as one text in a path or query: the well-known types whose ProtoJSON is no object.
pub(super) fn has_text_form(message: &MessageDescriptor) -> bool {
    matches!(
        message.full_name().strip_prefix("google.protobuf."),
        Some(
            "Timestamp"
                | "Duration"
                | "FieldMask"
                | "DoubleValue"
                | "FloatValue"
                | "Int64Value"
                | "UInt64Value"
                | "Int32Value"
                | "UInt32Value"
                | "BoolValue"
                | "StringValue"
                | "BytesValue"
                | "Value"
                | "Struct"
                | "ListValue"
        )
    )
}

/// The top-level field that `option` (body or response_body) names.
fn top_level(message: &MessageDescriptor, name: &str, option: &str) -> Result<FieldDescriptor, String> {
    if let Some(field) = message.get_field_by_name(name) {
        return Ok(field);
    }
    if name.contains('.') {
        return Err(format!(
            "{option}: \"{name}\" is nested; it must be a top-level field of {}",
            message.full_name()
        ));
    }
    let known: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
    let near = nearest(name, known.iter().map(String::as_str));
    let near = near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default();
    Err(format!("{option}: {} has no field \"{name}\"{near}", message.full_name()))
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Enum(descriptor) => descriptor.full_name().to_owned(),
        kind => format!("{kind:?}"),
    }
}

fn join(fields: &[FieldDescriptor]) -> String {
    fields.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::super::load::tests::compile;
    use super::*;

    const SOURCE: &str = r#"syntax = "proto3"; package shop;
        import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto"; import "google/protobuf/any.proto";
        service Books {
          rpc Update(Request) returns (Book);
        }
        enum Genre { GENRE_UNSPECIFIED = 0; }
        message Request {
          Book book = 1; repeated string tags = 2; map<string, string> labels = 3; int32 page_size = 4;
          google.protobuf.Timestamp at = 5; google.protobuf.StringValue note = 6; Genre genre = 7;
          google.protobuf.Any any = 8; oneof key { string id = 9; int64 number = 10; }
        }
        message Book { string name = 1; Author author = 2; }
        message Author { string name = 1; }"#;

    fn method() -> Arc<Method> {
        let schema = Schema::decode(&compile(&[("shop.proto", SOURCE)], true)).unwrap();
        Arc::clone(schema.method("/shop.Books/Update").unwrap())
    }

    fn rule(template: &str, body: &str, response_body: &str) -> HttpRule {
        HttpRule::new("shop.Books.Update", Verb::Patch, template)
            .with_body(body)
            .with_response_body(response_body)
    }

    #[test]
    fn rules_that_fit() {
        fn check(template: &str, body: &str, response_body: &str, want: &[&str]) {
            let binding = Binding::resolve(&method(), &rule(template, body, response_body))
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(binding.variables.iter().map(BoundVariable::field_path).collect::<Vec<_>>(), want);
            match &binding.body {
                Body::None => assert_eq!(body, ""),
                Body::All => assert_eq!(body, "*"),
                Body::Field(field) => assert_eq!(body, field.name()),
            }
            assert_eq!(binding.response_body.as_ref().map_or("", |field| field.name()), response_body);
        }
        check("/v1/{book.name=books/*}", "book", "name", &["book.name"]);
        check("/v1/{book.author.name}/{book.name}", "*", "author", &["book.author.name", "book.name"]);
        check("/v1/{page_size}/{at}/{note}/{genre}", "", "", &["page_size", "at", "note", "genre"]);
        check("/v1/{id}", "tags", "", &["id"]);
        check("/v1/{id}", "labels", "", &["id"]);
        check("/v1/{id}", "page_size", "", &["id"]);
    }

    #[test]
    fn rules_that_do_not_fit() {
        fn check(template: &str, body: &str, response_body: &str, want: &str) {
            let error =
                Binding::resolve(&method(), &rule(template, body, response_body)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("shop.Books.Update: PATCH {template}: ")), "{error}");
            assert!(error.contains(want), "{error}");
        }
        check("/v1/{book.nam}", "", "", "shop.Book has no field \"nam\" (did you mean \"name\"?)");
        check(
            "/v1/{pageSize}",
            "",
            "",
            "shop.Request has no field \"pageSize\" (did you mean \"page_size\"?)",
        );
        check("/v1/{tags}", "", "", "\"tags\" is repeated");
        check("/v1/{labels}", "", "", "\"labels\" is a map");
        check("/v1/{book}", "", "", "the message shop.Book, which has no text form");
        check("/v1/{any}", "", "", "google.protobuf.Any, which has no text form");
        check("/v1/{page_size.x}", "", "", "\"page_size\" is a int32 and has no field \"x\"");
        check("/v1/{at}/{at.seconds}", "", "", "bind the same field");
        check("/v1/{id}/{number}", "", "", "both in the oneof \"key\"");
        check("/v1/{id}", "id", "", "\"id\" is a path variable and the body");
        check("/v1", "boook", "", "body: shop.Request has no field \"boook\" (did you mean \"book\"?)");
        check("/v1", "book.name", "", "body: \"book.name\" is nested");
        check("/v1", "", "nam", "response_body: shop.Book has no field \"nam\"");
        check("/v1/{id}{", "", "", "column 9");
    }

    #[test]
    fn config_replaces_annotation_and_implicit_comes_last() {
        fn check(configured: &[HttpRule], implicit: bool, want: &[&str]) {
            let (bindings, errors) = bindings(&method(), configured, implicit);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(bindings.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
        }
        check(&[], false, &[]);
        check(&[], true, &["POST /shop.Books/Update (shop.Books.Update)"]);
        check(
            &[HttpRule::new("shop.*", Verb::Any, "/a")],
            true,
            &["* /a (shop.Books.Update)", "POST /shop.Books/Update (shop.Books.Update)"],
        );
    }
}
