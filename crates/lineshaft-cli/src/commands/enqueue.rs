//! `lineshaft enqueue`: a job from the command line, or many from standard input.

mod lines;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{JobGroup, OnFailure, Rules, Unique};
use lineshaft_wire::value::{Call, Value, encode_call};
use serde_json::{Value as Json, json};

use super::job::follow;
use crate::args::{Delivery, Enqueue, JobOptions, When};
use crate::context::{Context, answer};
use crate::exit::{Failure, USAGE};
use crate::json::to_value;
use crate::names;

pub(crate) fn run(mut enqueue: Enqueue, context: &mut Context) -> Result<(), Failure> {
    let Some(task) = enqueue.task.take() else { return lines::run(&enqueue.options, context) };
    let call = call(&enqueue)?;
    let payload = encoded(&call)?;
    let wait = enqueue.wait;
    let group = group(&enqueue.options, &task, payload.len())?;
    let client = context.client()?;
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

fn group(options: &JobOptions, task: &str, payload_bytes: usize) -> Result<JobGroup, Failure> {
    let length =
        u32::try_from(payload_bytes).map_err(|_| Failure::new(USAGE, "the arguments are too large"))?;
    let rules = Rules {
        max_attempts: options.retries + 1,
        timeout_ms: options.timeout.0.map(millis),
        backoff_first_ms: millis(options.retry_first),
        // A later first wait alone moves the longest one.
        backoff_max_ms: millis(options.retry_cap.max(options.retry_first)),
        at_most_once: options.delivery == Delivery::AtMostOnce,
        keep_result: !options.no_result,
        on_failure: options.on_failure.as_deref().map(handler),
        ..Rules::default()
    };
    Ok(JobGroup {
        task: Arc::from(task),
        queue: Arc::from(options.queue.as_str()),
        priority: options.priority,
        rules: Arc::new(rules),
        run_after: options.run_after.map(When::ahead),
        expires: options.expires.map(When::ahead),
        deadline: options.deadline.map(When::ahead),
        unique: unique(options, task),
        idempotency_key: options.idempotency_key.as_deref().map(Arc::from),
        tags: options.tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
        metadata: options.metadata.as_deref().map(Arc::from),
        lengths: vec![length],
    })
}

/// What is made of a job that gives up: of the task only its name is known here.
fn handler(task: &str) -> Arc<OnFailure> {
    Arc::new(OnFailure {
        task: Arc::from(task),
        queue: Arc::from("default"),
        priority: 5,
        expires_ms: None,
        deadline_ms: None,
        tags: Vec::new(),
        rules: Arc::default(),
        version: 1,
    })
}

/// A key counts for its task, as the keys do that Python computes from arguments.
fn unique(options: &JobOptions, task: &str) -> Option<Unique> {
    let key = options.unique.as_deref()?;
    Some(Unique {
        key: format!("{task}:{key}").into(),
        while_: options.unique_while.into(),
        period_ms: options.unique_period.map(millis),
    })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_quotes_is_told_how_to_be_text() {
        let failure = argument("a.png").unwrap_err();
        assert!(failure.message.starts_with("argument \"a.png\" is not JSON: "), "{}", failure.message);
        assert_eq!(failure.hint.unwrap(), "text needs quotes of its own: '\"a.png\"'");
        assert_eq!(argument("\"a.png\"").unwrap(), Value::from("a.png"));
    }

    fn rules(line: &str) -> Arc<Rules> {
        use clap::Parser;
        let arguments = crate::args::Arguments::parse_from(line.split_whitespace());
        let crate::args::Command::Enqueue(enqueue) = arguments.command else { panic!("{line}") };
        group(&enqueue.options, "send", 5).unwrap().rules
    }

    #[test]
    fn options_are_the_rules_of_the_job() {
        assert_eq!(*rules("lineshaft enqueue send"), Rules::default());
        let waits =
            rules("lineshaft enqueue send --retries 3 --retry-first 5s --retry-cap 1m --timeout none");
        let expected = Rules {
            max_attempts: 4,
            timeout_ms: None,
            backoff_first_ms: 5_000,
            backoff_max_ms: 60_000,
            ..Rules::default()
        };
        assert_eq!(*waits, expected);
        assert_eq!(rules("lineshaft enqueue send --retry-first 1h").backoff_max_ms, 3_600_000);
        let once = rules("lineshaft enqueue send --delivery at_most_once --no-result --on-failure tell");
        assert_eq!((once.at_most_once, once.keep_result), (true, false));
        assert_eq!(once.handlers().map(|handler| &*handler.task).collect::<Vec<_>>(), ["tell"]);
    }

    #[test]
    fn keyword_arguments_are_an_object() {
        let keywords = |text| keywords(Some(text));
        assert_eq!(keywords("{\"n\": 1}").unwrap(), [("n".into(), Value::Int(1))]);
        assert_eq!(keywords("[1]").unwrap_err().message, "option `--kwargs`: \"[1]\" is not a JSON object");
        assert!(keywords("{").unwrap_err().message.contains("is not JSON: EOF"));
    }
}
