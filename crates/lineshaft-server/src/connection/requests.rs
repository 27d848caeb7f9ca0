//! What becomes of each frame: nearly everything goes to the engine as it is.

use lineshaft_engine::ConnectionId;
use lineshaft_wire::frame::Frame;
use lineshaft_wire::message::{Done, Message, ProcessKey, RefusalCode, Refused, Shutdown};
use tokio::io::AsyncRead;

use super::Context;
use super::goodbye::Goodbye;
use super::inbound::Inbound;
use super::outbox::Outbox;
use super::renewals::Renewals;
use super::window::Window;
use crate::stream::Peer;
use crate::watch::{self, Attached, Claim};

/// One connection's way in.
pub(crate) struct Requests<'a> {
    pub(crate) context: &'a Context,
    pub(crate) peer: Peer,
    pub(crate) connection: ConnectionId,
    pub(crate) outbox: &'a Outbox,
    pub(crate) window: &'a Window,
    /// When the leases of the child behind the connection were renewed.
    pub(crate) renewals: Renewals,
    /// The worker process behind the connection, if it is watched.
    pub(crate) attached: Option<Attached>,
}

/// What kind of message a frame holds, as far as answers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    /// Gets one answer, or several: needs a request id.
    Request,
    /// Gets none.
    Notice,
    /// Only servers send it, or it came in the handshake.
    Answer,
}

impl Requests<'_> {
    /// Passes requests on until the peer closes or breaks a rule.
    pub(crate) async fn read_all<R: AsyncRead + Unpin>(&mut self, inbound: &mut Inbound<R>) -> Goodbye {
        loop {
            self.window.has_room().await;
            let handled = match inbound.next().await {
                Ok(frame) => self.handle(frame),
                Err(goodbye) => return goodbye,
            };
            if let Err(goodbye) = handled {
                return goodbye;
            }
        }
    }

    /// Passes on what a peer had sent before it went away: the ends of jobs that it finished count.
    pub(crate) async fn read_rest<R: AsyncRead + Unpin>(&mut self, inbound: &mut Inbound<R>) {
        while !self.window.is_full()
            && let Ok(frame) = inbound.next().await
            && self.handle(frame).is_ok()
        {}
    }

    fn handle(&mut self, frame: Frame) -> Result<(), Goodbye> {
        let request_id = frame.header.request_id;
        let message = match Message::decode(frame.header.kind, &frame.map) {
            Ok(message) => message,
            Err(error) => return self.refuse_or_close(request_id, RefusalCode::BadFrame, error.to_string()),
        };
        let bytes = frame.map.len() + frame.payload.len();
        match sort(&message) {
            Sort::Answer => {
                let text = format!("{} has no place here", message.name());
                return self.refuse_or_close(request_id, RefusalCode::BadRequest, text);
            }
            Sort::Request if request_id == 0 => {
                let text = format!("{} needs a request id other than 0", message.name());
                return Err(Goodbye::tell(RefusalCode::BadRequest, text));
            }
            Sort::Request => self.window.open(request_id, &message, bytes)?,
            Sort::Notice => (),
        }
        self.dispatch(request_id, message, frame.payload);
        Ok(())
    }

    fn dispatch(&mut self, request_id: u64, mut message: Message, payload: bytes::Bytes) {
        match &message {
            Message::Shutdown(shutdown) => return self.shut_down(request_id, *shutdown),
            Message::Unwait(unwait) => self.window.close(unwait.request),
            Message::Renew(_) => return self.renew(request_id, message, payload),
            _ => (),
        }
        let Some(process) = process_of(&message) else {
            return self.forward(request_id, message, payload);
        };
        match watch::check(self.peer, process) {
            Claim::False(text) => self.refuse(request_id, RefusalCode::BadRequest, text),
            claim => {
                if let (Claim::Unproven, Message::AttachChild(attach)) = (&claim, &mut message) {
                    // Perhaps a process of another host: after a restart the engine must not look for it here.
                    attach.process = ProcessKey::default();
                }
                self.forward(request_id, message, payload);
                self.renewals.sent();
                let watched = (claim == Claim::Proven).then(|| self.context.watch.begin(process));
                self.attached = watched.flatten();
            }
        }
    }

    /// A renewal that the engine does not hear because it waits for its disk is answered in its place.
    fn renew(&mut self, request_id: u64, message: Message, payload: bytes::Bytes) {
        if request_id != 0 && self.renewals.outlast(&self.context.engine) {
            self.outbox.push(request_id, Done {});
            return self.forward(0, message, payload);
        }
        self.forward(request_id, message, payload);
        self.renewals.sent();
    }

    fn forward(&self, request_id: u64, message: Message, payload: bytes::Bytes) {
        self.context.pass_on(self.connection, request_id, message, payload);
    }

    fn shut_down(&self, request_id: u64, shutdown: Shutdown) {
        if shutdown.on_demand_only && !self.context.facts.on_demand {
            let pid = self.context.facts.pid;
            let text = format!("process {pid} was started by hand, not on demand");
            return self.refuse(request_id, RefusalCode::WrongState, text);
        }
        self.outbox.push(request_id, Done {});
        self.context.shutdown.notify_one();
    }

    fn refuse(&self, request_id: u64, code: RefusalCode, message: String) {
        self.outbox.push(request_id, Refused { code, message, hint: None });
    }

    /// The frame's borders are sound, so only what it asked for is refused; without an id there is nobody to tell.
    fn refuse_or_close(&self, request_id: u64, code: RefusalCode, message: String) -> Result<(), Goodbye> {
        if request_id == 0 {
            return Err(Goodbye::tell(code, message));
        }
        self.refuse(request_id, code, message);
        Ok(())
    }
}

fn process_of(message: &Message) -> Option<ProcessKey> {
    match message {
        Message::AttachWorker(attach) => Some(attach.process),
        Message::AttachChild(attach) => Some(attach.process),
        _ => None,
    }
}

fn sort(message: &Message) -> Sort {
    match message {
        Message::Credit(_) | Message::Renew(_) | Message::Progress(_) | Message::Unwait(_) => Sort::Notice,
        Message::Hello(_)
        | Message::Welcome(_)
        | Message::Refused(_)
        | Message::Done(_)
        | Message::Enqueued(_)
        | Message::Ended(_)
        | Message::Shown(_)
        | Message::Fetched(_)
        | Message::Page(_)
        | Message::Changed(_)
        | Message::StatusReport(_)
        | Message::Described(_)
        | Message::Tasks(_)
        | Message::FilesHeld(_)
        | Message::WorkerAttached(_)
        | Message::ChildAttached(_)
        | Message::Leases(_)
        | Message::Finished(_)
        | Message::Stop(_)
        | Message::Acquired(_)
        | Message::LocksLost(_)
        | Message::Locks(_)
        | Message::LocksBroken(_)
        | Message::Passed(_)
        | Message::CacheFound(_)
        | Message::Logs(_) => Sort::Answer,
        Message::Ping(_)
        | Message::Enqueue(_)
        | Message::Wait(_)
        | Message::Show(_)
        | Message::Fetch(_)
        | Message::List(_)
        | Message::Cancel(_)
        | Message::Retry(_)
        | Message::Delete(_)
        | Message::Invalidate(_)
        | Message::ChangeQueue(_)
        | Message::Status(_)
        | Message::Describe(_)
        | Message::ListTasks(_)
        | Message::HoldFiles(_)
        | Message::KeepFiles(_)
        | Message::Shutdown(_)
        | Message::AttachWorker(_)
        | Message::AttachChild(_)
        | Message::Finish(_)
        | Message::Checkpoint(_)
        | Message::Release(_)
        | Message::ChildEnded(_)
        | Message::Acquire(_)
        | Message::RenewLocks(_)
        | Message::ReleaseLocks(_)
        | Message::ListLocks(_)
        | Message::BreakLocks(_)
        | Message::Pass(_)
        | Message::CacheGet(_)
        | Message::CacheSet(_)
        | Message::CacheInvalidate(_)
        | Message::AddLogs(_)
        | Message::ListLogs(_)
        | Message::ProfileNext(_) => Sort::Request,
    }
}
