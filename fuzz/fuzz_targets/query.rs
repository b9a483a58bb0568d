//! Queries and bodies woven into a message of the descriptors' own schema, which has every shape of field: what is accepted
//! is a message that the converter prints, what is refused leaves nothing behind. The input is `query \n body`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use propylon::schema::{Binding, HttpRule, Schema, Verb, wire};
use propylon::transcode::{Codec, JsonInput, JsonStyle, RequestPlan, Tables};

/// A service whose request is google.protobuf.DescriptorProto or google.protobuf.Type, with the body in one of its fields.
static PLANS: LazyLock<Vec<(RequestPlan, Codec)>> = LazyLock::new(|| {
    let rules = [
        ("Describe", ".google.protobuf.DescriptorProto", "/a/{name}", "options"),
        ("Type", ".google.protobuf.Type", "/b/{name}/{source_context.file_name}", ""),
        ("Whole", ".google.protobuf.Type", "/c/{name}/{syntax}", "*"),
    ];
    let record = |fields: &[(u32, &[u8])]| {
        let mut out = Vec::new();
        fields.iter().for_each(|(number, value)| wire::put_bytes(&mut out, *number, value));
        out
    };
    let methods: Vec<Vec<u8>> = rules
        .iter()
        .map(|(name, of, ..)| record(&[(1, name.as_bytes()), (2, of.as_bytes()), (3, of.as_bytes())]))
        .collect();
    let mut service = record(&[(1, b"Fuzz")]);
    methods.iter().for_each(|method| wire::put_bytes(&mut service, 2, method));
    let file = record(&[
        (1, b"fuzz.proto"),
        (3, b"google/protobuf/descriptor.proto"),
        (3, b"google/protobuf/type.proto"),
        (6, &service),
        (12, b"proto3"),
    ]);
    let schema = Schema::from_files([file]).expect("the fuzz schema is sound");
    let tables = Tables::compile(schema.pool());
    let plan = |(name, of, template, body): &(&str, &str, &str, &str)| {
        let method = schema.method(&format!("/Fuzz/{name}")).expect("declared above");
        let rule = HttpRule::new(format!("Fuzz.{name}"), Verb::Patch, *template).with_body(*body);
        let binding = Binding::resolve(method, &rule).expect("the rule fits");
        let codec = tables.codec(&of[1..]).expect("google.protobuf is in every schema");
        (RequestPlan::compile(&binding, &codec).expect("the codec is the method's"), codec)
    };
    rules.iter().map(plan).collect()
});

fuzz_target!(|text: &str| {
    let (query, body) = text.split_once('\n').unwrap_or((text, ""));
    let captures = ["name".into(), "SYNTAX_PROTO3".into()];
    for (plan, codec) in PLANS.iter() {
        for ignore_unknown in [false, true] {
            let mut message = Vec::new();
            let input = JsonInput { ignore_unknown, ..JsonInput::default() };
            let body = plan.takes_body().then_some(body.as_bytes());
            match plan.assemble(&captures, Some(query), body, &input, &mut message) {
                Ok(()) => {
                    let printed = codec.to_json(&message, &JsonStyle::default(), &mut Vec::new());
                    // A field mask can hold what has no JSON form; everything else that was read can be printed.
                    assert!(printed.is_ok(), "{printed:?}");
                }
                Err(error) => assert!(message.is_empty() && error.is_input(), "{error}"),
            }
        }
    }
});
