//! The state machine against its reference model, against its own journal, and rule by rule.

mod golden;
mod histories;
mod layouts;
mod machine;
mod replay;
mod rules;
mod steps;
mod world;
