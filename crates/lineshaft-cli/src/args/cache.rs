//! Looking at the engine's cache, and making what is in it untrue.

use clap::{Args, Subcommand};

/// Says how full the cache is, unless it is told to do something with it.
#[derive(Args, Debug)]
pub struct Cache {
    /// What to do; without it the cache is shown.
    #[command(subcommand)]
    pub verb: Option<CacheVerb>,
}

/// What to do with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheVerb {
    /// Make values untrue by their names, or by tags: whoever asks for them next computes them
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["keys", "tags"]))]
    Invalidate {
        /// Their names, as `app.cache` has them
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        /// A tag, of cached functions too; more than once for more of them
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Make everything in the cache untrue
    Clear {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}
