//! What `/proc` says of processes: their CPU time and their children.

use std::fs;

/// User and system CPU time of a process, all of its threads that ever were, in microseconds; 0 if there is none.
pub(crate) fn cpu_us(pid: u32) -> f64 {
    let ticks = stat_of(pid).map_or(0, |stat| stat.cpu_ticks);
    ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64
}

/// The same of a process and of everything below it that lives.
pub(crate) fn cpu_of_tree_us(pid: u32) -> f64 {
    tree(pid).into_iter().map(cpu_us).sum()
}

/// Resident memory of a process and of everything below it.
pub(crate) fn rss_of_tree_bytes(pid: u32) -> u64 {
    let pages = |pid| -> Option<u64> {
        fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split_whitespace().nth(1)?.parse().ok()
    };
    tree(pid).into_iter().filter_map(pages).sum::<u64>() * rustix::param::page_size() as u64
}

/// A process and everything below it, parents before their children.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all().filter_map(|pid| Some((pid, stat_of(pid)?.parent))).collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(parents.iter().filter(|(pid, of)| *of == parent && *pid != root).map(|(pid, _)| *pid));
    }
    found
}

/// The children of a process.
pub(crate) fn children(of: u32) -> Vec<u32> {
    all().filter(|pid| stat_of(*pid).is_some_and(|stat| stat.parent == of)).collect()
}

/// The longest load average that the system keeps of the last minute: how many others want to run.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

struct Stat {
    parent: u32,
    cpu_ticks: u64,
}

fn stat_of(pid: u32) -> Option<Stat> {
    parse_stat(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/stat")).ok()?))
}

/// The name of the program stands in brackets and may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat { parent: number(1)? as u32, cpu_ticks: number(11)? + number(12)? })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_program_is_called() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194304 100 0 0 0 150 50 3 4 20 0 1 0 12345 1000 100";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.parent, stat.cpu_ticks), (7, 200));
        assert!(parse_stat("42 (a").is_none() && parse_stat("42 (a) S 7").is_none());
    }

    #[test]
    fn children_belong_to_the_tree_and_cpu_time_grows() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let own = std::process::id();
        assert!(tree(own).starts_with(&[own]) && tree(own).contains(&child.id()));
        assert!(rss_of_tree_bytes(own) > 1 << 20);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(cpu_us(child.id()) < 1.0, "a process that is gone has used nothing");
        let began = cpu_of_tree_us(own);
        while cpu_of_tree_us(own) <= began {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    }
}
