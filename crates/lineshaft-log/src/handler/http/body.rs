//! The body of a request.

use std::io::Write;
use std::sync::Arc;

use flate2::write::GzEncoder;

use crate::format::{Format, Formatter, Zone};
use crate::level::LevelNames;
use crate::record::Record;

/// The form of the records of a request.
#[derive(Clone, Debug)]
pub enum HttpBody {
    /// A line for each, in any form.
    Lines(Format, Zone),
    /// An array of JSON with an object for each.
    Array(Zone),
}

pub(super) struct Writer {
    body: HttpBody,
    formatter: Formatter,
    is_compressed: bool,
    bytes_max: usize,
}

impl Writer {
    pub(super) fn new(
        body: HttpBody,
        is_compressed: bool,
        bytes_max: usize,
        levels: &Arc<LevelNames>,
    ) -> Self {
        let (format, zone) = match &body {
            HttpBody::Lines(format, zone) => (format.clone(), *zone),
            HttpBody::Array(zone) => (Format::Json, *zone),
        };
        let formatter = Formatter::new(format, zone, levels.clone());
        Self { body, formatter, is_compressed, bytes_max }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.body {
            HttpBody::Lines(Format::Json, _) => "application/x-ndjson",
            HttpBody::Lines(..) => "text/plain; charset=utf-8",
            HttpBody::Array(_) => "application/json",
        }
    }

    /// As many of these records as there is room for, and one at least; how many they are, and the body.
    pub(super) fn body(&mut self, records: &[&Record]) -> (usize, Vec<u8>) {
        let (mut count, mut out) = (0, Vec::new());
        let is_array = matches!(self.body, HttpBody::Array(_));
        while count < records.len() && (count == 0 || out.len() < self.bytes_max) {
            if is_array {
                out.push(if count == 0 { b'[' } else { b',' });
            }
            self.formatter.push(&mut out, records[count]);
            if is_array {
                out.pop(); // the end of the line
            }
            count += 1;
        }
        if is_array {
            out.push(b']');
        }
        (count, if self.is_compressed { compressed(&out) } else { out })
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes what is written to it")
}
