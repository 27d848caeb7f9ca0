//! How often something may happen, counted for all programs of a home.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_wire::message::{PASS_NS_MAX, Pass};

use super::Client;
use crate::Error;
use crate::duration::parse_duration;

/// Lets programs of a home pass no more often than a rate: from [`Client::limiter`]. Turns are taken in the order of
/// coming, spread evenly after a first burst, and counted durably.
#[derive(Clone, Debug)]
pub struct Limiter {
    client: Client,
    pass: Pass,
}

impl Client {
    /// A limiter of a rate such as `"100/m"` or `"5/10s"`; as many at once after a quiet time. `key`, of 1 to 255 bytes
    /// without control characters, is its name everywhere in the home.
    ///
    /// [`Error::BadOption`] for what is no rate.
    pub fn limiter(&self, key: impl Into<Arc<str>>, rate: &str) -> Result<Limiter, Error> {
        let (count, period) = read_rate(rate)?;
        let interval_ns = (period.as_nanos() / u128::from(count)) as u64;
        let pass = Pass { key: key.into(), interval_ns, burst: count, patience_ms: u64::MAX };
        Ok(Limiter { client: self.clone(), pass })
    }
}

impl Limiter {
    /// How many may pass at once after a quiet time: the count of the rate by default.
    #[must_use]
    pub fn burst(mut self, burst: u32) -> Self {
        self.pass.burst = burst;
        self
    }

    /// Takes the next turn, and waits for it under a runtime of tokio. What is dropped while it waits has taken its turn.
    pub async fn acquire(&self) -> Result<(), Error> {
        let passed = self.client.raw().pass(self.pass.clone(), None).await?;
        tokio::time::sleep(Duration::from_nanos(passed.wait_ns)).await;
        Ok(())
    }

    /// Takes a turn that is there within `patience`, and waits for it; else says how long it would be, without one.
    pub async fn acquire_within(&self, patience: Duration) -> Result<Result<(), Duration>, Error> {
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let passed = self.client.raw().pass(Pass { patience_ms, ..self.pass.clone() }, None).await?;
        let wait = Duration::from_nanos(passed.wait_ns);
        if !passed.taken {
            return Ok(Err(wait));
        }
        tokio::time::sleep(wait).await;
        Ok(Ok(()))
    }
}

/// So many in so long a time.
fn read_rate(rate: &str) -> Result<(u32, Duration), Error> {
    let wrong = || Error::BadOption {
        option: "rate".into(),
        value: rate.into(),
        kind: "a rate",
        accepted: "a count and a time as in \"100/m\" or \"5/10s\", whose turns at once come again within a year",
    };
    let (count, period) = rate.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let period = period.trim();
    let text = match period.chars().next() {
        Some('0'..='9') => period.to_owned(),
        Some('a'..='z') => format!("1{period}"),
        _ => return Err(wrong()),
    };
    let period = parse_duration("rate", &text).map_err(|_| wrong())?;
    let is_possible = (u128::from(count)..=u128::from(PASS_NS_MAX)).contains(&period.as_nanos());
    if is_possible { Ok((count, period)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_count_and_a_time() {
        assert_eq!(read_rate("100/m").unwrap(), (100, Duration::from_secs(60)));
        assert_eq!(read_rate(" 5 / 10s ").unwrap(), (5, Duration::from_secs(10)));
        for wrong in [
            "",
            "100",
            "0/s",
            "-1/s",
            "1/",
            "1/.5s",
            "1/fortnight",
            "9999999999/s",
            "2/1ns",
            "1/0s",
            "1/2000d",
        ] {
            let error = read_rate(wrong).unwrap_err();
            assert!(matches!(&error, Error::BadOption { value, .. } if value == wrong), "{wrong}: {error}");
        }
    }
}
