//! Objects as messages.
//!
//! The tag says what the bytes are. Values of the wire format are written by [`crate::values`]; everything else is pickled,
//! by `lineshaft.multiprocessing._codec`, which is for a program tree alone: the descriptor of a queue is only ever inherited.

use crate::once::OnceMade;
use lineshaft_ipc::arena;
use lineshaft_ipc::channel::Part;
use lineshaft_ipc::ring::Message;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList, PyMemoryView, PyString};

use super::block::Block;
use crate::values::{self, Registry, Written, exactly, small_integer};

/// Messages of more bytes go through a block.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// A payload of the wire format.
const VALUE: u32 = 0;
const BYTES: u32 = 1;
const TEXT: u32 = 2;
/// Eight bytes, little-endian.
const INTEGER: u32 = 3;
const PICKLE: u32 = 4;
/// What a memoryview had; it is one again.
const VIEW: u32 = 5;
/// A pickle and its buffers, as `_codec.fill` places them.
const PICKLE_WITH_BUFFERS: u32 = 6;

/// What Python does of it: functions of `_codec`.
struct Codec {
    registry: Py<Registry>,
    /// From an object to (tag, bytes, pieces of a block, bytes of the block).
    pack: Py<PyAny>,
    /// Places the pieces in a block.
    fill: Py<PyAny>,
    loads: Py<PyAny>,
    loads_with_buffers: Py<PyAny>,
    view: Py<PyAny>,
}

impl Codec {
    fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static CODEC: OnceMade<Codec> = OnceMade::new();
        CODEC.get_or_try_init(py, || {
            let module = py.import("lineshaft.multiprocessing._codec")?;
            let find = |name: &str| module.getattr(name).map(Bound::unbind);
            Ok(Self {
                registry: module.getattr("REGISTRY")?.cast_into::<Registry>()?.unbind(),
                pack: find("pack")?,
                fill: find("fill")?,
                loads: find("loads")?,
                loads_with_buffers: find("loads_with_buffers")?,
                view: find("view")?,
            })
        })
    }
}

/// An object that is ready to be put.
pub(super) struct Packed<'py> {
    tag: u32,
    content: Content<'py>,
}

enum Content<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
    Integer([u8; 8]),
    Value(Written<'py>),
    Copied(Vec<u8>),
    /// What `_codec.fill` makes so many bytes of.
    Pieces {
        pieces: Bound<'py, PyList>,
        size_bytes: usize,
    },
}

/// Makes a message of `object`; what it was then, whatever becomes of it.
pub(super) fn pack<'py>(object: &Bound<'py, PyAny>) -> PyResult<Packed<'py>> {
    if let Some(bytes) = exactly::<PyBytes>(object) {
        return Ok(Packed { tag: BYTES, content: Content::Bytes(bytes.clone()) });
    }
    if let Some(text) = exactly::<PyString>(object)
        && text.to_str().is_ok()
    {
        return Ok(Packed { tag: TEXT, content: Content::Text(text.clone()) });
    }
    if let Some(integer) = exactly::<PyInt>(object).and_then(small_integer) {
        return Ok(Packed { tag: INTEGER, content: Content::Integer(integer.to_le_bytes()) });
    }
    let (py, codec) = (object.py(), Codec::get(object.py())?);
    if object.is_exact_instance_of::<PyMemoryView>() {
        return pickled(codec, object);
    }
    match values::write(codec.registry.bind(py), object) {
        Ok(written) if written.plain().is_some() => {
            Ok(Packed { tag: VALUE, content: Content::Value(written) })
        }
        Ok(written) if written.size_bytes() <= SMALL_BYTES_MAX => {
            Ok(Packed { tag: VALUE, content: Content::Copied(written.copied(py)?) })
        }
        // Large arrays stay out of the pickle, and are read where they lie.
        Ok(_) => pickled(codec, object),
        // What cannot be pickled either says where it is.
        Err(no_value) => {
            pickled(codec, object).inspect_err(|error| error.set_cause(py, Some(no_value.into_error(py))))
        }
    }
}

fn pickled<'py>(codec: &Codec, object: &Bound<'py, PyAny>) -> PyResult<Packed<'py>> {
    type Parts<'py> = (u32, Bound<'py, PyBytes>, Bound<'py, PyList>, usize);
    let (tag, bytes, pieces, size_bytes): Parts<'py> =
        codec.pack.bind(object.py()).call1((object,))?.extract()?;
    let content = match tag {
        PICKLE => Content::Bytes(bytes),
        VIEW if pieces.is_empty() => Content::Bytes(bytes),
        VIEW | PICKLE_WITH_BUFFERS => Content::Pieces { pieces, size_bytes },
        _ => return Err(PyValueError::new_err(format!("no message has tag {tag}"))),
    };
    Ok(Packed { tag, content })
}

impl Packed<'_> {
    pub(super) fn tag(&self) -> u32 {
        self.tag
    }

    /// Whether it goes through a block.
    pub(super) fn is_large(&self) -> bool {
        matches!(self.content, Content::Pieces { .. }) || self.bytes().len() > SMALL_BYTES_MAX
    }

    pub(super) fn size_bytes(&self) -> usize {
        match &self.content {
            Content::Pieces { size_bytes, .. } => *size_bytes,
            _ => self.bytes().len(),
        }
    }

    /// As a small message.
    pub(super) fn message(&self) -> Message<'_> {
        Message { tag: self.tag, bytes: self.bytes() }
    }

    /// Its bytes, where they lie in a row.
    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Bytes(bytes) => bytes.as_bytes(),
            // Asked before, so it is kept with the text.
            Content::Text(text) => text.to_str().map_or(&[][..], str::as_bytes),
            Content::Integer(bytes) => bytes,
            Content::Value(written) => written.plain().unwrap_or(&[]),
            Content::Copied(bytes) => bytes,
            Content::Pieces { .. } => &[],
        }
    }

    /// Copies it into `block`, which has so many bytes.
    pub(super) fn fill(&self, py: Python<'_>, mut block: arena::Block) -> PyResult<arena::Block> {
        if let Content::Pieces { pieces, .. } = &self.content {
            let block = Py::new(py, Block::new(block))?;
            Codec::get(py)?.fill.bind(py).call1((&block, pieces))?;
            return block.get().take();
        }
        let bytes = self.bytes();
        // Nobody changes bytes and text, and the others are this thread's.
        py.detach(|| block.copy_from_slice(bytes));
        Ok(block)
    }
}

/// The object that a message was made of.
pub(super) fn unpack<'py>(py: Python<'py>, tag: u32, part: Part<'_>) -> PyResult<Bound<'py, PyAny>> {
    let part = match part {
        Part::Large(block) if matches!(tag, VIEW | PICKLE_WITH_BUFFERS) => {
            let codec = Codec::get(py)?;
            let read = if tag == VIEW { &codec.view } else { &codec.loads_with_buffers };
            return read.bind(py).call1((Py::new(py, Block::new(block))?,));
        }
        part => part,
    };
    let bytes = match &part {
        Part::Small(bytes) => *bytes,
        Part::Large(block) => &block[..],
    };
    match tag {
        VALUE => values::decode(Codec::get(py)?.registry.bind(py), bytes),
        BYTES => Ok(PyBytes::new(py, bytes).into_any()),
        TEXT => {
            let text = str::from_utf8(bytes).map_err(|error| PyValueError::new_err(error.to_string()))?;
            Ok(PyString::new(py, text).into_any())
        }
        INTEGER => {
            let bytes: [u8; 8] =
                bytes.try_into().map_err(|_| PyValueError::new_err("an integer has eight bytes"))?;
            Ok(i64::from_le_bytes(bytes).into_pyobject(py)?.into_any())
        }
        PICKLE => Codec::get(py)?.loads.bind(py).call1((PyBytes::new(py, bytes),)),
        VIEW => Ok(PyMemoryView::from(PyBytes::new(py, bytes).as_any())?.into_any()),
        _ => Err(PyValueError::new_err(format!("no message has tag {tag}"))),
    }
}
