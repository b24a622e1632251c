// Keeps freed blocks of libtorch's CPU tensors for the next of their size. A training step frees and
// asks for the same sizes again and again; glibc would give the large ones back to the kernel and fault
// them in again, zeroed, page by page.

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <map>
#include <mutex>
#include <unordered_map>

namespace {

// Below, glibc's own lists serve as well.
constexpr size_t kSmallest = 256 << 10;
// Sizes are rounded up to this, so that blocks fit more than one request.
constexpr size_t kGranule = 64 << 10;

class CachingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes < kSmallest ? c10::alloc_cpu(bytes) : large(bytes);
    return {block, block, &release, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

  // Gives everything that is not in use back to the system.
  void empty() {
    std::multimap<size_t, void*> blocks;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      blocks.swap(free_);
      cached_ = 0;
    }
    for (const auto& [size, block] : blocks) c10::free_cpu(block);
  }

  size_t cached() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return cached_;
  }

  // Never destroyed: tensors may outlive static objects.
  static CachingAllocator& instance() {
    static auto* allocator = new CachingAllocator();
    return *allocator;
  }

 private:
  void* large(size_t bytes) {
    const size_t size = (bytes + kGranule - 1) / kGranule * kGranule;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = free_.lower_bound(size);
      // A much larger block would be missing elsewhere.
      if (found != free_.end() && found->first <= size + size / 8) {
        void* block = found->second;
        cached_ -= found->first;
        used_.emplace(block, found->first);
        free_.erase(found);
        return block;
      }
    }
    void* block = fresh(size);
    const std::lock_guard<std::mutex> lock(mutex_);
    used_.emplace(block, size);
    return block;
  }

  void* fresh(size_t size) {
    try {
      return c10::alloc_cpu(size);
    } catch (const std::exception&) {
      // What lies here unused may be what is missing.
      empty();
      return c10::alloc_cpu(size);
    }
  }

  static void release(void* block) {
    if (block == nullptr) return;
    CachingAllocator& self = instance();
    {
      const std::lock_guard<std::mutex> lock(self.mutex_);
      const auto found = self.used_.find(block);
      if (found != self.used_.end()) {
        self.cached_ += found->second;
        self.free_.emplace(found->second, block);
        self.used_.erase(found);
        return;
      }
    }
    c10::free_cpu(block);
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  std::multimap<size_t, void*> free_;
  size_t cached_ = 0;
};

}  // namespace

// Tensors made from now on come from it.
extern "C" void nnclr_cache_memory() { c10::SetCPUAllocator(&CachingAllocator::instance(), 1); }

extern "C" void nnclr_empty_cache() { CachingAllocator::instance().empty(); }

extern "C" size_t nnclr_cached_bytes() { return CachingAllocator::instance().cached(); }
