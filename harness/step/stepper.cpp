#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "nbdcheck/instruments.hpp"
#include "nbdcheck/step.hpp"
#include "step/decode.hpp"
#include "step/random_traps.hpp"
#include "step/trap.hpp"

namespace nbdcheck {
namespace {

#if defined(__x86_64__)
constexpr bool possible = true;
#else
constexpr bool possible = false;
#endif

std::vector<std::uint64_t> functions_that_do_not_return() {
  std::vector<std::uint64_t> result;
  for (const char* name : {"longjmp", "_longjmp", "siglongjmp", "__longjmp_chk", "__cxa_throw",
                           "__cxa_rethrow", "_Unwind_Resume", "_Unwind_RaiseException",
                           "_Unwind_Resume_or_Rethrow", "setcontext", "swapcontext"}) {
    if (void* address = ::dlsym(RTLD_DEFAULT, name); address != nullptr)
      result.push_back(reinterpret_cast<std::uint64_t>(address));
  }
  return result;
}

class CallFile {
 public:
  explicit CallFile(int thread)
      : fd_(::open(fmt::format("/proc/self/task/{}/syscall", thread).c_str(),
                   O_RDONLY | O_CLOEXEC)) {}
  ~CallFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  CallFile(const CallFile&) = delete;
  CallFile& operator=(const CallFile&) = delete;
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
};

// Where to stop: at both ends of loops, and where what ran since the last stop
// can have been seen by others.
void choose_points(const std::vector<std::uint64_t>& trace, bool every, Recording& result) {
  constexpr std::uint64_t outside = step::Recorder::from_outside;
  std::map<std::uint64_t, std::uint32_t> counts;
  for (const std::uint64_t address : trace) ++counts[address & ~outside];
  result.instructions = trace.size();
  result.places = counts.size();
  std::map<std::uint64_t, std::uint32_t> seen;
  bool news = true;
  for (const std::uint64_t entry : trace) {
    const std::uint64_t address = entry & ~outside;
    const std::uint32_t occurrence = ++seen[address];
    const std::uint32_t last = counts[address];
    news = news || (entry & outside) != 0;
    const bool chosen = (news || every) && (occurrence <= 2 || occurrence + 1 >= last);
    if (chosen) result.points.push_back({address, occurrence});
    news =
        (news && !chosen) || step::touches_memory(reinterpret_cast<const std::uint8_t*>(address));
  }
}

}  // namespace

Stepper::Stepper(Code code, std::vector<void*> entries)
    : code_(std::move(code)), entries_(std::move(entries)) {}

tl::expected<std::unique_ptr<Stepper>, std::string> Stepper::attach(Code code,
                                                                    std::vector<void*> entries) {
  if (!possible || under_sanitizer() || under_valgrind())
    return tl::unexpected(std::string(
        "only on x86-64, and not in a build with a sanitizer, can it be stepped through"));
  std::erase_if(
      entries, [&](void* entry) { return !code.contains(reinterpret_cast<std::uint64_t>(entry)); });
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  if (entries.empty()) return tl::unexpected(std::string("its code was not found"));
  if (std::string why = step::make_writable(code); !why.empty())
    return tl::unexpected(std::move(why));
  step::set_unreturning(functions_that_do_not_return());
  step::install_handler();
  return std::unique_ptr<Stepper>(new Stepper(std::move(code), std::move(entries)));
}

Stepper::~Stepper() = default;

std::uint64_t Stepper::traps() const { return step::current().traps.load(); }

Recording Stepper::record(StepThread& thread, const std::function<void()>& a, bool every) {
  std::vector<std::uint64_t> entries;
  for (void* entry : entries_) entries.push_back(reinterpret_cast<std::uint64_t>(entry));
  step::Recorder recorder;
  recorder.code = &code_;
  recorder.entries = &entries;
  recorder.at_entries = std::vector<step::Breakpoint>(entries.size());
  recorder.trace.reserve(longest_);
  step::Current& current = step::current();
  Recording result;
  thread.run([&] {
    current.thread = ::gettid();
    current.recorder = &recorder;
    recorder.await_entry();
    const auto begin = std::chrono::steady_clock::now();
    a();
    result.duration = std::chrono::steady_clock::now() - begin;
    recorder.stop();
    current.recorder = nullptr;
    current.thread = 0;
  });
  choose_points(recorder.trace, every, result);
  result.complete = !recorder.lost && recorder.state == step::Recorder::State::waiting;
  return result;
}

// Locked for good is told sooner than slow: both wait for locks, and nothing
// changes.
bool Stepper::ends(StepThread& thread, int b_call_file, const std::atomic<bool>& b_began) const {
  constexpr std::chrono::milliseconds look{100};
  constexpr int enough = 15;
  const CallFile call_file(thread.id());
  int locked = 0;
  for (auto waited = look; waited < limit_; waited += look) {
    if (thread.wait(look)) return true;
    const bool both =
        b_began && step::waits_for_lock(call_file.fd()) && step::waits_for_lock(b_call_file);
    locked = both ? locked + 1 : 0;
    if (locked == enough) return false;
  }
  return thread.wait(look);
}

StepOutcome Stepper::explore(StepPoint point, StepThread& a_thread, const std::function<void()>& a,
                             StepThread& b_thread, const std::function<void()>& b) {
  step::Word go;
  step::Word b_running;
  step::Word b_done;
  const CallFile b_call_file(b_thread.id());
  step::Explorer explorer;
  explorer.address = point.address;
  explorer.wanted = point.occurrence;
  explorer.go = &go;
  explorer.b_running = &b_running;
  explorer.b_done = &b_done;
  explorer.b_call_file = b_call_file.fd();
  explorer.patience = std::chrono::nanoseconds(std::chrono::milliseconds(20)).count();
  step::Current& current = step::current();

  b_thread.start([&] {
    go.wait_while(0);
    if (go.get() != 1) return;
    b_running.set(1);
    b();
    b_done.set(1);
  });
  a_thread.start([&] {
    current.thread = ::gettid();
    current.explorer = &explorer;
    explorer.at_point.plant(point.address);
    a();
    explorer.at_point.remove();
    current.explorer = nullptr;
    current.thread = 0;
  });
  StepOutcome outcome;
  outcome.a_stuck = !ends(a_thread, b_call_file.fd(), explorer.reached);
  if (!explorer.reached) go.set(2);
  outcome.b_stuck = !ends(b_thread, b_call_file.fd(), explorer.reached);
  outcome.reached = explorer.reached && !explorer.lost;
  outcome.blocked = explorer.blocked;
  return outcome;
}

}  // namespace nbdcheck
