//! Files of protobuf editions, made readable for libraries that know proto2 and proto3 only: the edition's features are
//! written out in the file's options, where the compiled tables find them, and the file is relabelled proto2.
//!
//! Works on the encoded `FileDescriptorSet`, so that extensions in the options (`google.api.http`) stay as they are.

use std::borrow::Cow;

use super::features::records;
use super::wire::{Raw, put_varint};

// Numbers of google/protobuf/descriptor.proto.
const SET_FILE: u32 = 1;
const FILE_SYNTAX: u32 = 12;
const FILE_EDITION: u32 = 14;
const FILE_OPTIONS: u32 = 8;
const OPTIONS_FEATURES: u32 = 50;

/// The same descriptor set with every editions file relabelled; one without such a file comes back as it is.
pub fn lower(descriptor_set: &[u8]) -> Cow<'_, [u8]> {
    let files = |set| records(set).filter_map(|(tag, value)| file_of(tag, value));
    if !files(descriptor_set).any(is_edition) {
        return Cow::Borrowed(descriptor_set);
    }
    let mut out = Vec::with_capacity(descriptor_set.len() + 64);
    for (tag, value) in records(descriptor_set) {
        match file_of(tag, value) {
            Some(file) => put_bytes(&mut out, SET_FILE, &lower_file(file)),
            None => put_record(&mut out, tag, value),
        }
    }
    Cow::Owned(out)
}

/// One encoded `FileDescriptorProto` relabelled, if it is of an edition.
pub fn lower_file(file: &[u8]) -> Cow<'_, [u8]> {
    if !is_edition(file) {
        return Cow::Borrowed(file);
    }
    let mut out = Vec::with_capacity(file.len() + 16);
    let mut options = Vec::new();
    // Edition 2023's defaults first, so that what the file itself says comes after them and counts: explicit presence, open
    // enums, packed lists, verified UTF-8, length-prefixed messages, JSON allowed. Later editions changed none of these.
    put_bytes(&mut options, OPTIONS_FEATURES, &[0x08, 1, 0x10, 1, 0x18, 1, 0x20, 2, 0x28, 1, 0x30, 1]);
    for (tag, value) in records(file) {
        match (tag >> 3, value) {
            (FILE_SYNTAX | FILE_EDITION, _) => {}
            (FILE_OPTIONS, Raw::Bytes(bytes)) => options.extend_from_slice(bytes),
            _ => put_record(&mut out, tag, value),
        }
    }
    put_bytes(&mut out, FILE_OPTIONS, &options);
    put_bytes(&mut out, FILE_SYNTAX, b"proto2");
    Cow::Owned(out)
}

fn file_of(tag: u32, value: Raw<'_>) -> Option<&[u8]> {
    match (tag >> 3, value) {
        (SET_FILE, Raw::Bytes(file)) => Some(file),
        _ => None,
    }
}

fn is_edition(file: &[u8]) -> bool {
    records(file).any(|(tag, value)| tag >> 3 == FILE_SYNTAX && value == Raw::Bytes(b"editions"))
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Descriptors have only varints and length-delimited fields.
fn put_record(out: &mut Vec<u8>, tag: u32, value: Raw<'_>) {
    match value {
        Raw::Bytes(bytes) => put_bytes(out, tag >> 3, bytes),
        Raw::Number(number) => {
            put_varint(out, u64::from(tag & !7));
            put_varint(out, number);
        }
    }
}
