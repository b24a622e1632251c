//! One pass over blocks of similarities that keeps, for each query, the rows that may be its answer.

use crate::error::Result;
use crate::threads;

/// A similarity's dtype.
pub trait Number: tch::kind::Element + Copy + PartialOrd + Send + Sync {
    /// Below every similarity.
    const LOWEST: Self;
    /// Above every similarity.
    const HIGHEST: Self;
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
            const HIGHEST: Self = <$type>::INFINITY;
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

/// A pass over all rows, block by block or row by row.
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
    pub fn into_queries(self) -> Vec<Query<T>> {
        self.queries
    }

    /// Below it nothing is of use to a query; there is no use at all for one that isn't there.
    pub fn floor(&self, query: usize) -> T {
        self.queries.get(query).map_or(T::HIGHEST, |query| query.floor)
    }

    /// The similarity of one query with one row.
    pub fn take(&mut self, query: usize, row: i64, similarity: T) {
        self.queries[query].take(row, similarity, self.margin, self.rising);
    }

    /// Whether a query has more candidates than that.
    pub fn exceeds(&self, most: usize) -> bool {
        self.queries.iter().any(|query| query.candidates().nth(most).is_some())
    }

    /// Takes over what a pass of the same queries found in later rows.
    pub fn append(&mut self, later: Self) {
        for (query, later) in self.queries.iter_mut().zip(later.queries) {
            if later.best > query.best {
                (query.best, query.floor) = (later.best, later.floor);
            }
            query.kept.extend(later.kept);
        }
    }
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
