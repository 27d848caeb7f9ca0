//! Profiles are merged, bounded and written without a sum that changes.

use std::collections::BTreeMap;

use lineshaft_insight::profile::{
    Allocation, Call, DEPTH_MAX, Kind, NODES_MAX, Native, Profile, TRACKS_MAX, Unreadable, Weight, diff,
    native_work,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// (is it awaiting, track, (function, line) from the innermost, milliseconds).
type Seen = (bool, u8, Vec<(u8, u8)>, u16);
/// Calls as (name, file, first line, line), by track.
type Counted = BTreeMap<(String, Kind, Vec<(String, String, u32, u32)>), Weight>;

fn seen() -> impl Strategy<Value = Vec<Seen>> {
    vec((any::<bool>(), 0..3_u8, vec((0..5_u8, 0..3_u8), 1..8), any::<u16>()), 0..40)
}

fn weight(ms: u64) -> Weight {
    Weight { wall_ns: ms * 1_000_000, cpu_ns: ms * 900_000, samples: 1 }
}

fn profile_of(seen: &[Seen], nodes_max: usize) -> Profile {
    let mut profile = Profile::bounded(nodes_max);
    for (is_awaiting, track, calls, ms) in seen {
        let kind = if *is_awaiting { Kind::Awaiting } else { Kind::Thread };
        let track = profile.track(&format!("track {track}"), kind);
        let stack: Vec<Call> = (calls.iter())
            .map(|(function, line)| {
                let file = format!("file{}.py", function % 2);
                let frame = profile.frame(&format!("function{function}"), &file, 10 * u32::from(*function));
                Call { frame, line: u32::from(*line) }
            })
            .collect();
        profile.add(track, &stack, weight(u64::from(*ms)));
        profile.allocated("file0.py", u32::from(*ms % 7), Allocation { bytes: i64::from(*ms), blocks: 1 });
    }
    profile.ran(1_000 * seen.len() as u64);
    profile.collected(10 * seen.len() as u64, seen.len() as u64);
    profile
}

fn counted(profile: &Profile) -> Counted {
    let mut counted = Counted::new();
    for (stack, weight) in profile.stacks() {
        let call = |(frame, line): &(lineshaft_insight::profile::Frame<'_>, u32)| {
            (frame.name.to_owned(), frame.file.to_owned(), frame.line, *line)
        };
        let key = (stack.track.0.to_owned(), stack.track.1, stack.calls.iter().map(call).collect());
        assert!(counted.insert(key, weight).is_none(), "a stack is there once");
    }
    counted
}

/// Sums by stack, duration, garbage and allocations.
type Said = (Counted, u64, (u64, u64), Vec<(String, u32, Allocation)>);

/// All that a profile says, without the order in which it came to know it.
fn said(profile: &Profile) -> Said {
    let allocations = profile.allocations().into_iter().map(|(file, line, one)| (file.to_owned(), line, one));
    (counted(profile), profile.duration_ns(), profile.garbage(), allocations.collect())
}

fn merged(parts: &[&Profile]) -> Profile {
    let mut all = Profile::new();
    parts.iter().for_each(|part| all.merge(part));
    all
}

proptest! {
    #[test]
    fn merging_counts_the_same_in_any_order((one, two, three) in (seen(), seen(), seen())) {
        let [a, b, c] = [&one, &two, &three].map(|seen| profile_of(seen, NODES_MAX));
        let all = merged(&[&a, &b, &c]);
        prop_assert_eq!(said(&all), said(&merged(&[&c, &a, &b])));
        prop_assert_eq!(said(&all), said(&merged(&[&a, &merged(&[&b, &c])])));
        let together: Vec<Seen> = one.into_iter().chain(two).chain(three).collect();
        prop_assert_eq!(said(&all), said(&profile_of(&together, NODES_MAX)));
    }

    #[test]
    fn a_profile_that_is_written_and_read_is_the_same(seen in seen()) {
        let profile = profile_of(&seen, NODES_MAX);
        let again = Profile::from_bytes(&profile.encode()).unwrap();
        prop_assert_eq!(said(&again), said(&profile));
        prop_assert_eq!(again, profile);
    }

    #[test]
    fn sums_stay_true_where_there_is_no_room(
        (one, two) in (seen(), seen()), room in 0..20_usize, order in any::<bool>()
    ) {
        let (a, b) = (profile_of(&one, room), profile_of(&two, room));
        let mut all = Profile::bounded(room);
        for part in if order { [&a, &b] } else { [&b, &a] } {
            all.merge(part);
        }
        for kind in [Kind::Thread, Kind::Awaiting] {
            let whole = merged(&[&profile_of(&one, NODES_MAX), &profile_of(&two, NODES_MAX)]);
            prop_assert_eq!(all.total(kind), whole.total(kind));
        }
        let again = Profile::from_bytes(&all.encode()).unwrap();
        prop_assert_eq!(said(&again), said(&all));
    }

    #[test]
    fn sums_stay_true_where_there_is_room_for_few_bytes(seen in seen(), bytes in 0..2_000_usize) {
        let profile = profile_of(&seen, NODES_MAX);
        let fitted = profile.encode_within(bytes);
        let again = Profile::from_bytes(&fitted).unwrap();
        for kind in [Kind::Thread, Kind::Awaiting] {
            prop_assert_eq!(again.total(kind), profile.total(kind));
        }
        prop_assert_eq!(again.duration_ns(), profile.duration_ns());
        if profile.encode().len() <= bytes {
            prop_assert_eq!(again, profile);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Profile::from_bytes(&bytes);
        for version in [b"LSPR\x01", b"LSPR\x02"] {
            let _ = Profile::from_bytes(&[version, bytes.as_slice()].concat());
            let _ = Profile::from_bytes(&[version, &deflated(&bytes)[5..]].concat());
        }
    }

    #[test]
    fn a_damaged_profile_is_refused_or_whole_in_itself(seen in seen(), at in any::<prop::sample::Index>(), with in 1..255_u8) {
        let bytes = profile_of(&seen, NODES_MAX).encode();
        let mut plain = inflated(&bytes);
        let at = at.index(plain.len());
        plain[at] ^= with;
        if let Ok(profile) = Profile::from_bytes(&deflated(&plain)) {
            prop_assert_eq!(Profile::from_bytes(&profile.encode()), Ok(profile.clone()));
            let _ = (profile.hot_functions(10), profile.hot_lines(10), profile.advice(), profile.pprof());
            let _ = lineshaft_insight::profile::flame_graph_svg(&profile, "damaged");
        }
    }
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut to = flate2::write::DeflateEncoder::new(b"LSPR\x01".to_vec(), flate2::Compression::fast());
    to.write_all(plain).unwrap();
    to.finish().unwrap()
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(&bytes[5..]).read_to_end(&mut plain).unwrap();
    plain
}

#[test]
fn bytes_of_something_else_a_newer_version_and_a_part_are_told_apart() {
    let bytes = profile_of(&[(false, 0, vec![(1, 1)], 5)], NODES_MAX).encode();
    assert_eq!(Profile::from_bytes(b"PK\x03\x04"), Err(Unreadable::NotAProfile));
    assert_eq!(Profile::from_bytes(b""), Err(Unreadable::NotAProfile));
    let newer = [b"LSPR\x09", &bytes[5..]].concat();
    assert_eq!(Profile::from_bytes(&newer), Err(Unreadable::Version(9)));
    for end in 5..bytes.len() {
        assert!(matches!(Profile::from_bytes(&bytes[..end]), Err(Unreadable::Damaged(_))), "{end}");
    }
}

#[test]
fn the_most_memory_is_kept_and_programs_of_before_read_what_has_none() {
    let without = profile_of(&[(false, 0, vec![(1, 1)], 5)], NODES_MAX);
    assert_eq!(without.encode()[4], 1);
    let mut with = without.clone();
    with.peaked(3 << 30);
    assert_ne!(with, without);
    let bytes = with.encode();
    assert_eq!((bytes[4], Profile::from_bytes(&bytes)), (2, Ok(with.clone())));
    assert_eq!(Profile::from_bytes(&with.encode_within(1)).unwrap().memory_bytes_max(), 3 << 30);
    for wrong in [[b"LSPR\x01", &bytes[5..]].concat(), [b"LSPR\x02", &without.encode()[5..]].concat()] {
        assert!(matches!(Profile::from_bytes(&wrong), Err(Unreadable::Damaged(_))));
    }
    // Of many it is the greatest one, while what lines keep adds up.
    let mut whole = merged(&[&with, &without, &with]);
    assert_eq!(whole.memory_bytes_max(), 3 << 30);
    assert_eq!(whole.allocations()[0].2.bytes, 3 * with.allocations()[0].2.bytes);
    whole.peaked(1);
    assert_eq!(whole.memory_bytes_max(), 3 << 30);
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bytes = deflated(&vec![0x41; 64 << 20]);
    assert!(bytes.len() < 1 << 20);
    assert_eq!(Profile::from_bytes(&bytes), Err(Unreadable::Damaged("it is larger than any profile")));
}

/// Texts without letters took 24 bytes each before they were counted, 200 MB of some KiB.
#[test]
fn a_list_that_is_too_long_is_given_up_where_it_is() {
    let count = [0x80, 0x80, 0x80, 0x04]; // 8 Mi
    let bytes = deflated(&[&count[..], &vec![0; 8 << 20]].concat());
    assert!(bytes.len() < 64 << 10);
    assert_eq!(Profile::from_bytes(&bytes), Err(Unreadable::Damaged("it has no such fields")));
}

/// The nodes of deep stacks, which were made in full once for each of them, and for each halving.
#[test]
fn deep_stacks_are_soon_few_bytes() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    let frame = profile.frame("f", "f.py", 1);
    let mut rng = fastrand::Rng::with_seed(1);
    for outermost in 0..120 {
        let mut stack = vec![Call { frame, line: outermost }];
        for _ in 1..DEPTH_MAX {
            stack.insert(0, Call { frame, line: rng.u32(..) });
            profile.add(track, &stack, weight(rng.u64(1..1_000)));
        }
    }
    let began = std::time::Instant::now();
    let bytes = profile.encode_within(131_072);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert!((30_000..=131_072).contains(&bytes.len()), "{}", bytes.len());
    let again = Profile::from_bytes(&bytes).unwrap();
    assert_eq!(again.total(Kind::Thread), profile.total(Kind::Thread));
}

fn long_name(rng: &mut fastrand::Rng) -> String {
    (0..1_000).map(|_| rng.alphanumeric()).collect()
}

/// They took more than is kept with an attempt, and the profile was thrown away.
#[test]
fn long_names_of_tracks_are_left_out_where_there_is_no_room_for_them() {
    let (mut profile, mut rng) = (Profile::new(), fastrand::Rng::with_seed(2));
    let frame = profile.frame("f", "f.py", 1);
    for _ in 0..TRACKS_MAX {
        let track = profile.track(&long_name(&mut rng), Kind::Awaiting);
        profile.add(track, &[Call { frame, line: 1 }], weight(1));
    }
    profile.ran(7);
    let bytes = profile.encode_within(131_072);
    assert!(bytes.len() <= 131_072, "{}", bytes.len());
    let again = Profile::from_bytes(&bytes).unwrap();
    assert_eq!(again.total(Kind::Awaiting), profile.total(Kind::Awaiting));
    assert_eq!((again.tracks()[0].0, again.duration_ns()), ("(more)", 7));
}

#[test]
fn names_of_tracks_for_which_there_is_no_room_take_none() {
    let (mut profile, mut rng) = (Profile::new(), fastrand::Rng::with_seed(3));
    for number in 0..TRACKS_MAX {
        profile.track(&format!("task {number}"), Kind::Awaiting);
    }
    (0..10_000).for_each(|_| _ = profile.track(&long_name(&mut rng), Kind::Awaiting));
    let name = "f".repeat(1_000);
    let frame = profile.frame(&name, "f.py", 1);
    assert_eq!(profile.frame_of(frame).name, name);
    let (known, other) = (profile.track("task 7", Kind::Awaiting), profile.track("else", Kind::Awaiting));
    assert!(known != other && other == profile.track("(more)", Kind::Awaiting));
}

#[test]
fn beyond_the_greatest_number_of_nodes_samples_are_counted() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    let frame = profile.frame("f", "f.py", 1);
    for line in 0..NODES_MAX as u32 + 10 {
        profile.add(track, &[Call { frame, line }], weight(1));
    }
    assert_eq!(profile.more(), Weight { samples: 10, wall_ns: 10_000_000, cpu_ns: 9_000_000 });
    assert_eq!(profile.total(Kind::Thread).samples, NODES_MAX as u64 + 10);
    let bytes = profile.encode();
    assert!(bytes.len() < 1 << 20, "{}", bytes.len());
    assert_eq!(Profile::from_bytes(&bytes), Ok(profile));
}

#[test]
fn of_a_profile_that_is_too_large_what_was_seen_most_is_written() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    for number in 0..20_000_u64 {
        // Names that do not deflate.
        let name = format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let frame = profile.frame(&name, "app.py", number as u32);
        profile.add(track, &[Call { frame, line: 1 }], weight(1 + number));
    }
    assert!(profile.encode().len() > 131_072);
    let bytes = profile.encode_within(131_072);
    assert!((30_000..=131_072).contains(&bytes.len()), "{}", bytes.len());
    let again = Profile::from_bytes(&bytes).unwrap();
    assert_eq!(again.hot_lines(500)[1..], profile.hot_lines(499)[..]);
    assert_eq!(again.total(Kind::Thread), profile.total(Kind::Thread));
    assert!(again.more().wall_ns > 0);
}

#[test]
fn beyond_the_greatest_number_of_tracks_one_is_for_the_others() {
    let mut profile = Profile::new();
    let frame = profile.frame("f", "f.py", 1);
    for number in 0..TRACKS_MAX + 10 {
        let track = profile.track(&format!("task {number}"), Kind::Awaiting);
        profile.add(track, &[Call { frame, line: 1 }], weight(1));
    }
    let tracks = profile.tracks();
    assert_eq!(tracks.len(), TRACKS_MAX + 1);
    assert_eq!(tracks[TRACKS_MAX].0, "(more)");
    assert_eq!(tracks[TRACKS_MAX].2.samples, 10);
    assert_eq!(Profile::from_bytes(&profile.encode()), Ok(profile));
}

#[test]
fn of_a_deep_recursion_the_innermost_calls_are_kept() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    let frame = profile.frame("f", "f.py", 1);
    let inner = profile.frame("inner", "f.py", 9);
    let mut stack = vec![Call { frame, line: 2 }; 10_000];
    stack[0] = Call { frame: inner, line: 10 };
    profile.add(track, &stack, weight(1));
    let (stack, _) = profile.stacks().next().unwrap();
    assert_eq!(stack.calls.len(), DEPTH_MAX + 1);
    assert_eq!(stack.calls[0].0.name, "(deeper)");
    assert_eq!(stack.calls[DEPTH_MAX].0.name, "inner");
    assert_eq!(Profile::from_bytes(&profile.encode()), Ok(profile.clone()));
}

#[test]
fn a_function_that_calls_itself_counts_once() {
    // Innermost first: f calls g, which calls f again.
    let seen = [(false, 0, vec![(1, 1), (2, 1), (1, 1)], 60), (false, 0, vec![(1, 2)], 40)];
    let profile = profile_of(&seen, NODES_MAX);
    let functions = profile.hot_functions(10);
    let f = functions.iter().find(|one| one.name == "function1").unwrap();
    assert_eq!((f.own.wall_ns, f.total.wall_ns), (100_000_000, 100_000_000));
    let g = functions.iter().find(|one| one.name == "function2").unwrap();
    assert_eq!((g.own.wall_ns, g.total.wall_ns), (0, 60_000_000));
    assert_eq!(functions[0].name, "function1");
    assert_eq!(profile.hot_functions(1).len(), 1);
}

#[test]
fn what_tasks_await_is_apart_from_what_threads_do() {
    let seen = [(true, 0, vec![(1, 1)], 500), (false, 1, vec![(1, 1)], 100)];
    let profile = profile_of(&seen, NODES_MAX);
    assert_eq!(profile.total(Kind::Thread).wall_ns, 100_000_000);
    assert_eq!(profile.total(Kind::Awaiting).wall_ns, 500_000_000);
    let function = profile.hot_functions(1)[0];
    assert_eq!((function.total.wall_ns, function.awaited.wall_ns), (100_000_000, 500_000_000));
    assert_eq!(profile.hot_lines(9).len(), 1);
}

#[test]
fn a_difference_has_the_greatest_change_first() {
    let before = profile_of(&[(false, 0, vec![(1, 1)], 50), (false, 0, vec![(2, 1)], 50)], NODES_MAX);
    let after = profile_of(&[(false, 0, vec![(1, 1)], 10), (false, 0, vec![(3, 1)], 90)], NODES_MAX);
    let changes = diff(&before, &after);
    let rows: Vec<_> = changes.iter().map(|one| (one.name.as_str(), one.before, one.after)).collect();
    assert_eq!(rows, [("function3", 0.0, 0.9), ("function2", 0.5, 0.0), ("function1", 0.5, 0.1)]);
    assert!(diff(&before, &before).iter().all(|one| one.by() == 0.0));
    assert!(diff(&Profile::new(), &Profile::new()).is_empty());
}

/// Names of functions, the innermost first; `?` is one without a symbol.
#[track_caller]
fn check_work(functions: &[&str], expected: &[&str]) {
    let native = |name: &&str| match *name {
        "?" => Native::unnamed("/lib/libpython.so".to_owned(), 0x10),
        name => Native { name: name.to_owned(), library: "/lib/libpython.so".to_owned() },
    };
    let work = native_work(functions.iter().map(native).collect(), "/lib/libpython.so");
    assert_eq!(work.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), expected);
}

#[test]
fn of_native_functions_those_that_a_line_of_python_has_called_are_kept() {
    check_work(
        &[
            "merge_lo",
            "list_sort_impl.isra.0",
            "list_sort",
            "cfunction_vectorcall_FASTCALL",
            "PyObject_Vectorcall",
        ],
        &["merge_lo", "list_sort_impl.isra.0", "list_sort"],
    );
    check_work(
        &[
            "encode",
            "PyObject_Call",
            "encoder_call",
            "_PyObject_MakeTpCall.cold",
            "_PyEval_EvalFrameDefault.cold",
            "main",
        ],
        &["encode", "encoder_call"],
    );
    check_work(&["?", "method_vectorcall_O.lto_priv.0"], &["libpython.so+0x10"]);
    check_work(&["PyObject_Vectorcall"], &[]);
    check_work(&["_PyEval_EvalFrameDefault", "sorted"], &[]);
}

#[test]
fn to_wait_for_the_interpreter_and_to_look_are_no_native_work() {
    check_work(&["futex_wait", "take_gil", "eval_frame_handle_pending"], &[]);
    check_work(&["futex_wait", "take_gil.cold", "PyEval_RestoreThread", "zlib_compress"], &[]);
    check_work(&["futex_wait", "__pthread_cond_timedwait64", "?"], &[]);
    check_work(&["lineshaft_python::profile::garbage::count", "gc_collect_main"], &[]);
    let waits = ["futex_wait", "sem_clockwait", "PyThread_acquire_lock_timed"];
    check_work(&waits, &waits);
    let waits = ["pthread_cond_wait", "wait_for_a_worker"];
    check_work(&waits, &waits);
}

#[test]
fn native_functions_are_rows_and_their_time_is_that_of_the_line() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    let line = Call { frame: profile.frame("pack", "shop.py", 1), line: 4 };
    let native = |name: &str| Native { name: name.to_owned(), library: "/lib/libz.so.1".to_owned() };
    let [outer, inner] = ["deflate", "longest_match"].map(|name| profile.native_call(&native(name)));
    let weight = Weight { wall_ns: 1_000, cpu_ns: 1_000, samples: 1 };
    profile.add(track, &[inner, outer, line], weight);
    profile.add(track, &[line], weight);
    let read = Profile::from_bytes(&profile.encode()).unwrap();
    profile.merge(&read);
    let hot = profile.hot_lines(10);
    assert_eq!(hot.len(), 1);
    assert_eq!((hot[0].file, hot[0].line, hot[0].own.wall_ns), ("shop.py", 4, 4_000));
    let functions = profile.hot_functions(10);
    let row = functions.iter().find(|one| one.name == "longest_match").unwrap();
    assert_eq!((row.file, row.line, row.own.wall_ns), ("<native libz.so.1>", 0, 2_000));
}
