//! The parameters of an operation: those of its path, and the fields that its query may name, nested ones by their path
//! (`book.author.name`). Members of a oneof are one parameter, an object whose members are written as parameters of their
//! own (style `form`, exploded): that is how OpenAPI can say that only one of them may be there.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};
use utoipa::openapi::{
    Deprecated, Required,
    extensions::Extensions,
    path::{self, ParameterBuilder, ParameterIn, ParameterStyle},
};

use super::{path::Path, schema::schema};
use crate::{
    schema::{Binding, Body, Segment},
    transcode::json_schema::{Walker, fields, quoted},
};

/// Fields within fields are named to this depth.
const DEPTH: usize = 6;

/// The parameters of a path, as a binding fills its fields with them.
pub(super) fn of_path(walker: &mut Walker, binding: &Binding, path: &Path) -> Vec<path::Parameter> {
    let parameters = path.parameters.iter().map(|parameter| {
        let bound = parameter.variable.and_then(|index| binding.variables.get(index));
        let field = bound.and_then(|bound| bound.fields.last());
        let of_field = field.map(|field| walker.description(field)).unwrap_or_default();
        let whole = field.filter(|_| parameter.whole && !parameter.rest);
        let mut value = whole.and_then(|field| walker.text(field)).unwrap_or(json!({"type": "string"}));
        if value.get("type") == Some(&json!("string"))
            && let Some(members) = value.as_object_mut()
        {
            members.insert("minLength".to_owned(), 1.into());
        }
        let mut said = of_field;
        // Paths of one shape are one path to OpenAPI, under the first one's names.
        let own = bound
            .map(|bound| bound.fields.iter().map(|field| walker.name(field)).collect::<Vec<_>>().join("."));
        if let Some(own) = own.filter(|own| parameter.whole && *own != parameter.name) {
            let fills = format!("Fills `{own}`.");
            said = if said.is_empty() { fills } else { format!("{fills} {said}") };
        }
        if let (Some(bound), false) = (bound, parameter.whole) {
            let template = parameter.variable.map(|index| variable_text(binding, index)).unwrap_or_default();
            let part = format!("A part of `{}`, which is `{template}`.", bound.field_path());
            said = if said.is_empty() { part } else { format!("{part} {said}") };
        }
        let mut extensions = None;
        if parameter.rest {
            said.push_str(if said.is_empty() { "" } else { "\n\n" });
            said.push_str("It may span several segments of the path: a slash in it is one of the path's.");
            extensions = Some(Extensions::from_iter([("x-multi-segment", true)]));
        }
        ParameterBuilder::new()
            .name(&parameter.name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(said).filter(|said| !said.is_empty()))
            .schema(Some(schema(&value)))
            .example(field.filter(|_| parameter.whole).and_then(|field| example(walker, field)))
            .extensions(extensions)
            .build()
    });
    parameters.collect()
}

/// What a field's form, or its comment, shows; nothing where neither does.
fn example(walker: &mut Walker, field: &FieldDescriptor) -> Option<Value> {
    let text = field.kind() == Kind::String && !field.is_list() && !field.is_map();
    walker.form(field).and_then(|form| form.example).or_else(|| {
        let said = text.then(|| walker.description(field))?;
        quoted(&said).filter(|text| !text.is_empty()).map(Value::from)
    })
}

/// What a template's variable captures, such as `shelves/*`.
fn variable_text(binding: &Binding, index: usize) -> String {
    let Some(variable) = binding.template.variables().get(index) else { return String::new() };
    let segments = binding.template.segments().get(variable.start..variable.end).unwrap_or_default();
    let texts = segments.iter().map(|segment| match segment {
        Segment::Literal(text) => text,
        Segment::One => "*",
        Segment::Rest => "**",
    });
    texts.collect::<Vec<_>>().join("/")
}

/// The parameters of a binding's query.
pub(super) fn of_query(walker: &mut Walker, binding: &Binding) -> Vec<path::Parameter> {
    let message = binding.method.descriptor.input();
    let mut fields =
        Fields { walker, binding, found: Vec::new(), exclusive: BTreeMap::new(), within: Vec::new() };
    match &binding.body {
        Body::All => {}
        Body::None | Body::Field(_) => fields.of_message(&message, &mut Vec::new()),
    }
    fields.parameters()
}

struct Fields<'a> {
    walker: &'a mut Walker,
    binding: &'a Binding,
    found: Vec<Found>,
    /// The place of a oneof's parameter among those found, by the oneof's full name behind the way to it.
    exclusive: BTreeMap<String, usize>,
    within: Vec<MessageDescriptor>,
}

enum Found {
    One {
        name: String,
        field: FieldDescriptor,
        schema: Value,
        description: String,
        example: Option<Value>,
    },
    /// Members of a oneof, each with the parameters it may be given by.
    Exclusive {
        name: String,
        description: String,
        members: Vec<(String, Map<String, Value>)>,
    },
}

impl Fields<'_> {
    /// The fields of a message that is reached by `way`.
    fn of_message(&mut self, message: &MessageDescriptor, way: &mut Vec<FieldDescriptor>) {
        if self.within.contains(message) || way.len() >= DEPTH {
            return;
        }
        self.within.push(message.clone());
        for field in fields(message) {
            way.push(field.clone());
            if !self.given_elsewhere(way) {
                self.of_field(&field, way);
            }
            way.pop();
        }
        self.within.pop();
    }

    /// True for what the path or the body gives.
    fn given_elsewhere(&self, way: &[FieldDescriptor]) -> bool {
        let in_path = self.binding.variables.iter().any(|variable| variable.fields == way);
        let in_body = matches!(&self.binding.body, Body::Field(field) if way.first() == Some(field));
        // What the path binds has taken its oneof.
        let taken = way.last().and_then(FieldDescriptor::containing_oneof).is_some_and(|oneof| {
            !oneof.is_synthetic()
                && self.binding.variables.iter().any(|variable| {
                    variable.fields.len() == way.len()
                        && variable.fields.last().and_then(FieldDescriptor::containing_oneof).as_ref()
                            == Some(&oneof)
                })
        });
        in_path || in_body || taken
    }

    fn of_field(&mut self, field: &FieldDescriptor, way: &mut Vec<FieldDescriptor>) {
        let nested = match field.kind() {
            Kind::Message(message) if !field.is_map() => Some(message),
            _ => None,
        };
        let name = way.iter().map(|field| self.walker.name(field)).collect::<Vec<_>>().join(".");
        let description = self.walker.description(field);
        let value = if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let values = self.walker.text(&entry.map_entry_value_field());
            values.map(|values| json!({"type": "object", "additionalProperties": values}))
        } else {
            let one = self.walker.text(field);
            one.map(|one| if field.is_list() { json!({"type": "array", "items": one}) } else { one })
        };
        match (value, nested) {
            (Some(value), _) => self.put(field, way, name, value, description),
            (None, Some(message)) if !field.is_list() => self.of_message(&message, way),
            // A list of messages has no form in a query.
            (None, _) => {}
        }
    }

    fn put(
        &mut self,
        field: &FieldDescriptor,
        way: &[FieldDescriptor],
        name: String,
        value: Value,
        description: String,
    ) {
        // The outermost oneof on the way decides: its members exclude each other whole.
        let exclusive = way.iter().enumerate().find_map(|(at, field)| {
            let several = |oneof: &OneofDescriptor| !oneof.is_synthetic() && oneof.fields().count() > 1;
            Some((at, field, field.containing_oneof().filter(several)?))
        });
        let Some((at, member, oneof)) = exclusive else {
            let example = example(self.walker, field);
            self.found.push(Found::One { name, field: field.clone(), schema: value, description, example });
            return;
        };
        let before: Vec<_> = way.iter().take(at).map(|field| self.walker.name(field)).collect();
        let group = before.into_iter().chain([oneof.name().to_owned()]).collect::<Vec<_>>().join(".");
        let place = *self.exclusive.entry(group.clone()).or_insert_with(|| {
            let said = self.walker.comments().of(&oneof.parent_message().parent_file(), oneof.path());
            let all = "One of these parameters at most.";
            let description = if said.is_empty() { all.to_owned() } else { format!("{said}\n\n{all}") };
            self.found.push(Found::Exclusive { name: group, description, members: Vec::new() });
            self.found.len() - 1
        });
        let Some(Found::Exclusive { members, .. }) = self.found.get_mut(place) else { return };
        let mut value = value;
        if let (Some(object), false) = (value.as_object_mut(), description.is_empty()) {
            object.insert("description".to_owned(), description.into());
        }
        match members.iter_mut().find(|(known, _)| known == member.name()) {
            Some((_, properties)) => {
                properties.insert(name, value);
            }
            None => members.push((member.name().to_owned(), Map::from_iter([(name, value)]))),
        }
    }

    fn parameters(self) -> Vec<path::Parameter> {
        self.found.into_iter().map(Found::parameter).collect()
    }
}

impl Found {
    fn parameter(self) -> path::Parameter {
        let parameter = ParameterBuilder::new().parameter_in(ParameterIn::Query).required(Required::False);
        match self {
            Self::One { name, field, schema: mut value, description, example } => {
                let options = field.field_descriptor_proto().options.as_ref();
                let deprecated = options.is_some_and(prost_types::FieldOptions::deprecated);
                let parameter = parameter
                    .name(name)
                    .description(Some(description).filter(|said| !said.is_empty()))
                    .deprecated(deprecated.then_some(Deprecated::True))
                    .example(example);
                let json = value.as_object_mut().and_then(|members| members.remove("contentMediaType"));
                if json.is_some() {
                    // JSON inside a text: a parameter with content, for which utoipa has no word.
                    let content = json!({"application/json": {"schema": value}});
                    return parameter.extensions(Some(Extensions::from_iter([("content", content)]))).build();
                }
                let parameter = parameter.schema(Some(schema(&value)));
                if field.is_map() {
                    return parameter.style(Some(ParameterStyle::DeepObject)).explode(Some(true)).build();
                }
                parameter.build()
            }
            Self::Exclusive { name, description, members } => {
                let alone = members.iter().all(|(_, properties)| properties.len() == 1);
                let value = if alone {
                    let properties: Map<_, _> = members.into_iter().flat_map(|(_, one)| one).collect();
                    json!({
                        "type": "object", "properties": properties, "maxProperties": 1, "additionalProperties": false,
                    })
                } else {
                    let each: Vec<_> = members
                        .into_iter()
                        .map(|(_, properties)| {
                            json!({"type": "object", "properties": properties, "additionalProperties": false})
                        })
                        .collect();
                    json!({"anyOf": each})
                };
                parameter
                    .name(name)
                    .description(Some(description))
                    .schema(Some(schema(&value)))
                    .style(Some(ParameterStyle::Form))
                    .explode(Some(true))
                    // None of them: what is shown as an example is sent by who tries it out.
                    .example(Some(json!({})))
                    .build()
            }
        }
    }
}
