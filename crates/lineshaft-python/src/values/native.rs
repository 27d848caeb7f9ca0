//! The few calls into the interpreter that the safe layer does not offer or makes slow.
//!
//! Unsafe because the C interface is: each function states what it relies on and keeps it. Everything is called with
//! the interpreter attached, which the `Bound` in each signature proves.
#![allow(unsafe_code)]

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTypeMethods;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple, PyType};

/// The object as a `T`, if that is exactly its class.
#[inline]
pub(crate) fn exactly<'a, 'py, T: PyTypeInfo>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    // SAFETY: the class was compared just before.
    object.is_exact_instance_of::<T>().then(|| unsafe { object.cast_unchecked::<T>() })
}

/// How many references there are to the object; more than there are where they are not counted (immortal objects).
#[inline]
pub(super) fn reference_count(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: a live object.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// The integer, if it fits 64 bits with sign.
#[inline]
pub(crate) fn small_integer(integer: &Bound<'_, PyInt>) -> Option<i64> {
    let mut overflow = 0;
    // SAFETY: the pointer is an `int`, so the call neither runs Python code nor sets an exception.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(integer.as_ptr(), &raw mut overflow) };
    (overflow == 0).then_some(value)
}

/// The entries of a dict. Ends early, instead of failing, where the dict changes meanwhile: compare the counts.
pub(super) struct Entries<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    position: ffi::Py_ssize_t,
}

pub(super) fn entries<'a, 'py>(dict: &'a Bound<'py, PyDict>) -> Entries<'a, 'py> {
    Entries { dict, position: 0 }
}

impl<'py> Iterator for Entries<'_, 'py> {
    type Item = (Bound<'py, PyAny>, Bound<'py, PyAny>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        let py = self.dict.py();
        // SAFETY: `PyDict_Next` checks the position against the dict as it is now and lends both objects, which are
        // counted before anything else can run.
        unsafe {
            if ffi::PyDict_Next(self.dict.as_ptr(), &raw mut self.position, &raw mut key, &raw mut value) == 0
            {
                return None;
            }
            Some((Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)))
        }
    }
}

/// Sets an attribute past any `__setattr__` of the class, as `object.__setattr__` does: frozen dataclasses allow it.
#[inline]
pub(super) fn set_attribute(
    object: &Bound<'_, PyAny>,
    name: &Bound<'_, PyString>,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: three live objects, the second a string.
    let status = unsafe { ffi::PyObject_GenericSetAttr(object.as_ptr(), name.as_ptr(), value.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(object.py())) }
}

/// An attribute past any `__getattr__` and `__getattribute__` of the class, as `object.__getattribute__` finds it.
pub(super) fn own_attribute<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: two live objects, the second a string; the result is owned, or an exception is set.
    unsafe {
        let value = ffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), value)
    }
}

/// What `object.__new__(class)` makes: no code of the class runs. The caller has seen that this class allows it.
pub(super) fn bare_object<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let arguments = PyTuple::empty(py);
    // SAFETY: `object` has a `tp_new`, which takes a type, a tuple and no keywords, and gives an owned object or sets
    // an exception.
    unsafe {
        let slot = ffi::PyType_GetSlot(&raw mut ffi::PyBaseObject_Type, ffi::Py_tp_new);
        let new = std::mem::transmute::<*mut std::ffi::c_void, ffi::newfunc>(slot);
        let object = new(class.as_type_ptr(), arguments.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, object)
    }
}

/// An instance of a `msgspec.Struct` with no field set. Such classes have no `__new__`: theirs are made by a call,
/// which would run `__post_init__`.
pub(super) fn bare_struct<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: the general allocator takes any heap type. It zeroes all members, and an empty member of a struct reads
    // as an `AttributeError`.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class.as_type_ptr(), 0);
        Bound::from_owned_ptr_or_err(class.py(), object)
    }
}

/// A list of `length` objects made one by one. Nobody sees it before it is complete.
#[inline]
pub(super) fn new_list<'py, E: From<PyErr>>(
    py: Python<'py>,
    length: usize,
    mut make: impl FnMut(usize) -> Result<Bound<'py, PyAny>, E>,
) -> Result<Bound<'py, PyList>, E> {
    // SAFETY: a new list, each place of which is filled once with an owned object; it is dropped if one fails, and
    // empty places are allowed then.
    unsafe {
        let list = Bound::from_owned_ptr_or_err(py, ffi::PyList_New(length as ffi::Py_ssize_t))?;
        for index in 0..length {
            ffi::PyList_SetItem(list.as_ptr(), index as ffi::Py_ssize_t, make(index)?.into_ptr());
        }
        Ok(list.cast_into_unchecked())
    }
}

/// A tuple of `length` objects made one by one. Nobody sees it before it is complete.
#[inline]
pub(super) fn new_tuple<'py, E: From<PyErr>>(
    py: Python<'py>,
    length: usize,
    mut make: impl FnMut(usize) -> Result<Bound<'py, PyAny>, E>,
) -> Result<Bound<'py, PyTuple>, E> {
    // SAFETY: as for a list.
    unsafe {
        let tuple = Bound::from_owned_ptr_or_err(py, ffi::PyTuple_New(length as ffi::Py_ssize_t))?;
        for index in 0..length {
            ffi::PyTuple_SetItem(tuple.as_ptr(), index as ffi::Py_ssize_t, make(index)?.into_ptr());
        }
        Ok(tuple.cast_into_unchecked())
    }
}

/// Copies the memory at `address` into `room`.
///
/// # Safety
/// `address` is the start of at least `room.len()` readable bytes that nobody changes meanwhile.
pub(super) unsafe fn copy_memory(address: usize, room: &mut [u8]) {
    let from = std::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: the caller's promise; `room` is a place of its own.
    unsafe { std::ptr::copy_nonoverlapping(from, room.as_mut_ptr(), room.len()) }
}
