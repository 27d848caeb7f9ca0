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
    /// What was made of a record for which there was no room: where that is in memory, and its line.
    left: Option<(usize, Vec<u8>)>,
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
        Self { body, formatter, levels: levels.clone(), is_compressed, bytes_max, left: None }
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

    /// Forgets what was made of records that come next: these may not be where they were.
    pub(super) fn forget(&mut self) {
        self.left = None;
        self.formatter.prepare(&[]);
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
        let mut count = self.expected(records);
        loop {
            out.clear();
            otlp::push(out, &records[..count], service, &self.levels);
            if out.len() <= self.bytes_max || count == 1 {
                return count;
            }
            count = (count * self.bytes_max / out.len()).clamp(1, count - 1);
        }
    }

    /// How many of these records the size in memory lets expect to fit; one at least.
    fn expected(&self, records: &[&Record]) -> usize {
        let mut bytes = 0;
        let fit = records.iter().take_while(|record| {
            bytes += record.size_bytes();
            bytes <= self.bytes_max
        });
        fit.count().max(1)
    }

    /// One by one, as long as there is room; how many they are.
    fn push(&mut self, out: &mut Vec<u8>, records: &[&Record], is_array: bool) -> usize {
        let end_bytes = usize::from(is_array);
        let mut count = 0;
        while count < records.len() {
            let line = self.line(&records[count..], is_array);
            // What stands before it, and behind all, of an array.
            if count > 0 && out.len() + line.len() + 2 * end_bytes > self.bytes_max {
                self.left = Some((std::ptr::from_ref(records[count]).addr(), line));
                break;
            }
            if is_array {
                out.push(if count == 0 { b'[' } else { b',' });
            }
            out.extend_from_slice(&line);
            count += 1;
        }
        if is_array {
            out.push(b']');
        }
        count
    }

    /// The line of the first of these records, without its end in an array. A function is asked for those that are expected
    /// to fit behind it, too.
    fn line(&mut self, records: &[&Record], is_array: bool) -> Vec<u8> {
        let place = std::ptr::from_ref(records[0]).addr();
        if let Some((_, line)) = self.left.take().filter(|(of, _)| *of == place) {
            return line;
        }
        if !self.formatter.is_prepared_for(records[0]) {
            self.formatter.prepare(&records[..self.expected(records)]);
        }
        let mut line = Vec::new();
        self.formatter.push(&mut line, records[0]);
        if is_array {
            line.pop();
        }
        line
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes what is written to it")
}
