// Batch norm by the batch's own statistics, ReLU and max-pool as one node of autograd. Both directions
// are written in Rust (crate/src/nn/norm_pool/mod.rs) and come as function pointers.

#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>

#include "message.h"
#include "owned.h"

namespace {

using at::Tensor;
using nnclr::kMessage;
using nnclr::take;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Each gives false and a message when it fails; results are new Tensors that the caller owns.
struct Callbacks {
  // Of [x, weight, bias, mean, deviation] the pooled values and the places where they were.
  bool (*forward)(const Tensor* const* inputs, Tensor** results, char* message);
  // Of [x, weight, mean, deviation, places, dy] the gradients of x, weight and bias.
  bool (*backward)(const Tensor* const* inputs, Tensor** gradients, char* message);
};

struct NormPool : torch::autograd::Function<NormPool> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Tensor& mean, const Tensor& deviation,
                        const Callbacks* callbacks) {
    char message[kMessage] = "";
    const Tensor* const inputs[] = {&x, &weight, &bias, &mean, &deviation};
    Tensor* results[2] = {};
    if (!callbacks->forward(inputs, results, message)) throw std::runtime_error(message);
    context->save_for_backward({x, weight, mean, deviation, take(results[1])});
    context->saved_data["backward"] = reinterpret_cast<int64_t>(callbacks->backward);
    return take(results[0]);
  }

  static variable_list backward(AutogradContext* context, variable_list dys) {
    const auto saved = context->get_saved_variables();
    const auto callback =
        reinterpret_cast<decltype(Callbacks::backward)>(context->saved_data["backward"].toInt());
    char message[kMessage] = "";
    const Tensor* const inputs[] = {&saved[0], &saved[1], &saved[2],
                                    &saved[3], &saved[4], &dys[0]};
    Tensor* gradients[3] = {};
    if (!callback(inputs, gradients, message)) throw std::runtime_error(message);
    return {take(gradients[0]), take(gradients[1]), take(gradients[2]), {}, {}, {}};
  }
};

}  // namespace

// The pooled values as a new Tensor, or null and a message.
extern "C" Tensor* nnclr_norm_pool(const Tensor* x, const Tensor* weight, const Tensor* bias,
                                   const Tensor* mean, const Tensor* deviation,
                                   const Callbacks* callbacks, char* message) {
  Tensor* y = nullptr;
  nnclr::guarded(message, [&] {
    y = new Tensor(NormPool::apply(*x, *weight, *bias, *mean, *deviation, callbacks));
  });
  return y;
}
