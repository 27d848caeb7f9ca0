//! A cable between a worker and the address of its server, which tests cut and hold.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Takes connections for a server until the test ends.
pub(super) struct Cable {
    address: String,
    state: Arc<State>,
}

struct State {
    server: String,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
    is_cut: AtomicBool,
    /// What goes to the server waits.
    is_held: AtomicBool,
    /// Connections that reached the server.
    made: AtomicUsize,
    /// Bytes that went to the server.
    sent: AtomicUsize,
}

impl Cable {
    /// To the server at `HOST:PORT`.
    pub(super) fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = State {
            server,
            open: Mutex::default(),
            is_cut: AtomicBool::new(false),
            is_held: AtomicBool::new(false),
            made: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
        };
        let state = Arc::new(state);
        let for_thread = Arc::clone(&state);
        thread::spawn(move || listener.incoming().flatten().for_each(|worker| for_thread.join(worker)));
        Self { address, state }
    }

    /// Where workers connect.
    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// Breaks every connection, and those that come until it is [mended](Self::mend).
    pub(super) fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        for stream in self.state.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// Keeps what goes to the server, or lets it through.
    pub(super) fn hold(&self, is_held: bool) {
        self.state.is_held.store(is_held, Ordering::SeqCst);
    }

    pub(super) fn made(&self) -> usize {
        self.state.made.load(Ordering::SeqCst)
    }

    pub(super) fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }
}

impl State {
    fn join(self: &Arc<Self>, worker: TcpStream) {
        // Under the lock, so that none is made while all are broken.
        let mut open = self.open.lock().unwrap();
        if self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        self.made.fetch_add(1, Ordering::SeqCst);
        let copy = |stream: &TcpStream| stream.try_clone().unwrap();
        open.extend([copy(&worker), copy(&server)]);
        let (up, down) = ((copy(&worker), copy(&server)), (server, worker));
        let state = Arc::clone(self);
        thread::spawn(move || state.pass_up(up.0, up.1));
        thread::spawn(move || pass(down.0, down.1, |_| {}));
    }

    fn pass_up(&self, worker: TcpStream, server: TcpStream) {
        pass(worker, server, |count| {
            while self.is_held.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
            }
            self.sent.fetch_add(count, Ordering::SeqCst);
        });
    }
}

/// Passes bytes on, after `before` has been told how many.
fn pass(mut from: TcpStream, mut to: TcpStream, before: impl Fn(usize)) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        before(count);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
