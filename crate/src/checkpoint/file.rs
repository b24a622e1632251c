//! One safetensors file, written so that a crash at any moment leaves the old files as they were.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};

const FORMAT: &str = "1";

/// Tensors by name.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// Temp file in the same folder -> write -> fsync -> rename -> fsync folder -> re-open and check.
pub fn write(path: &Path, tensors: &[(String, Tensor)], metadata: &str) -> Result<()> {
    let mut raw = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        raw.push((name.as_str(), dtype_of(tensor)?, shape_of(tensor), bytes_of(tensor)?));
    }
    raw.sort_by_key(|(name, ..)| *name);
    let views: Vec<(&str, TensorView<'_>)> = raw
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes);
            view.map(|view| (*name, view)).map_err(|e| broken(path, e))
        })
        .collect::<Result<_>>()?;
    let sum = checksum(views.iter().map(|(name, view)| (*name, view)), metadata);
    let header = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("nnclr".to_owned(), metadata.to_owned()),
        ("sha256".to_owned(), sum),
    ]);
    let bytes = serialize(views, Some(header)).map_err(|e| broken(path, e))?;

    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = write_durably(path, &temporary, &bytes);
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result?;
    read(path).map(|_| ())
}

/// Tensors and the caller's metadata of a file that `write` made; a changed byte is an error.
pub fn read(path: &Path) -> Result<(NamedTensors, String)> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(path, e))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, e))?;
    let fields = header.metadata().clone().unwrap_or_default();
    let field = |name: &str| fields.get(name).map(String::as_str);
    match field("format") {
        Some(FORMAT) => {}
        Some(other) => {
            return Err(broken(path, format!("format {other}, this version reads {FORMAT}")));
        }
        None => return Err(broken(path, "a safetensors file, but not a checkpoint of nnclr")),
    }
    let metadata = field("nnclr").unwrap_or_default().to_owned();
    let mut views = file.tensors();
    views.sort_by(|(a, _), (b, _)| a.cmp(b));
    let sum = checksum(views.iter().map(|(name, view)| (name.as_str(), view)), &metadata);
    if field("sha256") != Some(sum.as_str()) {
        return Err(broken(path, "its checksum does not match: the file was changed or damaged"));
    }
    Ok((tensors_of(path, views)?, metadata))
}

/// The tensors of any safetensors file, ours or another program's.
pub fn read_any(path: &Path) -> Result<NamedTensors> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| broken(path, e))?;
    tensors_of(path, file.tensors())
}

fn tensors_of(path: &Path, views: Vec<(String, TensorView<'_>)>) -> Result<NamedTensors> {
    let mut tensors = NamedTensors::new();
    for (name, view) in views {
        let kind = kind_of(view.dtype())
            .ok_or_else(|| broken(path, format!("{name} has dtype {:?}", view.dtype())))?;
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.insert(name, Tensor::f_from_data_size(view.data(), &shape, kind)?);
    }
    Ok(tensors)
}

/// Whatever matters about the file: names, dtypes, shapes, values, metadata. Safetensors itself has no
/// checksum, and a flipped bit in a weight would train on unnoticed.
fn checksum<'a, V: std::borrow::Borrow<TensorView<'a>>>(
    views: impl Iterator<Item = (&'a str, V)>,
    metadata: &str,
) -> String {
    let mut hash = Sha256::new();
    hash.update((metadata.len() as u64).to_le_bytes());
    hash.update(metadata);
    for (name, view) in views {
        let view = view.borrow();
        hash.update(format!("{name} {:?} {:?}\n", view.dtype(), view.shape()));
        hash.update(view.data());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_durably(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(temporary).map_err(|e| Error::io("write", temporary, &e))?;
    file.write_all(bytes).map_err(|e| Error::io("write", temporary, &e))?;
    file.sync_all().map_err(|e| Error::io("write", temporary, &e))?;
    drop(file);
    fs::rename(temporary, path).map_err(|e| Error::io("rename", path, &e))?;
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let folder_file = File::open(folder).map_err(|e| Error::io("open", folder, &e))?;
        folder_file.sync_all().map_err(|e| Error::io("sync", folder, &e))?;
    }
    Ok(())
}

fn broken(path: &Path, reason: impl ToString) -> Error {
    Error::Checkpoint { path: path.display().to_string(), reason: reason.to_string() }
}

fn shape_of(tensor: &Tensor) -> Vec<usize> {
    tensor.size().into_iter().map(|n| n as usize).collect()
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_to_device(tch::Device::Cpu)?.f_contiguous()?;
    let count = tensor.numel();
    let mut bytes = vec![0; count * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, count)?;
    Ok(bytes)
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
