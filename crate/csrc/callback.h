// What nodes of autograd with directions in Rust have in common.

#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <stdexcept>

namespace nnclr {

// Bytes of a message, with its end.
constexpr size_t kMessage = 512;

inline at::Tensor take(at::Tensor* owned) {
  at::Tensor result = std::move(*owned);
  delete owned;
  return result;
}

// What `work` gives as a new Tensor, or null and the exception's message.
template <class Work>
at::Tensor* guarded(char* message, Work work) {
  try {
    return new at::Tensor(work());
  } catch (const std::exception& error) {
    std::strncpy(message, error.what(), kMessage - 1);
    return nullptr;
  }
}

}  // namespace nnclr
