//! Tables for people: aligned columns, two spaces apart, no wider than the terminal.

use crate::plain;

const BETWEEN: usize = 2;
/// What a column keeps when others need the room.
const LEAST: usize = 10;

/// Which columns of a table give way where the terminal is narrow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GiveWay<'a> {
    /// Long cells of these are cut, the widest first. An id is of no use without its end, so not every column may.
    pub(crate) cut: &'a [&'a str],
    /// If that is not enough, these are left out, the first one first.
    pub(crate) leave_out: &'a [&'a str],
}

/// The lines of a table with a heading; no wider than `columns` as far as columns may give way.
pub(crate) fn table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
    give_way: GiveWay<'_>,
    columns: Option<usize>,
) -> Vec<String> {
    let mut widths = heading.map(width);
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| plain::line(cell).into_owned())).collect();
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let widths = match columns {
        Some(columns) => fit(heading, widths, give_way, columns),
        None => widths.map(Some),
    };
    let heading = heading.map(str::to_owned);
    std::iter::once(&heading).chain(&rows).map(|row| line(row, &widths)).collect()
}

/// The widths with which a line fits, or as little too wide as may be; `None` is left out.
fn fit<const N: usize>(
    heading: [&str; N],
    widths: [usize; N],
    give_way: GiveWay<'_>,
    columns: usize,
) -> [Option<usize>; N] {
    let mut fitted = widths.map(Some);
    let mut left_out = give_way.leave_out.iter();
    loop {
        cut(heading, &mut fitted, give_way.cut, columns);
        if total(&fitted) <= columns {
            return fitted;
        }
        let Some(name) = left_out.next() else { return fitted };
        // Whoever was cut for nothing gets the room back.
        for column in 0..N {
            fitted[column] = fitted[column].filter(|_| heading[column] != *name).map(|_| widths[column]);
        }
    }
}

/// Takes from the widest column that may be cut until the line fits, or nothing more can be taken.
fn cut<const N: usize>(heading: [&str; N], widths: &mut [Option<usize>; N], may: &[&str], columns: usize) {
    for _ in columns..total(widths) {
        let cuttable = (0..N).filter(|column| may.contains(&heading[*column]));
        let widest = cuttable.max_by_key(|column| widths[*column]);
        let Some(width) = widest.and_then(|column| widths[column].as_mut()) else { return };
        if *width <= LEAST {
            return;
        }
        *width -= 1;
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + BETWEEN * shown.count().saturating_sub(1)
}

/// Names and values below each other.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> Vec<String> {
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("{}  {}", padded(name, widest), plain::line(value))).collect()
}

fn line(cells: &[String], widths: &[Option<usize>]) -> String {
    let shown = cells.iter().zip(widths).filter_map(|(cell, width)| Some(padded(cell, (*width)?)));
    let cells: Vec<String> = shown.collect();
    cells.join("  ").trim_end().to_owned()
}

/// The text in exactly so many columns.
fn padded(text: &str, to: usize) -> String {
    let length = width(text);
    if length > to {
        return text.chars().take(to.saturating_sub(1)).chain(['…']).collect();
    }
    format!("{text}{}", " ".repeat(to - length))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [String; N] {
        cells.map(str::to_owned)
    }

    const NOTHING: GiveWay<'_> = GiveWay { cut: &[], leave_out: &[] };

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row(["mail", "1"]), row(["größer", "12"])];
        assert_eq!(table(["QUEUE", "N"], &rows, NOTHING, None), ["QUEUE   N", "mail    1", "größer  12"]);
        assert_eq!(table(["A", "B"], &[], NOTHING, None), ["A  B"]);
    }

    #[test]
    fn a_table_fits_the_terminal_by_cutting_its_widest_columns_then_leaving_some_out() {
        let rows = [row(["0123456789012345", "a_task_with_a_long_name", "a_queue", "1"])];
        let heading = ["ID", "TASK", "QUEUE", "N"];
        let give_way = GiveWay { cut: &["TASK", "QUEUE"], leave_out: &["N", "QUEUE"] };
        let fitted = |columns| table(heading, &rows, give_way, Some(columns)).swap_remove(1);
        assert_eq!(fitted(80), "0123456789012345  a_task_with_a_long_name  a_queue  1");
        assert_eq!(fitted(45), "0123456789012345  a_task_with_a_…  a_queue  1");
        assert_eq!(fitted(38), "0123456789012345  a_task_wit…  a_queue");
        assert_eq!(fitted(30), "0123456789012345  a_task_with…");
        assert_eq!(fitted(20), "0123456789012345  a_task_wi…", "what is left is readable");
    }

    #[test]
    fn cells_stay_on_their_line() {
        assert_eq!(table(["A"], &[row(["x\n\u{1b}[2Jy"])], NOTHING, None)[1], "x\\n\\x1b[2Jy");
        assert_eq!(pairs(&[("reason", "no\nway".into())]), ["reason  no\\nway"]);
    }

    #[test]
    fn pairs_align_their_values() {
        assert_eq!(pairs(&[("id", "7".into()), ("state", "running".into())]), ["id     7", "state  running"]);
    }
}
