// Keeps freed blocks of libtorch's CPU tensors for the next of their size. A training step frees and
// asks for the same sizes again and again; glibc would give the large ones back to the kernel and fault
// them in again, zeroed, page by page.

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace {

// Below, glibc's own lists serve as well.
constexpr size_t kSmallest = 256 << 10;
// Sizes are rounded up to this, so that blocks fit more than one request.
constexpr size_t kGranule = 64 << 10;

// All blocks, used and kept, are at most a quarter more than were ever in use at once, and this: batches
// of ever other sizes would otherwise each leave their blocks.
constexpr size_t kSlack = 64 << 20;

struct Block {
  void* memory;
  size_t size;
};

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
    std::list<Block> blocks;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      blocks.swap(kept_);
      by_size_.clear();
      kept_bytes_ = 0;
      most_used_ = used_bytes_;
    }
    for (const Block& block : blocks) c10::free_cpu(block.memory);
  }

  size_t cached() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_bytes_;
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
      const auto found = by_size_.lower_bound(size);
      // A much larger block would be missing elsewhere.
      if (found != by_size_.end() && found->first <= size + size / 8) {
        const Block block = *found->second;
        kept_.erase(found->second);
        by_size_.erase(found);
        kept_bytes_ -= block.size;
        use(block);
        return block.memory;
      }
    }
    const Block block{fresh(size), size};
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      use(block);
    } catch (const std::bad_alloc&) {
      c10::free_cpu(block.memory);
      throw;
    }
    return block.memory;
  }

  void use(const Block& block) {
    used_.emplace(block.memory, block.size);
    used_bytes_ += block.size;
    most_used_ = std::max(most_used_, used_bytes_);
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

  static void release(void* memory) {
    if (memory != nullptr && !instance().keep(memory)) c10::free_cpu(memory);
  }

  // False for a block that is not one of ours.
  bool keep(void* memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = used_.find(memory);
    if (found == used_.end()) return false;
    const Block block{memory, found->second};
    used_.erase(found);
    used_bytes_ -= block.size;
    // This runs in destructors, also while memory is short: a block that cannot be kept is freed.
    try {
      kept_.push_back(block);
      by_size_.emplace(block.size, std::prev(kept_.end()));
    } catch (const std::bad_alloc&) {
      if (!kept_.empty() && kept_.back().memory == memory) kept_.pop_back();
      c10::free_cpu(memory);
      return true;
    }
    kept_bytes_ += block.size;
    while (used_bytes_ + kept_bytes_ > most_used_ + most_used_ / 4 + kSlack) {
      const Block oldest = kept_.front();
      forget_oldest();
      c10::free_cpu(oldest.memory);
    }
    return true;
  }

  void forget_oldest() {
    const auto [first, last] = by_size_.equal_range(kept_.front().size);
    by_size_.erase(std::find_if(
        first, last, [&](const auto& entry) { return entry.second == kept_.begin(); }));
    kept_bytes_ -= kept_.front().size;
    kept_.pop_front();
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> used_;
  size_t used_bytes_ = 0;
  size_t most_used_ = 0;
  // The oldest first.
  std::list<Block> kept_;
  std::multimap<size_t, std::list<Block>::iterator> by_size_;
  size_t kept_bytes_ = 0;
};

}  // namespace

// Tensors made from now on come from it.
extern "C" void nnclr_cache_memory() { c10::SetCPUAllocator(&CachingAllocator::instance(), 1); }

extern "C" void nnclr_empty_cache() { CachingAllocator::instance().empty(); }

extern "C" size_t nnclr_cached_bytes() { return CachingAllocator::instance().cached(); }
