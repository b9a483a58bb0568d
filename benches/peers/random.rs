//! A schema that nobody could tune for: messages of random fields, made at run time from a seed, and one message of it
//! filled at random. The same seed gives the same schema and the same message on every machine.
#![expect(clippy::expect_used, reason = "a broken sample must stop the measurement")]

use std::collections::HashMap;

use bytes::Bytes;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions,
};

/// How many messages the schema has; each may hold those after it.
const MESSAGES: usize = 5;

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

/// The pool of the schema of `seed`, and a message of its first type.
pub(crate) fn message(seed: u64) -> (DescriptorPool, DynamicMessage) {
    let mut random = Random(seed.max(1));
    let file = FileDescriptorProto {
        name: Some("random.proto".into()),
        package: Some("random.v1".into()),
        syntax: Some("proto3".into()),
        message_type: (0..MESSAGES).map(|index| descriptor(index, &mut random)).collect(),
        enum_type: vec![enumeration()],
        ..FileDescriptorProto::default()
    };
    let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file] })
        .expect("a valid schema");
    let root = pool.get_message_by_name("random.v1.Message0").expect("the first message");
    let message = fill(&root, &mut random);
    (pool, message)
}

fn descriptor(index: usize, random: &mut Random) -> DescriptorProto {
    let mut message = DescriptorProto { name: Some(format!("Message{index}")), ..DescriptorProto::default() };
    // Numbers with gaps, so that one-byte and two-byte tags are met.
    let mut number = 0;
    for position in 0..8 + random.below(8) {
        number += 1 + i32::try_from(random.below(4)).expect("below 4");
        let name = format!("{}_{position}", random.word());
        let mut field = FieldDescriptorProto {
            name: Some(name.clone()),
            number: Some(number),
            label: Some(if random.below(4) == 0 { Label::Repeated } else { Label::Optional }.into()),
            ..FieldDescriptorProto::default()
        };
        match random.below(10) {
            0 if index + 1 < MESSAGES => {
                let held = index + 1 + random.below(MESSAGES - index - 1);
                field.set_type(Type::Message);
                field.type_name = Some(format!(".random.v1.Message{held}"));
            }
            1 => {
                field.set_type(Type::Enum);
                field.type_name = Some(".random.v1.Choice".into());
            }
            2 => {
                let entry = entry(&name, random);
                field.set_label(Label::Repeated);
                field.set_type(Type::Message);
                field.type_name = Some(format!(".random.v1.Message{index}.{}", entry.name()));
                message.nested_type.push(entry);
            }
            _ => field.set_type(SCALARS[random.below(SCALARS.len())]),
        }
        message.field.push(field);
    }
    message
}

/// The entry message of a map from strings to a scalar.
fn entry(field: &str, random: &mut Random) -> DescriptorProto {
    let camel: String = field.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let part = |name: &str, number, kind: Type| FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(kind.into()),
        ..FieldDescriptorProto::default()
    };
    DescriptorProto {
        name: Some(format!("{camel}Entry")),
        field: vec![part("key", 1, Type::String), part("value", 2, SCALARS[random.below(SCALARS.len())])],
        options: Some(MessageOptions { map_entry: Some(true), ..MessageOptions::default() }),
        ..DescriptorProto::default()
    }
}

fn enumeration() -> EnumDescriptorProto {
    let value = |(number, name): (i32, &str)| EnumValueDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    EnumDescriptorProto {
        name: Some("Choice".into()),
        value: [(0, "CHOICE_UNSPECIFIED"), (1, "CHOICE_FIRST"), (2, "CHOICE_SECOND"), (40, "CHOICE_LAST")]
            .into_iter()
            .map(value)
            .collect(),
        ..EnumDescriptorProto::default()
    }
}

/// A message with nearly all its fields set.
fn fill(descriptor: &MessageDescriptor, random: &mut Random) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if random.below(8) == 0 {
            continue;
        }
        let value = value(&field, random);
        message.set_field(&field, value);
    }
    message
}

fn value(field: &FieldDescriptor, random: &mut Random) -> Value {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let held = entry.map_entry_value_field();
        // One entry: with more, the order of a hash map would tell the two converters apart.
        return Value::Map(HashMap::from([(
            MapKey::String(random.word().into()),
            single(&held.kind(), random),
        )]));
    }
    if field.is_list() {
        return Value::List((0..1 + random.below(4)).map(|_| single(&field.kind(), random)).collect());
    }
    single(&field.kind(), random)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "random bits of the width that is wanted"
)]
#[expect(clippy::cast_precision_loss, reason = "a random number")]
fn single(kind: &Kind, random: &mut Random) -> Value {
    // Of every size, as numbers in messages are.
    let bits = random.next() >> random.below(64);
    match kind {
        Kind::Double => Value::F64(bits as f64 / 64.0),
        Kind::Float => Value::F32((bits & 0xffff) as f32 / 8.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(bits as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(bits as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(bits as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(bits),
        Kind::Bool => Value::Bool(true),
        Kind::String => {
            let words: Vec<_> = (0..1 + random.below(5)).map(|_| random.word()).collect();
            Value::String(words.join(if random.below(6) == 0 { "\n\u{e9}" } else { " " }))
        }
        Kind::Bytes => Value::Bytes((0..random.below(24)).map(|_| random.next() as u8).collect::<Bytes>()),
        Kind::Enum(_) => Value::EnumNumber([1, 2, 40][random.below(3)]),
        Kind::Message(held) => Value::Message(fill(held, random)),
    }
}

/// Marsaglia's xorshift: enough for a sample, and without a dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn word(&mut self) -> &'static str {
        const WORDS: [&str; 12] = [
            "amber", "birch", "cobalt", "delta", "ember", "fjord", "grove", "harbour", "inlet", "juniper",
            "kestrel", "lagoon",
        ];
        WORDS[self.below(WORDS.len())]
    }
}
