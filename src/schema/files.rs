//! The files of one schema as bytes, found by name, by a symbol they declare or by an extension, with what they
//! import. Server reflection answers from it, so the bytes are those that came, with every option.
//!
//! Specification: google/protobuf/descriptor.proto; a symbol is a full name as in "Language Specification", scopes
//! included (an enum's values stand in the scope around the enum).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::Schema;
use super::wire::{Malformed, Value, put_bytes, records};

/// The files of one schema.
#[derive(Debug, Default)]
pub struct Files {
    files: Vec<File>,
    names: HashMap<String, usize>,
    /// Services, methods, messages, fields, oneofs, enums, enum values, extensions; by full name without leading dot.
    symbols: HashMap<String, usize>,
    /// Full names of messages, which extensions may extend.
    messages: BTreeSet<String>,
    /// By the extended message's full name and the extension's number.
    extensions: BTreeMap<(String, i32), usize>,
}

/// One file.
#[derive(Debug)]
pub struct File {
    /// Its name, such as `acme/library/v1/library.proto`.
    pub name: String,
    /// The encoded `google.protobuf.FileDescriptorProto`.
    pub bytes: Bytes,
    imports: Vec<String>,
}

impl Files {
    /// Takes the files of a schema. A file that was missing when the schema was read is not among them.
    #[must_use]
    pub fn of(schema: &Schema) -> Self {
        let mut files = Self::default();
        for file in schema.pool().files() {
            let Some(bytes) = schema.file(file.name()) else { continue };
            // The schema has decoded this file already, so it is one.
            if let Ok(descriptor) = FileDescriptorProto::decode(bytes.clone()) {
                files.add(descriptor, bytes);
            }
        }
        files
    }

    /// The files of a schema but those whose services are all left out and that no other file needs.
    #[must_use]
    pub fn with(schema: &Schema, wanted: impl Fn(&str) -> bool) -> Self {
        let all = Self::of(schema);
        let is_wanted = |file: &prost_reflect::FileDescriptor| {
            let mut services = file.services().peekable();
            services.peek().is_none() || services.any(|service| wanted(service.full_name()))
        };
        let pool = schema.pool();
        let roots: HashSet<_> = pool.files().filter(is_wanted).map(|file| file.name().to_owned()).collect();
        let roots = all.iter().filter(|file| roots.contains(&file.name));
        let needed: HashSet<&str> =
            roots.flat_map(|root| all.closure(root)).map(|file| &*file.name).collect();
        let mut files = Self::default();
        for file in all.iter().filter(|file| needed.contains(&*file.name)) {
            if let Ok(descriptor) = FileDescriptorProto::decode(file.bytes.clone()) {
                files.add(descriptor, file.bytes.clone());
            }
        }
        files
    }

    /// The file of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&File> {
        self.names.get(name).and_then(|&index| self.files.get(index))
    }

    /// The file that declares a symbol, given by its full name without leading dot.
    #[must_use]
    pub fn by_symbol(&self, symbol: &str) -> Option<&File> {
        self.symbols.get(symbol).and_then(|&index| self.files.get(index))
    }

    /// The file that declares the extension `number` of a message, given by its full name without leading dot.
    #[must_use]
    pub fn by_extension(&self, message: &str, number: i32) -> Option<&File> {
        let index = self.extensions.get(&(message.to_owned(), number))?;
        self.files.get(*index)
    }

    /// The numbers of a message's extensions, ascending; `None` where the message is not known.
    #[must_use]
    pub fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        let all = (message.to_owned(), i32::MIN)..=(message.to_owned(), i32::MAX);
        let numbers = || self.extensions.range(all).map(|((_, number), _)| *number).collect();
        self.messages.contains(message).then(numbers)
    }

    /// A file, and after it all it imports, directly or not, as far as they are known: each once.
    #[must_use]
    pub fn closure<'f>(&'f self, file: &'f File) -> Vec<&'f File> {
        let mut closure = vec![file];
        let mut known = HashSet::from([file.name.as_str()]);
        let mut next = 0;
        while let Some(file) = closure.get(next).copied() {
            next += 1;
            for import in &file.imports {
                if let Some(import) = self.by_name(import)
                    && known.insert(&import.name)
                {
                    closure.push(import);
                }
            }
        }
        closure
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The full names of all symbols, in no order.
    pub fn symbols(&self) -> impl Iterator<Item = &str> {
        self.symbols.keys().map(String::as_str)
    }

    fn add(&mut self, descriptor: FileDescriptorProto, bytes: Bytes) {
        let index = self.files.len();
        let scope = descriptor.package();
        for message in &descriptor.message_type {
            self.message(scope, message, index);
        }
        for declared in &descriptor.enum_type {
            self.enumeration(scope, declared, index);
        }
        self.extend(scope, &descriptor.extension, index);
        for service in &descriptor.service {
            let name = self.symbol(scope, service.name(), index);
            for method in &service.method {
                self.symbol(&name, method.name(), index);
            }
        }
        let name = descriptor.name().to_owned();
        self.names.insert(name.clone(), index);
        self.files.push(File { name, bytes, imports: descriptor.dependency });
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto, index: usize) {
        let name = self.symbol(scope, message.name(), index);
        for field in &message.field {
            self.symbol(&name, field.name(), index);
        }
        for oneof in &message.oneof_decl {
            self.symbol(&name, oneof.name(), index);
        }
        for nested in &message.nested_type {
            self.message(&name, nested, index);
        }
        for declared in &message.enum_type {
            self.enumeration(&name, declared, index);
        }
        self.extend(&name, &message.extension, index);
        self.messages.insert(name);
    }

    fn enumeration(&mut self, scope: &str, declared: &EnumDescriptorProto, index: usize) {
        self.symbol(scope, declared.name(), index);
        for value in &declared.value {
            self.symbol(scope, value.name(), index);
        }
    }

    fn extend(&mut self, scope: &str, extensions: &[FieldDescriptorProto], index: usize) {
        for extension in extensions {
            self.symbol(scope, extension.name(), index);
            let extended = extension.extendee().trim_start_matches('.').to_owned();
            self.extensions.entry((extended, extension.number())).or_insert(index);
        }
    }

    fn symbol(&mut self, scope: &str, name: &str, index: usize) -> String {
        let full_name = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.entry(full_name.clone()).or_insert(index);
        full_name
    }
}

impl File {
    /// True if both files declare the same, whatever their comments and whichever compiler wrote them: source info is
    /// not compared, nor the order of fields with different numbers, nor JSON names that are the default.
    #[must_use]
    pub fn declares_the_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes || canonical(&self.bytes, Part::File) == canonical(&other.bytes, Part::File)
    }
}

/// The messages of a descriptor that have something to leave out, in themselves or below.
#[derive(Clone, Copy)]
enum Part {
    File,
    Message,
    Field,
}

fn canonical(bytes: &[u8], part: Part) -> Result<Vec<u8>, Malformed> {
    let mut sorted = records(bytes).collect::<Result<Vec<_>, _>>()?;
    sorted.sort_by_key(|record| record.number);
    let name = sorted.first().map(|record| record.value);
    let mut out = Vec::with_capacity(bytes.len());
    for record in &sorted {
        let below = match (part, record.number, record.value) {
            // source_code_info, and a syntax of proto2, which compilers leave out
            (Part::File, 9, _) | (Part::File, 12, Value::Bytes(b"proto2")) => continue,
            // json_name, which descriptors in generated code leave out
            (Part::Field, 10, Value::Bytes(json_name)) if is_default(json_name, name) => continue,
            (Part::File, 4, Value::Bytes(message)) | (Part::Message, 3, Value::Bytes(message)) => {
                Some(canonical(message, Part::Message)?)
            }
            (Part::File, 7, Value::Bytes(field)) | (Part::Message, 2 | 6, Value::Bytes(field)) => {
                Some(canonical(field, Part::Field)?)
            }
            _ => None,
        };
        match below {
            Some(below) => put_bytes(&mut out, record.number, &below),
            None => out.extend_from_slice(record.raw),
        }
    }
    Ok(out)
}

fn is_default(json_name: &[u8], name: Option<Value<'_>>) -> bool {
    let Some(Value::Bytes(name)) = name else { return false };
    let mut default = Vec::with_capacity(name.len());
    let mut upper = false;
    for byte in name {
        match byte {
            b'_' => upper = true,
            byte if std::mem::take(&mut upper) => default.push(byte.to_ascii_uppercase()),
            byte => default.push(*byte),
        }
    }
    default == json_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::load::tests::compile;

    const LIBRARY: &str = r#"syntax = "proto2"; package acme;
        import "google/protobuf/descriptor.proto";
        import "shared.proto";
        message Book {
          optional string page_title = 1;
          oneof kind { bool novel = 2; }
          message Page { optional int32 number = 1; }
          enum State { STATE_NEW = 0; STATE_OLD = 1; }
          extensions 100 to 200;
          extend Book { optional Shared nested_extension = 102; }
        }
        extend Book { optional string note = 101; optional string late = 100; }
        extend google.protobuf.MethodOptions { optional string scope = 50001; }
        enum Colour { RED = 0; }
        service Library { rpc Get(Book) returns (Book) { option (scope) = "read"; } }"#;
    const SHARED: &str = r#"syntax = "proto3"; package acme; message Shared { int64 very_long_name = 1; }"#;

    fn files(sources: &[(&str, &str)]) -> Files {
        Files::of(&Schema::decode(&compile(sources, true)).unwrap())
    }

    #[test]
    fn every_kind_of_symbol_is_found() {
        let files = files(&[("shared.proto", SHARED), ("library.proto", LIBRARY)]);
        let check = |symbol: &str, want: Option<&str>| {
            assert_eq!(files.by_symbol(symbol).map(|file| file.name.as_str()), want, "{symbol}");
        };
        check("acme.Library", Some("library.proto"));
        check("acme.Library.Get", Some("library.proto"));
        check("acme.Book", Some("library.proto"));
        check("acme.Book.page_title", Some("library.proto"));
        check("acme.Book.kind", Some("library.proto"));
        check("acme.Book.Page", Some("library.proto"));
        check("acme.Book.Page.number", Some("library.proto"));
        check("acme.Book.State", Some("library.proto"));
        check("acme.Book.STATE_OLD", Some("library.proto"));
        check("acme.Book.State.STATE_OLD", None);
        check("acme.RED", Some("library.proto"));
        check("acme.note", Some("library.proto"));
        check("acme.Book.nested_extension", Some("library.proto"));
        check("acme.Shared", Some("shared.proto"));
        check("google.protobuf.MethodOptions", Some("google/protobuf/descriptor.proto"));
        check("acme", None);
        check("acme.Libary", None);
        check("", None);
    }

    #[test]
    fn extensions_are_found_and_listed() {
        let files = files(&[("shared.proto", SHARED), ("library.proto", LIBRARY)]);
        assert_eq!(files.extension_numbers("acme.Book"), Some(vec![100, 101, 102]));
        assert_eq!(files.extension_numbers("acme.Shared"), Some(vec![]));
        assert_eq!(files.extension_numbers("acme.Library"), None);
        assert_eq!(files.by_extension("acme.Book", 102).unwrap().name, "library.proto");
        assert!(files.by_extension("acme.Book", 103).is_none());
    }

    #[test]
    fn a_closure_begins_with_its_file_and_holds_each_import_once() {
        let sources = [
            (
                "a.proto",
                r#"syntax = "proto3"; import "b.proto"; import "c.proto"; message A { B b = 1; C c = 2; }"#,
            ),
            ("b.proto", r#"syntax = "proto3"; import "d.proto"; message B { D d = 1; }"#),
            ("c.proto", r#"syntax = "proto3"; import "d.proto"; message C { D d = 1; }"#),
            ("d.proto", r#"syntax = "proto3"; message D {}"#),
        ];
        let files = files(&sources);
        let names: Vec<_> =
            files.closure(files.by_name("a.proto").unwrap()).iter().map(|file| file.name.clone()).collect();
        assert_eq!(names, ["a.proto", "b.proto", "c.proto", "d.proto"]);
    }

    #[test]
    fn files_are_the_same_whoever_compiled_them() {
        let compiled = |source: &str| files(&[("shared.proto", source)]);
        let same = |one: &Files, other: &Files| {
            one.by_name("shared.proto").unwrap().declares_the_same(other.by_name("shared.proto").unwrap())
        };
        let ours = compiled(SHARED);
        // As generated Python code has it: no JSON names.
        let mut plain =
            FileDescriptorProto::decode(ours.by_name("shared.proto").unwrap().bytes.clone()).unwrap();
        plain.source_code_info = Some(prost_types::SourceCodeInfo::default());
        assert!(plain.message_type[0].field[0].json_name.take().is_some());
        let python = Files::of(&Schema::from_files([plain.encode_to_vec()]).unwrap());
        assert!(same(&ours, &python));
        plain.message_type[0].field[0].json_name = Some("other".into());
        assert!(!same(&ours, &Files::of(&Schema::from_files([plain.encode_to_vec()]).unwrap())));
        assert!(!same(&ours, &compiled(&SHARED.replace("int64", "int32"))));
        assert!(same(&ours, &compiled(&SHARED.replace("message", "// A comment.\nmessage"))));
    }
}
