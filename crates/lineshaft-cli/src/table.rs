//! Tables for people: aligned columns, two spaces apart.

/// The lines of a table with a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = heading.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    let heading = heading.map(str::to_owned);
    std::iter::once(&heading).chain(rows).map(|row| line(row, &widths)).collect()
}

/// Names and values below each other.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> Vec<String> {
    let widest = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("{}  {value}", padded(name, widest))).collect()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let cells: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| padded(cell, *width)).collect();
    cells.join("  ").trim_end().to_owned()
}

fn padded(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["mail".to_owned(), "1".to_owned()], ["größer".to_owned(), "12".to_owned()]];
        assert_eq!(table(["QUEUE", "N"], &rows), ["QUEUE   N", "mail    1", "größer  12"]);
        assert_eq!(table(["A", "B"], &[]), ["A  B"]);
    }

    #[test]
    fn pairs_align_their_values() {
        assert_eq!(pairs(&[("id", "7".into()), ("state", "running".into())]), ["id     7", "state  running"]);
    }
}
