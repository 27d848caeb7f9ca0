//! Room of each thread in which calls and results are encoded that are copied elsewhere at once, so that those of tiny items
//! need not be allocated one by one.

use std::cell::Cell;
use std::thread::LocalKey;

use lineshaft_wire::value::typed::{CallWriter, Error};

thread_local! {
    static CALL: Cell<Option<Box<CallWriter>>> = const { Cell::new(None) };
    static RESULT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A larger buffer is not kept.
const ROOM_BYTES_MAX: usize = 64 << 10;

/// A call without arguments, of a version of its task.
pub(crate) fn call(version: u32) -> Result<Box<CallWriter>, Error> {
    match take(&CALL) {
        Some(mut call) => call.reset(version).map(|()| call),
        None => CallWriter::new(version).map(Box::new),
    }
}

/// Gives it back, without its payload if that was large.
pub(crate) fn give_call_back(call: Box<CallWriter>) {
    let _ = CALL.try_with(|spare| spare.set(Some(call)));
}

/// A buffer with whatever is in it.
pub(crate) fn buffer() -> Vec<u8> {
    take(&RESULT)
}

/// Gives it back.
pub(crate) fn give_buffer_back(buffer: Vec<u8>) {
    if buffer.capacity() <= ROOM_BYTES_MAX {
        let _ = RESULT.try_with(|spare| spare.set(buffer));
    }
}

/// An empty one if somebody has it, or the thread ends.
fn take<T: Default>(spare: &'static LocalKey<Cell<T>>) -> T {
    spare.try_with(Cell::take).unwrap_or_default()
}
