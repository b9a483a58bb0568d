//! A road that answers by the name of the method called.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use tonic::{Code, Status};

use super::{HttpBody, Note, Upload};
use crate::{
    call::{Body, Call, FrameReader, Frames, Guards, HttpStatus, Message, Reply, Road, Target, frame},
    status::{Whose, ok_trailers, to_trailers},
};

/// Answers by the name of the method called.
pub(super) struct TestRoad;

impl Road for TestRoad {
    async fn admit(&self, call: &mut Call) -> Result<(), Status> {
        if call.metadata.contains_key("x-refuse") {
            Err(Status::unauthenticated("who are you?"))
        } else {
            Ok(())
        }
    }

    async fn dispatch(&self, call: Call) -> Result<Reply, Status> {
        if let Message::Settled(outcome) = call.message {
            return *outcome;
        }
        let Target::Rpc { path, .. } = &call.target else { panic!("an RPC") };
        let name = path.path().rsplit('/').next().unwrap().to_owned();
        let timeout = call.timeout;
        let mut metadata = HeaderMap::new();
        if let Some(seen) = call.metadata.get("x-seen") {
            metadata.insert("x-seen", seen.clone());
        }
        let mut requests = match call.message.frames().await? {
            Frames::Whole(bytes) => {
                FrameReader::new(bytes.into(), Whose::Client, Some(Default::default()), 1 << 20)
            }
            Frames::Stream(body) => FrameReader::new(body, Whose::Client, Some(Default::default()), 1 << 20),
        };
        match name.as_str() {
            "Collect" => {
                let mut all = Note::default();
                while let Some(message) = requests.next().await? {
                    let note = Note::decode(message).unwrap();
                    all.number += 1;
                    all.text += &note.text;
                }
                Ok(reply(metadata, vec![Ok(all.encode_to_vec())]))
            }
            "Upload" => {
                let mut all = Note::default();
                while let Some(message) = requests.next().await? {
                    let part = HttpBody::decode(message).unwrap();
                    all.number += i32::try_from(part.data.len()).unwrap();
                    if !part.content_type.is_empty() {
                        all.tags.push(part.content_type);
                    }
                }
                Ok(reply(metadata, vec![Ok(all.encode_to_vec())]))
            }
            "Chat" => {
                // A broken stream of requests is a failure of the call; its reply says so in its trailers.
                let body = stream::unfold(Some(requests), |requests| async {
                    let mut requests = requests?;
                    Some(match requests.next().await {
                        Ok(Some(message)) => {
                            let mut note = Note::decode(message).unwrap();
                            note.number += 1;
                            (framed(&note.encode_to_vec()), Some(requests))
                        }
                        Ok(None) => (Ok(Frame::trailers(trailers(Ok(())))), None),
                        Err(status) => (Ok(Frame::trailers(trailers(Err(status)))), None),
                    })
                });
                Ok(Reply {
                    metadata,
                    body: Body::new(StreamBody::new(body)),
                    http_status: None,
                    attempts: 0,
                    guards: Guards::default(),
                })
            }
            "Put" => {
                let upload = Upload::decode(requests.next().await?.unwrap()).unwrap();
                let file = upload.file.unwrap_or_default();
                let tags = vec![file.content_type, String::from_utf8_lossy(&file.data).into_owned()];
                Ok(reply(
                    metadata,
                    vec![Ok(Note { text: upload.text, tags, ..Note::default() }.encode_to_vec())],
                ))
            }
            _ => {
                let note = Note::decode(requests.next().await?.unwrap()).unwrap();
                answer(&name, &note, metadata, timeout)
            }
        }
    }
}

fn answer(
    name: &str,
    note: &Note,
    mut metadata: HeaderMap,
    timeout: Option<Duration>,
) -> Result<Reply, Status> {
    let raw = |content_type: &str, data: &[u8]| {
        HttpBody { content_type: content_type.into(), data: data.into() }.encode_to_vec()
    };
    match name {
        "Fail" => {
            let mut status = Status::new(Code::from_i32(note.number), "as you wish");
            status.metadata_mut().insert("www-authenticate", "Bearer".parse().unwrap());
            Err(status)
        }
        "Watch" => Ok(watch(metadata, note)),
        "File" => {
            let content_type = if note.number == 0 { "text/css" } else { "image/png" };
            Ok(reply(metadata, vec![Ok(raw(content_type, note.text.as_bytes()))]))
        }
        "Files" => {
            let mut messages =
                vec![Ok(raw("text/csv", b"a,")), Ok(raw("ignored/later", note.text.as_bytes()))];
            if note.text == "torn" {
                messages.push(Err(Status::data_loss("torn")));
            }
            Ok(reply(metadata, messages))
        }
        _ => {
            if let Some(timeout) = timeout {
                metadata
                    .insert("x-timeout-ms", HeaderValue::from(u64::try_from(timeout.as_millis()).unwrap()));
            }
            let mut reply = match note.text.as_str() {
                "two" => reply(metadata, vec![Ok(Vec::new()), Ok(Vec::new())]),
                "none" => reply(metadata, vec![]),
                "bad wire" => reply(metadata, vec![Ok(vec![0xff])]),
                "late failure" => reply(metadata, vec![Ok(Vec::new()), Err(Status::aborted("too late"))]),
                _ => reply(metadata, vec![Ok(note.encode_to_vec())]),
            };
            if note.text == "no status" {
                reply.body = Body::from(framed(&note.encode_to_vec()).unwrap().into_data().unwrap());
            }
            reply.http_status = match note.number {
                400.. => Some(HttpStatus(StatusCode::from_u16(note.number as u16).unwrap())),
                _ => None,
            };
            Ok(reply)
        }
    }
}

/// `number` messages, then what `text` says: `torn` fails, `slow` waits before every message and at the end.
fn watch(metadata: HeaderMap, note: &Note) -> Reply {
    let (text, slow) = (note.text.clone(), note.text.starts_with("slow"));
    let messages = (1..=note.number).map(|number| Ok(Note { number, ..Note::default() }.encode_to_vec()));
    let mut messages: Vec<Result<Vec<u8>, Status>> = messages.collect();
    if text.ends_with("torn") {
        messages.push(Err(Status::data_loss("torn")));
    } else if text == "bad wire" {
        messages.push(Ok(vec![0xff]));
    }
    let reply = reply(metadata, messages);
    if !slow {
        return reply;
    }
    let frames = http_body_util::BodyStream::new(reply.body);
    let slowly = frames.then(|frame| async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        frame
    });
    Reply { body: Body::new(StreamBody::new(slowly)), ..reply }
}

fn trailers(outcome: Result<(), Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    match outcome {
        Ok(()) => trailers = ok_trailers(),
        Err(status) => to_trailers(&status, &mut trailers),
    }
    trailers.insert("x-trailer", HeaderValue::from_static("at the end"));
    trailers.insert("x-seen", HeaderValue::from_static("twice"));
    trailers
}

fn framed(message: &[u8]) -> Result<Frame<Bytes>, Status> {
    frame(|out| {
        out.extend_from_slice(message);
        Ok(())
    })
    .map(Frame::data)
}

/// A reply of these messages; an error ends it.
fn reply(metadata: HeaderMap, messages: Vec<Result<Vec<u8>, Status>>) -> Reply {
    let mut outcome = Ok(());
    let mut frames: Vec<Result<Frame<Bytes>, Status>> = Vec::new();
    for message in messages {
        match message {
            Ok(message) => frames.push(framed(&message)),
            Err(status) => outcome = Err(status),
        }
    }
    frames.push(Ok(Frame::trailers(trailers(outcome))));
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Reply { metadata, body, http_status: None, attempts: 0, guards: Guards::default() }
}
