//! Many calls in one request: equal neighbours share a group, small arguments share a piece of payload.

use std::sync::Arc;

use crate::once::intern;
use bytes::Bytes;
use lineshaft_wire::message::JobGroup;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rustc_hash::FxHashSet;

use super::template::{Call, Packed, Template};
use crate::logging::Carrier;
use crate::values::{self, Registry};

/// Payload bytes after which a request is full. Above it, larger requests save nothing any more.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Arguments from this size on are a piece of their own instead of being copied.
const COPY_BYTES_MAX: usize = 16 << 10;

/// A request in the making.
#[derive(Default)]
pub(super) struct Batch {
    /// The groups so far.
    pub(super) groups: Vec<JobGroup>,
    /// Arguments of all calls in order, in pieces.
    pub(super) payloads: Vec<Bytes>,
    /// Calls taken.
    pub(super) count: usize,
    bytes: usize,
    small: Vec<u8>,
    /// The task or task with options of the last call, and its template.
    last: Option<(Py<PyAny>, Py<Template>)>,
    carrier: Carrier,
    /// Unique and idempotency keys of the calls so far.
    keys: [FxHashSet<Arc<str>>; 2],
}

impl Batch {
    /// Whether no further call should be added.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_MAX
    }

    /// Adds a call; false, and nothing is added, if it has a key of a call that this request has already: the next
    /// request finds out that its job is there.
    pub(super) fn push(&mut self, registry: &Bound<'_, Registry>, call: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = registry.py();
        let call = call.cast::<Call>().map_err(|_| not_a_call(call))?.get();
        if !self.open_group(py, call)? {
            return Ok(false);
        }
        let keywords = call.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        let version = self.last.as_ref().map_or(1, |(_, template)| template.get().version());
        self.append(encoded(registry, call.args.bind(py), keywords, version)?.into());
        Ok(true)
    }

    /// Adds a call that is encoded; the caller sees to it that no two of them have a key in common.
    pub(super) fn push_packed(&mut self, py: Python<'_>, packed: &Packed) {
        let template = &packed.template;
        let has_context = self.groups.last().is_some_and(|group| group.context == packed.group.context);
        let is_alike =
            |(_, last): &(_, Py<Template>)| last.is(template) && !last.get().is_single() && has_context;
        if !self.last.as_ref().is_some_and(is_alike) {
            self.groups.push(packed.group.clone());
            self.last = Some((template.clone_ref(py).into_any(), template.clone_ref(py)));
        }
        self.append(packed.arguments.clone());
    }

    /// The finished request.
    pub(super) fn finish(mut self) -> Self {
        self.close_piece();
        self
    }

    /// Makes the last group the one that `call` belongs to; false if it has a key that was there before.
    fn open_group(&mut self, py: Python<'_>, call: &Call) -> PyResult<bool> {
        let context = self.carrier.text(py, call.made_in.as_ref())?;
        if let Some((bound, template)) = &self.last
            && bound.is(&call.bound)
            && !template.get().is_single()
            && self.groups.last().is_some_and(|group| group.context == context)
        {
            return Ok(true);
        }
        let template: Py<Template> = call.bound.getattr(py, intern!(py, "_template"))?.extract(py)?;
        let keywords = call.kwargs.as_ref().map(|kwargs| kwargs.bind(py));
        let group = group(template.get(), call.bound.bind(py), call.args.bind(py), keywords, context)?;
        let keys = [group.unique.as_ref().map(|unique| &unique.key), group.idempotency_key.as_ref()];
        if keys.iter().zip(&self.keys).any(|(key, seen)| key.is_some_and(|key| seen.contains(key))) {
            return Ok(false);
        }
        for (key, seen) in keys.into_iter().zip(&mut self.keys) {
            seen.extend(key.cloned());
        }
        self.groups.push(group);
        self.last = Some((call.bound.clone_ref(py), template));
        Ok(true)
    }

    fn append(&mut self, arguments: Bytes) {
        let group = self.groups.last_mut().expect("a group is opened before arguments are added");
        group.lengths.push(arguments.len() as u32);
        self.bytes += arguments.len();
        self.count += 1;
        if arguments.len() < COPY_BYTES_MAX {
            self.small.extend_from_slice(&arguments);
        } else {
            self.close_piece();
            self.payloads.push(arguments);
        }
    }

    fn close_piece(&mut self) {
        if !self.small.is_empty() {
            self.payloads.push(std::mem::take(&mut self.small).into());
        }
    }
}

/// The group of one call, and its arguments.
pub(super) fn one<'py>(
    registry: &Bound<'py, Registry>,
    template: &Template,
    bound: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
) -> PyResult<(JobGroup, Vec<u8>)> {
    let keywords = (!kwargs.is_empty()).then_some(kwargs);
    let context = Carrier::default().text(bound.py(), None)?;
    let mut group = group(template, bound, args, keywords, context)?;
    let arguments = encoded(registry, args, keywords, template.version())?;
    group.lengths.push(arguments.len() as u32);
    Ok((group, arguments))
}

/// An empty group for a call, with its unique key if it has one.
fn group<'py>(
    template: &Template,
    bound: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
    context: Option<Arc<str>>,
) -> PyResult<JobGroup> {
    if !template.is_unique() {
        return Ok(template.group(None, context));
    }
    let key = bound.call_method1(intern!(bound.py(), "_unique_key"), (args, keywords))?;
    Ok(template.group(Some(key.extract()?), context))
}

/// The arguments of a call; an error knows them, so that its call can be named.
fn encoded<'py>(
    registry: &Bound<'py, Registry>,
    args: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
    version: u32,
) -> PyResult<Vec<u8>> {
    values::encode_call(registry, args, keywords, version)
        .inspect_err(|error| drop(error.value(args.py()).setattr(intern!(args.py(), "call_args"), args)))
}

fn not_a_call(thing: &Bound<'_, PyAny>) -> PyErr {
    let kind = thing.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    pyo3::exceptions::PyTypeError::new_err(format!(
        "enqueue_many() takes calls such as task.si(1, 2), this is of type {kind}"
    ))
}
