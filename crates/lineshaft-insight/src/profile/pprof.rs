//! The format of pprof (<https://github.com/google/pprof/blob/main/proto/profile.proto>), gzipped.
//!
//! Protobuf is written by hand: of a format with four messages of numbers and texts a library would be the larger part.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;

use super::{Call, FrameId, Kind, Profile, Weight};

/// Fields of `Profile`, by their numbers.
const SAMPLE_TYPE: u32 = 1;
const SAMPLE: u32 = 2;
const LOCATION: u32 = 4;
const FUNCTION: u32 = 5;
const STRING_TABLE: u32 = 6;
const DURATION_NANOS: u32 = 10;
const DEFAULT_SAMPLE_TYPE: u32 = 14;

const TYPES: [(&str, &str); 4] =
    [("samples", "count"), ("wall", "nanoseconds"), ("cpu", "nanoseconds"), ("awaiting", "nanoseconds")];

impl Profile {
    /// A file for pprof. Each sample has a label `thread` or `task`, and four values: how often it was seen, the time that
    /// passed, that with a processor, and that in which a task was suspended.
    pub fn pprof(&self) -> Vec<u8> {
        let (mut out, mut texts) = (Message::default(), Texts::default());
        texts.number("");
        for (name, unit) in TYPES {
            out.message(SAMPLE_TYPE, &value_type(&mut texts, (name, unit)));
        }
        let mut locations: FxHashMap<Call, u64> = FxHashMap::default();
        let mut places: Vec<Call> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.own != Weight::default()) {
            let mut sample = Message::default();
            let ids: Vec<u64> = (self.calls(node))
                .map(|call| {
                    *locations.entry(call).or_insert_with(|| {
                        places.push(call);
                        places.len() as u64
                    })
                })
                .collect();
            let track = self.tracks[node.place.track as usize];
            sample.packed(1, &ids);
            sample.packed(2, &values(node.own, track.kind));
            let key = if track.kind == Kind::Awaiting { "task" } else { "thread" };
            let mut label = Message::default();
            label.number(1, texts.number(key));
            label.number(2, texts.number(self.names.text_of(track.name)));
            sample.message(3, &label);
            out.message(SAMPLE, &sample);
        }
        write_locations(&mut out, &places);
        self.functions_of(&mut out, &mut texts, &places);
        let wall = texts.number("wall");
        texts.all.iter().for_each(|text| out.bytes(STRING_TABLE, text.as_bytes()));
        out.number(DURATION_NANOS, self.duration_ns);
        out.number(DEFAULT_SAMPLE_TYPE, wall);
        let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
        zipped.write_all(&out.0).and_then(|()| zipped.finish()).expect("memory can be written to")
    }

    fn functions_of(&self, out: &mut Message, texts: &mut Texts, places: &[Call]) {
        let mut ids: Vec<FrameId> = places.iter().map(|call| call.frame).collect();
        ids.sort_unstable_by_key(|id| id.0);
        ids.dedup();
        for id in ids {
            let (frame, mut function) = (self.frame_of(id), Message::default());
            let name = texts.number(frame.name);
            function.number(1, function_id(id));
            function.number(2, name);
            function.number(3, name);
            function.number(4, texts.number(frame.file));
            function.number(5, u64::from(frame.line));
            out.message(FUNCTION, &function);
        }
    }
}

fn write_locations(out: &mut Message, places: &[Call]) {
    for (at, call) in places.iter().enumerate() {
        let (mut line, mut location) = (Message::default(), Message::default());
        line.number(1, function_id(call.frame));
        line.number(2, u64::from(call.line));
        location.number(1, at as u64 + 1);
        location.message(4, &line);
        out.message(LOCATION, &location);
    }
}

fn value_type(texts: &mut Texts, (name, unit): (&str, &str)) -> Message {
    let mut message = Message::default();
    message.number(1, texts.number(name));
    message.number(2, texts.number(unit));
    message
}

fn values(own: Weight, kind: Kind) -> [u64; 4] {
    match kind {
        Kind::Thread => [own.samples, own.wall_ns, own.cpu_ns, 0],
        Kind::Awaiting => [0, 0, 0, own.wall_ns],
    }
}

/// Ids begin with 1.
fn function_id(id: FrameId) -> u64 {
    u64::from(id.0) + 1
}

#[derive(Default)]
struct Texts {
    all: Vec<String>,
    index: FxHashMap<String, u64>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.index.get(text) {
            return number;
        }
        let number = self.all.len() as u64;
        self.all.push(text.to_owned());
        self.index.insert(text.to_owned(), number);
        number
    }
}

/// A message of protobuf, in its encoding.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3));
        self.varint(value);
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field << 3 | 2));
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u32, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn packed(&mut self, field: u32, values: &[u64]) {
        let mut packed = Self::default();
        values.iter().for_each(|value| packed.varint(*value));
        self.message(field, &packed);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
