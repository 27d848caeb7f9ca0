//! Whether a thread that polls keeps others from a processor.
#![allow(unsafe_code)] // A static that is made on first use without a lock, which a forked child could find locked.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

/// Where it is written how many threads run, and on how many processors; `None` on a machine with only one.
type Machine = Option<(File, usize)>;

/// Whether no more threads run or want to than there are processors, this one included; false where the system does not
/// say, or has only one. Some microseconds.
pub(crate) fn is_a_processor_free() -> bool {
    let Some((loadavg, processors)) = machine() else { return false };
    running(loadavg).is_some_and(|running| running <= *processors)
}

fn machine() -> &'static Machine {
    static MACHINE: AtomicPtr<Machine> = AtomicPtr::new(ptr::null_mut());
    let mut known = MACHINE.load(Acquire);
    if known.is_null() {
        let found = Box::into_raw(Box::new(look()));
        known = match MACHINE.compare_exchange(known, found, AcqRel, Acquire) {
            Ok(_) => found,
            Err(earlier) => {
                // SAFETY: made above of a box, and nobody else has seen it.
                drop(unsafe { Box::from_raw(found) });
                earlier
            }
        };
    }
    // SAFETY: made of a box, and never freed once it stands in the static.
    unsafe { &*known }
}

fn look() -> Machine {
    let processors = std::thread::available_parallelism().ok()?.get();
    if processors > 1 { Some((File::open("/proc/loadavg").ok()?, processors)) } else { None }
}

/// The fourth field: `0.31 0.25 0.20 2/174 25389` is two of 174.
fn running(loadavg: &File) -> Option<usize> {
    let mut buffer = [0; 128];
    let count = loadavg.read_at(&mut buffer, 0).ok()?;
    let text = str::from_utf8(&buffer[..count]).ok()?;
    text.split(' ').nth(3)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_threads_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("loadavg");
        for (text, expected) in
            [("0.31 0.25 0.20 2/174 25389\n", Some(2)), ("", None), ("0.31 0.25 0.20 x/174 25389", None)]
        {
            std::fs::write(&path, text).unwrap();
            assert_eq!(running(&File::open(&path).unwrap()), expected, "{text}");
        }
        assert!(running(&File::open("/proc/loadavg").unwrap()).unwrap() >= 1);
    }
}
