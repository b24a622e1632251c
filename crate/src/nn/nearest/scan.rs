//! One pass over blocks of similarities that keeps, for each query, the rows that may be its answer.

use crate::error::Result;
use crate::threads;

/// A similarity's dtype.
pub trait Number: tch::kind::Element + Copy + PartialOrd + Send + Sync {
    /// Below every similarity.
    const LOWEST: Self;
    /// No answer.
    const NONE: Self;
    /// Rounds.
    fn of_f64(value: f64) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            const LOWEST: Self = <$type>::NEG_INFINITY;
            const NONE: Self = <$type>::NAN;
            fn of_f64(value: f64) -> Self {
                value as $type
            }
            fn minus(self, other: Self) -> Self {
                self - other
            }
        }
    };
}
number!(f32);
number!(f64);

/// Values compared at once: a few vector registers.
const LANES: usize = 16;
/// Values whose greatest decides whether any of them is looked at.
const GROUP: usize = 4 * LANES;
/// Fewer values than this are not worth a second thread.
const ALONE: usize = 1 << 16;

/// What is known of one query so far.
#[derive(Debug, Clone)]
pub struct Query<T> {
    best: T,
    /// `best - margin`: whatever is below is no answer.
    floor: T,
    /// Rows not below the floor when they came, in order.
    kept: Vec<(i64, T)>,
}

/// A pass over all rows, block by block.
#[derive(Debug)]
pub struct Scan<T> {
    queries: Vec<Query<T>>,
    margin: T,
    /// Keep only rows above all before them: no other can be the first within the margin.
    rising: bool,
}

impl<T: Number> Scan<T> {
    /// `margin` below the best is as good as the best.
    pub fn new(count: usize, margin: T, rising: bool) -> Self {
        let query = Query { best: T::LOWEST, floor: T::LOWEST, kept: Vec::new() };
        Self { queries: vec![query; count], margin, rising }
    }

    /// The similarities `[queries, B]` of rows `start..start + B`, row-major.
    pub fn block(&mut self, values: &[T], start: i64) -> Result<()> {
        let Some(width) = values.len().checked_div(self.queries.len()).filter(|&w| w > 0) else {
            return Ok(());
        };
        let (margin, rising) = (self.margin, self.rising);
        let work = |(query, values): (&mut Query<T>, &[T])| {
            query.look(values, start, margin, rising);
        };
        if values.len() < ALONE {
            self.queries.iter_mut().zip(values.chunks_exact(width)).for_each(work);
            return Ok(());
        }
        threads::each(self.queries.iter_mut().zip(values.chunks_exact(width)), work)
    }

    /// Similarity and place of the first row within the margin of the best; not a number and 0 where
    /// no similarity was a number.
    pub fn firsts(&self) -> impl Iterator<Item = (T, i64)> {
        self.queries.iter().map(|query| match query.candidates().next() {
            Some((index, _)) => (query.best, index),
            None => (T::NONE, 0),
        })
    }

    /// What was found for each query.
    pub fn queries(&self) -> &[Query<T>] {
        &self.queries
    }
}

impl Scan<f32> {
    /// Sums of codes `[B, queries]` of rows `start..start + B`, row-major.
    ///
    /// As f32 they are exact up to a thousand components, and near enough beyond.
    pub fn lines(&mut self, values: &[i32], start: i64) -> Result<()> {
        let width = self.queries.len();
        if width == 0 {
            return Ok(());
        }
        let (margin, rising) = (self.margin, self.rising);
        let sharers = if values.len() < ALONE { 1 } else { threads::count() };
        let share = width.div_ceil(sharers).next_multiple_of(LANES);
        threads::each(self.queries.chunks_mut(share).enumerate(), |(place, queries)| {
            let columns = place * share..place * share + queries.len();
            let mut floors: Vec<f32> = queries.iter().map(|query| query.floor).collect();
            let mut line = 0;
            loop {
                seek(values, width, columns.start, &floors, &mut line);
                let Some(found) = values.get(line * width..(line + 1) * width) else { break };
                let parts = found[columns.clone()].chunks(LANES).zip(floors.chunks_mut(LANES));
                for ((values, floors), queries) in parts.zip(queries.chunks_mut(LANES)) {
                    if !reaches(values, floors) {
                        continue;
                    }
                    for ((&value, floor), query) in values.iter().zip(floors).zip(queries) {
                        query.take(start + line as i64, value as f32, margin, rising);
                        *floor = query.floor;
                    }
                }
                line += 1;
            }
        })
    }
}

vectorised! {
    /// Moves `line` on to the first one of `width` values that has, from column `from` on, one that
    /// reaches its floor; to the end where none does.
    fn seek(values: &[i32], width: usize, from: usize, floors: &[f32], line: &mut usize) {
        for values in values.chunks_exact(width).skip(*line) {
            if reaches(&values[from..from + floors.len()], floors) {
                return;
            }
            *line += 1;
        }
    }
}

/// Without a branch, which vectorises.
#[inline(always)]
fn reaches(values: &[i32], floors: &[f32]) -> bool {
    values.iter().zip(floors).fold(false, |any, (&value, &floor)| any | (value as f32 >= floor))
}

impl<T: Number> Query<T> {
    /// The rows within the margin of the best, in order.
    pub fn candidates(&self) -> impl Iterator<Item = (i64, T)> {
        self.kept.iter().copied().filter(|&(_, value)| value >= self.floor)
    }

    fn look(&mut self, values: &[T], start: i64, margin: T, rising: bool) {
        for (group, values) in (0..).step_by(GROUP).zip(values.chunks(GROUP)) {
            if greatest(values) >= self.floor {
                for (index, &value) in (start + group..).zip(values) {
                    self.take(index, value, margin, rising);
                }
            }
        }
    }

    /// One row; a similarity that is no number is never taken.
    fn take(&mut self, index: i64, value: T, margin: T, rising: bool) {
        if value > self.best {
            self.best = value;
            self.floor = value.minus(margin);
        } else if rising || value < self.floor || value.partial_cmp(&value).is_none() {
            return;
        }
        // Doubling keeps the pruning's cost below that of the pushes.
        if self.kept.len() == self.kept.capacity() {
            let floor = self.floor;
            self.kept.retain(|&(_, value)| value >= floor);
        }
        self.kept.push((index, value));
    }
}

/// Lane by lane, which vectorises; what is no number loses every comparison.
fn greatest<T: Number>(values: &[T]) -> T {
    let greater = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::LOWEST; LANES];
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    for values in whole {
        for (lane, &value) in lanes.iter_mut().zip(values) {
            *lane = greater(*lane, value);
        }
    }
    rest.iter().copied().chain(lanes).fold(T::LOWEST, greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers of which many are equal or within the margin, in two blocks.
    #[test]
    fn a_row_a_line_leaves_what_a_query_a_line_does() {
        let (rows, first) = (20_000_usize, 4096);
        for count in [0, 1, 15, 16, 17, 33, 64] {
            let value = |row: usize, query: usize| ((row * 7919 + query * 104_729) % 10_007) as i32;
            let (mut lines, mut columns) =
                (Scan::new(count, 40.0_f32, false), Scan::new(count, 40.0_f32, false));
            for block in [0..first, first..rows] {
                let start = block.start as i64;
                let by_row: Vec<i32> =
                    block.clone().flat_map(|row| (0..count).map(move |q| value(row, q))).collect();
                let by_query: Vec<f32> = (0..count)
                    .flat_map(|q| block.clone().map(move |row| value(row, q) as f32))
                    .collect();
                lines.lines(&by_row, start).unwrap();
                columns.block(&by_query, start).unwrap();
            }
            let kept = |scan: &Scan<f32>| -> Vec<Vec<(i64, f32)>> {
                scan.queries().iter().map(|query| query.candidates().collect()).collect()
            };
            assert_eq!(kept(&lines), kept(&columns), "{count} queries");
            let late = |found: &Vec<(i64, f32)>| found.iter().any(|&(row, _)| row >= first as i64);
            assert!(kept(&lines).iter().all(late), "{count} queries");
        }
    }
}
