//! Backbone weights from and for other programs: torchvision, timm and lightly, as safetensors.

use std::path::Path;

use tch::{Kind, Tensor};

use super::file::{read_any, write};
use crate::error::{Error, Result};
use crate::nn::Nnclr;

const PREFIX: &str = "backbone.";

/// `nn.Sequential(*list(resnet.children())[:-1])` numbers its children; lightly's examples save those.
const SEQUENTIAL: [(&str, &str); 6] = [
    ("0.", "conv1."),
    ("1.", "bn1."),
    ("4.", "layer1."),
    ("5.", "layer2."),
    ("6.", "layer3."),
    ("7.", "layer4."),
];

/// Writes the backbone with torchvision's names.
pub fn export_backbone(path: &Path, model: &Nnclr, metadata: &str) -> Result<()> {
    let mut tensors = Vec::new();
    for entry in model.store.entries() {
        if let Some(name) = entry.name.strip_prefix(PREFIX) {
            tensors.push((name.to_owned(), entry.tensor.f_detach()?));
        }
    }
    write(path, &tensors, metadata)
}

/// Copies a backbone's weights in; returns the names in the file that the backbone has no place for
/// (`fc.*`, heads). Every backbone tensor must be there, of the right shape, before the first copy;
/// `num_batches_tracked` may be missing, as in files of old versions.
pub fn import_backbone(path: &Path, model: &Nnclr) -> Result<Vec<String>> {
    let fail = |reason: String| Error::Checkpoint { path: path.display().to_string(), reason };
    let mut found: Vec<(String, Tensor)> = read_any(path)?
        .into_iter()
        .map(|(name, tensor)| (torchvision_name(&name), tensor))
        .collect();
    let (mut copies, mut missing) = (Vec::new(), Vec::new());
    for entry in model.store.entries().iter().filter(|entry| entry.name.starts_with(PREFIX)) {
        let name = &entry.name[PREFIX.len()..];
        let Some(place) = found.iter().position(|(n, _)| n == name) else {
            if !name.ends_with("num_batches_tracked") {
                missing.push(name.to_owned());
            }
            continue;
        };
        let (_, tensor) = found.swap_remove(place);
        if tensor.size() != entry.tensor.size() {
            let (got, expected) = (tensor.size(), entry.tensor.size());
            return Err(fail(format!("{name} is {got:?}, this backbone has {expected:?}")));
        }
        if (tensor.kind() == Kind::Int64) != (entry.tensor.kind() == Kind::Int64) {
            return Err(fail(format!("{name} has dtype {:?}", tensor.kind())));
        }
        copies.push((&entry.name, tensor));
    }
    if !missing.is_empty() {
        let shown = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
        return Err(fail(format!("{} backbone tensors are missing: {shown} ...", missing.len())));
    }
    for (name, tensor) in copies {
        model.store.set(name, &tensor)?;
    }
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

fn torchvision_name(name: &str) -> String {
    let name = name.strip_prefix("model/").unwrap_or(name);
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    for (number, child) in SEQUENTIAL {
        if let Some(rest) = name.strip_prefix(number) {
            return format!("{child}{rest}");
        }
    }
    name.to_owned()
}
