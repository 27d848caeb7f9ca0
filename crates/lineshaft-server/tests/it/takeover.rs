//! Two servers and one home.

use lineshaft_server::{Error, ServeOptions};
use lineshaft_wire::message::{Message, RefusalCode, Show, Shutdown};

use crate::support::{Client, OTHER_SERVER, OTHER_SERVER_ON_DEMAND, OtherProcess, TestServer};

#[test]
fn a_second_server_is_refused_and_names_the_first() {
    let home = tempfile::tempdir().unwrap();
    let first = OtherProcess::start(OTHER_SERVER, home.path());
    let error = lineshaft_server::serve(ServeOptions::new(home.path())).unwrap_err();
    assert!(matches!(error, Error::AlreadyServed { pid: Some(pid), .. } if pid == first.pid()), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("by process {}", first.pid())), "{text}");
    Client::connect(home.path()).greeted().ping();
}

#[test]
fn a_server_started_by_hand_takes_over_from_one_started_on_demand() {
    let home = tempfile::tempdir().unwrap();
    let mut first = OtherProcess::start(OTHER_SERVER_ON_DEMAND, home.path());
    let mut client = Client::connect(home.path()).greeted();
    let job = client.enqueue(b"kept");
    let second = TestServer::start_in(home.path(), |_| ());
    assert_eq!(client.closing_refusal().code, RefusalCode::ShuttingDown);
    assert!(first.exited_well());
    let mut client = second.client();
    assert_eq!(client.welcome.as_ref().map(|welcome| welcome.on_demand), Some(false));
    let (message, _) = client.call(2, Show { job }, b"");
    assert!(matches!(message, Message::Shown(_)), "{message:?}");
}

#[test]
fn a_server_started_on_demand_gives_way_to_any_that_is_there() {
    for name in [OTHER_SERVER, OTHER_SERVER_ON_DEMAND] {
        let home = tempfile::tempdir().unwrap();
        let _first = OtherProcess::start(name, home.path());
        let options = ServeOptions { on_demand: true, ..ServeOptions::new(home.path()) };
        let error = lineshaft_server::serve(options).unwrap_err();
        assert!(matches!(error, Error::AlreadyServed { .. }), "{error}");
        Client::connect(home.path()).greeted().ping();
    }
}

#[test]
fn a_server_started_by_hand_is_not_stopped_by_a_request_for_on_demand_ones() {
    let server = TestServer::start();
    let mut client = server.client();
    let (message, _) = client.call(2, Shutdown { on_demand_only: true }, b"");
    let Message::Refused(refused) = message else { panic!("{message:?}") };
    assert_eq!(refused.code, RefusalCode::WrongState);
    client.ping();
}
