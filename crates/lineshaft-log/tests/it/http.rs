//! Records to a server that fails, hangs, goes away and comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use lineshaft_log::handler::{Http, HttpBody, HttpOptions};
use lineshaft_log::{Format, Gathering, Handler, Level, Open, Record, Spec, Zone};

use crate::{options, record, started};

const LONG: Duration = Duration::from_secs(30);

/// What a server does with a request once it has read it.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16),
    /// Closes the connection without an answer.
    Breaks,
    /// Does nothing, until the other end closes the connection.
    Hangs,
}

/// A request as it arrived.
struct Arrived {
    head: String,
    body: Vec<u8>,
}

impl Arrived {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn messages(&self) -> Vec<String> {
        let text = String::from_utf8(self.body.clone()).expect("a text");
        let message = |line: &str| {
            let read: serde_json::Value = serde_json::from_str(line).expect("JSON");
            read["message"].as_str().expect("a text").to_owned()
        };
        text.lines().map(message).collect()
    }
}

/// Serves each connection by itself: the first requests as `does` says, in order, all others with 200.
fn server(listener: TcpListener, does: &[Does]) -> Receiver<Arrived> {
    let (sender, arrived) = channel();
    let does = Arc::new(Mutex::new(does.iter().rev().copied().collect::<Vec<_>>()));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (sender, does) = (sender.clone(), does.clone());
            std::thread::spawn(move || serve(stream, &sender, &does));
        }
    });
    arrived
}

fn serve(stream: TcpStream, sender: &Sender<Arrived>, does: &Mutex<Vec<Does>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    while let Some(request) = read(&mut reader) {
        if sender.send(request).is_err() {
            return;
        }
        match does.lock().expect("no panic").pop().unwrap_or(Does::Answers(200)) {
            Does::Answers(status) => {
                let answer = format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok");
                if (&stream).write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Does::Breaks => return,
            Does::Hangs => drop(reader.read(&mut [0])),
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Arrived> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut request = Arrived { head, body: Vec::new() };
    let length = request.header("content-length")?.parse().ok()?;
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn http(address: SocketAddr) -> HttpOptions {
    HttpOptions {
        url: format!("http://{address}/in"),
        headers: vec![("authorization".to_owned(), "Bearer swordfish".to_owned())],
        body: HttpBody::Lines(Format::Json, Zone::Utc),
        is_compressed: false,
        timeout: Duration::from_secs(20),
        gathering: Gathering { records: 100, bytes: 1 << 20, age: Duration::ZERO },
        authorities: None,
    }
}

fn spec(options: HttpOptions) -> Spec {
    let open: Open =
        Arc::new(move |levels| Ok(Box::new(Http::open(options.clone(), levels)?) as Box<dyn Handler>));
    Spec::new("http", open)
}

fn numbered(count: usize) -> Vec<Record> {
    (0..count).map(|number| record(Level::INFO, &number.to_string())).collect()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn a_server_that_fails_gets_the_same_request_again() {
    let (listener, address) = listening();
    let arrived =
        server(listener, &[Does::Answers(500), Does::Answers(429), Does::Answers(401), Does::Breaks]);
    let pipeline = started(options(vec![spec(http(address))]));
    numbered(250).into_iter().for_each(|record| drop(pipeline.push(record)));
    assert!(pipeline.flush(Some(LONG)));
    let counts = pipeline.counts().handlers[0].clone();
    assert_eq!((counts.handled, counts.lost, counts.failed, counts.retries), (250, 0, 0, 4));
    let requests: Vec<Arrived> = arrived.try_iter().collect();
    for again in &requests[1..5] {
        assert_eq!(again.body, requests[0].body);
        assert_eq!(again.header("idempotency-key"), requests[0].header("idempotency-key"));
    }
    assert_ne!(requests[5].header("idempotency-key"), requests[0].header("idempotency-key"));
    let said: Vec<String> = requests[4..].iter().flat_map(Arrived::messages).collect();
    assert_eq!(said, texts(250));
    assert!(requests[4..].iter().all(|request| request.messages().len() <= 100));
    assert_eq!(requests[0].header("authorization"), Some("Bearer swordfish"));
    assert_eq!(requests[0].header("content-type"), Some("application/x-ndjson"));
    assert!(requests[0].head.starts_with("POST /in HTTP/1.1\r\n"), "{}", requests[0].head);
}

#[test]
fn a_server_that_hangs_is_asked_again_and_holds_up_nobody() {
    let (listener, address) = listening();
    let arrived = server(listener, &[Does::Hangs]);
    let options_of = HttpOptions { timeout: Duration::from_millis(200), ..http(address) };
    let pipeline = started(options(vec![spec(options_of)]));
    let began = Instant::now();
    numbered(10).into_iter().for_each(|record| drop(pipeline.push_waiting(record)));
    assert!(began.elapsed() < Duration::from_secs(10), "who logs does not wait for it");
    assert!(pipeline.flush(Some(LONG)));
    let requests: Vec<Arrived> = arrived.try_iter().collect();
    assert_eq!(requests[0].body, requests[1].body);
    let said: Vec<String> = requests[1..].iter().flat_map(Arrived::messages).collect();
    assert_eq!(said, texts(10));
}

#[test]
fn a_server_that_is_not_there_yet_gets_all_when_it_is() {
    let (listener, address) = listening();
    drop(listener);
    let pipeline = started(options(vec![spec(http(address))]));
    numbered(2_000).into_iter().for_each(|record| drop(pipeline.push(record)));
    assert!(!pipeline.flush(Some(Duration::from_millis(200))));
    assert!(!pipeline.counts().handlers[0].is_healthy);
    assert!(pipeline.flush_healthy(LONG), "one that fails is not waited for");
    let arrived = server(TcpListener::bind(address).expect("the same port"), &[]);
    assert!(pipeline.flush(Some(LONG)));
    let said: Vec<String> = arrived.try_iter().flat_map(|request| request.messages()).collect();
    assert_eq!(said, texts(2_000));
}

/// A server that takes every second request, at once asked for: it got 20 of 60 records before a program ended, and each
/// pause was twice the last.
fn served_in_turns(listener: TcpListener, requests: usize) -> Receiver<Arrived> {
    let turns = [Does::Answers(503), Does::Answers(200)];
    let does: Vec<Does> = turns.into_iter().cycle().take(requests).collect();
    server(listener, &does)
}

#[test]
fn a_server_that_fails_in_turns_has_all_at_the_end() {
    let (listener, address) = listening();
    let arrived = served_in_turns(listener, 12);
    let mut options_of = http(address);
    options_of.gathering.records = 10;
    let pipeline = started(options(vec![spec(options_of)]));
    numbered(60).into_iter().for_each(|record| drop(pipeline.push(record)));
    assert!(pipeline.flush_last(Duration::from_secs(3)));
    assert_eq!(pipeline.counts().handlers[0].handled, 60);
    drop(pipeline);
    let requests: Vec<Arrived> = arrived.try_iter().collect();
    assert!(requests.iter().skip(1).step_by(2).flat_map(Arrived::messages).eq(texts(60)));
}

#[test]
fn pauses_are_short_again_when_a_server_has_taken_something() {
    let (listener, address) = listening();
    let _arrived = served_in_turns(listener, 40);
    let mut options_of = http(address);
    options_of.gathering.records = 5;
    let pipeline = started(options(vec![spec(options_of)]));
    let began = Instant::now();
    numbered(100).into_iter().for_each(|record| drop(pipeline.push(record)));
    let mut was_healthy = false;
    while !pipeline.is_flushed(Duration::from_millis(5)) {
        let counts = &pipeline.counts().handlers[0];
        was_healthy |= counts.retries > 1 && counts.is_healthy;
        assert!(began.elapsed() < Duration::from_secs(10), "{counts:?}");
    }
    assert!(was_healthy, "it gets on");
}

#[test]
fn a_server_that_is_not_there_is_tried_a_few_times_at_the_end() {
    let (listener, address) = listening();
    drop(listener);
    let pipeline = started(options(vec![spec(http(address))]));
    numbered(60).into_iter().for_each(|record| drop(pipeline.push(record)));
    assert!(!pipeline.flush(Some(Duration::from_millis(700))));
    let (began, before) = (Instant::now(), pipeline.counts().handlers[0].retries);
    assert!(!pipeline.flush_last(Duration::from_secs(20)));
    let tries = pipeline.counts().handlers[0].retries - before;
    assert!((4..=10).contains(&tries) && began.elapsed() < Duration::from_secs(5), "{tries} tries");
    pipeline.give_up();
    assert!(!pipeline.flush_last(Duration::from_secs(20)), "given up already");
    let arrived = server(TcpListener::bind(address).expect("the same port"), &[]);
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(arrived.try_iter().map(|request| request.messages().len()).sum::<usize>(), 60);
}

#[test]
fn what_a_server_refuses_is_given_up_and_what_is_too_much_is_divided() {
    let (listener, address) = listening();
    let arrived = server(listener, &[Does::Answers(413), Does::Answers(413), Does::Answers(400)]);
    let mut handler = Http::open(http(address), &Arc::default()).expect("it opens");
    let records = numbered(100);
    let records: Vec<&Record> = records.iter().collect();
    let failure = handler.handle(&records).expect_err("refused");
    assert_eq!((failure.done, failure.refused), (0, 25), "{}", failure.reason);
    handler.handle(&records[25..]).expect("taken");
    let counts: Vec<usize> = arrived.try_iter().map(|request| request.messages().len()).collect();
    assert_eq!(counts, [100, 50, 25, 25, 25, 25]);
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let (listener, address) = listening();
    let (sender, arrived) = channel();
    std::thread::spawn(move || {
        let mut answers = ["HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n"].into_iter();
        let (stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
        while read(&mut reader).is_some() {
            let _ = sender.send(Instant::now());
            let answer = answers.next().unwrap_or("HTTP/1.1 204 Taken\r\ncontent-length: 0\r\n\r\n");
            (&stream).write_all(answer.as_bytes()).expect("written");
        }
    });
    let pipeline = started(options(vec![spec(http(address))]));
    pipeline.push(record(Level::INFO, "x"));
    assert!(pipeline.flush(Some(LONG)));
    let times: Vec<Instant> = arrived.try_iter().collect();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= Duration::from_secs(2));
}

#[test]
fn records_wait_for_others_until_one_has_waited_long_enough_or_somebody_flushes() {
    let (listener, address) = listening();
    let arrived = server(listener, &[]);
    let mut options_of = http(address);
    options_of.gathering.age = Duration::from_secs(3_600);
    let pipeline = started(options(vec![spec(options_of.clone())]));
    for record in numbered(5) {
        pipeline.push(record);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(arrived.try_recv().is_err(), "they wait for more");
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(arrived.try_recv().expect("a request").messages(), texts(5));
    numbered(100).into_iter().for_each(|record| drop(pipeline.push(record)));
    assert_eq!(arrived.recv_timeout(LONG).expect("as many as a request has").messages().len(), 100);
    pipeline.push(record(Level::INFO, "last"));
    assert!(pipeline.close(LONG));
    assert_eq!(arrived.recv_timeout(LONG).expect("a request").messages(), ["last"]);
}

#[test]
fn bodies_are_arrays_texts_and_compressed() {
    let (listener, address) = listening();
    let arrived = server(listener, &[]);
    let records = numbered(3);
    let records: Vec<&Record> = records.iter().collect();
    let send = |body, is_compressed| {
        let options = HttpOptions { body, is_compressed, ..http(address) };
        Http::open(options, &Arc::default()).expect("it opens").handle(&records).expect("sent");
        arrived.recv_timeout(LONG).expect("a request")
    };
    let array = send(HttpBody::Array(Zone::Utc), false);
    let read: Vec<serde_json::Value> = serde_json::from_slice(&array.body).expect("an array");
    assert_eq!((read.len(), read[2]["message"].as_str()), (3, Some("2")));
    assert_eq!(array.header("content-type"), Some("application/json"));
    let template = Format::template("{message}").expect("a template");
    let text = send(HttpBody::Lines(template, Zone::Utc), true);
    assert_eq!(text.header("content-encoding"), Some("gzip"));
    let mut unpacked = String::new();
    GzDecoder::new(&text.body[..]).read_to_string(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, "0\n1\n2\n");
}

#[test]
fn a_line_of_many_small_batches_is_not_lost_while_a_server_is_away() {
    let (listener, address) = listening();
    drop(listener);
    let pipeline = started(options(vec![spec(http(address))]));
    for record in numbered(1_000) {
        pipeline.push(record);
        // One by one, so that each is a batch of its own.
        std::thread::sleep(Duration::from_micros(200));
    }
    let arrived = server(TcpListener::bind(address).expect("the same port"), &[]);
    assert!(pipeline.flush(Some(LONG)));
    assert_eq!(pipeline.counts().handlers[0].lost, 0);
    assert_eq!(arrived.try_iter().flat_map(|request| request.messages()).count(), 1_000);
}

#[test]
fn no_body_is_larger_than_asked_for_unless_one_record_is() {
    let (listener, address) = listening();
    let arrived = server(listener, &[]);
    let most = 1_000;
    for body in [
        HttpBody::Lines(Format::Json, Zone::Utc),
        HttpBody::Array(Zone::Utc),
        HttpBody::Otlp("app".to_owned()),
    ] {
        let gathering = Gathering { records: 100, bytes: most, age: Duration::ZERO };
        let options = HttpOptions { body: body.clone(), gathering, ..http(address) };
        let mut handler = Http::open(options, &Arc::default()).expect("it opens");
        let records: Vec<Record> = (0..60)
            .map(|number| record(Level::INFO, &"x".repeat(if number == 30 { 2 * most } else { number * 5 })))
            .collect();
        handler.handle(&records.iter().collect::<Vec<_>>()).expect("sent");
        let mut count = 0;
        for request in arrived.try_iter() {
            let large = "x".repeat(2 * most);
            let has_large = request.body.windows(large.len()).any(|part| part == large.as_bytes());
            assert!(request.body.len() <= most || has_large, "{} bytes of {body:?}", request.body.len());
            count += 1;
        }
        assert!((10..60).contains(&count), "{count} requests of {body:?}");
    }
}

/// For every body it was asked for all records that were left.
#[test]
fn a_function_is_asked_once_for_each_record_whatever_the_size_of_bodies() {
    let (listener, address) = listening();
    let arrived = server(listener, &[]);
    let calls = Arc::new(AtomicUsize::new(0));
    for factor in [1, 40] {
        let counted = calls.clone();
        let format = Format::function(move |record| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Some(record.message.repeat(factor)))
        });
        let gathering = Gathering { records: 1_000, bytes: 1_000, age: Duration::ZERO };
        let options = HttpOptions { body: HttpBody::Lines(format, Zone::Utc), gathering, ..http(address) };
        let mut handler = Http::open(options, &Arc::default()).expect("it opens");
        let records = numbered(1_000);
        handler.handle(&records.iter().collect::<Vec<_>>()).expect("sent");
        assert_eq!(calls.swap(0, Ordering::Relaxed), 1_000);
        let mut lines = Vec::new();
        for request in arrived.try_iter() {
            assert!(request.body.len() <= 1_000, "{} bytes", request.body.len());
            lines.extend(String::from_utf8(request.body).expect("text").lines().map(str::to_owned));
        }
        assert_eq!(lines, texts(1_000).iter().map(|text| text.repeat(factor)).collect::<Vec<_>>());
    }
}
