//! One safetensors file, written so that a crash at any moment leaves the old files as they were.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::Path;

use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::container::{Plan, Reader, broken};
use crate::error::{Error, Result};
use crate::nn::memory::bytes_of;

const FORMAT: &str = "1";

/// Tensors by name.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// Temp file in the same folder -> write -> fsync -> re-open and check -> rename -> fsync folder: what had
/// the name before goes when what takes its place is known to be whole.
pub fn write(path: &Path, tensors: &[(String, Tensor)], metadata: &str) -> Result<()> {
    let plan = Plan::new(path, tensors)?;
    let mut sum = Checksum::new(metadata);
    plan.each_by_name(|name, place, bytes| sum.add(name, place, bytes))?;
    let fields = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("nnclr".to_owned(), metadata.to_owned()),
        ("sha256".to_owned(), sum.finish()),
    ]);
    let header = plan.header(fields)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = write_durably(path, &temporary, &plan, &header);
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Tensors and the caller's metadata of a file that `write` made; a changed byte is an error.
pub fn read(path: &Path) -> Result<(NamedTensors, String)> {
    let mut tensors = NamedTensors::new();
    let metadata = checked(path, |name, tensor| {
        tensors.insert(name, tensor);
    })?;
    Ok((tensors, metadata))
}

/// The caller's metadata, after every byte of the file was checked.
pub fn verify(path: &Path) -> Result<String> {
    checked(path, |_, _| {})
}

/// The tensors of any safetensors file, ours or another program's.
pub fn read_any(path: &Path) -> Result<NamedTensors> {
    let mut reader = Reader::open(path)?;
    let mut tensors = NamedTensors::new();
    for (name, place) in reader.places() {
        let tensor = reader.tensor(&name, &place)?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Hands every tensor over before it is known that all are whole: an error means that none counts.
fn checked(path: &Path, mut take: impl FnMut(String, Tensor)) -> Result<String> {
    let mut reader = Reader::open(path)?;
    match reader.field("format") {
        Some(FORMAT) => {}
        Some(other) => {
            return Err(broken(path, format!("format {other}, this version reads {FORMAT}")));
        }
        None => return Err(broken(path, "a safetensors file, but not a checkpoint of nnclr")),
    }
    let metadata = reader.field("nnclr").unwrap_or_default().to_owned();
    let mut sum = Checksum::new(&metadata);
    for (name, place) in reader.places() {
        let tensor = reader.tensor(&name, &place)?;
        sum.add(&name, &place, bytes_of(&tensor)?);
        take(name, tensor);
    }
    if reader.field("sha256") != Some(sum.finish().as_str()) {
        return Err(broken(path, "its checksum does not match: the file was changed or damaged"));
    }
    Ok(metadata)
}

/// Over whatever matters about the file: names, dtypes, shapes, values, metadata. Safetensors itself has
/// no checksum, and a flipped bit in a weight would train on unnoticed.
struct Checksum(Sha256);

impl Checksum {
    fn new(metadata: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((metadata.len() as u64).to_le_bytes());
        hash.update(metadata);
        Self(hash)
    }

    /// In the order of names.
    fn add(&mut self, name: &str, place: &TensorInfo, bytes: &[u8]) {
        self.0.update(format!("{name} {:?} {:?}\n", place.dtype, place.shape));
        self.0.update(bytes);
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn write_durably(path: &Path, temporary: &Path, plan: &Plan<'_>, header: &[u8]) -> Result<()> {
    let mut file = File::create(temporary).map_err(|e| Error::io("write", temporary, &e))?;
    plan.write(header, &mut file)?;
    file.sync_all().map_err(|e| Error::io("write", temporary, &e))?;
    drop(file);
    verify(temporary)?;
    fs::rename(temporary, path).map_err(|e| Error::io("rename", path, &e))?;
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let folder_file = File::open(folder).map_err(|e| Error::io("open", folder, &e))?;
        folder_file.sync_all().map_err(|e| Error::io("sync", folder, &e))?;
    }
    Ok(())
}
