//! What rows have in common, a column each: the values that occur, and a number for each row.

use std::collections::HashMap;
use std::hash::Hash;

use crate::archive::codec::{Decoded, Decoder, Encoder, Malformed};

/// Numbers the values of a column in the order in which they first come.
pub(crate) struct ColumnWriter<K> {
    numbers: HashMap<K, u16>,
    values: Vec<K>,
    rows: Vec<u16>,
}

impl<K> Default for ColumnWriter<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new(), rows: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> ColumnWriter<K> {
    pub(crate) fn push(&mut self, value: K) {
        // Rows after one another often have the same value.
        if let Some(last) = self.rows.last().copied()
            && self.values[last as usize] == value
        {
            return self.rows.push(last);
        }
        let next = self.values.len() as u16;
        let number = *self.numbers.entry(value).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        self.rows.push(number);
    }

    /// Count and values, then the number of each row: in one byte, or in two if there are more than 256 values.
    pub(crate) fn encode(&self, encode: impl Fn(&mut Encoder, K)) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.u64(self.values.len() as u64);
        self.values.iter().for_each(|value| encode(&mut encoder, *value));
        for number in &self.rows {
            let bytes = number.to_le_bytes();
            encoder.fixed(&bytes[..width(self.values.len())]);
        }
        encoder.bytes
    }
}

fn width(values: usize) -> usize {
    if values > 256 { 2 } else { 1 }
}

/// A column that was read.
#[derive(Debug)]
pub(crate) struct Column<V> {
    values: Vec<V>,
    rows: Vec<u16>,
}

impl<V> Column<V> {
    pub(crate) fn decode(
        bytes: &[u8],
        rows: usize,
        value: impl Fn(&mut Decoder<'_>) -> Decoded<V>,
    ) -> Decoded<Self> {
        let mut decoder = Decoder::new(bytes);
        let count = decoder.count()?;
        let values = (0..count).map(|_| value(&mut decoder)).collect::<Decoded<Vec<V>>>()?;
        let rows: Vec<u16> = if width(count) == 1 {
            decoder.fixed(rows)?.iter().map(|byte| u16::from(*byte)).collect()
        } else {
            let (pairs, _) = decoder.fixed(2 * rows)?.as_chunks::<2>();
            pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
        };
        let is_known = rows.iter().all(|number| usize::from(*number) < count);
        if is_known && decoder.is_empty() { Ok(Self { values, rows }) } else { Err(Malformed) }
    }

    pub(crate) fn get(&self, row: usize) -> &V {
        &self.values[self.rows[row] as usize]
    }
}

/// Times, each by its distance from the one before.
pub(crate) fn encode_times(times: impl Iterator<Item = u64>, first: u64) -> Vec<u8> {
    let mut encoder = Encoder::default();
    times.fold(first, |before, time| {
        encoder.time(time, before);
        time
    });
    encoder.bytes
}

pub(crate) fn decode_times(bytes: &[u8], rows: usize, first: u64) -> Decoded<Vec<u64>> {
    let mut decoder = Decoder::new(bytes);
    let mut time = first;
    let times = (0..rows).map(|_| {
        time = decoder.time(time)?;
        Ok(time)
    });
    let times = times.collect::<Decoded<Vec<u64>>>()?;
    if decoder.is_empty() { Ok(times) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(decoder: &mut Decoder<'_>) -> Decoded<u32> {
        decoder.u32()
    }

    #[test]
    fn columns_of_few_and_of_many_values_come_back() {
        for values in [1, 2, 256, 257, 4_096] {
            let of = |row: u32| (row * 7) % values;
            let mut writer = ColumnWriter::default();
            (0..4_096).for_each(|row| writer.push(of(row)));
            let bytes = writer.encode(|encoder, value| encoder.u64(u64::from(value)));
            let column = Column::decode(&bytes, 4_096, number).unwrap();
            assert!((0..4_096).all(|row| *column.get(row) == of(row as u32)));
            assert!(Column::decode(&bytes[..bytes.len() - 1], 4_096, number).is_err());
        }
    }

    #[test]
    fn a_number_without_a_value_is_malformed() {
        assert!(Column::decode(&[1, 7, 0], 1, number).is_ok());
        assert_eq!(Column::decode(&[1, 7, 1], 1, number).unwrap_err(), Malformed);
    }

    #[test]
    fn times_come_back_in_any_order() {
        let times = [5, 0, u64::MAX, 1_795_842_000_000_000, 7];
        let bytes = encode_times(times.into_iter(), 7);
        assert_eq!(decode_times(&bytes, 5, 7).unwrap(), times);
        assert!(decode_times(&bytes, 4, 7).is_err());
    }
}
