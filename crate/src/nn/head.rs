//! NNCLR's two heads, with lightly's structure and names (`layers.0.weight` ...).
//!
//! Projection (paper section 3.2): three linear layers, batch norm after each, ReLU after the first
//! two. Prediction: two linear layers, batch norm and ReLU between. No bias before a batch norm.

use tch::Tensor;

use super::layers::{BatchNorm, Linear, each, relu_};
use super::store::Scope;
use crate::error::{Error, Result};

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
        let views = self.forward_views(std::slice::from_ref(x), train)?;
        views.into_iter().next().ok_or_else(|| Error::shape("head", "no view", "one"))
    }

    /// Several views layer by layer, each a batch of its own.
    pub fn forward_views(&self, views: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        let mut ys: Vec<Tensor> = views.iter().map(Tensor::shallow_clone).collect();
        for layer in &self.layers {
            ys = each(&ys, |y| layer.linear.forward(y))?;
            if let Some(norm) = &layer.norm {
                ys = norm.forward(&ys, train)?;
            }
            if layer.relu {
                ys = relu_(ys)?;
            }
        }
        Ok(ys)
    }
}
