//! Profiles of attempts, in whatever language their bodies are: which are made, and how each is kept with what its attempt
//! has logged.
//!
//! [`Which`] decides, one for each task; [`SlowWatch`] finds the attempts that run for long. [`Whose`] makes a record of a
//! profile. Who looks at bodies of Rust is [`Profiling`]; who does at those of Python is the extension.

mod native;
mod places;
mod record;
mod slow;
mod which;

pub use native::Profiling;
pub use record::Whose;
pub use slow::{Followed, SlowWatch};
pub use which::{Which, Why};
