// A tensor that Rust hands over.

#pragma once

#include <ATen/core/Tensor.h>

namespace nnclr {

inline at::Tensor take(at::Tensor* owned) {
  at::Tensor result = std::move(*owned);
  delete owned;
  return result;
}

}  // namespace nnclr
