//! Damage to files, told by a few bytes each: what disks, cables and hands do to them.

use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_testkit::disk::SimulatedDisk;

/// What a disk loses or misplaces at once.
const SECTOR: usize = 512;
/// Bytes that tell of one damage.
const ORDER_BYTES: usize = 10;
/// Damages of one input. Several at once could make up for one another: to forge a checksum takes more than these.
const DAMAGES_MAX: usize = 3;

/// What was done to the files of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Places where bytes were changed, 32 bits in a row at most: no checksum of 32 bits misses one.
    pub(crate) changed: usize,
    /// Sectors that vanished or are in another's place, ends that were cut off.
    pub(crate) lost: usize,
}

/// Carries out the orders in `data` on the files at `paths`.
pub(crate) fn damage(disk: &SimulatedDisk, paths: &[String], data: &[u8]) -> Done {
    let mut done = Done::default();
    for order in data.chunks_exact(ORDER_BYTES).take(DAMAGES_MAX) {
        let [kind, file, o0, o1, a @ .., b0, b1] =
            *order.first_chunk::<ORDER_BYTES>().expect("a whole order");
        let path = &paths[usize::from(file) % paths.len()];
        let before = disk.content(path);
        let offset = usize::from(u16::from_le_bytes([o0, o1])) % before.len().max(1);
        let other = usize::from(u16::from_le_bytes([b0, b1])) % before.len().max(1);
        let after = carry_out(kind, &before, offset, other, a);
        if after == before {
            continue;
        }
        *(if kind.is_multiple_of(4) { &mut done.changed } else { &mut done.lost }) += 1;
        overwrite(disk, path, &after);
    }
    done
}

fn carry_out(kind: u8, before: &[u8], offset: usize, other: usize, mask: [u8; 4]) -> Vec<u8> {
    let mut after = before.to_vec();
    let sector = |at: usize| {
        let start = at / SECTOR * SECTOR;
        start..(start + SECTOR).min(before.len())
    };
    match kind % 4 {
        0 => after.iter_mut().skip(offset).zip(mask).for_each(|(byte, mask)| *byte ^= mask),
        1 => after[sector(offset)].fill(0),
        2 => {
            let from = &before[sector(other)];
            after.iter_mut().skip(sector(offset).start).zip(from).for_each(|(to, from)| *to = *from);
        }
        _ => after.truncate(offset),
    }
    after
}

/// Gives a file another content, for good.
pub(crate) fn overwrite(disk: &SimulatedDisk, path: &str, content: &[u8]) {
    let file = disk.open(path, OpenMode::Create).expect("a simulated disk takes files");
    file.write_all_at(0, content).and_then(|()| file.sync_data()).expect("a simulated disk takes bytes");
}
