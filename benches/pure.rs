//! The converter alone, beside prost-reflect in the same run: wire to JSON and JSON to wire of a book, an order, and a
//! message of a random schema. Leaves out: reading the request and framing, which `scripts/bench` measures whole.
//!
//! `cargo bench --bench pure -- [--rounds N] [--seed N]` prints tab-separated lines: message, direction, sizes, then
//! median and spread of Propylon's µs, of prost-reflect's, and of the ratio of the two in each round.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark: it stops when it cannot run, and prints"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use propylon::transcode::{Codec, JsonInput, JsonStyle, Tables};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

#[path = "peers/random.rs"]
mod random;
#[path = "peers/sample.rs"]
mod sample;

// The allocator of the program that the converter works in, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One batch: long enough for the clock, short enough that most of them are not interrupted.
const BATCH: Duration = Duration::from_micros(500);
/// Batches of each side in one round.
const BATCHES: usize = 80;

fn main() {
    let rounds = argument("--rounds").unwrap_or(7);
    let seed = argument("--seed").unwrap_or(0x5eed_0f00_d5ea);
    let pool = sample::pool();
    let book = sample::message(&pool, "bench.v1.Book", sample::BOOK);
    let order = sample::message(&pool, "bench.v1.Order", sample::ORDER);
    let (random_pool, random) = random::message(seed);
    for (name, pool, message) in
        [("book", &pool, book), ("order", &pool, order), ("random", &random_pool, random)]
    {
        measure(name, pool, &message, rounds);
    }
}

/// The number after `name` on the command line.
fn argument(name: &str) -> Option<u64> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}

fn measure(name: &str, pool: &DescriptorPool, message: &DynamicMessage, rounds: u64) {
    let descriptor = message.descriptor();
    let wire = message.encode_to_vec();
    let json = reflect_to_json(&descriptor, &wire);
    let converter = Converter::new(pool, &descriptor);

    // A converter that is fast and wrong has no figure.
    let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect("JSON");
    assert_eq!(value(&converter.to_json(&wire)), value(&json), "{name}: wire to JSON");
    let back = converter.to_wire(&json);
    assert_eq!(
        &DynamicMessage::decode(descriptor.clone(), back.as_slice()).expect("wire"),
        message,
        "{name}: JSON to wire"
    );

    let sizes = format!("{} B wire, {} B JSON", wire.len(), json.len());
    let out = compare(
        rounds,
        || converter.to_json(black_box(&wire)),
        || reflect_to_json(&descriptor, black_box(&wire)),
    );
    println!("{name}\twire to JSON\t{sizes}\t{out}");
    let out = compare(
        rounds,
        || converter.to_wire(black_box(&json)),
        || reflect_to_wire(&descriptor, black_box(&json)),
    );
    println!("{name}\tJSON to wire\t{sizes}\t{out}");
}

/// Propylon's side: tables made once, then a new buffer for each conversion, as a call has.
struct Converter(Codec);

impl Converter {
    fn new(pool: &DescriptorPool, descriptor: &MessageDescriptor) -> Converter {
        Converter(Tables::compile(pool).codec(descriptor.full_name()).expect("a message of the pool"))
    }

    fn to_json(&self, wire: &[u8]) -> Vec<u8> {
        let mut json = Vec::new();
        self.0.to_json(wire, &JsonStyle::default(), &mut json).expect("wire");
        json
    }

    fn to_wire(&self, json: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        self.0.to_wire(json, &JsonInput::default(), &mut wire).expect("JSON");
        wire
    }
}

fn reflect_to_json(descriptor: &MessageDescriptor, wire: &[u8]) -> Vec<u8> {
    let message = DynamicMessage::decode(descriptor.clone(), wire).expect("wire");
    serde_json::to_vec(&message).expect("JSON")
}

fn reflect_to_wire(descriptor: &MessageDescriptor, json: &[u8]) -> Vec<u8> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    DynamicMessage::deserialize(descriptor.clone(), &mut reader).expect("JSON").encode_to_vec()
}

/// Interleaves batches of both and says what `main`'s lines end with.
fn compare(rounds: u64, own: impl Fn() -> Vec<u8>, peer: impl Fn() -> Vec<u8>) -> String {
    let own_count = calibrate(&own);
    let peer_count = calibrate(&peer);
    let (mut own_us, mut peer_us, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (mut own_batches, mut peer_batches) = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            own_batches.push(batch(&own, own_count));
            peer_batches.push(batch(&peer, peer_count));
        }
        let (own_median, peer_median) = (quantile(&mut own_batches, 0.5), quantile(&mut peer_batches, 0.5));
        own_us.push(own_median);
        peer_us.push(peer_median);
        ratios.push(own_median / peer_median);
    }
    let cells = [&mut own_us, &mut peer_us, &mut ratios].map(|values| {
        let spread = (quantile(values, 0.75) - quantile(values, 0.25)) / 2.0;
        format!("{:.4}\t{spread:.4}", quantile(values, 0.5))
    });
    cells.join("\t")
}

/// How many conversions fill a batch; warms up as it finds out.
fn calibrate(work: &impl Fn() -> Vec<u8>) -> u32 {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < BATCH * 100 {
        black_box(work());
        count += 1;
    }
    (count / 100).max(1)
}

/// Microseconds per conversion over one batch.
fn batch(work: &impl Fn() -> Vec<u8>, count: u32) -> f64 {
    let begun = Instant::now();
    for _ in 0..count {
        black_box(work());
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// The value below which that share of the values lies, the nearest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an index"
)]
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}
