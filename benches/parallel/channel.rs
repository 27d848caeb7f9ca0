//! Messages from one process to another in Rust: `cargo bench -p lineshaft-ipc --bench channel`. The channel beside a pipe,
//! and beside crossbeam's between threads; each figure is the median of the rounds, with the least and the greatest
//! beside it; they take turns. `python benches/parallel queues` has the same of Python.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use lineshaft_ipc::channel::{Channel, Received};
use lineshaft_ipc::ring::{Message, Options};

const ROUNDS: usize = 5;
const MESSAGES: usize = 4_000_000;
const MESSAGE_BYTES: usize = 100;
const MANY: usize = 64;
/// Those that fit into the channel's ring, with what each takes beside its bytes.
const RING_MESSAGES: usize = (1 << 20) / (MESSAGE_BYTES + 28);
const ARENA_BYTES: usize = 16 << 20;

/// What is measured, and how.
type Figure = (&'static str, fn() -> f64);

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "put", many, ring, arena] => {
            let channel = Channel::from_fds(open(ring), open(arena)).expect("the parent's channel");
            put(&channel, many.parse().expect("a number"));
        }
        [_, "pipe"] => write_pipe(&mut std::io::stdout().lock()),
        _ => compare(),
    }
}

fn compare() {
    let figures: [Figure; 4] = [
        ("channel, put_many and get_many, M/s", || through_channel(MANY)),
        ("channel, one by one, M/s", || through_channel(1)),
        ("pipe, one write each, M/s", through_pipe),
        ("crossbeam between threads, M/s", between_threads),
    ];
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{MESSAGE_BYTES} bytes, 1 to 1, load {}", load.split(' ').next().unwrap_or("unknown"));
    let mut rates = vec![Vec::new(); figures.len()];
    for _ in 0..ROUNDS {
        for ((_, run), rates) in figures.iter().zip(&mut rates) {
            rates.push(run());
        }
    }
    for ((name, _), mut rates) in figures.iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        let (least, median, most) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!("{name:<40} {median:>8.2}  ({least:.2} to {most:.2})");
    }
}

/// A descriptor of the process that started this one.
fn open(path: &str) -> OwnedFd {
    OpenOptions::new().read(true).write(true).open(path).expect("a descriptor of the parent").into()
}

fn myself(what: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg(what);
    command
}

fn put(channel: &Channel, many: usize) {
    let bytes = [7; MESSAGE_BYTES];
    let messages = vec![Message { tag: 0, bytes: &bytes }; many];
    let mut left = MESSAGES;
    while left > 0 {
        left -= if many == 1 {
            channel.put(messages[0], None).map(|()| 1).expect("room")
        } else {
            channel.put_many(&messages[..many.min(left)], None).expect("room")
        };
    }
}

fn through_channel(many: usize) -> f64 {
    let channel = Channel::create(Options::default(), ARENA_BYTES).expect("a channel");
    let path = |fd: i32| format!("/proc/{}/fd/{fd}", std::process::id());
    let (ring, arena) = channel.as_fds();
    let arguments = [many.to_string(), path(ring.as_raw_fd()), path(arena.as_raw_fd())];
    let putter = myself("put").args(arguments).spawn().expect("a process");
    let mut received = Received::default();
    let mut get = |count| {
        let got = channel.get_many(&mut received, count, None).expect("messages");
        received.drain().count().min(got)
    };
    let mut got = get(many);
    let begun = Instant::now();
    while got < MESSAGES {
        got += get(many);
    }
    ended(putter, begun)
}

fn write_pipe(pipe: &mut impl Write) {
    let bytes = [7; MESSAGE_BYTES];
    (0..MESSAGES).for_each(|_| pipe.write_all(&bytes).expect("a reader"));
}

fn through_pipe() -> f64 {
    let mut writer = myself("pipe").stdout(Stdio::piped()).spawn().expect("a process");
    let mut pipe = writer.stdout.take().expect("a pipe");
    let mut bytes = [0; MESSAGE_BYTES];
    pipe.read_exact(&mut bytes).expect("a message");
    let begun = Instant::now();
    (1..MESSAGES).for_each(|_| pipe.read_exact(&mut bytes).expect("a message"));
    ended(writer, begun)
}

fn between_threads() -> f64 {
    let (putter, getter) = crossbeam_channel::bounded::<[u8; MESSAGE_BYTES]>(RING_MESSAGES);
    thread::scope(|scope| {
        scope.spawn(move || (0..MESSAGES).for_each(|_| putter.send([7; MESSAGE_BYTES]).expect("a getter")));
        getter.recv().expect("a message");
        let begun = Instant::now();
        getter.iter().for_each(drop);
        MESSAGES as f64 / 1e6 / begun.elapsed().as_secs_f64()
    })
}

/// Millions of messages per second since then.
fn ended(mut putter: Child, begun: Instant) -> f64 {
    let rate = MESSAGES as f64 / 1e6 / begun.elapsed().as_secs_f64();
    assert!(putter.wait().expect("a child").success(), "the putter failed");
    rate
}
