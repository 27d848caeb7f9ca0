//! The command from outside: what it prints, where, and how it ends.

mod backup;
mod bench;
mod changes;
mod command;
mod completions;
mod configuration;
mod doctor;
mod exits;
mod explain;
mod following;
mod hand_over;
mod hostile;
mod lists;
mod on_demand;
mod pythons;
mod reference;
mod server_log;
mod store;
mod streams;
mod torture;
mod verbs;
