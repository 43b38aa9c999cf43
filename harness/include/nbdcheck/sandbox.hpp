// A child process that runs hostile code, and the parent that watches it.
// The verdict is what the child *said it finished*: without the final record
// it died, whatever its exit status.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nbdcheck/status_page.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {

struct ChildSpec {
  // Command line after argv[0]; the child is this same executable
  // (/proc/self/exe), started with posix_spawn.
  std::vector<std::string> arguments;
  std::string input;                     // handed to the child, see ChildSide::input()
  std::string scratch;                   // existing directory; becomes TMPDIR of the child
  std::vector<std::string> environment;  // "NAME=value", instead of what NAME is here
  // No operation finished and no callback entered or left for this long: hung.
  std::chrono::milliseconds stall_limit{15000};
  // Hard limit on the whole child, 0: none.
  std::chrono::milliseconds wall_limit{0};
  // Resident memory above which the child is ended, bytes; 0: 3/4 of the machine.
  std::uint64_t memory_limit = 0;
  // Lines the child emitted, in order, on the thread that runs the child.
  std::function<void(std::string_view)> on_event;
  // About every 100 ms while it runs; may be empty.
  std::function<void(const StatusPage&)> on_tick;
  // Stacks cost some 100 ms a crash: off where only the kind of end matters.
  bool take_stacks = true;
};

struct StackFrame {
  std::uint64_t address = 0;
  std::string function;  // empty: unknown
  std::string module;    // file name of the object
  std::string source;    // "file.c:12", empty without debug information
};

struct ThreadStack {
  int thread_id = 0;
  bool culprit = false;  // crashed, or sits in the callback that hangs
  std::string doing;     // ".pwrite(count=4096, offset=0, flags=FUA)" or ""
  // Hung: "the mutex at 0x5640 (lock in libx.so), which thread 17 has", or "".
  std::string waits_for;
  bool in_lock_cycle = false;  // and that one, in the end, waits for this one
  std::vector<StackFrame> frames;
};

struct ChildEnd {
  enum class Kind {
    finished,     // wrote its final record and left
    crashed,      // a signal of its own making
    exited,       // exit, _exit or exec in the plugin
    hung,         // stall_limit reached
    time_limit,   // wall_limit reached while still making progress
    memory,       // memory_limit reached
    not_started,  // could not be started at all: `message`
  };
  Kind kind = Kind::not_started;
  std::string message;  // one line for a person
  int signal = 0;
  int signal_code = 0;
  std::uint64_t fault_address = 0;
  bool fault_in_guard = false;  // the address lies in the guarded-buffer arena
  bool in_unloaded = false;     // what crashed is an instruction of a plugin that was unloaded
  // Of the culprit's call: where the guarded buffer began and how long it was
  // (CallSlot::buffer, count); 0 when it had none.
  std::uint64_t buffer = 0;
  std::uint32_t buffer_size = 0;
  int exit_status = 0;
  bool thread_only = false;  // exited: pthread_exit, or pthread_cancel, of a server's thread
  std::string call;          // callback in progress, as a call: ".pread(...)"; may be ""
  Callback callback = Callback::none;
  std::string phase;             // what the check was doing
  std::uint64_t operations = 0;  // finished, over all threads
  std::int64_t plan_index = -1;  // operation of the plan in progress on the culprit
  bool event_descriptor_closed = false;
  bool forked_copy_returned = false;
  int leftover_processes = 0;  // descendants alive after its end, now killed
  std::vector<ThreadStack> stacks;
  std::string standard_output;  // last 64 KiB
  std::string standard_error;
};

// Runs one child to its end.  Kills the whole process group and whatever else
// descends from it.  May be called from several threads at once.
ChildEnd run_child(const ChildSpec& spec);

// Kills every child and whatever descends from one, before this process dies of
// a signal.  From then on run_child does not return.  Not for a signal handler.
void end_all_children();

// Multiplier for all time limits: 1, larger under sanitizers or valgrind.
double time_scale();

// The child's side.
class ChildSide {
 public:
  // REQUIRES: called first thing in main of a process started by run_child.
  // Takes the descriptors, maps the status page, installs crash handlers on
  // alternate stacks, dies with the parent.
  static ChildSide& enter();
  // For --in-process: events go to `sink`, no crash handlers.
  static ChildSide& in_process(std::function<void(std::string_view)> sink);

  [[nodiscard]] const std::string& input() const { return input_; }

  // One line (JSON without newline) to the parent.
  void emit(std::string_view line);
  // Marks the end; after it exit() is ours.  Does not return if another thread
  // has crashed or called exit() meanwhile.
  void finish();
  // Ends the process at once with status 0, running neither exit handlers nor
  // destructors: those belong to the plugin.  To see how the plugin takes a
  // normal exit, return from main instead; its death there is reported with
  // phase "exit".
  [[noreturn]] void leave();

  // For a check that forks on purpose, as nbdkit does when it daemonises:
  // called in the copy, which takes over the part of the original, which then
  // only waits for it.
  void continue_in_fork();

 private:
  ChildSide() = default;
  void take_descriptors();

  std::string input_;
  std::function<void(std::string_view)> sink_;
};

// Gives the calling thread an alternate signal stack so that a stack overflow
// in the plugin is caught; call at the start of each thread that runs
// callbacks.
void prepare_thread();

// Where the plugin has put handlers of its own over ours, puts ours over them: a
// crash is theirs to deal with, as Go does with a nil pointer, unless it is in a
// guarded buffer, and what they do not deal with is reported.  For plugins with
// a language's runtime; call when the plugin has been loaded.
void watch_for_crashes_again();

// To be called where pthread_exit comes out of a callback, before it goes on to
// end the thread.  Does not return to a child that is watched.
void thread_is_ending();

// For a check that forks on purpose, to see what the plugin does in a process
// of its own: called in the copy, where callbacks may return from then on.  It
// tells the parent nothing.
void work_in_fork();

// Whether this process may still be counted on: false in a forked copy.
bool is_original_process();

}  // namespace nbdcheck
