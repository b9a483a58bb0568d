//! `McpService`: MCP over gRPC and REST. Each call is a request of MCP's newest version, which the endpoint's own surface answers
//! for the caller who is known already: there is no second way to a tool.

mod messages;

use std::{fmt, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::{Stream, future::BoxFuture, stream};
use http::HeaderMap;
use serde_json::{Value as Json, json};
use tonic::{Request, Response, Status};

use self::messages::{Messages, object, objects, of_struct, result, text, value, whole};
use crate::{
    auth::{Client, Principal},
    call::{Body, Peer},
    proto::gateway_v1::{
        CallToolRequest, CallToolResponse, CallToolStreamRequest, CallToolStreamResponse, CompleteRequest,
        CompleteResponse, DiscoverRequest, DiscoverResponse, GetPromptRequest, GetPromptResponse,
        ListPromptsRequest, ListPromptsResponse, ListResourceTemplatesRequest, ListResourceTemplatesResponse,
        ListResourcesRequest, ListResourcesResponse, ListServersRequest, ListServersResponse,
        ListToolsRequest, ListToolsResponse, ListenRequest, ListenResponse, McpServer, ReadResourceRequest,
        ReadResourceResponse, Tool, call_tool_stream_response::Event, mcp_service_server::McpService,
    },
};

/// The version that is spoken here.
const VERSION: &str = "2026-07-28";
/// The progress token of all calls: there is one in each request.
const TOKEN: &str = "call";

/// Somebody who asks, as policies have found out.
#[derive(Debug)]
pub struct Asker {
    pub peer: Peer,
    pub client: Option<Client>,
    pub principal: Option<Arc<Principal>>,
}

/// The MCP endpoint, for those within.
pub trait Agents: fmt::Debug + Send + Sync {
    /// Answers a message for a caller that was admitted here already.
    ///
    /// # Errors
    /// UNIMPLEMENTED where there is no endpoint; what policies refuse.
    fn ask(
        &self,
        asker: Asker,
        headers: HeaderMap,
        message: Bytes,
    ) -> BoxFuture<'static, Result<http::Response<Body>, Status>>;

    /// The federated servers, in the order of the config.
    fn servers(&self) -> Vec<McpServer>;
}

/// Answers by the endpoint.
#[derive(Debug)]
pub(super) struct Mcp(pub(super) Arc<dyn Agents>);

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Mcp {
    /// Asks, and waits for the result.
    async fn once<T>(&self, request: &Request<T>, method: &str, params: Json) -> Result<Json, Status> {
        let response = self.ask(request, method, params, false).await?;
        result(&whole(response.into_body()).await?)
    }

    async fn ask<T>(
        &self,
        request: &Request<T>,
        method: &str,
        mut params: Json,
        streams: bool,
    ) -> Result<http::Response<Body>, Status> {
        let found = request.extensions();
        let asker = Asker {
            peer: found.get().cloned().ok_or_else(|| Status::internal("a call from nowhere"))?,
            client: found.get().copied(),
            principal: found.get().cloned(),
        };
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = VERSION.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
            json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let mut headers = HeaderMap::new();
        let accept = if streams { "application/json, text/event-stream" } else { "application/json" };
        let named = params.get("name").or_else(|| params.get("uri")).and_then(Json::as_str);
        let said = [
            ("content-type", Some("application/json".to_owned())),
            ("accept", Some(accept.to_owned())),
            ("mcp-protocol-version", Some(VERSION.to_owned())),
            ("mcp-method", Some(method.to_owned())),
            ("mcp-name", named.map(in_header)),
        ];
        // Which page asks, if one does: it is asked for here as at the endpoint.
        let origin = request
            .metadata()
            .get("origin")
            .map(|origin| http::HeaderValue::from_bytes(origin.as_encoded_bytes()));
        if let Some(Ok(origin)) = origin {
            headers.insert(http::header::ORIGIN, origin);
        }
        for (name, value) in said {
            if let Some(value) = value.and_then(|value| http::HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.0.ask(asker, headers, message.to_string().into()).await
    }

    async fn page<T>(&self, request: &Request<T>, method: &str, cursor: &str) -> Result<Json, Status> {
        let params = if cursor.is_empty() { json!({}) } else { json!({"cursor": cursor}) };
        self.once(request, method, params).await
    }
}

/// A name as a header has it (SEP-2243).
fn in_header(name: &str) -> String {
    use base64::Engine as _;
    let plain = name.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && name.trim() == name;
    if plain && !name.starts_with("=?base64?") {
        return name.to_owned();
    }
    format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
}

/// The params of a tool's call.
fn call_params(
    name: &str,
    arguments: Option<&prost_types::Struct>,
    responses: Option<&prost_types::Struct>,
    state: &str,
) -> Json {
    let mut params = json!({"name": name, "arguments": arguments.map_or_else(|| json!({}), of_struct)});
    if let Some(responses) = responses {
        params["inputResponses"] = of_struct(responses);
    }
    if !state.is_empty() {
        params["requestState"] = state.into();
    }
    params
}

fn called(result: &Json) -> CallToolResponse {
    CallToolResponse {
        content: objects(&result["content"]),
        structured_content: result.get("structuredContent").map(value),
        is_error: result["isError"] == true,
        input_requests: object(&result["inputRequests"]),
        request_state: text(&result["requestState"]),
    }
}

#[tonic::async_trait]
impl McpService for Mcp {
    type CallToolStreamStream = Replies<CallToolStreamResponse>;
    type ListenStream = Replies<ListenResponse>;

    async fn discover(
        &self,
        request: Request<DiscoverRequest>,
    ) -> Result<Response<DiscoverResponse>, Status> {
        let said = self.once(&request, "server/discover", json!({})).await?;
        let versions = said["supportedVersions"].as_array().into_iter().flatten().map(text).collect();
        Ok(Response::new(DiscoverResponse {
            supported_versions: versions,
            capabilities: object(&said["capabilities"]),
            instructions: text(&said["instructions"]),
        }))
    }

    async fn list_tools(
        &self,
        request: Request<ListToolsRequest>,
    ) -> Result<Response<ListToolsResponse>, Status> {
        let page = self.page(&request, "tools/list", &request.get_ref().cursor).await?;
        let tool = |tool: &Json| Tool {
            name: text(&tool["name"]),
            title: text(&tool["title"]),
            description: text(&tool["description"]),
            input_schema: object(&tool["inputSchema"]),
            output_schema: object(&tool["outputSchema"]),
            annotations: object(&tool["annotations"]),
        };
        let tools = page["tools"].as_array().into_iter().flatten().map(tool).collect();
        Ok(Response::new(ListToolsResponse { tools, next_cursor: text(&page["nextCursor"]) }))
    }

    async fn call_tool(
        &self,
        request: Request<CallToolRequest>,
    ) -> Result<Response<CallToolResponse>, Status> {
        let CallToolRequest { name, arguments, input_responses, request_state } = request.get_ref();
        let params = call_params(name, arguments.as_ref(), input_responses.as_ref(), request_state);
        Ok(Response::new(called(&self.once(&request, "tools/call", params).await?)))
    }

    async fn call_tool_stream(
        &self,
        request: Request<CallToolStreamRequest>,
    ) -> Result<Response<Self::CallToolStreamStream>, Status> {
        let CallToolStreamRequest { name, arguments, input_responses, request_state, log_level } =
            request.get_ref();
        let mut params = call_params(name, arguments.as_ref(), input_responses.as_ref(), request_state);
        params["_meta"] = json!({"progressToken": TOKEN});
        if !log_level.is_empty() {
            params["_meta"]["io.modelcontextprotocol/logLevel"] = log_level.as_str().into();
        }
        let messages = Messages::of(self.ask(&request, "tools/call", params, true).await?);
        let event = |message: Json| -> Result<Option<Event>, Status> {
            let mut params = message["params"].clone();
            Ok(match message["method"].as_str() {
                Some("notifications/progress") => {
                    params.as_object_mut().map(|params| params.remove("progressToken"));
                    object(&params).map(Event::Progress)
                }
                Some("notifications/message") => object(&params).map(Event::Log),
                Some(_) => None,
                None => Some(Event::Result(called(&result(&message)?))),
            })
        };
        let replies = told(messages, move |message| {
            Ok(event(message)?.map(|event| CallToolStreamResponse { event: Some(event) }))
        });
        Ok(Response::new(replies))
    }

    async fn list_resources(
        &self,
        request: Request<ListResourcesRequest>,
    ) -> Result<Response<ListResourcesResponse>, Status> {
        let page = self.page(&request, "resources/list", &request.get_ref().cursor).await?;
        let (resources, next_cursor) = (objects(&page["resources"]), text(&page["nextCursor"]));
        Ok(Response::new(ListResourcesResponse { resources, next_cursor }))
    }

    async fn list_resource_templates(
        &self,
        request: Request<ListResourceTemplatesRequest>,
    ) -> Result<Response<ListResourceTemplatesResponse>, Status> {
        let page = self.page(&request, "resources/templates/list", &request.get_ref().cursor).await?;
        let (resource_templates, next_cursor) =
            (objects(&page["resourceTemplates"]), text(&page["nextCursor"]));
        Ok(Response::new(ListResourceTemplatesResponse { resource_templates, next_cursor }))
    }

    async fn read_resource(
        &self,
        request: Request<ReadResourceRequest>,
    ) -> Result<Response<ReadResourceResponse>, Status> {
        let params = json!({"uri": request.get_ref().uri});
        let read = self.once(&request, "resources/read", params).await?;
        Ok(Response::new(ReadResourceResponse { contents: objects(&read["contents"]) }))
    }

    async fn list_prompts(
        &self,
        request: Request<ListPromptsRequest>,
    ) -> Result<Response<ListPromptsResponse>, Status> {
        let page = self.page(&request, "prompts/list", &request.get_ref().cursor).await?;
        let (prompts, next_cursor) = (objects(&page["prompts"]), text(&page["nextCursor"]));
        Ok(Response::new(ListPromptsResponse { prompts, next_cursor }))
    }

    async fn get_prompt(
        &self,
        request: Request<GetPromptRequest>,
    ) -> Result<Response<GetPromptResponse>, Status> {
        let GetPromptRequest { name, arguments } = request.get_ref();
        let got = self.once(&request, "prompts/get", json!({"name": name, "arguments": arguments})).await?;
        Ok(Response::new(GetPromptResponse {
            description: text(&got["description"]),
            messages: objects(&got["messages"]),
            input_requests: object(&got["inputRequests"]),
        }))
    }

    async fn complete(
        &self,
        request: Request<CompleteRequest>,
    ) -> Result<Response<CompleteResponse>, Status> {
        let CompleteRequest { prompt, resource_template, argument, value } = request.get_ref();
        let about = match prompt.as_str() {
            "" => json!({"type": "ref/resource", "uri": resource_template}),
            name => json!({"type": "ref/prompt", "name": name}),
        };
        let params = json!({"ref": about, "argument": {"name": argument, "value": value}});
        let said = self.once(&request, "completion/complete", params).await?;
        let said = &said["completion"];
        Ok(Response::new(CompleteResponse {
            values: said["values"].as_array().into_iter().flatten().map(text).collect(),
            total: said["total"].as_i64().and_then(|total| total.try_into().ok()).unwrap_or_default(),
            has_more: said["hasMore"] == true,
        }))
    }

    async fn listen(&self, request: Request<ListenRequest>) -> Result<Response<Self::ListenStream>, Status> {
        let asked = request.get_ref();
        let notifications = json!({
            "toolsListChanged": asked.tools_list_changed,
            "promptsListChanged": asked.prompts_list_changed,
            "resourcesListChanged": asked.resources_list_changed,
            "resourceSubscriptions": asked.resource_subscriptions,
        });
        let params = json!({"notifications": notifications});
        let messages = Messages::of(self.ask(&request, "subscriptions/listen", params, true).await?);
        Ok(Response::new(told(messages, |message| {
            if message.get("method").is_none() {
                // The end of it; or why there is none.
                return result(&message).map(|_| None);
            }
            let (method, uri) = (text(&message["method"]), text(&message["params"]["uri"]));
            Ok(Some(ListenResponse { method, uri }))
        })))
    }

    async fn list_servers(
        &self,
        _: Request<ListServersRequest>,
    ) -> Result<Response<ListServersResponse>, Status> {
        Ok(Response::new(ListServersResponse { servers: self.0.servers() }))
    }
}

/// The replies that messages are; some are none.
fn told<T: Send + 'static>(
    messages: Messages,
    reply: impl Fn(Json) -> Result<Option<T>, Status> + Send + 'static,
) -> Replies<T> {
    Box::pin(stream::unfold(Some((messages, reply)), |state| async move {
        let (mut messages, reply) = state?;
        loop {
            let told = match messages.next().await {
                Ok(None) => return None,
                Ok(Some(message)) => reply(message),
                Err(status) => Err(status),
            };
            match told {
                Ok(None) => {}
                Ok(Some(told)) => return Some((Ok(told), Some((messages, reply)))),
                Err(status) => return Some((Err(status), None)),
            }
        }
    }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// There is no endpoint.
    #[derive(Debug)]
    pub(crate) struct Nobody;

    impl Agents for Nobody {
        fn ask(
            &self,
            _: Asker,
            _: HeaderMap,
            _: Bytes,
        ) -> BoxFuture<'static, Result<http::Response<Body>, Status>> {
            Box::pin(async { Err(Status::unimplemented("MCP is not served here")) })
        }

        fn servers(&self) -> Vec<McpServer> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn without_an_endpoint_there_is_nothing_to_ask() {
        let mut request = Request::new(ListToolsRequest::default());
        request.extensions_mut().insert(Peer::at(std::net::SocketAddr::from(([127, 0, 0, 1], 1))));
        let refused = Mcp(Arc::new(Nobody)).list_tools(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
    }
}
