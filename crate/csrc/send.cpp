// A copy to a GPU that the host need not wait for: from pinned memory, of which libtorch knows until when
// the copy reads it. tch asks for such memory with a device, at which PyTorch warns.

#include <ATen/core/Tensor.h>

#include "message.h"

// The CPU tensor on CUDA device `index`, behind what its stream has to do. A new Tensor, or null and a
// message.
extern "C" at::Tensor* nnclr_send(const at::Tensor* tensor, int64_t index, char* message) {
  at::Tensor* sent = nullptr;
  nnclr::guarded(message, [&] {
    const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(index));
    const auto there = at::TensorOptions().device(device).dtype(tensor->scalar_type());
    sent = new at::Tensor(tensor->pin_memory().to(there, /*non_blocking=*/true));
  });
  return sent;
}
