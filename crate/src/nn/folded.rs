//! The backbone as evaluation computes it: the same function as `ResNet::forward(x, false)` but for
//! rounding, with half the passes over memory. A copy of the weights, to be made anew when they change.

use tch::{Kind, Tensor};

use super::fused_conv::FusedConv;
use super::resnet::{Block, ResNet};
use crate::error::Result;

/// A `ResNet` with its batch norms folded into the convolutions.
#[derive(Debug)]
pub struct Folded {
    stem: FusedConv,
    pool: bool,
    blocks: Vec<FoldedBlock>,
}

#[derive(Debug)]
struct FoldedBlock {
    layers: Vec<FusedConv>,
    downsample: Option<FusedConv>,
}

impl Folded {
    /// From the network's present weights and statistics, for activations of dtype `kind`.
    pub fn new(network: &ResNet, kind: Kind) -> Result<Self> {
        tch::no_grad(|| {
            let block = |block: &Block| -> Result<FoldedBlock> {
                let fuse = |(conv, norm): &_| FusedConv::new(conv, norm, kind);
                Ok(FoldedBlock {
                    layers: block.layers.iter().map(fuse).collect::<Result<_>>()?,
                    downsample: block.downsample.as_ref().map(fuse).transpose()?,
                })
            };
            Ok(Self {
                stem: FusedConv::new(&network.conv1, &network.bn1, kind)?,
                pool: network.pool,
                blocks: network.blocks.iter().map(block).collect::<Result<_>>()?,
            })
        })
    }

    /// `[N, 3, H, W] -> [N, feature_dim]`; no gradient flows.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        tch::no_grad(|| {
            let mut y = self.stem.forward(x, None, true)?;
            if self.pool {
                y = y.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
            }
            for block in &self.blocks {
                y = block.forward(y)?;
            }
            Ok(y.f_mean_dim([2, 3].as_slice(), false, None)?)
        })
    }
}

impl FoldedBlock {
    fn forward(&self, x: Tensor) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some(conv) => conv.forward(&x, None, false)?,
            None => x.shallow_clone(),
        };
        let mut y = x;
        for (place, conv) in (1..).zip(&self.layers) {
            let shortcut = (place == self.layers.len()).then_some(&shortcut);
            y = conv.forward(&y, shortcut, true)?;
        }
        Ok(y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::store::Store;
    use crate::nn::{Arch, Stem};
    use tch::Device;

    /// A network whose statistics are those of some batches, and weights of norms that are not 1.
    fn network(arch: &str, stem: Stem, kind: Kind) -> (Store, ResNet) {
        tch::manual_seed(1);
        let mut store = Store::new(Device::Cpu, kind, 1);
        let arch: Arch = arch.parse().unwrap();
        let network = ResNet::new(store.root(), arch, stem).unwrap();
        tch::no_grad(|| {
            for entry in store.entries() {
                if entry.trainable && entry.tensor.dim() == 1 {
                    let _ = entry.tensor.shallow_clone().uniform_(0.2, 0.6);
                }
            }
            for _ in 0..4 {
                let x = Tensor::randn([4, 3, 32, 32], (kind, Device::Cpu));
                let _ = network.forward(&x, true).unwrap();
            }
        });
        (store, network)
    }

    fn apart(a: &Tensor, b: &Tensor) -> f64 {
        let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
        ((&a - &b).square().mean(Kind::Double) / b.square().mean(Kind::Double))
            .sqrt()
            .double_value(&[])
    }

    #[test]
    fn it_is_the_network_in_evaluation_mode() {
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5)] {
            for (arch, stem) in
                [("resnet18", Stem::Imagenet), ("resnet10", Stem::Small), ("resnet50", Stem::Small)]
            {
                let (_store, network) = network(arch, stem, kind);
                for side in [32, 33] {
                    let x = Tensor::randn([5, 3, side, side], (kind, Device::Cpu));
                    let plain = tch::no_grad(|| network.forward(&x, false)).unwrap();
                    let folded = Folded::new(&network, kind).unwrap().forward(&x).unwrap();
                    assert_eq!(folded.kind(), kind);
                    let error = apart(&folded, &plain);
                    assert!(error < tolerance, "{arch} {side} {kind:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn in_bf16_it_is_near_to_f32() {
        let (_store, network) = network("resnet18", Stem::Imagenet, Kind::Float);
        let x = Tensor::randn([6, 3, 64, 64], (Kind::Float, Device::Cpu));
        let exact = tch::no_grad(|| network.forward(&x, false)).unwrap();
        let folded = Folded::new(&network, Kind::BFloat16).unwrap();
        let error = apart(&folded.forward(&x.to_kind(Kind::BFloat16)).unwrap(), &exact);
        assert!(error < 0.05, "{error}");
    }

    #[test]
    fn a_weight_that_is_no_number_is_an_error() {
        for broken in [f64::NAN, f64::INFINITY] {
            for name in ["layer2.0.conv1.weight", "layer3.0.bn2.running_var", "bn1.bias"] {
                let (store, network) = network("resnet10", Stem::Small, Kind::Float);
                let entry = store.entries().iter().find(|entry| entry.name == name).unwrap();
                let _ = tch::no_grad(|| entry.tensor.shallow_clone().fill_(broken));
                let folded = Folded::new(&network, Kind::Float);
                // An infinite variance divides to nothing.
                let is_finite = broken.is_infinite() && name.ends_with("var");
                assert_eq!(folded.is_ok(), is_finite, "{name} {broken}");
                assert!(is_finite || folded.unwrap_err().code() == "DIVERGED");
            }
        }
    }
}
