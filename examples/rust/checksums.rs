//! Checksums of files: durable jobs, run in parallel, by this program or by any worker of the same home.
//!
//! ```text
//! checksums work            runs jobs until Ctrl-C
//! checksums sum FILE...     makes a job for each file and prints the results as they come
//! ```
//!
//! The home is `LINESHAFT_URL`, or `.lineshaft` here.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use lineshaft::task::{Error, Result};
use lineshaft::{Client, Context, Worker};

/// What Python knows as the dataclass `files.Checksum`.
#[lineshaft::value("files.Checksum")]
struct Checksum {
    path: String,
    bytes: u64,
    crc32: u32,
}

#[lineshaft::task(
    name = "files.checksum",
    aliases = ["files.crc32"],
    queue = "files",
    priority = "low",
    retries = 2,
    retry(first = "100ms", cap = "10s"),
    timeout = "10m",
    deadline = "7d",
    unique = "args",
    tags = ["files"]
)]
fn checksum(ctx: &Context, path: String, #[default = 1 << 20] block: usize) -> Result<Checksum> {
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Error::discard(format!("{path} is not there")));
        }
        opened => opened?,
    };
    let mut buffer = vec![0; block];
    let (mut bytes, mut crc) = (0, u32::MAX);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            writeln!(ctx.output(), "{bytes} bytes")?;
            return Ok(Checksum { path, bytes, crc32: !crc });
        }
        if ctx.is_cancelled() {
            return Err(Error::new("stopped half-way"));
        }
        bytes += count as u64;
        crc = buffer[..count].iter().fold(crc, |crc, byte| update(crc, *byte));
        ctx.progress(&bytes)?;
    }
}

/// The CRC-32 of zip and zlib, one byte further.
fn update(crc: u32, byte: u8) -> u32 {
    (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let home = std::env::var("LINESHAFT_URL").unwrap_or_else(|_| ".lineshaft".to_owned());
    let client = Client::connect(home).await?;
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("work") => Worker::new(&client).task(checksum::TASK).queues(["files"]).slots(8).run().await?,
        Some("sum") => sum(&client, words).await?,
        _ => return Err(Error::new("usage: checksums work | sum FILE...")),
    }
    Ok(())
}

async fn sum(client: &Client, files: impl Iterator<Item = String>) -> Result<()> {
    let of_user = std::env::var("USER").unwrap_or_default();
    let calls = files.map(|path| checksum::call(path, 1 << 16).metadata(&of_user));
    let mut completed = client.as_completed(client.enqueue_many(calls).await?);
    while let Some(ended) = completed.next().await {
        let (_, result) = ended?;
        match result {
            Ok(Checksum { path, bytes, crc32 }) => writeln!(io::stdout(), "{crc32:08x} {bytes} {path}")?,
            Err(error) => writeln!(io::stdout(), "{error}")?,
        }
    }
    Ok(())
}
