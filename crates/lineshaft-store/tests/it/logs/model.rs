//! Random histories beside a list of records.

use std::time::Duration;

use lineshaft_store::Home;
use lineshaft_store::logs::{Limits, LogStore};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{JobId, LogFilter, LogPlace, LogRecord};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::support::read;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<LogRecord>),
    Search(LogFilter, usize, bool),
    Reopen,
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "a.b", "a.B", "ab", "", "Ä", "x y", "\"", "\\", "3", "{}"])
        .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    vec(word(), 0..6).prop_map(|words| words.concat())
}

fn json() -> impl Strategy<Value = String> {
    prop_oneof![
        text().prop_map(|text| serde_json::to_string(&text).unwrap()),
        (0..20_u32).prop_map(|number| number.to_string()),
        Just("\"\\u0061\"".to_owned()),
        Just("[1,\"a\"]".to_owned()),
        Just("no JSON".to_owned()),
    ]
}

fn job() -> impl Strategy<Value = JobId> {
    (0..6_u32).prop_map(|slot| JobId::direct(1_000 + u64::from(slot), 0, slot, 1))
}

prop_compose! {
    fn record()(
        time_us in prop_oneof![0..50_u64, 86_400_000_000..86_400_000_050_u64, Just(u64::MAX)],
        level in prop_oneof![-5..60_i32, Just(i32::MIN), Just(i32::MAX)],
        job in job(),
        attempt in 1..4_u32,
        (task, worker, logger) in (word(), word(), word()),
        (message, exception) in (text(), option::of(text())),
        fields in vec((word(), json()), 0..4),
        place in option::of((word(), 0..3_u32, word())),
        attachment in option::weighted(0.3, vec(any::<u8>(), 1..100)),
    ) -> LogRecord {
        let place = place.map(|(file, line, function)| {
            LogPlace { file: file.into(), line, function: function.into() }
        });
        LogRecord {
            time_us, level, job, attempt, place,
            task: task.into(), worker: worker.into(), logger: logger.into(), message: message.into(),
            exception: exception.map(Into::into),
            attachment: attachment.map(Into::into),
            fields: fields.into_iter().map(|(name, json)| (name.into(), json.into())).collect(),
        }
    }
}

prop_compose! {
    fn filter()(
        (job, attempt) in (option::weighted(0.2, job()), option::weighted(0.2, 1..4_u32)),
        (task, worker, logger) in (option::weighted(0.2, word()), option::weighted(0.2, word()), option::weighted(0.2, word())),
        level in option::weighted(0.3, prop_oneof![0..60_i32, Just(i32::MIN), Just(i32::MAX)]),
        since_us in option::weighted(0.2, prop_oneof![0..60_u64, Just(86_400_000_010)]),
        until_us in option::weighted(0.2, prop_oneof![0..60_u64, Just(86_400_000_010)]),
        fields in vec((word(), prop_oneof![json(), text()]), 0..2),
        texts in vec(text(), 0..2),
        attached in prop::bool::weighted(0.3),
    ) -> LogFilter {
        LogFilter {
            job, attempt, level, since_us, until_us, attached,
            task: task.map(Into::into), worker: worker.map(Into::into), logger: logger.map(Into::into),
            fields: fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            texts: texts.into_iter().map(Into::into).collect(),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(record(), 0..8).prop_map(Step::Append),
        6 => (filter(), 1..9_usize, any::<bool>()).prop_map(|(filter, count, newest)| Step::Search(filter, count, newest)),
        1 => Just(Step::Reopen),
    ]
}

fn open(disk: &SimulatedDisk, tail_records: u64) -> LogStore<SimulatedDisk> {
    let store = LogStore::open(&Home::open(disk.clone()).unwrap()).unwrap();
    let (tail_bytes, tail_age, file_bytes) = (1 << 20, Duration::MAX, 1 << 12);
    store.set_limits(Limits { tail_records, tail_bytes, tail_age, file_bytes });
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_store_finds_what_a_list_has(tail_records in 1..30_u64, steps in vec(step(), 1..40)) {
        let mut disk = SimulatedDisk::new();
        let mut store = open(&disk, tail_records);
        let mut list: Vec<LogRecord> = Vec::new();
        for step in steps {
            match step {
                Step::Append(records) => {
                    store.append(&records).unwrap();
                    list.extend(records);
                }
                Step::Search(filter, count, newest_first) => {
                    let wanted = list.iter().filter(|record| filter.takes(record));
                    let whole = |record: &LogRecord| {
                        if filter.attached { record.clone() } else { record.without_attachment() }
                    };
                    let mut expected: Vec<_> = wanted.map(whole).collect();
                    if newest_first {
                        expected.reverse();
                    }
                    prop_assert_eq!(read(&store, &filter, count, newest_first), expected);
                }
                Step::Reopen => {
                    drop(store);
                    disk = disk.restart();
                    store = open(&disk, tail_records);
                }
            }
        }
        prop_assert_eq!(store.counts().records, list.len() as u64);
    }
}
