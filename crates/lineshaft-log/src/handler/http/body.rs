//! The body of a request.

use std::io::Write;
use std::sync::Arc;

use flate2::write::GzEncoder;

use crate::format::{Format, Formatter, Zone, otlp};
use crate::level::LevelNames;
use crate::record::Record;

/// The form of the records of a request.
#[derive(Clone, Debug)]
pub enum HttpBody {
    /// A line for each, in any form.
    Lines(Format, Zone),
    /// An array of JSON with an object for each.
    Array(Zone),
    /// What OpenTelemetry's collectors take at `/v1/logs`, as JSON, of the service that is called so.
    Otlp(String),
}

pub(super) struct Writer {
    body: HttpBody,
    formatter: Formatter,
    levels: Arc<LevelNames>,
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
            HttpBody::Otlp(_) => (Format::Json, Zone::Utc),
        };
        let formatter = Formatter::new(format, zone, levels.clone());
        Self { body, formatter, levels: levels.clone(), is_compressed, bytes_max }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.body {
            HttpBody::Lines(Format::Json, _) => "application/x-ndjson",
            HttpBody::Lines(..) => "text/plain; charset=utf-8",
            HttpBody::Array(_) | HttpBody::Otlp(_) => "application/json",
        }
    }

    pub(super) fn unformatted(&self) -> (u64, &str) {
        self.formatter.unformatted()
    }

    /// As many of these records as there is room for, and one at least; how many they are, and the body.
    pub(super) fn body(&mut self, records: &[&Record]) -> (usize, Vec<u8>) {
        let mut out = Vec::new();
        let count = match &self.body {
            HttpBody::Otlp(service) => self.push_otlp(&mut out, records, service),
            HttpBody::Lines(..) => self.push(&mut out, records, false),
            HttpBody::Array(_) => self.push(&mut out, records, true),
        };
        (count, if self.is_compressed { compressed(&out) } else { out })
    }

    /// All of them, or as many as their size in memory lets expect to fit, and fewer until they do; how many they are.
    fn push_otlp(&self, out: &mut Vec<u8>, records: &[&Record], service: &str) -> usize {
        let mut bytes = 0;
        let fit = records.iter().take_while(|record| {
            bytes += record.size_bytes();
            bytes <= self.bytes_max
        });
        let mut count = fit.count().max(1);
        loop {
            out.clear();
            otlp::push(out, &records[..count], service, &self.levels);
            if out.len() <= self.bytes_max || count == 1 {
                return count;
            }
            count = (count * self.bytes_max / out.len()).clamp(1, count - 1);
        }
    }

    /// One by one, as long as there is room; how many they are.
    fn push(&mut self, out: &mut Vec<u8>, records: &[&Record], is_array: bool) -> usize {
        let (mut count, mut end) = (0, 0);
        self.formatter.prepare(records);
        for record in records {
            if is_array {
                out.push(if count == 0 { b'[' } else { b',' });
            }
            self.formatter.push(out, record);
            if is_array {
                out.pop(); // the end of the line
            }
            if count > 0 && out.len() + usize::from(is_array) > self.bytes_max {
                break;
            }
            (count, end) = (count + 1, out.len());
        }
        out.truncate(end);
        if is_array {
            out.push(b']');
        }
        count
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes what is written to it")
}
