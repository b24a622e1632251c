//! NNCLR's two heads, with lightly's structure and names (`layers.0.weight` ...).
//!
//! Projection (paper section 3.2): three linear layers, batch norm after each, ReLU after the first
//! two. Prediction: two linear layers, batch norm and ReLU between. No bias before a batch norm.

use tch::Tensor;

use super::layers::{BatchNorm, Linear};
use super::store::Scope;
use crate::error::Result;

#[derive(Debug)]
struct Layer {
    linear: Linear,
    norm: Option<BatchNorm>,
    relu: bool,
}

/// A multilayer perceptron `[N, inputs] -> [N, outputs]`.
#[derive(Debug)]
pub struct Head {
    layers: Vec<Layer>,
}

impl Head {
    /// `NNCLRProjectionHead(inputs, hidden, outputs)`.
    pub fn projection(scope: Scope<'_>, inputs: i64, hidden: i64, outputs: i64) -> Result<Self> {
        let plan = [
            (inputs, hidden, true, true),
            (hidden, hidden, true, true),
            (hidden, outputs, true, false),
        ];
        Self::new(scope, &plan)
    }

    /// `NNCLRPredictionHead(inputs, hidden, outputs)`.
    pub fn prediction(scope: Scope<'_>, inputs: i64, hidden: i64, outputs: i64) -> Result<Self> {
        Self::new(scope, &[(inputs, hidden, true, true), (hidden, outputs, false, false)])
    }

    /// `plan`: (inputs, outputs, batch norm, ReLU) of each layer; the index counts modules as
    /// PyTorch's `nn.Sequential` does, the ReLU included.
    fn new(mut scope: Scope<'_>, plan: &[(i64, i64, bool, bool)]) -> Result<Self> {
        let (mut layers, mut index) = (Vec::with_capacity(plan.len()), 0);
        let mut scope = scope.sub("layers");
        for &(inputs, outputs, norm, relu) in plan {
            let linear = Linear::new(scope.sub(index), inputs, outputs, !norm)?;
            let norm = norm.then(|| BatchNorm::new(scope.sub(index + 1), outputs)).transpose()?;
            index += 1 + usize::from(norm.is_some()) + usize::from(relu);
            layers.push(Layer { linear, norm, relu });
        }
        Ok(Self { layers })
    }

    /// `[N, inputs] -> [N, outputs]`
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let mut y = x.shallow_clone();
        for layer in &self.layers {
            y = layer.linear.forward(&y)?;
            if let Some(norm) = &layer.norm {
                y = norm.forward(&y, train)?;
            }
            if layer.relu {
                y = y.f_relu_()?;
            }
        }
        Ok(y)
    }
}
