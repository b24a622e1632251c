// ProcessGroupNCCL without CUDA's and NCCL's headers: two exported constructors are looked up in the
// libtorch_cuda that the plug-in loaded. Tied to libtorch 2.13, whose sizes (280 and 1184 bytes) the
// blocks below exceed many times; another version has other names, and the look-up then fails.
//
// Not run on a GPU.

#include "nccl.h"

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include <new>

namespace nnclr {

namespace {

constexpr size_t kOptionsBytes = 8 << 10;
constexpr size_t kGroupBytes = 64 << 10;

constexpr const char* kOptionsConstructor = "_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb";
constexpr const char* kGroupConstructor =
    "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_"
    "default_null_typeIS3_EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE";

void* find(const char* name) {
#ifdef _WIN32
  return nullptr;
#else
  return dlsym(RTLD_DEFAULT, name);
#endif
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_nccl(c10::intrusive_ptr<c10d::Store> store, int rank,
                                            int size, std::chrono::milliseconds timeout) {
  // The constructor takes its options as intrusive_ptr<ProcessGroupNCCL::Options>; a pointer to the
  // base class is laid out the same.
  using Options = c10d::Backend::Options;
  using MakeOptions = void (*)(void* self, bool high_priority);
  using MakeGroup = void (*)(void* self, c10::intrusive_ptr<c10d::Store>, int, int,
                             c10::intrusive_ptr<Options>);
  const auto make_options = reinterpret_cast<MakeOptions>(find(kOptionsConstructor));
  const auto make_group = reinterpret_cast<MakeGroup>(find(kGroupConstructor));
  TORCH_CHECK(make_options != nullptr && make_group != nullptr,
              "the CUDA plug-in has no NCCL of libtorch 2.13");

  void* options_place = ::operator new(kOptionsBytes);
  make_options(options_place, false);
  auto options = c10::intrusive_ptr<Options>::unsafe_steal_from_new(
      static_cast<Options*>(options_place));
  options->timeout = timeout;

  void* group_place = ::operator new(kGroupBytes);
  try {
    make_group(group_place, std::move(store), rank, size, options);
  } catch (...) {
    ::operator delete(group_place);
    throw;
  }
  return c10::intrusive_ptr<c10d::Backend>::unsafe_steal_from_new(
      static_cast<c10d::Backend*>(group_place));
}

}  // namespace nnclr
