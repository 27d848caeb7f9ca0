//! A vector that can lie elsewhere while nobody changes it.

use std::fmt;
use std::ops::Deref;

use bytemuck::Pod;
use bytes::Bytes;

use crate::page::Rows;

/// Plain values, in memory of their own or in bytes that somebody else keeps: a mapped file, say.
///
/// They read the same in both places. The first change brings them back into memory, all of them.
#[derive(Clone)]
pub struct ColdVec<T> {
    place: Place<T>,
}

#[derive(Clone)]
enum Place<T> {
    Memory(Vec<T>),
    /// Whole values, aligned.
    Elsewhere(Bytes),
}

impl<T> ColdVec<T> {
    /// No values; allocates nothing.
    pub const fn new() -> Self {
        Self { place: Place::Memory(Vec::new()) }
    }

    /// No values, with memory for so many.
    pub fn with_capacity(values: usize) -> Self {
        Self { place: Place::Memory(Vec::with_capacity(values)) }
    }

    /// Whether they lie elsewhere.
    #[inline]
    pub const fn is_cold(&self) -> bool {
        matches!(self.place, Place::Elsewhere(_))
    }
}

impl<T: Pod> ColdVec<T> {
    /// The values for changing them: in memory.
    #[inline]
    pub fn to_mut(&mut self) -> &mut Vec<T> {
        if self.is_cold() {
            self.place = Place::Memory(self.to_vec());
        }
        match &mut self.place {
            Place::Memory(values) => values,
            Place::Elsewhere(_) => unreachable!("it was just brought back"),
        }
    }

    /// What the values are in bytes.
    pub fn as_bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self)
    }

    /// Reads them in `elsewhere` from now on, where the same bytes stand, and gives the memory that they took.
    ///
    /// Panics if that is of another length or not aligned for them.
    pub fn cool(&mut self, elsewhere: Bytes) -> Vec<T> {
        assert_eq!(elsewhere.len(), size_of_val::<[T]>(self), "the same values");
        assert!(bytemuck::try_cast_slice::<u8, T>(&elsewhere).is_ok(), "values lie where they can be read");
        match std::mem::replace(&mut self.place, Place::Elsewhere(elsewhere)) {
            Place::Memory(values) => values,
            Place::Elsewhere(_) => Vec::new(),
        }
    }

    /// The bytes that they lie in, unless in memory.
    pub const fn elsewhere(&self) -> Option<&Bytes> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Elsewhere(bytes) => Some(bytes),
        }
    }
}

impl<T: Pod> Deref for ColdVec<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.place {
            Place::Memory(values) => values,
            Place::Elsewhere(bytes) => bytemuck::cast_slice(bytes),
        }
    }
}

impl<T: Pod> Rows for ColdVec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    /// What is cold stays so.
    fn copied(&self) -> Self {
        let place = match &self.place {
            Place::Memory(values) => Place::Memory(values.copied()),
            Place::Elsewhere(bytes) => Place::Elsewhere(bytes.clone()),
        };
        Self { place }
    }
}

impl<T> Default for ColdVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for ColdVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owned by a vector of `u64`, so that it is aligned.
    fn aligned(bytes: &[u8]) -> Bytes {
        struct Words(Vec<u64>);
        impl AsRef<[u8]> for Words {
            fn as_ref(&self) -> &[u8] {
                bytemuck::cast_slice(&self.0)
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty());
        Bytes::from_owner(Words(words.iter().map(|word| u64::from_ne_bytes(*word)).collect()))
    }

    #[test]
    fn cold_values_read_the_same_and_a_change_brings_them_back() {
        let mut values = ColdVec::with_capacity(4);
        values.to_mut().extend([1_u64, 2, 3]);
        let elsewhere = aligned(values.as_bytes());
        assert_eq!(values.cool(elsewhere.clone()), [1, 2, 3]);
        assert!(values.is_cold());
        assert_eq!((&*values, values.elsewhere()), (&[1, 2, 3][..], Some(&elsewhere)));
        let copy = values.clone();
        values.to_mut()[1] = 7;
        assert_eq!((&*values, &*copy), (&[1, 7, 3][..], &[1, 2, 3][..]));
        assert!(!values.is_cold() && copy.is_cold());
        assert_eq!(aligned(copy.as_bytes()), elsewhere, "what is elsewhere stays as it is");
    }

    #[test]
    #[should_panic(expected = "the same values")]
    fn other_values_are_refused() {
        let mut values = ColdVec::new();
        values.to_mut().push(1_u64);
        values.cool(aligned(&[0; 16]));
    }
}
