//! The format of speedscope (<https://www.speedscope.app/file-format-schema.json>): a profile of samples for each track.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Frame, Kind, Profile, Weight};

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: &'a str,
    exporter: &'static str,
    shared: Shared<'a>,
    profiles: Vec<Sampled>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<NamedFrame<'a>>,
}

#[derive(Serialize)]
struct NamedFrame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sampled {
    r#type: &'static str,
    name: String,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

impl Profile {
    /// A file for speedscope, as JSON. Each stack is there once, with all of its time: it says where time went, not when.
    pub fn speedscope(&self, title: &str) -> String {
        let mut frames: BTreeMap<Frame<'_>, usize> = BTreeMap::new();
        let mut tracks: BTreeMap<(&str, Kind), BTreeMap<Vec<Frame<'_>>, Weight>> = BTreeMap::new();
        for (stack, weight) in self.stacks() {
            let calls: Vec<Frame<'_>> = stack.calls.iter().map(|(frame, _)| *frame).collect();
            frames.extend(calls.iter().map(|frame| (*frame, 0)));
            tracks.entry(stack.track).or_default().entry(calls).or_default().add(weight);
        }
        frames.values_mut().enumerate().for_each(|(at, number)| *number = at);
        let profiles = tracks.iter().map(|(track, stacks)| sampled(*track, stacks, &frames)).collect();
        let frames = frames.keys().map(|one| NamedFrame {
            name: one.name,
            file: one.file,
            line: (one.line > 0).then_some(one.line),
        });
        let file = File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            name: title,
            exporter: concat!("lineshaft@", env!("CARGO_PKG_VERSION")),
            shared: Shared { frames: frames.collect() },
            profiles,
        };
        serde_json::to_string(&file).expect("numbers and texts can be written")
    }
}

fn sampled(
    (name, kind): (&str, Kind),
    stacks: &BTreeMap<Vec<Frame<'_>>, Weight>,
    frames: &BTreeMap<Frame<'_>, usize>,
) -> Sampled {
    let numbers = |stack: &Vec<Frame<'_>>| stack.iter().map(|frame| frames[frame]).collect();
    let weights: Vec<u64> = stacks.values().map(|weight| weight.wall_ns).collect();
    Sampled {
        r#type: "sampled",
        name: if kind == Kind::Awaiting { format!("awaiting: {name}") } else { name.to_owned() },
        unit: "nanoseconds",
        start_value: 0,
        end_value: weights.iter().fold(0, |sum, one| sum.saturating_add(*one)),
        samples: stacks.keys().map(numbers).collect(),
        weights,
    }
}
