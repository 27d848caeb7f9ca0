//! What a profile is shown as.

use lineshaft_insight::profile::{Allocation, Call, Kind, Profile, Wait, Weight, flame_graph_svg, html};

const MS: u64 = 1_000_000;

/// (function, file, line), the outermost first.
type Calls<'a> = &'a [(&'a str, &'a str, u32)];
/// With milliseconds of time and of a processor.
type Seen<'a> = (Calls<'a>, u64, u64);

fn profile_of(stacks: &[Seen<'_>]) -> Profile {
    let mut profile = Profile::new();
    let track = profile.track("MainThread", Kind::Thread);
    for (calls, wall_ms, cpu_ms) in stacks {
        let call =
            |&(name, file, line): &(&str, &str, u32)| Call { frame: profile.frame(name, file, 1), line };
        let mut stack: Vec<Call> = calls.iter().map(call).collect();
        stack.reverse();
        let samples = wall_ms / 10;
        profile.add(track, &stack, Weight { wall_ns: wall_ms * MS, cpu_ns: cpu_ms * MS, samples });
        profile.ran(wall_ms * MS);
    }
    profile
}

#[test]
fn widths_of_a_flame_graph_are_the_parts_of_the_time() {
    let main = ("main", "shop.py", 3);
    let profile = profile_of(&[
        (&[main, ("sum_up", "shop.py", 9)], 750, 750),
        (&[main, ("sum_up", "shop.py", 10)], 0, 0),
        (&[main, ("read", "io.py", 2)], 250, 0),
    ]);
    let svg = flame_graph_svg(&profile, "shop");
    let width = |name: &str| {
        let cell = svg.split("data-name=\"").find(|part| part.starts_with(&format!("{name}\""))).unwrap();
        let width = cell.split(" width=\"").nth(1).unwrap().split('"').next().unwrap();
        width.to_owned()
    };
    assert_eq!([width("main"), width("sum_up"), width("read")], ["1180.00", "885.00", "295.00"]);
    assert_eq!(svg, flame_graph_svg(&profile, "shop"));
    assert!(svg.contains("75.0 % of the time: 750 ms, 750 ms with a processor, 75 samples"));
}

#[test]
fn nothing_that_a_name_has_is_markup() {
    let name = "<script>alert('x')</script>\u{1}&\"]]>";
    let profile = profile_of(&[(&[(name, name, 1)], 100, 100)]);
    for text in [flame_graph_svg(&profile, name), html(&profile, name, &|_, _| Some(name.to_owned()))] {
        assert!(!text.contains("<script>alert"));
        assert!(!text.contains('\u{1}'));
        assert!(text.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\u{fffd}&amp;&quot;]]&gt;"));
    }
}

#[test]
fn a_profile_of_nothing_is_drawn_and_says_so() {
    let mut profile = Profile::new();
    profile.ran(2_500_000);
    let page = html(&profile, "quick", &|_, _| None);
    assert!(page.contains("no samples in 2.50 ms"));
    assert!(!page.contains("NaN"));
    assert_eq!(profile.advice(), Vec::<String>::new());
}

/// It was said that there are no samples.
#[test]
fn a_profile_of_what_was_awaited_alone_says_so() {
    let mut profile = Profile::new();
    let (track, frame) = (profile.track("task", Kind::Awaiting), profile.frame("f", "f.py", 1));
    let weight = Weight { wall_ns: 2_500_000, cpu_ns: 0, samples: 3 };
    profile.add(track, &[Call { frame, line: 1 }], weight);
    profile.ran(2_500_000);
    let said = "3 samples of what was awaited in 2.50 ms, none of a thread";
    assert!(flame_graph_svg(&profile, "waits").contains(said));
}

#[test]
fn a_page_shows_the_source_of_its_lines() {
    let profile = profile_of(&[(&[("sum_up", "shop.py", 9)], 400, 400)]);
    let source =
        |file: &str, line| (file == "shop.py" && line == 9).then(|| "  total += price < 3".to_owned());
    assert!(html(&profile, "shop", &source).contains("<code>total += price &lt; 3</code>"));
}

#[test]
fn a_page_has_the_lines_that_keep_memory_where_they_were_looked_for() {
    let mut profile = profile_of(&[(&[("sum_up", "shop.py", 9)], 400, 400)]);
    let source = |_: &str, line| (line == 4).then(|| "kept.append(1 < 2)".to_owned());
    assert!(!html(&profile, "shop", &source).contains("Memory"));
    profile.allocated("<cart>.py", 4, Allocation { bytes: 2048, blocks: 3 });
    profile.peaked(4096);
    let page = html(&profile, "shop", &source);
    assert!(
        page.contains(
            "<td>+2.0 KiB</td><td>+3</td><td>&lt;cart&gt;.py:4</td><td><code>kept.append(1 &lt; 2)"
        )
    );
    assert!(page.contains("at most 4.0 KiB more than at the beginning"));
}

fn advice_of(stacks: &[Seen<'_>]) -> Vec<String> {
    profile_of(stacks).advice()
}

#[test]
fn advice_is_given_for_what_takes_much_and_not_for_what_takes_little() {
    let spread: Vec<[(&str, &str, u32); 1]> = (1..=10).map(|line| [("work", "work.py", line)]).collect();
    let work: Vec<Seen<'_>> = spread.iter().map(|stack| (stack.as_slice(), 100, 100)).collect();
    assert_eq!(advice_of(&work), Vec::<String>::new());
    let check = |stack: Calls<'_>, cpu_ms: u64, word: &str| {
        let with = |ms: u64, cpu: u64| advice_of(&[work.as_slice(), &[(stack, ms, cpu)]].concat());
        let much = with(900, cpu_ms);
        assert!(much.iter().any(|one| one.contains(word) && one.contains("47.4 %")), "{word}: {much:?}");
        let little = with(20, cpu_ms / 45);
        assert!(!little.iter().any(|one| one.contains(word)), "{word}: {little:?}");
    };
    check(&[("f", "a.py", 1), ("dumps", "/usr/lib/python3.11/json/__init__.py", 9)], 900, "json, pickle");
    check(
        &[("f", "a.py", 1), ("deepcopy", "/usr/lib/python3.11/copy.py", 9), ("g", "b.py", 1)],
        900,
        "deepcopy",
    );
    let acquires = ("Semaphore.acquire", "/usr/lib/python3.11/threading.py", 9);
    check(&[("f", "a.py", 1), acquires], 0, "waited for locks");
    check(&[("f", "a.py", 1), ("_pickle_dumps", "<native python3.11>", 0)], 900, "json, pickle");
    check(&[("f", "a.py", 1), ("save", "<native _pickle.cpython-311.so>", 0)], 900, "json, pickle");
    check(&[("f", "a.py", 1), ("_find_and_load", "<frozen importlib._bootstrap>", 9)], 900, "imports");
    check(
        &[("f", "a.py", 1), ("compile", "/usr/lib/python3.11/re/_compiler.py", 9)],
        900,
        "regular expressions",
    );
}

/// All of threading.py counted, so that one that waits for a result was told to shorten its critical sections.
#[test]
fn to_wait_for_others_is_not_to_wait_for_a_lock() {
    let threading = "/usr/lib/python3.11/threading.py";
    let lock = ("(waits for a lock)", "", 0);
    let (wait, event) = (("Condition.wait", threading, 9), ("Event.wait", threading, 19));
    let (result, join) =
        (("Future.result", "/usr/lib/python3.11/concurrent/futures/_base.py", 9), "Thread.join");
    let says_lock = |inner: Calls<'_>| {
        let stack = [&[("f", "a.py", 1)], inner].concat();
        advice_of(&[(&stack, 600, 0)]).iter().any(|one| one.contains("waited for locks"))
    };
    for inner in [&[result, wait][..], &[result, wait, lock], &[event, wait], &[(join, threading, 29)]] {
        assert!(!says_lock(inner), "{inner:?}");
    }
    let (acquire, enter) = (("Semaphore.acquire", threading, 39), ("Condition.__enter__", threading, 49));
    for inner in [&[lock][..], &[acquire, wait], &[acquire, wait, lock], &[enter], &[enter, lock]] {
        assert!(says_lock(inner), "{inner:?}");
    }
}

#[test]
fn advice_names_the_line_that_takes_most_and_tells_waiting_from_work() {
    let said = advice_of(&[(&[("f", "a.py", 7)], 600, 590), (&[("g", "b.py", 8)], 400, 390)]);
    assert_eq!(said, ["60.0 % of the time, 600 ms, went into one line: a.py:7 in f."]);
    let sub = ("sub", "/usr/lib/python3.11/re/__init__.py", 185);
    let said = advice_of(&[
        (&[("f", "a.py", 7), sub], 400, 390),
        (&[("f", "a.py", 7)], 300, 290),
        (&[("g", "b.py", 8), sub], 300, 290),
    ]);
    let line = "went into one line and what it calls in libraries: a.py:7 in f.";
    assert_eq!(said, [format!("70.0 % of the time, 700 ms, {line}")]);
    let said = advice_of(&[(&[("f", "a.py", 7)], 600, 10), (&[("g", "b.py", 8)], 400, 90)]);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("90.0 % of the time, 900 ms, threads had no processor"), "{said:?}");
    assert_eq!(advice_of(&[(&[("f", "a.py", 7)], 190, 190)]), Vec::<String>::new(), "19 samples say little");
}

#[test]
fn what_waits_is_a_call_of_its_own_and_the_time_of_its_line() {
    let mut profile = Profile::new();
    let track = profile.track("main", Kind::Thread);
    let work = Call { frame: profile.frame("work", "a.py", 1), line: 7 };
    let weight = Weight { wall_ns: 1_000 * MS, cpu_ns: 250 * MS, samples: 100 };
    profile.add_waiting(track, &[work], weight, Wait::Interpreter, 750 * MS);
    assert_eq!(profile.total(Kind::Thread), weight);
    assert_eq!((profile.waited_ns(Wait::Interpreter), profile.waited_ns(Wait::Lock)), (750 * MS, 0));
    let functions: Vec<(&str, u64)> =
        profile.hot_functions(9).iter().map(|one| (one.name, one.own.wall_ns)).collect();
    assert_eq!(functions, [("(waits for the interpreter's lock)", 750 * MS), ("work", 250 * MS)]);
    let lines = profile.hot_lines(9);
    assert_eq!((lines.len(), lines[0].line, lines[0].own), (1, 7, weight));
    let mut merged = Profile::from_bytes(&profile.encode()).expect("it is one");
    merged.merge(&profile);
    assert_eq!(merged.waited_ns(Wait::Interpreter), 1_500 * MS);
}

/// It was told to use threads or coroutines.
#[test]
fn a_loop_that_waits_for_its_tasks_is_told_nothing() {
    const LIBRARY: &str = "/usr/lib/python3.11/";
    let file = |name: &str| format!("{LIBRARY}{name}");
    let (base, selectors, runners) =
        (file("asyncio/base_events.py"), file("selectors.py"), file("asyncio/runners.py"));
    let uvloop = "/x/site-packages/uvloop/__init__.py";
    let once =
        [("main", "a.py", 3), ("Runner.run", &*runners, 118), ("BaseEventLoop._run_once", &*base, 1_884)];
    let idle: Vec<_> = once.into_iter().chain([("EpollSelector.select", &*selectors, 468)]).collect();
    let polls: Vec<_> = idle.iter().copied().chain([("epoll_wait", "<native libc.so.6>", 0)]).collect();
    let work: Seen<'_> = (&[("work", "a.py", 9)], 100, 90);
    for waits in [&idle[..], &polls, &once[..2], &[("main", "a.py", 3), ("run", uvloop, 61)]] {
        assert_eq!(advice_of(&[(waits, 900, 1), work]), Vec::<String>::new(), "{waits:?}");
    }
    // A task that blocks its loop, and a program that asks a selector itself.
    let blocks: Vec<_> = once.into_iter().chain([("sleeps", "a.py", 7)]).collect();
    let asks = [("main", "a.py", 3), ("EpollSelector.select", &*selectors, 468)];
    for waits in [&blocks[..], &asks] {
        let said = advice_of(&[(waits, 900, 1), work]);
        assert!(said.len() == 1 && said[0].contains("threads had no processor"), "{said:?}");
    }
}

#[test]
fn advice_tells_the_interpreter_s_lock_from_others_and_from_what_waits() {
    let waiting = |wait: Wait, waited_ms: u64, cpu_ms: u64| {
        let mut profile = Profile::new();
        let track = profile.track("main", Kind::Thread);
        let work = Call { frame: profile.frame("work", "a.py", 1), line: 7 };
        let weight = Weight { wall_ns: 1_000 * MS, cpu_ns: cpu_ms * MS, samples: 100 };
        profile.add_waiting(track, &[work], weight, wait, waited_ms * MS);
        profile.advice()
    };
    let said = waiting(Wait::Interpreter, 880, 110);
    assert_eq!(said.len(), 1, "threads would not help: {said:?}");
    assert!(said[0].starts_with("88.0 % of the time, 880 ms, threads waited for the interpreter's lock"));
    assert_eq!(waiting(Wait::Interpreter, 90, 450), Vec::<String>::new());
    let said = waiting(Wait::Lock, 600, 390);
    assert_eq!(said.len(), 1, "{said:?}");
    let line = "threads waited for locks, 600 ms of it at a.py:7 in work: ";
    assert!(said[0].starts_with(&format!("60.0 % of the time, 600 ms, {line}")), "{said:?}");
}

#[test]
fn advice_on_garbage_has_its_part_of_the_time() {
    let mut profile = profile_of(&[(&[("f", "a.py", 7)], 400, 400), (&[("g", "a.py", 9)], 600, 600)]);
    profile.collected(300 * MS, 12);
    assert!(profile.advice()[1].starts_with("30.0 % of the time, 300 ms, went into 12 garbage collections"));
}
