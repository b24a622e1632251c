// NCCL's process group, of the libtorch_cuda that is loaded as a plug-in at run time.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace nnclr {

// Throws when no plug-in is loaded or it has no NCCL.
c10::intrusive_ptr<c10d::Backend> make_nccl(c10::intrusive_ptr<c10d::Store> store, int rank,
                                            int size, std::chrono::milliseconds timeout);

}  // namespace nnclr
