// A convolution with bias, the sum with a shortcut and ReLU as one of oneDNN's operations, which libtorch
// offers to its own compiler alone.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>

#include <optional>
#include <vector>

#include "message.h"

namespace {

using at::Tensor;
using List = std::vector<int64_t>;
using Scalars = c10::List<std::optional<at::Scalar>>;

std::optional<c10::OperatorHandle> find(const char* overload) {
  return c10::Dispatcher::singleton().findSchema({"mkldnn::_convolution_pointwise", overload});
}

}  // namespace

// Whether this libtorch has it.
extern "C" bool nnclr_has_fused_conv() {
  return at::hasMKLDNN() && find("").has_value() && find("binary").has_value();
}

// relu(conv(x, weight) + bias + shortcut), each of the last two steps where asked for; `shortcut` may be
// null. A new tensor, or null and a message.
extern "C" Tensor* nnclr_fused_conv(const Tensor* x, const Tensor* weight, const Tensor* bias,
                                    const Tensor* shortcut, int64_t stride, int64_t padding,
                                    bool relu, char* message) {
  Tensor* y = nullptr;
  nnclr::guarded(message, [&] {
    const auto operation = find(shortcut ? "binary" : "");
    TORCH_CHECK(operation.has_value(), "this libtorch has no fused convolution");
    torch::jit::Stack stack;
    const List padded(2, padding), strided(2, stride), dilated(2, 1);
    const std::optional<std::string> nothing;
    if (shortcut) {
      const auto unary = relu ? std::optional<std::string>("relu") : nothing;
      torch::jit::push(stack, *x, *shortcut, *weight, *bias, padded, strided, dilated, int64_t{1},
                       std::string("add"), std::optional<at::Scalar>(), unary, Scalars(), nothing);
    } else {
      torch::jit::push(stack, *x, *weight, *bias, padded, strided, dilated, int64_t{1},
                       std::string(relu ? "relu" : "none"), Scalars(), nothing);
    }
    operation->callBoxed(&stack);
    y = new Tensor(stack.back().toTensor());
  });
  return y;
}
