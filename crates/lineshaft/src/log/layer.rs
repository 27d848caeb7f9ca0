//! Events of `tracing` in the bodies of tasks.

use std::sync::Arc;

use lineshaft_log::{Pipeline, Pushed, Record, overlaid, tracing_layer_to};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::Logged;
use crate::Context;

/// A layer that logs events to a pipeline, as [`lineshaft_log::tracing_layer`] does. What the body of a task logs is kept
/// with its job as well, for [`Job::logs`](crate::Job::logs) and `lineshaft logs`, without what is secret: what passes the
/// pipeline's gate, whatever handlers there are. Each such record carries `job`, `attempt`, `task` and `worker`, and below
/// its own fields those of the job's context.
///
/// ```no_run
/// # fn example(pipeline: std::sync::Arc<lineshaft::log::Pipeline>) {
/// use tracing_subscriber::layer::SubscriberExt;
/// use tracing_subscriber::util::SubscriberInitExt;
///
/// tracing_subscriber::registry().with(lineshaft::log::tracing_layer(pipeline)).init();
/// # }
/// ```
pub fn tracing_layer<S>(pipeline: Arc<Pipeline>) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let gate = Arc::clone(pipeline.gate());
    tracing_layer_to(gate, move |mut record| {
        if let Some(context) = Context::current()
            && let Some(logged) = context.logged()
        {
            keep(logged, &pipeline, &mut record);
        }
        if let Pushed::Full(record) = pipeline.push(record) {
            pipeline.push_waiting(*record);
        }
    })
}

fn keep(logged: &Logged, pipeline: &Pipeline, record: &mut Record) {
    let own = std::mem::take(&mut record.fields);
    record.fields = overlaid(overlaid(logged.context_fields().clone(), &own), logged.fields());
    let mut kept = record.clone();
    pipeline.redact(&mut kept);
    if let Some(unkept) = logged.keep(&kept) {
        logged.wait(unkept);
    }
}
