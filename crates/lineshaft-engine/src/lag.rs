//! When the archive falls behind: leases go at its speed, so that what waits for it stays bounded.
//!
//! A finished job keeps its slot and its payloads in the journal until the archive has it. Once many wait, every job
//! that the archive takes allows one lease, and no other is given until few enough wait again.

/// Who may get leases, by how many finished jobs wait for the archive.
#[derive(Debug)]
pub(crate) struct Lag {
    /// So many may wait before leases are counted; they are until half as many do.
    begins: u32,
    is_behind: bool,
    allowed: u32,
}

impl Lag {
    pub(crate) fn new(begins: u32) -> Self {
        Self { begins, is_behind: false, allowed: 0 }
    }

    /// Whether leases go at the archive's speed now.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// How many leases may be given while `unarchived` finished jobs wait.
    pub(crate) fn allowed(&mut self, unarchived: u32) -> u32 {
        if !self.is_behind && unarchived >= self.begins {
            self.is_behind = true;
            self.allowed = 0;
            tracing::warn!(unarchived, "the archive has fallen behind: jobs start at its speed");
        } else if self.is_behind && unarchived <= self.begins / 2 {
            self.is_behind = false;
            tracing::info!(unarchived, "the archive has caught up");
        }
        if self.is_behind { self.allowed } else { u32::MAX }
    }

    /// So many leases were given.
    pub(crate) fn leased(&mut self, count: u32) {
        self.allowed = self.allowed.saturating_sub(count);
    }

    /// The archive took so many jobs.
    pub(crate) fn archived(&mut self, count: u32) {
        if self.is_behind {
            // Never more than may wait: a long time without work saves nothing up.
            self.allowed = self.allowed.saturating_add(count).min(self.begins);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_counted_from_the_limit_down_to_its_half() {
        let mut lag = Lag::new(100);
        assert_eq!((lag.allowed(99), lag.is_behind()), (u32::MAX, false));
        assert_eq!((lag.allowed(100), lag.is_behind()), (0, true));
        lag.archived(30);
        assert_eq!(lag.allowed(70), 30);
        lag.leased(20);
        assert_eq!(lag.allowed(70), 10);
        assert_eq!((lag.allowed(50), lag.is_behind()), (u32::MAX, false));
        lag.archived(30);
        assert_eq!(lag.allowed(100), 0, "what was archived before counts for nothing");
    }
}
