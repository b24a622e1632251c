// What tch has no call for: a tensor without a gradient.

#include <ATen/core/Tensor.h>

// As `tensor.grad = None`: the next backward pass hands its gradient over instead of adding to zeros.
extern "C" void nnclr_forget_gradient(const at::Tensor* tensor) { tensor->mutable_grad().reset(); }
