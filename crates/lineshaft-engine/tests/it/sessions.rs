//! A session that goes on over another connection.

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Room};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::message::{Hello, Message, RefusalCode};

use crate::crashes::World;
use crate::world::{Mailbox, enqueue, hello};

const OLD: ConnectionId = ConnectionId(1);
const NEW: ConnectionId = ConnectionId(2);

fn world() -> World {
    let mut world = World::open(SimulatedDisk::new()).unwrap();
    for connection in [OLD, NEW] {
        world.core.connected(connection, Mailbox::new());
    }
    world
}

/// Greets with the session; gives the one that the connection has then.
fn greet(world: &mut World, connection: ConnectionId, session: Option<u64>) -> Option<u64> {
    let Message::Hello(any) = hello() else { panic!("no greeting") };
    let answer = world.ask(connection, Hello { session, ..any }.into(), Bytes::new()).unwrap();
    let Message::Welcome(welcome) = answer else { panic!("{answer:?}") };
    welcome.session
}

fn make(world: &mut World, connection: ConnectionId, number: u64) -> Message {
    let (message, payload) = enqueue(number, "shop.send", &[b"one"]);
    world.ask(connection, message, payload).unwrap()
}

fn is_refused(answer: &Message, code: RefusalCode) -> bool {
    matches!(answer, Message::Refused(refused) if refused.code == code)
}

/// A request was sent again over a new connection and refused there, for want of room, so its client made the job under
/// another number. Then the first copy came in over the old connection, and the job was there twice: a refusal is not
/// remembered.
#[test]
fn what_comes_late_over_an_older_connection_is_not_carried_out() {
    let mut world = world();
    let session = greet(&mut world, OLD, None);
    assert_eq!(greet(&mut world, NEW, session), session);
    world.core.set_room(Room::Nothing);
    assert!(is_refused(&make(&mut world, NEW, 1), RefusalCode::StoreFull));
    world.core.set_room(Room::Plenty);
    assert!(matches!(make(&mut world, NEW, 2), Message::Enqueued(_)));
    assert!(is_refused(&make(&mut world, OLD, 1), RefusalCode::OutcomeUnknown));
    assert_eq!(world.core.state().jobs(), 1);
}

/// A client that is not greeted in time connects once more, and its first greeting may be read after the second one.
#[test]
fn a_greeting_alone_takes_no_session_over() {
    let mut world = world();
    let session = greet(&mut world, OLD, None);
    assert_eq!(greet(&mut world, NEW, session), session);
    assert!(matches!(make(&mut world, OLD, 1), Message::Enqueued(_)));
    assert!(matches!(make(&mut world, NEW, 2), Message::Enqueued(_)));
    world.core.disconnected(NEW);
    assert!(
        is_refused(&make(&mut world, OLD, 3), RefusalCode::OutcomeUnknown),
        "also when that one has ended"
    );
}
