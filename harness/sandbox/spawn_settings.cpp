#include "sandbox/spawn_settings.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>

namespace nbdcheck::sandbox {
namespace {

// In a process that shares our memory until it executes another program: nothing
// but system calls.
[[maybe_unused]] void default_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &plain, nullptr);
  ::sigprocmask(SIG_SETMASK, &plain.sa_mask, nullptr);
}

}  // namespace

int SpawnSettings::start_tied(pid_t& pid, const char* file, char** arguments, char** environment) {
#if defined(__SANITIZE_THREAD__)
  // Its vfork is a fork, which could not tell us why a program did not start.
  return start(pid, file, arguments, environment);
#else
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);  // our handlers are not for its eyes
  const pid_t parent = ::getpid();
  volatile int error = 0;
  // posix_spawn cannot say PR_SET_PDEATHSIG, and that only here nothing is missed.
  const pid_t child = ::vfork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(EXIT_FAILURE);  // it died before that
    ::setsid();
    for (const auto& [from, to] : given_) ::dup2(from, to);
    if (first_closed_ >= 0) ::close_range(static_cast<unsigned>(first_closed_), ~0U, 0);
    default_signals();
    ::execvpe(file, arguments, environment);
    error = errno;
    ::_exit(EXIT_FAILURE);
  }
  const int failed = child < 0 ? errno : error;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child > 0 && failed != 0) ::waitpid(child, nullptr, 0);
  if (failed == 0) pid = child;
  return failed;
#endif
}

}  // namespace nbdcheck::sandbox
