//! The network: backbone, projection head, prediction head.

use tch::{Device, Kind, Tensor};

use super::gradient;
use super::head::Head;
use super::resnet::{Arch, ResNet, Stem};
use super::store::Store;
use crate::error::{Error, Result};

/// Sizes of a network.
#[derive(Debug, Clone)]
pub struct NnclrOptions {
    /// Backbone.
    pub arch: Arch,
    /// Its first layers.
    pub stem: Stem,
    /// Hidden width of the projection head.
    pub projection_hidden: i64,
    /// Length of z and p.
    pub out: i64,
    /// Hidden width of the prediction head.
    pub prediction_hidden: i64,
}

/// Backbone and heads with their named tensors.
#[derive(Debug)]
pub struct Nnclr {
    /// `backbone.*`, `projection_head.*`, `prediction_head.*`.
    pub store: Store,
    /// Pictures to features.
    pub backbone: ResNet,
    projection_head: Head,
    prediction_head: Head,
}

impl Nnclr {
    /// Fresh weights, a function of the seed.
    pub fn new(options: &NnclrOptions, device: Device, kind: Kind, seed: u64) -> Result<Self> {
        let mut store = Store::new(device, kind, seed);
        let backbone = ResNet::new(store.scope("backbone"), options.arch, options.stem)?;
        let projection_head = Head::projection(
            store.scope("projection_head"),
            backbone.feature_dim,
            options.projection_hidden,
            options.out,
        )?;
        let prediction_head = Head::prediction(
            store.scope("prediction_head"),
            options.out,
            options.prediction_hidden,
            options.out,
        )?;
        Ok(Self { store, backbone, projection_head, prediction_head })
    }

    /// One view `[N, 3, H, W]` to (z, p), each `[N, out]`; whose gradient flows is the step's to say.
    pub fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        self.forward_views(std::slice::from_ref(x))?
            .pop()
            .ok_or_else(|| Error::shape("network", "no view", "one"))
    }

    /// Both views to theirs, each normalised by its own statistics.
    pub fn forward_pair(&self, [a, b]: &[Tensor; 2]) -> Result<[(Tensor, Tensor); 2]> {
        if !self.store.is_synchronised() {
            return Ok([self.forward(a)?, self.forward(b)?]);
        }
        // Layer by layer, so that what both views tell the other ranks travels together.
        let views = self.forward_views(&[a.shallow_clone(), b.shallow_clone()])?;
        let count = views.len();
        views.try_into().map_err(|_| Error::shape("network", format!("{count} views"), "2"))
    }

    /// As if the last backward pass had not come by p: an optimizer leaves the prediction head alone then,
    /// where zeros would age its moments.
    pub fn forget_prediction_gradients(&self) {
        let parameters = self.store.parameters();
        for entry in parameters.filter(|entry| entry.name.starts_with("prediction_head.")) {
            gradient::forget(&entry.tensor);
        }
    }

    fn forward_views(&self, views: &[Tensor]) -> Result<Vec<(Tensor, Tensor)>> {
        let y = self.backbone.forward_views(views, true)?;
        let z = self.projection_head.forward_views(&y, true)?;
        let p = self.prediction_head.forward_views(&z, true)?;
        Ok(z.into_iter().zip(p).collect())
    }
}
