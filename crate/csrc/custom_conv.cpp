// A convolution with its own forward and backward as one node of autograd. Both are written in Rust
// (crate/src/nn/custom_conv.rs) and come as function pointers; PyTorch's counterpart is
// torch.autograd.Function.

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

// Each gives false and a message when it fails; a result is a new Tensor that the caller owns.
struct Callbacks {
  bool (*forward)(const Tensor* x, const Tensor* weight, Tensor** y, char* message);
  // `dx` or `dweight` is null when nobody asks for it.
  bool (*backward)(const Tensor* x, const Tensor* weight, const Tensor* dy, Tensor** dx,
                   Tensor** dweight, char* message);
};

struct CustomConv : torch::autograd::Function<CustomConv> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                        const Callbacks* callbacks) {
    context->save_for_backward({x, weight});
    context->saved_data["backward"] = reinterpret_cast<int64_t>(callbacks->backward);
    char message[kMessage] = "";
    Tensor* y = nullptr;
    if (!callbacks->forward(&x, &weight, &y, message)) throw std::runtime_error(message);
    return take(y);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto callback =
        reinterpret_cast<decltype(Callbacks::backward)>(context->saved_data["backward"].toInt());
    char message[kMessage] = "";
    Tensor* dx = nullptr;
    Tensor* dweight = nullptr;
    const bool wants_x = context->needs_input_grad(0);
    const bool wants_weight = context->needs_input_grad(1);
    if (!callback(&saved[0], &saved[1], &gradients[0], wants_x ? &dx : nullptr,
                  wants_weight ? &dweight : nullptr, message)) {
      throw std::runtime_error(message);
    }
    return {wants_x ? take(dx) : Tensor(), wants_weight ? take(dweight) : Tensor(), Tensor()};
  }
};

}  // namespace

// The convolution's result as a new Tensor, or null and a message.
extern "C" Tensor* nnclr_custom_conv(const Tensor* x, const Tensor* weight,
                                     const Callbacks* callbacks, char* message) {
  Tensor* y = nullptr;
  nnclr::guarded(message, [&] { y = new Tensor(CustomConv::apply(*x, *weight, callbacks)); });
  return y;
}
