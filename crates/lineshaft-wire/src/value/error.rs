//! What can be wrong with the bytes of a value, or with a value on its way to bytes.

use super::ext;

/// Why bytes are not a value, or a value cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The bytes end inside a value, or announce more than they hold.
    #[error("value ends early: {needed_bytes} more bytes are announced at byte {offset} than there are")]
    Truncated {
        /// Where the announcement stands.
        offset: usize,
        /// How many bytes are missing, at least.
        needed_bytes: u64,
    },
    /// Bytes after the end of the value.
    #[error("{extra_bytes} bytes follow the end of the value at byte {offset}")]
    Trailing {
        /// Where the value ends.
        offset: usize,
        /// How many bytes follow.
        extra_bytes: usize,
    },
    /// Something else stands where an element of a known shape is expected.
    #[error("expected {expected} at byte {offset}, found {found}")]
    Unexpected {
        /// Where it stands.
        offset: usize,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The text is not UTF-8.
    #[error("text at byte {offset} is not UTF-8")]
    NotUtf8 {
        /// Where the text stands.
        offset: usize,
    },
    /// An extension type that this version cannot read.
    #[error("extension type {code} ({}) at byte {offset} cannot be read by this version", ext::name(*code))]
    UnknownExtension {
        /// Where it stands.
        offset: usize,
        /// Its code.
        code: i8,
    },
    /// The body of an extension type does not mean anything.
    #[error("{what} at byte {offset} is not valid: {reason}")]
    Invalid {
        /// Where it stands.
        offset: usize,
        /// The extension type.
        what: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// A reference to a value that does not come before it.
    #[error("reference at byte {offset} names value {number}, which does not come before it")]
    DanglingReference {
        /// Where the reference stands.
        offset: usize,
        /// What it names.
        number: u64,
    },
    /// An array names a buffer that the payload does not have, or one of the wrong length.
    #[error("array needs buffer {index} of {needed_bytes} bytes, the payload has {actual_bytes:?}")]
    Buffer {
        /// The buffer's index.
        index: u64,
        /// What its type and shape need.
        needed_bytes: u64,
        /// What is there, if it is there.
        actual_bytes: Option<u64>,
    },
    /// Nested too deep.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
    /// Small bytes that become large objects.
    #[error("too many elements: once decoded they take more than {} of memory", size(*limit_bytes))]
    TooMuchMemory {
        /// The limit, see [`super::DECODED_BYTES_MAX`].
        limit_bytes: u64,
    },
    /// Too many bytes.
    #[error("payload of {actual_bytes} bytes is above the limit of {}", size(*limit_bytes))]
    TooLarge {
        /// Its size; at least that much where it was given up half-way.
        actual_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The envelope is not one.
    #[error("not a payload: {reason}")]
    Envelope {
        /// What is wrong.
        reason: &'static str,
    },
    /// Written by a version after this one.
    #[error("payload has format {format:#04x}, which this version cannot read")]
    UnknownFormat {
        /// The first byte.
        format: u8,
    },
}

/// A size for people: `64 MiB`, `1.5 KiB`, `12 bytes`.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = "bytes";
    for next in units {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, next);
    }
    let text = format!("{scaled:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}
