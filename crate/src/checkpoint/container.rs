//! A safetensors file tensor by tensor: writing or checking one holds no second copy of a model.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::memory::{bytes_of, bytes_of_mut};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// The longest header that the format allows, bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// An opened file of which the header was read.
pub struct Reader<'a> {
    path: &'a Path,
    file: File,
    header: Metadata,
    /// Where the first tensor starts.
    start: u64,
}

impl<'a> Reader<'a> {
    /// Reads and checks the header; every tensor that it names lies within the file.
    pub fn open(path: &'a Path) -> Result<Self> {
        let io = |e: std::io::Error| Error::io("read", path, &e);
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let size = next(&mut file, LENGTH).map_err(io)?;
        let Ok(size) = <[u8; LENGTH as usize]>::try_from(size) else {
            return Err(broken(path, "it ends before its header"));
        };
        let size = u64::from_le_bytes(size);
        if size > LONGEST_HEADER || LENGTH + size > length {
            return Err(broken(path, format!("its header cannot have {size} bytes")));
        }
        let text = next(&mut file, size).map_err(io)?;
        let header: Metadata = serde_json::from_slice(&text).map_err(|e| broken(path, e))?;
        let start = LENGTH + size;
        let tensors = header.data_len() as u64;
        if start.checked_add(tensors) != Some(length) {
            let reason = format!("{length} bytes are not its header's {start} and {tensors} more");
            return Err(broken(path, reason));
        }
        Ok(Self { path, file, header, start })
    }

    /// A field of the file's own metadata.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(name).map(String::as_str)
    }

    /// Every tensor's place by name, in the order of names.
    pub fn places(&self) -> BTreeMap<String, TensorInfo> {
        let places = self.header.tensors().into_iter();
        places.map(|(name, place)| (name, place.clone())).collect()
    }

    /// The tensor at a place of this file.
    pub fn tensor(&mut self, name: &str, place: &TensorInfo) -> Result<Tensor> {
        let fail = |reason: String| broken(self.path, format!("{name} {reason}"));
        let kind =
            kind_of(place.dtype).ok_or_else(|| fail(format!("has dtype {:?}", place.dtype)))?;
        // Beside a side of 0 a header may have any others.
        let shape: Option<Vec<i64>> =
            place.shape.iter().map(|&side| i64::try_from(side).ok()).collect();
        let fits = |shape: &Vec<i64>| {
            let mut sides = shape.iter();
            sides.try_fold(1, |all: i64, &side| all.checked_mul(side.max(1))).is_some()
        };
        let shape =
            shape.filter(fits).ok_or_else(|| fail(format!("has shape {:?}", place.shape)))?;
        let mut tensor = Tensor::f_empty(&shape, (kind, Device::Cpu))
            .map_err(|e| fail(format!("of shape {shape:?} has no place: {e}")))?;
        let bytes = bytes_of_mut(&mut tensor)?;
        let start = SeekFrom::Start(self.start + place.data_offsets.0 as u64);
        let found = self.file.seek(start).and_then(|_| self.file.read_exact(bytes));
        found.map_err(|e| Error::io("read", self.path, &e))?;
        Ok(tensor)
    }
}

/// What a file is to hold, in the file's order.
pub struct Plan<'a> {
    path: &'a Path,
    tensors: Vec<(&'a str, &'a Tensor)>,
    places: Vec<(String, TensorInfo)>,
}

impl<'a> Plan<'a> {
    /// Wider dtypes come first, so that every tensor is aligned; then by name.
    pub fn new(path: &'a Path, tensors: &'a [(String, Tensor)]) -> Result<Self> {
        let mut sorted = Vec::with_capacity(tensors.len());
        for (name, tensor) in tensors {
            sorted.push((dtype_of(tensor)?, name.as_str(), tensor));
        }
        sorted.sort_by(|(a, name_a, _), (b, name_b, _)| b.cmp(a).then(name_a.cmp(name_b)));
        let mut places = Vec::with_capacity(sorted.len());
        let mut start = 0;
        for &(dtype, name, tensor) in &sorted {
            let shape = tensor.size().into_iter().map(|side| side as usize).collect();
            let end = start + tensor.numel() * tensor.kind().elt_size_in_bytes();
            places.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
            start = end;
        }
        let tensors: Vec<_> = sorted.into_iter().map(|(_, name, tensor)| (name, tensor)).collect();
        let plan = Self { path, tensors, places };
        plan.check_names()?;
        Ok(plan)
    }

    /// A header has each name once, and one of them is its own.
    fn check_names(&self) -> Result<()> {
        let mut names: Vec<&str> = self.tensors.iter().map(|(name, _)| *name).collect();
        names.push(OWN_NAME);
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::config("name", pair[0], "one that no other tensor has")),
            None => Ok(()),
        }
    }

    /// Hands every tensor's place and bytes over, in the order of names.
    pub fn each_by_name(&self, mut take: impl FnMut(&str, &TensorInfo, &[u8])) -> Result<()> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|&k| self.tensors[k].0);
        for k in order {
            let ((name, tensor), (_, place)) = (self.tensors[k], &self.places[k]);
            take(name, place, bytes_of(&on_host(tensor)?)?);
        }
        Ok(())
    }

    /// The header, padded so that the tensors after it are aligned.
    pub fn header(&self, fields: HashMap<String, String>) -> Result<Vec<u8>> {
        let fail = |reason: String| broken(self.path, reason);
        let header = Metadata::new(Some(fields), self.places.clone());
        let header = header.map_err(|e| fail(e.to_string()))?;
        let mut text = serde_json::to_vec(&header).map_err(|e| fail(e.to_string()))?;
        text.resize(text.len().next_multiple_of(LENGTH as usize), b' ');
        if text.len() as u64 > LONGEST_HEADER {
            let size = text.len();
            return Err(fail(format!("its header would have {size} of {LONGEST_HEADER} bytes")));
        }
        Ok(text)
    }

    /// Writes a header that `header` made, and the tensors.
    pub fn write(&self, header: &[u8], file: &mut File) -> Result<()> {
        let io = |e: std::io::Error| Error::io("write", self.path, &e);
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(header).map_err(io)?;
        for (_, tensor) in &self.tensors {
            file.write_all(bytes_of(&on_host(tensor)?)?).map_err(io)?;
        }
        Ok(())
    }
}

/// Where a header has its metadata among the tensors.
const OWN_NAME: &str = "__metadata__";

/// The next bytes of a file, less where it ends.
fn next(file: &mut File, count: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error about a file's content.
pub fn broken(path: &Path, reason: impl ToString) -> Error {
    Error::Checkpoint { path: path.display().to_string(), reason: reason.to_string() }
}

/// The same numbers in the order of their indices, where a CPU can read them; a copy only where needed.
fn on_host(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_to_device(Device::Cpu)?.f_contiguous()?)
}

const DTYPES: [(Kind, Dtype); 5] = [
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Int64, Dtype::I64),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Half, Dtype::F16),
];

fn dtype_of(tensor: &Tensor) -> Result<Dtype> {
    let kind = tensor.kind();
    let found = DTYPES.iter().find(|(k, _)| *k == kind).map(|(_, dtype)| *dtype);
    found.ok_or_else(|| Error::shape("tensor to save", format!("{kind:?}"), "a float or i64"))
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    DTYPES.iter().find(|(_, d)| *d == dtype).map(|(kind, _)| *kind)
}
