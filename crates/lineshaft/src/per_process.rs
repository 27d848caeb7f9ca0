//! A value that every process along a line of forks has for itself.

use std::sync::OnceLock;

/// One value per process: what a parent made is never given to its child, which makes one of its own.
///
/// No lock is held while a value is made. A fork copies locks as they are, and one that another thread of the parent
/// holds at that moment is never let go of in the child. So two threads may both make one; the first one stays, the
/// other is dropped. Values of parents are kept, but never touched.
pub(crate) struct PerProcess<T> {
    first: OnceLock<Box<Node<T>>>,
}

struct Node<T> {
    pid: u32,
    value: T,
    next: OnceLock<Box<Node<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { first: OnceLock::new() }
    }

    /// This process's value, made by `make` if there is none.
    pub(crate) fn get_or_try_make<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        let pid = std::process::id();
        match self.find(pid) {
            Some(value) => Ok(value),
            None => make().map(|value| self.publish(pid, value)),
        }
    }

    /// This process's value, the default one if there is none.
    pub(crate) fn get_or_default(&self) -> &T
    where
        T: Default,
    {
        let Ok(value) = self.get_or_try_make(|| Ok::<T, std::convert::Infallible>(T::default()));
        value
    }

    fn find(&self, pid: u32) -> Option<&T> {
        let mut next = &self.first;
        while let Some(node) = next.get() {
            if node.pid == pid {
                return Some(&node.value);
            }
            next = &node.next;
        }
        None
    }

    fn publish(&self, pid: u32, value: T) -> &T {
        let mut made = Box::new(Node { pid, value, next: OnceLock::new() });
        let mut next = &self.first;
        loop {
            match next.set(made) {
                Ok(()) => return &next.get().expect("it was set above").value,
                Err(refused) => made = refused,
            }
            let node = next.get().expect("it refused another one");
            if node.pid == pid {
                return &node.value;
            }
            next = &node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_in_a_process() {
        let values = PerProcess::new();
        assert_eq!(values.get_or_try_make(|| Ok::<_, ()>(1)), Ok(&1));
        assert_eq!(values.get_or_try_make(|| Ok::<_, ()>(2)), Ok(&1));
    }

    #[test]
    fn what_cannot_be_made_is_tried_again() {
        let values = PerProcess::new();
        assert_eq!(values.get_or_try_make(|| Err::<i32, _>("no")), Err("no"));
        assert_eq!(values.get_or_try_make(|| Ok::<_, ()>(2)), Ok(&2));
    }

    #[test]
    fn another_process_has_another_value() {
        let values = PerProcess::new();
        assert_eq!(
            (values.publish(1, 'a'), values.publish(2, 'b'), values.publish(1, 'c')),
            (&'a', &'b', &'a')
        );
        assert_eq!((values.find(1), values.find(2), values.find(3)), (Some(&'a'), Some(&'b'), None));
    }

    #[test]
    fn of_two_that_make_one_at_once_the_first_stays() {
        let values = PerProcess::new();
        let outer = values.get_or_try_make(|| {
            values.get_or_try_make(|| Ok::<_, ()>("inner"))?;
            Ok::<_, ()>("outer")
        });
        assert_eq!(outer, Ok(&"inner"));
    }
}
