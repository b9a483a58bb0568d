//! The converter alone, beside prost-reflect in the same run: wire to JSON and JSON to wire of a book, an order, and a
//! message of a random schema. Leaves out: reading the request and framing, which `scripts/bench` measures whole.
//!
//! `cargo bench --bench pure -- [--rounds N] [--seed N]` prints tab-separated lines: message, direction, sizes, the
//! µs of Propylon's fastest round, then median and spread of its µs, of prost-reflect's, and of their ratio in each round.
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
    let samples = [("book", &pool, book), ("order", &pool, order), ("random", &random_pool, random)];
    let samples = samples.map(|(name, pool, message)| Sample::new(name, pool, &message));
    let mut cases: Vec<_> = samples.iter().flat_map(Sample::cases).collect();
    // The rounds of one case lie apart, so that a slow while of the machine is not the whole of its figures.
    for _ in 0..rounds {
        for case in &mut cases {
            case.round();
        }
    }
    for case in &mut cases {
        println!("{}", case.line());
    }
}

/// The number after `name` on the command line.
fn argument(name: &str) -> Option<u64> {
    std::env::args().skip_while(|argument| argument != name).nth(1)?.parse().ok()
}

/// One message in all its forms.
struct Sample {
    name: &'static str,
    descriptor: MessageDescriptor,
    converter: Converter,
    wire: Vec<u8>,
    json: Vec<u8>,
}

impl Sample {
    fn new(name: &'static str, pool: &DescriptorPool, message: &DynamicMessage) -> Sample {
        let descriptor = message.descriptor();
        let converter = Converter::new(pool, &descriptor);
        let wire = message.encode_to_vec();
        let json = reflect_to_json(&descriptor, &wire);

        // A converter that is fast and wrong has no figure.
        let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect("JSON");
        assert_eq!(value(&converter.to_json(&wire)), value(&json), "{name}: wire to JSON");
        let back =
            DynamicMessage::decode(descriptor.clone(), converter.to_wire(&json).as_slice()).expect("wire");
        assert_eq!(&back, message, "{name}: JSON to wire");
        Sample { name, descriptor, converter, wire, json }
    }

    fn cases(&self) -> [Case<'_>; 2] {
        let Sample { name, descriptor, converter, wire, json } = self;
        let sizes = format!("{} B wire, {} B JSON", wire.len(), json.len());
        [
            Case::new(
                format!("{name}\twire to JSON\t{sizes}"),
                Box::new(|| converter.to_json(black_box(wire))),
                Box::new(|| reflect_to_json(descriptor, black_box(wire))),
            ),
            Case::new(
                format!("{name}\tJSON to wire\t{sizes}"),
                Box::new(|| converter.to_wire(black_box(json))),
                Box::new(|| reflect_to_wire(descriptor, black_box(json))),
            ),
        ]
    }
}

type Work<'a> = Box<dyn Fn() -> Vec<u8> + 'a>;

/// One direction of one message, by both converters.
struct Case<'a> {
    label: String,
    own: (Work<'a>, u32),
    peer: (Work<'a>, u32),
    own_us: Vec<f64>,
    peer_us: Vec<f64>,
    ratios: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(label: String, own: Work<'a>, peer: Work<'a>) -> Case<'a> {
        let (own_count, peer_count) = (calibrate(&*own), calibrate(&*peer));
        let (own, peer) = ((own, own_count), (peer, peer_count));
        Case { label, own, peer, own_us: Vec::new(), peer_us: Vec::new(), ratios: Vec::new() }
    }

    /// Interleaves batches of both.
    fn round(&mut self) {
        let (mut own, mut peer) = (Vec::new(), Vec::new());
        for _ in 0..BATCHES {
            own.push(batch(&*self.own.0, self.own.1));
            peer.push(batch(&*self.peer.0, self.peer.1));
        }
        let (own, peer) = (quantile(&mut own, 0.5), quantile(&mut peer, 0.5));
        self.own_us.push(own);
        self.peer_us.push(peer);
        self.ratios.push(own / peer);
    }

    fn line(&mut self) -> String {
        let fastest = quantile(&mut self.own_us, 0.0);
        let cells = [&mut self.own_us, &mut self.peer_us, &mut self.ratios].map(|values| {
            let spread = (quantile(values, 0.75) - quantile(values, 0.25)) / 2.0;
            format!("{:.4}\t{spread:.4}", quantile(values, 0.5))
        });
        format!("{}\t{fastest:.4}\t{}", self.label, cells.join("\t"))
    }
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

/// How many conversions fill a batch; warms up as it finds out.
fn calibrate(work: &dyn Fn() -> Vec<u8>) -> u32 {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < BATCH * 100 {
        black_box(work());
        count += 1;
    }
    (count / 100).max(1)
}

/// Microseconds per conversion over one batch.
fn batch(work: &dyn Fn() -> Vec<u8>, count: u32) -> f64 {
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
