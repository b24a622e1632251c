//! Checkpoints and weight files: named tensors in safetensors, with a checksum and the caller's JSON.

mod container;
mod file;
mod weights;

pub use file::{NamedTensors, read, read_any, verify, write};
pub use weights::{export_backbone, import_backbone};

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{MemoryBank, Nnclr};
use crate::optim::Optimizer;

/// Writes model, optimizer and bank to `path` so that the file is whole or not there at all. Weights
/// that are no numbers are refused: a finite loss can have infinite gradients, and the checkpoint
/// before is the last good one.
pub fn save(
    path: &std::path::Path,
    model: &Nnclr,
    optimizer: &Optimizer,
    bank: &MemoryBank,
    metadata: &str,
) -> Result<()> {
    let tensors = named(model, optimizer, bank)?;
    for (name, tensor) in tensors.iter().filter(|(_, tensor)| tensor.kind() != Kind::Int64) {
        let largest = tch::no_grad(|| tensor.f_abs()?.f_max())?.f_double_value(&[])?;
        if !largest.is_finite() {
            let context = ": the checkpoint was not written".into();
            return Err(Error::Diverged { subject: name.clone(), value: largest, context });
        }
    }
    write(path, &tensors, metadata)
}

/// Takes a checkpoint over; every name, shape and dtype is checked before the first copy.
pub fn load(
    path: &std::path::Path,
    model: &Nnclr,
    optimizer: &Optimizer,
    bank: &mut MemoryBank,
) -> Result<String> {
    let (tensors, metadata) = read(path)?;
    let targets = named(model, optimizer, bank)?;
    check(path, &tensors, &targets)?;
    let get = |name: &str| -> Result<Tensor> {
        tensors.get(name).map(Tensor::shallow_clone).ok_or_else(|| Error::Checkpoint {
            path: path.display().to_string(),
            reason: format!("{name} is missing"),
        })
    };
    bank.restore(&|name| get(&format!("bank/{name}"))).map_err(|error| Error::Checkpoint {
        path: path.display().to_string(),
        reason: error.to_string(),
    })?;
    for (name, target) in targets.iter().filter(|(name, _)| !name.starts_with("bank/")) {
        tch::no_grad(|| target.shallow_clone().f_copy_(&get(name)?).map_err(Error::from))?;
    }
    Ok(metadata)
}

/// Every tensor of a run by its name in the file.
pub(crate) fn named(
    model: &Nnclr,
    optimizer: &Optimizer,
    bank: &MemoryBank,
) -> Result<Vec<(String, Tensor)>> {
    let mut tensors = Vec::new();
    for entry in model.store.entries() {
        tensors.push((format!("model/{}", entry.name), entry.tensor.f_detach()?));
    }
    for (name, tensor) in optimizer.state() {
        tensors.push((format!("optimizer/{name}"), tensor));
    }
    for (name, tensor) in bank.state()? {
        tensors.push((format!("bank/{name}"), tensor));
    }
    Ok(tensors)
}

fn check(
    path: &std::path::Path,
    tensors: &NamedTensors,
    targets: &[(String, Tensor)],
) -> Result<()> {
    let fail = |reason: String| Error::Checkpoint { path: path.display().to_string(), reason };
    for (name, target) in targets {
        let found = tensors.get(name).ok_or_else(|| fail(format!("{name} is missing")))?;
        if found.size() != target.size() || found.kind() != target.kind() {
            return Err(fail(format!(
                "{name} is {:?} {:?}, this model has {:?} {:?}",
                found.kind(),
                found.size(),
                target.kind(),
                target.size()
            )));
        }
    }
    let known: std::collections::HashSet<&str> = targets.iter().map(|(n, _)| n.as_str()).collect();
    match tensors.keys().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(fail(format!("{name} is not part of this model"))),
        None => Ok(()),
    }
}
