//! Builds a [`Schema`] from encoded descriptors: tolerant of order, repeats and absent option imports, and reading
//! `google.api.http` from the bytes of the method's options, where it survives whether or not a pool knows it.
//!
//! Specification: google/protobuf/descriptor.proto (the field numbers below are its).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use http::uri::PathAndQuery;
use prost_reflect::{DescriptorPool, FileDescriptor, ServiceDescriptor};

use super::wire::{self, Malformed, Value, records};
use super::{HttpRule, Method, Schema, SchemaError, Service, editions};

/// The field number of `google.api.http` in `google.protobuf.MethodOptions`.
const HTTP_EXTENSION: u32 = 72_295_728;

/// Reads an encoded FileDescriptorSet.
pub(super) fn set(set: &[u8]) -> Result<Schema, SchemaError> {
    let files = bytes_of(set, 1).map_err(|Malformed| error("these bytes are not a FileDescriptorSet"))?;
    files_with_imports(&files)
}

/// Reads encoded FileDescriptorProtos.
pub(super) fn files(files: &[&[u8]]) -> Result<Schema, SchemaError> {
    files_with_imports(files)
}

/// Takes over a pool; `missing_imports` names the files that stand in it empty.
pub(super) fn pool(pool: DescriptorPool, missing_imports: Vec<String>) -> Result<Schema, SchemaError> {
    let mut services = Vec::new();
    for file in pool.files() {
        let rules = FileRules::read(&file)?;
        for (index, service) in file.services().enumerate() {
            services.push(Arc::new(read_service(&file, &service, index, &rules)?));
        }
    }
    let all = services.iter().flat_map(|service: &Arc<Service>| &service.methods);
    let methods = all.map(|method| (method.path.as_str().to_owned(), Arc::clone(method))).collect();
    Ok(Schema { pool, services, methods, missing_imports, sources: HashMap::new() })
}

fn files_with_imports(files: &[&[u8]]) -> Result<Schema, SchemaError> {
    let mut known: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut order = Vec::new();
    let mut imports = BTreeSet::new();
    for &bytes in files {
        let header =
            Header::read(bytes).ok_or_else(|| error("one of the files is not a FileDescriptorProto"))?;
        match known.get(&header.name) {
            None => {}
            // Reflection yields a file once for every symbol that needs it.
            Some(first) if *first == bytes => continue,
            Some(_) => {
                let reason = "this file is in the set twice, with different contents".to_owned();
                return Err(SchemaError { file: Some(header.name), symbol: None, reason });
            }
        }
        known.insert(header.name.clone(), bytes);
        let in_file = |reason: String| SchemaError { file: Some(header.name.clone()), symbol: None, reason };
        if header.name.is_empty() {
            return Err(error("one of the files has no name"));
        }
        if header.edition.is_none() && !matches!(header.syntax.as_str(), "" | "proto2" | "proto3") {
            return Err(in_file(format!("the syntax \"{}\" is not known", header.syntax)));
        }
        order.push(match header.edition {
            Some(edition) => editions::lower(bytes, edition).map_err(in_file)?,
            None => bytes.to_vec(),
        });
        imports.extend(header.imports);
    }

    let mut missing = Vec::new();
    let mut queue: Vec<String> = imports.into_iter().filter(|import| !known.contains_key(import)).collect();
    let mut absent: BTreeSet<String> = queue.iter().cloned().collect();
    let global = DescriptorPool::global();
    while let Some(import) = queue.pop() {
        if let Some(file) =
            global.get_file_by_name(&import).filter(|_| import.starts_with("google/protobuf/"))
        {
            for dependency in file.dependencies() {
                let name = dependency.name().to_owned();
                if !known.contains_key(&name) && absent.insert(name.clone()) {
                    queue.push(name);
                }
            }
            order.push(file.encode_to_vec());
        } else {
            // An import that serves options alone is not needed; a type that is needed will be missed by name below.
            let mut empty = Vec::new();
            wire::put_bytes(&mut empty, 1, import.as_bytes());
            wire::put_bytes(&mut empty, 12, b"proto3");
            order.push(empty);
            missing.push(import);
        }
    }
    missing.sort();

    let mut set = Vec::with_capacity(order.iter().map(|file| file.len() + 8).sum());
    for file in &order {
        wire::put_bytes(&mut set, 1, file);
    }
    // prost-reflect panics on some damaged descriptors (an index out of bounds while it describes the error), and an
    // upstream's reflection may answer anything: that is a bad schema, not the end of the thread that reads it.
    let decoded = std::panic::catch_unwind(|| DescriptorPool::decode(set.as_slice()));
    let descriptors =
        decoded.map_err(|_| error("the descriptors are damaged: they refer to what is not there"))?;
    let descriptors = descriptors.map_err(|problem| {
        let mut reason = problem.to_string();
        if !missing.is_empty() {
            reason.push_str(&format!("; the set lacks the imported {}", missing.join(", ")));
            reason.push_str(" (protoc and buf put them in with --include_imports)");
        }
        SchemaError { file: problem.file().map(str::to_owned), symbol: None, reason }
    })?;
    let mut schema = pool(descriptors, missing)?;
    schema.sources =
        known.into_iter().map(|(name, bytes)| (name, bytes::Bytes::copy_from_slice(bytes))).collect();
    Ok(schema)
}

fn read_service(
    file: &FileDescriptor,
    service: &ServiceDescriptor,
    index: usize,
    rules: &FileRules,
) -> Result<Service, SchemaError> {
    let in_file = |symbol: &str, reason: String| SchemaError {
        file: Some(file.name().to_owned()),
        symbol: Some(symbol.to_owned()),
        reason,
    };
    let mut methods = Vec::new();
    for (method_index, method) in service.methods().enumerate() {
        let full_name = method.full_name().to_owned();
        let path = format!("/{}/{}", service.full_name(), method.name());
        let path = PathAndQuery::try_from(path.as_str())
            .map_err(|problem| in_file(&full_name, format!("\"{path}\" is not a path: {problem}")))?;
        let rules = match rules.annotations.get(&(index, method_index)) {
            Some(option) => HttpRule::decode_annotation(option, &full_name)
                .map_err(|reason| in_file(&full_name, reason))?,
            None => Vec::new(),
        };
        let options = method.method_descriptor_proto().options.as_ref();
        methods.push(Arc::new(Method {
            full_name: full_name.into(),
            path,
            client_streaming: method.is_client_streaming(),
            server_streaming: method.is_server_streaming(),
            idempotency: options.map(prost_types::MethodOptions::idempotency_level).unwrap_or_default(),
            deprecated: options.is_some_and(prost_types::MethodOptions::deprecated),
            rules,
            descriptor: method,
        }));
    }
    let options = service.service_descriptor_proto().options.as_ref();
    Ok(Service {
        full_name: service.full_name().into(),
        methods,
        file: file.name().to_owned(),
        deprecated: options.is_some_and(prost_types::ServiceOptions::deprecated),
    })
}

/// The `google.api.http` options of a file's methods by index of service and method.
struct FileRules {
    annotations: HashMap<(usize, usize), Vec<u8>>,
}

impl FileRules {
    fn read(file: &FileDescriptor) -> Result<Self, SchemaError> {
        let mut annotations = HashMap::new();
        let malformed = |Malformed| SchemaError {
            file: Some(file.name().to_owned()),
            symbol: None,
            reason: "an option's bytes are not a protobuf message".to_owned(),
        };
        let bytes = file.encode_to_vec();
        for (service_index, service) in bytes_of(&bytes, 6).map_err(malformed)?.into_iter().enumerate() {
            for (method_index, method) in bytes_of(service, 2).map_err(malformed)?.into_iter().enumerate() {
                // Records of one message field add up (protobuf.dev, "Last One Wins"), so do the options' own.
                let mut option = None;
                for options in bytes_of(method, 4).map_err(malformed)? {
                    for part in bytes_of(options, HTTP_EXTENSION).map_err(malformed)? {
                        option.get_or_insert_with(Vec::new).extend_from_slice(part);
                    }
                }
                if let Some(option) = option {
                    annotations.insert((service_index, method_index), option);
                }
            }
        }
        Ok(Self { annotations })
    }
}

/// What a file says of itself.
struct Header {
    name: String,
    imports: Vec<String>,
    /// `proto2`, `proto3`, `editions`, or nothing for proto2.
    syntax: String,
    /// Set if the file is written in an edition.
    edition: Option<u64>,
}

impl Header {
    fn read(file: &[u8]) -> Option<Self> {
        let mut header =
            Self { name: String::new(), imports: Vec::new(), syntax: String::new(), edition: None };
        for record in records(file) {
            match record.ok()? {
                wire::Record { number: 1, value: Value::Bytes(name), .. } => header.name = text(name)?,
                wire::Record { number: 3, value: Value::Bytes(import), .. } => {
                    header.imports.push(text(import)?)
                }
                wire::Record { number: 12, value: Value::Bytes(syntax), .. } => header.syntax = text(syntax)?,
                wire::Record { number: 14, value: Value::Varint(edition), .. } => {
                    header.edition = Some(edition)
                }
                _ => {}
            }
        }
        Some(header)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Every length-delimited value of field `number`.
fn bytes_of(message: &[u8], number: u32) -> Result<Vec<&[u8]>, Malformed> {
    let mut values = Vec::new();
    for record in records(message) {
        let record = record?;
        if let (true, Value::Bytes(bytes)) = (record.number == number, record.value) {
            values.push(bytes);
        }
    }
    Ok(values)
}

fn error(reason: &str) -> SchemaError {
    SchemaError { file: None, symbol: None, reason: reason.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use protox::file::{File, FileResolver};

    use super::*;

    /// Compiles `files` (name, source) to an encoded FileDescriptorSet, imports of google/protobuf included or not.
    pub(crate) fn compile(files: &[(&str, &str)], include_imports: bool) -> Vec<u8> {
        struct Sources(HashMap<String, String>);
        impl FileResolver for Sources {
            fn open_file(&self, name: &str) -> Result<File, protox::Error> {
                match self.0.get(name) {
                    Some(source) => File::from_source(name, source),
                    None => protox::file::GoogleFileResolver::new().open_file(name),
                }
            }
        }
        let sources = files.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect();
        let mut compiler = protox::Compiler::with_file_resolver(Sources(sources));
        compiler.include_imports(include_imports).include_source_info(true);
        for (name, _) in files {
            compiler.open_file(name).unwrap_or_else(|error| panic!("{error:?}"));
        }
        compiler.encode_file_descriptor_set()
    }

    const HTTP: &str = r#"syntax = "proto3"; package google.api;
        message HttpRule { string selector = 1; oneof pattern { string get = 2; string put = 3; string post = 4;
        string delete = 5; string patch = 6; CustomHttpPattern custom = 8; } string body = 7;
        string response_body = 12; repeated HttpRule additional_bindings = 11; }
        message CustomHttpPattern { string kind = 1; string path = 2; }"#;
    const ANNOTATIONS: &str = r#"syntax = "proto3"; package google.api; import "google/api/http.proto";
        import "google/protobuf/descriptor.proto";
        extend google.protobuf.MethodOptions { HttpRule http = 72295728; }"#;
    const SHELVES: &str = r#"syntax = "proto3"; package shop.v1; import "google/api/annotations.proto";
        import "google/protobuf/empty.proto";
        service Shelves {
          rpc Get(Shelf) returns (Shelf) {
            option deprecated = true; option idempotency_level = NO_SIDE_EFFECTS;
            option (google.api.http) = { get: "/v1/{name=shelves/*}" additional_bindings { get: "/v1/shelf" } };
          }
          rpc Watch(google.protobuf.Empty) returns (stream Shelf);
        }
        message Shelf { string name = 1; }"#;

    fn files(set: &[u8]) -> Vec<(String, Vec<u8>)> {
        let files = bytes_of(set, 1).unwrap();
        files.iter().map(|file| (Header::read(file).unwrap().name, file.to_vec())).collect()
    }

    fn encode(files: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        files.iter().for_each(|(_, file)| wire::put_bytes(&mut out, 1, file));
        out
    }

    fn shelves() -> Vec<u8> {
        let sources = [
            ("google/api/http.proto", HTTP),
            ("google/api/annotations.proto", ANNOTATIONS),
            ("shop/v1/shelves.proto", SHELVES),
        ];
        compile(&sources, true)
    }

    fn assert_is_shelves(schema: &Schema) {
        let service = schema.service("shop.v1.Shelves").unwrap();
        assert_eq!(service.file, "shop/v1/shelves.proto");
        let get = schema.method("/shop.v1.Shelves/Get").unwrap();
        assert_eq!(
            get.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["GET /v1/{name=shelves/*}", "GET /v1/shelf"]
        );
        assert!(get.deprecated);
        assert_eq!(get.idempotency, prost_types::method_options::IdempotencyLevel::NoSideEffects);
        assert_eq!((get.service_name(), get.name()), ("shop.v1.Shelves", "Get"));
        let watch = schema.method("/shop.v1.Shelves/Watch").unwrap();
        assert!(watch.rules.is_empty() && watch.server_streaming && !watch.client_streaming);
        assert_eq!(watch.descriptor.input().full_name(), "google.protobuf.Empty");
    }

    #[test]
    fn a_set_is_read_with_its_annotations() {
        let schema = Schema::decode(&shelves()).unwrap();
        assert_is_shelves(&schema);
        assert!(schema.missing_imports().is_empty());
    }

    #[test]
    fn files_may_stand_in_any_order_and_repeat() {
        let mut parts = files(&shelves());
        parts.reverse();
        assert_is_shelves(&Schema::decode(&encode(&parts)).unwrap());
        let twice = parts.iter().chain(&parts).map(|(_, file)| file);
        assert_is_shelves(&Schema::from_files(twice).unwrap());
    }

    #[test]
    fn imports_for_options_and_of_google_protobuf_may_be_missing() {
        let only: Vec<_> =
            files(&shelves()).into_iter().filter(|(name, _)| name == "shop/v1/shelves.proto").collect();
        let schema = Schema::decode(&encode(&only)).unwrap();
        assert_is_shelves(&schema);
        assert_eq!(schema.missing_imports(), ["google/api/annotations.proto"]);
    }

    #[test]
    fn a_missing_type_is_named_with_the_missing_import() {
        let sources = [
            ("a.proto", r#"syntax = "proto3"; message A {}"#),
            ("b.proto", r#"syntax = "proto3"; import "a.proto"; message B { A a = 1; }"#),
        ];
        let only: Vec<_> =
            files(&compile(&sources, true)).into_iter().filter(|(name, _)| name == "b.proto").collect();
        let error = Schema::decode(&encode(&only)).unwrap_err().to_string();
        assert!(
            error.starts_with("b.proto: ")
                && error.contains("'.A'")
                && error.contains("lacks the imported a.proto"),
            "{error}"
        );
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let one = files(&compile(&[("a.proto", r#"syntax = "proto3"; message A {}"#)], false));
        let other = files(&compile(&[("a.proto", r#"syntax = "proto3"; message B {}"#)], false));
        let error = Schema::from_files(one.iter().chain(&other).map(|(_, file)| file)).unwrap_err();
        assert_eq!(error.to_string(), "a.proto: this file is in the set twice, with different contents");
    }

    #[test]
    fn a_malformed_annotation_names_its_method() {
        // A method whose option 72295728 holds bytes that are no HttpRule; the pool must not know the extension.
        fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
            let mut out = Vec::new();
            fields.iter().for_each(|(number, value)| wire::put_bytes(&mut out, *number, value));
            out
        }
        let options = message(&[(HTTP_EXTENSION, &[0x12, 0x20])]);
        let method = message(&[(1, b"M"), (2, b".E"), (3, b".E"), (4, &options)]);
        let service = message(&[(1, b"S"), (2, &method)]);
        let file = message(&[(1, b"s.proto"), (4, &message(&[(1, b"E")])), (6, &service)]);
        let error = Schema::from_files([file]).unwrap_err().to_string();
        assert!(error.starts_with("s.proto: S.M: google.api.http is not an HttpRule"), "{error}");
    }

    #[test]
    fn a_malformed_option_of_a_known_extension_is_an_error_not_a_panic() {
        let mut parts = files(&shelves());
        for (name, file) in &mut parts {
            if name == "shop/v1/shelves.proto" {
                // The first template of the annotation becomes what is no UTF-8.
                let at = file.windows(5).position(|window| window == b"/v1/{").unwrap();
                file[at + 1] = 0xff;
            }
        }
        let error = Schema::decode(&encode(&parts)).unwrap_err().to_string();
        assert!(error.contains("failed to decode"), "{error}");
    }

    #[test]
    fn rubbish_is_refused() {
        assert_eq!(
            Schema::decode(&[0x0a, 0x50]).unwrap_err().reason,
            "these bytes are not a FileDescriptorSet"
        );
        assert!(Schema::decode(&[0x0a, 0x01, 0x0a]).is_err());
        assert!(Schema::decode(&[]).unwrap().services().is_empty());
    }

    proptest! {
        #[test]
        fn a_damaged_set_never_panics(at in 0usize..2000, byte: u8) {
            static SET: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut set = SET.get_or_init(|| compile(&[("a.proto", r#"syntax = "proto3"; package a;
                message A { string b = 1; repeated A c = 2; } service S { rpc M(A) returns (stream A); }"#)], false)).clone();
            let at = at % set.len();
            if let Some(place) = set.get_mut(at) { *place = byte; }
            let _ = Schema::decode(&set);
        }
    }
}
