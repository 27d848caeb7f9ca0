//! What caches promise, held against naive models.

mod cache;
mod dependencies;
mod memory;
mod naive;
mod policies;
mod prefixes;
mod tags;
