//! Where something is run that others may look at.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

/// Says which thread runs something now, if one does, and where on its stack that began. One thing at a time.
///
/// ```
/// use lineshaft_ipc::stacks::{Looker, Seen, Spot};
///
/// let spot = Spot::default();
/// let mut looker = Looker::new().unwrap();
/// assert_eq!(looker.look(&spot), Seen::Nothing);
/// assert_eq!(spot.around(|| 2 + 3), 5);
/// ```
#[derive(Debug, Default)]
pub struct Spot {
    /// The number of the thread; 0 while nothing is run.
    thread: AtomicUsize,
    /// The address of something on its stack, below which is what is run.
    base: AtomicUsize,
    /// The lowest address that the stack may reach.
    lowest: AtomicUsize,
}

/// What a thread is known by.
#[derive(Clone, Copy)]
struct This {
    number: usize,
    lowest: usize,
    highest: usize,
}

thread_local! {
    static THIS: Cell<This> = const { Cell::new(This { number: 0, lowest: 0, highest: 0 }) };
}

impl Spot {
    /// Runs something that may be looked at while it runs. What another thread runs meanwhile in the same spot is not looked
    /// at. Some nanoseconds; the first time in a thread some microseconds.
    #[inline]
    pub fn around<T>(&self, run: impl FnOnce() -> T) -> T {
        let mark = 0_u8;
        let _entered = self.enter((&raw const mark).addr());
        run()
    }

    /// The whole stack of a thread of this process, whatever it runs. `None` if it cannot be said where that lies.
    ///
    /// # Safety
    ///
    /// `thread` is what the C library knows a thread by that does not end before this returns. If `number` is that of
    /// another one, that is not copied, as its stack lies elsewhere.
    pub unsafe fn of_thread(number: u32, thread: libc::pthread_t) -> Option<Self> {
        // SAFETY: the caller says that the thread lives.
        let Range { start, end } = unsafe { stack_of(thread) }?;
        Some(Self {
            thread: AtomicUsize::new(number as usize),
            base: AtomicUsize::new(end),
            lowest: AtomicUsize::new(start),
        })
    }

    fn enter(&self, base: usize) -> Option<Entered<'_>> {
        let this = this_thread();
        let outer = self.thread.load(Ordering::Relaxed);
        let is_free = outer == 0;
        if is_free {
            // While nobody is in the spot its base is 0: a handler finds no stack until ours is there.
            self.thread.compare_exchange(0, this.number, Ordering::Acquire, Ordering::Relaxed).ok()?;
        } else if outer != this.number {
            return None;
        }
        let before = [outer, self.base.load(Ordering::Relaxed), self.lowest.load(Ordering::Relaxed)];
        // Not on a stack that the program has made itself: how far that reaches is not known.
        let lowest = if (this.lowest..this.highest).contains(&base) { this.lowest } else { base };
        self.base.store(base, Ordering::Relaxed);
        self.lowest.store(lowest, Ordering::Relaxed);
        Some(Entered { spot: self, before })
    }

    /// The number of the thread; 0 if nothing is run.
    pub(super) fn thread(&self) -> usize {
        self.thread.load(Ordering::Acquire)
    }

    /// The part of the stack that is used, where the thread of this number asks itself: what it says stays so while it asks.
    pub(super) fn stack_of(&self, thread: usize, pointer: usize) -> Option<Range<usize>> {
        compiler_fence(Ordering::SeqCst);
        let [number, base, lowest] =
            [&self.thread, &self.base, &self.lowest].map(|word| word.load(Ordering::Relaxed));
        (number == thread && (lowest..base).contains(&pointer)).then_some(pointer..base)
    }
}

#[cfg(test)]
impl Spot {
    /// One that says what is not so.
    pub(super) fn forged(thread: u32, base: usize) -> Self {
        Self {
            thread: AtomicUsize::new(thread as usize),
            base: AtomicUsize::new(base),
            lowest: AtomicUsize::new(0),
        }
    }
}

/// Something is run. When it is over the spot is as it was before.
struct Entered<'a> {
    spot: &'a Spot,
    before: [usize; 3],
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        let [thread, base, lowest] = self.before;
        // A handler between these finds no stack, or the part of it that is behind the place of before.
        self.spot.base.store(base, Ordering::Relaxed);
        self.spot.lowest.store(lowest, Ordering::Relaxed);
        self.spot.thread.store(thread, Ordering::Release);
    }
}

#[inline]
fn this_thread() -> This {
    let this = THIS.get();
    if this.number != 0 { this } else { learn() }
}

#[cold]
fn learn() -> This {
    let stack = stack_of_this_thread().unwrap_or_default();
    let number = rustix::thread::gettid().as_raw_nonzero().get() as usize;
    let this = This { number, lowest: stack.start, highest: stack.end };
    THIS.set(this);
    this
}

/// Where the stack of the calling thread lies, if that can be said.
fn stack_of_this_thread() -> Option<Range<usize>> {
    // SAFETY: the calling thread lives.
    unsafe { stack_of(libc::pthread_self()) }
}

/// The same, of any thread.
///
/// # Safety
///
/// The thread does not end before this returns.
unsafe fn stack_of(thread: libc::pthread_t) -> Option<Range<usize>> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut lowest, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the first call fills the attributes of a thread that lives, and says by 0 that it has. The others read and
    // release what it has filled, and write to locals.
    let found = unsafe {
        if libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut lowest, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        found
    };
    let lowest = lowest.addr();
    (found == 0).then_some(lowest..lowest + bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_second_thread_runs_leaves_the_spot_to_the_first() {
        let spot = Spot::default();
        let other =
            |spot: &Spot| std::thread::scope(|scope| scope.spawn(|| spot.around(|| spot.thread())).join());
        spot.around(|| {
            let mine = spot.thread();
            assert_ne!(mine, 0);
            assert_eq!(other(&spot).unwrap(), mine);
            spot.around(|| assert_eq!(spot.thread(), mine));
            assert_eq!(spot.thread(), mine);
        });
        assert_eq!(spot.thread(), 0);
        assert_ne!(other(&spot).unwrap(), 0);
    }
}
