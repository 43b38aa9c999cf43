// The export name is what a client, any client, asks for: nbdkit-plugin(3)
// "EXPORT NAME".  What a plugin serves or refuses is its own affair; that a name
// leads out of the exported directory or into a shell is everybody's.  (That it
// is a format string is judged by error.format-export.)
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "checks/client.hpp"
#include "checks/configured_life.hpp"
#include "checks/patience.hpp"
#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::export_names {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view canary_name = "nbdcheck-not-an-export";
constexpr std::size_t canary_size = 24 * 1024 + 512;  // like no other file's

std::string canary_text() {
  std::string text;
  for (int i = 0; text.size() < canary_size; ++i) text += fmt::format("canary {:05}\n", i);
  text.resize(canary_size);
  return text;
}

// Opens and looks who answered.
struct Answer {
  bool opened = false;
  std::uint64_t size = 0;
  std::string beginning;
};

class Names {
 public:
  Names(CheckRun& run, Server& server) : run_(run), server_(server) {}

  Answer ask(const std::string& name) {
    Answer answer;
    Client client(server_);
    answer.opened = client.open(name);
    run_.count_operations(1);
    if (!answer.opened) return answer;
    answer.size = client.info().size;
    std::array<std::byte, 512> data{};
    if (answer.size == canary_size && client.read(data, 0).ok())
      answer.beginning.assign(reinterpret_cast<const char*>(data.data()), data.size());
    return answer;
  }

  // A file beside the directory that is exported, by a path through it.
  void try_to_leave(const fs::path& directory) {
    const fs::path canary = directory.parent_path() / canary_name;
    const std::string text = canary_text();
    std::ofstream(canary, std::ios::binary) << text;
    const std::string inside = directory.filename().string();
    for (const std::string& name :
         {fmt::format("../{}", canary_name), canary.string(), fmt::format("/../{}", canary_name),
          fmt::format("../{}/../{}", inside, canary_name)}) {
      const Answer answer = ask(name);
      if (answer.size != canary_size || answer.beginning != text.substr(0, 512)) continue;
      Violation v;
      v.rule = "export.name-escape";
      v.message =
          fmt::format("A client that asked for the export \"{}\" was given a file outside of {}.",
                      name, directory.string());
      v.expected = ".open calls nbdkit_error and returns NULL";
      v.actual =
          fmt::format("an export of {} bytes, the contents of {}", answer.size, canary.string());
      run_.violated(std::move(v));
      break;
    }
    std::error_code ignored;
    fs::remove(canary, ignored);
  }

  void try_a_shell(const fs::path& scratch) {
    const fs::path made = scratch / "nbdcheck-made-by-a-shell";
    const std::string touch = "touch " + made.string();
    for (const std::string& name :
         {";" + touch + ";", "$(" + touch + ")", "`" + touch + "`", "';" + touch + ";'",
          "\";" + touch + ";\"", "|" + touch, "\n" + touch + "\n"}) {
      ask(name);
      if (!fs::exists(made)) continue;
      Violation v;
      v.rule = "export.name-escape";
      v.message = fmt::format("The export name \"{}\" was run as a command.", name);
      v.expected = "a name that is passed on quoted, in an argument or in the environment";
      v.actual = "the file that the command makes is there";
      return run_.violated(std::move(v));
    }
  }

  void try_the_odd() {
    const std::string longest(4096, 'x');
    for (const std::string& name :
         {std::string("nbdcheck-no-such-export"), std::string("."), std::string(".."),
          std::string("/"), std::string("//"), std::string("a/b"), longest, "/" + longest.substr(1),
          std::string("\xff\xfe\xc0\x80"), std::string("\x01\x1b[2J"), std::string("a\nb"),
          std::string("%s%s%s%n%n%n%1000000d"), std::string("*"), std::string(" ")})
      if (time_left()) ask(name);
  }

  [[nodiscard]] bool time_left() const { return !patience_.over(); }

 private:
  CheckRun& run_;
  Server& server_;
  // Some plugins make a disk for each name.
  Patience patience_{std::chrono::milliseconds(1500) * time_scale()};
};

// Directories of the arguments that are copies of the user's own.
std::vector<fs::path> exported_directories(const CheckRun& run) {
  std::vector<fs::path> directories;
  for (const std::string& argument : run.request().arguments) {
    const fs::path path = parse_parameter(argument).value;
    struct stat status {};
    if (!path.is_absolute() || ::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
      continue;
    if (is_own_copy(run, path.string())) directories.push_back(path);
  }
  return directories;
}

void run_check(CheckRun& run) {
  const auto server = run.serve();
  if (!server) return;
  const char* temporary = std::getenv("TMPDIR");
  const fs::path scratch = temporary != nullptr && !run.job().in_process ? temporary : "";
  Names names(run, *server);
  set_phase("asking for exports by hostile names");
  if (!scratch.empty()) {
    for (const fs::path& directory : exported_directories(run)) names.try_to_leave(directory);
    names.try_a_shell(scratch);
  }
  names.try_the_odd();
  set_phase("asking for the export again, after hostile names");
  Client client(*server);
  if (!client.open(run.request().export_name)) {
    Violation v;
    v.rule = "export.name-harm";
    v.message =
        "After clients had asked for exports by strange names, and left, the export could not be "
        "opened any more.";
    v.expected = "the export opens, as it did before";
    v.actual = "error: " + run.incidents().last_error();
    run.violated(std::move(v));
  }
  client.close();
  server->stop();
  run.report_incidents();
}

const Registration registration{{
    .id = "export.names",
    .summary = "no export name that a client may send does harm",
    .rules = {"export.name-escape", "export.name-harm", "process.crash"},
    .not_applicable = {},
    .run = run_check,
}};

}  // namespace
}  // namespace nbdcheck::checks::export_names
