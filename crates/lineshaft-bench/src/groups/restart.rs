//! How long a server that was killed with a million jobs queued takes until it serves again.

use std::time::Instant;

use super::Group;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::load::Jobs;
use crate::server::Server;

const RESTART: &str = "restart_1m_s";
const MILLION: usize = 1_000_000;

pub(super) struct Restart;

impl Group for Restart {
    fn name(&self) -> &'static str {
        "restart"
    }

    fn keys(&self) -> &'static [&'static str] {
        &[RESTART]
    }

    fn room_bytes(&self, _quick: bool) -> u64 {
        1 << 30
    }

    fn measure(&self, bench: &mut Bench<'_>) -> Result<()> {
        let mut server = bench.server(&[])?;
        Jobs::nothing().enqueue(&server.client()?, MILLION)?;
        for round in 1..=bench.scale.long_rounds {
            bench.round(self.name(), round, bench.scale.long_rounds);
            server.kill();
            let began = Instant::now();
            server.start_again()?;
            let queues = Server::status(&server.client()?)?.queues;
            let seconds = began.elapsed().as_secs_f64();
            let queued: u64 = queues.iter().map(|queue| queue.available).sum();
            if queued != MILLION as u64 {
                return Err(Error::Wrong(format!("{queued} of {MILLION} jobs are queued after the kill")));
            }
            bench.add(RESTART, seconds);
        }
        bench.put_away(server);
        Ok(())
    }
}
