//! An MCP server that others have written (rmcp), to be federated: the tools, prompts and resources that MCP's conformance suite
//! calls, and some that go wrong. `mcp-server http PORT [legacy]`, or `mcp-server stdio [legacy]`.

#![expect(deprecated, reason = "older clients are served too")]

use std::{
    borrow::Cow,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, ElicitRequestParams,
        GetPromptRequestParams, GetPromptResponse, InitializeResult, InputRequiredResult, InputResponses,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
        LoggingMessageNotificationParam, PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion,
        ReadResourceRequestParams, ReadResourceResponse, SetLevelRequestParams, SubscribeRequestParams,
        SubscriptionFilter, UnsubscribeRequestParams,
    },
    service::{RequestContext, SubscriptionContext, serve_server},
    transport::{
        StreamableHttpServerConfig, StreamableHttpService, io::stdio,
        streamable_http_server::session::local::LocalSessionManager,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::broadcast, time::sleep};

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
/// The resource that changes.
const WATCHED: &str = "test://watched-resource";
/// What a state is worth that nobody has touched.
const STATE: &str = "state-7c1e";

#[derive(Clone)]
struct Server {
    legacy: bool,
    /// Told when a tool says that its lists have changed.
    changed: broadcast::Sender<&'static str>,
    /// The sessions that have subscribed to a resource.
    subscribed: Arc<Mutex<Vec<Peer<RoleServer>>>>,
}

/// A value of the protocol's, from its JSON.
fn made<T: DeserializeOwned>(json: Value) -> Result<T, ErrorData> {
    serde_json::from_value(json).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn text(said: impl Into<String>) -> Value {
    json!({"content": [{"type": "text", "text": said.into()}]})
}

fn elicit(message: &str, properties: &Value, required: &[&str]) -> Value {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn sample(prompt: &str) -> Value {
    let messages = json!([{"role": "user", "content": {"type": "text", "text": prompt}}]);
    json!({"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}})
}

fn name_of_user() -> Value {
    elicit("What is your name?", &json!({"name": {"type": "string"}}), &["name"])
}

/// What a tool asks its caller for; the last is the state, where it has one.
fn wanted(tool: &str, arguments: &Value) -> Option<(Value, Option<&'static str>)> {
    let roots = json!({"method": "roots/list", "params": {}});
    let confirm = elicit("Please confirm", &json!({"ok": {"type": "boolean"}}), &["ok"]);
    Some(match tool {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" => {
            (json!({"user_name": name_of_user()}), None)
        }
        "test_input_required_result_sampling" => {
            (json!({"capital_question": sample("What is the capital of France?")}), None)
        }
        "test_input_required_result_list_roots" => (json!({"client_roots": roots}), None),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            (json!({"confirm": confirm}), Some(STATE))
        }
        "test_input_required_result_multiple_inputs" => (
            json!({"user_name": name_of_user(), "greeting": sample("Generate a greeting"), "client_roots": roots}),
            Some(STATE),
        ),
        "test_sampling" => {
            let prompt = arguments["prompt"].as_str().unwrap_or("Hello");
            (json!({"sampling": sample(prompt)}), None)
        }
        "test_elicitation" => {
            let message = arguments["message"].as_str().unwrap_or("Who are you?");
            let fields = json!({"username": {"type": "string"}, "email": {"type": "string"}});
            (json!({"elicitation": elicit(message, &fields, &["username", "email"])}), None)
        }
        "test_elicitation_sep1034_defaults" => {
            let fields = json!({
                "name": {"type": "string", "default": "John Doe"},
                "age": {"type": "integer", "default": 30},
                "score": {"type": "number", "default": 95.5},
                "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
                "verified": {"type": "boolean", "default": true},
            });
            (json!({"elicitation": elicit("Please review", &fields, &[])}), None)
        }
        "test_elicitation_sep1330_enums" => {
            let titled = json!([
                {"const": "value1", "title": "First"}, {"const": "value2", "title": "Second"},
                {"const": "value3", "title": "Third"},
            ]);
            let plain = json!(["option1", "option2", "option3"]);
            let fields = json!({
                "untitledSingle": {"type": "string", "enum": plain},
                "titledSingle": {"type": "string", "oneOf": titled},
                "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
                               "enumNames": ["Option One", "Option Two", "Option Three"]},
                "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
                "titledMulti": {"type": "array", "items": {"anyOf": titled}},
            });
            (json!({"elicitation": elicit("Please choose", &fields, &[])}), None)
        }
        _ => return None,
    })
}

/// All tools, each with its description.
const TOOLS: [(&str, &str); 29] = [
    ("test_simple_text", "Says a text"),
    ("test_image_content", "Gives an image"),
    ("test_audio_content", "Gives a sound"),
    ("test_embedded_resource", "Gives a resource"),
    ("test_multiple_content_types", "Gives several things"),
    ("test_tool_with_logging", "Says something in the log"),
    ("test_logging_tool", "Says something in the log"),
    ("test_error_handling", "Always fails"),
    ("test_tool_with_progress", "Tells how far it is"),
    ("test_sampling", "Asks for a sample"),
    ("test_elicitation", "Asks who its user is"),
    ("test_elicitation_sep1034_defaults", "Asks with defaults"),
    ("test_elicitation_sep1330_enums", "Asks for choices"),
    ("test_streaming_elicitation", "Asks for a name"),
    ("test_missing_capability", "Needs a client that samples"),
    ("test_input_required_result_elicitation", "Asks for a name"),
    ("test_input_required_result_sampling", "Asks for a sample"),
    ("test_input_required_result_list_roots", "Asks for roots"),
    ("test_input_required_result_request_state", "Has a state"),
    ("test_input_required_result_tampered_state", "Has a state"),
    ("test_input_required_result_multiple_inputs", "Asks for three things"),
    ("test_input_required_result_multi_round", "Asks twice"),
    ("test_input_required_result_capabilities", "Asks for what can be given"),
    ("test_trigger_tool_change", "Says that tools have changed"),
    ("test_trigger_prompt_change", "Says that prompts have changed"),
    ("touch", "Changes the watched resource"),
    ("slow", "Takes half a minute"),
    ("who", "Says which process it is"),
    ("leak", "Starts a process that stays"),
];

impl Server {
    async fn call(
        &self,
        request: CallToolRequestParams,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Value, ErrorData> {
        let arguments = json!(request.arguments.unwrap_or_default());
        Ok(match request.name.as_ref() {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => {
                json!({"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]})
            }
            "test_audio_content" => {
                json!({"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]})
            }
            "test_embedded_resource" => json!({"content": [{"type": "resource", "resource": {
                "uri": "test://embedded-resource", "mimeType": "text/plain",
                "text": "This is an embedded resource content."}}]}),
            "test_multiple_content_types" => json!({"content": [
                {"type": "text", "text": "Multiple content types test:"},
                {"type": "image", "data": PNG, "mimeType": "image/png"},
                {"type": "resource", "resource": {"uri": "test://mixed-content-resource",
                    "mimeType": "application/json", "text": "{\"test\":\"data\",\"value\":123}"}},
            ]}),
            "test_tool_with_logging" | "test_logging_tool" => {
                for said in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    let message: LoggingMessageNotificationParam =
                        made(json!({"level": "info", "logger": "fixture", "data": said}))?;
                    drop(cx.peer.notify_logging_message(message).await);
                    sleep(Duration::from_millis(50)).await;
                }
                text("Logging test completed")
            }
            "test_error_handling" => {
                let mut failed = text("This tool intentionally returns an error for testing");
                failed["isError"] = true.into();
                failed
            }
            "test_tool_with_progress" => {
                for (done, said) in [(0, "Starting"), (50, "Halfway"), (100, "Complete")] {
                    if let Some(token) = cx.meta.get_progress_token() {
                        let progress: ProgressNotificationParam = made(
                            json!({"progressToken": token, "progress": done, "total": 100, "message": said}),
                        )?;
                        drop(cx.peer.notify_progress(progress).await);
                    }
                    sleep(Duration::from_millis(50)).await;
                }
                text("Progress test completed")
            }
            "test_missing_capability" => {
                if cx.client_capabilities().is_none_or(|can| can.sampling.is_none()) {
                    let data = json!({"requiredCapabilities": {"sampling": {}}});
                    return Err(made(
                        json!({"code": -32021, "message": "Missing required client capability", "data": data}),
                    )?);
                }
                text("it can")
            }
            "json_schema_2020_12_tool" => text("it fits"),
            "touch" => {
                let subscribed = self.subscribed.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for peer in subscribed {
                    drop(peer.notify_resource_updated(made(json!({"uri": WATCHED}))?).await);
                }
                self.say("watched")
            }
            "test_trigger_tool_change" => self.say("tools"),
            "test_trigger_prompt_change" => self.say("prompts"),
            "slow" => {
                tokio::select! {
                    () = sleep(Duration::from_secs(30)) => {}
                    () = cx.ct.cancelled() => eprintln!("slow was taken back"),
                }
                text("at last")
            }
            "who" => text(std::process::id().to_string()),
            "leak" => {
                let child = std::process::Command::new("sleep").arg("1000").spawn();
                let child = child.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
                text(child.id().to_string())
            }
            name => {
                let name = name.to_owned();
                let (responses, state) = (request.input_responses, request.request_state);
                return self.asking(&name, &arguments, responses, state.as_deref(), cx).await;
            }
        })
    }

    fn say(&self, what: &'static str) -> Value {
        // Nobody may listen.
        drop(self.changed.send(what));
        text("said")
    }

    /// The tools that ask for something.
    async fn asking(
        &self,
        tool: &str,
        arguments: &Value,
        responses: Option<InputResponses>,
        state: Option<&str>,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Value, ErrorData> {
        let unknown = || ErrorData::invalid_params(format!("Unknown tool: {tool}"), None);
        if tool == "test_input_required_result_multi_round" {
            let field = |name: &str| json!({name: {"type": "string"}});
            let ask = |key: &str, said: &str, name: &str, state: &str| {
                let request = elicit(said, &field(name), &[name]);
                json!({"resultType": "input_required", "inputRequests": {key: request}, "requestState": state})
            };
            return Ok(match (state, responses) {
                (None, _) => ask("step1", "Step 1: What is your name?", "name", "round-1"),
                (Some("round-1"), Some(_)) => {
                    ask("step2", "Step 2: What is your favorite color?", "color", "round-2")
                }
                (Some("round-2"), Some(_)) => text("all rounds done"),
                _ => return Err(ErrorData::invalid_params("no such round", None)),
            });
        }
        if tool == "test_input_required_result_capabilities" {
            let can = json!(cx.client_capabilities());
            let mut requests = json!({});
            if can.get("sampling").is_some() {
                requests["sample"] = sample("Hello");
            }
            if can.get("elicitation").is_some() {
                requests["name"] = name_of_user();
            }
            return Ok(match responses {
                None => json!({"resultType": "input_required", "inputRequests": requests}),
                Some(_) => text("done"),
            });
        }
        let (requests, wanted_state) = wanted(tool, arguments).ok_or_else(unknown)?;
        let modern = cx.protocol_version().is_some_and(|version| version.as_str() == "2026-07-28");
        let answers = match (responses, modern) {
            (Some(responses), _) => json!(responses),
            (None, false) => self.ask_now(&requests, cx).await?,
            (None, true) => json!({}),
        };
        if !answers.as_object().is_some_and(serde_json::Map::is_empty) && state != wanted_state {
            return Err(ErrorData::invalid_params("the state is not what it was", None));
        }
        let fits = |(key, request): (&String, &Value)| {
            let answer = answers.get(key);
            match request["method"].as_str() {
                Some("elicitation/create") => answer.is_some_and(|answer| {
                    let required = request["params"]["requestedSchema"]["required"].as_array();
                    let all = required.into_iter().flatten().filter_map(Value::as_str);
                    answer["action"] != "accept"
                        || all.into_iter().all(|name| !answer["content"][name].is_null())
                }),
                _ => answer.is_some(),
            }
        };
        if requests.as_object().is_some_and(|requests| requests.iter().all(fits)) {
            return Ok(text(format!("answered: {answers}")));
        }
        let mut asked = json!({"resultType": "input_required", "inputRequests": requests});
        if let Some(state) = wanted_state {
            asked["requestState"] = state.into();
        }
        Ok(asked)
    }

    /// A session's client is asked at once.
    async fn ask_now(&self, requests: &Value, cx: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
        let failed = |error: &dyn std::fmt::Display| ErrorData::internal_error(error.to_string(), None);
        let mut answers = json!({});
        for (key, request) in requests.as_object().into_iter().flatten() {
            if request["method"] == "elicitation/create" {
                let params: ElicitRequestParams = made(request["params"].clone())?;
                let answer = cx.peer.create_elicitation(params).await.map_err(|error| failed(&error))?;
                answers[key] = json!(answer);
            } else {
                return Err(failed(&"it is asked of clients of the newest version alone"));
            }
        }
        Ok(answers)
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> InitializeResult {
        let info = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {
                "tools": {"listChanged": true}, "prompts": {"listChanged": true},
                "resources": {"listChanged": true, "subscribe": true}, "logging": {}, "completions": {},
            },
            "serverInfo": {"name": "fixture", "version": "1"},
            "instructions": "To be tried.",
        });
        serde_json::from_value(info).unwrap_or_default()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(match self.legacy {
            true => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
            false => ProtocolVersion::KNOWN_VERSIONS,
        })
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools: Vec<Value> = TOOLS
            .iter()
            .map(|(name, said)| {
                json!({"name": name, "description": said, "inputSchema": {"type": "object", "properties": {}}})
            })
            .collect();
        tools.push(
            json!({"name": "json_schema_2020_12_tool", "description": "Has a rich schema", "inputSchema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {
                    "street": {"type": "string"}, "city": {"type": "string"}}}},
                "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                    "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                    "phone": {"type": "string"}, "email": {"type": "string"}},
                "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
                "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
                "then": {"required": ["phone"]}, "else": {"required": ["email"]},
                "additionalProperties": false,
            }}),
        );
        made(json!({"tools": tools, "resultType": "complete"}))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let result = self.call(request, &cx).await?;
        if result["resultType"] == "input_required" {
            return Ok(made::<InputRequiredResult>(result)?.into());
        }
        Ok(CallToolResponse::Complete(made(result)?))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let argument = |name: &str| json!({"name": name, "description": "A text", "required": true});
        made(json!({"resultType": "complete", "prompts": [
            {"name": "test_simple_prompt", "description": "A prompt"},
            {"name": "test_prompt_with_arguments", "description": "A prompt of two texts",
             "arguments": [argument("arg1"), argument("arg2")]},
            {"name": "test_prompt_with_embedded_resource", "description": "A prompt about a resource",
             "arguments": [argument("resourceUri")]},
            {"name": "test_prompt_with_image", "description": "A prompt about an image"},
            {"name": "test_input_required_result_prompt", "description": "A prompt that asks first"},
        ]}))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = json!(request.arguments.unwrap_or_default());
        let said = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let user = |content: Value| json!({"role": "user", "content": content});
        let words = |text: String| user(json!({"type": "text", "text": text}));
        let messages = match request.name.as_str() {
            "test_simple_prompt" => json!([words("This is a simple prompt for testing.".to_owned())]),
            "test_prompt_with_arguments" => {
                let text = format!("Prompt with arguments: arg1='{}', arg2='{}'", said("arg1"), said("arg2"));
                json!([words(text)])
            }
            "test_prompt_with_embedded_resource" => json!([
                user(
                    json!({"type": "resource", "resource": {"uri": said("resourceUri"), "mimeType": "text/plain",
                    "text": "Embedded resource content for testing."}})
                ),
                words("Please process the embedded resource above.".to_owned()),
            ]),
            "test_prompt_with_image" => json!([
                user(json!({"type": "image", "data": PNG, "mimeType": "image/png"})),
                words("Please analyze the image above.".to_owned()),
            ]),
            "test_input_required_result_prompt" => {
                let answer = request.input_responses.and_then(|given| given.get("user_context").cloned());
                let Some(answer) = answer else {
                    let fields = json!({"context": {"type": "string"}});
                    let ask = elicit("What context should the prompt use?", &fields, &["context"]);
                    let asked =
                        json!({"resultType": "input_required", "inputRequests": {"user_context": ask}});
                    return Ok(made::<InputRequiredResult>(asked)?.into());
                };
                json!([words(format!("Use the context: {}", answer["content"]["context"]))])
            }
            name => return Err(ErrorData::invalid_params(format!("Unknown prompt: {name}"), None)),
        };
        Ok(GetPromptResponse::Complete(made(json!({"messages": messages}))?))
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let one = |uri: &str, name: &str, kind: &str| json!({"uri": uri, "name": name, "mimeType": kind});
        made(json!({"resultType": "complete", "resources": [
            one("test://static-text", "Static text", "text/plain"),
            one("test://static-binary", "Static binary", "image/png"),
            one("test://watched-resource", "Watched", "text/plain"),
        ]}))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        made(json!({"resultType": "complete", "resourceTemplates": [
            {"uriTemplate": "test://template/{id}/data", "name": "Template", "mimeType": "application/json"},
        ]}))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri;
        let contents = match uri.as_str() {
            "test://static-text" => json!({"uri": uri, "mimeType": "text/plain",
                "text": "This is the content of the static text resource."}),
            "test://static-binary" => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
            "test://watched-resource" => json!({"uri": uri, "mimeType": "text/plain", "text": "Watched."}),
            _ => {
                let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
                let Some(id) = id else {
                    let data = Some(json!({"uri": uri}));
                    return Err(ErrorData::invalid_params("Resource not found", data));
                };
                let said = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"uri": uri, "mimeType": "application/json", "text": said.to_string()})
            }
        };
        Ok(ReadResourceResponse::Complete(made(json!({"contents": [contents]}))?))
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let begun = request.argument.value;
        let values: Vec<&str> =
            ["paris", "park", "party", "test"].into_iter().filter(|word| word.starts_with(&begun)).collect();
        made(json!({"completion": {"values": values, "total": values.len(), "hasMore": false}}))
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscribed.lock().unwrap_or_else(PoisonError::into_inner).push(cx.peer);
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changed = self.changed.subscribe();
        loop {
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                said = changed.recv() => match said {
                    Ok("watched") => drop(context.sink().notify_resource_updated(WATCHED).await),
                    Ok("tools") => drop(context.sink().notify_tool_list_changed().await),
                    Ok(_) => drop(context.sink().notify_prompt_list_changed().await),
                    Err(_) => return Ok(()),
                },
            }
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let server = Server {
        legacy: arguments.iter().any(|argument| argument == "legacy"),
        changed: broadcast::Sender::new(16),
        subscribed: Arc::default(),
    };
    let served = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["stdio", ..] => over_pipes(server).await,
        ["http", port, ..] => over_http(server, port).await,
        _ => Err("mcp-server http PORT [legacy] | mcp-server stdio [legacy]".to_owned()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn over_pipes(server: Server) -> Result<(), String> {
    eprintln!("the fixture begins");
    let running = serve_server(server, stdio()).await.map_err(|error| error.to_string())?;
    running.waiting().await.map(drop).map_err(|error| error.to_string())
}

async fn over_http(server: Server, port: &str) -> Result<(), String> {
    let service: StreamableHttpService<Server, LocalSessionManager> = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::default(),
        StreamableHttpServerConfig::default(),
    );
    let app = axum::Router::new().nest_service("/mcp", service);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .map_err(|error| error.to_string())?;
    axum::serve(listener, app).await.map_err(|error| error.to_string())
}
