//! Who may talk to the engine: the checks on a connection's first frame.

use lineshaft_wire::frame::Frame;
use lineshaft_wire::message::{Hello, Message, PROTOCOL, RefusalCode, Refused};

use super::Context;
use super::goodbye::Goodbye;
use crate::stream::Peer;

/// Reads a connection's first frame as a `Hello` that this server accepts.
pub(crate) fn check(frame: &Frame, peer: Peer, context: &Context) -> Result<Hello, Goodbye> {
    let message = Message::decode(frame.header.kind, &frame.map)
        .map_err(|error| Goodbye::tell(RefusalCode::BadFrame, error.to_string()))?;
    let Message::Hello(hello) = message else {
        let text = format!("the first frame must be Hello, not {}", message.name());
        return Err(Goodbye::tell(RefusalCode::BadRequest, text));
    };
    check_token(&hello, peer, context)?;
    check_protocol(&hello, context)?;
    Ok(hello)
}

/// Before the protocol, since a stranger is told nothing about this server.
fn check_token(hello: &Hello, peer: Peer, context: &Context) -> Result<(), Goodbye> {
    let message = match (peer, hello.token.as_deref()) {
        (Peer::Unix { .. }, _) => return Ok(()),
        (Peer::Tcp(_), Some(token)) if context.token.admits(token) => return Ok(()),
        (Peer::Tcp(_), Some(_)) => "the token is not that of this home",
        (Peer::Tcp(_), None) => "a connection by TCP needs the home's token",
    };
    Err(Goodbye::Told(Refused {
        code: RefusalCode::NotAuthorised,
        message: message.to_owned(),
        hint: Some("it is in the file run/token of the home".to_owned()),
    }))
}

fn check_protocol(hello: &Hello, context: &Context) -> Result<(), Goodbye> {
    let (oldest, newest) = hello.protocol;
    if (oldest..=newest).contains(&PROTOCOL) {
        return Ok(());
    }
    let facts = &context.facts;
    let message = format!(
        "no common protocol: the server ({}, version {}, process {}) speaks {PROTOCOL}, \
         the client ({}, version {}, process {}) speaks {oldest} to {newest}",
        facts.executable, facts.version, facts.pid, hello.executable, hello.version, hello.pid
    );
    let hint = format!("stop the older of the two; the server: lineshaft stop --home {}", facts.home);
    Err(Goodbye::Told(Refused { code: RefusalCode::VersionMismatch, message, hint: Some(hint) }))
}
