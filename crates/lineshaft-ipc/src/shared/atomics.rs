//! The atomics of the page: those of the language, or in a build for models those of a checker that tries what the memory
//! model allows.

#[cfg(model)]
pub(super) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};
#[cfg(not(model))]
pub(super) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, fence};
