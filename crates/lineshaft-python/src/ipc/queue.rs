//! A queue of objects between processes.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::arena::Arena;
use lineshaft_ipc::channel::{self, ARENA_BYTES_MIN, Received};
use lineshaft_ipc::fd::adopt;
use lineshaft_ipc::ring::{Message, Options, Ring};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::heap::segment;
use super::message::{Packed, pack, unpack};
use super::patience::{Until, empty, full, patiently, to_python};
use super::watch::{Side, Watch};
use crate::client::{Completions, lock};

/// Most of what is kept to be used again.
const SPARE_MAX: usize = 4;

/// A queue in shared memory, which any process that has its descriptors can open. Every method is for any thread.
///
/// Time-outs are seconds; `None` waits for ever, and zero does not wait. While a call waits the GIL is released, and signals are
/// looked at every 50 ms.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Channel {
    channel: channel::Channel,
    messages: Arc<Watch>,
    room: Arc<Watch>,
    idle: Arc<Watch>,
    spare: Mutex<Vec<Received>>,
}

impl Channel {
    fn of(channel: channel::Channel) -> Self {
        let watch = Arc::<Watch>::default;
        Self { channel, messages: watch(), room: watch(), idle: watch(), spare: Mutex::default() }
    }

    /// What was got of up to `count` messages, as `use_all` has it.
    fn receive<T>(
        &self,
        py: Python<'_>,
        count: usize,
        timeout: Option<f64>,
        use_all: impl FnOnce(&mut Received) -> PyResult<T>,
    ) -> PyResult<T> {
        let mut received = lock(&self.spare).pop().unwrap_or_default();
        let get = |left| self.channel.get_many(&mut received, count, left);
        let got = patiently(py, Until::after(timeout), get);
        let result = got.and_then(|got| match got {
            Some(_) => use_all(&mut received),
            None => Err(empty(py)),
        });
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_MAX {
            spare.push(received);
        }
        result
    }

    /// Whether it was put, in time.
    fn send(&self, py: Python<'_>, packed: &Packed<'_>, until: Until) -> PyResult<bool> {
        if packed.is_large() {
            return self.send_large(py, packed, until);
        }
        let message = packed.message();
        Ok(patiently(py, until, |left| self.channel.put(message, left))?.is_some())
    }

    fn send_large(&self, py: Python<'_>, packed: &Packed<'_>, until: Until) -> PyResult<bool> {
        let (tag, bytes) = (packed.tag(), packed.size_bytes());
        let Some(block) = patiently(py, until, |left| self.channel.allocate(bytes, left))? else {
            return Ok(false);
        };
        let mut block = Some(packed.fill(py, block)?);
        Ok(patiently(py, until, |left| self.channel.put_kept_block(tag, &mut block, left))?.is_some())
    }

    /// Puts one after the other and counts them in `put`, until the time is up.
    fn send_each(
        &self,
        py: Python<'_>,
        packed: &[Packed<'_>],
        until: Until,
        put: &mut usize,
    ) -> PyResult<()> {
        while let Some(next) = packed.get(*put) {
            if next.is_large() {
                if !self.send_large(py, next, until)? {
                    break;
                }
                *put += 1;
                continue;
            }
            let small = packed[*put..].iter().take_while(|packed| !packed.is_large());
            let small: Vec<Message<'_>> = small.map(Packed::message).collect();
            let mut rest = &small[..];
            while !rest.is_empty() {
                let count = patiently(py, until, |left| self.channel.put_many(rest, left))?;
                let Some(count) = count else { return Ok(()) };
                rest = &rest[count..];
                *put += count;
            }
        }
        Ok(())
    }

    fn side(&self, side: &str) -> PyResult<(&Arc<Watch>, Side)> {
        match side {
            "messages" => Ok((&self.messages, Side::Messages)),
            "room" => Ok((&self.room, Side::Room)),
            "idle" => Ok((&self.idle, Side::Idle)),
            _ => Err(PyValueError::new_err(format!("a queue has no {side:?}"))),
        }
    }
}

/// The channel behind two descriptors that were inherited and belong to nobody yet.
pub(crate) fn open(ring: RawFd, arena: RawFd) -> lineshaft_ipc::Result<channel::Channel> {
    channel::Channel::from_fds(adopt(ring)?, adopt(arena)?)
}

/// The two descriptors of a channel, which stay its own.
pub(crate) fn filenos(channel: &channel::Channel) -> (RawFd, RawFd) {
    let (ring, arena) = channel.as_fds();
    (ring.as_raw_fd(), arena.as_raw_fd())
}

#[pymethods]
impl Channel {
    /// An empty queue for `messages_max` messages (0: any number), which together with 16 bytes for each have `room_bytes`,
    /// but for those above 64 KiB, for which there are `arena_bytes`, or fewer where addresses are scarce.
    #[new]
    fn new(py: Python<'_>, messages_max: u32, room_bytes: usize, arena_bytes: usize) -> PyResult<Self> {
        let messages_max = if messages_max == 0 { u32::MAX } else { messages_max };
        let make = || -> lineshaft_ipc::Result<_> {
            let ring = Ring::create_in(Options { room_bytes, messages_max }, segment)?;
            Ok(channel::Channel::new(ring, Arena::create_down_to(arena_bytes, ARENA_BYTES_MIN)?))
        };
        make().map(Self::of).map_err(|error| to_python(py, &error))
    }

    /// The queue behind descriptors that were inherited and belong to nobody yet.
    #[staticmethod]
    fn adopt(py: Python<'_>, ring: RawFd, arena: RawFd) -> PyResult<Self> {
        open(ring, arena).map(Self::of).map_err(|error| to_python(py, &error))
    }

    /// The same queue for a forked child: what its parent's threads were about is not its own.
    fn twin(&self) -> Self {
        Self::of(self.channel.clone())
    }

    /// Its descriptors, which stay its own.
    fn filenos(&self) -> (RawFd, RawFd) {
        filenos(&self.channel)
    }

    /// Whether it is in memory, not in files.
    fn is_in_memory(&self) -> bool {
        self.channel.is_in_memory()
    }

    /// Puts an object as soon as there is room; raises `queue.Full` if there was none in time, and `ShutDown`.
    fn put(&self, object: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<()> {
        let py = object.py();
        let packed = pack(object)?;
        if self.send(py, &packed, Until::after(timeout))? { Ok(()) } else { Err(full(py)) }
    }

    /// Puts objects one after the other; how many, which is fewer than there are only if the time was up. One that cannot be
    /// sent is found before any is put. An error after that has in its attribute `put` how many were put.
    fn put_many(
        &self,
        py: Python<'_>,
        objects: Vec<Bound<'_, PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<usize> {
        let packed = objects.iter().map(pack).collect::<PyResult<Vec<_>>>()?;
        let mut put = 0;
        let result = self.send_each(py, &packed, Until::after(timeout), &mut put);
        match result {
            Ok(()) => Ok(put),
            Err(error) => {
                // Some exceptions take no attributes; then they stand alone.
                let _ = error.value(py).setattr("put", put);
                Err(error)
            }
        }
    }

    /// Gets the next object; raises `queue.Empty` if there was none in time, and `ShutDown` if there will be none.
    fn get<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.receive(py, 1, timeout, |received| {
            let first = received.drain().next();
            let (tag, part) = first.ok_or_else(|| PyValueError::new_err("a message without bytes"))?;
            unpack(py, tag, part)
        })
    }

    /// Gets up to `count` objects: those that are there, at least one, and no more than some hundred; raises as `get`. The
    /// error of one that cannot be had here has the others in its attribute `others`.
    fn get_many<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.receive(py, count, timeout, |received| {
            let (objects, mut failure) = (PyList::empty(py), None);
            for (tag, part) in received.drain() {
                match unpack(py, tag, part) {
                    Ok(object) => objects.append(object)?,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            let Some(error) = failure else { return Ok(objects) };
            // Some exceptions take no attributes; then they stand alone.
            let _ = error.value(py).setattr("others", objects);
            Err(error)
        })
    }

    /// How many there are now.
    fn __len__(&self) -> usize {
        self.channel.ring().len()
    }

    /// Says that `count` of what was got is done; false if there are not so many undone.
    fn task_done(&self, count: u32) -> bool {
        self.channel.ring().task_done(count)
    }

    /// Waits until all that was put is done; whether that was so in time.
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let join =
            |left: Option<Duration>| self.channel.ring().join(left).then_some(()).ok_or(Error::TimedOut);
        Ok(patiently(py, Until::after(timeout), join)?.is_some())
    }

    /// Ends it: nothing can be put, and what is there can still be got, or if `immediate` is dropped as if it were done.
    fn shut_down(&self, py: Python<'_>, immediate: bool) -> PyResult<()> {
        let ring = self.channel.ring();
        let end = || -> lineshaft_ipc::Result<()> {
            ring.shut_down(false)?;
            if immediate {
                let mut received = Received::default();
                while let Ok(count) = self.channel.get_many(&mut received, usize::MAX, Some(Duration::ZERO)) {
                    ring.task_done(count as u32);
                }
                ring.shut_down(true)?;
            }
            Ok(())
        };
        end().map_err(|error| to_python(py, &error))
    }

    fn is_shut_down(&self) -> bool {
        self.channel.ring().is_shut_down()
    }

    /// Puts `token` into `completions` once it is worth trying again: `side` is `messages`, `room` or `idle`.
    fn notify(&self, completions: &Completions, token: u64, side: &str) -> PyResult<()> {
        let (watch, side) = self.side(side)?;
        Ok(watch.expect(&self.channel, side, completions.inner(), token)?)
    }

    /// Takes that back.
    fn forget(&self, completions: &Completions, token: u64, side: &str) -> PyResult<()> {
        self.side(side)?.0.forget(&completions.inner(), token);
        Ok(())
    }
}
