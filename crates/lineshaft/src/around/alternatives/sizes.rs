//! The classes that arguments are of by their sizes.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// What has a size by which calls of a function with alternatives are told apart.
///
/// Texts count their bytes, collections their elements; a type of yours may have one too. Arguments that have none are all
/// alike.
pub trait Measured {
    /// How large it is.
    fn size(&self) -> usize;
}

impl Measured for str {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<T> Measured for [T] {
    fn size(&self) -> usize {
        self.len()
    }
}

impl<T, const N: usize> Measured for [T; N] {
    fn size(&self) -> usize {
        N
    }
}

macro_rules! has_length {
    ($($kind:ty, $($parameter:ident),*;)*) => {
        $(impl<$($parameter),*> Measured for $kind {
            fn size(&self) -> usize {
                self.len()
            }
        })*
    };
}

has_length! {
    String,;
    bytes::Bytes,;
    Vec<T>, T;
    VecDeque<T>, T;
    BinaryHeap<T>, T;
    BTreeSet<T>, T;
    BTreeMap<K, V>, K, V;
    HashSet<T, S>, T, S;
    HashMap<K, V, S>, K, V, S;
}

macro_rules! is_around {
    ($($kind:ty;)*) => {
        $(impl<T: Measured + ?Sized> Measured for $kind {
            fn size(&self) -> usize {
                (**self).size()
            }
        })*
    };
}

is_around! {
    &T;
    Box<T>;
    Rc<T>;
    Arc<T>;
}

impl<T: Measured + ToOwned + ?Sized> Measured for Cow<'_, T> {
    fn size(&self) -> usize {
        (**self).size()
    }
}

/// An argument, whose class the compiler finds: by [`BySize`] what is measured, by [`Alike`] all else.
pub struct Argument<'a, T: ?Sized>(pub &'a T);

/// The class of what is measured.
pub trait BySize {
    /// 0 for what is empty, n for what has less than 2 to the n.
    fn class(&self) -> Option<u32>;
}

impl<T: Measured + ?Sized> BySize for Argument<'_, T> {
    fn class(&self) -> Option<u32> {
        Some(usize::BITS - self.0.size().leading_zeros())
    }
}

/// The class of all that is not.
pub trait Alike {
    /// None.
    fn class(&self) -> Option<u32>;
}

impl<T: ?Sized> Alike for &Argument<'_, T> {
    fn class(&self) -> Option<u32> {
        None
    }
}

#[cfg(test)]
#[allow(clippy::needless_borrow, reason = "without it what has no size has no class either")]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two() {
        for (size, class) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1_000, 10), (1_024, 11)] {
            assert_eq!((&Argument(&vec![0_u8; size])).class(), Some(class));
        }
    }

    #[test]
    fn what_has_no_size_is_alike() {
        struct Opaque;
        let nested: Arc<[&str]> = Arc::from(["a", "b"]);
        assert_eq!((&Argument(&nested)).class(), Some(2));
        assert_eq!((&Argument(&"text")).class(), Some(3));
        assert_eq!(((&Argument(&Opaque)).class(), (&Argument(&7)).class()), (None, None));
    }
}
