#include "runner/reproduce.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/status_page.hpp"
#include "report/nbdsh.hpp"
#include "runner/wire.hpp"
#include "target/program.hpp"

namespace nbdcheck {
namespace {

constexpr std::chrono::seconds limit{30};

std::string last_lines(const std::string& text, std::size_t most) {
  std::size_t begin = text.size();
  for (std::size_t lines = 0; lines < most && begin != 0; ++lines) {
    const auto found = begin < 2 ? std::string::npos : text.rfind('\n', begin - 2);
    begin = found == std::string::npos ? 0 : found + 1;
  }
  return text.substr(begin);
}

}  // namespace

void reproduce(const Job& job, const std::function<void(std::string_view)>& emit) {
  const auto cannot = [&](std::string why) {
    ChildEvent event;
    event.kind = ChildEvent::Kind::unknown;
    event.text = std::move(why);
    emit(to_line(event));
  };
  set_phase("running the reproducer");
  ::setenv("NBDKIT", job.request.nbdkit.c_str(), 1);
  // Distributions install libnbd's module for their own python, and people
  // have others before that in their PATH.
  for (const char* const python : {"/usr/bin/python3", "python3"}) {
    auto started = Program::start({{python, "-B", job.script}});
    if (!started) continue;
    Program& script = **started;
    if (!script.wait(std::chrono::duration_cast<std::chrono::milliseconds>(limit * time_scale())))
      return cannot("the script does not come to its end");
    const ProgramEnd end = script.end();
    const std::string output = script.standard_output();
    if (end.signalled || end.value > nbdsh_cannot_run)
      return cannot(
          fmt::format("the script {}: {}", end.words(), last_lines(script.standard_error(), 1)));
    if (output.find(nbdsh_needs_module) != std::string::npos) continue;
    if (end.value == nbdsh_cannot_run) return cannot(last_lines(output, 1));
    ChildEvent event;
    event.kind = ChildEvent::Kind::reproduced;
    event.shown = end.value == nbdsh_shown;
    event.text = last_lines(output, 4);
    emit(to_line(event));
    return;
  }
  cannot("no python3 here has libnbd's module (package python3-libnbd)");
}

}  // namespace nbdcheck
