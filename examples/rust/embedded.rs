//! One program that is client, worker and engine: durable jobs without anything else to start.
//!
//! Its home is `.lineshaft` here. Kill it between `enqueue` and the result: the next run does the job.

#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use lineshaft::task::Result;
use lineshaft::{Embedded, Worker};

#[lineshaft::task(name = "text.words", retries = 3)]
fn words(text: String) -> usize {
    text.split_whitespace().count()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let engine = Embedded::start(".lineshaft").await?;
    let client = engine.client();
    let worker = Worker::new(client).task(words::TASK).start()?;

    let job = client.enqueue(words::call("to be or not to be".into())).await?; // durable from here on
    println!("{} words", job.result().await?); // 6 words

    worker.stop().await?;
    Ok(engine.stop().await?)
}
