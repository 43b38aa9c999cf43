#include "guards.hpp"

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include "nbdcheck/status_page.hpp"

namespace nbdcheck::fuzz {
namespace {

// What a signal handler can reach.
std::atomic<NotedFault*> noted_in = nullptr;
constexpr std::array handled{SIGSEGV, SIGBUS};
std::array<struct sigaction, handled.size()> others{};

void note(const siginfo_t* info) {
  NotedFault* const where = noted_in.load();
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const StatusPage& page = status_page();
  if (where == nullptr || address < page.guard_begin.load() || address >= page.guard_end.load())
    return;
  where->fault = {.address = address};
  // A thread of the plugin's own has no call.
  if (const CallSlot* const slot = detail::this_threads_slot; slot != nullptr) {
    where->fault.buffer = slot->buffer;
    where->fault.buffer_size = slot->count;
    if (slot->in_callback()) where->fault.callback = static_cast<Callback>(slot->callback.load());
  }
  where->noted.store(true);
}

void handle(int signal, siginfo_t* info, void* context) {
  note(info);
  for (std::size_t i = 0; i < handled.size(); ++i) {
    if (handled[i] != signal) continue;
    if ((others[i].sa_flags & SA_SIGINFO) != 0)
      return others[i].sa_sigaction(signal, info, context);
    // Without a handler of theirs the same instruction ends the process.
    ::sigaction(signal, &others[i], nullptr);
  }
}

}  // namespace

void note_guard_faults(NotedFault& where) {
  const bool installed = noted_in.exchange(&where) != nullptr;
  if (installed) return;
  for (std::size_t i = 0; i < handled.size(); ++i) {
    struct sigaction action {};
    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigaction(handled[i], &action, &others[i]);
  }
}

}  // namespace nbdcheck::fuzz
