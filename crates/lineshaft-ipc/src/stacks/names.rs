//! What is at an address: functions, files and lines, as far as the program has them, and the library.

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// For `dladdr1`: it shall give the symbol too.
const RTLD_DL_SYMENT: libc::c_int = 1;

/// Who asks for names in this process holds a lock that a forked child does not get back: how many did, of which process.
static NAMING: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];

/// A function, and where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name with its path, or `?`.
    pub name: String,
    /// Its file; empty if it is not known.
    pub file: String,
    /// The line that runs, or from which the next function is called; 0 if it is not known.
    pub line: u32,
}

/// The functions at an address that a [`Looker`](super::Looker) gave, more than one where some were inlined: the innermost
/// first. The first one of a program takes long, up to a second, since what it says of itself has to be read.
pub fn functions_at(address: usize) -> Vec<Function> {
    let mut found = Vec::new();
    resolve(std::ptr::without_provenance_mut(address), |symbol| {
        // Without the hash that tells versions of a crate apart.
        let name = symbol.name().map_or_else(|| "?".to_owned(), |name| format!("{name:#}"));
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        found.push(Function { name, file, line: symbol.lineno().unwrap_or(0) });
    });
    if found.is_empty() {
        found.push(Function { name: "?".to_owned(), ..Function::default() });
    }
    found
}

/// What `backtrace::resolve` does; nothing in a process that was forked while another thread did it.
fn resolve(address: *mut c_void, with: impl FnMut(&backtrace::Symbol)) {
    let [count, process] = &NAMING;
    let this = std::process::id();
    if process.load(Ordering::Acquire) != this {
        if count.load(Ordering::Acquire) > 0 {
            return;
        }
        process.store(this, Ordering::Release);
    }
    count.fetch_add(1, Ordering::AcqRel);
    backtrace::resolve(address, with);
    count.fetch_sub(1, Ordering::AcqRel);
}

/// The program or a library, as the loader knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Library {
    /// The path of its file.
    pub path: String,
    /// Where it begins.
    pub base: usize,
    /// Where the function of the address begins, by its tables; the address itself if these do not say.
    pub function: usize,
}

/// Where an address lies that a [`Looker`](super::Looker) gave; `None` if nothing is loaded there, or not any more.
pub fn library_at(address: usize) -> Option<Library> {
    let inside = std::ptr::without_provenance::<c_void>(address - 1);
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: the function looks an address up, whatever it is, and says by not 0 that it has filled what it was given. The
    // name of a file is there while it is loaded.
    unsafe {
        if libc::dladdr(inside, info.as_mut_ptr()) == 0 {
            return None;
        }
        let info = info.assume_init();
        let function = _Unwind_FindEnclosingFunction(inside.cast_mut());
        let path = CStr::from_ptr(info.dli_fname).to_string_lossy().into_owned();
        let function = if function.is_null() { address - 1 } else { function.addr() };
        Some(Library { path, base: info.dli_fbase.addr(), function })
    }
}

unsafe extern "C" {
    /// Of the unwinder that panics of Rust use, too.
    fn _Unwind_FindEnclosingFunction(address: *mut c_void) -> *mut c_void;
}

/// Where a function lies that the program or a library of it exports; `None` if none does.
pub fn exported(name: &CStr) -> Option<Range<usize>> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    let mut symbol = std::ptr::null_mut::<c_void>();
    // SAFETY: the first call takes a text. The second looks up what that gave, and fills both that it was given if it says
    // not 0; then the symbol, if there is one, is an entry of the library's table.
    unsafe {
        let start = libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
        if start.is_null() || libc::dladdr1(start, info.as_mut_ptr(), &raw mut symbol, RTLD_DL_SYMENT) == 0 {
            return None;
        }
        let bytes = symbol.cast::<libc::Elf64_Sym>().as_ref()?.st_size as usize;
        Some(start.addr()..start.addr() + bytes)
    }
}
