//! What a tool's call comes to: its reply as structured content with the same as text, the bytes of an HttpBody as what they
//! are, a failure as an error that an agent can act on.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tonic::Status;

use super::{
    answer::string,
    tool::{Form, Tool},
};
use crate::{
    call::{Encoding, FrameReader, Guards, Reply},
    route::Route,
    status::{self, Fault, Whose},
    surface::rest,
    transcode::{HttpBody, Tables},
};

/// The members of a tool's result, without braces; or how it failed.
pub(super) struct Outcome {
    pub(super) members: Vec<u8>,
    pub(super) failed: Option<Status>,
}

impl Outcome {
    /// Of a call that failed.
    pub(super) fn failed(status: Status, tables: &Arc<Tables>) -> Self {
        let mut members = b"\"content\":[".to_vec();
        text(&mut members, &format!("{}: {}", status::name(status.code()), status.message()));
        // What the gateway finds wrong with the arguments is all said in the message.
        let ours = Fault::of(&status).is_some_and(|fault| fault.whose == Whose::Client);
        if !status.details().is_empty() && !ours {
            let mut json = Vec::new();
            rest::terminal(&status, Some(tables), &mut json);
            members.push(b',');
            text(&mut members, &String::from_utf8_lossy(&json));
        }
        members.extend_from_slice(b"],\"isError\":true");
        Self { members, failed: Some(status) }
    }

    /// Of a call whose result is this JSON object; `notes` are said beside it.
    pub(super) fn structured(json: &[u8], notes: &[String]) -> Self {
        let mut members = Vec::with_capacity(json.len() * 2 + json.len() / 4 + 96);
        members.extend_from_slice(b"\"content\":[");
        // It was printed as UTF-8.
        text(&mut members, &String::from_utf8_lossy(json));
        for note in notes {
            members.push(b',');
            text(&mut members, note);
        }
        members.extend_from_slice(b"],\"structuredContent\":");
        members.extend_from_slice(json);
        members.extend_from_slice(b",\"isError\":false");
        Self { members, failed: None }
    }
}

/// Appends a block of text.
pub(super) fn text(out: &mut Vec<u8>, said: &str) {
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    string(out, said);
    out.push(b'}');
}

/// The messages of a reply.
pub(super) fn reader(reply: Reply, route: &Route) -> (FrameReader, http::HeaderMap, Guards) {
    let Reply { metadata, body, guards, .. } = reply;
    let reader =
        FrameReader::new(body, Whose::Upstream, Encoding::of(&metadata), route.limits.response_bytes);
    (reader, metadata, guards)
}

/// The result of a call with one reply message.
pub(super) async fn unary(tool: &Tool, route: &Route, reply: Result<Reply, Status>) -> Outcome {
    let read = async {
        let (mut reader, head, guards) = reader(reply?, route);
        let message = reader.next().await?;
        let extra = if message.is_some() { reader.next().await? } else { None };
        rest::outcome(&head, reader.take_trailers())?;
        // The call is over when its reply is read.
        drop(guards);
        match (message, extra) {
            (Some(message), None) => one(tool, &message),
            (None, _) => Err(miscounted(tool, "no message")),
            (Some(_), Some(_)) => Err(miscounted(tool, "more than one message")),
        }
    };
    match read.await {
        Ok(outcome) => outcome,
        Err(status) => Outcome::failed(status, tool.tables()),
    }
}

fn miscounted(tool: &Tool, how_many: &str) -> Status {
    let text = format!("the upstream answered {} with {how_many}", tool.method().full_name);
    Fault::upstream().on(Status::internal(text))
}

fn one(tool: &Tool, message: &Bytes) -> Result<Outcome, Status> {
    let mut json = Vec::new();
    match tool.gives() {
        Form::Object => tool.json(message, &mut json)?,
        Form::Value => {
            json.extend_from_slice(b"{\"result\":");
            tool.json(message, &mut json)?;
            json.push(b'}');
        }
        Form::Raw => return raw(tool, message),
    }
    Ok(Outcome::structured(&json, &[]))
}

/// An image, a sound or a text is one; other bytes are a resource by themselves.
fn raw(tool: &Tool, message: &[u8]) -> Result<Outcome, Status> {
    let body = HttpBody::read(message).map_err(|problem| {
        let text = format!("the upstream's reply of {} is malformed: {problem}", tool.method().full_name);
        Fault::upstream().on(Status::internal(text))
    })?;
    let kind = if body.content_type.is_empty() { "application/octet-stream" } else { body.content_type };
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut members = b"\"content\":[".to_vec();
    let coded = |members: &mut Vec<u8>, what: &str| {
        members.extend_from_slice(format!("{{\"type\":\"{what}\",\"data\":\"").as_bytes());
        members.extend_from_slice(STANDARD.encode(body.data).as_bytes());
        members.extend_from_slice(b"\",\"mimeType\":");
        string(members, kind);
        members.push(b'}');
    };
    let is_text = essence.starts_with("text/") || essence.ends_with("json") || essence.ends_with("xml");
    match std::str::from_utf8(body.data).ok().filter(|_| is_text) {
        Some(said) => text(&mut members, said),
        None if essence.starts_with("image/") => coded(&mut members, "image"),
        None if essence.starts_with("audio/") => coded(&mut members, "audio"),
        None => {
            members.extend_from_slice(b"{\"type\":\"resource\",\"resource\":{\"uri\":");
            string(&mut members, &format!("tool:{}", tool.name()));
            members.extend_from_slice(b",\"mimeType\":");
            string(&mut members, kind);
            members.extend_from_slice(b",\"blob\":\"");
            members.extend_from_slice(STANDARD.encode(body.data).as_bytes());
            members.extend_from_slice(b"\"}}");
        }
    }
    members.extend_from_slice(b"],\"isError\":false");
    Ok(Outcome { members, failed: None })
}
