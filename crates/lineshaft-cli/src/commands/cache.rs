//! `lineshaft cache`: how full the engine's cache is, and making what is in it untrue.

use lineshaft::client::Client;
use lineshaft_wire::message::CacheReport;
use serde_json::json;

use crate::args::{Cache, CacheVerb};
use crate::confirm::confirm;
use crate::context::{Context, answer};
use crate::exit::Failure;
use crate::show;

pub(crate) fn run(cache: Cache, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match cache.verb {
        None => shown(&client, context),
        Some(CacheVerb::Invalidate { keys, tags }) => invalidate(&client, context, keys, tags),
        Some(CacheVerb::Clear { yes }) => clear(&client, context, yes),
    }
}

fn report(client: &Client) -> Result<CacheReport, Failure> {
    Ok(answer(client.status(None))?.cache)
}

fn shown(client: &Client, context: &mut Context) -> Result<(), Failure> {
    let report = report(client)?;
    if context.output.is_json() {
        return Ok(context.output.json(&json!(report))?);
    }
    for line in show::cache(&report) {
        context.output.line(line)?;
    }
    Ok(())
}

fn invalidate(
    client: &Client,
    context: &mut Context,
    keys: Vec<String>,
    tags: Vec<String>,
) -> Result<(), Failure> {
    let (asked, with_tags) = (keys.len() as u64, tags.len() as u64);
    let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
    let there = answer(client.cache_invalidate(texts(keys), texts(tags), false, None))?.jobs;
    if context.output.is_json() {
        context.output.json(&json!({ "keys": there }))?;
    }
    let of_keys = (asked > 0).then(|| format!("{there} of {}", show::count_of(asked, "value")));
    let of_tags = (with_tags > 0).then(|| format!("all with {}", show::count_of(with_tags, "tag")));
    let what: Vec<String> = of_keys.into_iter().chain(of_tags).collect();
    context.output.say(format!("made untrue: {}", what.join(", ")));
    Ok(())
}

fn clear(client: &Client, context: &mut Context, yes: bool) -> Result<(), Failure> {
    let values = show::count_of(report(client)?.entries, "value");
    confirm(context, yes, &format!("make {values} untrue"), "the cache was left as it is")?;
    answer(client.cache_invalidate(Vec::new(), Vec::new(), true, None))?;
    if context.output.is_json() {
        context.output.json(&json!({}))?;
    }
    context.output.say(format!("made untrue: {values}"));
    Ok(())
}
