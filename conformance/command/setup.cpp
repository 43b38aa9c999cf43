#include "command/setup.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "cli/terminal.hpp"
#include "instruments/matching.hpp"
#include "instruments/valgrind.hpp"
#include "nbdcheck/instruments.hpp"
#include "nbdcheck/nbdkit.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/server.hpp"
#include "runner/sha256.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// Kept for as long as the process: execv wants pointers.
std::vector<char*> arguments_of_this_process() {
  static std::string text = [] {
    std::ifstream file("/proc/self/cmdline", std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }();
  std::vector<char*> arguments;
  for (std::size_t at = 0; at < text.size(); at = text.find('\0', at) + 1)
    arguments.push_back(text.data() + at);
  if (!arguments.empty()) arguments.push_back(nullptr);
  return arguments;
}

bool names_argument(const std::string& key, const std::vector<std::string>& arguments,
                    const std::string& magic_config_key) {
  return std::any_of(arguments.begin(), arguments.end(), [&](const std::string& text) {
    const Parameter parameter = parse_parameter(text);
    return key == (parameter.bare ? magic_config_key : parameter.key);
  });
}

}  // namespace

tl::expected<std::unique_ptr<Setup>, std::string> Setup::make(
    const Options& options, const std::string& plugin, const std::vector<std::string>& arguments) {
  auto file = find_subject_file(plugin);
  if (!file) return tl::unexpected(file.error());

  std::unique_ptr<Setup> setup(new Setup);
  auto scratch = ScratchDirectory::make();
  if (!scratch) return tl::unexpected(scratch.error());
  setup->scratch_.emplace(std::move(*scratch));
  setup->interruption_.watch([&place = *setup->scratch_] {
    end_all_children();
    place.remove();
  });
  setup->file = std::move(*file);
  setup->file.sha256 = sha256_of_file(setup->file.path);
  Request& request = setup->request;
  request.plugin = setup->file.name;
  request.export_name = options.export_name;
  request.readonly = options.readonly;
  request.unstable_contents = options.unstable_contents;
  request.atomic_consistency = options.consistency == Consistency::atomic;
  request.persistence = options.persistence;
  request.effort = options.profile;
  // The same plans every time, unless another seed is asked for: a test suite
  // must not change its mind from one run to the next.
  request.seed = options.seed.value_or(1);
  if (options.timeout)
    setup->stall = std::chrono::milliseconds(static_cast<std::int64_t>(*options.timeout * 1000));
  setup->program = "nbdcheck";
  if (auto beside = find_nbdkit(options.nbdkit, request); !beside)
    return tl::unexpected(beside.error());
  request.arguments = arguments;

  auto pristine = setup->scratch_->subdirectory("pristine");
  if (!pristine) return tl::unexpected(pristine.error());
  const std::string magic = setup->magic_config_key(arguments);
  for (const std::string& key : options.backing)
    if (!names_argument(key, arguments, magic))
      return tl::unexpected(fmt::format("--backing={0}: no argument is {0}=...", printable(key)));
  request.backing = options.backing;
  auto backing =
      BackingFiles::prepare(arguments, {magic, options.backing}, *pristine, options.write_in_place);
  if (!backing) return tl::unexpected(backing.error());
  setup->backing_ = std::move(*backing);
  setup->notes = setup->backing_->notes();
  std::error_code ignored;
  setup->script.directory = std::filesystem::current_path(ignored);
  for (BackingFiles::Named& argument : setup->backing_->named(arguments))
    setup->script.arguments.push_back({std::move(argument.text), std::move(argument.file)});
  if (options.write_in_place)
    setup->no_script = "a script would write to the files themselves (--write-in-place)";
  setup->one_at_a_time = setup->backing_->shared_by_children();
  request.readonly = request.readonly || setup->backing_->force_readonly();
  const BackingFiles& files = *setup->backing_;
  setup->children_ = std::make_unique<Children>(
      setup->scratch_->path(),
      [&files](const std::string& directory) { return files.arguments_for(directory); });
  return setup;
}

// What an argument without a key means is known to the plugin alone, and it may
// be somebody's disk: `nbdkit file disk.img`.
std::string Setup::magic_config_key(const std::vector<std::string>& arguments) const {
  const bool needed = std::any_of(arguments.begin(), arguments.end(), [](const std::string& text) {
    return parse_parameter(text).bare;
  });
  if (!needed) return "";
  Job job;
  job.kind = Job::Kind::facts;
  job.request = request;
  job.request.arguments.clear();
  Children child(scratch_->path(), [](const std::string&) { return std::vector<std::string>(); });
  const JobReport report = child.run(job, {stall, {}, false});
  return report.subject ? report.subject->plugin.magic_config_key : "";
}

tl::expected<void, std::string> find_nbdkit(const std::string& wanted, Request& request) {
  if (wanted == "none") {
    request.no_nbdkit = "--nbdkit=none";
    return {};
  }
  const auto found = NbdkitProgram::find(wanted);
  if (found) {
    request.nbdkit = found->path;
    request.nbdkit_version = found->version;
    return {};
  }
  // Who names a file wants it; else nbdcheck does without.
  if (!wanted.empty()) return tl::unexpected("--nbdkit: " + found.error().message);
  request.no_nbdkit = found.error().message;
  return {};
}

int become_matching_build(const Options& options, const std::string& plugin) {
  const auto file = find_subject_file(plugin);
  if (!file) return 0;  // said in its place
  std::error_code problem;
  const std::string own = std::filesystem::read_symlink("/proc/self/exe", problem);
  const auto build = matching_build(file->path, own);
  if (!build) return bad_input(build.error());
  const bool sanitized = !build->empty() || under_sanitizer();
  if (options.valgrind && sanitized)
    return bad_input(plugin + ": was built with a sanitizer, which does not go with --valgrind");
  if (options.valgrind) {
    auto command = valgrind_command();
    if (!command) return bad_input(command.error());
    run_children_under(*std::move(command));
  }
  if (build->empty()) return 0;
  const std::vector<char*> arguments = arguments_of_this_process();
  if (arguments.empty()) return bad_input("cannot read /proc/self/cmdline");
  ::execv(build->c_str(), arguments.data());
  return bad_input(*build + ": " + std::strerror(errno));
}

int bad_input(const std::string& what) {
  std::fprintf(stderr, "nbdcheck: %s\n", printable(what).c_str());
  return 2;
}

TerminalStyle terminal_style(const Options& options) {
  TerminalStyle style;
  style.colour = wants_colour(options.color);
  style.interactive = is_interactive() && !options.quiet;
  style.quiet = options.quiet;
  style.verbose = options.verbose;
  style.width = terminal_width();
  return style;
}

}  // namespace nbdcheck
