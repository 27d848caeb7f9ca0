//! The disk without an engine: what one durable write of 4 KiB takes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// Written ahead, as the segments of a journal are: a file that grows would pay for its metadata too.
const FILE_BYTES: usize = 4 << 20;
const WRITE_BYTES: usize = 4096;

/// A file that is written and synced, block after block, round and round.
#[derive(Debug)]
pub struct Probe {
    file: File,
    writes: u64,
}

impl Probe {
    /// A probe in this directory; its file is made anew.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("probe");
        let make = || -> std::io::Result<File> {
            let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
            file.write_all_at(&vec![0; FILE_BYTES], 0)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(Error::io(format!("write {}", path.display())))?;
        Ok(Self { file, writes: 0 })
    }

    /// One write and its sync.
    pub fn write(&mut self) -> Result<Duration, Error> {
        let block = self.writes % (FILE_BYTES / WRITE_BYTES) as u64;
        self.writes += 1;
        let began = Instant::now();
        self.file
            .write_all_at(&[b'x'; WRITE_BYTES], block * WRITE_BYTES as u64)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::io("write the probe"))?;
        Ok(began.elapsed())
    }

    /// Writes a second, one after the other.
    pub fn per_second(&mut self, span: Duration) -> Result<f64, Error> {
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < span {
            self.write()?;
            count += 1;
        }
        Ok(f64::from(count) / began.elapsed().as_secs_f64())
    }

    /// How long each of `count` writes took, one every `pace`; one that is late is followed at once.
    pub fn paced(&mut self, pace: Duration, count: usize) -> Result<Vec<Duration>, Error> {
        let mut next = Instant::now();
        (0..count)
            .map(|_| {
                next += pace;
                sleep(next.saturating_duration_since(Instant::now()));
                self.write()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_writes_round_and_round_in_its_own_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut probe = Probe::create(directory.path()).unwrap();
        assert!(probe.per_second(Duration::from_millis(20)).unwrap() > 0.0);
        probe.writes = 3 * (FILE_BYTES / WRITE_BYTES) as u64 - 1;
        let times = probe.paced(Duration::from_millis(2), 3).unwrap();
        assert_eq!(times.len(), 3);
        assert_eq!(directory.path().join("probe").metadata().unwrap().len(), FILE_BYTES as u64);
    }

    #[test]
    fn paced_writes_keep_their_pace() {
        let directory = tempfile::tempdir().unwrap();
        let mut probe = Probe::create(directory.path()).unwrap();
        let began = Instant::now();
        probe.paced(Duration::from_millis(10), 5).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(50));
    }
}
