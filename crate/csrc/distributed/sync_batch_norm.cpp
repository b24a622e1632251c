// Batch norm in training with the statistics of all ranks: `torch.nn.SyncBatchNorm`, on any device.
//
// Several inputs (the two views) are normalised each by its own statistics, and what they have to
// tell the other ranks travels in one message forward and one backward. Counts may differ between
// ranks; a rank may have nothing.

#include <torch/csrc/autograd/custom_function.h>

#include "group.h"

namespace nnclr {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

int64_t per_channel(const Tensor& x) { return x.numel() / std::max<int64_t>(1, x.size(1)); }

// A channel's numbers against `x`: `[C]` as `[1, C, 1, 1]` or `[1, C]`, in the parameters' precision.
Tensor along_channels(const Tensor& numbers, const Tensor& x, at::ScalarType kind) {
  std::vector<int64_t> shape(x.dim(), 1);
  shape[1] = numbers.size(0);
  return numbers.view(shape).to(kind);
}

// This rank's part of the statistics: [sum x, sum x^2, count] in f64.
Tensor local_sums(const Tensor& x, at::ScalarType kind) {
  const int64_t channels = x.size(1), count = per_channel(x);
  const auto wide = x.options().dtype(at::kDouble);
  Tensor sums = at::zeros({2 * channels + 1}, wide);
  if (count == 0) return sums;
  // Without running statistics in full precision, those of bf16 would come out in bf16.
  const Tensor idle = at::zeros({channels}, x.options().dtype(kind));
  const auto [mean, var] = at::batch_norm_update_stats(x, idle, idle.clone(), 0.0);
  const Tensor wide_mean = mean.to(at::kDouble);
  sums.narrow(0, 0, channels).copy_(wide_mean * count);
  sums.narrow(0, channels, channels).copy_((var.to(at::kDouble) + wide_mean.square()) * count);
  sums.narrow(0, 2 * channels, 1).fill_(count);
  return sums;
}

struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static variable_list forward(AutogradContext* context, at::TensorList xs,
                               const Tensor& weight, const Tensor& bias, Tensor running_mean,
                               Tensor running_var, double momentum, double epsilon, Group* group) {
    const int64_t channels = weight.size(0);
    const auto kind = weight.scalar_type();
    std::vector<Tensor> parts;
    for (const Tensor& x : xs) parts.push_back(local_sums(x, kind));
    Tensor sums = at::stack(parts);
    group->sum(sums);

    variable_list ys, saved(xs.begin(), xs.end());
    std::vector<double> counts;
    for (size_t view = 0; view < xs.size(); ++view) {
      const Tensor of_view = sums[static_cast<int64_t>(view)];
      const double count = of_view[2 * channels].item<double>();
      TORCH_CHECK(count > 1, "batch norm in training needs more than one value per channel");
      const Tensor mean = of_view.narrow(0, 0, channels) / count;
      const Tensor var =
          (of_view.narrow(0, channels, channels) / count - mean.square()).clamp_min(0);
      // The running variance is the unbiased one.
      running_mean.lerp_(mean.to(kind), momentum);
      running_var.lerp_((var * (count / (count - 1))).to(kind), momentum);
      const Tensor own_mean = mean.to(kind), own_var = var.to(kind);
      ys.push_back(std::get<0>(at::native_batch_norm(xs[view], weight, bias, own_mean, own_var,
                                                     /*training=*/false, 0.0, epsilon)));
      saved.push_back(own_mean);
      saved.push_back(own_var);
      counts.push_back(count);
    }
    saved.push_back(weight);
    context->save_for_backward(saved);
    context->saved_data["counts"] = counts;
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["group"] = held(group);
    return ys;
  }

  // With s = sum dy, t = sum dy * xhat over all ranks and g = dy * w / sigma:
  // dx = g - w / sigma * (s + xhat * t) / N = g + (x - mean) * p + q
  // The mean is taken off before: where it is many sigma, x * p would drown the rest in rounding.
  static variable_list backward(AutogradContext* context, variable_list dys) {
    const auto saved = context->get_saved_variables();
    const auto counts = context->saved_data["counts"].toDoubleVector();
    const double epsilon = context->saved_data["epsilon"].toDouble();
    auto& group = held(context->saved_data["group"]);
    const size_t views = counts.size();
    const Tensor& weight = saved.back();
    const int64_t channels = weight.size(0);

    variable_list dxs;
    std::vector<Tensor> parts;
    Tensor dweight = at::zeros_like(weight), dbias = at::zeros_like(weight);
    for (size_t view = 0; view < views; ++view) {
      const Tensor &x = saved[view], &mean = saved[views + 2 * view];
      const Tensor& var = saved[views + 2 * view + 1];
      const Tensor dy = dys[view].defined() ? dys[view] : at::zeros_like(x);
      Tensor sums = at::zeros({2 * channels}, weight.options().dtype(at::kDouble));
      if (x.numel() == 0) {
        dxs.push_back(at::zeros_like(x));
      } else {
        auto [scaled, dw, db] =
            at::native_batch_norm_backward(dy, x, weight, mean, var, {}, {}, /*train=*/false,
                                           epsilon, {true, true, true});
        dxs.push_back(scaled);
        // Parameters get their own rank's share, which is averaged with the other gradients.
        dweight += dw;
        dbias += db;
        sums.narrow(0, 0, channels).copy_(db);
        sums.narrow(0, channels, channels).copy_(dw);
      }
      parts.push_back(sums);
    }
    Tensor sums = at::stack(parts);
    group.sum(sums);
    for (size_t view = 0; view < views; ++view) {
      const Tensor& x = saved[view];
      if (x.numel() == 0) continue;
      const Tensor& mean = saved[views + 2 * view];
      const Tensor rsigma = (saved[views + 2 * view + 1].to(at::kDouble) + epsilon).rsqrt();
      const Tensor of_view = sums[static_cast<int64_t>(view)] / counts[view];
      const Tensor s = of_view.narrow(0, 0, channels), t = of_view.narrow(0, channels, channels);
      const Tensor scale = weight.to(at::kDouble) * rsigma;
      const Tensor p = -scale * rsigma * t;
      const Tensor q = -scale * s;
      const auto kind = weight.scalar_type();
      const Tensor centred = x.to(kind) - along_channels(mean, x, kind);
      // bf16 is rounded once, at the end.
      dxs[view] = dxs[view]
                      .to(kind)
                      .addcmul_(centred, along_channels(p, x, kind))
                      .add_(along_channels(q, x, kind))
                      .to(x.scalar_type());
    }
    variable_list result = dxs;
    result.insert(result.end(), {dweight, dbias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()});
    return result;
  }
};

}  // namespace
}  // namespace nnclr

// `ys` takes as many new tensors as there are `xs`.
extern "C" bool nnclr_sync_batch_norm(nnclr::Group* group, at::Tensor** xs, int64_t count,
                                      const at::Tensor* weight, const at::Tensor* bias,
                                      const at::Tensor* running_mean,
                                      const at::Tensor* running_var, double momentum,
                                      double epsilon, at::Tensor** ys, char* message) {
  return nnclr::guarded(message, [&] {
    torch::autograd::variable_list inputs;
    for (int64_t i = 0; i < count; ++i) inputs.push_back(*xs[i]);
    const auto outputs = nnclr::SyncBatchNorm::apply(at::TensorList(inputs), *weight, *bias, *running_mean,
                                                     *running_var, momentum, epsilon, group);
    for (int64_t i = 0; i < count; ++i) ys[i] = new at::Tensor(outputs[i]);
  });
}
