//! Look-ups that find their entry, for a tool that counts instructions: `lookups POLICY COUNT`.

use std::hint::black_box;

use lineshaft_cache::{Freshness, Life, Options, PolicyKind, Residents, Terms};

/// Entries; all of them are kept.
const KEYS: u64 = 1_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [policy, count] = &words[..] else { panic!("lookups POLICY COUNT") };
    let policy = match &**policy {
        "s3fifo" => PolicyKind::S3Fifo,
        "lru" => PolicyKind::Lru,
        "sieve" => PolicyKind::Sieve,
        "lfu" => PolicyKind::WTinyLfu,
        other => panic!("there is no policy {other}"),
    };
    let mut residents: Residents<(u64, u64)> = Residents::new(&Options { policy, ..Options::default() });
    let life = Life { ttl_ms: Some(3_600_000), ..Life::default() };
    for key in 0..KEYS {
        residents.insert(hash(key), (key, key + 1), &Terms { life: Some(life), ..Terms::default() }, 0);
    }
    let count: u64 = count.parse().expect("a number of look-ups");
    let sum: u64 = (0..count).filter_map(|number| look_up(&mut residents, number % KEYS)).sum();
    black_box(sum);
}

/// What `#[lineshaft::cached]` does for a call, without its lock and its clock.
fn look_up(residents: &mut Residents<(u64, u64)>, key: u64) -> Option<u64> {
    let slot = residents.find(hash(key), |(other, _)| *other == key)?;
    let now_ms = u64::from(residents.is_mortal(slot));
    if residents.freshness(slot, now_ms) != Freshness::Fresh {
        return None;
    }
    residents.touch(slot, now_ms);
    residents.get(slot).map(|(_, value)| *value)
}

const fn hash(key: u64) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
