//! `lineshaft enqueue`: a job from the command line, or many from standard input.

mod declarations;
mod lines;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::value::{Call, Value, encode_call};
use serde_json::{Value as Json, json};

use self::declarations::Declarations;
use super::job::follow;
use crate::args::Enqueue;
use crate::context::{Context, answer};
use crate::exit::{Failure, USAGE};
use crate::json::to_value;
use crate::names;

pub(crate) fn run(mut enqueue: Enqueue, context: &mut Context) -> Result<(), Failure> {
    let Some(task) = enqueue.task.take() else { return lines::run(&enqueue.options, context) };
    let call = call(&enqueue)?;
    let payload = encoded(&call)?;
    let wait = enqueue.wait;
    let mut declarations = Declarations::new(context.client()?);
    let group = declarations.group(&enqueue.options, &task, payload.len(), context)?;
    let client = declarations.client;
    let jobs = answer(client.enqueue(vec![group], vec![payload], None))?;
    let Some(id) = jobs.ids.first().copied() else { return Ok(()) };
    names::question_task(&task, &client, context);
    if let Some(patience) = wait {
        context.output.say(format!("job {id}"));
        return follow(&client, context, id, patience);
    }
    say_new(context, id, jobs.existing.is_empty())
}

/// The id of a new job, or of the one that was there already.
fn say_new(context: &mut Context, id: JobId, is_new: bool) -> Result<(), Failure> {
    if context.output.is_json() {
        return Ok(context.output.json(&json!({ "id": id.to_string(), "new": is_new }))?);
    }
    Ok(context.output.line(id.to_string())?)
}

fn encoded(call: &Call) -> Result<Bytes, Failure> {
    let payload = encode_call(call);
    payload.map(Bytes::from).map_err(|error| Failure::new(USAGE, format!("the arguments: {error}")))
}

fn call(enqueue: &Enqueue) -> Result<Call, Failure> {
    let positional: Result<Vec<Value>, Failure> =
        enqueue.arguments.iter().map(|text| argument(text)).collect();
    Ok(Call { positional: positional?, keywords: keywords(enqueue.kwargs.as_deref())? })
}

fn argument(text: &str) -> Result<Value, Failure> {
    let document: Result<Json, _> = serde_json::from_str(text);
    document.map(to_value).map_err(|error| {
        Failure::new(USAGE, format!("argument {text:?} is not JSON: {error}"))
            .hint(format!("text needs quotes of its own: '{}'", Json::from(text)))
    })
}

fn keywords(text: Option<&str>) -> Result<Vec<(Box<str>, Value)>, Failure> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let wrong = |what: String| {
        Failure::new(USAGE, format!("option `--kwargs`: {text:?} is not {what}"))
            .hint(r#"accepted: '{"path": "a.png"}'"#)
    };
    match serde_json::from_str(text) {
        Ok(Json::Object(entries)) => {
            Ok(entries.into_iter().map(|(name, value)| (name.into(), to_value(value))).collect())
        }
        Ok(_) => Err(wrong("a JSON object".into())),
        Err(error) => Err(wrong(format!("JSON: {error}"))),
    }
}
