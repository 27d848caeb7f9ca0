//! What else a thread that is asked says about itself, for those that know more of the program than its stack.

use std::ffi::c_void;

/// A function that the thread that is asked runs in its handler, at the very place where its stack is copied.
#[derive(Clone, Copy, Debug)]
pub struct Note(fn() -> [usize; 2]);

impl Note {
    /// # Safety
    ///
    /// The function does only what may be done in a signal's handler, whatever that interrupts: it takes no lock,
    /// allocates nothing, does not panic, and reads what may not be there by [`words_at`] alone. `errno` may be changed.
    pub const unsafe fn new(read: fn() -> [usize; 2]) -> Self {
        Self(read)
    }

    pub(super) fn as_pointer(self) -> *mut () {
        self.0 as *mut ()
    }

    /// # Safety
    ///
    /// The pointer is null or one that [`Self::as_pointer`] gave.
    pub(super) unsafe fn of_pointer(pointer: *mut ()) -> Option<Self> {
        // SAFETY: it was made of such a function, as the caller says.
        (!pointer.is_null())
            .then(|| Self(unsafe { std::mem::transmute::<*mut (), fn() -> [usize; 2]>(pointer) }))
    }

    pub(super) fn read(self) -> [usize; 2] {
        (self.0)()
    }
}

/// Reads words of this process at an address where nothing may be, by the kernel, which says so; half a microsecond. `None`
/// if not all of them can be read, or the kernel does not let a process do that to itself.
pub fn words_at<const COUNT: usize>(address: usize) -> Option<[usize; COUNT]> {
    let mut words = [0; COUNT];
    let bytes = size_of_val(&words);
    let local = libc::iovec { iov_base: (&raw mut words).cast::<c_void>(), iov_len: bytes };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: bytes };
    // SAFETY: the kernel writes to `words` at most what that has room for, and checks the address that is read.
    let read = unsafe {
        let process = libc::getpid();
        libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0)
    };
    (usize::try_from(read) == Ok(bytes)).then_some(words)
}
