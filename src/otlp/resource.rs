//! Whose telemetry it is: the resource that all of it is of, by OpenTelemetry's names.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    resource::v1::Resource,
};

/// The resource of a gateway's process. `said`: what the config says, which goes before what is known without.
#[must_use]
pub fn resource(service: &str, instance: &str, environment: &str, said: &[(String, String)]) -> Resource {
    let known = [
        ("service.name", service),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
        ("deployment.environment.name", environment),
        ("telemetry.sdk.name", "propylon"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ];
    let known = known.into_iter().filter(|(name, _)| !said.iter().any(|(said, _)| said == name));
    let said = said.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let attributes = known.chain(said).map(|(name, value)| text(name, value)).collect();
    Resource { attributes, ..Resource::default() }
}

/// An attribute that is a text.
pub(super) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

/// An attribute that is a number.
pub(super) fn number(name: &str, value: i64) -> KeyValue {
    attribute(name, Value::IntValue(value))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_config_says_goes_before_what_is_known() {
        let said = [("service.name".to_owned(), "edge".to_owned()), ("team".to_owned(), "a".to_owned())];
        let attributes = resource("propylon", "i-1", "test", &said).attributes;
        let of = |name: &str| {
            let all: Vec<_> = attributes.iter().filter(|attribute| attribute.key == name).collect();
            let [one] = all.as_slice() else { panic!("{name}: {all:?}") };
            match one.value.clone().unwrap().value.unwrap() {
                Value::StringValue(text) => text,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((of("service.name"), of("team")), ("edge".to_owned(), "a".to_owned()));
        assert_eq!((of("service.instance.id"), of("telemetry.sdk.language")), ("i-1".into(), "rust".into()));
    }
}
