//! One module per command.

pub(crate) mod bench;
pub(crate) mod cache;
pub(crate) mod choice;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod enqueue;
pub(crate) mod explain;
pub(crate) mod job;
pub(crate) mod locks;
pub(crate) mod logs;
pub(crate) mod profile;
pub(crate) mod queue;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod task;
pub(crate) mod torture;
pub(crate) mod worker;
