//! Children for the tests.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child that is killed and reaped with the test.
pub(crate) struct Guard(pub(crate) Child);

impl Guard {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Fails where the test has reaped it already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn sleeper() -> Guard {
    Guard(Command::new("sleep").arg("1000").spawn().unwrap())
}

/// This test binary again, running only the test `name` with `value` in its environment.
pub(crate) fn this_binary(name: &str, value: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD_VALUE, value);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What the parent passed to [`this_binary`]; `None` in the parent, where the child's test has nothing to do.
pub(crate) fn child_value() -> Option<String> {
    std::env::var(CHILD_VALUE).ok()
}

const CHILD_VALUE: &str = "LINESHAFT_IPC_TEST_CHILD";

/// Waits until `condition` holds, at most ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
