// The configuration of a plugin: lines are "key=value" arguments, given to the plugin
// before it is started.  Whatever they are, it refuses them or serves, and says why.
//
// NBDCHECK_PLUGIN names its file.  It stays loaded: what it keeps between two lives
// in one process is its own.
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "beside.hpp"
#include "nbdcheck/server.hpp"

namespace {

using namespace nbdcheck;

class Listener final : public Observer {
 public:
  void on_incident(const Incident& incident) override {
    if (incident.kind == IncidentKind::no_error_message ||
        incident.kind == IncidentKind::config_modified ||
        incident.kind == IncidentKind::server_would_abort)
      wrong = incident.text;
  }
  std::string wrong;
};

const std::string& plugin() {
  static const std::string file = [] {
    const char* const given = std::getenv("NBDCHECK_PLUGIN");
    std::string named = given != nullptr ? given : fuzz::plugin_beside_program();
    if (named.empty() || ::dlopen(named.c_str(), RTLD_NOW | RTLD_NODELETE) == nullptr) {
      std::fprintf(stderr, "nbdcheck: NBDCHECK_PLUGIN names no plugin: %s\n",
                   named.empty() ? "not set" : ::dlerror());
      std::_Exit(2);
    }
    return named;
  }();
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<std::string> arguments;
  while (!text.empty() && arguments.size() < 16) {
    const auto end = text.find('\n');
    const std::string line(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    arguments.emplace_back(line.c_str());  // an argument ends at its first NUL
  }
  Listener listener;
  auto server = Server::load(plugin(), {}, listener);
  if (!server) {
    std::fprintf(stderr, "nbdcheck: %s\n", server.error().message.c_str());
    std::_Exit(2);
  }
  if ((*server)->configure(arguments) && (*server)->start()) {
    if (const auto connection = (*server)->connect()) static_cast<void>((*connection)->open(""));
    (*server)->stop();
  }
  if (!listener.wrong.empty()) {
    std::fprintf(stderr, "nbdcheck: %s\n", listener.wrong.c_str());
    for (const std::string& argument : arguments)
      std::fprintf(stderr, "  argument: %s\n", argument.c_str());
    std::abort();
  }
  return 0;
}
