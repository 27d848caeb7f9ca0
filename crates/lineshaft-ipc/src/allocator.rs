//! Where the C library's allocator takes memory from.
#![allow(unsafe_code)] // One call of the C library, which takes numbers.

use std::env;
use std::ffi::OsStr;

/// From here on all threads of this process share one heap, where the allocator is that of glibc, which otherwise gives
/// further threads heaps of their own: what one thread frees is then of no use to another, and none of these heaps ever
/// shrinks to what is in it.
///
/// For a process in which one thread does most of the work, before it has others: those wait for each other while they
/// allocate. Nothing where somebody has said by an environment variable how many heaps there shall be.
pub fn share_one_heap() {
    let said = VARIABLES.iter().any(|name| env::var_os(name).is_some())
        || env::var_os("GLIBC_TUNABLES").is_some_and(|tunables| names_heaps(&tunables));
    if !said {
        set_heaps();
    }
}

const VARIABLES: [&str; 2] = ["MALLOC_ARENA_MAX", "MALLOC_ARENA_TEST"];

/// Whether these tunables of glibc, `name=value` with colons between them, say something of the number of heaps.
fn names_heaps(tunables: &OsStr) -> bool {
    let tunables = tunables.to_string_lossy();
    let mut names = tunables.split(':').filter_map(|tunable| Some(tunable.split_once('=')?.0));
    names.any(|name| matches!(name, "glibc.malloc.arena_max" | "glibc.malloc.arena_test"))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_heaps() {
    // SAFETY: two numbers, of which the allocator takes note under a lock of its own. That it does not is no error: then
    // there are more heaps.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn set_heaps() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_may_say_how_many_heaps_there_are() {
        for (tunables, expected) in [
            ("", false),
            ("glibc.malloc.arena_max=4", true),
            ("glibc.malloc.trim_threshold=1:glibc.malloc.arena_test=2", true),
            ("glibc.malloc.trim_threshold=1", false),
            ("glibc.malloc.arena_max", false),
            ("glibc.malloc.arena_maximum=4", false),
        ] {
            assert_eq!(names_heaps(OsStr::new(tunables)), expected, "{tunables}");
        }
    }
}
