//! gRPC-Web's base64: never a panic, the same bytes or the same error wherever the text is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use propylon::surface::grpc_web::Decoder;

fuzz_target!(|data: &[u8]| {
    let [piece, text @ ..] = data else { return };
    let piece = usize::from(*piece).max(1);
    assert_eq!(decode(text, piece), decode(text, text.len().max(1)));
});

fn decode(text: &[u8], piece: usize) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for piece in text.chunks(piece) {
        out.extend(decoder.push(piece).map_err(|status| status.message().to_owned())?);
    }
    decoder.finish().map_err(|status| status.message().to_owned())?;
    assert!(out.len() <= text.len() / 4 * 3);
    Ok(out)
}
