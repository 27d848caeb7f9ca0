//! The atomics of the page: those of the language, or in a build for models those of a checker that tries what the memory
//! model allows.

#[cfg(model)]
pub(super) use self::mortal::{AtomicU8, AtomicU32, AtomicU64};
#[cfg(model)]
pub(super) use loom::sync::atomic::fence;
#[cfg(not(model))]
pub(super) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};

/// The checker's, for writers that may die before any store.
#[cfg(model)]
pub(super) mod mortal {
    use std::cell::Cell;
    use std::panic::resume_unwind;
    use std::sync::atomic::Ordering;

    thread_local! {
        /// Stores before death.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    struct Dead;

    /// Runs `body` on this thread up to its store number `stores`, from 0; whether it came to its end.
    #[cfg(test)]
    pub(in crate::shared) fn dies_after(stores: usize, body: impl FnOnce()) -> bool {
        use std::panic::{AssertUnwindSafe, catch_unwind};
        LEFT.set(Some(stores));
        let result = catch_unwind(AssertUnwindSafe(body));
        LEFT.set(None);
        let Err(end) = result else { return true };
        if end.is::<Dead>() { false } else { resume_unwind(end) }
    }

    /// Runs `body` on this thread without counting its stores: somebody else's.
    #[cfg(test)]
    pub(in crate::shared) fn outlives(body: impl FnOnce()) {
        let left = LEFT.take();
        body();
        LEFT.set(left);
    }

    fn live() {
        match LEFT.get() {
            Some(0) => resume_unwind(Box::new(Dead)),
            left => LEFT.set(left.map(|left| left - 1)),
        }
    }

    macro_rules! mortal {
        ($($name:ident($number:ty)),*) => {$(
            #[derive(Debug)]
            pub(in crate::shared) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code)] // Each has what all of them have.
            impl $name {
                pub(in crate::shared) fn new(value: $number) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(in crate::shared) fn load(&self, order: Ordering) -> $number {
                    self.0.load(order)
                }

                pub(in crate::shared) fn store(&self, value: $number, order: Ordering) {
                    live();
                    self.0.store(value, order);
                }

                pub(in crate::shared) fn fetch_max(&self, value: $number, order: Ordering) -> $number {
                    live();
                    self.0.fetch_max(value, order)
                }

                pub(in crate::shared) fn fetch_add(&self, value: $number, order: Ordering) -> $number {
                    live();
                    self.0.fetch_add(value, order)
                }
            }
        )*};
    }
    mortal!(AtomicU8(u8), AtomicU32(u32), AtomicU64(u64));
}
