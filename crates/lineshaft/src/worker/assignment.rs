//! What a supervisor hands to a child: who it is, whom it talks to, and the numbers of the descriptors it inherits.
//!
//! It travels in one environment variable, which the child takes away again so that what it starts is no child too.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Error, Kind};
use crate::Target;

/// The variable that holds the assignment as JSON.
pub(super) const VARIABLE: &str = "LINESHAFT_CHILD";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assignment {
    /// The server.
    pub(super) address: Address,
    /// The child's number within its worker, from 1.
    pub(super) number: u32,
    /// The worker's nonce.
    pub(super) worker: u64,
    /// The worker's name.
    pub(super) worker_name: Arc<str>,
    /// Queues that it serves; empty is all.
    pub(super) queues: Vec<Arc<str>>,
    /// What its slots are; their number is that of the places in the page.
    pub(super) kind: Kind,
    /// Bytes of memory by which it may grow before it takes no more jobs.
    pub(super) growth: Option<u64>,
    /// Process id of the supervisor.
    pub(super) supervisor: u32,
    /// Socket whose other end the supervisor holds.
    pub(super) lifeline: RawFd,
    /// The attempt page.
    pub(super) page: RawFd,
    /// Read end of the pipe that is standard output and error.
    pub(super) output: RawFd,
    /// Where what its attempts log is kept until the server has it.
    pub(super) logs: RawFd,
    /// Where output is repeated.
    pub(super) tee: Option<RawFd>,
}

/// A [`Target`] that crosses an exec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Address {
    Home(PathBuf),
    Socket(PathBuf),
    Tcp { address: String, token: String },
}

impl From<&Target> for Address {
    fn from(target: &Target) -> Self {
        match target {
            Target::Home { home, .. } => Self::Home(home.path().to_owned()),
            Target::Socket(path) => Self::Socket(path.clone()),
            Target::Tcp { address, token } => Self::Tcp { address: address.clone(), token: token.clone() },
        }
    }
}

impl From<&Address> for Target {
    fn from(address: &Address) -> Self {
        match address {
            Address::Home(path) => Self::home(path),
            Address::Socket(path) => Self::Socket(path.clone()),
            Address::Tcp { address, token } => Self::Tcp { address: address.clone(), token: token.clone() },
        }
    }
}

impl Assignment {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an assignment has no value that JSON lacks")
    }

    /// The assignment of this process.
    pub(super) fn from_env() -> Result<Self, Error> {
        let missing = |detail: String| Error::NotAChild { detail };
        let text = std::env::var(VARIABLE).map_err(|_| missing(format!("{VARIABLE} is not set")))?;
        serde_json::from_str(&text).map_err(|error| missing(format!("{VARIABLE} does not read: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_crosses_an_exec_unchanged() {
        let assignment = Assignment {
            address: Address::Tcp { address: "[::1]:7000".into(), token: "secret".into() },
            number: 3,
            worker: u64::MAX,
            worker_name: "host:1".into(),
            queues: vec!["mail".into()],
            kind: Kind::Async,
            growth: Some(1 << 40),
            supervisor: 1,
            lifeline: 3,
            page: 4,
            output: 5,
            logs: 6,
            tee: None,
        };
        assert_eq!(serde_json::from_str::<Assignment>(&assignment.to_json()).unwrap(), assignment);
    }
}
