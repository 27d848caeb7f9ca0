use std::io::{Read, Seek};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_log::handler::{Journald, JournaldOptions, Syslog, SyslogAddress, SyslogOptions};
use lineshaft_log::{Error, Format, Handler, Level, LevelNames, Place, Record, Value};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::record;

fn syslog(address: SyslogAddress) -> SyslogOptions {
    let format = Format::template("{logger}: {message} {fields}").expect("a template");
    SyslogOptions { address, facility: 1, name: "shop".to_owned(), format }
}

fn received(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let mut bytes = vec![0; 1 << 20];
    let count = socket.recv(&mut bytes).expect("a datagram");
    String::from_utf8(bytes[..count].to_vec()).expect("a text")
}

fn with_field(level: Level, message: &str) -> Record {
    Record { fields: vec![("to".into(), Value::from("ada"))], ..record(level, message) }
}

#[test]
fn a_daemon_of_this_machine_gets_a_datagram_for_each_record() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("a socket");
    let mut syslog = Syslog::open(syslog(SyslogAddress::Unix(path)), &Arc::default()).expect("it is there");
    let (one, other) = (with_field(Level::WARNING, "sent"), record(Level::INFO, "a\nb"));
    syslog.handle(&[&one, &other]).expect("sent");
    let first = received(&daemon);
    assert!(first.starts_with("<12>Jan  1 ") || first.starts_with("<12>Dec 31 "), "{first}");
    assert!(first.ends_with(" shop[1]: app: sent to=ada"), "{first}");
    assert!(received(&daemon).ends_with(" shop[1]: app: a\\nb "));
}

#[test]
fn a_daemon_that_begins_anew_is_found_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let daemon = UnixDatagram::bind(&path).expect("a socket");
    let mut syslog =
        Syslog::open(syslog(SyslogAddress::Unix(path.clone())), &Arc::default()).expect("it is there");
    drop(daemon);
    std::fs::remove_file(&path).expect("it was there");
    let failure = syslog.handle(&[&record(Level::INFO, "lost for now")]).expect_err("nobody is there");
    assert_eq!((failure.done, failure.refused), (0, 0));
    let daemon = UnixDatagram::bind(&path).expect("a socket");
    syslog.handle(&[&record(Level::INFO, "again")]).expect("sent");
    assert!(received(&daemon).contains("again"));
}

#[test]
fn a_host_gets_the_form_of_rfc_5424_cut_to_what_udp_carries() {
    let host = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    host.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let address = host.local_addr().expect("an address").to_string();
    let mut syslog = Syslog::open(syslog(SyslogAddress::Udp(address)), &Arc::default()).expect("an address");
    syslog
        .handle(&[&with_field(Level::CRITICAL, "fire"), &record(Level::DEBUG, &"x".repeat(5_000))])
        .expect("sent");
    let mut bytes = [0; 4_096];
    let count = host.recv(&mut bytes).expect("a datagram");
    let first = String::from_utf8_lossy(&bytes[..count]).into_owned();
    assert!(first.starts_with("<10>1 1970-01-01T00:00:00.000000Z "), "{first}");
    assert!(first.ends_with(" shop 1 - - app: fire to=ada"), "{first}");
    let count = host.recv(&mut bytes).expect("a datagram");
    assert!(count <= 2_048 && bytes[..count].ends_with("x… [cut]".as_bytes()));
}

#[test]
fn what_is_not_there_is_named() {
    let nowhere = Path::new("/nowhere/log");
    let error =
        Syslog::open(syslog(SyslogAddress::Unix(nowhere.to_owned())), &Arc::default()).expect_err("nothing");
    assert!(error.to_string().starts_with("/nowhere/log: "), "{error}");
    let error =
        Syslog::open(syslog(SyslogAddress::Udp("nowhere".to_owned())), &Arc::default()).expect_err("no port");
    assert!(matches!(error, Error::Address { .. }), "{error}");
    let options = JournaldOptions { path: nowhere.to_owned(), name: "shop".to_owned() };
    assert!(Journald::open(options, &Arc::default()).is_err());
}

#[test]
fn the_journal_gets_every_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let options = JournaldOptions { path, name: "shop".to_owned() };
    let mut journald = Journald::open(options, &Arc::new(LevelNames::default())).expect("it is there");
    let mut sent = with_field(Level::ERROR, "not\nsent");
    sent.fields.push(("message".into(), Value::from(7)));
    sent.place = Some(Place { file: "shop.py".into(), line: 3, function: "send".into() });
    journald.handle(&[&sent]).expect("sent");
    assert_eq!(
        received(&journal),
        "MESSAGE\n\x08\0\0\0\0\0\0\0not\nsent\nPRIORITY=3\nSYSLOG_IDENTIFIER=shop\nLOGGER=app\nLEVEL=error\n\
         THREAD=main\nCODE_FILE=shop.py\nCODE_LINE=3\nCODE_FUNC=send\nTO=ada\nFIELD_MESSAGE=7\n"
    );
}

#[test]
fn what_is_too_long_for_a_datagram_goes_to_the_journal_as_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let journal = UnixDatagram::bind(&path).expect("a socket");
    let options = JournaldOptions { path, name: "shop".to_owned() };
    let mut journald = Journald::open(options, &Arc::default()).expect("it is there");
    let long = "x".repeat(4 << 20);
    journald.handle(&[&record(Level::INFO, &long)]).expect("sent");
    let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&journal, &mut [], &mut control, RecvFlags::empty()).expect("a datagram");
    let Some(RecvAncillaryMessage::ScmRights(mut files)) = control.drain().next() else { panic!("no file") };
    let mut file = std::fs::File::from(files.next().expect("a file"));
    let mut text = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut text).expect("a text");
    assert!(text.starts_with("MESSAGE=xxx") && text.len() > long.len());
    assert!(file.set_len(0).is_err(), "it is sealed");
}
