//! A process that has used up what it may have is told so, and not that something else is wrong.

use std::fs::File;

use lineshaft_ipc::Error;
use lineshaft_ipc::arena::{Arena, GRAIN_BYTES};
use lineshaft_ipc::channel::{ARENA_BYTES_MIN, Channel};
use lineshaft_ipc::ring::Options;
use lineshaft_ipc::segment::Segment;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{child_value, this_binary};

const FILES: u64 = 40;
const ARENA_BYTES: usize = 256 << 20;

/// Runs the test `name`, whose limits are its own, as a child.
fn passes_as_a_child(name: &str) {
    let ended = this_binary(name, "child").stderr(std::process::Stdio::piped()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn limit(what: Resource, current: u64) {
    setrlimit(what, Rlimit { current: Some(current), ..getrlimit(what) }).unwrap();
}

/// Leaves this process so many bytes of addresses more than it uses.
fn limit_addresses(more: usize) -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let limit_bytes = pages * rustix::param::page_size() as u64 + more as u64;
    limit(Resource::As, limit_bytes);
    limit_bytes
}

/// It was said that no segment can be made in `/tmp`, since that is where it was tried next.
#[test]
fn who_has_too_many_files_open_is_told_how_many_are_allowed() {
    let name = "limits::who_has_too_many_files_open_is_told_how_many_are_allowed";
    if child_value().is_none() {
        return passes_as_a_child(name);
    }
    limit(Resource::Nofile, FILES);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    let refused =
        [Segment::create(4_096, 4_096).map(drop), Channel::create(Options::default(), ARENA_BYTES).map(drop)]
            .map(Result::unwrap_err);
    for error in &refused {
        assert_eq!(error.errno(), Some(libc::EMFILE), "{error}");
    }
    let said = refused[0].to_string();
    assert!(matches!(refused[0], Error::TooManyFiles { limit: Some(FILES), .. }), "{said}");
    assert!(said.contains("has 40 files open") && said.contains("`ulimit -n`"), "{said}");
    let tmp = std::env::temp_dir().display().to_string();
    assert!(!said.contains(&tmp), "{said}");
    files.pop();
    Segment::create(4_096, 4_096).expect("a descriptor for it");
}

#[test]
fn an_arena_without_addresses_names_the_limit() {
    let name = "limits::an_arena_without_addresses_names_the_limit";
    if child_value().is_none() {
        return passes_as_a_child(name);
    }
    let limit_bytes = limit_addresses(ARENA_BYTES_MIN / 2);
    let refused = Arena::create(ARENA_BYTES).unwrap_err();
    let said = refused.to_string();
    let Error::NoAddresses { bytes, limit } = refused else { panic!("{said}") };
    assert!(bytes >= ARENA_BYTES && limit == limit_bytes, "{said}");
    assert!(said.contains(&limit_bytes.to_string()) && said.contains("`ulimit -v`"), "{said}");
    let least = Arena::create_down_to(ARENA_BYTES, ARENA_BYTES_MIN).unwrap_err();
    let about_the_least = |bytes| (ARENA_BYTES_MIN..2 * ARENA_BYTES_MIN).contains(&bytes);
    assert!(matches!(least, Error::NoAddresses { bytes, .. } if about_the_least(bytes)), "{least}");
}

#[test]
fn a_channel_has_as_large_an_arena_as_there_are_addresses() {
    let name = "limits::a_channel_has_as_large_an_arena_as_there_are_addresses";
    if child_value().is_none() {
        return passes_as_a_child(name);
    }
    limit_addresses(100 << 20);
    let channel =
        Channel::create(Options { room_bytes: 512 << 10, ..Options::default() }, ARENA_BYTES).unwrap();
    assert_eq!(channel.arena().block_bytes_max(), ARENA_BYTES / 4);
    let mut block = channel.allocate(10 * GRAIN_BYTES, None).unwrap();
    block.fill(7);
    channel.put_block(1, block, None).unwrap();
}
