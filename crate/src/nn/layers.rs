//! Convolution, linear layer and batch norm with PyTorch's semantics and names.
//!
//! Weights stay f32 (or f64); a layer computes in the dtype of its input, so bf16 activations make a
//! bf16 product while the master weights, the statistics and their gradients keep full precision.

use tch::{Kind, Tensor};

use super::columns;
use super::norm_gradient::scale_and_shift;
use super::norm_pool;
use super::norm_relu;
use super::norm_statistics::mean_and_variance;
use super::pointwise;
use super::small_map;
use super::store::{Init, Scope, Synchronised};
use super::winograd;
use crate::distributed::{ProcessGroup, SyncNorm};
use crate::error::{Error, Result};

/// `nn.Conv2d` without bias.
#[derive(Debug)]
pub struct Conv {
    pub(super) weight: Tensor,
    pub(super) stride: i64,
    pub(super) padding: i64,
}

impl Conv {
    /// A square kernel, padded so that stride 1 keeps the size.
    pub fn new(
        mut scope: Scope<'_>,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Result<Self> {
        let shape = [outputs, inputs, kernel, kernel];
        let weight = scope.parameter("weight", &shape, Init::KaimingFanOut)?;
        Ok(Self { weight, stride, padding: kernel / 2 })
    }

    /// `[N, C, H, W] -> [N, C', H', W']` of each view.
    pub fn forward(&self, views: &[Tensor]) -> Result<Vec<Tensor>> {
        match pointwise::conv(views, &self.weight, self.stride)? {
            Some(ys) => Ok(ys),
            None => each(views, |x| self.forward_one(x)),
        }
    }

    fn forward_one(&self, x: &Tensor) -> Result<Tensor> {
        // Ours take the master weights as they are.
        if self.weight.size()[2] == 3 {
            if let Some(y) = small_map::conv3x3(x, &self.weight, self.stride)? {
                return Ok(y);
            }
            if self.stride == 1
                && let Some(y) = winograd::conv3x3(x, &self.weight)?
            {
                return Ok(y);
            }
        }
        if let Some(y) = columns::conv(x, &self.weight, self.stride)? {
            return Ok(y);
        }
        let weight = in_kind(&self.weight, x.kind())?;
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        Ok(x.f_conv2d(&weight, None::<&Tensor>, stride, padding, [1, 1], 1)?)
    }
}

/// `nn.Linear`.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// `bias: false` before a batch norm, as lightly does.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, bias: bool) -> Result<Self> {
        let init = Init::UniformFanIn(inputs);
        let weight = scope.parameter("weight", &[outputs, inputs], init)?;
        let bias = bias.then(|| scope.parameter("bias", &[outputs], init)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `[N, D] -> [N, D']`
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = in_kind(&self.weight, x.kind())?;
        let bias = self.bias.as_ref().map(|bias| in_kind(bias, x.kind())).transpose()?;
        Ok(x.f_linear(&weight, bias)?)
    }
}

/// `nn.BatchNorm1d` / `nn.BatchNorm2d`: momentum 0.1, epsilon 1e-5.
#[derive(Debug)]
pub struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    num_batches_tracked: Tensor,
    synchronised: Synchronised,
}

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

impl BatchNorm {
    /// Scale 1, shift 0, mean 0, variance 1.
    pub fn new(mut scope: Scope<'_>, channels: i64) -> Result<Self> {
        Ok(Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0))?,
            running_mean: scope.buffer("running_mean", &[channels], 0.0)?,
            running_var: scope.buffer("running_var", &[channels], 1.0)?,
            num_batches_tracked: scope.counter("num_batches_tracked")?,
            synchronised: scope.synchronised(),
        })
    }

    /// Normalises over all but the channel dimension; in training by the batch's own statistics,
    /// which also move the running ones. Each of `views` is a batch of its own.
    pub fn forward(&self, views: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        if train {
            self.track(views.len())?;
            if let Some(group) = self.synchronised.group() {
                return self.forward_synchronised(views, &group);
            }
        }
        views.iter().map(|x| self.forward_alone(x, train)).collect()
    }

    /// The same, then ReLU.
    pub fn forward_relu(&self, views: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        if train && self.is_alone() && views.iter().all(norm_relu::applies) {
            self.track(views.len())?;
            return each(views, |x| {
                let [mean, deviation] = self.statistics(x)?;
                norm_relu::apply(x, [&self.weight, &self.bias], [&mean, &deviation])
            });
        }
        relu_(self.forward(views, train)?)
    }

    /// The same of the sum with each view's shortcut, and once for each of two readers.
    pub fn forward_sum_relu(
        &self,
        views: &[Tensor],
        shortcuts: &[Tensor],
        train: bool,
    ) -> Result<[Vec<Tensor>; 2]> {
        if shortcuts.len() != views.len() {
            let expected = format!("one for each of {} views", views.len());
            return Err(Error::shape("block", format!("{} shortcuts", shortcuts.len()), expected));
        }
        if train && self.is_alone() && views.iter().all(norm_relu::applies) {
            self.track(views.len())?;
            let each = |(x, shortcut): (&Tensor, &Tensor)| {
                let [mean, deviation] = self.statistics(x)?;
                let parameters = [&self.weight, &self.bias];
                let [one, other] =
                    norm_relu::apply_with(shortcut, x, parameters, [&mean, &deviation])?;
                Ok((one, other))
            };
            let ys: Result<(Vec<Tensor>, Vec<Tensor>)> =
                views.iter().zip(shortcuts).map(each).collect();
            return Ok(ys?.into());
        }
        let ys = self.forward(views, train)?.into_iter().zip(shortcuts);
        let ys: Result<Vec<Tensor>> =
            ys.map(|(mut y, shortcut)| Ok(y.f_add_(shortcut)?.f_relu_()?)).collect();
        let ys = ys?;
        Ok([ys.iter().map(Tensor::shallow_clone).collect(), ys])
    }

    /// The same as `forward`, then ReLU and max-pool 3x3 of stride 2, padding 1.
    pub fn forward_pooled(&self, views: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        if train && self.is_alone() && views.iter().all(norm_pool::applies) {
            self.track(views.len())?;
            return each(views, |x| self.pooled_alone(x));
        }
        let ys = self.forward_relu(views, train)?;
        each(&ys, |y| Ok(y.f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?))
    }

    /// What evaluation does, a channel: y = scale x + shift.
    pub(super) fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let deviation = self.running_var.f_add_scalar(EPSILON)?.f_sqrt()?;
        let [scale, shift] =
            scale_and_shift([&self.weight, &self.bias], [&self.running_mean, &deviation])?;
        Ok((scale, shift))
    }

    fn track(&self, batches: usize) -> Result<()> {
        let mut count = self.num_batches_tracked.shallow_clone();
        let _ = tch::no_grad(|| count.f_add_scalar_(batches as i64))?;
        Ok(())
    }

    /// A single value has no variance.
    fn check(&self, x: &Tensor) -> Result<()> {
        let size = x.size();
        if size.iter().product::<i64>() > self.weight.size()[0] {
            return Ok(());
        }
        let expected = "more than one value per channel";
        Err(Error::shape("batch norm in training", format!("{size:?}"), expected))
    }

    /// Whether the statistics are the batch's own, and the parameters as nodes of our own take them.
    fn is_alone(&self) -> bool {
        self.synchronised.group().is_none() && self.weight.kind() == Kind::Float
    }

    /// x's mean and sqrt(var + epsilon), which also move the running ones.
    fn statistics(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        self.check(x)?;
        tch::no_grad(|| {
            let [mean, var] = if norm_relu::applies(x) {
                let [mean, var] = mean_and_variance(x)?;
                self.move_running(&mean, &var, x.numel() as f64 / mean.numel() as f64)?;
                [mean, var]
            } else {
                let running = [Some(&self.running_mean), Some(&self.running_var)];
                x.f_batch_norm_update_stats(running[0], running[1], MOMENTUM)?.into()
            };
            Ok([mean, var.f_add_scalar(EPSILON)?.f_sqrt()?])
        })
    }

    /// Towards a batch's mean and variance, which is over `count` values where the running one is over `count - 1`.
    fn move_running(&self, mean: &Tensor, var: &Tensor, count: f64) -> Result<()> {
        let _ = self.running_mean.shallow_clone().f_lerp_(mean, MOMENTUM)?;
        let var = var.f_mul_scalar(count / (count - 1.0))?;
        let _ = self.running_var.shallow_clone().f_lerp_(&var, MOMENTUM)?;
        Ok(())
    }

    fn pooled_alone(&self, x: &Tensor) -> Result<Tensor> {
        let [mean, deviation] = self.statistics(x)?;
        norm_pool::apply(x, [&self.weight, &self.bias], [&mean, &deviation])
    }

    fn forward_alone(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if train {
            self.check(x)?;
        }
        Ok(x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.running_mean),
            Some(&self.running_var),
            train,
            MOMENTUM,
            EPSILON,
            true,
        )?)
    }

    /// By the statistics of all ranks, those of every view in one message.
    fn forward_synchronised(&self, views: &[Tensor], group: &ProcessGroup) -> Result<Vec<Tensor>> {
        let norm = SyncNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: MOMENTUM,
            epsilon: EPSILON,
        };
        group.batch_norm(views, &norm)
    }
}

/// The same layer on every view.
pub fn each(views: &[Tensor], layer: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    views.iter().map(layer).collect()
}

/// ReLU in place, of every view.
pub fn relu_(views: Vec<Tensor>) -> Result<Vec<Tensor>> {
    views.into_iter().map(|mut y| Ok(y.f_relu_()?)).collect()
}

fn in_kind(tensor: &Tensor, kind: Kind) -> Result<Tensor> {
    if tensor.kind() == kind { Ok(tensor.shallow_clone()) } else { Ok(tensor.f_to_kind(kind)?) }
}
