//! The connection itself: who speaks with whom, what is refused, and where a request stands in its session.

use std::ops::Not;

use serde::{Deserialize, Serialize};

/// Who connects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest and newest protocol understood.
    pub protocol: (u16, u16),
    /// Product version.
    pub version: String,
    /// The connecting program.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// The session to go on with.
    pub session: Option<u64>,
    /// Opens a new session if `session` is `None` or not known any more; mutating requests need one.
    pub open_session: bool,
    /// The home's token or an API key; only on TCP.
    pub token: Option<String>,
    /// Asks an older server to hand over: if it was started on demand and has nothing to do, it ends instead of
    /// welcoming a newer client, which starts its own. Only on the Unix socket.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub hand_over: bool,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol of this connection.
    pub protocol: u16,
    /// Product version.
    pub version: String,
    /// The server's executable.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// The home it serves.
    pub home: String,
    /// Started by a client's first call rather than by hand.
    pub on_demand: bool,
    /// The engine's epoch; another one means that it restarted.
    pub epoch: u64,
    /// The session, if one was asked for.
    pub session: Option<u64>,
    /// Bytes of one frame.
    pub frame_bytes_max: u32,
    /// Bytes of one payload.
    pub payload_bytes_max: u64,
    /// Mutating requests that may be unanswered at once.
    pub window: u64,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The bytes are not the protocol's.
    BadFrame,
    /// The request makes no sense as it stands.
    BadRequest,
    /// No common protocol.
    VersionMismatch,
    /// The token is missing or wrong.
    NotAuthorised,
    /// No such job.
    JobNotFound,
    /// The job ended, but its result is no longer kept.
    ResultExpired,
    /// The job is in a state that does not allow it.
    WrongState,
    /// A table of the engine is full.
    QueueFull,
    /// The disk is full.
    StoreFull,
    /// Nobody can say any more whether the request was carried out.
    OutcomeUnknown,
    /// A payload, name or number over its limit.
    TooLarge,
    /// The connection read too slowly for what it asked for.
    TooSlow,
    /// The server is stopping.
    ShuttingDown,
    /// The engine failed; the server's log says more.
    Internal,
    /// Some of those who hold locks would wait for each other for ever.
    Deadlock,
}

/// A request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// What happened and to what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Keeps session and connection alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ping {}

/// It was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {}

/// Place of a mutating request in its session; repeated unchanged when the request is resent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The request's number in its session, from 1.
    pub number: u64,
    /// The lowest number that the client still waits for; older outcomes are forgotten.
    pub lowest: u64,
}
