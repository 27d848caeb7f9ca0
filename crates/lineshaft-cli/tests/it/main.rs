//! The command from outside: what it prints, where, and how it ends.

mod changes;
mod command;
mod completions;
mod configuration;
mod exits;
mod hand_over;
mod on_demand;
mod reference;
mod streams;
mod verbs;
