//! How much memory there is, and giving some back.
#![allow(unsafe_code)] // Advice to the kernel on memory that the caller owns: see `give_back`.

use std::fs;
use std::path::Path;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

const MEMINFO: &str = "/proc/meminfo";
const VMSTAT: &str = "/proc/vmstat";
const MEMBERSHIP: &str = "/proc/self/cgroup";
const GROUPS: &str = "/sys/fs/cgroup";

/// Memory of the machine, or of the control group of this process if that is less; bytes. `u64::MAX` where nobody says.
pub fn system_bytes() -> u64 {
    machine_bytes().unwrap_or(u64::MAX).min(group_bytes().unwrap_or(u64::MAX))
}

/// What the control group of this process, or one above it, may use at most; bytes. `None` if there is no bound.
pub fn group_bytes() -> Option<u64> {
    least_limit(&fs::read_to_string(MEMBERSHIP).ok()?, Path::new(GROUPS))
}

/// How many processes the kernel has killed for want of memory since the boot, on the whole machine. `None` where it does
/// not count.
pub fn kills() -> Option<u64> {
    kills_in(&fs::read_to_string(VMSTAT).ok()?)
}

fn kills_in(vmstat: &str) -> Option<u64> {
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

/// Gives the pages within `bytes` back to the kernel, which takes new ones when they are used again: they may read as
/// zeroes afterwards. For a large block that is to be freed, since allocators keep those.
pub fn give_back(bytes: &mut [u8]) {
    let page = page_size();
    let skipped = bytes.as_ptr().align_offset(page).min(bytes.len());
    let whole = &mut bytes[skipped..];
    let length = whole.len() - whole.len() % page;
    if length > 0 {
        // SAFETY: The pages lie within bytes that are the caller's alone, and any bytes are as good as any others.
        // That the kernel does not take the advice is no error: then they stay memory.
        let _ = unsafe { madvise(whole.as_mut_ptr().cast(), length, Advice::LinuxDontNeed) };
    }
}

fn machine_bytes() -> Option<u64> {
    let info = fs::read_to_string(MEMINFO).ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The least limit of the groups that a membership names, in both versions of their file system.
fn least_limit(membership: &str, root: &Path) -> Option<u64> {
    let limits = membership.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let read = |group: &Path| fs::read_to_string(root.join(group).join(file)).ok()?.trim().parse().ok();
        // A group that is not in sight is the root of another name space.
        Path::new(group.trim_start_matches('/')).ancestors().filter_map(read).min()
    });
    // Version 1 says "none" by a number that no machine has.
    limits.min().filter(|limit: &u64| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resident::resident_pages;

    fn group(root: &Path, path: &str, file: &str, limit: &str) {
        fs::create_dir_all(root.join(path)).unwrap();
        fs::write(root.join(path).join(file), limit).unwrap();
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "a", "memory.max", "1000\n");
        group(root.path(), "a/b", "memory.max", "max\n");
        group(root.path(), "memory", "memory.limit_in_bytes", "9223372036854771712\n");
        group(root.path(), "memory/c", "memory.limit_in_bytes", "500\n");
        let least = |membership: &str| least_limit(membership, root.path());
        assert_eq!(least("0::/a/b\n"), Some(1_000));
        assert_eq!(least("0::/\n"), None);
        assert_eq!(least("4:cpu,memory:/c\n3:pids:/a\n"), Some(500));
        assert_eq!(least("4:memory:/elsewhere\n"), None, "version 1 without a bound");
        assert_eq!(least("nonsense"), None);
    }

    #[test]
    fn what_is_given_back_is_no_memory_of_this_process_any_more() {
        let mut bytes = vec![7_u8; 4 << 20];
        let resident = |bytes: &[u8]| resident_pages(bytes.as_ptr(), bytes.len());
        assert!(resident(&bytes) >= bytes.len() / page_size());
        give_back(&mut bytes[1..]);
        assert!(resident(&bytes) <= 2, "the first page and the last are not whole ones");
        assert_eq!((bytes[0], bytes[2 << 20]), (7, 0));
        give_back(&mut bytes[5..6]);
        give_back(&mut []);
    }

    #[test]
    fn the_kernel_s_kills_are_counted_where_it_says_so() {
        assert_eq!(kills_in("pgfault 7\noom_kill 3\noom_kill_other 9\n"), Some(3));
        assert_eq!(kills_in("pgfault 7\n"), None);
    }

    #[test]
    fn a_machine_has_memory() {
        let bytes = system_bytes();
        assert!((16 << 20..1 << 50).contains(&bytes), "{bytes}");
    }
}
