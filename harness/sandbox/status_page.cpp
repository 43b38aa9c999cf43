#include "nbdcheck/status_page.hpp"

#include <unistd.h>

#include <cstddef>

#include "sandbox/page.hpp"

namespace nbdcheck {
namespace {

// A stopped or killed process leaves its stores behind only if they are plain
// memory accesses.
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<StatusPage::End>::is_always_lock_free);

constinit StatusPage private_page{};
constinit std::atomic<StatusPage*> current_page{&private_page};
constinit std::atomic<StatusPage*> parents_page{nullptr};

// For threads beyond StatusPage::max_threads: not seen by the parent.
constinit thread_local CallSlot surplus_slot{};

struct SlotReturner {
  CallSlot* slot = nullptr;

  ~SlotReturner() {
    // Inside a callback: the plugin called exit() or pthread_exit(), and the
    // slot is the witness.
    if (slot != nullptr && slot->in_callback()) return;
    detail::this_threads_slot = nullptr;
    if (slot == nullptr) return;
    slot->callback.store(0, std::memory_order_relaxed);
    slot->thread_id.store(0, std::memory_order_release);
  }
};
thread_local SlotReturner returner;

void clear(CallSlot& slot) {
  slot.callback.store(0, std::memory_order_relaxed);
  slot.returned.store(0, std::memory_order_relaxed);
  slot.connection = 0;
  slot.count = 0;
  slot.flags = 0;
  slot.offset = 0;
  slot.plan_index.store(no_plan, std::memory_order_relaxed);
}

}  // namespace

constinit thread_local CallSlot* detail::this_threads_slot = nullptr;

CallSlot& detail::claim_slot() {
  StatusPage& page = status_page();
  const std::int32_t self = ::gettid();
  for (CallSlot& slot : page.slots) {
    std::int32_t unused = 0;
    if (slot.thread_id.load(std::memory_order_relaxed) != 0 ||
        !slot.thread_id.compare_exchange_strong(unused, self, std::memory_order_acquire)) {
      continue;
    }
    clear(slot);
    returner.slot = &slot;
    this_threads_slot = &slot;
    return slot;
  }
  clear(surplus_slot);
  surplus_slot.thread_id.store(self, std::memory_order_relaxed);
  this_threads_slot = &surplus_slot;
  return surplus_slot;
}

StatusPage& status_page() { return *current_page.load(std::memory_order_acquire); }

void note_unloaded(std::uint64_t begin, std::uint64_t end) {
  StatusPage& page = status_page();
  for (const StatusPage::Extent& extent : page.unloaded)
    if (extent.begin.load() == begin && extent.end.load() == end) return;  // loaded there again
  StatusPage::Extent& extent =
      page.unloaded[page.unloaded_count.fetch_add(1) % StatusPage::max_unloaded];
  extent.begin.store(begin);
  extent.end.store(end);
}

void set_phase(const char* text) {
  StatusPage& page = status_page();
  // Byte-wise atomic: two threads may set the phase at once, and the parent
  // reads at any time.  The last byte stays 0.
  std::size_t at = 0;
  for (; at + 1 < sizeof page.phase && text[at] != '\0'; ++at) {
    std::atomic_ref<char>(page.phase[at]).store(text[at], std::memory_order_relaxed);
  }
  std::atomic_ref<char>(page.phase[at]).store('\0', std::memory_order_relaxed);
  page.heartbeat.fetch_add(1, std::memory_order_relaxed);
}

namespace sandbox {

void use_page(StatusPage* page) {
  parents_page.store(page, std::memory_order_release);
  current_page.store(page, std::memory_order_release);
}

void leave_shared_page() {
  current_page.store(&private_page, std::memory_order_release);
  CallSlot* slot = detail::this_threads_slot;
  detail::this_threads_slot = nullptr;
  // The copy may come from a raw clone() under a held malloc lock: do not make
  // the thread-local object come into being here.
  if (slot != nullptr && slot != &surplus_slot) returner.slot = nullptr;
}

StatusPage* shared_page() { return parents_page.load(std::memory_order_acquire); }

}  // namespace sandbox
}  // namespace nbdcheck
