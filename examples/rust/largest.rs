//! One function and two ways to do its work, of which the faster is found out together with the programs of the home, in
//! Python too, that know it as `orders.largest`.
//!
//! Each line of the input is a number. Of so many orders the largest is looked for, and what is known of both ways then is
//! written. The home is `LINESHAFT_URL`, or `.lineshaft` here.

use std::io::{self, Write};

use lineshaft::Client;
use lineshaft::task::{Error, Result};

fn by_sort(orders: &[u64]) -> Option<u64> {
    let mut sorted = orders.to_vec();
    sorted.sort_unstable();
    sorted.last().copied()
}

#[lineshaft::alternatives(by_sort, name = "orders.largest")]
fn largest(orders: &[u64]) -> Option<u64> {
    orders.iter().copied().max()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let home = std::env::var("LINESHAFT_URL").unwrap_or_else(|_| ".lineshaft".to_owned());
    let client = Client::connect(home).await?;
    largest_alternatives().share(&client);
    for line in io::stdin().lines() {
        let count: u64 = line?.trim().parse().map_err(|_| Error::new("a line is a number"))?;
        let orders: Vec<u64> = (0..count).map(|number| number * 7_919 % 1_009).collect();
        let found = largest(&orders);
        writeln!(io::stdout(), "{found:?}\n{}\n", largest_alternatives().explain())?;
    }
    Ok(())
}
