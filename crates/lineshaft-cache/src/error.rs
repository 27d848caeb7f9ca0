//! What can go wrong with a cache.

/// Why an entry was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key would depend on itself.
    #[error("the dependencies of a key come back to it: {}", path.join(" -> "))]
    Cycle {
        /// The keys in a row, each of which depends on the next; the first is also the last.
        path: Vec<String>,
    },
}
