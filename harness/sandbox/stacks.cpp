#include "sandbox/stacks.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>

#include "sandbox/base_name.hpp"
#include "sandbox/describe.hpp"
#include "sandbox/dwfl.hpp"
#include "sandbox/lock_waits.hpp"

namespace nbdcheck::sandbox {
namespace {

constexpr std::size_t deepest = 64;  // frames per thread; a stack overflow has more

std::string last_part(const char* path) {
  return path == nullptr ? std::string() : std::string(base_name(path));
}

std::string demangled(const char* symbol) {
  if (symbol == nullptr) return {};
  int status = 0;
  const std::string_view with_version = symbol;  // "raise@@GLIBC_2.2.5"
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free);
  if (status == 0 && text) return text.get();
  return std::string(with_version.substr(0, with_version.find('@')));
}

// The compilation unit of an address.  Where some have no entry in the table of
// addresses, as Go's, that names the last of those that have one.
Dwarf_Die* unit_of(Dwfl_Module* module, Dwarf_Addr address, Dwarf_Addr& bias) {
  Dwarf_Die* unit = dwfl_module_addrdie(module, address, &bias);
  if (unit != nullptr && dwarf_haspc(unit, address - bias) > 0) return unit;
  unit = nullptr;
  while ((unit = dwfl_module_nextcu(module, unit, &bias)) != nullptr)
    if (dwarf_haspc(unit, address - bias) > 0) return unit;
  return nullptr;
}

std::string source_of(Dwfl_Module* module, Dwarf_Addr address) {
  Dwarf_Addr bias = 0;
  Dwarf_Die* unit = unit_of(module, address, bias);
  Dwarf_Line* line = unit != nullptr ? dwarf_getsrc_die(unit, address - bias) : nullptr;
  const char* file = line != nullptr ? dwarf_linesrc(line, nullptr, nullptr) : nullptr;
  int number = 0;
  if (file == nullptr || dwarf_lineno(line, &number) != 0) return {};
  return last_part(file) + ":" + std::to_string(number);
}

// `lookup` lies inside the calling instruction where `address` is a return
// address: the call may be the last instruction of its function.
StackFrame symbolise(Dwfl* dwfl, std::uint64_t address, std::uint64_t lookup) {
  StackFrame frame;
  frame.address = address;
  Dwfl_Module* module = dwfl_addrmodule(dwfl, lookup);
  if (module == nullptr) return frame;
  const char* file = nullptr;
  const char* name =
      dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, &file, nullptr);
  frame.module = last_part(file != nullptr ? file : name);
  frame.function = demangled(dwfl_module_addrname(module, lookup));
  frame.source = source_of(module, lookup);
  return frame;
}

struct Walk {
  Dwfl* dwfl;
  const StatusPage& page;
  Stacks& result;
  ThreadStack* current = nullptr;
};

int on_frame(Dwfl_Frame* state, void* argument) {
  auto& walk = *static_cast<Walk*>(argument);
  Dwarf_Addr address = 0;
  bool activation = false;
  if (!dwfl_frame_pc(state, &address, &activation)) return DWARF_CB_ABORT;
  walk.current->frames.push_back(symbolise(walk.dwfl, address, activation ? address : address - 1));
  return walk.current->frames.size() < deepest ? DWARF_CB_OK : DWARF_CB_ABORT;
}

int on_thread(Dwfl_Thread* thread, void* argument) {
  auto& walk = *static_cast<Walk*>(argument);
  ThreadStack stack;
  stack.thread_id = dwfl_thread_tid(thread);
  const int crashed = walk.page.crash_thread.load();
  if (const CallSlot* slot = slot_of(walk.page, stack.thread_id); slot != nullptr) {
    stack.doing = describe_call(*slot);
  }
  stack.culprit = crashed != 0 ? crashed == stack.thread_id : !stack.doing.empty();
  walk.current = &stack;
  // Its result tells nothing: the end of a stack without proper unwind
  // information is an error too.  What was got counts.
  const bool complete = dwfl_thread_getframes(thread, on_frame, &walk) == 0;
  if (stack.frames.empty() && !complete && walk.result.problem.empty()) {
    walk.result.problem = dwfl_errmsg(-1);
  }
  walk.result.threads.push_back(std::move(stack));
  return DWARF_CB_OK;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Functions between the one to blame and the death of the process.
bool is_messenger(const StackFrame& frame) {
  const std::string_view function = frame.function;
  for (const char* runtime : {"__asan", "__tsan", "__ubsan", "__msan", "__lsan", "__sanitizer"}) {
    if (function.starts_with(runtime)) return true;
  }
  if (frame.module.starts_with("libasan.") || frame.module.starts_with("libtsan.") ||
      frame.module.starts_with("libubsan.")) {
    return true;
  }
  return function == "raise" || function == "gsignal" || contains(function, "pthread_kill") ||
         function == "tgkill" || function == "__restore_rt" ||
         contains(function, "on_exit_called") || contains(function, "run_exit_handlers");
}

// Where the unwinder could not help: the instruction that crashed, and who
// jumped there.
void complete_culprit(Dwfl* dwfl, const StatusPage& page, ThreadStack& stack) {
  const std::uint64_t instruction = page.instruction;
  const bool seen =
      std::any_of(stack.frames.begin(), stack.frames.end(),
                  [instruction](const StackFrame& frame) { return frame.address == instruction; });
  if (page.signal != 0 && !seen) {
    stack.frames.assign(1, symbolise(dwfl, instruction, instruction));
  }
  trim_to_blame(stack.frames, page.signal != 0 ? instruction : 0);
  if (page.caller != 0 && stack.frames.size() == 1) {
    stack.frames.push_back(symbolise(dwfl, page.caller, page.caller - 1));
  }
}

// Where static data lie: "lock in libx.so"; "": elsewhere, or unknown.
std::string name_of_data(Dwfl* dwfl, std::uint64_t address) {
  Dwfl_Module* module = dwfl_addrmodule(dwfl, address);
  if (module == nullptr) return {};
  GElf_Off offset = 0;
  GElf_Sym symbol{};
  const char* name =
      dwfl_module_addrinfo(module, address, &offset, &symbol, nullptr, nullptr, nullptr);
  const char* file = nullptr;
  const char* module_name =
      dwfl_module_info(module, nullptr, nullptr, nullptr, nullptr, nullptr, &file, nullptr);
  const std::string where = last_part(file != nullptr ? file : module_name);
  return name == nullptr ? "in " + where : fmt::format("{} in {}", demangled(name), where);
}

void add_waits(Dwfl* dwfl, std::span<const LockWait> waits, std::vector<ThreadStack>& threads) {
  for (const LockWait& wait : waits) {
    const auto stack = std::ranges::find(threads, wait.thread, &ThreadStack::thread_id);
    if (stack == threads.end()) continue;
    const std::string name = name_of_data(dwfl, wait.mutex);
    const bool alive =
        std::ranges::find(threads, wait.owner, &ThreadStack::thread_id) != threads.end();
    stack->waits_for = fmt::format(
        "the mutex at {:#x}{}, which {}", wait.mutex, name.empty() ? "" : " (" + name + ")",
        wait.owner == wait.thread ? "it has itself"
        : alive                   ? fmt::format("thread {} has", wait.owner)
                                  : fmt::format("thread {} had when it ended", wait.owner));
    stack->in_lock_cycle = wait.in_cycle;
  }
}

}  // namespace

void trim_to_blame(std::vector<StackFrame>& frames, std::uint64_t instruction) {
  auto first = frames.begin();
  if (instruction != 0) {
    const auto crash = std::find_if(
        frames.begin(), frames.end(),
        [instruction](const StackFrame& frame) { return frame.address == instruction; });
    if (crash != frames.end()) first = crash;
  }
  constexpr std::ptrdiff_t most = 24;
  const auto end = first + std::min(most, frames.end() - first);
  auto keep = first;
  for (auto frame = first; frame != end; ++frame) {
    if (is_messenger(*frame)) keep = frame + 1;
    if (instruction == 0 && frame->function == "exit") {
      keep = frame;
      break;
    }
  }
  if (keep == frames.end()) keep = first;
  frames.erase(frames.begin(), keep);
}

Stacks take_stacks(int process, const StatusPage& page) {
  // elfutils makes no promise about threads.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  Stacks result;
  const DwflPointer dwfl = dwfl_for(process);
  if (!dwfl) {
    result.problem = "cannot read the memory map of the child";
    return result;
  }
  // Before its threads are stopped to look at them.
  const std::vector<LockWait> waits = lock_waits(process);
  Walk walk{dwfl.get(), page, result};
  if (dwfl_linux_proc_attach(dwfl.get(), process, false) != 0) {
    result.problem = dwfl_errmsg(-1);
  } else {
    dwfl_getthreads(dwfl.get(), on_thread, &walk);
  }
  const int crashed = page.crash_thread.load();
  const auto by_id = [crashed](const ThreadStack& stack) { return stack.thread_id == crashed; };
  if (crashed != 0 && std::none_of(result.threads.begin(), result.threads.end(), by_id)) {
    ThreadStack stack;
    stack.thread_id = crashed;
    stack.culprit = true;
    if (const CallSlot* slot = slot_of(page, crashed)) stack.doing = describe_call(*slot);
    result.threads.push_back(std::move(stack));
  }
  for (ThreadStack& stack : result.threads) {
    if (stack.thread_id == crashed) complete_culprit(dwfl.get(), page, stack);
  }
  add_waits(dwfl.get(), waits, result.threads);
  std::stable_partition(result.threads.begin(), result.threads.end(),
                        [](const ThreadStack& stack) { return stack.culprit; });
  return result;
}

}  // namespace nbdcheck::sandbox
