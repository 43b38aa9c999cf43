#include "command/interruption.hpp"

#include <pthread.h>

#include <utility>

namespace nbdcheck {
namespace {

constexpr int end_of_watch = SIGUSR2;  // one that may be ignored would not wake the thread

bool is_ignored(int signal) {
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

Interruption::Interruption() {
  ::sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (!is_ignored(signal)) ::sigaddset(&signals_, signal);
  ::sigaddset(&signals_, end_of_watch);
  ::pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

void Interruption::watch(std::function<void()> clean_up) {
  clean_up_ = std::move(clean_up);
  thread_ = std::thread([this] {
    int signal = 0;
    if (::sigwait(&signals_, &signal) != 0 || decided_.exchange(true)) return;
    clean_up_();
    ::signal(signal, SIG_DFL);
    ::pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
    ::raise(signal);
  });
}

Interruption::~Interruption() {
  if (!thread_.joinable()) return;
  // When a signal came first, this waits for the end of the process.
  if (!decided_.exchange(true)) ::pthread_kill(thread_.native_handle(), end_of_watch);
  thread_.join();
}

}  // namespace nbdcheck
