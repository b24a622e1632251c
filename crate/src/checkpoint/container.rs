//! A safetensors file tensor by tensor: no more than one of them is in memory a second time.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// The longest header that the format allows.
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
        let expected = start.checked_add(header.data_len() as u64);
        if expected != Some(length) {
            let tensors = header.data_len();
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
    pub fn places(&self) -> Vec<(String, TensorInfo)> {
        let places = self.header.tensors();
        let mut places: Vec<_> =
            places.into_iter().map(|(name, place)| (name, place.clone())).collect();
        places.sort_by(|(a, _), (b, _)| a.cmp(b));
        places
    }

    /// The tensor at a place of this file.
    pub fn tensor(&mut self, name: &str, place: &TensorInfo) -> Result<Tensor> {
        let kind = kind_of(place.dtype)
            .ok_or_else(|| broken(self.path, format!("{name} has dtype {:?}", place.dtype)))?;
        let shape: Vec<i64> = place.shape.iter().map(|&side| side as i64).collect();
        let mut tensor = Tensor::f_empty(&shape, (kind, Device::Cpu))?;
        let start = SeekFrom::Start(self.start + place.data_offsets.0 as u64);
        let mut read = |file: &mut File| {
            file.seek(start)?;
            file.read_exact(memory_mut(&mut tensor))
        };
        read(&mut self.file).map_err(|e| Error::io("read", self.path, &e))?;
        Ok(tensor)
    }
}

/// What a file is to hold, in the file's order, and its header.
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
            let end = start + bytes_of(tensor);
            places.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
            start = end;
        }
        let tensors = sorted.into_iter().map(|(_, name, tensor)| (name, tensor)).collect();
        Ok(Self { path, tensors, places })
    }

    /// Hands every tensor's place and bytes over, in the order of names.
    pub fn each_by_name(&self, mut take: impl FnMut(&str, &TensorInfo, &[u8])) -> Result<()> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|&k| self.tensors[k].0);
        for k in order {
            let ((name, tensor), (_, place)) = (self.tensors[k], &self.places[k]);
            take(name, place, memory(&on_host(tensor)?));
        }
        Ok(())
    }

    /// Writes header and tensors.
    pub fn write(self, file: &mut File, fields: HashMap<String, String>) -> Result<()> {
        let header = Metadata::new(Some(fields), self.places).map_err(|e| broken(self.path, e))?;
        let mut text = serde_json::to_vec(&header).map_err(|e| broken(self.path, e))?;
        text.resize(text.len().next_multiple_of(LENGTH as usize), b' ');
        let io = |e: std::io::Error| Error::io("write", self.path, &e);
        file.write_all(&(text.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(&text).map_err(io)?;
        for (_, tensor) in self.tensors {
            file.write_all(memory(&on_host(tensor)?)).map_err(io)?;
        }
        Ok(())
    }
}

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

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

/// The bytes of a tensor that is dense and on the CPU, as those of `on_host` and of a reader are.
pub fn memory(tensor: &Tensor) -> &[u8] {
    match bytes_of(tensor) {
        0 => &[],
        // SAFETY: a dense tensor on the CPU has that many bytes, and lives as long as the slice.
        count => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), count) },
    }
}

/// The bytes of a new tensor on the CPU.
fn memory_mut(tensor: &mut Tensor) -> &mut [u8] {
    match bytes_of(tensor) {
        0 => &mut [],
        // SAFETY: as above; nobody else has the tensor yet.
        count => unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), count) },
    }
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
