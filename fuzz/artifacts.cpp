#include "artifacts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "bytes.hpp"
#include "forks.hpp"
#include "guards.hpp"
#include "report/event.hpp"
#include "report/nbdsh.hpp"
#include "rules/catalogue.hpp"

namespace nbdcheck::fuzz {
namespace {

std::uint32_t hash_of(std::string_view text) {  // FNV-1a
  std::uint32_t hash = 2166136261;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  return hash;
}

// Each connection is opened where it is first used.
std::vector<Operation> with_opens(const std::vector<Operation>& operations) {
  std::vector<Operation> all;
  std::array<bool, 256> open{};
  for (const Operation& op : operations) {
    if (op.kind == OpKind::open) open[op.connection] = true;
    if (!open[op.connection] && op.kind != OpKind::close) {
      Operation opening;
      opening.kind = OpKind::open;
      opening.connection = op.connection;
      opening.thread = op.thread;
      opening.round = op.round == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(op.round - 1);
      all.push_back(opening);
      open[op.connection] = true;
    }
    if (op.kind == OpKind::close) {
      if (!open[op.connection]) continue;
      open[op.connection] = false;
    }
    all.push_back(op);
  }
  return all;
}

void write_file(const std::string& path, const std::string& text) {
  if (const auto problem = write_whole_file(path, text); !problem.empty())
    std::fprintf(stderr, "nbdcheck: %s\n", problem.c_str());
}

}  // namespace

void write_artifacts(const Context& context, const Violation& violation,
                     std::vector<Operation> operations, std::size_t original_operations) {
  Finding finding;
  finding.rule = violation.rule;
  finding.check = concurrent(operations) ? "concurrency.stress" : "data.random";
  if (const Rule* rule = find_rule(violation.rule)) {
    finding.title = rule->title;
    finding.severity = rule->severity;
  }
  finding.message = violation.message;
  finding.expected = violation.expected;
  finding.actual = violation.actual;
  finding.details = violation.details;
  finding.original_operations = original_operations;
  Plan plan;
  plan.check = finding.check;
  plan.rule = finding.rule;
  plan.plugin = context.plugin.empty() ? "PLUGIN" : context.plugin;
  plan.arguments = context.arguments;
  plan.buffers = context.buffers;
  plan.operations = with_opens(operations);
  finding.plan = plan;

  const std::string text = to_text(plan);
  const std::string base =
      fmt::format("{}/{}-{:08x}", context.directory, finding.rule, hash_of(text));
  write_file(base + ".plan", text);
  finding.plan_path = base + ".plan";
  finding.replay_command = "nbdcheck replay " + finding.plan_path;
  if (why_not_over_nbd(finding, plan).empty()) {
    NbdshContext script;
    std::error_code ignored;
    script.directory = std::filesystem::current_path(ignored);
    for (const std::string& argument : context.arguments)
      script.arguments.push_back({argument, ""});
    finding.nbdsh_path = base + ".py";
    write_file(finding.nbdsh_path, nbdsh_script(finding, plan, script));
  }
  const std::string words = finding_for_terminal(finding, {});
  write_file(base + ".txt", words);
  std::fprintf(stderr, "\n%s\n", words.c_str());
}

struct Watcher::Shared {
  std::atomic<bool> running{false};
  std::atomic<bool> forked{false};
  std::uint32_t count = 0;
  BufferMode buffers = BufferMode::direct;
  NotedFault fault;
  std::array<Operation, most_operations + 8> operations;
};

Watcher::Watcher(Context context) : context_(std::move(context)) { watch(); }

void Watcher::watch() {
  process_ = ::getpid();
  shared_ = nullptr;
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  shared_ = new (memory) Shared;
  const int original = static_cast<int>(::syscall(SYS_pidfd_open, process_, 0));
  if (original < 0) return;
  std::array<int, 2> ready{-1, -1};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return;
  std::fflush(nullptr);
  note_forks(false);
  watching_ = ::fork();
  if (watching_ != 0) {
    ::close(original);
    // Before it is out of reach, what ends us may end it.
    ::close(ready[1]);
    char nothing = 0;
    while (::read(ready[0], &nothing, 1) < 0 && errno == EINTR) {
    }
    ::close(ready[0]);
    note_forks(true);
    return;
  }
  ::setsid();  // whoever ends the other one, and its group, is not to end us
  ::close(ready[0]);
  ::close(ready[1]);
  pollfd ended{original, POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0) {
  }
  if (shared_->running.load()) {
    Violation violation;
    violation.rule = "process.crash";
    violation.message =
        "The process ended, or was ended, while these requests ran: a crash, an exit, a hang or "
        "too much memory. What the fuzzer printed before says which.";
    violation.expected = "the callbacks return";
    if (shared_->fault.noted.load()) {
      const GuardFault& fault = shared_->fault.fault;
      violation.rule = guard_rule(fault);
      violation.message = guard_message(violation.rule, fault,
                                        fault.callback == Callback::none
                                            ? "outside of any callback"
                                            : fmt::format("in .{}", name(fault.callback)));
      violation.expected = "";
    }
    context_.buffers = shared_->buffers;
    const auto count = std::min<std::size_t>(shared_->count, shared_->operations.size());
    write_artifacts(context_, violation,
                    {shared_->operations.begin(),
                     shared_->operations.begin() + static_cast<std::ptrdiff_t>(count)},
                    count);
  }
  ::_exit(0);
}

void Watcher::begin(std::span<const Operation> operations, BufferMode buffers) {
  // AFL++ configures one process, and runs the inputs in copies of it.
  if (::getpid() != process_) watch();
  if (shared_ == nullptr) return;
  const std::size_t count = std::min(operations.size(), shared_->operations.size());
  std::copy_n(operations.begin(), count, shared_->operations.begin());
  shared_->count = static_cast<std::uint32_t>(count);
  shared_->buffers = buffers;
  note_guard_faults(shared_->fault);
  shared_->running.store(true);
}

void Watcher::end() {
  if (shared_ != nullptr) shared_->running.store(false);
}

bool Watcher::is_original() {
  if (::getpid() == process_) return true;
  if (shared_ != nullptr) shared_->forked.store(true);
  return false;
}

bool Watcher::was_forked() {
  await_forks();
  return shared_ != nullptr && shared_->forked.exchange(false);
}

}  // namespace nbdcheck::fuzz
