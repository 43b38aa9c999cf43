// One page of memory shared by a child and the parent that watches it.  It
// survives whatever the plugin does to descriptors, stdio or the process, so
// the parent always knows: is it making progress, which callback was running
// with which arguments, and how it died.
//
// Written by the child (harness/server and the crash handler), read by the
// parent (harness/sandbox).  In a program without a parent, status_page() is a
// private page nobody reads.
#pragma once

#include <atomic>
#include <cstdint>

#include "nbdcheck/types.hpp"

namespace nbdcheck {

// What one thread is doing.  Plain stores; a reader may see a torn mixture
// only while the thread is running, never after it stopped.
struct CallSlot {
  std::atomic<std::int32_t> thread_id;  // gettid(); 0: slot unused
  std::atomic<std::uint8_t> callback;   // Callback; none: in our own code
  std::atomic<std::uint8_t> returned;   // 1: the last callback came back
  std::int32_t connection;              // Connection::number(), 0: none
  std::uint32_t count;
  std::uint32_t flags;  // plugin_flag bits as passed
  std::uint64_t offset;
  std::uint64_t buffer;  // address handed to .pread or .pwrite in a guarded mode, else 0
  std::atomic<std::uint64_t> operations;  // finished so far: the heartbeat
  std::atomic<std::uint64_t> plan_index;  // operation of the plan in progress

  // Whether the thread is inside the plugin.  Safe in a signal handler.
  [[nodiscard]] bool in_callback() const {
    const auto which = callback.load();
    return thread_id.load() != 0 && which != 0 && returned.load() == 0 &&
           which < static_cast<std::uint8_t>(Callback::count_);  // the plugin can write here too
  }
};

struct StatusPage {
  static constexpr int max_threads = 256;

  enum class End : std::uint32_t {
    running,
    crashed,       // signal handler entered; `signal`... are valid, the child waits
    exit_called,   // exit() ran while a callback was in progress; the child waits
    thread_ended,  // pthread_exit in a callback; the child waits
    finished,      // the final record was written
  };
  std::atomic<End> end;
  std::atomic<std::int32_t> process;  // the one at work: the child, or a copy it made on purpose
  std::atomic<std::int32_t> crash_thread;
  std::int32_t signal;          // 0 with End::crashed: ended by a sanitizer
  std::int32_t signal_code;     // si_code
  std::uint64_t fault_address;  // si_addr
  std::uint64_t instruction;    // program counter
  std::uint64_t caller;         // after a jump to a bad address: who jumped
  std::int32_t exit_status;
  std::atomic<std::uint32_t> release;      // parent sets 1: stop waiting, die
  std::atomic<std::uint32_t> event_loss;   // the event descriptor was closed under us
  std::atomic<std::uint32_t> forked_copy;  // a callback returned in a forked copy too
  std::atomic<std::uint64_t> heartbeat;    // progress outside of requests
  // Ranges a wild access can be told by: see GuardKind in buffers.hpp.
  std::atomic<std::uint64_t> guard_begin;  // arena of guarded buffers
  std::atomic<std::uint64_t> guard_end;
  // Where objects were that came with plugins and are unloaded, or about to be: the
  // latest.
  struct Extent {
    std::atomic<std::uint64_t> begin;
    std::atomic<std::uint64_t> end;
  };
  static constexpr std::uint32_t max_unloaded = 64;
  Extent unloaded[max_unloaded];
  std::atomic<std::uint32_t> unloaded_count;  // so far
  char phase[64];                             // what the check is doing, for a person
  CallSlot slots[max_threads];
};

StatusPage& status_page();

namespace detail {
extern constinit thread_local CallSlot* this_threads_slot;
CallSlot& claim_slot();

// Set in the child of a fork() that this process did not mean; looked at after
// each callback.
extern constinit std::atomic<bool> ends_after_callback;
// Tells the parent, and ends the copy without running anything of the plugin's.
[[noreturn]] void end_forked_copy();
}  // namespace detail

// This thread's slot; claimed at first use, given back at thread end.  A slot
// keeps counting `operations` from one owner to the next, so that the sum over
// all slots never falls.  `plan_index` is no_plan until the owner sets it.
inline CallSlot& my_slot() {
  CallSlot* slot = detail::this_threads_slot;
  return slot != nullptr ? *slot : detail::claim_slot();
}

inline constexpr std::uint64_t no_plan = ~std::uint64_t{0};

// From now on an instruction there that is not in memory is one of a plugin that was
// unloaded: a thread was left behind.
void note_unloaded(std::uint64_t begin, std::uint64_t end);

// Sets the phase shown when the check dies or hangs: "reading the last byte".
// Counts as progress.
void set_phase(const char* text);

}  // namespace nbdcheck
