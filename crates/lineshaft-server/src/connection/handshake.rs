//! Who may talk to the engine: the checks on a connection's first frame.

use std::sync::atomic::Ordering;

use lineshaft_wire::frame::Frame;
use lineshaft_wire::message::{Hello, Message, RefusalCode, Refused};

use super::Context;
use super::goodbye::Goodbye;
use crate::skew;
use crate::stream::Peer;

/// Reads a connection's first frame as a `Hello` that this server accepts.
pub(crate) async fn check(frame: &Frame, peer: Peer, context: &Context) -> Result<Hello, Goodbye> {
    let message = Message::decode(frame.header.kind, &frame.map)
        .map_err(|error| Goodbye::tell(RefusalCode::BadFrame, error.to_string()))?;
    let Message::Hello(mut hello) = message else {
        let text = format!("the first frame must be Hello, not {}", message.name());
        return Err(Goodbye::tell(RefusalCode::BadRequest, text));
    };
    check_token(&hello, peer, context)?;
    check_stopping(context)?;
    // For the engine too: others are here to stay.
    hello.hand_over &= matches!(peer, Peer::Unix { .. }) && gives_way(&hello, context);
    if hello.hand_over {
        hand_over(&hello, context).await?;
    }
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

/// Before the protocol too: whoever comes while a server hands over waits for the next one.
fn check_stopping(context: &Context) -> Result<(), Goodbye> {
    if context.stopping.load(Ordering::Acquire) {
        return Err(Goodbye::tell(RefusalCode::ShuttingDown, "the server is stopping"));
    }
    Ok(())
}

/// Whether this server is one that gives way to that of a newer client.
fn gives_way(hello: &Hello, context: &Context) -> bool {
    context.facts.on_demand && skew::is_older(&context.facts.version, &hello.version)
}

/// Makes room for a newer client's own server, if nobody else needs this one. Who has asked for the same, and for
/// nothing else since, needs it no more than this client does.
async fn hand_over(hello: &Hello, context: &Context) -> Result<(), Goodbye> {
    if !is_idle(context).await {
        return Ok(());
    }
    let (version, newer, pid) = (&context.facts.version, &hello.version, hello.pid);
    tracing::info!(version, newer, pid, "the server hands over to a newer client's");
    context.stopping.store(true, Ordering::Release);
    context.shutdown.notify_one();
    Err(Goodbye::tell(RefusalCode::ShuttingDown, format!("version {version} hands over to version {newer}")))
}

async fn is_idle(context: &Context) -> bool {
    let (sender, idle) = tokio::sync::oneshot::channel();
    context.engine.ask_idle(move |is_idle| {
        let _ = sender.send(is_idle);
    });
    idle.await.unwrap_or(false)
}

fn check_protocol(hello: &Hello, context: &Context) -> Result<(), Goodbye> {
    let (oldest, newest) = hello.protocol;
    if (oldest..=newest).contains(&context.protocol) {
        return Ok(());
    }
    Err(Goodbye::Told(skew::mismatch(hello, &context.facts, context.protocol)))
}
