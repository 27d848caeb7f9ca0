//! The program and its libraries: where each lies, and its tables by which a way up the stack is found.
//!
//! The tables are copied while the loader keeps them where they are, since a library may be unloaded at any time.

use std::ffi::{c_int, c_void};
use std::ops::Range;

use framehop::{ExplicitModuleSectionInfo, Module, Unwinder};

use super::registers::Engine;

/// How the place of `.eh_frame` is written in the header of the index: four signed bytes, from where they stand.
const RELATIVE_SDATA4: u8 = 0x1b;

/// What is loaded.
#[derive(Default)]
pub(super) struct Modules {
    engine: Engine,
    /// How often something was loaded and unloaded when it was read last.
    changes: Option<(u64, u64)>,
}

impl Modules {
    pub(super) fn unwinder(&self) -> &Engine {
        &self.engine
    }

    /// Reads anew what is loaded, if that has changed.
    pub(super) fn refresh(&mut self) {
        let mut reading = Reading { known: self.changes, changes: None, found: Vec::new() };
        // SAFETY: the function is called with what it expects, the last argument being this `reading`, which outlives the
        // call; it does not unwind, and does not load or unload anything.
        unsafe {
            libc::dl_iterate_phdr(Some(read_one), (&raw mut reading).cast());
        }
        if reading.changes.is_none() || reading.changes == self.changes {
            return;
        }
        self.changes = reading.changes;
        self.engine = Engine::new();
        reading.found.into_iter().for_each(|module| self.engine.add_module(module));
    }
}

/// What is being read.
struct Reading {
    known: Option<(u64, u64)>,
    changes: Option<(u64, u64)>,
    found: Vec<Module<Vec<u8>>>,
}

/// One thing that is loaded; not 0 ends it.
unsafe extern "C" fn read_one(info: *mut libc::dl_phdr_info, _: libc::size_t, reading: *mut c_void) -> c_int {
    // SAFETY: the loader gives a valid description, and the pointer that `refresh` gave to it, for this call.
    let (info, reading) = unsafe { (&*info, &mut *reading.cast::<Reading>()) };
    reading.changes = Some((info.dlpi_adds, info.dlpi_subs));
    if reading.changes == reading.known {
        return 1;
    }
    reading.found.extend(module_of(info));
    0
}

/// `None` for what has no code, or no tables of the usual form.
fn module_of(info: &libc::dl_phdr_info) -> Option<Module<Vec<u8>>> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    // SAFETY: the loader says that so many headers are there, and keeps them while it calls.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(range_of);
    let all = loaded().reduce(|one, other| one.start.min(other.start)..one.end.max(other.end))?;
    let index = range_of(headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME)?);
    let segment = loaded().find(|one| one.start <= index.start && index.end <= one.end)?;
    let base = info.dlpi_addr;
    let eh_frame_hdr = copied(base, &index);
    let start = index.start.checked_add_signed(eh_frame_from(&eh_frame_hdr)?)?;
    // Where it ends is nowhere written but in the index, whose entries are all that is asked for.
    let frames = start..segment.end;
    if !segment.contains(&start) {
        return None;
    }
    let sections = ExplicitModuleSectionInfo {
        eh_frame: Some(copied(base, &frames)),
        eh_frame_svma: Some(frames),
        eh_frame_hdr: Some(eh_frame_hdr),
        eh_frame_hdr_svma: Some(index),
        ..Default::default()
    };
    Some(Module::new(String::new(), base + all.start..base + all.end, base, sections))
}

/// As addresses of the file.
fn range_of(header: &libc::Elf64_Phdr) -> Range<u64> {
    header.p_vaddr..header.p_vaddr + header.p_memsz
}

/// From the beginning of the index to that of the frames.
fn eh_frame_from(index: &[u8]) -> Option<i64> {
    let (head, rest) = index.split_at_checked(4)?;
    let place = i32::from_ne_bytes(*rest.first_chunk()?);
    (head[..2] == [1, RELATIVE_SDATA4]).then_some(i64::from(place) + 4)
}

fn copied(base: u64, range: &Range<u64>) -> Vec<u8> {
    let (start, length) = ((base + range.start) as *const u8, (range.end - range.start) as usize);
    // SAFETY: the range is within what the loader has loaded at `base` for reading, and keeps there while it calls.
    unsafe { std::slice::from_raw_parts(start, length) }.to_vec()
}
