//! Server reflection, v1 and v1alpha, over the catalogue: the built-in services and the upstreams' together, each
//! source answered from its own files.
//!
//! tonic-reflection 0.14 is not used: its set of files is fixed and merged (the first file of a name wins silently), it
//! ends the stream on an unknown symbol where the protocol goes on, and it knows no extensions.
//!
//! Source: grpc/reflection/v1/reflection.proto, "GRPC Server Reflection Protocol".

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};
use prost::Message;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    proto::{
        grpc_reflection_v1::{
            ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
            ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
            server_reflection_server::ServerReflection,
        },
        grpc_reflection_v1alpha::{self as alpha, server_reflection_server as alpha_server},
    },
    route::catalog::Catalog,
    schema::{File, Files, did_you_mean},
};

/// `grpc.reflection.v1` over one catalogue.
#[derive(Debug)]
pub struct Reflection {
    catalog: Arc<Catalog>,
}

/// `grpc.reflection.v1alpha` over one catalogue.
#[derive(Debug)]
pub struct ReflectionAlpha {
    catalog: Arc<Catalog>,
}

impl Reflection {
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }
}

impl ReflectionAlpha {
    #[must_use]
    pub fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        Ok(Response::new(Session::new(&self.catalog).answers(requests.into_inner()).boxed()))
    }
}

#[tonic::async_trait]
impl alpha_server::ServerReflection for ReflectionAlpha {
    type ServerReflectionInfoStream = BoxStream<'static, Result<alpha::ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<alpha::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let requests = requests.into_inner().map(|request| same_on_the_wire(&request?));
        let answers = Session::new(&self.catalog).answers(requests);
        Ok(Response::new(answers.map(|answer| same_on_the_wire(&answer?)).boxed()))
    }
}

/// v1 and v1alpha differ in their package's name alone.
fn same_on_the_wire<To: Message + Default>(from: &impl Message) -> Result<To, Status> {
    To::decode(from.encode_to_vec().as_slice())
        .map_err(|error| Status::internal(format!("reflection v1 and v1alpha differ: {error}")))
}

/// One client's stream.
struct Session {
    catalog: Arc<Catalog>,
    /// The files it has been sent, by their bytes: two sources may have one name for different files.
    sent: HashSet<Bytes>,
    /// The source it was last answered from. Symbols are looked for there first, so that what a client learnt of by
    /// one source's service is explained by the same source.
    last: Option<usize>,
}

/// An answer that the client asked in vain: its code and what was wrong.
type Refused = (Code, String);

impl Session {
    fn new(catalog: &Arc<Catalog>) -> Self {
        Self { catalog: Arc::clone(catalog), sent: HashSet::new(), last: None }
    }

    /// Answers each request in turn, until the client ends its side.
    fn answers<S>(self, requests: S) -> impl Stream<Item = Result<ServerReflectionResponse, Status>> + Send
    where
        S: Stream<Item = Result<ServerReflectionRequest, Status>> + Send + Unpin,
    {
        stream::unfold((self, requests), |(mut session, mut requests)| async move {
            let answer = requests.next().await?.map(|request| session.answer(request));
            Some((answer, (session, requests)))
        })
    }

    fn answer(&mut self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let message = match &request.message_request {
            Some(MessageRequest::ListServices(_)) => Ok(self.list_services()),
            Some(MessageRequest::FileByFilename(name)) => self.file_by_name(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => self.file_by_symbol(plain(symbol)),
            Some(MessageRequest::FileContainingExtension(extension)) => {
                self.file_by_extension(plain(&extension.containing_type), extension.extension_number)
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => self.extension_numbers(plain(name)),
            None => Err((Code::InvalidArgument, "the request does not say what is asked for".to_owned())),
        };
        let message = message.unwrap_or_else(|(code, error_message)| {
            MessageResponse::ErrorResponse(ErrorResponse { error_code: code.into(), error_message })
        });
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(message),
        }
    }

    /// The services that can be described; one whose schema is not known would fail every client that asks on.
    fn list_services(&self) -> MessageResponse {
        let known = self.catalog.services().filter(|(_, service)| service.methods.is_some());
        let mut service: Vec<_> =
            known.map(|(_, service)| ServiceResponse { name: service.name.to_string() }).collect();
        service.sort_by(|a, b| a.name.cmp(&b.name));
        MessageResponse::ListServicesResponse(ListServiceResponse { service })
    }

    /// A name may stand for different files: the first source's by the order of the config is answered.
    fn file_by_name(&mut self, name: &str) -> Result<MessageResponse, Refused> {
        let catalog = Arc::clone(&self.catalog);
        let found = files(&catalog).find_map(|(source, files)| Some((source, files, files.by_name(name)?)));
        let (source, files, file) = found.ok_or_else(|| {
            let names = files(&catalog).flat_map(|(_, files)| files.iter());
            let near = did_you_mean(name, names.map(|file| file.name.as_str()));
            (Code::NotFound, format!("no file \"{name}\" is known{near}"))
        })?;
        Ok(self.send(source, files, file))
    }

    fn file_by_symbol(&mut self, symbol: &str) -> Result<MessageResponse, Refused> {
        let catalog = Arc::clone(&self.catalog);
        let mut places = self.places(&catalog, symbol).into_iter();
        let found = places.find_map(|(source, files)| Some((source, files, files.by_symbol(symbol)?)));
        let (source, files, file) = found.ok_or_else(|| {
            let near = did_you_mean(symbol, files(&catalog).flat_map(|(_, files)| files.symbols()));
            (Code::NotFound, format!("no symbol \"{symbol}\" is known{near}"))
        })?;
        Ok(self.send(source, files, file))
    }

    fn file_by_extension(&mut self, message: &str, number: i32) -> Result<MessageResponse, Refused> {
        let catalog = Arc::clone(&self.catalog);
        let mut places = self.places(&catalog, message).into_iter();
        let found =
            places.find_map(|(source, files)| Some((source, files, files.by_extension(message, number)?)));
        let (source, files, file) = found.ok_or_else(|| {
            (Code::NotFound, format!("no extension of \"{message}\" with the number {number} is known"))
        })?;
        Ok(self.send(source, files, file))
    }

    /// The extensions of a message in all sources together.
    fn extension_numbers(&self, message: &str) -> Result<MessageResponse, Refused> {
        let known: Vec<_> =
            files(&self.catalog).filter_map(|(_, files)| files.extension_numbers(message)).collect();
        if known.is_empty() {
            return Err((Code::NotFound, format!("no message \"{message}\" is known")));
        }
        let numbers: BTreeSet<i32> = known.into_iter().flatten().collect();
        Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
            base_type_name: message.to_owned(),
            extension_number: numbers.into_iter().collect(),
        }))
    }

    /// Where a symbol is looked for, in this order: the source that serves it, if it is a service or a method; the
    /// source last answered from; every source in the order of the config.
    fn places<'c>(&self, catalog: &'c Catalog, symbol: &str) -> Vec<(usize, &'c Files)> {
        let service = symbol.rsplit_once('.').map_or("", |(service, _)| service);
        let owner = catalog.owner(symbol).or_else(|| catalog.owner(service));
        let mut places: Vec<_> = files(catalog).collect();
        places.sort_by_key(|(source, _)| (owner != Some(*source), self.last != Some(*source)));
        places
    }

    /// A file, and what it imports, from one source. The file that was asked for is always first, because clients take
    /// the first for the answer; what it imports is sent once per stream.
    fn send(&mut self, source: usize, files: &Files, file: &File) -> MessageResponse {
        self.last = Some(source);
        let mut file_descriptor_proto = Vec::new();
        for file in files.closure(file) {
            if self.sent.insert(file.bytes.clone()) || file_descriptor_proto.is_empty() {
                file_descriptor_proto.push(file.bytes.to_vec());
            }
        }
        MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
    }
}

/// The files of each source that has a schema, with the source's index.
fn files(catalog: &Catalog) -> impl Iterator<Item = (usize, &Files)> {
    catalog.sources().iter().enumerate().filter_map(|(index, source)| Some((index, source.files.as_ref()?)))
}

/// Some clients write full names with their leading dot, as descriptors do.
fn plain(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorProto;

    use super::*;
    use crate::{
        proto::{
            grpc_reflection_v1::{
                ExtensionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_server::ServerReflectionServer,
            },
            grpc_reflection_v1alpha::server_reflection_client::ServerReflectionClient as AlphaClient,
        },
        services::tests::{built_in, upstream},
    };

    const LIBRARY: &str = r#"syntax = "proto3"; package library; import "common.proto";
        import "google/api/annotations.proto"; import "grpc/health/v1/health.proto";
        message Book { common.Name name = 1; }
        service Library {
          rpc Get(Book) returns (Book) { option (google.api.http) = { get: "/v1/books" }; }
        }
        service Both { rpc Get(Book) returns (Book); }"#;
    const LIBRARY_COMMON: &str = r#"syntax = "proto3"; package common; message Name { string text = 1; }"#;
    const SHOP: &str = r#"syntax = "proto2"; package shop; import "common.proto";
        message Item { optional common.Name name = 1; extensions 100 to 200; }
        extend Item { optional string note = 101; optional string late = 100; }
        enum Colour { RED = 0; }
        service Shop { rpc Get(Item) returns (Item); }"#;
    const SHOP_COMMON: &str =
        r#"syntax = "proto3"; package common; message Name { string first = 1; string last = 2; }"#;

    fn catalog() -> Arc<Catalog> {
        let mut catalog = built_in();
        catalog.push(upstream("library", &[("common.proto", LIBRARY_COMMON), ("library.proto", LIBRARY)]));
        catalog.push(upstream("shop", &[("common.proto", SHOP_COMMON), ("shop.proto", SHOP)]));
        Arc::new(catalog)
    }

    /// Sends all requests in one stream, and waits for all answers.
    async fn ask(requests: Vec<MessageRequest>) -> Vec<MessageResponse> {
        let server = ServerReflectionServer::new(Reflection::new(catalog()));
        let requests: Vec<_> = requests
            .into_iter()
            .map(|request| ServerReflectionRequest { host: "me".into(), message_request: Some(request) })
            .collect();
        let answers = ServerReflectionClient::new(server)
            .server_reflection_info(stream::iter(requests.clone()))
            .await
            .unwrap()
            .into_inner();
        let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
        assert_eq!(answers.len(), requests.len());
        let answers = answers.into_iter().zip(requests).map(|(answer, request)| {
            assert_eq!((answer.valid_host.as_str(), answer.original_request), ("me", Some(request)));
            answer.message_response.unwrap()
        });
        answers.collect()
    }

    fn symbol(name: &str) -> MessageRequest {
        MessageRequest::FileContainingSymbol(name.into())
    }

    fn sent(answer: &MessageResponse) -> Vec<FileDescriptorProto> {
        let MessageResponse::FileDescriptorResponse(response) = answer else { panic!("{answer:?}") };
        let files = response.file_descriptor_proto.iter();
        files.map(|bytes| FileDescriptorProto::decode(bytes.as_slice()).unwrap()).collect()
    }

    fn names(answer: &MessageResponse) -> Vec<String> {
        sent(answer).iter().map(|file| file.name().to_owned()).collect()
    }

    fn error(answer: &MessageResponse) -> (i32, &str) {
        let MessageResponse::ErrorResponse(error) = answer else { panic!("{answer:?}") };
        (error.error_code, &error.error_message)
    }

    #[tokio::test]
    async fn services_of_every_source_are_listed_once() {
        let answers = ask(vec![MessageRequest::ListServices("*".into())]).await;
        let MessageResponse::ListServicesResponse(list) = &answers[0] else { panic!("{answers:?}") };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        let want = [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "library.Both",
            "library.Library",
            "propylon.automation.v1.FavoriteService",
            "propylon.automation.v1.GalaxyService",
            "propylon.automation.v1.PlaybookService",
            "propylon.automation.v1.VariableTypeService",
            "propylon.gateway.v1.AdminService",
            "propylon.gateway.v1.AuthService",
            "propylon.gateway.v1.HealthService",
            "propylon.gateway.v1.McpService",
            "propylon.gateway.v1.RoutingService",
            "propylon.gateway.v1.UserService",
            "shop.Shop",
        ];
        assert_eq!(names, want);
    }

    #[tokio::test]
    async fn an_unknown_symbol_is_an_answer_and_the_stream_goes_on() {
        let requests = vec![
            symbol("shop.Shpo"),
            MessageRequest::FileByFilename("shop.prot".into()),
            symbol(""),
            MessageRequest::AllExtensionNumbersOfType("shop.Shop".into()),
            symbol("shop.Shop"),
        ];
        let answers = ask(requests).await;
        assert_eq!(error(&answers[0]), (5, "no symbol \"shop.Shpo\" is known (did you mean \"shop.Shop\"?)"));
        assert_eq!(error(&answers[1]), (5, "no file \"shop.prot\" is known (did you mean \"shop.proto\"?)"));
        assert_eq!(error(&answers[2]), (5, "no symbol \"\" is known"));
        assert_eq!(error(&answers[3]), (5, "no message \"shop.Shop\" is known"));
        assert_eq!(names(&answers[4]), ["shop.proto", "common.proto"]);
    }

    #[tokio::test]
    async fn a_symbol_of_any_kind_is_answered_with_its_file() {
        let kinds = [
            "shop.Shop",
            "shop.Shop.Get",
            ".shop.Item",
            "shop.Item.name",
            "shop.Colour",
            "shop.RED",
            "shop.note",
        ];
        for (answer, kind) in ask(kinds.map(symbol).to_vec()).await.iter().zip(kinds) {
            assert_eq!(names(answer)[0], "shop.proto", "{kind}");
        }
    }

    #[tokio::test]
    async fn imports_are_sent_once_and_the_file_asked_for_always() {
        let answers = ask(vec![symbol("shop.Shop"), symbol("shop.Item"), symbol("common.Name")]).await;
        assert_eq!(names(&answers[0]), ["shop.proto", "common.proto"]);
        assert_eq!(names(&answers[1]), ["shop.proto"]);
        assert_eq!(names(&answers[2]), ["common.proto"]);
    }

    #[tokio::test]
    async fn one_name_for_two_files_is_answered_from_the_source_that_serves_the_symbol() {
        let fields = |answer: &MessageResponse| {
            let file = sent(answer).into_iter().find(|file| file.name() == "common.proto").unwrap();
            file.message_type[0].field.len()
        };
        // common.Name has one field in the library, two in the shop.
        let by_name = || MessageRequest::FileByFilename("common.proto".into());
        let requests = vec![
            symbol("shop.Shop"),
            symbol("common.Name"),
            symbol("library.Library"),
            symbol("common.Name"),
            by_name(),
        ];
        let answers = ask(requests).await;
        assert_eq!(answers.iter().map(fields).collect::<Vec<_>>(), [2, 2, 1, 1, 1]);
        let conflicts: Vec<_> = catalog()
            .conflicts()
            .iter()
            .map(|c| (c.file.clone(), c.first.clone(), c.second.clone()))
            .collect();
        assert_eq!(conflicts, [("common.proto".into(), "library".into(), "shop".into())]);
    }

    #[tokio::test]
    async fn options_survive() {
        let answers = ask(vec![symbol("library.Library"), symbol("propylon.gateway.v1.HealthService")]).await;
        let holds = |answer: &MessageResponse, text: &[u8]| {
            let MessageResponse::FileDescriptorResponse(response) = answer else { panic!("{answer:?}") };
            response.file_descriptor_proto[0].windows(text.len()).any(|window| window == text)
        };
        assert!(holds(&answers[0], b"/v1/books") && holds(&answers[1], b"/api/v1/health"));
        // Comments of the contract, for those who read it by reflection.
        assert!(sent(&answers[1])[0].source_code_info.is_some());
        assert!(names(&answers[0]).contains(&"google/protobuf/descriptor.proto".to_owned()));
    }

    #[tokio::test]
    async fn extensions_are_found_in_every_source() {
        let extension = |containing_type: &str, extension_number| {
            MessageRequest::FileContainingExtension(ExtensionRequest {
                containing_type: containing_type.into(),
                extension_number,
            })
        };
        let requests = vec![
            MessageRequest::AllExtensionNumbersOfType("shop.Item".into()),
            MessageRequest::AllExtensionNumbersOfType("google.protobuf.MethodOptions".into()),
            extension("google.protobuf.MethodOptions", 72_295_728),
            extension(".shop.Item", 101),
            extension("shop.Item", 102),
        ];
        let answers = ask(requests).await;
        let numbers = |answer: &MessageResponse| match answer {
            MessageResponse::AllExtensionNumbersResponse(response) => response.extension_number.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(numbers(&answers[0]), [100, 101]);
        assert_eq!(numbers(&answers[1]), [72_295_728]);
        assert_eq!(names(&answers[2])[0], "google/api/annotations.proto");
        assert_eq!(names(&answers[3])[0], "shop.proto");
        assert_eq!(error(&answers[4]), (5, "no extension of \"shop.Item\" with the number 102 is known"));
    }

    #[tokio::test]
    async fn an_empty_request_is_refused_in_the_stream() {
        let mut session = Session::new(&catalog());
        let answer = session.answer(ServerReflectionRequest::default()).message_response.unwrap();
        assert_eq!(error(&answer), (3, "the request does not say what is asked for"));
    }

    #[tokio::test]
    async fn v1alpha_answers_the_same() {
        let server = alpha_server::ServerReflectionServer::new(ReflectionAlpha::new(catalog()));
        let request = alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "shop.Shop".into(),
            )),
        };
        let answer = AlphaClient::new(server)
            .server_reflection_info(stream::iter([request.clone()]))
            .await
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.original_request, Some(request));
        let answer: ServerReflectionResponse = same_on_the_wire(&answer).unwrap();
        assert_eq!(names(&answer.message_response.unwrap()), ["shop.proto", "common.proto"]);
    }
}
