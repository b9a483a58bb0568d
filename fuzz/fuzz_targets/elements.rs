//! The splitter of streams of JSON messages: never a panic, and the same elements and the same error wherever the body
//! is cut. The first two bytes choose the layout and the length of the pieces; the rest is the body.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use propylon::surface::rest::elements::{ElementError, Elements, Layout};

const LIMIT: usize = 256;

fuzz_target!(|data: &[u8]| {
    let [choice, piece, body @ ..] = data else { return };
    let layout = match choice % 3 {
        0 => Layout::Array,
        1 => Layout::Lines,
        _ => Layout::Either,
    };
    let whole = split(layout, body, body.len().max(1));
    assert_eq!(split(layout, body, usize::from(*piece).max(1)), whole);
    assert_eq!(split(layout, body, 1), whole);
    assert!(whole.0.iter().all(|element| element.len() <= LIMIT));
    // What is JSON is split as JSON says.
    if layout == Layout::Array
        && let Ok(values) = serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(body)
        && whole.1.is_none()
    {
        let texts: Vec<_> = whole.0.iter().map(|element| element.trim_ascii()).collect();
        assert_eq!(texts, values.iter().map(|value| value.get().as_bytes()).collect::<Vec<_>>());
    }
});

fn split(layout: Layout, body: &[u8], piece: usize) -> (Vec<Bytes>, Option<ElementError>) {
    let mut elements = Elements::new(layout, LIMIT);
    let mut chunks = body.chunks(piece);
    let mut taken = Vec::new();
    loop {
        match elements.take_next() {
            Ok(Some(element)) => taken.push(element),
            Ok(None) => match chunks.next() {
                Some(chunk) => elements.feed(Bytes::copy_from_slice(chunk)),
                None if elements.is_ended() => return (taken, None),
                None => elements.end(),
            },
            Err(error) => return (taken, Some(error)),
        }
    }
}
