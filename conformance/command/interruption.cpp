#include "command/interruption.hpp"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace nbdcheck {
namespace {

sigset_t interruptions() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, signal);
  return set;
}

}  // namespace

Interruption::Interruption(std::function<void()> clean_up) : clean_up_(std::move(clean_up)) {
  const sigset_t set = interruptions();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  thread_ = std::thread([this] {
    const sigset_t waited = interruptions();
    int signal = 0;
    if (::sigwait(&waited, &signal) != 0 || decided_.exchange(true)) return;
    clean_up_();
    ::signal(signal, SIG_DFL);
    ::pthread_sigmask(SIG_UNBLOCK, &waited, nullptr);
    ::raise(signal);
  });
}

Interruption::~Interruption() {
  // When a signal came first, this waits for the end of the process.
  if (!decided_.exchange(true)) ::pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

}  // namespace nbdcheck
