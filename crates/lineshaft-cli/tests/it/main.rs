//! The command from outside: what it prints, where, and how it ends.

mod command;
mod on_demand;
mod verbs;
