//! Bytes that are not the protocol end their own connection, with a reason, and no other.

use std::time::Duration;

use lineshaft_wire::message::{Done, Message, Ping, RefusalCode, Wait};
use serde_bytes::ByteBuf;

use crate::support::{Client, TestServer, enqueue, frame, hello};

/// Sends `bytes` on one connection of two; gives what the connection is told. The other one goes on.
fn check(server: &TestServer, bytes: &[u8], code: RefusalCode, message: &str) {
    let mut neighbour = server.client();
    let mut client = server.client();
    client.send_bytes(bytes);
    let refused = client.closing_refusal();
    assert_eq!((refused.code, refused.message.as_str()), (code, message));
    neighbour.ping();
}

#[test]
fn garbage_ends_its_connection_and_no_other() {
    let server = TestServer::start();
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    check(&server, http, RefusalCode::BadFrame, r#"not a Lineshaft frame: the peer sent "GET / HT""#);
    check(
        &server,
        &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        RefusalCode::BadFrame,
        r#"not a Lineshaft frame: the peer sent "\t\x00\x00\x00\x00\x00\x00\x00""#,
    );
    let mut flags = frame(1, &Ping {}.into(), b"");
    flags[5] = 0x40;
    check(&server, &flags, RefusalCode::BadFrame, "frame has unknown flags 0b01000000");
    let mut map = frame(1, &Ping {}.into(), b"");
    map[16] = 200;
    check(&server, &map, RefusalCode::BadFrame, "message of 200 bytes does not fit a frame of 5 bytes");
}

#[test]
fn a_frame_of_2_gib_is_refused_before_it_comes() {
    let server = TestServer::start();
    let mut bytes = frame(1, &Ping {}.into(), b"");
    bytes[..4].copy_from_slice(&(1u32 << 31).to_le_bytes());
    let message = "frame of 2147483648 bytes is longer than the limit of 75497472 bytes";
    check(&server, &bytes, RefusalCode::TooLarge, message);
}

#[test]
fn garbage_instead_of_hello_is_told_so() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send_bytes(b"SSH-2.0-OpenSSH_9.9\r\n");
    assert_eq!(client.closing_refusal().message, r#"not a Lineshaft frame: the peer sent "SSH-2.0-""#);
}

#[test]
fn half_a_frame_and_then_silence_ends_the_connection() {
    let server = TestServer::start_with(|options| options.limits.frame_stall = Duration::from_millis(100));
    let bytes = frame(1, &enqueue(1, 1000).into(), &[0; 1000]);
    let text = "half a frame came, then nothing for 100ms";
    check(&server, &bytes[..10], RefusalCode::BadFrame, text);
    check(&server, &bytes[..bytes.len() - 1], RefusalCode::BadFrame, text);
}

#[test]
fn silence_between_frames_is_fine() {
    let server = TestServer::start_with(|options| {
        options.limits.frame_stall = Duration::from_millis(50);
        options.limits.handshake = Duration::from_millis(50);
        options.limits.write_stall = Duration::from_millis(50);
    });
    let mut client = server.client();
    std::thread::sleep(Duration::from_millis(300));
    client.ping();
}

#[test]
fn a_slowly_sent_frame_is_fine_as_long_as_something_comes() {
    let server = TestServer::start_with(|options| options.limits.frame_stall = Duration::from_secs(5));
    let mut client = server.client();
    for byte in frame(3, &Ping {}.into(), b"") {
        client.send_bytes(&[byte]);
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(matches!(client.receive(), Some((Message::Done(_), _))));
}

fn refusal_of(client: &mut Client, request_id: u64) -> (RefusalCode, String) {
    let (message, frame) = client.receive().unwrap();
    let Message::Refused(refused) = message else { panic!("{message:?}") };
    assert_eq!(frame.header.request_id, request_id);
    (refused.code, refused.message)
}

#[test]
fn a_request_that_does_not_read_is_refused_and_the_connection_lives() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut unknown = frame(5, &Ping {}.into(), b"");
    unknown[4] = 200;
    client.send_bytes(&unknown);
    assert_eq!(refusal_of(&mut client, 5), (RefusalCode::BadFrame, "frame type 200 is unknown".to_owned()));
    let mut malformed = frame(6, &Ping {}.into(), b"");
    malformed[4] = 10;
    client.send_bytes(&malformed);
    let (code, text) = refusal_of(&mut client, 6);
    assert_eq!(code, RefusalCode::BadFrame);
    assert!(text.starts_with("Enqueue does not read"), "{text}");
    client.send(7, Done {}, b"");
    assert_eq!(refusal_of(&mut client, 7), (RefusalCode::BadRequest, "Done has no place here".to_owned()));
    client.ping();
}

#[test]
fn a_request_without_an_id_ends_the_connection() {
    let server = TestServer::start();
    let bytes = frame(0, &Ping {}.into(), b"");
    check(&server, &bytes, RefusalCode::BadRequest, "Ping needs a request id other than 0");
}

#[test]
fn a_request_id_under_way_cannot_be_used_again() {
    let server = TestServer::start();
    let mut client = server.client();
    let job = client.enqueue(b"");
    client.send(5, Wait { ids: ByteBuf::from(job.to_bytes()), results: false }, b"");
    client.send(5, Ping {}, b"");
    let refused = client.closing_refusal();
    assert_eq!(refused.message, "request id 5 is in use by a request that is not answered yet");
}

#[test]
fn payload_lengths_that_lie_are_refused() {
    let server = TestServer::start();
    let mut client = server.client();
    for (announced, sent) in [(3, 2), (2, 3), (u32::MAX as usize, 1)] {
        let (message, _) = client.call(5, enqueue(1, announced), &vec![0; sent]);
        let Message::Refused(refused) = message else { panic!("{message:?}") };
        assert!(matches!(refused.code, RefusalCode::BadRequest | RefusalCode::TooLarge), "{refused:?}");
    }
    client.enqueue(b"good");
}

/// Every prefix and every single changed byte of a good frame: the server answers or closes, and lives.
#[test]
fn damaged_frames_never_harm_the_server() {
    let server = TestServer::start_with(|options| options.limits.frame_stall = Duration::from_millis(1));
    let good = frame(2, &enqueue(1, 3).into(), b"abc");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut bytes = good.clone();
        let at = (random >> 33) as usize % bytes.len();
        bytes[at] = (random >> 20) as u8;
        bytes.truncate(bytes.len() - (random >> 40) as usize % 3);
        let mut client = server.connect();
        client.send(1, hello(), b"");
        client.send_bytes(&bytes);
        client.try_send(0, Ping {});
        while client.receive().is_some() {}
    }
    server.client().ping();
}
