//! ResNet (He et al. 2016) with torchvision's structure, names and initialisation, without `fc`.
//!
//! Stems: `imagenet` is torchvision's (7x7 stride 2, max-pool); `cifar` (3x3 stride 1, no pool) is
//! what small pictures need for accuracy; `small` (3x3 stride 2, no pool) is its quarter-cost form.
//! `resnet10` has one basic block a stage: the right size for small pictures on few cores.

use std::str::FromStr;

use tch::Tensor;

use super::layers::{BatchNorm, Conv, each};
use super::store::Scope;
use crate::error::{Error, Result};

/// Depth and block type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arch {
    blocks: [usize; 4],
    bottleneck: bool,
}

impl FromStr for Arch {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (blocks, bottleneck) = match name {
            "resnet10" => ([1, 1, 1, 1], false),
            "resnet18" => ([2, 2, 2, 2], false),
            "resnet34" => ([3, 4, 6, 3], false),
            "resnet50" => ([3, 4, 6, 3], true),
            "resnet101" => ([3, 4, 23, 3], true),
            "resnet152" => ([3, 8, 36, 3], true),
            _ => {
                let expected = "resnet10, resnet18, resnet34, resnet50, resnet101 or resnet152";
                return Err(Error::config("backbone", name, expected));
            }
        };
        Ok(Self { blocks, bottleneck })
    }
}

impl Arch {
    /// Length of the feature vector: 512, or 2048 with bottlenecks.
    pub fn feature_dim(self) -> i64 {
        512 * self.expansion()
    }

    fn expansion(self) -> i64 {
        if self.bottleneck { 4 } else { 1 }
    }
}

/// The first layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stem {
    /// 7x7 stride 2, then max-pool 3x3 stride 2.
    Imagenet,
    /// 3x3 stride 1, no pool.
    Cifar,
    /// 3x3 stride 2, no pool.
    Small,
}

impl FromStr for Stem {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "imagenet" => Ok(Self::Imagenet),
            "cifar" => Ok(Self::Cifar),
            "small" => Ok(Self::Small),
            _ => Err(Error::config("stem", name, "imagenet, cifar or small")),
        }
    }
}

/// Convolutions with batch norms, and the shortcut around them.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) layers: Vec<(Conv, BatchNorm)>,
    pub(super) downsample: Option<(Conv, BatchNorm)>,
}

impl Block {
    fn new(
        mut scope: Scope<'_>,
        bottleneck: bool,
        inputs: i64,
        width: i64,
        stride: i64,
    ) -> Result<Self> {
        // (outputs, kernel, stride) of each convolution; a bottleneck strides in its 3x3 (v1.5).
        let plan = if bottleneck {
            vec![(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
        } else {
            vec![(width, 3, stride), (width, 3, 1)]
        };
        let (mut channels, mut layers) = (inputs, Vec::with_capacity(plan.len()));
        for (i, (outputs, kernel, stride)) in (1..).zip(plan) {
            let conv = Conv::new(scope.sub(format!("conv{i}")), channels, outputs, kernel, stride)?;
            layers.push((conv, BatchNorm::new(scope.sub(format!("bn{i}")), outputs)?));
            channels = outputs;
        }
        let downsample = if stride != 1 || inputs != channels {
            let mut scope = scope.sub("downsample");
            let conv = Conv::new(scope.sub(0), inputs, channels, 1, stride)?;
            Some((conv, BatchNorm::new(scope.sub(1), channels)?))
        } else {
            None
        };
        Ok(Self { layers, downsample })
    }

    /// Of the views twice, for the layers and for the shortcut, and so their result.
    fn forward(&self, [mut ys, views]: [Vec<Tensor>; 2], train: bool) -> Result<[Vec<Tensor>; 2]> {
        let Some(((last_conv, last_norm), layers)) = self.layers.split_last() else {
            return Ok([ys, views]);
        };
        for (conv, norm) in layers {
            ys = norm.forward_relu(&conv.forward(&ys)?, train)?;
        }
        ys = last_conv.forward(&ys)?;
        // Made when it is needed: another map to hold until then.
        let shortcuts = self.shortcuts(views, train)?;
        last_norm.forward_sum_relu(&ys, &shortcuts, train)
    }

    fn shortcuts(&self, views: Vec<Tensor>, train: bool) -> Result<Vec<Tensor>> {
        match &self.downsample {
            Some((conv, norm)) => norm.forward(&conv.forward(&views)?, train),
            None => Ok(views),
        }
    }
}

/// The backbone: pictures `[N, 3, H, W]` to features `[N, feature_dim]`.
#[derive(Debug)]
pub struct ResNet {
    pub(super) conv1: Conv,
    pub(super) bn1: BatchNorm,
    pub(super) pool: bool,
    pub(super) blocks: Vec<Block>,
    /// Length of the feature vector.
    pub feature_dim: i64,
}

impl ResNet {
    /// Fresh weights under `scope`.
    pub fn new(mut scope: Scope<'_>, arch: Arch, stem: Stem) -> Result<Self> {
        let (kernel, stride) = match stem {
            Stem::Imagenet => (7, 2),
            Stem::Cifar => (3, 1),
            Stem::Small => (3, 2),
        };
        let conv1 = Conv::new(scope.sub("conv1"), 3, 64, kernel, stride)?;
        let bn1 = BatchNorm::new(scope.sub("bn1"), 64)?;
        let (mut channels, mut blocks) = (64, Vec::new());
        for (stage, count) in arch.blocks.into_iter().enumerate() {
            let width = 64 << stage;
            let mut scope = scope.sub(format!("layer{}", stage + 1));
            for index in 0..count {
                let stride = if index == 0 && stage > 0 { 2 } else { 1 };
                let scope = scope.sub(index);
                blocks.push(Block::new(scope, arch.bottleneck, channels, width, stride)?);
                channels = width * arch.expansion();
            }
        }
        let pool = stem == Stem::Imagenet;
        Ok(Self { conv1, bn1, pool, blocks, feature_dim: channels })
    }

    /// `[N, 3, H, W] -> [N, feature_dim]`, after global average pooling.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let views = self.forward_views(std::slice::from_ref(x), train)?;
        views.into_iter().next().ok_or_else(|| Error::shape("backbone", "no view", "one"))
    }

    /// Several views layer by layer, each a batch of its own.
    pub fn forward_views(&self, views: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        let mut ys = self.conv1.forward(views)?;
        ys = match self.pool {
            true => self.bn1.forward_pooled(&ys, train)?,
            false => self.bn1.forward_relu(&ys, train)?,
        };
        let mut both = [ys.iter().map(Tensor::shallow_clone).collect(), ys];
        for block in &self.blocks {
            both = block.forward(both, train)?;
        }
        each(&both[0], |y| Ok(y.f_mean_dim([2, 3].as_slice(), false, None)?))
    }
}
