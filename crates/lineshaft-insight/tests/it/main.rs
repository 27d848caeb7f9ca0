//! Choices among implementations whose run times are drawn, and profiles of stacks that are.

mod choices;
mod habits;
mod profile_views;
mod profiles;
