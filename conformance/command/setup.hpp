// What a command that runs a plugin needs, made ready: the file found, the
// backing files copied, a scratch directory, children.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "backing/backing_files.hpp"
#include "backing/scratch_directory.hpp"
#include "cli/options.hpp"
#include "command/interruption.hpp"
#include "command/subject_file.hpp"
#include "job.hpp"
#include "report/event.hpp"
#include "report/nbdsh.hpp"
#include "runner/children.hpp"

namespace nbdcheck {

class Setup {
 public:
  // The error is one line, for exit code 2.
  static tl::expected<std::unique_ptr<Setup>, std::string> make(
      const Options& options, const std::string& plugin, const std::vector<std::string>& arguments);

  Children& children() { return *children_; }

  SubjectFile file;
  Request request;
  std::vector<std::string> notes;
  bool one_at_a_time = false;  // children share files: never two at once
  std::chrono::milliseconds stall{15000};
  NbdshContext script;    // of this run, for the scripts of its findings
  std::string no_script;  // why none are written; empty: they are
  std::string program;    // how this command was called, for replay commands

 private:
  Setup() = default;
  [[nodiscard]] std::string magic_config_key(const std::vector<std::string>& arguments) const;

  std::optional<ScratchDirectory> scratch_;
  Interruption interruption_;
  std::optional<BackingFiles> backing_;
  std::unique_ptr<Children> children_;
};

// The real nbdkit, as --nbdkit asks; the error is one line, for exit code 2.
tl::expected<void, std::string> find_nbdkit(const std::string& wanted, Request& request);

// Says it in one line on stderr; returns 2.
// Goes on as the build that the plugin needs, in its stead, if there is one that
// this is not: then it does not return.  Prepares for --valgrind.  0: go on; else
// the exit status, of what has been said.
int become_matching_build(const Options& options, const std::string& plugin);

int bad_input(const std::string& what);

TerminalStyle terminal_style(const Options& options);

}  // namespace nbdcheck
