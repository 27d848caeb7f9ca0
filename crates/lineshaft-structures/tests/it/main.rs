//! The structures against naive models.

mod paged_vec;
mod sparse_vec;
mod timer_wheel;
mod tracked;
