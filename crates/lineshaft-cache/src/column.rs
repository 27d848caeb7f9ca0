//! A property that few caches use: it takes no memory until an entry has it.

/// Values by slot, the default where nothing was set.
#[derive(Debug)]
pub(crate) struct Column<T>(Vec<T>);

impl<T: Copy + Default + PartialEq> Column<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn get(&self, slot: u32) -> T {
        self.0.get(slot as usize).copied().unwrap_or_default()
    }

    /// `len_max` is how many slots there can be, so that the last growth does not reach beyond.
    pub(crate) fn set(&mut self, slot: u32, value: T, len_max: usize) {
        let index = slot as usize;
        if index >= self.0.len() {
            if value == T::default() {
                return;
            }
            grow(&mut self.0, index + 1, len_max);
            self.0.resize(index + 1, T::default());
        }
        self.0[index] = value;
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Vec::new();
    }
}

/// Makes room for `len` elements, an eighth more than there was, and never for more than `len_max`.
pub(crate) fn grow<T>(rows: &mut Vec<T>, len: usize, len_max: usize) {
    if len > rows.capacity() {
        let wanted = (rows.capacity() + rows.capacity() / 8).clamp(16, len_max.max(16)).max(len);
        rows.reserve_exact(wanted - rows.len());
    }
}
