//! The support set (paper section 3.1): a first-in, first-out ring of past projections z.
//!
//! Rows are unit vectors in f32 (or f64); the length each z had is kept beside, as the reference's
//! bank holds z itself. A batch that crosses the end wraps without loss; a batch larger than the bank
//! keeps its newest rows. Look-up comes before push, so no row meets its own step.

use std::cell::OnceCell;

use tch::{Device, Kind, Tensor};

use super::nearest::{Codes, nearest_rows, wants_codes};
use super::nt_xent::normalize;
use crate::device::send;
use crate::error::{Error, Result};
use crate::rng;

/// Marks a row that no sample has written yet.
pub const NO_SAMPLE: i64 = -1;

/// What `nearest` found for each query.
#[derive(Debug)]
pub struct Neighbours {
    /// Unit rows `[N, D]`.
    pub rows: Tensor,
    /// Their places in the bank `[N]`, i64.
    pub indices: Tensor,
    /// Cosine similarity `[N]`.
    pub similarity: Tensor,
}

/// The ring.
#[derive(Debug)]
pub struct MemoryBank {
    rows: Tensor,
    /// The rows in 8 bits, where that makes look-ups faster; made at the first one, and anew with every
    /// turn of the ring.
    codes: OnceCell<Codes>,
    lengths: Tensor,
    samples: Vec<i64>,
    labels: Vec<i64>,
    written: Vec<i64>,
    position: usize,
    filled: usize,
    pushes: i64,
    seed: u64,
    only_filled: bool,
}

impl MemoryBank {
    /// `size` random unit rows. With `only_filled`, look-ups see pushed rows alone.
    pub fn new(
        size: usize,
        dim: i64,
        device: Device,
        kind: Kind,
        seed: u64,
        only_filled: bool,
    ) -> Result<Self> {
        if size == 0 {
            return Err(Error::config("memoryBank.size", size, "at least 1"));
        }
        use rand_distr::{Distribution, StandardNormal};
        let mut rng = rng::stream(seed, u64::MAX, u64::MAX, 1);
        let count = size * dim as usize;
        let values: Vec<f32> = (0..count).map(|_| StandardNormal.sample(&mut rng)).collect();
        let rows = Tensor::f_from_slice(&values)?.f_reshape([size as i64, dim])?;
        let rows = normalize(&rows.f_to_device(device)?.f_to_kind(kind)?)?;
        Ok(Self {
            rows,
            codes: OnceCell::new(),
            lengths: Tensor::f_ones([size as i64], (kind, device))?,
            samples: vec![NO_SAMPLE; size],
            labels: vec![NO_SAMPLE; size],
            written: vec![0; size],
            position: 0,
            filled: 0,
            pushes: 0,
            seed,
            only_filled,
        })
    }

    /// Number of rows.
    pub fn size(&self) -> usize {
        self.samples.len()
    }

    /// Rows pushed so far, at most `size`.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Whether a look-up can find anything worth finding: with `only_filled`, a first push is needed.
    pub fn has_neighbours(&self) -> bool {
        !self.only_filled || self.filled > 0
    }

    /// Where the next row goes.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The unit rows `[size, D]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The length z had before it became a unit row `[size]`.
    pub fn lengths(&self) -> &Tensor {
        &self.lengths
    }

    /// Moves the rows to another device and dtype.
    pub fn convert(&mut self, device: Device, kind: Kind) -> Result<()> {
        self.codes.take();
        self.rows = self.rows.f_to_device(device)?.f_to_kind(kind)?;
        self.lengths = self.lengths.f_to_device(device)?.f_to_kind(kind)?;
        Ok(())
    }

    /// Replaces the rows (to start from known ones); nothing counts as pushed.
    pub fn set_rows(&mut self, rows: &Tensor) -> Result<()> {
        if rows.size() != self.rows.size() {
            let (got, expected) = (rows.size(), self.rows.size());
            return Err(Error::shape("bank rows", format!("{got:?}"), format!("{expected:?}")));
        }
        self.codes.take();
        self.rows.f_copy_(&normalize(rows)?)?;
        Ok(())
    }

    /// Sample id of each row, `NO_SAMPLE` where none was pushed.
    pub fn samples(&self) -> &[i64] {
        &self.samples
    }

    /// Label of each row's sample; read by health metrics alone, never by training.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// Pushes since a row was written.
    pub fn age(&self, row: usize) -> i64 {
        self.pushes - self.written[row]
    }

    /// For each `z [N, D]` the row of highest cosine similarity; ties go to the lowest row.
    pub fn nearest(&self, z: &Tensor) -> Result<Neighbours> {
        self.check(z)?;
        tch::no_grad(|| {
            let z = normalize(z)?;
            let visible = if self.only_filled { self.filled.max(1) } else { self.size() } as i64;
            let rows = self.rows.f_narrow(0, 0, visible)?;
            let (similarity, indices) = nearest_rows(&z, &rows, self.codes()?)?;
            Ok(Neighbours { rows: self.rows.f_index_select(0, &indices)?, indices, similarity })
        })
    }

    fn codes(&self) -> Result<Option<&Codes>> {
        if !wants_codes(&self.rows) {
            return Ok(None);
        }
        if self.codes.get().is_none() {
            let _ = self.codes.set(Codes::of(&self.rows)?);
        }
        Ok(self.codes.get())
    }

    /// `count` rows drawn from the bank without regard to any query: the random-bank control.
    /// A function of the seed, the pushes so far and `view`.
    pub fn random_rows(&self, count: i64, view: u64) -> Result<Tensor> {
        use rand::RngExt;
        let mut rng = rng::stream(self.seed, self.pushes as u64, u64::MAX, 2 + view);
        let visible = if self.only_filled { self.filled.max(1) } else { self.size() } as i64;
        let indices: Vec<i64> = (0..count).map(|_| rng.random_range(0..visible)).collect();
        let indices = send(&Tensor::f_from_slice(&indices)?, self.rows.device())?;
        Ok(tch::no_grad(|| self.rows.f_index_select(0, &indices))?)
    }

    /// Appends `z [N, D]` of the given samples, the oldest rows making way.
    pub fn push(&mut self, z: &Tensor, samples: &[i64], labels: Option<&[i64]>) -> Result<()> {
        self.check(z)?;
        let count = z.size()[0] as usize;
        if samples.len() != count || labels.is_some_and(|labels| labels.len() != count) {
            let got = format!("{} ids for {count} rows", samples.len());
            return Err(Error::shape("memory bank push", got, "one id a row"));
        }
        let skipped = count.saturating_sub(self.size());
        let rows = tch::no_grad(|| normalize(z))?;
        let lengths = tch::no_grad(|| z.f_norm_scalaropt_dim(2.0, [1].as_slice(), false))?
            .f_to_kind(self.rows.kind())?;
        let mut from = skipped;
        while from < count {
            let run = (count - from).min(self.size() - self.position);
            let copy = |target: &Tensor, source: &Tensor| -> Result<()> {
                let source = source.f_narrow(0, from as i64, run as i64)?;
                target.f_narrow(0, self.position as i64, run as i64)?.f_copy_(&source)?;
                Ok(())
            };
            tch::no_grad(|| copy(&self.rows, &rows).and_then(|()| copy(&self.lengths, &lengths)))?;
            self.write_codes(&rows.f_narrow(0, from as i64, run as i64)?)?;
            let place = self.position..self.position + run;
            self.samples[place.clone()].copy_from_slice(&samples[from..from + run]);
            match labels {
                Some(labels) => {
                    self.labels[place.clone()].copy_from_slice(&labels[from..from + run]);
                }
                // What stands there belongs to the row that makes way.
                None => self.labels[place.clone()].fill(NO_SAMPLE),
            }
            self.written[place].fill(self.pushes);
            self.position = (self.position + run) % self.size();
            self.filled = (self.filled + run).min(self.size());
            from += run;
        }
        self.pushes += 1;
        Ok(())
    }

    /// Keeps the codes of what was just written at `position`; codes that cannot follow are made anew at
    /// the next look-up.
    fn write_codes(&mut self, written: &Tensor) -> Result<()> {
        let Some(mut codes) = self.codes.take() else { return Ok(()) };
        tch::no_grad(|| codes.write(self.position, written))?;
        let ends_turn = self.position + written.size()[0] as usize == self.size();
        if !ends_turn && !codes.is_worn() {
            let _ = self.codes.set(codes);
        }
        Ok(())
    }

    /// Everything a checkpoint must hold: the named tensors behind `bank/`.
    pub fn state(&self) -> Result<Vec<(String, Tensor)>> {
        let counters = [self.position as i64, self.filled as i64, self.pushes];
        Ok(vec![
            ("rows".into(), self.rows.shallow_clone()),
            ("lengths".into(), self.lengths.shallow_clone()),
            ("samples".into(), Tensor::f_from_slice(&self.samples)?),
            ("labels".into(), Tensor::f_from_slice(&self.labels)?),
            ("written".into(), Tensor::f_from_slice(&self.written)?),
            ("counters".into(), Tensor::f_from_slice(&counters)?),
        ])
    }

    /// SHA-256 of everything that `state` gives: ranks hold the same bank, or something is wrong.
    pub fn hash(&self) -> Result<String> {
        use sha2::{Digest, Sha256};
        let mut hasher = Sha256::new();
        for (_, tensor) in self.state()? {
            let tensor = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
            let length = tensor.numel() * tensor.kind().elt_size_in_bytes();
            let mut bytes = vec![0; length];
            tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
            hasher.update(&bytes);
        }
        Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Takes over what `state` gave, already checked for shapes and dtypes.
    pub fn restore(&mut self, get: &dyn Fn(&str) -> Result<Tensor>) -> Result<()> {
        let numbers = |name: &str| -> Result<Vec<i64>> { Ok(Vec::<i64>::try_from(&get(name)?)?) };
        let counters = numbers("counters")?;
        let &[position, filled, pushes] = counters.as_slice() else {
            return Err(Error::shape("bank/counters", counters.len(), "3 numbers"));
        };
        let limit = self.size() as i64;
        if !(0..limit).contains(&position) || !(0..=limit).contains(&filled) {
            let got = format!("position {position}, filled {filled}");
            return Err(Error::shape("bank/counters", got, format!("within {limit} rows")));
        }
        self.samples = numbers("samples")?;
        self.labels = numbers("labels")?;
        self.written = numbers("written")?;
        (self.position, self.filled, self.pushes) = (position as usize, filled as usize, pushes);
        self.codes.take();
        self.rows.f_copy_(&get("rows")?)?;
        self.lengths.f_copy_(&get("lengths")?)?;
        Ok(())
    }

    fn check(&self, z: &Tensor) -> Result<()> {
        let dim = self.rows.size()[1];
        match z.size().as_slice() {
            [_, d] if *d == dim => Ok(()),
            got => Err(Error::shape("memory bank", format!("{got:?}"), format!("[N, {dim}]"))),
        }
    }
}
