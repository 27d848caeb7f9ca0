//! What it takes to keep records of attempts and to find some of them, beside a search through lines of JSON.
//!
//! How many records is the first argument (default 1,000,000), where they are kept the second (default: the directory for
//! temporary files; 10,000,000 take 4 GB there, most of it for the lines).

#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use lineshaft_store::logs::{LogPageRequest, LogStore};
use lineshaft_store::{FileDisk, Home};
use lineshaft_wire::{JobId, LogFilter, LogRecord};

const BATCH: u64 = 200;
const RARE: &str = "carrier refused the parcel";
const GOAL: Duration = Duration::from_millis(200);
/// Records come over a day.
const FIRST_US: u64 = 1_795_824_000_000_000;
const SPAN_US: u64 = 24 * HOUR_US;
const HOUR_US: u64 = 3_600_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let count = words.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let place = words.next().map_or_else(std::env::temp_dir, Into::into);
    let scratch = tempfile::tempdir_in(place)?;
    let home = Home::open(FileDisk::new(scratch.path().join("home")))?;
    let store = LogStore::open(&home)?;
    append(&store, count)?;
    let lines = scratch.path().join("lines");
    write_lines(&lines, count)?;
    let began = Instant::now();
    drop(store);
    let store = LogStore::open(&home)?;
    println!("opened in {:.1} ms", ms(began.elapsed()));
    for (name, filter, needle) in searches(count) {
        search(&store, name, &filter)?;
        scan(&lines, &filter, &needle)?;
    }
    Ok(())
}

/// A record like those of a shop: some 150 bytes as a line of JSON without what names its job.
fn record(number: u64, count: u64) -> LogRecord {
    let mixed = mixed(number);
    let time_of =
        |number: u64| FIRST_US + (u128::from(number) * u128::from(SPAN_US) / u128::from(count)) as u64;
    let time_us = time_of(number);
    let (job, task) = (number / 8, mixed % 200);
    let level = match mixed / 200 % 1_000 {
        0..=4 => 40,
        5..=14 => 30,
        _ => 20,
    };
    let message = match number % 1_000_003 {
        500_001 => format!("{RARE} of customer {}", mixed % 100_000),
        _ => format!("step {} done for customer {} in {} ms", number % 8, mixed % 100_000, mixed % 977),
    };
    LogRecord {
        time_us,
        level,
        job: JobId::direct(time_of(8 * job) / 1_000, 0, job as u32, 1),
        attempt: 1,
        task: format!("shop.task_{task}").into(),
        worker: format!("worker-{}", mixed % 8).into(),
        logger: format!("shop.part_{}", task % 40).into(),
        message: message.into(),
        fields: vec![
            ("order".into(), number.to_string().into()),
            ("region".into(), format!("\"region-{}\"", mixed % 12).into()),
        ],
        place: None,
        exception: None,
        attachment: None,
    }
}

/// The last step of `SplitMix64`: numbers after one another have nothing to do with each other.
fn mixed(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn append(store: &LogStore<FileDisk>, count: u64) -> Result<(), Failure> {
    let (mut spent, mut worked) = (Duration::ZERO, Duration::ZERO);
    for first in (0..count).step_by(BATCH as usize) {
        let batch: Vec<_> = (first..count.min(first + BATCH)).map(|number| record(number, count)).collect();
        let (began, began_worked) = (Instant::now(), worked_so_far());
        store.append(&batch)?;
        spent += began.elapsed();
        worked += worked_so_far().saturating_sub(began_worked);
    }
    store.sync()?;
    let each = store.counts().bytes as f64 / count as f64;
    let rate = count as f64 / spent.as_secs_f64();
    let cpu_us = worked.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{count} records, {BATCH} at a time: {rate:.0} records/s, {cpu_us:.2} us of CPU and {each:.1} bytes of the disk each"
    );
    Ok(())
}

fn write_lines(path: &Path, count: u64) -> Result<(), Failure> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for number in 0..count {
        let record = record(number, count);
        let (time, level, job) = (record.time_us, record.level, record.job);
        let (task, worker, logger) = (&record.task, &record.worker, &record.logger);
        write!(file, r#"{{"time":{time},"level":{level},"job":"{job}","attempt":1,"task":"{task}","#)?;
        write!(file, r#""worker":"{worker}","logger":"{logger}","message":"{}""#, record.message)?;
        for (name, json) in &record.fields {
            write!(file, r#","{name}":{json}"#)?;
        }
        writeln!(file, "}}")?;
    }
    file.flush()?;
    println!("lines of JSON: {:.1} bytes each", path.metadata()?.len() as f64 / count as f64);
    Ok(())
}

/// What is looked for, and the texts that a line then has.
fn searches(count: u64) -> Vec<(&'static str, LogFilter, Vec<String>)> {
    let some = record(count / 3, count);
    let filter = LogFilter::default;
    let order = some.fields[0].1.clone();
    let last_hour = FIRST_US + SPAN_US - HOUR_US;
    let customer = some.message.split(' ').nth(5).unwrap_or_default().to_owned();
    let hard = format!("customer {customer} in {}", some.message.rsplit(' ').nth(1).unwrap_or_default());
    // Without a whole word in it.
    let part = hard["customer ".len() + 1..].to_owned();
    vec![
        ("one job", LogFilter { job: Some(some.job), ..filter() }, vec![some.job.to_string()]),
        (
            "one order",
            LogFilter { fields: vec![("order".into(), (*order).into())], ..filter() },
            vec![format!("\"order\":{order},")],
        ),
        ("a rare text", LogFilter { texts: vec![RARE.into()], ..filter() }, vec![RARE.to_owned()]),
        (
            "errors of a task in the last hour",
            LogFilter {
                level: Some(40),
                task: Some(some.task.clone()),
                since_us: Some(last_hour),
                ..filter()
            },
            vec!["\"level\":40".to_owned(), format!("\"task\":\"{}\"", some.task)],
        ),
        ("a text of common parts", LogFilter { texts: vec![hard.as_str().into()], ..filter() }, vec![hard]),
        ("parts of numbers", LogFilter { texts: vec![part.as_str().into()], ..filter() }, vec![part]),
    ]
}

/// All pages of a search, with what one of them may take at most.
fn search(store: &LogStore<FileDisk>, name: &str, filter: &LogFilter) -> Result<(), Failure> {
    let (mut times, mut worked) = (Vec::new(), Vec::new());
    let mut found = 0;
    for _ in 0..5 {
        let (began, began_worked, mut after) = (Instant::now(), worked_so_far(), None);
        found = 0;
        loop {
            let filter = filter.clone();
            let page = store.page(&LogPageRequest { filter, after, ..LogPageRequest::default() })?;
            found += page.records.len();
            after = page.next;
            if page.is_end {
                break;
            }
        }
        times.push(began.elapsed());
        worked.push(worked_so_far().saturating_sub(began_worked));
    }
    let first = times[0];
    times.sort_unstable();
    worked.sort_unstable();
    let is_met = if times[2] <= GOAL { "met" } else { "MISSED" };
    println!(
        "{name}: {found} found in {:.1} ms (first {:.1}, {:.1} to {:.1}; of CPU {:.1})  goal {}: {is_met}",
        ms(times[2]),
        ms(first),
        ms(times[0]),
        ms(times[4]),
        ms(worked[2]),
        GOAL.as_millis()
    );
    Ok(())
}

/// What this thread has had of a processor: others may have it meanwhile.
fn worked_so_far() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0))
}

/// The same through the lines: those with all texts, as `grep` finds them.
fn scan(lines: &Path, filter: &LogFilter, needles: &[String]) -> Result<(), Failure> {
    let finders: Vec<_> = needles.iter().map(memchr::memmem::Finder::new).collect();
    let began = Instant::now();
    let mut file = BufReader::with_capacity(1 << 20, File::open(lines)?);
    let (mut line, mut found) = (Vec::new(), 0);
    while file.read_until(b'\n', &mut line)? > 0 {
        let is_late = || filter.since_us.is_none_or(|since| time_of(&line) >= since);
        found += usize::from(finders.iter().all(|finder| finder.find(&line).is_some()) && is_late());
        line.clear();
    }
    println!("  line by line: {found} found in {:.1} ms", ms(began.elapsed()));
    Ok(())
}

fn time_of(line: &[u8]) -> u64 {
    let digits = line.iter().skip(8).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |time, digit| time * 10 + u64::from(digit - b'0'))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
