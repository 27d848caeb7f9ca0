//! Who may serve a home: the holder of its lock. A server started by hand takes over from one started on demand.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft_engine::{Handle, Opened, ServerFacts};
use lineshaft_ipc::home_socket::is_socket_of;
use lineshaft_wire::frame::{FrameDecoder, FrameError, Header, encode_frame_with};
use lineshaft_wire::message::{Hello, Message, PROTOCOL, RefusalCode, Shutdown};

use crate::home::ServedHome;
use crate::{Error, ServeOptions};

/// How long a server that is asked to give way, or that cannot be reached, may hold the lock.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(20);
/// How long the other server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Opens the engine of `home`, once no other server has it.
pub(crate) fn open_engine(
    home: &ServedHome,
    options: &ServeOptions,
    facts: &ServerFacts,
) -> Result<(Handle, Opened), Error> {
    let deadline = Instant::now() + RELEASE_TIMEOUT;
    loop {
        let error = match lineshaft_engine::open(home.path(), engine_options(options, facts)) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(pid) = lock_holder(&error) else { return Err(named(error, home)) };
        let detail = match ask(home, facts) {
            Answer::Stays(detail) => detail,
            Answer::Leaves | Answer::Silent if Instant::now() < deadline => {
                sleep(RETRY);
                continue;
            }
            Answer::Leaves => "it was asked to stop, but goes on".to_owned(),
            Answer::Silent => "it does not answer".to_owned(),
        };
        return Err(Error::AlreadyServed { home: home.path().to_owned(), pid, detail });
    }
}

/// What an operator of several homes has to know: which disk is full.
fn named(error: lineshaft_engine::Error, home: &ServedHome) -> Error {
    match error {
        lineshaft_engine::Error::Store(source @ lineshaft_store::Error::Full { .. }) => {
            Error::Full { home: home.path().to_owned(), source }
        }
        other => other.into(),
    }
}

fn engine_options(options: &ServeOptions, facts: &ServerFacts) -> lineshaft_engine::Options {
    let mut engine = lineshaft_engine::Options::new(facts.clone());
    engine.durability = options.durability;
    engine.retention = options.retention;
    engine.limits.lease_ms = options.lease.as_millis() as u64;
    engine.clock = options.clock.clone();
    engine.limits.cache_bytes = options.cache_bytes.unwrap_or(engine.limits.cache_bytes);
    engine.memory.page_bytes = options.memory_bytes.unwrap_or(engine.memory.page_bytes);
    engine
}

/// The process that has the lock, if that is what is wrong; the inner `None` is one that is not known.
#[expect(clippy::option_option, reason = "the error is another one, or its holder is not known")]
fn lock_holder(error: &lineshaft_engine::Error) -> Option<Option<u32>> {
    match error {
        lineshaft_engine::Error::Store(lineshaft_store::Error::Locked { pid, .. }) => {
            Some((*pid != 0).then_some(*pid))
        }
        _ => None,
    }
}

/// What the other server says.
enum Answer {
    /// It has begun to stop.
    Leaves,
    /// It goes on.
    Stays(String),
    /// It cannot be reached: it is starting, or stopping.
    Silent,
}

/// Asks the home's server to make room if it was started on demand; one that was itself started on demand only asks
/// whether somebody is there.
fn ask(home: &ServedHome, facts: &ServerFacts) -> Answer {
    match converse(home, facts) {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, "the home's server cannot be asked");
            Answer::Silent
        }
    }
}

fn converse(home: &ServedHome, facts: &ServerFacts) -> io::Result<Answer> {
    let mut rival = Rival::connect(home)?;
    match rival.call(1, &hello(facts).into())? {
        Message::Welcome(welcome) if facts.on_demand => {
            return Ok(Answer::Stays(format!("version {} is ready for clients", welcome.version)));
        }
        Message::Welcome(_) => (),
        Message::Refused(refused) if refused.code == RefusalCode::ShuttingDown => return Ok(Answer::Leaves),
        other => return Ok(Answer::Stays(describe(&other))),
    }
    match rival.call(2, &Shutdown { on_demand_only: true }.into())? {
        Message::Done(_) => Ok(Answer::Leaves),
        other => Ok(Answer::Stays(describe(&other))),
    }
}

fn describe(message: &Message) -> String {
    match message {
        Message::Refused(refused) => refused.message.clone(),
        other => format!("it answers with {}", other.name()),
    }
}

fn hello(facts: &ServerFacts) -> Hello {
    Hello {
        protocol: (PROTOCOL, PROTOCOL),
        version: facts.version.clone(),
        executable: facts.executable.clone(),
        pid: facts.pid,
        session: None,
        open_session: false,
        token: None,
        // For the case that there is no protocol in which to ask for more.
        hand_over: !facts.on_demand,
    }
}

/// A plain blocking connection to the other server.
struct Rival {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Rival {
    fn connect(home: &ServedHome) -> io::Result<Self> {
        let addresses = std::fs::read_to_string(home.run().join("address"))?;
        let named = addresses.lines().next().map(PathBuf::from).unwrap_or_default();
        // Whoever has the lock of a home that was moved listens where the home is now.
        let socket = if is_socket_of(&named, home.path()) { named } else { home.run().join("socket") };
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { stream, decoder: FrameDecoder::default() })
    }

    fn call(&mut self, request_id: u64, message: &Message) -> io::Result<Message> {
        let mut buffer = Vec::new();
        let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
        let write = |buffer: &mut Vec<u8>| {
            message.encode(buffer);
            Ok::<(), FrameError>(())
        };
        encode_frame_with(&mut buffer, header, write, &[]).map_err(io::Error::other)?;
        self.stream.write_all(&buffer)?;
        self.receive()
    }

    fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
                return Message::decode(frame.header.kind, &frame.map).map_err(io::Error::other);
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.push(&bytes[..count]);
        }
    }
}
