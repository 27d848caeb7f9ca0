//! What a ring carries between processes, beside a pipe and a socket in the same run:
//! `cargo run --release -p lineshaft-ipc --example ring_figures`.
#![allow(clippy::print_stdout)]

use std::env::args;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use lineshaft_ipc::fd::{adopt, inherit, pipe};
use lineshaft_ipc::ring::{Batch, Message, Options, Ring};

const MESSAGE: [u8; 100] = [7; 100];
const MESSAGES: usize = 2_000_000;
const FEW_MESSAGES: usize = 300_000;
const ROUND_TRIPS: usize = 50_000;

fn main() {
    let given: Vec<String> = args().skip(1).collect();
    match given.split_first() {
        Some((role, rest)) => act(role, rest),
        None => measure_all(),
    }
}

fn measure_all() {
    for (name, processes, batch) in [
        ("ring 1->1, one by one", 1, 1),
        ("ring 1->1, by 64", 1, 64),
        ("ring 1->1, by 256", 1, 256),
        ("ring 2->2, one by one", 2, 1),
        ("ring 2->2, by 64", 2, 64),
    ] {
        say_rate(name, MESSAGES * processes, ring_seconds(processes, batch));
    }
    let (reader, writer) = pipe().unwrap();
    say_rate("pipe, one by one", FEW_MESSAGES, stream_seconds(reader, writer));
    let (reader, writer) = UnixStream::pair().unwrap();
    say_rate("Unix socket, one by one", FEW_MESSAGES, stream_seconds(reader.into(), writer.into()));
    say_latency("ring", ring_round_trips());
    say_latency("Unix socket", socket_round_trips());
}

fn say_rate(name: &str, messages: usize, seconds: f64) {
    println!("{name:24} {:>10.2} M messages/s of 100 bytes", messages as f64 / seconds / 1e6);
}

fn say_latency(name: &str, mut round_trips: Vec<Duration>) {
    round_trips.sort_unstable();
    let one_way = |part: usize| round_trips[round_trips.len() * part / 1_000].as_nanos() as f64 / 2_000.0;
    println!("{name:24} {:>10.2} us one way, p99 {:.2} us", one_way(500), one_way(990));
}

/// This program as `role`, with descriptors and a number.
fn start(role: &str, fds: &[&dyn AsFd], number: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(role).arg(number.to_string());
    for fd in fds {
        let passed = inherit(&mut command, fd.as_fd()).unwrap();
        command.arg(passed.to_string());
    }
    command.spawn().unwrap()
}

fn act(role: &str, rest: &[String]) {
    let number: usize = rest[0].parse().unwrap();
    let mut fds = rest[1..].iter().map(|fd| adopt(fd.parse().unwrap()).unwrap());
    let mut ring = || Ring::from_fd(fds.next().unwrap()).unwrap();
    match role {
        "put" => put(&ring(), number),
        "get" => get(&ring(), number),
        "echo" => echo(&ring(), &ring()),
        "write" => write(fds.next().unwrap()),
        "socket-echo" => socket_echo(fds.next().unwrap()),
        _ => panic!("no role {role}"),
    }
}

/// The time from the first message to the end of all getters.
fn ring_seconds(processes: usize, batch: usize) -> f64 {
    let ring = Ring::create(Options::default()).unwrap();
    let mut getters: Vec<Child> = (0..processes).map(|_| start("get", &[&ring], batch)).collect();
    let mut putters: Vec<Child> = (0..processes).map(|_| start("put", &[&ring], batch)).collect();
    while ring.unfinished() == 0 {
        std::hint::spin_loop();
    }
    let began = Instant::now();
    putters.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    ring.shut_down(false).unwrap();
    getters.iter_mut().for_each(|child| assert!(child.wait().unwrap().success()));
    began.elapsed().as_secs_f64()
}

fn put(ring: &Ring, batch: usize) {
    let messages = vec![Message { tag: 0, bytes: &MESSAGE }; batch];
    for _ in 0..MESSAGES / batch {
        assert_eq!(ring.put_many(&messages, None).unwrap(), batch);
    }
}

fn get(ring: &Ring, count: usize) {
    let mut batch = Batch::default();
    while ring.get_many(&mut batch, count, None).is_ok() {
        assert!(batch.iter().all(|message| message.bytes.len() == MESSAGE.len()));
    }
}

fn stream_seconds(reader: OwnedFd, writer: OwnedFd) -> f64 {
    let mut child = start("write", &[&writer], 0);
    drop(writer);
    let (mut reader, mut message) = (File::from(reader), MESSAGE);
    reader.read_exact(&mut message).unwrap();
    let began = Instant::now();
    while reader.read_exact(&mut message).is_ok() {}
    assert!(child.wait().unwrap().success());
    began.elapsed().as_secs_f64()
}

fn write(fd: OwnedFd) {
    let mut writer = File::from(fd);
    (0..FEW_MESSAGES).for_each(|_| writer.write_all(&MESSAGE).unwrap());
}

fn ring_round_trips() -> Vec<Duration> {
    let [there, back] = [(); 2].map(|()| Ring::create(Options::default()).unwrap());
    let mut child = start("echo", &[&there, &back], 0);
    let (message, mut batch) = (Message { tag: 0, bytes: &MESSAGE }, Batch::default());
    let round_trips = (0..ROUND_TRIPS).map(|_| {
        let began = Instant::now();
        there.put(message, None).unwrap();
        back.get(&mut batch, None).unwrap();
        began.elapsed()
    });
    let round_trips = round_trips.collect();
    there.shut_down(false).unwrap();
    assert!(child.wait().unwrap().success());
    round_trips
}

fn echo(there: &Ring, back: &Ring) {
    let mut batch = Batch::default();
    while there.get(&mut batch, None).is_ok() {
        batch.iter().for_each(|message| back.put(message, None).unwrap());
    }
}

fn socket_round_trips() -> Vec<Duration> {
    let (mut near, far) = UnixStream::pair().unwrap();
    let mut child = start("socket-echo", &[&far], 0);
    drop(far);
    let mut message = MESSAGE;
    let round_trips = (0..ROUND_TRIPS).map(|_| {
        let began = Instant::now();
        near.write_all(&MESSAGE).unwrap();
        near.read_exact(&mut message).unwrap();
        began.elapsed()
    });
    let round_trips = round_trips.collect();
    drop(near);
    assert!(child.wait().unwrap().success());
    round_trips
}

fn socket_echo(fd: OwnedFd) {
    let (mut stream, mut message) = (UnixStream::from(fd), MESSAGE);
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message).unwrap();
    }
}
