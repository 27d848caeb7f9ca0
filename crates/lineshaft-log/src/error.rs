//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Why something cannot be set up as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A filter that does not read.
    #[error("filter {filter:?}: directive {directive:?} at character {position}: {reason}")]
    Directive {
        /// The whole text.
        filter: String,
        /// The directive that does not read.
        directive: String,
        /// Where it begins, counted from 1.
        position: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that a level cannot have.
    #[error("{name:?} is no name of a level")]
    LevelName {
        /// The name.
        name: String,
    },
    /// A template that does not read.
    #[error("template {template:?}: {reason} at character {position}")]
    Template {
        /// The whole text.
        template: String,
        /// Where, counted from 1.
        position: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A pattern that is no regular expression.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An address that does not read.
    #[error("address {address:?}: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header that no request can have.
    #[error("header {name:?}: {reason}")]
    Header {
        /// Its name. Its value may be a secret.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
}
