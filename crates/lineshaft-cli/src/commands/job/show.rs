//! `lineshaft job show`: everything about a job but its result.

use lineshaft::client::Client;
use lineshaft_wire::JobId;
use lineshaft_wire::message::PayloadKind;
use lineshaft_wire::value;

use crate::context::{Context, answer};
use crate::exit::Failure;
use crate::times::now_ms;
use crate::{json, show};

pub(super) fn run(client: &Client, context: &mut Context, id: JobId) -> Result<(), Failure> {
    let shown = answer(client.show(id, None))?;
    let arguments = call_text(client, id);
    let progress = shown.progress.and_then(|progress| value::decode(&progress).ok());
    if context.output.is_json() {
        let mut document = json::of_job(&shown.record);
        document["arguments"] = arguments.into();
        document["progress"] = progress.as_ref().map(json::of_value).into();
        return Ok(context.output.json(&document)?);
    }
    for line in show::job(&shown.record, arguments, progress.as_ref(), now_ms()) {
        context.output.line(line)?;
    }
    Ok(())
}

/// What the job is called with; `None` where that is not kept or does not read.
fn call_text(client: &Client, id: JobId) -> Option<String> {
    let payload = client.fetch(id, PayloadKind::Arguments, None).wait().ok()?;
    Some(value::decode_call(&payload).ok()?.summary(1_000))
}
