//! Where pages of jobs lie that left an engine's memory: somewhere else in this process, counted, and refused now and
//! then if a test wants that.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lineshaft_engine::Scratch;

/// A scratch in memory.
#[derive(Debug)]
pub struct MemoryScratch {
    rng: Mutex<fastrand::Rng>,
    fails_one_in: AtomicU32,
    frames_max: AtomicUsize,
    puts: AtomicUsize,
    frames: Arc<AtomicUsize>,
    frames_at_shrink: AtomicUsize,
}

impl MemoryScratch {
    /// One that takes everything.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            fails_one_in: AtomicU32::new(0),
            frames_max: AtomicUsize::new(usize::MAX),
            puts: AtomicUsize::new(0),
            frames: Arc::default(),
            frames_at_shrink: AtomicUsize::new(usize::MAX),
        }
    }

    /// From now on it takes nothing, as if its disk was full, one time in so many; never if that is 0.
    pub fn fail_one_in(&self, times: u32) {
        self.fails_one_in.store(times, Relaxed);
    }

    /// From now on it takes nothing while it has so much.
    pub fn take_at_most(&self, frames: usize) {
        self.frames_max.store(frames, Relaxed);
    }

    /// How often something was put.
    pub fn puts(&self) -> usize {
        self.puts.load(Relaxed)
    }

    /// What was put and is not dropped.
    pub fn frames(&self) -> usize {
        self.frames.load(Relaxed)
    }

    /// The same when space was last given back; `usize::MAX` before.
    pub fn frames_at_shrink(&self) -> usize {
        self.frames_at_shrink.load(Relaxed)
    }

    fn fails(&self) -> bool {
        let times = self.fails_one_in.load(Relaxed);
        times > 0 && self.rng.lock().unwrap_or_else(PoisonError::into_inner).u32(..times) == 0
    }
}

impl Scratch for MemoryScratch {
    fn put(&self, bytes: &[u8]) -> io::Result<Bytes> {
        if self.fails() || self.frames() >= self.frames_max.load(Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.puts.fetch_add(1, Relaxed);
        self.frames.fetch_add(1, Relaxed);
        Ok(Bytes::from_owner(Frame::new(bytes, Arc::clone(&self.frames))))
    }

    fn shrink(&self) -> io::Result<()> {
        self.frames_at_shrink.store(self.frames(), Relaxed);
        Ok(())
    }
}

/// Bytes that are aligned to 8.
struct Frame {
    words: Vec<u64>,
    length: usize,
    frames: Arc<AtomicUsize>,
}

impl Frame {
    fn new(bytes: &[u8], frames: Arc<AtomicUsize>) -> Self {
        let mut words = vec![0; bytes.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, length: bytes.len(), frames }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.frames.fetch_sub(1, Relaxed);
    }
}
