//! What is needed of pyarrow, which is used when it is there and never required.
//!
//! Tables, batches, arrays and schemas travel in Arrow's own stream format, in a buffer of the payload: writing copies
//! them once into it, reading copies that buffer once into memory of Arrow's own.
#![allow(unsafe_code)]

use crate::once::OnceMade;
use crate::once::intern;
use lineshaft_wire::value::check_arrow_stream;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};

use super::failure::{Converted, Failure};
use super::native::copy_memory;

/// Before it, reading a stream could unpickle parts of it.
const VERSION_MIN: u32 = 15;

/// `PyBUF_WRITE`, which the bindings of the stable interface leave out.
const BUFFER_IS_WRITABLE: std::ffi::c_int = 0x200;

/// Classes and functions of pyarrow.
pub(super) struct Arrow {
    table: Py<PyType>,
    batch: Py<PyType>,
    array: Py<PyType>,
    chunks: Py<PyType>,
    schema: Py<PyType>,
    module: Py<PyAny>,
    ipc: Py<PyAny>,
}

/// What is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    Batch,
    Array,
    Chunks,
    Schema,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Batch => "batch",
            Self::Array => "array",
            Self::Chunks => "chunks",
            Self::Schema => "schema",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Table, Self::Batch, Self::Array, Self::Chunks, Self::Schema]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// An object on its way into a stream: a table, batch or schema.
pub(super) struct Stream<'py> {
    arrow: &'static Arrow,
    content: Bound<'py, PyAny>,
    kind: Kind,
}

static ARROW: OnceMade<Arrow> = OnceMade::new();

impl Arrow {
    /// pyarrow, if the program uses it.
    pub(super) fn loaded(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        if let Some(arrow) = ARROW.get(py) {
            return Ok(Some(arrow));
        }
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        if !modules.cast::<PyDict>()?.contains(intern!(py, "pyarrow"))? {
            return Ok(None);
        }
        Self::import(py).map(Some)
    }

    /// pyarrow, imported now; a table on the wire needs it.
    pub(super) fn import(py: Python<'_>) -> PyResult<&'static Self> {
        ARROW.get_or_try_init(py, || {
            let module = py.import("pyarrow")?;
            let version: String = module.getattr("__version__")?.extract()?;
            if version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0) < VERSION_MIN {
                let message = format!("pyarrow {VERSION_MIN} or newer is needed, this is {version}");
                return Err(pyo3::exceptions::PyImportError::new_err(message));
            }
            let class = |name: &str| Ok::<_, PyErr>(module.getattr(name)?.cast_into::<PyType>()?.unbind());
            Ok(Self {
                table: class("Table")?,
                batch: class("RecordBatch")?,
                array: class("Array")?,
                chunks: class("ChunkedArray")?,
                schema: class("Schema")?,
                ipc: py.import("pyarrow.ipc")?.into_any().unbind(),
                module: module.into_any().unbind(),
            })
        })
    }

    /// What the object is, if it is one of Arrow's.
    pub(super) fn kind_of(&self, object: &Bound<'_, PyAny>) -> PyResult<Option<Kind>> {
        let class = object.get_type();
        let kind = if class.is(&self.table) {
            Kind::Table
        } else if class.is(&self.batch) {
            Kind::Batch
        } else if class.is(&self.chunks) {
            Kind::Chunks
        } else if class.is(&self.schema) {
            Kind::Schema
        } else if object.is_instance(self.array.bind(object.py()))? {
            Kind::Array
        } else {
            return Ok(None);
        };
        Ok(Some(kind))
    }

    /// The object as what a stream holds: an array is the one column of a batch.
    pub(super) fn stream<'py>(
        &'static self,
        object: &Bound<'py, PyAny>,
        kind: Kind,
    ) -> PyResult<Stream<'py>> {
        let py = object.py();
        let of_columns = |class: &Py<PyType>| {
            let (columns, names) = (PyList::new(py, [object])?, PyList::new(py, [""])?);
            class.bind(py).call_method1(intern!(py, "from_arrays"), (columns, names))
        };
        let content = match kind {
            Kind::Table | Kind::Batch | Kind::Schema => object.clone(),
            Kind::Array => of_columns(&self.batch)?,
            Kind::Chunks => of_columns(&self.table)?,
        };
        Ok(Stream { arrow: self, content, kind })
    }

    /// What a stream holds. Everything in it is validated: hostile offsets would lead out of its memory.
    pub(super) fn read<'py>(
        &self,
        py: Python<'py>,
        kind: Kind,
        stream: &[u8],
    ) -> Converted<Bound<'py, PyAny>> {
        check_arrow_stream(stream)?;
        let buffer = self.module.bind(py).call_method1(intern!(py, "allocate_buffer"), (stream.len(),))?;
        copy_into(&buffer, stream)?;
        let reader = self.ipc.bind(py).call_method1(intern!(py, "open_stream"), (buffer,))?;
        if kind == Kind::Schema {
            return Ok(reader.getattr(intern!(py, "schema"))?);
        }
        let table = reader.call_method0(intern!(py, "read_all"))?;
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "full"), true)?;
        table.call_method(intern!(py, "validate"), (), Some(&keywords))?;
        let only = |items: Bound<'py, PyAny>, what: &str| {
            if items.len()? == 1 {
                return Ok(items.get_item(0)?);
            }
            Err(Failure::said(format!("a stream for this has one {what}")))
        };
        let columns = |of: &Bound<'py, PyAny>| only(of.getattr(intern!(py, "columns"))?, "column");
        match kind {
            Kind::Table | Kind::Schema => Ok(table),
            Kind::Chunks => columns(&table),
            Kind::Batch | Kind::Array => {
                let batches = table.call_method0(intern!(py, "to_batches"))?;
                let batch =
                    if batches.len()? == 0 { self.empty_batch(&table)? } else { only(batches, "batch")? };
                if kind == Kind::Batch { Ok(batch) } else { columns(&batch) }
            }
        }
    }

    /// A table without rows has no batches.
    fn empty_batch<'py>(&self, table: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = table.py();
        let schema = table.getattr(intern!(py, "schema"))?;
        let empty = schema.call_method0(intern!(py, "empty_table"))?;
        let columns = PyList::empty(py);
        for column in empty.getattr(intern!(py, "columns"))?.try_iter()? {
            columns.append(column?.call_method0(intern!(py, "combine_chunks"))?)?;
        }
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "schema"), schema)?;
        self.batch.bind(py).call_method(intern!(py, "from_arrays"), (columns,), Some(&keywords))
    }
}

impl Stream<'_> {
    /// How many bytes it takes. Nothing is copied for that.
    pub(super) fn size_bytes(&self) -> PyResult<usize> {
        let py = self.content.py();
        let sink = self.arrow.module.bind(py).call_method0(intern!(py, "MockOutputStream"))?;
        self.write(&sink)?;
        sink.call_method0(intern!(py, "size"))?.extract()
    }

    /// Writes it to its place in the payload.
    pub(super) fn copy(&self, room: &mut [u8]) -> PyResult<()> {
        let py = self.content.py();
        let module = self.arrow.module.bind(py);
        // SAFETY: the view covers exactly `room`, and nothing that holds it outlives this function: the buffer and
        // the sink made from it are dropped at its end, and the content keeps no reference to where it was written.
        let view = unsafe {
            let start = room.as_mut_ptr().cast();
            let view = ffi::PyMemoryView_FromMemory(start, room.len() as ffi::Py_ssize_t, BUFFER_IS_WRITABLE);
            Bound::from_owned_ptr_or_err(py, view)?
        };
        let buffer = module.call_method1(intern!(py, "py_buffer"), (view,))?;
        let sink = module.call_method1(intern!(py, "FixedSizeBufferWriter"), (buffer,))?;
        self.write(&sink)?;
        sink.call_method0(intern!(py, "close"))?;
        Ok(())
    }

    fn write(&self, sink: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = sink.py();
        let schema = match self.kind {
            Kind::Schema => self.content.clone(),
            _ => self.content.getattr(intern!(py, "schema"))?,
        };
        let writer = self.arrow.ipc.bind(py).call_method1(intern!(py, "new_stream"), (sink, schema))?;
        if self.kind != Kind::Schema {
            writer.call_method1(intern!(py, "write"), (&self.content,))?;
        }
        writer.call_method0(intern!(py, "close"))?;
        Ok(())
    }
}

/// Fills a buffer of pyarrow's.
fn copy_into(buffer: &Bound<'_, PyAny>, bytes: &[u8]) -> PyResult<()> {
    let py = buffer.py();
    let address: usize = buffer.getattr(intern!(py, "address"))?.extract()?;
    let size: usize = buffer.getattr(intern!(py, "size"))?.extract()?;
    assert_eq!(size, bytes.len(), "pyarrow allocates what it is asked for");
    // SAFETY: the buffer was allocated just before with this size, is writable, and nobody else knows of it.
    let room =
        unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(address), size) };
    // SAFETY: `bytes` is borrowed, so it is readable and nobody changes it.
    unsafe { copy_memory(bytes.as_ptr().expose_provenance(), room) };
    Ok(())
}
